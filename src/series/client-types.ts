import type { Row } from '../engine/session.js'
import type { RowInputOf, ScalarsOf } from '../mapping/types.js'

/** The series that have a document, by their names, with the mapping of it. */
type Mapped<O> = O extends { readonly series: infer S }
  ? {
      [K in keyof S as S[K] extends { readonly document: object } ? K : never]: S[K] extends {
        readonly document: infer D
      }
        ? D
        : never
    }
  : Record<never, never>

/** The name that a mapping gives a field, or its default. */
type Named<D, K extends string, Default> = D extends { readonly [P in K]: infer N extends string } ? N : Default

type ModelOf<D> = Named<D, 'model', never>

/** The fields that the series itself fills in. */
type OwnField<D> = Named<D, 'number', 'number'> | Named<D, 'transactionId', 'transactionId'> | Named<D, 'value', never>

/*
 * A row of the client's model is inferred first. Without that, a program's declarations name these types with all of C,
 * which is the client, and are too long for the compiler to write.
 */
type Input<C, D> = RowInputOf<C, ModelOf<D>> extends infer R ? Omit<R, OwnField<D>> : never
type RecordOf<C, D> = ScalarsOf<C, ModelOf<D>> extends infer R ? R : never

/** The input and the record of `create`, for each series that has a document. */
export type DocumentsOf<C, O> = {
  [K in keyof Mapped<O>]: { input: Input<C, Mapped<O>[K]>; record: RecordOf<C, Mapped<O>[K]> }
}

/** The same on a pool: a record is a row, by the names of its fields. */
export type RowDocumentsOf<O> = { [K in keyof Mapped<O>]: { input: Row; record: Row } }
