import type { Types } from '@prisma/client/runtime/client'
import type { Extension, Nothing } from '../prisma/extension.js'

export type { ScopeBinding, Scoped } from './scoped.js'

/** The names of a client's models, as in the schema: `Product` for `client.product`. */
type Delegate<C, M> = M extends string ? (Uncapitalize<M> extends keyof C ? C[Uncapitalize<M>] : never) : never

/** The scalar fields of the client's model `M`, with Prisma's own types. */
export type ScalarsOf<C, M> = Types.Public.Payload<Delegate<C, M>>['scalars']

/** The type of one field of the model. */
export type FieldOf<C, M, F> = F extends keyof ScalarsOf<C, M> ? ScalarsOf<C, M>[F] : never

/** The values of a row of the model, as Prisma's own `createMany` takes them. */
export type RowInputOf<C, M> =
  Types.Public.Args<Delegate<C, M>, 'createMany'> extends { data: infer D } ? Exclude<D, readonly unknown[]> : never

/** The member that an extension with a namespace adds to the client. */
export type ClientExtension<N extends string, T> = Extension<Nothing, { [K in N]: () => T }>

/** The scope that the options name, with the types of the model's fields; `never` where they name none. */
export type ScopeOf<C, M, O> = O extends { readonly scope: readonly (infer F extends string)[] }
  ? { [K in F]: FieldOf<C, M, K> }
  : never
