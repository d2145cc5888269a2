import type { PrismaClientLike } from './client.js'

type Extends = (this: PrismaClientLike, extension: object) => PrismaClientLike

/**
 * Gives clients query hooks that are run right before a call is sent, by Prisma's own `$extends`: an
 * extension's hooks would otherwise be those of all calls, in a transaction or not.
 */
export function withHooks(parent: PrismaClientLike, query: object): (client: PrismaClientLike) => PrismaClientLike {
  const { $extends } = parent as unknown as { readonly $extends: Extends }
  const known = new WeakMap<PrismaClientLike, PrismaClientLike>()
  return (client) => {
    const made = known.get(client) ?? $extends.call(client, { name: 'prisma-extension-concurrency/tx', query })
    known.set(client, made)
    return made
  }
}
