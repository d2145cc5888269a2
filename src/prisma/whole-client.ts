import type { ModelContext, PrismaClientLike } from './client.js'
import { watched } from './joined.js'
import {
  type ExtensionArgs,
  extensionsOf,
  headOf,
  isForeign,
  type Layer,
  layerOf,
  noteLayer,
  transparentOf,
  withoutOwnLayers,
} from './layers.js'

/*
 * A model knows the client below the topmost extension as its parent, but not the topmost one. So
 * every extension that is put on top of ours is given a name by which its models tell their client.
 */

/** Prisma looks at the texts among the names only. */
const WHOLE = '$prismaExtensionConcurrency'

/** The clients below and above the extension of `concurrency()`. */
export interface OwnClients {
  /**
   * For SQL and transactions of our own outside a transaction of the caller's: the client that was
   * extended, without other extensions of this package, and without read replicas, right below.
   */
  readonly below: PrismaClientLike
  /** The client that was made. */
  readonly made: PrismaClientLike
}

/** The client, with all of its extensions, that a model belongs to: in a transaction that of the root. */
export function wholeClientOf(context: ModelContext): PrismaClientLike {
  return toldWholeOf(context) ?? context.$parent
}

/** The same; `undefined` if there is an extension that we do not know of. A `tx` has the extensions of its client. */
export function knownWholeOf(context: ModelContext): PrismaClientLike | undefined {
  const whole = toldWholeOf(context)
  if (whole === undefined) return undefined
  const isKnown = whole.$parent === context.$parent || headOf(whole) === headOf(context.$parent)
  return isKnown ? whole : undefined
}

function toldWholeOf(context: ModelContext): PrismaClientLike | undefined {
  return (context as { readonly [WHOLE]?: () => PrismaClientLike | undefined })[WHOLE]?.()
}

/** Parts of this package's extension, which keep it in touch with the extensions on top of it. */
export function inTouch(own: PrismaClientLike, transparent: readonly string[]) {
  let top: PrismaClientLike | undefined
  const names = new Set([...transparent, ...transparentOf(extensionsOf(own))])
  const { $extends: extendOwn } = own
  return {
    clients: {
      below: withoutOwnLayers(own),
      get made() {
        return top as PrismaClientLike
      },
    } satisfies OwnClients,
    note: (own: Pick<Layer, 'versions' | 'models' | 'events'>) =>
      noteLayer({ name: 'concurrency', ...own, transparent: names }),
    model: { [WHOLE]: () => top } as Record<never, never>,
    client: {
      $extends(this: unknown, extension: ExtensionArgs | ((client: unknown) => unknown)) {
        // A function calls this again, with what it is made of.
        if (typeof extension === 'function') return extendOwn.call(this, extension)
        let made: PrismaClientLike | undefined
        const { model } = extension
        const models = { ...model, $allModels: { ...model?.$allModels, [WHOLE]: () => made } }
        made = extendOwn.call(this, {
          ...(isForeign(extension, names) ? watched(extension) : extension),
          model: models,
        })
        return made
      },
    } as Record<never, never>,
    /** Tells which client the extension has made. */
    made(client: unknown): void {
      top = client as PrismaClientLike
      const extension = headOf(top)?.extension
      if (extension && layerOf(extension)) return
      throw new Error(
        'prisma-extension-concurrency does not know this version of Prisma: its clients list no extensions.',
      )
    },
  }
}

/** The client again, with the hooks of other extensions watched; the client itself where there are none. */
export function watchedClient<C>(client: C, transparent: readonly string[]): C {
  const own = client as PrismaClientLike
  const all = extensionsOf(own)
  // Extensions above a layer of ours are watched already.
  if (all.some(layerOf)) return client
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
  return below.$extends(isWatched ? watched(extension) : extension)
}
