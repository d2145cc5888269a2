import { isOutOfRange } from '../engine/error-facts.js'
import { rowOf, type Session } from '../engine/session.js'
import { VersionOverflowError, WriteSuppressedError } from '../errors/index.js'
import { keyNames, keysEqual, sqlTypeOf, stamps, touches } from '../mapping/columns.js'
import { isWritten, refusedCount } from '../sql/refusal.js'
import { columnOf, momentIn } from '../sql/sql.js'
import { join, type Parameter, type Piece, param, raw, sql } from '../sql/statement.js'
import type { MovementEntry, WriteSet } from './decider.js'
import type { LinesMap, ReservationMap, StockMap } from './mapping.js'
import {
  and,
  assignments,
  flagColumns,
  flagValues,
  idsAreUnreserved,
  itemExists,
  keyLists,
  limited,
  linesColumns,
  listOf,
} from './statements.js'

/**
 * Writes the decision of one request whose items are locked. The transaction id is claimed first: if another
 * call has taken it meanwhile, the claim waits for that call, nothing is written, and no error ends the
 * caller's transaction.
 *
 * @returns whether it was written
 */
export async function writeLocked(tx: Session, map: StockMap, set: WriteSet): Promise<boolean> {
  const { items, movements } = set
  if (movements.length > 0 && !(await claimMovements(tx, map, movements))) return false
  if (!(await writeReservations(tx, map, set))) return false
  if (items.length > 0) await changeItems(tx, map, items)
  return true
}

/** The reservations, which the optimistic statement does not write, in the same transaction. */
export async function writeReservations(
  tx: Session,
  map: StockMap,
  { reservations, ended }: Pick<WriteSet, 'reservations' | 'ended'>,
): Promise<boolean> {
  const { reservation } = map
  if (!reservation) return true
  if (reservations.length > 0 && !(await claimReservation(tx, map, reservation, reservations))) return false
  for (const { transactionId, state } of ended) {
    await tx.rows(sql`UPDATE ${reservation.table} AS r SET ${columnOf(reservation.state)} = ${param(state)}${touches(reservation, 'r')}
WHERE ${columnOf(reservation.transactionId)} = ${param(transactionId, sqlTypeOf(reservation.transactionId))} AND ${columnOf(reservation.state)} = 'active'`)
  }
  return true
}

/** The entries are those of one request, so they were granted or refused together. */
function claimMovements(tx: Session, map: StockMap, entries: readonly MovementEntry[]): Promise<boolean> {
  const values = flagValues(map, param(entries[0]?.isRefused, 'bool'))
  return claimLines(tx, map, { lines: map.movement, entries, columns: flagColumns(map), values })
}

/** Movements that are not in the balance yet. Nothing is written if one of the items does not exist. */
export function claimDeferred(
  tx: Session,
  map: StockMap,
  entries: readonly LineEntry[],
  lockTimeout?: number,
): Promise<boolean> {
  const { refused } = map.movement
  return claimLines(tx, map, {
    lines: map.movement,
    entries,
    columns: flagColumns(map),
    values: sql`, false${refused && raw(', false')}`,
    condition: (ids) => sql`AND NOT EXISTS (
    SELECT FROM entry WHERE NOT ${itemExists(map, 'entry')}
  )${and(limited(lockTimeout))}
    AND ${idsAreUnreserved(map, ids)}`,
  })
}

function claimReservation(
  tx: Session,
  map: StockMap,
  lines: ReservationMap,
  entries: WriteSet['reservations'],
): Promise<boolean> {
  const { state, expiresAt } = lines
  // Indexed by the entry's position in the statement's parameters, like everything else of it.
  const moments = listOf(entries, (entry) => entry.expiresAt.toISOString(), 'timestamptz')
  return claimLines(tx, map, {
    lines,
    entries,
    columns: raw(`, ${columnOf(state)}, ${columnOf(expiresAt)}`),
    values: sql`, 'active', ${momentIn(expiresAt, sql`(${moments})[m.position]`)}`,
  })
}

type LineEntry = Omit<MovementEntry, 'isRefused'>

/** Lines to be recorded, and what the columns of their table have besides those of every line. */
interface Claim {
  readonly lines: LinesMap
  readonly entries: readonly LineEntry[]
  readonly columns: Piece
  readonly values: Piece
  readonly condition?: (ids: Parameter) => Piece
}

async function claimLines(tx: Session, map: StockMap, claim: Claim): Promise<boolean> {
  const { lines, entries, columns, values, condition } = claim
  const { quantities } = map
  const items = entries.map(({ item }) => item)
  const ids = listOf(entries, ({ transactionId }) => transactionId, sqlTypeOf(lines.transactionId))
  const lists = [
    ...keyLists(map, items), // of the same types
    ids,
    listOf(entries, ({ line }) => line, 'int4'),
    listOf(entries, ({ quantity }) => quantities.text(quantity), quantities.sqlType),
  ]
  const insert = sql`INSERT INTO ${lines.table} (${linesColumns(lines)}${columns})
  SELECT m.id, m.line, ${keyNames(lines.item, 'm.')}, m.quantity${stamps(lines.updatedAt)}${values}`
  const { claimed, wanted } = await rowOf<{ claimed: number; wanted: number }>(
    tx,
    sql`WITH entry AS MATERIALIZED (
  SELECT *
  FROM unnest(${join(lists)}) WITH ORDINALITY AS m(${keyNames(lines.item)}, id, line, quantity, position)
), claim AS (
  ${insert}
  FROM entry AS m
  WHERE m.line = 0 ${condition?.(ids)}
  ORDER BY m.id
  ON CONFLICT DO NOTHING
  RETURNING ${columnOf(lines.transactionId)} AS id
), rest AS (
  ${insert}
  FROM entry AS m JOIN claim USING (id)
  WHERE m.line > 0
)
SELECT (SELECT count(*)::int FROM claim) AS claimed, (SELECT count(DISTINCT id)::int FROM entry) AS wanted`,
  )
  return claimed === wanted
}

/** Fails in the database, so that a caller that catches the error cannot commit the movements without their balances. */
async function changeItems(tx: Session, map: StockMap, items: WriteSet['items']): Promise<void> {
  const { table, key, model, version } = map.item
  const { quantities } = map
  const count = param(items.length, 'int')
  const lists = [
    ...keyLists(
      map,
      items.map(({ item }) => item),
    ),
    listOf(items, ({ next }) => quantities.text(next.onHand), quantities.sqlType),
    listOf(items, ({ next }) => quantities.text(next.reserved), quantities.sqlType),
  ]
  const statement = tx.rows(sql`WITH changed AS (
  UPDATE ${table} AS t
  SET ${assignments(map)}
  FROM unnest(${join(lists)})
    AS item(${keyNames(key)}, next, next_reserved)
  WHERE ${keysEqual(key, 't', 'item')}
  RETURNING 1
)
SELECT CASE WHEN count(*) <> ${count} THEN ${refusedCount(raw('count(*)'), count)} END AS refusal
FROM changed`)
  try {
    if (!(await isWritten(statement))) throw new WriteSuppressedError(model.name, {})
  } catch (error) {
    // The quantities have been checked.
    if (version && isOutOfRange(error)) throw new VersionOverflowError(model.name, version.name, { cause: error })
    throw error
  }
}
