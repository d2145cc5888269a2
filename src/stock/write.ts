import { isLockTimeout, isOutOfRange } from '../engine/error-facts.js'
import { rowOf, type Session } from '../engine/session.js'
import { VersionOverflowError, WriteSuppressedError } from '../errors/index.js'
import { keysEqual, sqlTypeOf, stampColumns, touches } from '../mapping/columns.js'
import { refusalOf, refusedCount } from '../sql/refusal.js'
import { columnOf } from '../sql/sql.js'
import { type Piece, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { systemClock } from '../sync/clock.js'
import type { Balance, MovementEntry, WriteSet } from './decider.js'
import type { Demand } from './demand.js'
import type { Item } from './item.js'
import { balancesOf, type LockedRow, type LockedState } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import type { Numbers } from './numbering.js'
import {
  type Claim,
  type ClaimParts,
  claimParts,
  column,
  type Entry,
  flagColumns,
  idsAreNew,
  idsAreUnreserved,
  keyColumns,
  limited,
  lockedBalance,
  lockedItems,
  positions,
  rowsIn,
  where,
} from './statements.js'

type Writes = Pick<WriteSet, 'items' | 'movements'>
/** `taken`: another call has one of the transaction ids. `undone`: the statement has taken itself back, by an error. */
export type Written = 'written' | 'taken' | 'undone'

/**
 * Is told how a guarded statement went: the rows that it has locked, with the time that each of them was `waited` for, or
 * that it was ended by its limit for a lock, and the time that it took, in ms.
 */
export type Observe = (
  items: Writes['items'],
  rows: readonly (LockedRow & { readonly isWritten: boolean })[] | 'ended',
  took: number,
) => void

/** The condition of the writes: each of their items has the quantity that they demand of it. */
export interface Guard {
  readonly demands: ReadonlyMap<string, Demand>
  /** How long the statement may wait for a row, in ms. */
  readonly lockTimeout?: number
  /** Whether it looks for the ids first, so that a recorded one of several is no error. That takes a tenth of its time. */
  readonly looksForIds?: boolean
}

/**
 * Writes movements that nobody has decided with locks, in one statement that knows no balance: all of them, or
 * nothing. Resolves to the items as they were before, if they could be locked.
 *
 * It is right at every interleaving. `locked` waits for each item, in one order, and has it as it is then:
 * from there on to the commit nobody else changes it, so the demand is checked against the present, though the
 * statement's snapshot is older. A movement that was committed during the wait is met in the unique index by
 * `claim`, which no snapshot hides, and the balance is only written if all ids were claimed. The write adds
 * a difference to the row as it is. The transaction ids are locked before the items, so that nobody reserves them.
 *
 * A statement that refuses before it has written anything says so without an error, since an error ends the
 * caller's transaction, and costs a connection of the pool. Only when a part was written it takes itself back.
 *
 * @throws WriteSuppressedError if it has taken itself back: some of the ids are recorded, or a trigger suppresses a write
 */
export async function writeGuarded(
  session: Session,
  map: StockMap,
  writes: Writes,
  guard: Guard,
): Promise<LockedState & { readonly isWritten: boolean }> {
  const { items, movements } = writes
  const numbers = await numbersFor(map, writes, false)
  const parts = claimParts(map, movementClaim(map, movements, numbers), (ids) => [
    sql`(SELECT count(*) FROM locked WHERE is_as_demanded) = ${param(items.length, 'int')}`,
    guard.looksForIds && idsAreNew(map, ids),
  ])
  const source = changesIn(map, writes, guard.demands)
  const conditions = [limited(guard.lockTimeout), idsAreUnreserved(map, parts.ids)]
  const statement = sql`WITH locked AS MATERIALIZED (
  ${lockedItems(map, source, conditions, sql`,\n    ${isAsDemanded(map, limitsOf(guard.demands))} AS is_as_demanded`)}
), ${numbers && sql`${numbers.cte}, `}${parts.ctes}, ${changedItems(map, writes, source, parts)}
SELECT ${lockedBalance(map)}, ${isWritten(items, parts)}
FROM locked AS l, (SELECT count(*) FROM changed) AS c`
  const since = map.observe ? systemClock.now() : 0
  const sent = session.rows<LockedRow & { isWritten: boolean }>(statement)
  const rows = await undefinedIfUndone(map, sent).catch((error: unknown) => {
    if (isLockTimeout(error)) map.observe?.(items, 'ended', systemClock.now() - since)
    throw error
  })
  if (rows === undefined) throw new WriteSuppressedError(map.item.model.name, {})
  map.observe?.(items, rows, systemClock.now() - since)
  return { ...balancesOf(map, itemsOf(items), rows), isWritten: rows[0]?.isWritten ?? false }
}

/**
 * Writes what was decided with the items locked. The transaction ids are claimed first: if another call has taken
 * one meanwhile, the claim waits for that call. If it has taken the only one, nothing is written, and no error
 * ends the caller's transaction.
 */
export async function writeLocked(tx: Session, map: StockMap, set: WriteSet): Promise<Written> {
  const { reservations } = set
  if (reservations && !(await reservations.claim(tx, map))) return 'taken'
  const written = set.items.length > 0 ? await writeItems(tx, map, set) : 'written'
  if (written === 'written') await reservations?.writeAltered(tx, map)
  return written
}

async function writeItems(tx: Session, map: StockMap, writes: Writes): Promise<Written> {
  const { items, movements } = writes
  const numbers = await numbersFor(map, writes, true)
  const parts = movements.length > 0 ? claimParts(map, movementClaim(map, movements, numbers), () => []) : undefined
  const statement = sql`WITH ${parts && sql`${parts.ctes}, `}${changedItems(map, writes, changesIn(map, { items, movements: [] }), parts)}
SELECT ${isWritten(items, parts)}
FROM (SELECT count(*) FROM changed) AS c`
  const row = await undefinedIfUndone(map, rowOf<{ isWritten: boolean }>(tx, statement))
  if (row === undefined) return 'undone'
  return row.isWritten ? 'written' : 'taken'
}

/** Loaded only where there is a history. */
async function numbersFor(map: StockMap, writes: Writes, isKnown: boolean): Promise<Numbers | undefined> {
  if (!map.history || writes.movements.length === 0) return undefined
  const { numbersOf } = await import('./numbering.js')
  return numbersOf(map, map.history, writes, isKnown)
}

/** The balances as a write leaves them. */
export function leftBy({ items }: Writes): Map<string, Balance> {
  return new Map(items.map(({ item, next }) => [item.id, next]))
}

/**
 * Whether it is written, by the number of `c` of the changed items. If only a part was, it takes itself back: some of
 * the ids were claimed, or a trigger or a policy has suppressed a write.
 */
function isWritten(items: Writes['items'], parts: ClaimParts | undefined): Statement {
  const count = param(items.length, 'int')
  const isDone = parts?.isComplete ? sql`(c.count = ${count} AND ${parts.isComplete})` : sql`c.count = ${count}`
  return sql`c.count = ${count} AS "isWritten",
  CASE WHEN ${parts && raw('EXISTS (SELECT FROM claim) AND ')}NOT ${isDone} THEN ${refusedCount(raw('c.count'), count)} END AS refusal`
}

/** `undefined` if the statement has taken itself back. */
async function undefinedIfUndone<T>(
  { item: { model, version } }: StockMap,
  statement: Promise<T>,
): Promise<T | undefined> {
  try {
    return await statement
  } catch (error) {
    if (refusalOf(error) !== undefined) return undefined
    // The quantities have been checked.
    if (version && isOutOfRange(error)) throw new VersionOverflowError(model.name, version.name, { cause: error })
    throw error
  }
}

/** Items with what is added to them, and what is demanded of them. */
function changesIn(map: StockMap, { items, movements }: Writes, demands?: Guard['demands']): Statement {
  const { quantities, period } = map
  const { wideSqlType } = quantities
  const textOf = (units: bigint | null | undefined) =>
    units === null || units === undefined ? null : quantities.text(units)
  const columns = [
    ...keyColumns(map, itemsOf(items)),
    positions(items),
    column('on_hand', wideSqlType, items, ({ known, next }) => textOf(next.onHand - known.onHand)),
  ]
  if (changesReserved(items)) {
    columns.push(column('reserved', wideSqlType, items, ({ known, next }) => textOf(next.reserved - known.reserved)))
  }
  if (map.history) {
    columns.push(column('moved', 'int8', items, ({ known, next }) => (next.sequence - known.sequence).toString()))
  }
  const earliest = movements.length > 0 && period?.sql?.earliest?.(items, movements)
  if (earliest) columns.push(earliest)
  for (const name of limitsOf(demands)) {
    columns.push(column(LIMITS[name], wideSqlType, items, ({ item }) => textOf(demands?.get(item.id)?.[name])))
  }
  return rowsIn('item', columns)
}

function changesReserved(items: Writes['items']): boolean {
  return items.some(({ known, next }) => known.reserved !== next.reserved)
}

/** The columns of the demands that there are. */
const LIMITS = {
  least: 'least',
  leastBeyond: 'least_beyond',
  below: 'below',
  belowBeyond: 'below_beyond',
  most: 'most',
  mostBeyond: 'most_beyond',
} as const

type Limit = keyof typeof LIMITS

function limitsOf(demands: Guard['demands'] | undefined): readonly Limit[] {
  const all = [...(demands?.values() ?? [])]
  const names: readonly Limit[] = ['least', 'leastBeyond', 'below', 'belowBeyond', 'most', 'mostBeyond']
  return names.filter((name) => all.some((demand) => demand[name] !== null))
}

/** Whether the item `t` is as demanded. A demand that is NULL, or beyond no limit, demands nothing; below no minimum is nothing. */
function isAsDemanded({ item, quantities, period }: StockMap, limits: readonly Limit[]): SqlText {
  const { onHand, reserved, minimum, maximum } = item
  const { highest, margin, wideSqlType } = quantities
  const balance = `t.${columnOf(onHand)}`
  const own = minimum && `t.${columnOf(minimum)}`
  const available = `${balance}::${wideSqlType}${reserved ? ` - t.${columnOf(reserved)}` : ''}`
  const values = {
    least: 'item.least',
    leastBeyond: `item.least_beyond + ${own}`,
    below: 'item.below',
    belowBeyond: `item.below_beyond + coalesce(${own}, ${quantities.text(-4n * highest)})`,
    most: 'item.most',
    mostBeyond: `item.most_beyond + ${maximum && `t.${columnOf(maximum)}`}`,
  }
  const compared = (names: readonly Limit[], compare: (list: string) => string, quantity = available) => {
    const list = names.filter((name) => limits.includes(name)).map((name) => values[name])
    return list.length > 0 ? ` AND (${quantity} ${compare(list.join(', '))}) IS NOT FALSE` : ''
  }
  const bound = quantities.text(highest - margin)
  const isHigh = compared(['least', 'leastBeyond'], (list) => `>= greatest(${list})`)
  const isLow = compared(['below', 'belowBeyond'], (list) => `< least(${list})`)
  const hasRoom = compared(['most', 'mostBeyond'], (list) => `<= least(${list})`, `${balance}::${wideSqlType}`)
  return raw(`(${balance} BETWEEN -${bound} AND ${bound}${isHigh}${isLow}${hasRoom}${period?.sql?.isOpen ?? ''})`)
}

/** The items, once all transaction ids are claimed. */
function changedItems(map: StockMap, { items }: Writes, source: Statement, parts: ClaimParts | undefined): Statement {
  const { table, key, onHand, reserved } = map.item
  const hasReserved = reserved && changesReserved(items)
  const { history } = map
  return sql`changed AS (
  UPDATE ${table} AS t
  SET ${columnOf(onHand)} = t.${columnOf(onHand)} + item.on_hand${hasReserved && raw(`, ${columnOf(reserved)} = t.${columnOf(reserved)} + item.reserved`)}${history && raw(`, ${columnOf(history.last)} = t.${columnOf(history.last)} + item.moved`)}${touches(map.item, 't')}
  FROM ${source}${where([keysEqual(key, 't', 'item'), parts?.isClaimed])}
  RETURNING 1
)`
}

function movementClaim(map: StockMap, entries: readonly MovementEntry[], numbers?: Numbers): Claim<MovementEntry> {
  const { movement } = map
  const { applied, refused } = movement
  const reverses = entries.some((entry) => entry.reverses) ? movement.reverses : undefined
  const parameters = (entries: readonly MovementEntry[]) => [
    ...(refused ? [column('refused', 'bool', entries, ({ isRefused }) => isRefused)] : []),
    ...(reverses ? [column('reverses', sqlTypeOf(reverses), entries, (entry) => entry.reverses ?? null)] : []),
    ...(numbers?.parameters(entries) ?? []),
  ]
  return {
    lines: movement,
    entries,
    parameters,
    columns: raw(flagColumns(map) + (reverses ? stampColumns([reverses]) : '') + (numbers?.columns ?? '')),
    values: sql`${map.period?.sql?.value}${applied && raw(', true')}${refused && raw(', m.refused')}${reverses && raw(', m.reverses')}${numbers?.values}`,
  }
}

/** Whether all of the transaction ids were claimed. */
export async function claimAll<E extends Entry>(
  tx: Session,
  map: StockMap,
  claim: Claim<E>,
  conditions: (ids: Statement) => readonly Piece[] = () => [],
): Promise<boolean> {
  const { ctes, isClaimed } = claimParts(map, claim, conditions)
  const row = await rowOf<{ isClaimed: boolean }>(tx, sql`WITH ${ctes} SELECT ${isClaimed} AS "isClaimed"`)
  return row.isClaimed
}

function itemsOf(rows: readonly { readonly item: Item }[]): Item[] {
  return rows.map(({ item }) => item)
}
