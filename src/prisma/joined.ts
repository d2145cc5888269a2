import { ForeignExtensionError } from '../foreign-extension-error.js'
import type { PrismaCall } from './client.js'
import type { ExtensionArgs, Hook } from './foreign.js'

/*
 * An extension may send what is called in a transaction in another one, of its own: the usual recipe
 * for row-level security does, and one that calls the client that it has closed over. What this
 * package believes to be all or nothing would then be committed piece by piece. So the hooks of other
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

/** How many of our calls rely on each transaction, by Prisma's id of it. */
const relied = new Map<string, number>()

/** Watches all calls in the transaction, of whoever makes them, until the work is done. */
export async function relyingOn<R>(transactionId: string, work: () => PromiseLike<R>): Promise<R> {
  relied.set(transactionId, (relied.get(transactionId) ?? 0) + 1)
  try {
    return await work()
  } finally {
    const left = (relied.get(transactionId) ?? 1) - 1
    if (left > 0) relied.set(transactionId, left)
    else relied.delete(transactionId)
  }
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
  let isSent = false
  const check = (transaction: Transaction | undefined) => {
    if (joinedId(transaction) !== id)
      throw new ForeignExtensionError('left the transaction', { extension: extension.name, model, operation })
    isSent = true
  }
  const query = (args: unknown, internal: unknown = params.__internalParams) =>
    new JoinedCall(params.query(args, internal), () => (internal as Params['__internalParams'])?.transaction, check)
  const result = hook({ ...params, query } as never)
  if (!isWrite(operation)) return result
  return (async () => {
    const value = await result
    if (!isSent) throw new ForeignExtensionError('answered by itself', { extension: extension.name, model, operation })
    return value
  })()
}

/** Whether the operation may write, or lock a row. */
export function isWrite(operation: string): boolean {
  return /^(?:create|update|upsert|delete|\$execute|\$queryRaw)/.test(operation)
}

/** A promise of Prisma's, that looks in which transaction it is sent. */
class JoinedCall implements Promise<unknown> {
  readonly #call: PrismaCall
  readonly #transaction: () => Transaction | undefined
  readonly #check: (transaction: Transaction | undefined) => void

  constructor(
    call: PrismaCall,
    transaction: () => Transaction | undefined,
    check: (transaction: Transaction | undefined) => void,
  ) {
    this.#call = call
    this.#transaction = transaction
    this.#check = check
  }

  get [Symbol.toStringTag](): string {
    return 'PrismaPromise'
  }

  requestTransaction(transaction: { readonly kind: 'itx'; readonly id: string }): PromiseLike<unknown> {
    this.#check(transaction)
    return this.#call.requestTransaction(transaction)
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaited is what sends it
  then<A = unknown, B = never>(
    onFulfilled?: ((value: unknown) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#send().then(onFulfilled, onRejected)
  }

  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<unknown> {
    return this.#send().catch(onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<unknown> {
    return this.#send().finally(onFinally)
  }

  async #send(): Promise<unknown> {
    this.#check(this.#transaction())
    return this.#call
  }
}
