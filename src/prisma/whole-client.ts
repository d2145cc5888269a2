import type { ModelContext, PrismaClientLike } from './client.js'
import { type ExtensionArgs, extensionsOf, headOf, isForeign, isOwn, TRANSPARENT, transparentOf } from './foreign.js'
import { watched } from './joined.js'

/*
 * A model knows the client below the topmost extension as its parent, but not the topmost one. So
 * every extension that is put on top of ours is given a name by which its models tell their client.
 */

/** Prisma looks at the texts among the names only. */
const WHOLE = '$prismaExtensionConcurrency'

type Extends = (this: unknown, extension: unknown) => PrismaClientLike

/** The client, with all of its extensions, that a model belongs to: in a transaction that of the root. */
export function wholeClientOf(context: ModelContext): PrismaClientLike {
  const whole = (context as { readonly [WHOLE]?: () => PrismaClientLike | undefined })[WHOLE]
  return whole?.() ?? context.$parent
}

/** Parts of this package's extension, which keep it in touch with the extensions on top of it. */
export function inTouch(own: PrismaClientLike, transparent: readonly string[]) {
  let top: PrismaClientLike | undefined
  const names = new Set([...transparent, ...transparentOf(extensionsOf(own))])
  const below = extendsOf(own)
  return {
    marks: { [TRANSPARENT]: names } as Record<never, never>,
    model: { [WHOLE]: () => top } as Record<never, never>,
    client: {
      $extends(this: unknown, extension: ExtensionArgs | ((client: unknown) => unknown)) {
        // A function calls this again, with what it is made of.
        if (typeof extension === 'function') return below.call(this, extension)
        let made: PrismaClientLike | undefined
        const { model } = extension
        const models = { ...model, $allModels: { ...model?.$allModels, [WHOLE]: () => made } }
        made = below.call(this, { ...(isForeign(extension, names) ? watched(extension) : extension), model: models })
        return made
      },
    } as Record<never, never>,
    /** Tells which client the extension has made. */
    made(client: unknown): void {
      top = client as PrismaClientLike
    },
  }
}

/** The client again, with the hooks of other extensions watched; the client itself where there are none. */
export function watchedClient<C>(client: C, transparent: readonly string[]): C {
  const own = client as PrismaClientLike
  const all = extensionsOf(own)
  // What is above a layer of ours is watched already.
  if (all.some(isOwn)) return client
  return rebuilt(own, new Set(transparent)) as C
}

function rebuilt(client: PrismaClientLike, transparent: ReadonlySet<string>): PrismaClientLike {
  const head = headOf(client)
  const parent = client.$parent
  // Only what Prisma itself has put together can be put together again.
  if (head === undefined || parent === undefined || headOf(parent) !== head.previous) return client
  const below = rebuilt(parent, transparent)
  const { extension } = head
  const isWatched = extension.query !== undefined && isForeign(extension, transparent)
  if (below === parent && !isWatched) return client
  return extendsOf(below).call(below, isWatched ? watched(extension) : extension)
}

function extendsOf(client: PrismaClientLike): Extends {
  return (client as unknown as { readonly $extends: Extends }).$extends
}
