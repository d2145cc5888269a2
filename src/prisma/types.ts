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

/** The record as `select`, `include` and `omit` leave it, by Prisma's own rules. */
export type RecordOf<T, S> = Types.Public.Result<T, S, 'update'>

/** The selection, with nothing in it that Prisma's own would not take. */
export type Exactly<T, S> = Types.Public.Exact<S, SelectionArgs<T>>

/** The client that the body of a transaction gets: the same that `$transaction` gives. */
export type TransactionClient<T> = Omit<T, ITXClientDenyList>
