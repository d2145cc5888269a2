import { Prisma } from '@prisma/client/extension'
import type { ModelContext, PrismaClientLike } from './client.js'

/*
 * The types of an extension, in Prisma's own form. Methods are members of interfaces, since an
 * editor shows the comments of those, and a program's declarations (`declaration: true`) name an
 * interface where they would write out any other type, once per model.
 */

export type Nothing = Record<never, never>

/** Members as Prisma's types hold them: by a function that gives each. */
export type Members<M> = { [K in keyof M]: () => M[K] }

/** An extension's additions to all models and to the client. */
export interface Extension<Model, Client> {
  readonly $extends: {
    readonly extArgs: { result: Nothing; model: Model; query: Nothing; client: Client }
  }
}

/** The methods of an interface as they are run. They check what they are given, so its types are left out. */
export type Implementation<M> = { readonly [K in keyof M]: (this: object, ...args: never[]) => Promise<unknown> }

/** An extension that is made of the client below it, and puts itself on that. */
export function extensionOf<C, E>(make: (below: PrismaClientLike) => unknown): (client: C) => E {
  const define = Prisma.defineExtension as unknown as (make: (client: PrismaClientLike) => unknown) => (client: C) => E
  return define(make)
}

/** The client, or the `tx`, that a method was called on. */
export function clientContext(called: object): PrismaClientLike {
  return Prisma.getExtensionContext(called) as unknown as PrismaClientLike
}

/** The model that a method was called on. */
export function modelContext(called: object): ModelContext {
  return Prisma.getExtensionContext(called) as unknown as ModelContext
}
