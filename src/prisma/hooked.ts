import type { PrismaClientLike } from './client.js'
import { headOf, noteLayer } from './layers.js'

type Extends = (this: PrismaClientLike, extension: object) => PrismaClientLike

const NAME = 'prisma-extension-concurrency/tx'

/**
 * Gives clients query hooks that are run right before a call is sent, by Prisma's own `$extends`: an
 * extension's hooks would otherwise be those of all calls, in a transaction or not.
 */
export function withHooks(
  { _originalClient: original }: PrismaClientLike,
  query: object,
): (client: PrismaClientLike) => PrismaClientLike {
  const { $extends } = original as unknown as { readonly $extends: Extends }
  const known = new WeakMap<PrismaClientLike, PrismaClientLike>()
  return (client) => {
    const made =
      known.get(client) ?? $extends.call(client, { name: NAME, ...noteLayer({ name: 'concurrency' }), query })
    known.set(client, made)
    return made
  }
}

/** The `tx` for statements of our own, which need none of the hooks. */
export function withoutHooks(tx: PrismaClientLike): PrismaClientLike {
  return headOf(tx)?.extension.name === NAME && tx.$parent ? tx.$parent : tx
}
