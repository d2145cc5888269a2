import type { RowInputOf, ScalarsOf } from '../mapping/types.js'
import type { MappedDocuments } from './documents-of.js'
import type { SeriesDocuments } from './types.js'

/** The name that a mapping gives a field, or its default. */
type Named<D, K extends string, Default> = D extends { readonly [P in K]: infer N extends string } ? N : Default

/** The model of the counters. */
export type CounterOf<O> = O extends { readonly counter: infer M } ? Named<M, 'model', 'Series'> : 'Series'

type ScopeField<O> = O extends { readonly scope: readonly (infer F)[] } ? F : never

type ModelOf<D> = Named<D, 'model', never>

/** The fields that the series itself fills in. */
type OwnField<O, D> =
  | Extract<ScopeField<O>, string>
  | Named<D, 'number', 'number'>
  | Named<D, 'transactionId', 'transactionId'>
  | Named<D, 'value', never>

/*
 * A row of the client's model is inferred first. Without that, a program's declarations name these types with all of C,
 * which is the client, and are too long for the compiler to write.
 */
type Input<C, O, D> = RowInputOf<C, ModelOf<D>> extends infer R ? Omit<R, OwnField<O, D>> : never
type RecordOf<C, D> = ScalarsOf<C, ModelOf<D>> extends infer R ? R : never

/** The input and the record of `create`, for each series that has a document. */
export type DocumentsOf<C, O> = {
  [K in keyof MappedDocuments<O>]: {
    input: Input<C, O, MappedDocuments<O>[K]>
    record: RecordOf<C, MappedDocuments<O>[K]>
  }
} extends infer D extends SeriesDocuments
  ? D
  : never
