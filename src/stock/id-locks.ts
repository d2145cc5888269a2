import { sqlTypeOf } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import type { StockMap } from './mapping.js'

/**
 * A transaction id has one meaning, over movements and reservations. These are rows of two tables,
 * and maybe of different items, so no row and no unique key is common to them: what is recorded under
 * an id takes an advisory lock of the id, shared for movements, and alone for a reservation. The lock
 * is held until the transaction ends, so whoever comes second sees what the first has written.
 * Without reservations there is nothing to tell apart, and no lock.
 */
function lockKey({ movement }: StockMap, id: string): string {
  const table = movement.table.replaceAll("'", "''")
  return `hashtextextended(${id}::text, hashtextextended('$stock ${table}', 0))`
}

/**
 * A sub-select that locks transaction ids, and waits for them. It takes two parameters from `$first`
 * on: the ids, and which of them are to be reserved. All statements take them in one order.
 */
export function lockIds(map: StockMap, first: number, limit: string | undefined): string {
  const type = sqlTypeOf(map.movement.transactionId)
  const key = lockKey(map, 'id')
  return `(
    SELECT count(CASE WHEN reserving THEN pg_advisory_xact_lock(${key})::text ELSE pg_advisory_xact_lock_shared(${key})::text END)
    FROM (
      SELECT * FROM unnest($${first}::${type}[], $${first + 1}::bool[]) AS m(id, reserving) ORDER BY id
    ) AS m${limit === undefined ? '' : `\n    WHERE (SELECT ${limit}) IS NOT NULL`}
  ) IS NOT NULL`
}

/**
 * A condition for a single statement that records movements: nobody is reserving one of the ids, and
 * none is reserved. It does not wait: what is committed during a wait would not be seen, for the
 * statement keeps its snapshot. Whoever is refused here waits for the lock in a statement of its own.
 * The condition refers to no row, so it comes before any lock of a row.
 *
 * One instant is left, between the snapshot and these locks: a reservation that is committed just then is
 * not seen. No lock but that of a table can be had before the snapshot of the same statement, and past the
 * snapshot PostgreSQL shows a statement only what it meets in a unique index or in a row that it locks; a
 * movement and a reservation of two items meet in neither. Only another statement could tell.
 */
export function areUnreserved(map: StockMap, ids: string): string {
  const { reservation } = map
  if (reservation === undefined) return 'true'
  return `(SELECT bool_and(pg_try_advisory_xact_lock_shared(${lockKey(map, 'm.id')})) FROM unnest(${ids}) AS m(id))
    AND NOT EXISTS (SELECT FROM ${reservation.table} AS r WHERE r.${columnOf(reservation.transactionId)} = ANY (${ids}))`
}
