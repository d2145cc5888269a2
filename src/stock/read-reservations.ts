import type { Session } from '../engine/session.js'
import { keysEqual, stateIn, touches } from '../mapping/columns.js'
import { enumName } from '../sql/raw-record.js'
import { columnOf, epochOf, momentOf } from '../sql/sql.js'
import { join, raw, sql } from '../sql/statement.js'
import type { RecordedReservation, ReservationState, ReservedLine } from './decider.js'
import type { Item } from './item.js'
import { idAt, readLines } from './load-snapshot.js'
import type { ReservationMap, StockMap } from './mapping.js'
import type { Claimed } from './request.js'
import { itemsIn } from './statements.js'

/** Ends the reservations of locked items whose time is up, by the database's clock, and returns what they held. */
export async function endExpired(tx: Session, map: StockMap, lines: ReservationMap, items: readonly Item[]) {
  const { table, item: key, quantity, state, expiresAt, fulfilled } = lines
  const left = raw(`r.${columnOf(quantity)}${fulfilled ? ` - r.${columnOf(fulfilled)}` : ''}`)
  // The clock is read by itself, since Citus takes no volatile function in an UPDATE.
  const rows = await tx.rows<{ position: number; quantity: string }>(sql`WITH moment AS MATERIALIZED (
  SELECT clock_timestamp() AS now
), ended AS (
  UPDATE ${table} AS r SET ${columnOf(state)} = ${stateIn(state, 'expired')}${touches(lines, 'r')}
  FROM ${itemsIn(map, items)}, moment
  WHERE ${keysEqual(key, 'r', 'item')} AND r.${columnOf(state)} = ${stateIn(state, 'active')}
    AND r.${columnOf(expiresAt)} <= ${momentOf(expiresAt, 'moment.now')}
  RETURNING item.position, ${left} AS quantity
)
SELECT position, sum(quantity)::text AS quantity FROM ended GROUP BY position`)
  return new Map(rows.map(({ position, quantity }) => [idAt(items, position), map.quantities.parse(quantity)]))
}

/** The reservations under the transaction ids. */
export async function readReservations(session: Session, map: StockMap, ids: readonly Claimed[]) {
  const found = new Map<string, RecordedReservation & { readonly lines: ReservedLine[] }>()
  const { reservation } = map
  if (!reservation) return found
  const { state, expiresAt, fulfilled, original } = reservation
  const numbers = Object.entries({ fulfilled, original }).map(
    ([name, field]) => field && raw(`, t.${columnOf(field)}::text AS ${name}`),
  )
  const more = sql`, t.${columnOf(state)} AS state, ${epochOf(expiresAt, 't.')} AS "expiresAt"${join(numbers, '')}`
  const parse = (text: unknown) => (typeof text === 'string' ? map.quantities.parse(text) : undefined)
  for (const { name, line, row } of await readLines(session, map, reservation, { ids, more })) {
    const known = found.get(name)
    const lines = known?.lines ?? []
    lines.push({ ...line, fulfilled: parse(row.fulfilled) ?? 0n, original: parse(row.original) ?? line.quantity })
    // One expired line ends all of it: the quantity that it held of that item may be taken.
    const isExpired = enumName(row.state, state) === 'expired' || known?.state === 'expired'
    found.set(name, {
      lines,
      state: isExpired ? 'expired' : (enumName(row.state, state) as ReservationState),
      expiresAt: row.expiresAt === null ? null : new Date(Number(row.expiresAt)),
    })
  }
  return found
}
