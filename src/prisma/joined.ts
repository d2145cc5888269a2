import { madeOnce } from '../engine/made-once.js'
import type { Bound } from '../engine/session.js'
import { ForeignExtensionError } from '../errors/foreign-extension.js'
import type { PrismaCall } from './client.js'
import { calledBy, type ExtensionArgs, type Hook } from './layers.js'
import { PrismaLikePromise } from './lazy-promise.js'

/*
 * An extension may send a call of a transaction in another one, of its own: the usual recipe
 * for row-level security does, and one that calls the client that it has closed over. Work that
 * must be all or nothing would then be committed piece by piece. So the hooks of other
 * extensions are watched while a transaction is open that one of our calls relies on.
 */

interface Transaction {
  readonly kind?: string
  readonly id?: unknown
}

interface Params {
  readonly model?: string
  readonly operation: string
  readonly __internalParams?: { readonly transaction?: Transaction }
  readonly query: (args: unknown, internal?: unknown) => PrismaCall
}

interface Reliance {
  readonly bound: Bound | undefined
}

/** Those of our calls that rely on each transaction, by Prisma's id of it. */
const relied = new Map<string, Set<Reliance>>()

/** By the object with which Prisma marks each call in a transaction: the time that these calls have. */
const bounds = new WeakMap<object, Bound>()

/**
 * Watches all calls in the transaction, of whoever makes them, until the work is done. With a bound,
 * other extensions take no longer in any of them.
 */
export async function relyingOn<R>(transactionId: string, work: () => PromiseLike<R>, bound?: Bound): Promise<R> {
  const all = madeOnce(relied, transactionId, () => new Set())
  const own = { bound }
  all.add(own)
  try {
    return await work()
  } finally {
    all.delete(own)
    if (all.size === 0) relied.delete(transactionId)
  }
}

/** In calls with this mark other extensions take no longer. */
export function bind(mark: object, bound: Bound): void {
  bounds.set(mark, bound)
}

function boundsOf(id: string, transaction: Transaction | undefined): Bound[] {
  const all = [...(relied.get(id) ?? [])].map(({ bound }) => bound)
  return [...all, transaction && bounds.get(transaction)].filter((bound) => bound !== undefined)
}

/** The extension, with hooks that are watched. */
export function watched<E extends ExtensionArgs>(extension: E): E {
  const { query } = extension
  if (query === undefined) return extension
  const hooks = mapped(query, (part) =>
    typeof part === 'function'
      ? watchedHook(part, extension)
      : part && mapped(part, (hook) => (typeof hook === 'function' ? watchedHook(hook, extension) : hook)),
  )
  return { ...extension, query: hooks }
}

function mapped<V>(object: Readonly<Record<string, V>>, change: (value: V) => V): Record<string, V> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]))
}

function watchedHook(hook: Hook, extension: ExtensionArgs): Hook {
  return (params: Params) => {
    const id = joinedId(params.__internalParams?.transaction)
    return id === undefined || !relied.has(id) ? hook(params as never) : watch(hook, params, id, extension)
  }
}

function joinedId(transaction: Transaction | undefined): string | undefined {
  return transaction?.kind === 'itx' ? (transaction.id as string) : undefined
}

/**
 * A call that is on its way out of the transaction is stopped before it is sent. That a write was
 * sent past `query`, on another client, shows only when it is done.
 */
function watch(hook: Hook, params: Params, id: string, extension: ExtensionArgs): unknown {
  const { model, operation } = params
  const transaction = params.__internalParams?.transaction
  const part = new Part(boundsOf(id, transaction), (joined) => {
    if (joinedId(joined) !== id)
      throw new ForeignExtensionError('left the transaction', { extension: extension.name, model, operation })
  })
  const query = (args: unknown, internal: unknown = params.__internalParams) =>
    new JoinedCall(params.query(args, internal), () => (internal as Params['__internalParams'])?.transaction, part)
  const result = part.within(calledBy(extension), () => hook({ ...params, query } as never))
  if (!isWrite(operation)) return result
  return (async () => {
    const value = await result
    if (!part.hasSent)
      throw new ForeignExtensionError('answered by itself', { extension: extension.name, model, operation })
    return value
  })()
}

/** The part that an extension takes in a call. */
class Part {
  hasSent = false
  readonly #bounds: readonly Bound[]
  readonly #check: (transaction: Transaction | undefined) => void
  /** Its calls in the transaction that have no answer yet. */
  readonly #underWay = new Set<PromiseLike<unknown>>()
  #end: { readonly reason: unknown } | undefined

  constructor(bounds: readonly Bound[], check: (transaction: Transaction | undefined) => void) {
    this.#bounds = bounds
    this.#check = check
  }

  send(transaction: Transaction | undefined, send: () => PromiseLike<unknown>): PromiseLike<unknown> {
    if (this.#end) throw this.#end.reason
    for (const bound of this.#bounds) bound.check()
    this.#check(transaction)
    this.hasSent = true
    const call = send()
    const forget = () => this.#underWay.delete(call)
    this.#underWay.add(call)
    call.then(forget, forget)
    return call
  }

  /**
   * Waits for the hook as long as it has time. Then the call ends here: a statement in the transaction is
   * waited for, as COMMIT would wait for it on the same connection, and nothing more is sent there.
   */
  within(extension: string, hook: () => unknown): unknown {
    if (this.#bounds.length === 0) return hook()
    const work = (async () => hook())()
    const bounded = this.#bounds.reduce<Promise<unknown>>((inner, bound) => bound.race(inner, extension), work)
    return bounded.catch(async (reason: unknown) => {
      this.#end = { reason }
      await Promise.allSettled(this.#underWay)
      throw reason
    })
  }
}

/** Whether the operation may write, or lock a row. */
export function isWrite(operation: string): boolean {
  return /^(?:create|update|upsert|delete|\$execute|\$queryRaw)/.test(operation)
}

/** A promise of Prisma's, that looks in which transaction it is sent. */
class JoinedCall extends PrismaLikePromise<unknown> {
  readonly #call: PrismaCall
  readonly #transaction: () => Transaction | undefined
  readonly #part: Part

  constructor(call: PrismaCall, transaction: () => Transaction | undefined, part: Part) {
    super()
    this.#call = call
    this.#transaction = transaction
    this.#part = part
  }

  requestTransaction(transaction: { readonly kind: 'itx'; readonly id: string }): PromiseLike<unknown> {
    return this.#part.send(transaction, () => this.#call.requestTransaction(transaction))
  }

  protected override async start(): Promise<unknown> {
    // Only this sends a promise of Prisma's.
    return this.#part.send(this.#transaction(), () => this.#call.then((answer) => answer))
  }
}
