import type { Field } from '../engine/data-model.js'
import { isLockTimeout } from '../engine/error-facts.js'
import { type Row, rowOf, type Session } from '../engine/session.js'
import { ConfigurationError, WriteSuppressedError } from '../errors/index.js'
import { columnsAsKeys, columnsOf, keyNames, keysEqual, sqlTypeOf, stateIn, touches } from '../mapping/columns.js'
import { refusalOf, refusedCount } from '../sql/refusal.js'
import type { Scope } from '../sql/scope.js'
import { columnOf, momentIn } from '../sql/sql.js'
import { join, type Piece, param, raw, type Statement, sql } from '../sql/statement.js'
import { readPast } from '../values/moment.js'
import { checkArguments } from '../values/validation.js'
import { batchSchema, dateParam, type PageRunner } from './close.js'
import { inScope } from './in-scope.js'
import { itemOfRow } from './item.js'
import type { Args } from './lines.js'
import type { ReservationMap, StockMap } from './mapping.js'
import type { Closable } from './period.js'
import type { Claimed } from './request.js'
import { idColumns, isOf, limited, rowsIn, where } from './statements.js'

/** How long a page waits for an item, in ms, before it goes on without those that others have locked. */
const LONGEST_WAIT = 100

interface Prunable extends Closable {
  readonly opening: Field
}

interface Pruning {
  readonly scope: Scope
  /** In ms since 1970. */
  readonly before: number
  readonly batchSize: number
}

/**
 * Deletes what has ended, page by page, so it may be killed anywhere. Whole transactions alone: a transaction id of
 * which a line is left would be taken for another request.
 */
export async function prune(run: PageRunner, map: StockMap, args: Args) {
  const { item, reservation } = map
  const { batchSize = 1_000 } = checkArguments(batchSchema, { batchSize: args.batchSize })
  const before = readPast(args.forgetBefore, 'forgetBefore', 'transaction ids of today would run again')
  const pruning = { scope: args.scope, before, batchSize }
  const prunable = prunableOf(map)
  if (!prunable && !reservation) {
    const message = `must name a field of ${item.model.name}, and so must item.closedUntil and movement.date, for movements to be pruned`
    throw new ConfigurationError([{ path: 'item.opening', message }])
  }
  const reservations = reservation ? await pruneReservations(run, reservation, pruning) : 0
  const movements = prunable ? await pruneMovements(run, map, { ...pruning, ...prunable }) : 0
  return { movements, reservations }
}

/** The columns without which no movement is pruned; `undefined` where one is not mapped. */
export function prunableOf({ period, item: { opening } }: StockMap): Prunable | undefined {
  const { date, closedUntil } = period ?? {}
  return date && closedUntil && opening ? { date, closedUntil, opening } : undefined
}

/** A reservation that has ended stays so, so no lock of its items is needed. One whose end nothing tells is kept. */
async function pruneReservations(run: PageRunner, lines: ReservationMap, { scope, before, batchSize }: Pruning) {
  const { table, transactionId, state, expiresAt } = lines
  const end = lines.updatedAt[0] ?? expiresAt
  const moment = momentIn(end, sql`${param(new Date(before).toISOString(), 'timestamptz')}`)
  const isOver = (alias: string) =>
    sql`${raw(`${alias}.${columnOf(state)} <> ${stateIn(state, 'active')} AND ${alias}.${columnOf(end)}`)} < ${moment}`
  const isSame = raw([...lines.scope, transactionId].map((f) => `o.${columnOf(f)} = r.${columnOf(f)}`).join(' AND '))
  const own = [...lines.scope, transactionId]
  const statement = sql`WITH old AS MATERIALIZED (
  SELECT ${columnsAsKeys(own, 'r')}
  FROM ${table} AS r${where([inScope(lines, 'r', scope), raw(`r.${columnOf(lines.line)} = 0`), isOver('r'), sql`NOT EXISTS (SELECT FROM ${table} AS o WHERE ${isSame} AND (${isOver('o')}) IS NOT TRUE)`])}
  LIMIT ${param(batchSize, 'int')}
  FOR UPDATE OF r SKIP LOCKED
), gone AS (
  DELETE FROM ${table} AS r USING old
  WHERE ${join([inScope(lines, 'r', scope), keysEqual(own, 'r', 'old')], ' AND ')}
  RETURNING 1
)
SELECT (SELECT count(*) FROM old)::int AS found, (SELECT count(*) FROM gone)::int AS deleted`
  for (let count = 0; ; ) {
    const { found, deleted } = await run.page((tx) => rowOf<{ found: number; deleted: number }>(tx, statement))
    count += deleted
    if (found < batchSize || deleted === 0) return count
  }
}

interface PruningMovements extends Pruning, Prunable {}

/** A transaction of the ledger, and its place in the order of the dates: the date as the database writes it. */
interface Old extends Claimed {
  readonly date: string
}

async function pruneMovements(run: PageRunner, map: StockMap, pruning: PruningMovements): Promise<number> {
  let count = 0
  for (let after: Old | undefined; ; ) {
    const page = (lock: Lock) => run.page((tx) => prunePage(tx, map, pruning, { after, lock }))
    const wait = run.inTransaction ? {} : { limit: LONGEST_WAIT }
    const { last, deleted } = await page(wait).catch((error: unknown) => {
      if (error !== LOCKED) throw error
      return page({ skips: true })
    })
    count += deleted
    if (last === undefined) return count
    after = last
  }
}

/** Somebody holds one of the items of a page for long. */
const LOCKED = new Error('An item is locked.')

/** How a page waits for the locks of items. */
interface Lock {
  readonly limit?: number
  /** It goes on without those that others have locked. */
  readonly skips?: boolean
}

/**
 * Takes the movements of a page out of the ledger, and adds them to the opening balances of their items, in one statement:
 * the sum that an audit makes is the same before and after. The items are locked before their movements are looked at
 * once more, so nobody records, folds, or prunes movements of them meanwhile, and none of their periods is opened again.
 */
async function prunePage(
  tx: Session,
  map: StockMap,
  pruning: PruningMovements,
  { after, lock }: { readonly after: Old | undefined; readonly lock: Lock },
): Promise<{ readonly last: Old | undefined; readonly deleted: number }> {
  await map.keys.check(tx)
  const old = await findOld(tx, map, pruning, after)
  const last = old.at(-1)
  if (last === undefined) return { last, deleted: 0 }
  const locked = await lockItems(tx, map, pruning, { old, lock }).catch((error: unknown) => {
    throw lock.limit !== undefined && isLockTimeout(error) ? LOCKED : error
  })
  const gone = await choose(tx, map, pruning, { old, locked })
  return { last, deleted: gone.length > 0 ? await remove(tx, map, pruning, gone) : 0 }
}

/**
 * Transactions of which all lines are in the balance, old enough, and of closed periods. That of a reservation goes behind
 * it: an audit looks for the movement of each that is fulfilled.
 */
async function findOld(tx: Session, map: StockMap, pruning: PruningMovements, after: Old | undefined): Promise<Old[]> {
  const { movement, reservation } = map
  const { date, batchSize, scope } = pruning
  const { table, transactionId, line } = movement
  const id = columnOf(transactionId)
  const isBehind =
    after &&
    sql`(m.${columnOf(date)}, m.${id}) > (${param(after.date, momentType(date))}, ${param(after.transactionId, sqlTypeOf(transactionId))})`
  const isFirst = raw(`m.${columnOf(line)} = 0`)
  const own = [...movement.scope, transactionId]
  const isOf = (alias: string, fields: readonly Field[]) =>
    raw(own.map((field, i) => `${alias}.${columnOf(fields[i] ?? field)} = m.${columnOf(field)}`).join(' AND '))
  const isFree =
    reservation &&
    sql`NOT EXISTS (SELECT FROM ${reservation.table} AS r WHERE ${isOf('r', [...reservation.scope, reservation.transactionId])})`
  const rows = await tx.rows<{
    id: string
    date: string
  }>(sql`SELECT m.${id}::text AS id, m.${columnOf(date)}::text AS date
FROM ${table} AS m${where([inScope(movement, 'm', scope), isFirst, isOld('m', pruning), isBehind, sql`NOT EXISTS (SELECT FROM ${joined(map)} WHERE ${isOf('o', own)} AND (${isOver(map, pruning)}) IS NOT TRUE)`, isFree])}
ORDER BY m.${columnOf(date)}, m.${id}
LIMIT ${param(batchSize, 'int')}`)
  return rows.map(({ id, date }) => ({ scope, transactionId: id, date }))
}

function momentType({ nativeType = 'Timestamp' }: Field): string {
  return nativeType.replace(/\(.*/, '').toLowerCase()
}

function isOld(alias: string, { date, before }: PruningMovements): Piece {
  return sql`${raw(alias)}.${columnOf(date)} < ${dateParam(date, before)}`
}

/** A movement `o` beside its item `t`, if there is one. */
function joined({ item, movement }: StockMap): Statement {
  const isItem = item.key.flatMap((field, i) => {
    const own = movement.item[i]
    return own ? `t.${columnOf(field)} = o.${columnOf(own)}` : []
  })
  return sql`${movement.table} AS o LEFT JOIN ${item.table} AS t ON ${raw(isItem.join(' AND '))}`
}

function isOver({ movement: { applied } }: StockMap, pruning: PruningMovements): Statement {
  const { date, closedUntil } = pruning
  const isClosed = raw(`o.${columnOf(date)} <= t.${columnOf(closedUntil)}`)
  return join(
    [isOld('o', pruning), isClosed, applied && raw(`o.${columnOf(applied)}`)].filter((one) => !!one),
    ' AND ',
  )
}

/** Locks the items of transactions, in the order of their keys. Resolves to their ids. */
async function lockItems(
  tx: Session,
  map: StockMap,
  { scope }: Pruning,
  { old, lock: { limit, skips } }: { readonly old: readonly Old[]; readonly lock: Lock },
) {
  const { item, movement } = map
  const isInScope = inScope(item, 't', scope)
  const named = sql`EXISTS (SELECT FROM named AS n WHERE ${keysEqual(item.key, 't', 'n')})`
  const rows = await tx.rows<{ key: string[] }>(sql`WITH named AS MATERIALIZED (
  SELECT DISTINCT ${columnsAsKeys(movement.item, 't')}
  FROM ${movement.table} AS t JOIN ${rowsIn('m', idColumns(movement, old))} ON ${isOf(movement, 't')}
)
SELECT ARRAY[${join(item.key.map((field) => raw(`t.${columnOf(field)}::text`)))}] AS key
FROM ${item.table} AS t${where([isInScope, limited(limit), named])}
ORDER BY ${columnsOf(item.key, 't')}
FOR NO KEY UPDATE OF t${skips && raw(' SKIP LOCKED')}`)
  return new Set(rows.map(({ key }) => itemOfRow(item, key).id))
}

interface OldLine extends Row {
  readonly id: string
  readonly key: string[]
  readonly isOver: boolean
  readonly reverses?: string | null
  /** In a ledger with a history: whether the line has moved its item, its number, and the lowest and the last one of the item. */
  readonly isInHistory?: boolean
  readonly number?: string | null
  readonly lowest?: string | null
  readonly last?: string | null
}

/**
 * The transactions that may go, now that their items are locked. A reversal stays as long as its original does, of which it
 * says how much is undone. Of a history the beginning alone goes, so that its numbers have no gap; and the last movement of
 * an item stays, which tells since when the item has its balance. Movements from before the numbers go with the first number
 * or later: an item whose first number is there is known from its opening balance on.
 */
async function choose(
  tx: Session,
  map: StockMap,
  pruning: PruningMovements,
  { old, locked }: { readonly old: readonly Old[]; readonly locked: ReadonlySet<string> },
): Promise<Old[]> {
  const { movement, item } = map
  const { transactionId, reverses } = movement
  const id = columnOf(transactionId)
  const key = join(movement.item.map((field) => raw(`o.${columnOf(field)}::text`)))
  const original =
    reverses &&
    sql`,
  (SELECT r.${id}::text FROM ${movement.table} AS r WHERE ${raw(movement.scope.map((f) => `r.${columnOf(f)} = o.${columnOf(f)} AND `).join(''))}r.${id} = o.${columnOf(reverses)} LIMIT 1) AS reverses`
  const lines =
    await tx.rows<OldLine>(sql`SELECT o.${id}::text AS id, ARRAY[${key}] AS key, (${isOver(map, pruning)}) IS TRUE AS "isOver"${original}${numbersOf(map)}
FROM ${joined(map)} JOIN ${rowsIn('m', idColumns(movement, old))} ON ${isOf(movement, 'o')}`)
  const going = new Map(old.map((one) => [one.transactionId, one]))
  for (let isSettled = false; !isSettled; ) {
    const ends = endsOfBeginnings(
      map,
      lines.filter((line) => going.has(line.id)),
    )
    const staying = lines.filter((line) => going.has(line.id) && !mayGo(line, ends))
    for (const line of staying) going.delete(line.id)
    isSettled = staying.length === 0
  }
  return [...going.values()]

  function mayGo(line: OldLine, ends: ReadonlyMap<string, bigint>): boolean {
    const { key, isOver, reverses, number, lowest } = line
    const { id } = itemOfRow(item, key)
    const end = ends.get(id) ?? BigInt(lowest ?? 0)
    const isBeginning = !line.isInHistory || (number == null ? end > 1n : BigInt(number) < end)
    return isOver && locked.has(id) && isBeginning && (!reverses || going.has(reverses))
  }
}

/** Columns of a line `o` of an item `t`, in a ledger with a history. */
function numbersOf({ history, movement }: StockMap): Statement | undefined {
  if (history === undefined) return undefined
  const { refused } = movement
  const number = columnOf(history.sequence)
  const isSame = raw(movement.item.map((f) => `h.${columnOf(f)} = o.${columnOf(f)}`).join(' AND '))
  return sql`,
  ${raw(refused ? `NOT o.${columnOf(refused)}` : 'true')} AS "isInHistory", o.${number}::text AS number, t.${columnOf(history.last)}::text AS last,
  (SELECT min(h.${number}) FROM ${movement.table} AS h WHERE ${isSame})::text AS lowest`
}

/** The first number of each item that is to stay: from its lowest one on, the lines have all those before it. */
function endsOfBeginnings({ item }: StockMap, lines: readonly OldLine[]): Map<string, bigint> {
  const ends = new Map<string, bigint>()
  const numbered = lines.flatMap(({ key, number, lowest, last }) =>
    number != null && lowest != null && last != null
      ? [{ id: itemOfRow(item, key).id, number: BigInt(number), lowest: BigInt(lowest), last: BigInt(last) }]
      : [],
  )
  numbered.sort((a, b) => (a.number < b.number ? -1 : 1))
  for (const { id, number, lowest, last } of numbered) {
    const end = ends.get(id) ?? lowest
    ends.set(id, number === end && number < last ? number + 1n : end)
  }
  return ends
}

async function remove(
  tx: Session,
  map: StockMap,
  { opening, scope }: PruningMovements,
  gone: readonly Old[],
): Promise<number> {
  const { item, movement } = map
  const { table, quantity, refused } = movement
  const moved = raw(
    refused ? `CASE WHEN t.${columnOf(refused)} THEN 0 ELSE t.${columnOf(quantity)} END` : `t.${columnOf(quantity)}`,
  )
  const statement = sql`WITH gone AS (
  DELETE FROM ${table} AS t
  USING ${rowsIn('m', idColumns(movement, gone))}
  WHERE ${isOf(movement, 't')}
  RETURNING ${columnsAsKeys(movement.item, 't')}, ${moved} AS quantity
), sums AS (
  SELECT ${keyNames(item.key)}, sum(quantity) AS quantity FROM gone GROUP BY ${keyNames(item.key)}
), changed AS (
  UPDATE ${item.table} AS t SET ${columnOf(opening)} = t.${columnOf(opening)} + s.quantity${touches(item, 't')}
  FROM sums AS s
  WHERE ${join([inScope(item, 't', scope), keysEqual(item.key, 't', 's')], ' AND ')}
  RETURNING 1
)
SELECT (SELECT count(*) FROM gone)::int AS deleted,
  CASE WHEN c.count <> s.count THEN ${refusedCount(raw('c.count'), raw('s.count'))} END AS refusal
FROM (SELECT count(*) FROM changed) AS c, (SELECT count(*) FROM sums) AS s`
  try {
    return (await rowOf<{ deleted: number }>(tx, statement)).deleted
  } catch (error) {
    if (refusalOf(error) !== undefined) throw new WriteSuppressedError(item.model.name, {}, { cause: error })
    throw error
  }
}
