import type { Field } from '../engine/data-model.js'
import type { Row, Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import { compare } from '../idempotency/compare.js'
import type { Catalogue } from '../sql/catalogue.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { isRecord } from '../values/validation.js'
import type { DocumentMap, DocumentSeries } from './mapping.js'
import type { GivenNumber } from './store.js'

/** The fields of a document that a call has given. */
export interface DocumentRecord {
  readonly given: Row
  readonly fields: readonly Field[]
  /** By column, as a statement takes them. `undefined` where only an ORM can tell what is stored. */
  readonly values: Readonly<Record<string, ColumnValue>> | undefined
}

/**
 * @param mayAsk whether an ORM can be asked about a value that statements of ours do not send
 * @throws InvalidArgumentError that names the field
 */
export function readRecord(
  record: unknown,
  { model, scope, number, transactionId, value }: DocumentMap,
  mayAsk: boolean,
): DocumentRecord {
  if (!isRecord(record)) {
    throw new InvalidArgumentError('record', `must be an object with values of fields of ${model.name}.`)
  }
  const given = Object.fromEntries(Object.entries(record).filter(([, item]) => item !== undefined))
  const values: Record<string, ColumnValue | undefined> = {}
  const fields = Object.entries(given).map(([name, item]) => {
    const field = model.fields.get(name)
    const path = `record.${name}`
    if (field === undefined) throw new InvalidArgumentError(path, `is not a field of ${model.name}.`)
    if (field.kind !== 'scalar' && field.kind !== 'enum') {
      throw new InvalidArgumentError(path, `is not a scalar field of ${model.name}.`)
    }
    if (field === number || field === value) throw new InvalidArgumentError(path, 'is given by the series.')
    if (scope.includes(field)) throw new InvalidArgumentError(path, 'is given by `scope`.')
    if (field === transactionId) throw new InvalidArgumentError(path, 'is given by `transactionId`.')
    const stored = columnValue(item, field)
    if (stored === undefined && !mayAsk) {
      throw new InvalidArgumentError(path, `is not a value that ${model.name}.${name} (${field.type}) can have.`)
    }
    values[field.column] = stored
    return field
  })
  return { given, fields, values: isComplete(values) ? values : undefined }
}

function isComplete(values: Record<string, ColumnValue | undefined>): values is Record<string, ColumnValue> {
  return !Object.values(values).includes(undefined)
}

/** The key of a transaction id's document. */
export function documentKey({ document, scope }: DocumentSeries, transactionId: string): Row {
  const scoped = document.scope.map((field, i) => [field.name, inField(field, String(scope[i]?.value))])
  return { ...Object.fromEntries(scoped), [document.transactionId.name]: transactionId }
}

/** A text in the type of its field. */
function inField({ type }: Field, text: string): string | number | bigint {
  return type === 'String' ? text : type === 'Int' ? Number(text) : BigInt(text)
}

/** The row of a document that has its number. */
export function rowOf(series: DocumentSeries, given: Row, id: string, own: Pick<GivenNumber, 'value' | 'text'>): Row {
  const { number, value } = series.document
  const numberIn = (field: Field) => (field.type === 'String' ? own.text : inField(field, String(own.value)))
  return {
    ...given,
    ...documentKey(series, id),
    [number.name]: numberIn(number),
    ...(value && { [value.name]: numberIn(value) }),
  }
}

/**
 * Compares every value that a call has given, and the number, with the document as it is now.
 *
 * @throws IdempotencyMismatchError that names the fields in which they differ
 */
export function compareDocument(
  session: Session,
  document: DocumentMap,
  catalogue: Catalogue,
  { found, row }: { readonly found: Row; readonly row: Row },
): Promise<void> {
  const { model, transactionId } = document
  const match = [...model.fields.values()].filter(({ name }) => Object.hasOwn(row, name))
  const payload = { key: { [transactionId.name]: row[transactionId.name] }, keyFields: [transactionId], scalars: row }
  const compared = { catalogue, model, payload, comparison: { match, fingerprint: undefined } }
  return compare(found, compared, session)
}
