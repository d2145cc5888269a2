import { columnsOf, keyNames, keysEqual, sqlTypeOf, stampColumns, touches } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, type Piece, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'
import type { Item } from './item.js'
import { columnsOfLines, type LinesMap, type StockMap } from './mapping.js'

/** Parts that the statements of the stock have in common. */

/** Items as a list of FROM: `item(k0, k1, position)`, numbered from 1 on. */
export function itemsIn(map: StockMap, items: readonly Item[]): Statement {
  return sql`unnest(${join(keyLists(map, items))}) WITH ORDINALITY AS item(${keyNames(map.item.key)}, position)`
}

/** The keys of items, column by column. */
export function keyLists({ item }: StockMap, items: readonly Item[]): Parameter[] {
  return item.key.map((field, i) => listOf(items, ({ key }) => key[i], sqlTypeOf(field)))
}

/** One value of each, as an array. */
export function listOf<T>(items: readonly T[], pick: (item: T) => unknown, type: string | undefined): Parameter {
  return param(items.map(pick), `${type}[]`)
}

/** A condition that limits every wait for a lock, in ms. */
export function limited(limit: number | undefined): SqlText | undefined {
  return limit === undefined ? undefined : raw(`(SELECT ${lockLimit(limit)}) IS NOT NULL`)
}

/** One more condition, on the same line. */
export function and(condition: Piece): Statement | undefined {
  return condition ? sql` AND ${condition}` : undefined
}

/** One more condition, on a line of its own. */
export function andBelow(condition: Piece): Statement | undefined {
  return condition ? sql`\n    AND ${condition}` : undefined
}

/** Locks the items `t` whose keys are in `source`, in their order: two batches that meet do not deadlock. */
export function lockItems({ item }: StockMap, source: SqlText, more: Piece, selected?: SqlText): Statement {
  const keys = columnsOf(item.key, 't')
  return sql`SELECT ${keys}${selected}
  FROM ${item.table} AS t
  WHERE (${keys}) IN (SELECT ${keyNames(item.key)} FROM ${source})${more}
  ORDER BY ${keys}
  FOR NO KEY UPDATE OF t`
}

/** The assignments of an UPDATE of an item: its balance, its version, and the time. */
export function assignments(
  { item }: StockMap,
  next: Piece = raw('item.next'),
  nextReserved: Piece = raw('item.next_reserved'),
): Statement {
  const { onHand, reserved } = item
  const both = reserved && sql`, ${columnOf(reserved)} = ${nextReserved}`
  return sql`${columnOf(onHand)} = ${next}${both}${touches(item, 't')}`
}

/** The columns of every line, for an INSERT. */
export function linesColumns(lines: LinesMap): SqlText {
  return raw(join(columnsOfLines(lines).map(columnOf)) + stampColumns(lines.updatedAt))
}

/** The columns that only movements have. */
export function flagColumns({ movement: { applied, refused } }: StockMap): SqlText {
  return stampColumns([applied, refused].filter((field) => !!field))
}

/** Their values in a movement that is in the balance. */
export function flagValues({ movement: { applied, refused } }: StockMap, isRefused: Piece): Statement {
  return sql`${applied && raw(', true')}${refused && sql`, ${isRefused}`}`
}

/** The item of `alias` is there. */
export function itemExists({ item }: StockMap, alias: string): Statement {
  return sql`EXISTS (SELECT FROM ${item.table} AS t WHERE ${keysEqual(item.key, 't', alias)})`
}

/**
 * A transaction id has one meaning, over movements and reservations. These are rows of two tables,
 * and maybe of different items, so no row and no unique key is common to them: what is recorded under
 * an id takes an advisory lock of the id, shared for movements, and alone for a reservation. The lock
 * is held until the transaction ends, so the second one sees what the first has written.
 * Without reservations there is nothing to tell apart, and no lock.
 */
function lockKey({ movement }: StockMap, id: string): SqlText {
  const table = movement.table.replaceAll("'", "''")
  return raw(`hashtextextended(${id}::text, hashtextextended('$stock ${table}', 0))`)
}

/** A condition that locks transaction ids, and waits for them. All statements take them in one order. */
export function idsAreLocked(
  map: StockMap,
  ids: readonly string[],
  isReserving: (id: string) => boolean,
  limit: SqlText | undefined,
): Statement {
  const key = lockKey(map, 'id')
  const list = listOf(ids, (id) => id, sqlTypeOf(map.movement.transactionId))
  return sql`(
    SELECT count(CASE WHEN reserving THEN pg_advisory_xact_lock(${key})::text ELSE pg_advisory_xact_lock_shared(${key})::text END)
    FROM (
      SELECT * FROM unnest(${list}, ${listOf(ids, isReserving, 'bool')}) AS m(id, reserving) ORDER BY id
    ) AS m${limit && sql`\n    WHERE ${limit}`}
  ) IS NOT NULL`
}

/**
 * A condition for a single statement that records movements: nobody is reserving one of the ids, and
 * none is reserved. It does not wait: what is committed during a wait would not be seen, for the
 * statement keeps its snapshot. A call that is refused here waits for the lock in a statement of its own.
 * The condition refers to no row, so it comes before any lock of a row.
 *
 * One instant is left, between the snapshot and these locks: a reservation that is committed just then is
 * not seen. No lock but that of a table can be had before the snapshot of the same statement, and past the
 * snapshot PostgreSQL shows a statement only what it meets in a unique index or in a row that it locks; a
 * movement and a reservation of two items meet in neither. Only another statement could tell.
 */
export function idsAreUnreserved(map: StockMap, ids: Parameter): Statement {
  const { reservation } = map
  if (reservation === undefined) return sql`true`
  return sql`(SELECT bool_and(pg_try_advisory_xact_lock_shared(${lockKey(map, 'm.id')})) FROM unnest(${ids}) AS m(id))
    AND NOT EXISTS (SELECT FROM ${reservation.table} AS r WHERE r.${columnOf(reservation.transactionId)} = ANY (${ids}))`
}
