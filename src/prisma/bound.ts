import type { PrismaClientLike } from './client.js'
import { withoutHook } from './hooked.js'
import type { ExtensionArgs } from './layers.js'

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
export function namespace<N extends object>(
  parent: PrismaClientLike,
  name: `$${string}`,
  make: (client: PrismaClientLike) => N,
): Record<never, never> {
  const { $extends } = parent
  const below = parent.$transaction as Transaction
  return {
    [name]: make(parent),
    $transaction(this: unknown, input: unknown, options?: unknown) {
      const isBody = typeof input === 'function'
      return below.call(
        this,
        isBody ? (tx: PrismaClientLike) => input(bound(tx, name, () => make(withoutHook(tx)))) : input,
        options,
      )
    },
    $extends(this: unknown, extension: ExtensionArgs | (() => unknown)) {
      // A function calls this again, with what it is made of.
      if (typeof extension === 'function') return $extends.call(this, extension)
      const own = {}
      const made = $extends.call(this, { ...extension, client: { [name]: own, ...extension.client } })
      Object.assign(own, make(made))
      return made
    },
  }
}

/** The clients made of a `tx` here. */
const made = new WeakSet<PrismaClientLike>()

/** The same `tx`, with a namespace that is made when it is first asked for. All of them are on one object, which is quicker to look at. */
function bound(tx: PrismaClientLike, name: string, make: () => object): PrismaClientLike {
  let own: object | undefined
  const client: PrismaClientLike = made.has(tx) ? tx : Object.create(tx)
  made.add(client)
  return Object.defineProperty(client, name, { get: () => (own ??= make()), enumerable: true, configurable: true })
}
