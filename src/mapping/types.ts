import type { Types } from '@prisma/client/runtime/client'
import type { Extension, Nothing } from '../prisma/extension.js'

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

/** Methods for one scope at a time: each takes it as `scope`, and `in` gives the same methods with a scope bound. */
export type Scoped<T, Scope> = { [M in keyof T]: ScopedMethod<T[M], Scope> } & ScopeBinding<T, Scope>

type ScopedMethod<F, Scope> = F extends (...args: infer A) => infer R
  ? (args: (A extends readonly [] ? Nothing : NonNullable<A[0]>) & { scope: Scope }) => R
  : never

export interface ScopeBinding<T, Scope> {
  /**
   * The same methods for one scope, such as one company: everything that they write and see is of it.
   *
   * @throws InvalidArgumentError that names the field of the scope without a value
   *
   * @example
   * const stock = db.$stock.in({ companyId })
   * await stock.move({ transactionId, item: 11, quantity: -3 })
   */
  in(scope: Scope): T
}
