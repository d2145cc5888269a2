import type { RowInputOf, ScalarsOf, ScopeOf } from '../mapping/types.js'
import type { DEFAULT_HISTORY_MODEL, DEFAULT_SERIAL_MODEL } from './schema.js'

/** A name in the mapping of the serials, or its default. */
type Mapped<O, K extends string, D> = O extends { readonly serial: { readonly [P in K]: infer N extends string } }
  ? N
  : D

type ModelName<O> = Mapped<O, 'model', typeof DEFAULT_SERIAL_MODEL>
type NumberField<O> = Mapped<O, 'number', 'number'>
type OwnerField<O> = Mapped<O, 'transactionId', 'transactionId'>
type VersionField<O> = Mapped<O, 'version', 'version'>
type ChangesField<O> = O extends { readonly history: object } ? Mapped<O, 'changes', 'changes'> : never
type StateField<O> = O extends { readonly serial: { readonly state: infer S } }
  ? S extends { readonly field: infer N extends string }
    ? N
    : 'state'
  : never
/** The fields that no call sets. */
type KeptField<O> = NumberField<O> | OwnerField<O> | VersionField<O> | ChangesField<O>
type ScopeField<O> = O extends { readonly scope: readonly (infer F)[] } ? F & string : never

type Row<C, O> = RowInputOf<C, ModelName<O>>

/** A record of the model of the serials, with all its scalar fields. */
export type SerialOf<C, O> = ScalarsOf<C, ModelName<O>>

/*
 * Below, a row of the client's model is inferred first. Without that, a program's declarations name
 * these types with all of C, which is the client, and are too long for the compiler to write.
 */

/** Equality on scalar fields of a serial. */
export type SerialWhere<C, O> = Row<C, O> extends infer R ? Partial<Omit<R, OwnerField<O> | ScopeField<O>>> : never

/** The values that `allocate` may set. */
export type SerialData<C, O> =
  Row<C, O> extends infer R ? Partial<Omit<R, KeptField<O> | StateField<O> | ScopeField<O>>> : never

/** The values of a new serial, but for its number and its owner. */
export type NewSerial<C, O> = Row<C, O> extends infer R ? Omit<R, KeptField<O> | ScopeField<O>> : never

/** The values of the fields that keep companies or tenants apart; `never` without the option `scope`. */
export type SerialScope<C, O> = ScopeOf<C, ModelName<O>, O>

/** The values that `release` may set. */
export type ReleasedData<C, O> = Row<C, O> extends infer R ? Partial<Omit<R, KeptField<O> | ScopeField<O>>> : never

/** A record of the history; `never` without the option `history`. */
export type SerialChange<C, O> = O extends { readonly history: infer H }
  ? ScalarsOf<C, H extends { readonly model: infer M } ? M : typeof DEFAULT_HISTORY_MODEL>
  : never

/** The unique key of a serial, but for its scope. */
export type SerialKey<C, O> = SerialWhere<C, O> & { [K in NumberField<O>]: string }
