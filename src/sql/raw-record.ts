import { type Field, type Model, scalarsOf } from '../engine/data-model.js'
import { madeOnce } from '../engine/made-once.js'
import type { Row } from '../engine/session.js'
import { columnOf } from './sql.js'
import { join, raw, type SqlText } from './statement.js'

/** Column types whose values come out of raw SQL in another form than out of a model call. */
const OTHERWISE = /^(?:Time|Timetz|Real|Money|Bit|VarBit|Char|Xml|Inet|Oid)\b/

/** Whether raw SQL gives the field's value as a model call does. */
function isAlike(field: Field): boolean {
  // Of a field whose line is not understood nothing is known, nor whether it is a list.
  if (field.isList || field.fallback.kind === 'unknown') return false
  if (field.nativeType !== undefined && OTHERWISE.test(field.nativeType)) return false
  return field.kind === 'scalar' || (field.kind === 'enum' && field.enumValues !== undefined)
}

const readable = new WeakMap<Model, readonly Field[] | null>()

/** The scalar fields of a model, if raw SQL gives each of them as a model call does. */
export function rawReadable(model: Model): readonly Field[] | undefined {
  const make = () => {
    const scalars = scalarsOf(model)
    return scalars.every(isAlike) ? scalars : null
  }
  return madeOnce(readable, model, make) ?? undefined
}

/** A list of RETURNING that names each column as its field. */
export function returning(fields: readonly Field[], alias: string): SqlText {
  return join(fields.map((field) => raw(`${alias}.${columnOf(field)} AS "${field.name}"`)))
}

/** A row that raw SQL returned, as the record that a model call would have made of it. */
export function toRecord(row: Row, fields: readonly Field[]): Row {
  const record: Row = {}
  for (const field of fields) record[field.name] = toValue(row[field.name], field)
  return record
}

function toValue(value: unknown, field: Field): unknown {
  const { kind, type, isList } = field
  if (value === null || value === undefined || isList) return value
  if (kind === 'enum') return enumName(value, field)
  if (type === 'BigInt') return BigInt(String(value))
  // The column may be a numeric: of that, Prisma makes a number, too.
  if (type === 'Int' || type === 'Float') return Number(value)
  return value
}

/** The name of a value of an enum; of any other value, itself. */
export function enumName(value: unknown, { enumValues }: Pick<Field, 'enumValues'>): unknown {
  for (const [name, inDatabase] of enumValues ?? []) if (inDatabase === value) return name
  return value
}
