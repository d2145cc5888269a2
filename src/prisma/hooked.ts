import { type PrismaClientLike, transactionClient } from './client.js'
import { isWrite } from './joined.js'
import { type AroundCall, headOf, type Node, noteLayer } from './layers.js'

/** A call of Prisma's own, as a query hook is told of it (read on 7.10). */
interface HookedCall {
  readonly operation: string
  readonly args: object
  readonly query: (args: object) => PromiseLike<unknown>
  readonly __internalParams: { readonly transaction?: { readonly id: string } | undefined }
}

/**
 * Gives clients a query hook for their calls in transactions, which runs right before a call is sent, by
 * Prisma's own `$extends`: an extension's hooks would otherwise be those of all calls, in a transaction or not.
 */
export function withHook(
  { _originalClient: original }: PrismaClientLike,
  around: AroundCall,
): (client: PrismaClientLike) => PrismaClientLike {
  const query = {
    $allOperations({ operation, args, query, __internalParams: { transaction } }: HookedCall) {
      if (!transaction) return query(args)
      const call = { id: transaction.id, scope: transaction, isWrite: isWrite(operation) }
      return around(call, () => query(args))
    },
  }
  const known = new WeakMap<PrismaClientLike, PrismaClientLike>()
  return (client) => {
    const before = known.get(client)
    if (before) return before
    const made = original.$extends.call(client, {
      name: 'prisma-extension-concurrency/tx',
      ...noteLayer({ name: 'concurrency', around }),
      query,
    })
    known.set(client, made)
    const head = headOf(made)
    if (head) unhooked.set(head, client)
    return made
  }
}

/** By their topmost extension, the clients that others with a hook were made of. */
const unhooked = new WeakMap<Node, PrismaClientLike>()

/** The `tx` for statements of our own, which do not need the hook. */
export function withoutHook(tx: PrismaClientLike): PrismaClientLike {
  const head = headOf(tx)
  const client = head && unhooked.get(head)
  return client ? transactionClient(client, tx) : tx
}
