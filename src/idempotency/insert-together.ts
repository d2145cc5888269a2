import type { Field, Model } from '../engine/data-model.js'
import type { RootScope } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { type Selection, selectedFields } from '../prisma/selection.js'
import type { Table } from '../sql/catalogue.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { GivenColumns } from '../sql/given-columns.js'
import { rawReadable, returning, toRecord } from '../sql/raw-record.js'
import { refusal } from '../sql/refusal.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { join, param, raw, sql } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'

/** Rows of one model, with the same fields, and what is to be given back of each. */
interface RowsToInsert {
  readonly model: Model
  readonly keyFields: readonly Field[]
  readonly rows: readonly Row[]
  readonly selection: Selection
}

/** Rows that a statement of our own inserts exactly as Prisma's `createManyAndReturn` would. */
interface PlainInsert {
  readonly model: Model
  readonly keyFields: readonly Field[]
  /** The columns that are given; the database fills in the others. */
  readonly columns: readonly Field[]
  readonly rows: readonly Readonly<Record<string, ColumnValue>>[]
  readonly selected: readonly Field[]
}

/** `undefined`: something in it is for Prisma to judge, or to fill in. */
export function plainInsert(root: RootScope, insert: RowsToInsert): PlainInsert | undefined {
  const { model, keyFields, rows, selection } = insert
  if (!root.canBypassPrisma('createManyAndReturn') || !rawReadable(model)) return undefined
  const selected = selectedFields(selection, model)
  const [first] = rows
  if (!selected || !first || !keyFields.every(isSpelledOneWay)) return undefined
  const filled = filledIn(root, model, first)
  const names = Object.keys(first)
  const values = rows.map((row) => plainRow(row, names, model))
  if (!filled || !values.every((row) => row !== undefined)) return undefined
  const columns = [...model.fields.values()].filter(({ name, column }) => first[name] !== undefined || column in filled)
  return { model, keyFields, columns, rows: values.map((row) => ({ ...filled, ...row })), selected }
}

/** What Prisma puts into the columns that are not given, by the columns' names. `undefined` if only Prisma can tell. */
function filledIn(root: RootScope, model: Model, given: Row): Readonly<Record<string, ColumnValue>> | undefined {
  const filled: Record<string, ColumnValue> = {}
  const now = new Date()
  for (const [field, fallback] of root.insertDefaults(model)) {
    if (field.kind === 'relation' || given[field.name] !== undefined || fallback === 'nothing') continue
    const value = fallback === 'unknown' ? undefined : columnValue(fallback === 'now' ? now : fallback.value, field)
    if (value === undefined) return undefined
    filled[field.column] = value
  }
  return filled
}

/** The values of a row, by the columns' names, if it has just these fields and each is plain. */
function plainRow(row: Row, names: readonly string[], model: Model): Record<string, ColumnValue> | undefined {
  const entries = Object.entries(row)
  if (entries.length !== names.length || !names.every((name) => name in row)) return undefined
  const values: Record<string, ColumnValue> = {}
  for (const [name, value] of entries) {
    const field = model.fields.get(name)
    const stored = field && isPlain(value, field) ? columnValue(value, field) : undefined
    if (!field || stored === undefined) return undefined
    values[field.column] = stored
  }
  return values
}

/** A key whose text in the database is the one that was given: no citext, no padding, no upper case made lower. */
function isSpelledOneWay({ type, nativeType }: Field): boolean {
  return (
    (type === 'String' && (nativeType === undefined || nativeType === 'Text')) || type === 'Int' || type === 'BigInt'
  )
}

/** A value of a type, and in a form of it, that the batch takes. */
function isPlain(value: unknown, field: Field): boolean {
  if (value === null || field.kind === 'enum') return true
  switch (field.type) {
    case 'Int':
    case 'Decimal':
    case 'Boolean':
      return true
    case 'BigInt':
      return typeof value !== 'string'
    case 'DateTime':
      return value instanceof Date
    case 'String':
      return field.nativeType === undefined || field.nativeType === 'Text' || field.nativeType === 'Uuid'
    default:
      return false
  }
}

/**
 * One INSERT … ON CONFLICT DO NOTHING RETURNING, in the order of the rows. A wait for a duplicate in
 * flight is limited: the limit is set before the first row is inserted, since the rows are
 * joined to it, and holds for this statement, which is a transaction of its own. A trigger that
 * spells a key differently makes it fail.
 */
export async function insertTogether(
  root: RootScope,
  { model, keyFields, columns, rows, selected }: PlainInsert,
  table: Table,
  lockTimeout: number,
): Promise<Row[]> {
  const given = GivenColumns.of(columns, table)
  const keys = GivenColumns.of(keyFields, table)
  const json = param(JSON.stringify(rows))
  const list = (alias: string) => join(columns.map((field) => raw(alias + columnOf(field))))
  const key = (alias: string) => join(keyFields.map((field) => raw(`${alias}.${columnOf(field)}::text`)))
  const found = await root.rows(sql`INSERT INTO ${tableOf(model)} AS t (${list('')})
WITH bound AS MATERIALIZED (
  SELECT ${raw(lockLimit(lockTimeout))}
)
SELECT ${list('given.')}
FROM bound, ${given.numbered(json, 'given', '"#"')}
ORDER BY given."#"
ON CONFLICT DO NOTHING
RETURNING ${raw(returning(selected, 't'))},
  CASE WHEN ROW(${key('t')}) NOT IN (SELECT ${key('given')} FROM ${keys.recordset(json, 'given')})
    THEN ${refusal('another key: ', raw(`concat(${key('t')})`))}
  END AS "#"`)
  return found.map((row) => toRecord(row, selected))
}
