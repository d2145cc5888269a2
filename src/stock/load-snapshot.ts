import type { Row } from '../engine/session.js'
import { columnsOf, keyNames, keysEqual, sqlTypeOf, touches } from '../mapping/columns.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { columnOf, epochOf, momentOf } from '../sql/sql.js'
import { lockLimit } from '../transactions/limits.js'
import type { Balance, RecordedMovement, RecordedReservation, ReservationState, Snapshot } from './decider.js'
import { lockIds } from './id-locks.js'
import { givenOf, type Item, itemOf } from './item.js'
import type { LinesMap, StockMap } from './mapping.js'
import type { Line, Request } from './request.js'

/**
 * Locks the transaction ids and the items, and then reads what there is to know for requests of theirs. Only a second
 * statement sees what was committed while the first one waited for a lock; from then on, nobody
 * else changes these items, nor the movements and reservations that this package writes of them.
 */
export async function loadSnapshot(
  tx: PrismaClientLike,
  map: StockMap,
  items: readonly Item[],
  requests: readonly Request[],
  lockTimeout?: number,
): Promise<Snapshot> {
  await map.quantities.prepare(tx)
  const transactionIds = [...new Set(requests.map(({ transactionId }) => transactionId))]
  const reserving = new Set(requests.filter(({ kind }) => kind === 'reserve').map((request) => request.transactionId))
  const ids = map.reservation ? [transactionIds, transactionIds.map((id) => reserving.has(id))] : []
  const { balances, now } = await lockItems(tx, map, items, ids, lockTimeout)
  const hasReserved = [...balances.values()].some(({ reserved }) => reserved !== 0n)
  const expired = hasReserved && map.reservation ? await endExpired(tx, map, items) : new Map<string, bigint>()
  const movements = await readMovements(tx, map, transactionIds)
  const reservations = map.reservation ? await readReservations(tx, map, transactionIds) : new Map()
  return { balances, movements, reservations, expired, now }
}

/** In the order of their keys, like every other batch: two that meet do not deadlock. */
async function lockItems(
  tx: PrismaClientLike,
  map: StockMap,
  items: readonly Item[],
  ids: readonly unknown[],
  lockTimeout: number | undefined,
) {
  const limit = lockTimeout === undefined ? undefined : lockLimit(lockTimeout)
  const limited = limit === undefined ? '' : ` AND (SELECT ${limit}) IS NOT NULL`
  const claimed = ids.length === 0 ? '' : `\n    AND ${lockIds(map, map.item.key.length + 1, limit)}`
  const { table, key, onHand, reserved, minimum } = map.item
  const rows = (await tx.$queryRawUnsafe(
    `WITH item AS MATERIALIZED (
  SELECT * FROM ${unnestKeys(map)} WITH ORDINALITY AS item(${keyNames(key)}, position)
), locked AS MATERIALIZED (
  SELECT ${columnsOf(key, 't')}, t.${columnOf(onHand)} AS on_hand,
    ${reserved ? `t.${columnOf(reserved)}` : '0'} AS reserved, ${minimum ? `t.${columnOf(minimum)}` : '0'} AS minimum
  FROM ${table} AS t
  WHERE (${columnsOf(key, 't')}) IN (SELECT ${keyNames(key)} FROM item)${limited}${claimed}
  ORDER BY ${columnsOf(key, 't')}
  FOR NO KEY UPDATE OF t
)
SELECT item.position::int, l.on_hand::text AS "onHand", l.reserved::text, l.minimum::text,
  (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now
FROM item JOIN locked AS l ON ${keysEqual(key, 'l', 'item')}`,
    ...keyArrays(map, items),
    ...ids,
  )) as { position: number; onHand: string; reserved: string; minimum: string | null; now: number }[]
  const { quantities } = map
  const balances = new Map<string, Balance>()
  for (const row of rows) {
    const limit = row.minimum === null ? null : quantities.parse(row.minimum)
    balances.set((items[row.position - 1] as Item).id, {
      onHand: quantities.parse(row.onHand),
      reserved: quantities.parse(row.reserved),
      minimum: minimum ? limit : map.minimum,
    })
  }
  return { balances, now: new Date(rows[0]?.now ?? 0) }
}

/** Ends the reservations of locked items whose time is up, by the database's clock, and returns what they held. */
async function endExpired(tx: PrismaClientLike, map: StockMap, items: readonly Item[]): Promise<Map<string, bigint>> {
  const lines = map.reservation as NonNullable<StockMap['reservation']>
  const { table, item: key, quantity, state, expiresAt } = lines
  const rows = (await tx.$queryRawUnsafe(
    `WITH item AS MATERIALIZED (
  SELECT * FROM ${unnestKeys(map)} WITH ORDINALITY AS item(${keyNames(key)}, position)
), ended AS (
  UPDATE ${table} AS r SET ${columnOf(state)} = 'expired'${touches(lines, 'r')}
  FROM item
  WHERE ${keysEqual(key, 'r', 'item')} AND r.${columnOf(state)} = 'active'
    AND r.${columnOf(expiresAt)} <= ${momentOf(expiresAt, 'clock_timestamp()')}
  RETURNING item.position, r.${columnOf(quantity)} AS quantity
)
SELECT position::int, sum(quantity)::text AS quantity FROM ended GROUP BY position`,
    ...keyArrays(map, items),
  )) as { position: number; quantity: string }[]
  return new Map(
    rows.map(({ position, quantity }) => [(items[position - 1] as Item).id, map.quantities.parse(quantity)]),
  )
}

/** What was recorded under the transaction ids. */
export async function readMovements(tx: PrismaClientLike, map: StockMap, ids: readonly string[]) {
  const { refused } = map.movement
  const rows = await readLines(tx, map.movement, ids, refused ? `, t.${columnOf(refused)} AS refused` : '')
  const found = new Map<string, RecordedMovement & { readonly lines: Line[] }>()
  for (const row of rows) {
    const movement = found.get(row.id) ?? { lines: [] as Line[], isRefused: row.refused === true }
    movement.lines.push({
      item: itemOf(row.key, givenOf(row.key, map.item.key)),
      quantity: map.quantities.parse(row.quantity),
    })
    found.set(row.id, movement)
  }
  return found
}

export async function readReservations(tx: PrismaClientLike, map: StockMap, ids: readonly string[]) {
  const { state, expiresAt } = map.reservation as NonNullable<StockMap['reservation']>
  const rows = await readLines(
    tx,
    map.reservation as LinesMap,
    ids,
    `, t.${columnOf(state)} AS state, ${epochOf(expiresAt, 't.')} AS "expiresAt"`,
  )
  const found = new Map<string, RecordedReservation & { readonly lines: Line[] }>()
  for (const row of rows) {
    const known = found.get(row.id)
    // One expired line ends all of it: what it held of that item may be gone.
    const isExpired = row.state === 'expired' || known?.state === 'expired'
    const lines = known?.lines ?? []
    lines.push({ item: itemOf(row.key, givenOf(row.key, map.item.key)), quantity: map.quantities.parse(row.quantity) })
    found.set(row.id, {
      lines,
      state: isExpired ? 'expired' : (row.state as ReservationState),
      expiresAt: new Date(row.expiresAt as number),
    })
  }
  return found
}

/** The lines of transactions, each with its item's key as text. */
export async function readLines(
  tx: PrismaClientLike,
  { table, transactionId, line, item, quantity }: LinesMap,
  ids: readonly string[],
  more = '',
): Promise<(Row & { id: string; key: string[]; quantity: string })[]> {
  return (await tx.$queryRawUnsafe(
    `SELECT t.${columnOf(transactionId)}::text AS id, ARRAY[${item.map((field) => `t.${columnOf(field)}::text`).join(', ')}] AS key,
  t.${columnOf(quantity)}::text AS quantity${more}
FROM ${table} AS t
WHERE t.${columnOf(transactionId)} = ANY($1::${sqlTypeOf(transactionId)}[])
ORDER BY t.${columnOf(transactionId)}, t.${columnOf(line)}`,
    ids,
  )) as (Row & { id: string; key: string[]; quantity: string })[]
}

/** `unnest($1::int4[], $2::text[])`, for the values of `keyArrays`. */
export function unnestKeys({ item }: StockMap): string {
  return `unnest(${keyParameters(item.key.map(sqlTypeOf))})`
}

export function keyParameters(types: readonly (string | undefined)[], first = 1): string {
  return types.map((type, i) => `$${first + i}::${type}[]`).join(', ')
}

/** The keys of the items, column by column. */
export function keyArrays({ item }: StockMap, items: readonly Item[]): string[][] {
  return item.key.map((_, i) => items.map(({ key }) => key[i] as string))
}
