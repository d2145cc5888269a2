import { isOutOfRange } from '../engine/error-facts.js'
import { VersionOverflowError, WriteSuppressedError } from '../errors/index.js'
import { keyNames, keysEqual, sqlTypeOf, stamps, touches } from '../mapping/columns.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { withModelErrors } from '../prisma/model-error.js'
import { isWritten, refusedCount } from '../sql/refusal.js'
import { columnOf, momentOf } from '../sql/sql.js'
import { raw } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'
import { assignments, flagColumns, flagValues, linesColumns } from './columns.js'
import type { MovementEntry, ReservationEntry, WriteSet } from './decider.js'
import { areUnreserved } from './id-locks.js'
import { keyArrays, keyParameters } from './load-snapshot.js'
import type { LinesMap, StockMap } from './mapping.js'

/**
 * Writes the effects of one request whose items are locked, in the transaction that locked them.
 * The first line of a transaction id claims the id, since it is unique: who has it, has all of it.
 * If another transaction has it, that is waited for, nothing is written, and no error ends the
 * caller's transaction.
 *
 * @returns whether it was written
 */
export async function writeLocked(tx: PrismaClientLike, map: StockMap, effects: WriteSet): Promise<boolean> {
  const { items, movements, reservations, ended } = effects
  if (movements.length > 0 && !(await claim(tx, map, movements))) return false
  if (reservations.length > 0 && !(await claimReservation(tx, map, reservations))) return false
  for (const { transactionId, state } of ended) await endReservation(tx, map, transactionId, state)
  if (items.length > 0) await changeItems(tx, map, items)
  return true
}

/** The effects that the checked statement does not know, in the same transaction. */
export async function writeReservations(
  tx: PrismaClientLike,
  map: StockMap,
  { reservations, ended }: WriteSet,
): Promise<boolean> {
  if (reservations.length > 0 && !(await claimReservation(tx, map, reservations))) return false
  for (const { transactionId, state } of ended) await endReservation(tx, map, transactionId, state)
  return true
}

/** The entries are those of one request, so they were granted or refused together. */
function claim(tx: PrismaClientLike, map: StockMap, movements: readonly MovementEntry[]): Promise<boolean> {
  const { movement } = map
  const first = movement.item.length + FIXED_PARAMETERS + 1
  return claimLines(tx, map, movement, movements, {
    columns: flagColumns(map),
    values: flagValues(map, `$${first}::bool`),
    parameters: movement.refused ? [movements[0]?.isRefused] : [],
  })
}

/** Movements that are not in the balance yet. Nothing is written if one of the items does not exist. */
export function claimDeferred(
  tx: PrismaClientLike,
  map: StockMap,
  entries: readonly LineEntry[],
  lockTimeout?: number,
): Promise<boolean> {
  const { item, movement } = map
  const limited = lockTimeout === undefined ? '' : ` AND (SELECT ${lockLimit(lockTimeout)}) IS NOT NULL`
  return claimLines(tx, map, movement, entries, {
    columns: flagColumns(map),
    values: `, false${movement.refused ? ', false' : ''}`,
    parameters: [],
    condition: `AND NOT EXISTS (
    SELECT FROM entry WHERE NOT EXISTS (SELECT FROM ${item.table} AS t WHERE ${keysEqual(item.key, 't', 'entry')})
  )${limited}
    AND ${areUnreserved(map, `$${item.key.length + 1}::${sqlTypeOf(movement.transactionId)}[]`)}`,
  })
}

function claimReservation(tx: PrismaClientLike, map: StockMap, entries: readonly ReservationEntry[]): Promise<boolean> {
  const lines = map.reservation as NonNullable<StockMap['reservation']>
  const { state, expiresAt, item } = lines
  // Indexed by the entry's position in the statement's parameters, like everything else of it.
  const moment = `($${item.length + FIXED_PARAMETERS + 1}::timestamptz[])[m.position]`
  return claimLines(tx, map, lines, entries, {
    columns: `, ${columnOf(state)}, ${columnOf(expiresAt)}`,
    values: `, 'active', ${momentOf(expiresAt, moment)}`,
    parameters: [entries.map((entry) => entry.expiresAt.toISOString())],
  })
}

type LineEntry = Omit<MovementEntry, 'isRefused'>

/** What the columns of one table have besides those of every line. */
interface More {
  readonly columns: string
  readonly values: string
  readonly parameters: readonly unknown[]
  readonly condition?: string
}

/** Besides the columns of the key: transaction ids, lines and quantities. */
const FIXED_PARAMETERS = 3

async function claimLines(
  tx: PrismaClientLike,
  map: StockMap,
  lines: LinesMap,
  entries: readonly LineEntry[],
  more: More,
): Promise<boolean> {
  const types = [...lines.item, lines.transactionId].map(sqlTypeOf).concat('int4', map.quantities.sqlType)
  const insert = `INSERT INTO ${lines.table} (${linesColumns(lines)}${more.columns})
  SELECT m.id, m.line, ${keyNames(lines.item, 'm.')}, m.quantity${stamps(lines.updatedAt)}${more.values}`
  const statement = tx.$queryRawUnsafe(
    `WITH entry AS MATERIALIZED (
  SELECT *
  FROM unnest(${keyParameters(types)}) WITH ORDINALITY AS m(${keyNames(lines.item)}, id, line, quantity, position)
), claim AS (
  ${insert}
  FROM entry AS m
  WHERE m.line = 0 ${more.condition ?? ''}
  ORDER BY m.id
  ON CONFLICT DO NOTHING
  RETURNING ${columnOf(lines.transactionId)} AS id
), rest AS (
  ${insert}
  FROM entry AS m JOIN claim USING (id)
  WHERE m.line > 0
)
SELECT (SELECT count(*)::int FROM claim) AS claimed, (SELECT count(DISTINCT id)::int FROM entry) AS wanted`,
    ...keyArrays(
      map,
      entries.map(({ item }) => item),
    ),
    entries.map(({ transactionId }) => transactionId),
    entries.map(({ line }) => line),
    entries.map(({ quantity }) => map.quantities.text(quantity)),
    ...more.parameters,
  )
  const [row] = (await withModelErrors(statement, lines.model.name)) as [{ claimed: number; wanted: number }]
  return row.claimed === row.wanted
}

/** Fails in the database, so that nobody who catches the error can commit the movements without their balances. */
async function changeItems(tx: PrismaClientLike, map: StockMap, items: WriteSet['items']): Promise<void> {
  const { table, key, model, version } = map.item
  const { quantities } = map
  const count = `$${key.length + 3}::int`
  const statement = tx.$queryRawUnsafe(
    `WITH changed AS (
  UPDATE ${table} AS t
  SET ${assignments(map)}
  FROM unnest(${keyParameters([...key.map(sqlTypeOf), quantities.sqlType, quantities.sqlType])})
    AS item(${keyNames(key)}, next, next_reserved)
  WHERE ${keysEqual(key, 't', 'item')}
  RETURNING 1
)
SELECT CASE WHEN count(*) <> ${count} THEN ${refusedCount(raw('count(*)'), raw(count))} END AS refusal
FROM changed`,
    ...keyArrays(
      map,
      items.map(({ item }) => item),
    ),
    items.map(({ next }) => quantities.text(next.onHand)),
    items.map(({ next }) => quantities.text(next.reserved)),
    items.length,
  )
  try {
    if (!(await isWritten(withModelErrors(statement, model.name)))) throw new WriteSuppressedError(model.name, {})
  } catch (error) {
    // The quantities have been checked.
    if (version && isOutOfRange(error)) throw new VersionOverflowError(model.name, version.name, { cause: error })
    throw error
  }
}

async function endReservation(
  tx: PrismaClientLike,
  map: StockMap,
  transactionId: string,
  state: string,
): Promise<void> {
  const lines = map.reservation as NonNullable<StockMap['reservation']>
  await tx.$queryRawUnsafe(
    `UPDATE ${lines.table} AS r SET ${columnOf(lines.state)} = $2${touches(lines, 'r')}
WHERE ${columnOf(lines.transactionId)} = $1::${sqlTypeOf(lines.transactionId)} AND ${columnOf(lines.state)} = 'active'`,
    transactionId,
    state,
  )
}
