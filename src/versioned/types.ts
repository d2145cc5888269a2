import type { VersionValue } from '../errors.js'
import type { Args, Payload, RecordOf, UniqueWhere } from '../prisma/types.js'
import type { CallOptions } from '../retry/call-options.js'

/*
 * T is the type of a model's delegate, such as that of `db.product`; O is the type of the options
 * that `concurrency()` was given. Everything else is asked of Prisma's own types.
 */

type DefaultField<O> = O extends { readonly version: { readonly field: infer F extends string } } ? F : 'version'

type ModelField<O, Name> = O extends { readonly version: { readonly models: infer M } }
  ? Name extends keyof M
    ? M[Name] extends false
      ? never
      : M[Name] extends { readonly field: infer F extends string }
        ? F
        : DefaultField<O>
    : DefaultField<O>
  : DefaultField<O>

/** The name of the model's version column. */
export type VersionField<T, O> = ModelField<O, Payload<T>['name']> & string

/** `number` for an `Int` column, `bigint` for a `BigInt` column. */
export type VersionOf<T, O> = Payload<T>['scalars'][VersionField<T, O>]

/** Put beside `this`, it makes a call on a model without a version column a compile error. */
export type Versioned<T, O> = [VersionField<T, O>] extends [never]
  ? NotVersioned<Payload<T>['name']>
  : Payload<T>['scalars'] extends { [K in VersionField<T, O>]: VersionValue }
    ? unknown
    : NotVersioned<Payload<T>['name']>

interface NotVersioned<Name> {
  readonly 'This model has no version column: add `version Int @default(0)` to it.': Name
}

type WhereVersion<T, O> = UniqueWhere<T> & { [K in VersionField<T, O>]: VersionOf<T, O> }
type WhereOptionalVersion<T, O> = UniqueWhere<T> & { [K in VersionField<T, O>]?: VersionOf<T, O> }

/** Prisma's own `data`, without the version. The symbol keeps a function from passing as an object. */
type Data<T, O> = Args<T, 'update'>['data'] & { [K in VersionField<T, O>]?: never } & {
  [Symbol.hasInstance]?: never
}

/** Gets the current record, with all its scalars, and the number of the attempt (1, 2, …). */
export type Change<T, O> = (
  current: Payload<T>['scalars'],
  attempt: number,
) => Data<T, O> | undefined | Promise<Data<T, O> | undefined>

export type UpdateVersionedArgs<T, O> = (
  | { where: WhereVersion<T, O>; data: Data<T, O> }
  | { where: WhereOptionalVersion<T, O>; data: Change<T, O> }
) &
  CallOptions

export type DeleteVersionedArgs<T, O> = { where: WhereVersion<T, O> } & CallOptions

export type TryUpdateResult<T, S, O> =
  | { readonly status: 'updated'; readonly record: RecordOf<T, S> }
  /** The function returned `undefined`, and nothing was written. */
  | { readonly status: 'unchanged'; readonly record: RecordOf<T, S> }
  | {
      readonly status: 'stale'
      readonly expected: VersionOf<T, O>
      readonly actual: VersionOf<T, O>
      readonly current: RecordOf<T, S>
    }
  | { readonly status: 'missing' }

type ScalarData<T, O> = {
  [K in keyof Payload<T>['scalars'] & keyof Args<T, 'updateMany'>['data'] as K extends VersionField<T, O> ? never : K]?:
    | ScalarValue<Payload<T>['scalars'][K]>
    | { set: ScalarValue<Payload<T>['scalars'][K]> }
    | ([NonNullable<Payload<T>['scalars'][K]>] extends [Numeric]
        ?
            | { increment: ScalarValue<NonNullable<Payload<T>['scalars'][K]>> }
            | { decrement: ScalarValue<NonNullable<Payload<T>['scalars'][K]>> }
        : never)
    | undefined
}

type DecimalLike = { toFixed(): string; d: number[] }
type Numeric = number | bigint | DecimalLike
type ScalarValue<V> = V extends DecimalLike
  ? V | number | string
  : V extends bigint
    ? V | number
    : V extends Date
      ? V | string
      : V

export interface UpdateManyVersionedItem<T, O> {
  where: WhereVersion<T, O>
  data: ScalarData<T, O>
}

/** What became of one row of `updateManyVersioned`. */
export type UpdateManyVerdict<T, O> =
  | { readonly status: 'updated'; readonly version: VersionOf<T, O> }
  | { readonly status: 'stale'; readonly expected: VersionOf<T, O>; readonly actual: VersionOf<T, O> }
  | { readonly status: 'missing' }
  /** The row is there at its version, but a trigger of yours kept it from being written. */
  | { readonly status: 'suppressed' }

/** In mode `all` every row was written, or none. */
export type UpdateManyResult<T, O, M> = M extends 'each'
  ? UpdateManyVerdict<T, O>[]
  : Extract<UpdateManyVerdict<T, O>, { status: 'updated' }>[]
