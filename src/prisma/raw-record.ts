import { columnOf } from '../sql/sql.js'
import type { Row } from './client.js'
import type { Field, Model } from './data-model.js'
import type { Selection } from './selection.js'

/** Column types whose values come out of raw SQL in another form than out of a model call. */
const OTHERWISE = /^(?:Time|Timetz|Real|Money|Bit|VarBit|Char|Xml|Inet|Oid)\b/

/** Whether raw SQL gives the field's value as a model call does. */
function isAlike(field: Field): boolean {
  // Of a field whose line is not understood nothing is known, nor whether it is a list.
  if (field.isList || field.fallback.kind === 'unknown') return false
  if (field.nativeType !== undefined && OTHERWISE.test(field.nativeType)) return false
  return field.kind === 'scalar' || (field.kind === 'enum' && field.enumValues !== undefined)
}

/** The scalar fields of a model, if raw SQL gives each of them as a model call does. */
export function rawReadable({ fields }: Model): readonly Field[] | undefined {
  const scalars = [...fields.values()].filter(({ kind }) => kind === 'scalar' || kind === 'enum')
  return scalars.every(isAlike) ? scalars : undefined
}

/** The fields that a selection asks for, if they are scalars alone and it is written as Prisma wants it. */
export function selectedFields(selection: Selection, model: Model): readonly Field[] | undefined {
  const { select, include, omit } = selection
  if (include !== undefined || (select !== undefined && omit !== undefined)) return undefined
  const choices = Object.entries(select ?? omit ?? {})
  const isPlain = choices.every(
    ([name, value]) => typeof value === 'boolean' && /^(?:scalar|enum)$/.test(model.fields.get(name)?.kind ?? ''),
  )
  if (!isPlain || select === null || omit === null) return undefined
  const isSelected = ({ name }: Field) => (select ? select[name] === true : !(omit?.[name] ?? model.omitted.has(name)))
  const scalars = [...model.fields.values()].filter(({ kind }) => kind === 'scalar' || kind === 'enum')
  const selected = scalars.filter(isSelected)
  return selected.length > 0 ? selected : undefined
}

/** A list of RETURNING that names each column as its field. */
export function returning(fields: readonly Field[], alias: string): string {
  return fields.map((field) => `${alias}.${columnOf(field)} AS "${field.name}"`).join(', ')
}

/** A row that raw SQL returned, as the record that a model call would have made of it. */
export function toRecord(row: Row, fields: readonly Field[]): Row {
  return Object.fromEntries(fields.map((field) => [field.name, toValue(row[field.name], field)]))
}

function toValue(value: unknown, { kind, type, enumValues }: Field): unknown {
  if (value === null || value === undefined) return value
  if (kind === 'enum') return nameOf(value, enumValues)
  if (type === 'BigInt') return BigInt(value as bigint)
  if (type === 'Int') return Number(value)
  return value
}

function nameOf(value: unknown, enumValues: ReadonlyMap<string, string> | undefined): unknown {
  for (const [name, inDatabase] of enumValues ?? []) if (inDatabase === value) return name
  return value
}
