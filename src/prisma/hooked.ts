import { type PrismaClientLike, transactionClient } from './client.js'
import { headOf, type Node, noteLayer } from './layers.js'

/**
 * Gives clients query hooks that are run right before a call is sent, by Prisma's own `$extends`: an
 * extension's hooks would otherwise be those of all calls, in a transaction or not.
 */
export function withHooks(
  { _originalClient: original }: PrismaClientLike,
  query: object,
): (client: PrismaClientLike) => PrismaClientLike {
  const known = new WeakMap<PrismaClientLike, PrismaClientLike>()
  return (client) => {
    const before = known.get(client)
    if (before) return before
    const made = original.$extends.call(client, {
      name: 'prisma-extension-concurrency/tx',
      ...noteLayer({ name: 'concurrency' }),
      query,
    })
    known.set(client, made)
    const head = headOf(made)
    if (head) unhooked.set(head, client)
    return made
  }
}

/** By their topmost extension, the clients that others with hooks were made of. */
const unhooked = new WeakMap<Node, PrismaClientLike>()

/** The `tx` for statements of our own, which need none of the hooks. */
export function withoutHooks(tx: PrismaClientLike): PrismaClientLike {
  const head = headOf(tx)
  const client = head && unhooked.get(head)
  return client ? transactionClient(client, tx) : tx
}
