import type { ITXClientDenyList, Types } from '@prisma/client/runtime/client'

/*
 * T is the type of a model's delegate, such as that of `db.product`. Everything is asked of
 * Prisma's own types, so that inference is Prisma's own.
 */

export type Args<T, F extends Types.Public.Operation> = Types.Public.Args<T, F>
export type Payload<T> = Types.Public.Payload<T>
export type Scalars<T> = Payload<T>['scalars']

/** Prisma's own `where` by a unique key. */
export type UniqueWhere<T> = Args<T, 'update'>['where']

/** Prisma's own `select`, `include` (which only models with relations have) and `omit`. */
export type SelectionArgs<T> = Pick<Args<T, 'update'>, Extract<keyof Args<T, 'update'>, 'select' | 'include' | 'omit'>>

/** The record as `select`, `include` and `omit`, also the client's own `omit`, leave it, by Prisma's own rules. */
export type RecordOf<T, S> = Types.Result.GetResult<Payload<T>, S, 'update', GlobalOmit<T>>

/** `Types.Public.Result` knows nothing of the client's own `omit`, so that is found in the delegate's type. */
type GlobalOmit<T> =
  T extends Types.Extensions.DynamicModelExtensionThis<infer Map, PropertyKey, infer _>
    ? Map['globalOmitOptions']
    : Record<never, never>

/**
 * The arguments of a call, whose own type is inferred so that the record's can follow the
 * selection. It names no T: TypeScript would not keep the `true` in `omit: { name: true }` then.
 */
export interface GivenArgs {
  readonly where?: unknown
  readonly select?: unknown
  readonly include?: unknown
  readonly omit?: unknown
}

/** The selection, with nothing in it that Prisma's own would not take. */
export type Exactly<T, S> = Types.Public.Exact<S, SelectionArgs<T>>

/** The client that the body of a transaction gets: the same that `$transaction` gives. */
export type TransactionClient<T> = Omit<T, ITXClientDenyList>
