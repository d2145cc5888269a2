import type { Field } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import type { Table } from '../sql/catalogue.js'
import { GivenColumns, givenType, inColumnType } from '../sql/given-columns.js'
import { refusal, refusalOf } from '../sql/refusal.js'
import { columnOf, quoted, tableOf } from '../sql/sql.js'
import { join, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import type { Operation } from './direct-data.js'
import type { Item } from './update-many-items.js'
import type { VersionedModel } from './versioned-models.js'

/** A change of a column in some rows of the batch: `v0` is the value, and `w0` whether the row is changed so. */
interface ColumnWrite {
  readonly field: Field
  readonly operation: Operation
  readonly isOfAll: boolean
}

interface Batch {
  readonly versioned: VersionedModel
  readonly table: Table
  /** The columns in whose order rows are locked. */
  readonly order: readonly string[]
  readonly mode: 'all' | 'each'
}

/**
 * The rows are locked first, in the order of the lock key, so that overlapping batches queue up
 * instead of deadlocking. Sorting must be by plain columns in a sub-select of its own: locks are
 * taken in the order in which its rows come out (PostgreSQL manual, SELECT, "The Locking Clause").
 * A lock that had to wait returns the row as it is now, so `locked` has the true version even
 * where the statement's snapshot is older; the UPDATE then follows the row to that same state.
 *
 * Two faults are found only after the write: two spellings of one key, and in mode `all` a row that a trigger
 * kept from being written. Then the statement takes itself back.
 */
export function updateManyStatement(
  { versioned, table, order, mode: given }: Batch,
  items: readonly Item[],
): Statement {
  const { model, version } = versioned
  const fields = items[0]?.key.parts.map(({ field }) => field) ?? []
  const writes = writesOf(items)
  const values = new GivenColumns([
    ['expected', 'bigint'],
    ...fields.map((field, i) => [`k${i}`, givenType(field, table)] as const),
    ...writes.map(({ field }, i) => [`v${i}`, givenType(field, table)] as const),
    ...writes.map((_, i) => [`w${i}`, 'boolean'] as const),
  ])
  const name = tableOf(model)
  const rowKey = order.map(quoted)
  const key = fields.map(columnOf)
  const actual = columnOf(version)
  const mode = param(given, 'text')
  const isRow = (alias: string) => each(key, (column, i) => `${alias}.${column} = item.k${i}`, ' AND ')
  // On shards all rows are on one, of which Citus learns by a constant.
  const shard = items[0]?.key.parts.find(({ field }) => field.column === table.shardedBy)
  const isOnShard = shard && sql` AND t.${columnOf(shard.field)} = ${param(shard.value, givenType(shard.field, table))}`
  return sql`WITH item AS MATERIALIZED (
  SELECT *
  FROM ${values.numbered(param(JSON.stringify(items.map((item) => toJson(item, writes)))), 'i', 'position')}
), target AS MATERIALIZED (
  SELECT ${list(rowKey, 't')}
  FROM item, ${name} AS t
  WHERE ${isRow('t')}${isOnShard}
), locked AS MATERIALIZED (
  SELECT ${list([...new Set([...rowKey, ...key, actual])], 't')}
  FROM ${name} AS t
  WHERE (${list(rowKey, 't')}) IN (SELECT ${list(rowKey, 'target')} FROM target)${isOnShard}
  ORDER BY ${list(rowKey, 't')}
  FOR NO KEY UPDATE OF t
), verdict AS MATERIALIZED (
  SELECT item.*, ${each(rowKey, (column, i) => `l.${column} AS pk${i}`)},
    l.${actual} AS actual, coalesce(l.${actual} = item.expected, false) AS is_fresh,
    count(*) OVER (PARTITION BY item.position) AS matches,
    min(item.position) OVER same_row AS first, max(item.position) OVER same_row AS last
  FROM item
  LEFT JOIN locked AS l ON ${isRow('l')}
  WINDOW same_row AS (PARTITION BY ${list(rowKey, 'l')})
), written AS (
  UPDATE ${name} AS t
  SET ${assignments(writes, version, table)}
  FROM verdict AS v
  WHERE ${each(rowKey, (column, i) => `t.${column} = v.pk${i}`, ' AND ')} AND v.is_fresh${isOnShard}
    AND (${mode} = 'each' OR NOT EXISTS (SELECT FROM verdict WHERE NOT is_fresh))
  RETURNING v.position, t.${actual} AS version
)
SELECT v.actual, w.version,
  CASE
    WHEN v.matches > 1 THEN ${refusal('ambiguous:', POSITION)}
    WHEN v.actual IS NOT NULL AND v.first < v.last THEN ${refusal('twin:', raw("v.last || ':' || v.first"))}
    WHEN ${mode} = 'all' AND w.version IS NULL AND NOT EXISTS (SELECT FROM verdict WHERE NOT is_fresh)
      THEN ${refusal('suppressed:', POSITION)}
  END AS refusal
FROM verdict AS v
LEFT JOIN written AS w USING (position)
ORDER BY v.position`
}

const POSITION = raw('v.position')

/** Why the statement took itself back, and for which row, by its number from 0 on. */
export function refusedRow(error: unknown) {
  const [reason, position, first] = refusalOf(error)?.split(':') ?? []
  return reason === undefined ? undefined : { reason, index: Number(position) - 1, first: Number(first) - 1 }
}

function writesOf(items: readonly Item[]): ColumnWrite[] {
  const counts = new Map<Field, Map<Operation, number>>()
  for (const { operations } of items) {
    for (const [field, { operation }] of operations) {
      const ofField = counts.get(field) ?? new Map<Operation, number>()
      counts.set(field, ofField.set(operation, (ofField.get(operation) ?? 0) + 1))
    }
  }
  return [...counts].flatMap(([field, ofField]) =>
    Array.from(ofField, ([operation, count]) => ({ field, operation, isOfAll: count === items.length })),
  )
}

/** `SET` for every column that some row of the batch writes; the other rows keep what they have. */
function assignments(writes: readonly ColumnWrite[], version: Field, table: Table): SqlText {
  const columns = new Map<SqlText, string[]>()
  writes.forEach(({ field, operation, isOfAll }, i) => {
    const column = columnOf(field)
    const value = inColumnType(`v.v${i}`, field, table)
    const written = operation === 'set' ? value : `t.${column} ${operation === 'increment' ? '+' : '-'} ${value}`
    columns.set(column, [...(columns.get(column) ?? []), isOfAll ? written : `WHEN v.w${i} THEN ${written}`])
  })
  const all = Array.from(columns, ([column, cases]) => {
    const [first = ''] = cases
    return `${column} = ${first.startsWith('WHEN ') ? `CASE ${cases.join(' ')} ELSE t.${column} END` : first}`
  })
  return raw([...all, `${columnOf(version)} = t.${columnOf(version)} + 1`].join(',\n    '))
}

function toJson({ key, expected, operations }: Item, writes: readonly ColumnWrite[]): Row {
  const json: Row = { expected: String(expected) }
  key.parts.forEach(({ value }, i) => {
    json[`k${i}`] = value
  })
  writes.forEach(({ field, operation, isOfAll }, i) => {
    const own = operations.get(field)
    if (own?.operation !== operation) return
    json[`v${i}`] = own.stored
    if (!isOfAll) json[`w${i}`] = true
  })
  return json
}

function list(columns: readonly SqlText[], alias: string): SqlText {
  return each(columns, (column) => `${alias}.${column}`)
}

function each(columns: readonly SqlText[], text: (column: SqlText, i: number) => string, separator?: string): SqlText {
  return join(
    columns.map((column, i) => raw(text(column, i))),
    separator,
  )
}
