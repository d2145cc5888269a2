import type { Row } from '../prisma/client.js'
import type { Field, Model } from '../prisma/data-model.js'
import { alikeScalars, returning, selectedFields, toRecord } from '../prisma/raw-record.js'
import { isStorable, toJsonValue } from '../prisma/row-json.js'
import type { RootScope } from '../prisma/scope.js'
import type { Selection } from '../prisma/selection.js'
import { columnOf, tableOf } from '../prisma/sql.js'
import { LOCK_LIMIT } from '../transaction/limits.js'

/** Rows that a statement of our own inserts exactly as Prisma's `createManyAndReturn` would. */
export interface PlainInsert {
  readonly model: Model
  readonly keyFields: readonly Field[]
  /** The columns that are given; the database fills in the others. */
  readonly columns: readonly Field[]
  readonly rows: readonly Readonly<Record<string, unknown>>[]
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
  if (!scope.isUnobserved('createManyAndReturn') || !alikeScalars(model)) return undefined
  const selected = selectedFields(selection, model)
  const keyFields = keyNames.map((name) => model.fields.get(name) as Field)
  if (!selected || !keyFields.every(isSpelledOneWay)) return undefined
  const defaults = scope.insertDefaults(model)
  const [first = {}] = rows
  const columns: Field[] = []
  const filled: Record<string, unknown> = {}
  const now = new Date()
  for (const [field, fallback] of defaults) {
    if (field.kind === 'relation') continue
    if (first[field.name] !== undefined) columns.push(field)
    else if (fallback === 'unknown') return undefined
    else if (fallback !== 'nothing') {
      columns.push(field)
      filled[field.column] = toJsonValue(fallback === 'now' ? now : fallback.value, field)
    }
  }
  const names = Object.keys(first)
  const json: Record<string, unknown>[] = []
  for (const row of rows) {
    const entries = Object.entries(row)
    if (entries.length !== names.length || !names.every((name) => name in row)) return undefined
    const values = { ...filled }
    for (const [name, value] of entries) {
      const field = model.fields.get(name)
      if (!field || !isPlain(value, field)) return undefined
      values[field.column] = toJsonValue(value, field)
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

/** A value in the one form of its type in which there is nothing to interpret. */
function isPlain(value: unknown, field: Field): boolean {
  if (!isStorable(value, field)) return false
  if (value === null || field.kind === 'enum') return true
  switch (field.type) {
    case 'Int':
      return typeof value === 'number'
    case 'Decimal':
      return typeof value === 'object' || /^-?\d+(?:\.\d+)?$/.test(String(value))
    case 'DateTime':
      return value instanceof Date
    case 'BigInt':
    case 'Boolean':
      return true
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
export async function insertTogether(scope: RootScope, insert: PlainInsert, lockTimeout: number): Promise<Row[]> {
  const { model, keyFields, columns, rows, selected } = insert
  const table = tableOf(model)
  const list = (alias: string) => columns.map((field) => alias + columnOf(field)).join(', ')
  const key = (alias: string) => keyFields.map((field) => `${alias}.${columnOf(field)}::text`).join(', ')
  const found = await scope.query(
    `INSERT INTO ${table} AS t (${list('')})
WITH bound AS MATERIALIZED (
  SELECT ${LOCK_LIMIT}
)
SELECT ${list('given.')}
FROM bound, jsonb_populate_recordset(NULL::${table}, $2::jsonb) WITH ORDINALITY AS given
ORDER BY given.ordinality
ON CONFLICT DO NOTHING
RETURNING ${returning(selected, 't')},
  CASE WHEN ROW(${key('t')}) NOT IN (SELECT ${key('given')} FROM jsonb_populate_recordset(NULL::${table}, $2::jsonb) AS given)
    THEN ('another key: ' || concat(${key('t')}))::int
  END AS "#"`,
    lockTimeout,
    JSON.stringify(rows),
  )
  return found.map((row) => toRecord(row, selected))
}
