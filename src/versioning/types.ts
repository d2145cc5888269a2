import type { VersionValue } from '../errors/index.js'
import type { Args, Payload, RecordOf, Scalars, UniqueWhere } from '../prisma/types.js'
import type { CallOptions } from '../retry/call-options.js'
import type { FenceOption } from '../transactions/fence.js'

/*
 * T is the type of a model's delegate, such as that of `db.product`; O is the type of the options
 * that `concurrency()` was given. Everything else is asked of Prisma's own types.
 */

/** Of the options, all that the types need: they stand in a program's declarations for every model. */
export type VersioningOf<O> = O extends { readonly transitions: infer X }
  ? VersionIn<O> & { readonly transitions: X }
  : VersionIn<O>

type VersionIn<O> = O extends { readonly version: infer V } ? { readonly version: V } : Record<never, never>

type DefaultField<T, O> = O extends { readonly version: { readonly field: infer F extends string } } ? F : UsualField<T>

/**
 * A field `version` that nobody has named, if it cannot well be anything else: one that is part of a
 * unique key or a foreign key, or that whoever creates a row must give, may be the number of a document's versions.
 */
type UsualField<T> = 'version' extends keyof Scalars<T>
  ? [KeyWithVersion<UniqueWhere<T>> | ForeignVersion<Args<T, 'update'>['data']>] extends [never]
    ? GivenToCreate<T> extends { version: VersionValue }
      ? never
      : 'version'
    : never
  : never

/** A filter may be in the place of a value, and a filter of a relation has no field that must be there. */
type KeyWithVersion<W> = {
  [K in keyof W]-?: NonNullable<W[K]> extends (K extends 'version' ? VersionValue : { version: VersionValue })
    ? K
    : never
}[keyof W]

/** Of the two forms of `data`, the one with relations has no fields of foreign keys. */
type ForeignVersion<D> = D extends { version?: infer V } ? ([V] extends [undefined] ? 'version' : never) : never

type GivenToCreate<T> = Args<T, 'createMany'> extends { data: infer D } ? Exclude<D, readonly unknown[]> : unknown

type ModelField<T, O, Name> = O extends { readonly version: { readonly models: infer M } }
  ? Name extends keyof M
    ? M[Name] extends false
      ? never
      : M[Name] extends { readonly field: infer F extends string }
        ? F
        : DefaultField<T, O>
    : DefaultField<T, O>
  : DefaultField<T, O>

type Candidate<T, O> = ModelField<T, O, Payload<T>['name']> & keyof Scalars<T>

/** The name of the model's version column; never, if it has none. */
export type VersionField<T, O> = {
  [K in Candidate<T, O>]: Scalars<T>[K] extends VersionValue ? K : never
}[Candidate<T, O>]

/** `number` for an `Int` column, `bigint` for a `BigInt` column. */
export type VersionOf<T, O> = Scalars<T>[VersionField<T, O>]

/** The version that `where` must hold. A model without a version column has the reason instead, which nothing fits. */
export type WhereVersion<T, O> = [VersionField<T, O>] extends [never]
  ? { version: NotVersioned<Payload<T>['name'] & string> }
  : { [K in VersionField<T, O>]: VersionOf<T, O> }

type NotVersioned<Model extends string> =
  `${Model} has no version column: it needs an Int or BigInt, such as version Int @default(0), that is no part of a key, or is named in concurrency({ version })`

/**
 * With `data` as an object, `where` must hold the version. With a function it need not; but where
 * it does, the version must not be undefined.
 */
export type VersionFor<T, O, A> = [VersionField<T, O>] extends [never]
  ? WhereVersion<T, O>
  : A extends { readonly where: { readonly [K in VersionField<T, O>]: unknown } }
    ? WhereVersion<T, O>
    : A extends { readonly data: infer D extends object }
      ? [D] extends [(...args: never) => unknown]
        ? unknown
        : WhereVersion<T, O>
      : unknown

/** Prisma's own `data`, without the version. The symbol keeps a function from passing as an object. */
export type Data<T, O> = Args<T, 'update'>['data'] & { [K in VersionField<T, O>]?: never } & {
  [Symbol.hasInstance]?: never
}

/**
 * The data that a function may return, where R is the type of what it does return. TypeScript does not look
 * for unknown properties in there, as it does in an object that is given directly, so R is made to
 * have none.
 *
 * The last branch is never taken. But while TypeScript infers R, it does not know T yet, and the
 * branch is all that it has to go by: it makes it keep literals, such as the values of an enum.
 */
export type Returned<T, O, R> =
  T extends WithUpdate<infer D>
    ? (D & { [K in VersionField<T, O>]?: never } & { [K in Exclude<keyof R, keyof D>]: never }) | undefined
    : Literals

interface WithUpdate<D extends object> {
  readonly [K: symbol]: { types: { operations: { update: { args: { data: D } } } } }
}
interface Literals {
  [name: string]: '' | Literals
}

/** Gets the current record, with all its scalars, and the number of the attempt (1, 2, …). */
export type Change<T, O, R = Data<T, O> | undefined> = (current: Scalars<T>, attempt: number) => R | Promise<R>

/** A is the type of the arguments as they are given, R that of what `data` as a function returns. */
export type UpdateVersionedArgs<T, O, A, R> = {
  /** The record, by a unique key; beside `data` as an object, also the version that you have read. */
  where: UniqueWhere<T> & VersionFor<T, O, A>
  /** The data to write, without the version; or a function of the current record that returns it. */
  data: Data<T, O> | Change<T, O, R>
} & CallOptions &
  FenceOption

export type DeleteVersionedArgs<T, O> = {
  /** The record, by a unique key, and the version that you have read. */
  where: UniqueWhere<T> & WhereVersion<T, O>
} & CallOptions &
  FenceOption

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

export type ScalarData<T, O> = {
  [K in keyof Scalars<T> & keyof Args<T, 'updateMany'>['data'] as K extends VersionField<T, O> ? never : K]?:
    | ScalarValue<Scalars<T>[K]>
    | { set: ScalarValue<Scalars<T>[K]> }
    | ([NonNullable<Scalars<T>[K]>] extends [Numeric]
        ?
            | { increment: ScalarValue<NonNullable<Scalars<T>[K]>> }
            | { decrement: ScalarValue<NonNullable<Scalars<T>[K]>> }
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
  /** The record, by a unique key, and the version that you have read. */
  where: UniqueWhere<T> & WhereVersion<T, O>
  /** The data to write, without the version: plain values, `set`, `increment` and `decrement`. */
  data: ScalarData<T, O>
}

/** The verdict on one row of `updateManyVersioned`. */
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
