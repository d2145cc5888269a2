import type { Field } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import type { Table } from '../sql/catalogue.js'
import type { ColumnValue } from '../sql/column-value.js'
import { GivenColumns, givenType, inColumnType } from '../sql/given-columns.js'
import { refusal, refusalOf } from '../sql/refusal.js'
import { columnOf, quoted, tableOf } from '../sql/sql.js'
import { raw } from '../sql/statement.js'
import type { RowKey } from './lock-row.js'
import type { Single } from './one-by-one.js'
import type { VersionedModel } from './versioned-models.js'

export type Operation = 'set' | 'increment' | 'decrement'

/** A row of the batch, checked, and its values as the statement takes them. */
export interface Item extends Single {
  readonly key: RowKey
  readonly operations: ReadonlyMap<Field, { readonly operation: Operation; readonly value: ColumnValue }>
}

const POSITION = raw('v.position')

/** What some row of the batch does to a column; `v0` is the value, and `w0` whether the row does it. */
interface Write {
  readonly field: Field
  readonly operation: Operation
  readonly isOfAll: boolean
}

/**
 * The rows are locked first, in the order of the lock key, so that overlapping batches queue up
 * instead of deadlocking. Sorting must be by plain columns in a sub-select of its own: locks are
 * taken in the order in which its rows come out (PostgreSQL manual, SELECT, "The Locking Clause").
 * A lock that had to wait returns the row as it is now, so `locked` has the true version even
 * where the statement's snapshot is older; the UPDATE then follows the row to that same state.
 *
 * What must not stay written is found out when it has been: two spellings of one key, or in mode
 * `all` a row that a trigger kept from being written. A text that is cast to a number is the way
 * of a single statement to fail then, and to say why; `refusalOf` reads it.
 *
 * Parameters: the rows, and the mode.
 */
export function updateManySql(
  { model, version }: VersionedModel,
  items: readonly Item[],
  order: readonly string[],
  table: Table,
): { readonly sql: string; readonly json: string } {
  const { fields } = (items[0] as Item).key
  const writes = writesOf(items)
  const given = new GivenColumns([
    ['expected', 'bigint'],
    ...fields.map((field, i) => [`k${i}`, givenType(field, table)] as const),
    ...writes.map(({ field }, i) => [`v${i}`, givenType(field, table)] as const),
    ...writes.map((_, i) => [`w${i}`, 'boolean'] as const),
  ])
  const rowKey = order.map(quoted)
  const key = fields.map(columnOf)
  const versionColumn = columnOf(version)
  const lockedColumns = [...new Set([...rowKey, ...key, versionColumn])]
  const isRow = (alias: string) => key.map((column, i) => `${alias}.${column} = item.k${i}`).join(' AND ')
  const sql = `WITH item AS MATERIALIZED (
  SELECT *
  FROM ${given.numbered('$1', 'i', 'position')}
), target AS MATERIALIZED (
  SELECT ${list(rowKey, 't')}
  FROM item, ${tableOf(model)} AS t
  WHERE ${isRow('t')}
), locked AS MATERIALIZED (
  SELECT ${list(lockedColumns, 't')}
  FROM ${tableOf(model)} AS t
  WHERE (${list(rowKey, 't')}) IN (SELECT ${list(rowKey, 'target')} FROM target)
  ORDER BY ${list(rowKey, 't')}
  FOR NO KEY UPDATE OF t
), verdict AS MATERIALIZED (
  SELECT item.*, ${rowKey.map((column, i) => `l.${column} AS pk${i}`).join(', ')},
    l.${versionColumn} AS actual, coalesce(l.${versionColumn} = item.expected, false) AS is_fresh,
    count(*) OVER (PARTITION BY item.position) AS matches,
    min(item.position) OVER same_row AS first, max(item.position) OVER same_row AS last
  FROM item
  LEFT JOIN locked AS l ON ${isRow('l')}
  WINDOW same_row AS (PARTITION BY ${list(rowKey, 'l')})
), written AS (
  UPDATE ${tableOf(model)} AS t
  SET ${assignments(writes, version, table)}
  FROM verdict AS v
  WHERE ${rowKey.map((column, i) => `t.${column} = v.pk${i}`).join(' AND ')} AND v.is_fresh
    AND ($2::text = 'each' OR NOT EXISTS (SELECT FROM verdict WHERE NOT is_fresh))
  RETURNING v.position, t.${versionColumn} AS version
)
SELECT v.actual, w.version,
  CASE
    WHEN v.matches > 1 THEN ${refusal('ambiguous:', POSITION)}
    WHEN v.actual IS NOT NULL AND v.first < v.last THEN ${refusal('twin:', raw("v.last || ':' || v.first"))}
    WHEN $2::text = 'all' AND w.version IS NULL AND NOT EXISTS (SELECT FROM verdict WHERE NOT is_fresh)
      THEN ${refusal('suppressed:', POSITION)}
  END AS refusal
FROM verdict AS v
LEFT JOIN written AS w USING (position)
ORDER BY v.position`
  return { sql, json: JSON.stringify(items.map((item) => toJson(item, writes))) }
}

/** Why the statement took itself back, and for which row, by its number from 0 on. */
export function refusedRow(error: unknown) {
  const [reason, position, first] = refusalOf(error)?.split(':') ?? []
  return reason === undefined ? undefined : { reason, index: Number(position) - 1, first: Number(first) - 1 }
}

function writesOf(items: readonly Item[]): Write[] {
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
function assignments(writes: readonly Write[], version: Field, table: Table): string {
  const columns = new Map<string, string[]>()
  writes.forEach(({ field, operation, isOfAll }, i) => {
    const column = columnOf(field)
    const value = inColumnType(`v.v${i}`, field, table)
    const written = operation === 'set' ? value : `t.${column} ${operation === 'increment' ? '+' : '-'} ${value}`
    const cases = columns.get(column) ?? []
    columns.set(column, [...cases, isOfAll ? written : `WHEN v.w${i} THEN ${written}`])
  })
  const all = Array.from(columns, ([column, cases]) => {
    const [first = ''] = cases
    return `${column} = ${first.startsWith('WHEN ') ? `CASE ${cases.join(' ')} ELSE t.${column} END` : first}`
  })
  return [...all, `${columnOf(version)} = t.${columnOf(version)} + 1`].join(',\n    ')
}

function toJson({ key, expected, operations }: Item, writes: readonly Write[]): Row {
  const json: Row = { expected: String(expected) }
  key.values.forEach((value, i) => {
    json[`k${i}`] = value
  })
  writes.forEach(({ field, operation, isOfAll }, i) => {
    const own = operations.get(field)
    if (own?.operation !== operation) return
    json[`v${i}`] = own.value
    if (!isOfAll) json[`w${i}`] = true
  })
  return json
}

function list(columns: readonly string[], alias: string): string {
  return columns.map((column) => `${alias}.${column}`).join(', ')
}
