import type { Row } from '../engine/session.js'
import type { NameOf } from './types.js'

/** The series that have a document, by their names, with the mappings of them. */
export type MappedDocuments<O> = O extends { readonly series: infer S }
  ? {
      [K in keyof S as S[K] extends { readonly document: object } ? NameOf<K & string> : never]: S[K] extends {
        readonly document: infer D
      }
        ? D
        : never
    }
  : Record<never, never>

/** The input and the record of `create` on a pool: a record is a row, by the names of its fields. */
export type RowDocumentsOf<O> = { [K in keyof MappedDocuments<O>]: { input: Row; record: Row } }
