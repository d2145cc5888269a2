import type { PrismaClientLike } from './client.js'
import { type ExtensionArgs, headOf, layersOf, type Namespace, type Node } from './layers.js'

type Transaction = (this: unknown, input: unknown, options?: unknown) => Promise<unknown>

/**
 * Client methods for an extension with a namespace, such as `db.$stock`, that must know whether it
 * is called on the client or on the `tx` of a transaction.
 *
 * Prisma gives a method of an extension its client as `this`, but an object with methods in it is
 * made once and is the same on the client and on every `tx`. So `$transaction` hands its body a `tx`
 * whose namespace is one of its own. Everything that opens a transaction for the user goes through
 * `$transaction`, `$transactionWithRetry` and `$withAdvisoryLock` too. To the types it is Prisma's.
 * In the same way each extension on top gets a namespace of its own, which knows of that extension.
 */
export function namespace(parent: PrismaClientLike, own: Namespace): Record<never, never> {
  const { name, make } = own
  const { $extends } = parent
  const below = parent.$transaction as Transaction
  const isLowest = layersOf(parent).every((layer) => layer.namespace === undefined)
  return {
    [name]: make(parent),
    $transaction(this: unknown, input: unknown, options?: unknown) {
      const isBody = typeof input === 'function'
      return below.call(this, isBody ? (tx: PrismaClientLike) => input(bound(tx, own, isLowest)) : input, options)
    },
    $extends(this: unknown, extension: ExtensionArgs | (() => unknown)) {
      // A function calls this again, with what it is made of.
      if (typeof extension === 'function') return $extends.call(this, extension)
      const on = {}
      const made = $extends.call(this, { ...extension, client: { [name]: on, ...extension.client } })
      Object.assign(on, make(made))
      return made
    },
  }
}

type Makes = ReadonlyMap<string | symbol, Namespace['make']>

/**
 * Stands for the `tx` of a transaction, and has namespaces of its own, each made when it is first asked for.
 *
 * A `Proxy` of the `tx` itself would look at the descriptor of each property that is read of it, which costs 10 µs
 * with Prisma's own proxies; and an object with the `tx` as its prototype costs the garbage collector 30 µs.
 */
class TransactionNamespaces implements ProxyHandler<PrismaClientLike> {
  readonly #tx: PrismaClientLike
  readonly #makes: Makes
  #made: Map<string | symbol, object> | undefined

  constructor(tx: PrismaClientLike, makes: Makes) {
    this.#tx = tx
    this.#makes = makes
  }

  knows(name: string): boolean {
    return this.#makes.has(name)
  }

  get(on: object, name: string | symbol): unknown {
    if (Object.hasOwn(on, name)) return Reflect.get(on, name) // defined on this `tx`, as a spy is
    const make = this.#makes.get(name)
    if (make === undefined) return Reflect.get(this.#tx, name)
    this.#made ??= new Map()
    const own = this.#made.get(name) ?? make(this.#tx)
    this.#made.set(name, own)
    return own
  }

  set(_: unknown, name: string | symbol, value: unknown): boolean {
    return Reflect.set(this.#tx, name, value)
  }

  has(on: object, name: string | symbol): boolean {
    return Object.hasOwn(on, name) || this.#makes.has(name) || Reflect.has(this.#tx, name)
  }

  ownKeys(): (string | symbol)[] {
    return Reflect.ownKeys(this.#tx)
  }

  getOwnPropertyDescriptor(on: object, name: string | symbol): PropertyDescriptor | undefined {
    if (Object.hasOwn(on, name)) return Reflect.getOwnPropertyDescriptor(on, name)
    const found = Reflect.getOwnPropertyDescriptor(this.#tx, name)
    return found && { ...found, configurable: true } // else it would have to be one of the object behind the proxy
  }

  getPrototypeOf(): object | null {
    return Reflect.getPrototypeOf(this.#tx)
  }
}

/** By the topmost extension of a client: the namespaces of all layers. */
const namespaces = new WeakMap<Node, Makes>()

/** The clients made of a `tx` here. */
const made = new WeakMap<PrismaClientLike, TransactionNamespaces>()

/** The same `tx` with the namespaces of all layers: the lowest of them makes it. */
function bound(tx: PrismaClientLike, { name, make }: Namespace, isLowest: boolean): PrismaClientLike {
  if (made.get(tx)?.knows(name)) return tx
  const all = isLowest ? namespacesOf(tx) : undefined
  // An extension of others may hand on the `tx` of a client below ours, or one with a `$stock` of its own.
  const handler = new TransactionNamespaces(tx, all?.has(name) ? all : new Map([[name, make]]))
  const client = new Proxy<PrismaClientLike>(Object.create(null), handler)
  made.set(client, handler)
  return client
}

function namespacesOf(tx: PrismaClientLike): Makes | undefined {
  const head = headOf(tx)
  if (head === undefined) return undefined
  let all = namespaces.get(head)
  if (all === undefined) {
    const layers = layersOf(tx).reverse() // of two with the same name the upper one counts
    all = new Map(layers.flatMap(({ namespace: own }) => (own ? [[own.name, own.make]] : [])))
    namespaces.set(head, all)
  }
  return all
}
