import type { Field, Model } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import type { Selection } from '../prisma/selection.js'
import { selectedFields } from '../prisma/selection.js'
import type { RootScope } from '../prisma/session.js'
import type { Table } from '../sql/catalogue.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { GivenColumns } from '../sql/given-columns.js'
import { rawReadable, returning, toRecord } from '../sql/raw-record.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { LOCK_LIMIT } from '../transactions/limits.js'

/** Rows that a statement of our own inserts exactly as Prisma's `createManyAndReturn` would. */
export interface PlainInsert {
  readonly model: Model
  readonly keyFields: readonly Field[]
  /** The columns that are given; the database fills in the others. */
  readonly columns: readonly Field[]
  readonly rows: readonly Readonly<Record<string, ColumnValue>>[]
  readonly selected: readonly Field[]
}

/** `undefined`: something in it is for Prisma to judge, or to fill in. */
export function plainInsert(
  scope: RootScope,
  model: Model,
  keyNames: readonly string[],
  rows: readonly Row[],
  selection: Selection,
): PlainInsert | undefined {
  if (!scope.canBypassPrisma('createManyAndReturn') || !rawReadable(model)) return undefined
  const selected = selectedFields(selection, model)
  const keyFields = keyNames.map((name) => model.fields.get(name) as Field)
  if (!selected || !keyFields.every(isSpelledOneWay)) return undefined
  const defaults = scope.insertDefaults(model)
  const [first = {}] = rows
  const columns: Field[] = []
  const filled: Record<string, ColumnValue> = {}
  const now = new Date()
  for (const [field, fallback] of defaults) {
    if (field.kind === 'relation') continue
    if (first[field.name] !== undefined) columns.push(field)
    else if (fallback === 'unknown') return undefined
    else if (fallback !== 'nothing') {
      const value = columnValue(fallback === 'now' ? now : fallback.value, field)
      if (value === undefined) return undefined
      columns.push(field)
      filled[field.column] = value
    }
  }
  const names = Object.keys(first)
  const json: Record<string, ColumnValue>[] = []
  for (const row of rows) {
    const entries = Object.entries(row)
    if (entries.length !== names.length || !names.every((name) => name in row)) return undefined
    const values = { ...filled }
    for (const [name, value] of entries) {
      const field = model.fields.get(name)
      const stored = field && isPlain(value, field) ? columnValue(value, field) : undefined
      if (!field || stored === undefined) return undefined
      values[field.column] = stored
    }
    json.push(values)
  }
  return { model, keyFields, columns, rows: json, selected }
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
 * flight is limited to `$1` ms: the limit is set before the first row is inserted, since the rows are
 * joined to it, and holds for this statement, which is a transaction of its own. A trigger that
 * spells a key differently makes it fail, by the cast of a text to a number.
 */
export async function insertTogether(
  scope: RootScope,
  insert: PlainInsert,
  catalogued: Table,
  lockTimeout: number,
): Promise<Row[]> {
  const { model, keyFields, columns, rows, selected } = insert
  const given = GivenColumns.of(columns, catalogued)
  const keys = GivenColumns.of(keyFields, catalogued)
  const list = (alias: string) => columns.map((field) => alias + columnOf(field)).join(', ')
  const key = (alias: string) => keyFields.map((field) => `${alias}.${columnOf(field)}::text`).join(', ')
  const found = await scope.query(
    `INSERT INTO ${tableOf(model)} AS t (${list('')})
WITH bound AS MATERIALIZED (
  SELECT ${LOCK_LIMIT}
)
SELECT ${list('given.')}
FROM bound, ${given.numbered('$2', 'given', '"#"')}
ORDER BY given."#"
ON CONFLICT DO NOTHING
RETURNING ${returning(selected, 't')},
  CASE WHEN ROW(${key('t')}) NOT IN (SELECT ${key('given')} FROM ${keys.recordset('$2', 'given')})
    THEN ('another key: ' || concat(${key('t')}))::int
  END AS "#"`,
    lockTimeout,
    JSON.stringify(rows),
  )
  return found.map((row) => toRecord(row, selected))
}
