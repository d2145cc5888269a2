import type { Field, Model } from '../engine/data-model.js'
import { madeOnce } from '../engine/made-once.js'
import type { RecordSession } from '../engine/records.js'
import type { Row, SqlStatement } from '../engine/session.js'
import type { Table } from '../sql/catalogue.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { GivenColumns, givenType, inColumnType } from '../sql/given-columns.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { refusal } from '../sql/refusal.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { join, param, raw, type Statement, sql, textOnce } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'

/** Rows of a model by one of its keys, which statements of our own may insert in the place of Prisma. */
export interface DirectRows {
  readonly model: Model
  readonly keyFields: readonly Field[]
  /** The fields that are given back of each row, as Prisma would. */
  readonly selected: readonly Field[]
  /** Whether they may also read the rows in the place of Prisma. */
  readonly canFind: boolean
}

/** New rows that a statement of our own inserts exactly as Prisma's `createManyAndReturn` would. */
interface DirectInsert extends DirectRows {
  /** The columns that are given; the database fills in the others. */
  readonly columns: readonly Field[]
  /** By the columns' names. */
  readonly rows: readonly ColumnValues[]
}

type ColumnValues = Record<string, ColumnValue>

/** `undefined`: something in the rows is for Prisma to judge, or to fill in, or they do not have the same fields. */
export function directInsert(
  session: RecordSession,
  direct: DirectRows,
  rows: readonly Row[],
): DirectInsert | undefined {
  const { model } = direct
  const now = new Date()
  const values: ColumnValues[] = []
  for (const row of rows) {
    const given = columnValues(row, model)
    if (!given || !fillIn(given, session, model, now)) return undefined
    values.push(given)
  }
  const [first = {}] = values
  const columns = [...model.fields.values()].filter(
    ({ kind, column }) => kind !== 'relation' && Object.hasOwn(first, column),
  )
  const isAlike = (row: ColumnValues) =>
    Object.keys(row).length === columns.length && columns.every(({ column }) => Object.hasOwn(row, column))
  return values.every(isAlike) ? { ...direct, columns, rows: values } : undefined
}

/** The values of a row, by the columns' names, if each is plain. */
function columnValues(row: Row, { fields }: Model): ColumnValues | undefined {
  const values: ColumnValues = {}
  for (const [name, given] of Object.entries(row)) {
    const field = fields.get(name)
    const value = field && columnValue(given, field)
    if (!field || value === undefined) return undefined
    values[field.column] = value
  }
  return values
}

/** Adds what Prisma puts into the columns that are not given. `false` if only Prisma can tell. */
function fillIn(values: ColumnValues, session: RecordSession, model: Model, now: Date): boolean {
  for (const [field, fallback] of session.insertDefaults(model)) {
    if (field.kind === 'relation' || Object.hasOwn(values, field.column) || fallback === 'nothing') continue
    const value = fallback === 'unknown' ? undefined : columnValue(fallback === 'now' ? now : fallback.value, field)
    if (value === undefined) return false
    values[field.column] = value
  }
  return true
}

/** The texts of statements, by the model or the table. To write one takes 70 µs of the 120 that a call of ours takes. */
const TEXTS = new WeakMap<object, Map<string, string>>()

function textFor(owner: object, rows: DirectRows & Partial<DirectInsert>, write: () => SqlStatement): string {
  const key = JSON.stringify(
    [rows.keyFields, rows.columns, rows.selected].map((fields) => fields?.map(({ name }) => name)),
  )
  return textOnce(
    madeOnce(TEXTS, owner, () => new Map()),
    key,
    write,
  )
}

/** Inserts one row, unless a unique key of it is taken. It waits for a duplicate in flight. */
export async function insertRow(session: RecordSession, insert: DirectInsert): Promise<Row | undefined> {
  const { model, columns, rows, selected } = insert
  const values = columns.map(({ column }) => rows[0]?.[column])
  const text = textFor(
    model,
    insert,
    () =>
      sql`INSERT INTO ${tableOf(model)} AS t (${join(columns.map(columnOf))}) VALUES (${join(values.map((value) => param(value)))}) ON CONFLICT DO NOTHING RETURNING ${returning(selected, 't')}`,
  )
  const [record] = await session.rows({ text, values })
  return record && toRecord(record, selected)
}

/** A key whose text in the database is the one that was given: no citext, no padding. A uuid has one text, too. */
export function isSpelledOneWay({ type, nativeType = 'Text' }: Field): boolean {
  return type === 'Int' || type === 'BigInt' || (type === 'String' && (nativeType === 'Text' || nativeType === 'Uuid'))
}

/**
 * One INSERT … ON CONFLICT DO NOTHING RETURNING, in the order of the rows. A wait for a duplicate in
 * flight is limited: the limit is set before the first row is inserted, since the rows are
 * joined to it, and holds for this statement, which is a transaction of its own. A trigger that
 * spells a key differently makes it fail.
 */
export async function insertRows(
  session: RecordSession,
  insert: DirectInsert,
  table: Table,
  lockTimeout: number,
): Promise<Row[]> {
  const text = textFor(table, insert, () => insertStatement(insert, table, lockTimeout))
  const found = await session.rows({ text, values: [JSON.stringify(insert.rows)] })
  return found.map((row) => toRecord(row, insert.selected))
}

function insertStatement(
  { model, keyFields, columns, selected }: DirectInsert,
  table: Table,
  lockTimeout: number,
): Statement {
  const given = GivenColumns.of(columns, table)
  const keys = GivenColumns.of(keyFields, table)
  const json = param('')
  const key = (alias: string) => join(keyFields.map((field) => raw(`${alias}.${columnOf(field)}::text`)))
  return sql`INSERT INTO ${tableOf(model)} AS t (${join(columns.map(columnOf))})
WITH bound AS MATERIALIZED (
  SELECT ${raw(lockLimit(lockTimeout))}
)
SELECT ${join(columns.map((field) => inColumnType(`given.${columnOf(field)}`, field, table)))}
FROM bound, ${given.numbered(json, 'given', '"#"')}
ORDER BY given."#"
ON CONFLICT DO NOTHING
RETURNING ${returning(selected, 't')},
  CASE WHEN ROW(${key('t')}) NOT IN (SELECT ${key('given')} FROM ${keys.recordset(json, 'given')})
    THEN ${refusal('another key: ', raw(`concat(${key('t')})`))}
  END AS "#"`
}

/**
 * The rows of these keys, in their order. Each key has a subquery of its own, which is planned by the index, also
 * for a table that has never been analyzed; a join would be planned for an unknown number of keys.
 *
 * Of a table on shards, each key has a statement of its own, in which a constant tells Citus the shard.
 */
export async function findRows(
  session: RecordSession,
  direct: DirectRows,
  keys: readonly Row[],
  table: Table,
): Promise<(Row | undefined)[]> {
  const { keyFields, selected } = direct
  const shard = keyFields.find(({ column }) => column === table.shardedBy)
  if (shard && keys.length > 1) {
    const found: (Row | undefined)[] = []
    for (const key of keys) found.push(...(await findRows(session, direct, [key], table)))
    return found
  }
  const values: unknown[] = keyFields.map((field) => keys.map((key) => columnValue(key[field.name], field)))
  if (shard) values.push(columnValue(keys[0]?.[shard.name], shard))
  const text = textFor(table, direct, () => findStatement(direct, table, shard))
  const found = await session.rows({ text, values })
  const rows = new Map(found.map((row) => [Number(row['#']), toRecord(row, selected)]))
  return keys.map((_, i) => rows.get(i + 1))
}

function findStatement({ model, keyFields, selected }: DirectRows, table: Table, shard: Field | undefined): Statement {
  const lists = keyFields.map((field) => param([], `${givenType(field, table)}[]`))
  const isRow = keyFields.map((field) => raw(`t.${columnOf(field)} = given.${columnOf(field)}`))
  const isOnShard = shard && sql`t.${columnOf(shard)} = ${param('', givenType(shard, table))}`
  return sql`SELECT given."#"::int AS "#", t.*
FROM unnest(${join(lists)}) WITH ORDINALITY AS given(${join(keyFields.map(columnOf))}, "#"),
LATERAL (
  SELECT ${returning(selected, 't')}
  FROM ${tableOf(model)} AS t
  WHERE ${join([...isRow, isOnShard], ' AND ')}
  LIMIT 1
) AS t`
}
