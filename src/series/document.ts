import type { Field } from '../engine/data-model.js'
import type { Row, Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import { compare } from '../idempotency/compare.js'
import type { Catalogue } from '../sql/catalogue.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { isRecord } from '../values/validation.js'
import type { DocumentMap } from './mapping.js'
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
  { model, number, transactionId, value }: DocumentMap,
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

/** The row of a document that has its number. */
export function rowOf(
  { number, transactionId, value }: DocumentMap,
  given: Row,
  id: string,
  own: Pick<GivenNumber, 'value' | 'text'>,
): Row {
  const inField = ({ type }: Field) => (type === 'String' ? own.text : type === 'Int' ? Number(own.value) : own.value)
  return {
    ...given,
    [transactionId.name]: id,
    [number.name]: inField(number),
    ...(value && { [value.name]: inField(value) }),
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
