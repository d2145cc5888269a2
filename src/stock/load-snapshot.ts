import type { Row, Session } from '../engine/session.js'
import { timed } from '../events/call-events.js'
import { sqlTypeOf } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { join, type Piece, raw, sql } from '../sql/statement.js'
import type { Balance, RecordedMovement, RecordedReservation, Snapshot } from './decider.js'
import { type Item, itemOfRow } from './item.js'
import type { LinesMap, StockMap } from './mapping.js'
import { type Claimed, type Kind, type Line, nameOf, type Request } from './request.js'
import {
  idColumns,
  idsAreLocked,
  isOf,
  itemsIn,
  limited,
  listOf,
  lockedBalance,
  lockedItems,
  rowsIn,
} from './statements.js'

/** Items that are locked, as they are. */
export interface LockedState {
  readonly balances: ReadonlyMap<string, Balance>
  /** The time, by the database's clock. */
  readonly now: Date
}

/**
 * Locks the transaction ids and the items, and then reads the state that their requests depend on. Only a second
 * statement sees rows that were committed while the first one waited for a lock; from then on, nobody
 * else changes these items, nor the movements and reservations that this package writes of them.
 *
 * @param state where the transaction has locked all of them already
 */
export async function loadSnapshot(
  tx: Session,
  map: StockMap,
  requests: readonly Request[],
  { lockTimeout, state }: { readonly lockTimeout?: number; readonly state?: LockedState | undefined } = {},
): Promise<Snapshot> {
  await map.quantities.prepare(tx)
  const { reservation } = map
  const items = itemsOf(requests)
  const ids = [...new Map(requests.map((request) => [nameOf(request), request])).values()]
  const reserving = new Set(requests.filter(({ kind }) => kind === 'reserve').map(nameOf))
  const limit = limited(lockTimeout)
  const locks = reservation && idsAreLocked(map, ids, (id) => reserving.has(nameOf(id)), limit)
  // Where there is none, of the scope, so that its shard is known all the same.
  const lockable =
    items.length > 0 ? items : requests.slice(0, 1).map(({ scope }) => ({ id: '', key: scope, given: '' }))
  const lock = () => lockAndRead(tx, map, lockable, [limit, locks])
  const locked = state ?? (await timed(requests[0]?.deadline.events, 'row', lock))
  const deferred = await requests.find(({ folds }) => folds)?.folds?.(tx, map, requests)
  const { balances, now } = deferred ? await lockAndRead(tx, map, items, []) : locked
  const hasReserved = [...balances.values()].some(({ reserved }) => reserved !== 0n)
  const reading = reservation && (await import('./read-reservations.js'))
  const expired = reading && hasReserved ? await reading.endExpired(tx, map, reservation, items) : new Map()
  const movements = await readMovements(tx, map, ids)
  const named = [...ids, ...requests.flatMap(({ of }) => of ?? [])]
  const reservations = (await reading?.readReservations(tx, map, named)) ?? new Map()
  const differing = await differingData(tx, map, requests, { movements, reservations })
  const reversal = requests.find((request) => request.reversal)?.reversal
  const reversals = await reversal?.read(tx, map, requests)
  return { balances, movements, reservations, expired, differing, reversals, deferred, now }
}

/** The items of all requests, each once. */
export function itemsOf(requests: readonly Request[]): readonly Item[] {
  const items = new Map<string, Item>()
  for (const { lines } of requests) for (const { item } of lines) items.set(item.id, item)
  return [...items.values()]
}

export interface LockedRow {
  readonly position: number
  readonly onHand: string
  readonly reserved: string
  readonly minimum: string | null
  readonly maximum?: string | null
  readonly sequence?: string
  readonly closedUntil?: number | null
  readonly today?: number
  /** How long the statement had run when it had locked the row, in ms; where it is observed. */
  readonly waited?: number
  readonly now: number
}

async function lockAndRead(tx: Session, map: StockMap, items: readonly Item[], conditions: readonly Piece[]) {
  const rows = await tx.rows<LockedRow>(sql`WITH locked AS MATERIALIZED (
  ${lockedItems(map, itemsIn(map, items), conditions)}
)
SELECT ${lockedBalance(map)}
FROM locked AS l`)
  return balancesOf(map, items, rows)
}

export function balancesOf(map: StockMap, items: readonly Item[], rows: readonly LockedRow[]): LockedState {
  const { quantities } = map
  const balances = new Map<string, Balance>()
  for (const { position, ...row } of rows) {
    const limit = (text: string | null = null) => (text === null ? null : quantities.parse(text))
    balances.set(idAt(items, position), {
      onHand: quantities.parse(row.onHand),
      reserved: quantities.parse(row.reserved),
      minimum: map.item.minimum ? limit(row.minimum) : map.minimum,
      maximum: limit(row.maximum),
      sequence: BigInt(row.sequence ?? 0),
      closedUntil: row.closedUntil ?? null,
      today: row.today ?? 0,
    })
  }
  return { balances, now: new Date(rows[0]?.now ?? 0) }
}

export function idAt(items: readonly Item[], position: number): string {
  const item = items[position - 1]
  if (item === undefined) throw new Error(`The database has named the item ${position} of ${items.length}.`)
  return item.id
}

/** The movements that are recorded under the transaction ids. */
export async function readMovements(session: Session, map: StockMap, ids: readonly Claimed[]) {
  const { movement, period } = map
  const { refused } = movement
  const found = new Map<string, RecordedMovement & { readonly lines: Line[] }>()
  const more = raw(`${refused ? `, t.${columnOf(refused)} AS refused` : ''}${period?.sql?.recorded ?? ''}`)
  for (const { name, line, row } of await readLines(session, map, movement, { ids, more })) {
    const recorded = found.get(name) ?? {
      lines: [],
      isRefused: row.refused === true,
      date: row.date,
    }
    recorded.lines.push(line)
    found.set(name, recorded)
  }
  return found
}

/** The records under transaction ids, by their names. */
export interface Recorded {
  readonly movements: ReadonlyMap<string, RecordedMovement>
  readonly reservations?: ReadonlyMap<string, RecordedReservation>
}

const RECORDS_NOTHING: readonly Kind[] = ['release', 'extend', 'change']
const NOTHING_DIFFERS: ReadonlyMap<Request, readonly string[]> = new Map()

/** The fields of data in which requests differ from what is recorded under their transaction ids. */
export async function differingData(session: Session, map: StockMap, requests: readonly Request[], recorded: Recorded) {
  const again = requests.flatMap((request) => {
    const { kind, lines } = request
    const [table, found] =
      kind === 'reserve' ? [map.reservation, recorded.reservations] : [map.movement, recorded.movements]
    const known = RECORDS_NOTHING.includes(kind) ? undefined : found?.get(nameOf(request))
    return table && known && (table.hasNulls || lines.some(({ data }) => data)) ? [{ request, table, known }] : []
  })
  if (again.length === 0) return NOTHING_DIFFERS
  const { differingFields } = await import('./line-data.js')
  return differingFields(session, map.catalogue, again)
}

/** Which transactions, and what else of their lines. */
interface Wanted {
  readonly ids: readonly Claimed[]
  readonly more?: Piece
}

/**
 * The lines of transactions, and what else there is of each. By a plan that was made while the table was tiny, a join
 * scans it once; a lookup for each id would scan it as often as there are ids (4 s for 250 of 100,000, instead of 25 ms).
 */
export async function readLines(session: Session, map: StockMap, lines: LinesMap, { ids, more }: Wanted) {
  const { table, scope, transactionId, line, quantity } = lines
  const distinct = [...new Map(ids.map((each) => [nameOf(each), each])).values()]
  const id = columnOf(transactionId)
  const from =
    scope.length > 0
      ? sql`${rowsIn('m', idColumns(lines, distinct))} JOIN ${table} AS t ON ${isOf(lines, 't')}`
      : sql`${table} AS t
WHERE t.${id} = ANY(${listOf(distinct, (each) => each.transactionId, sqlTypeOf(transactionId))})`
  const key = join(lines.item.map((field) => raw(`t.${columnOf(field)}::text`)))
  const rows = await session.rows<Row & { id: string; key: string[]; quantity: string }>(
    sql`SELECT t.${id}::text AS id, ARRAY[${key}] AS key,
  t.${columnOf(quantity)}::text AS quantity${more}
FROM ${from}
ORDER BY t.${id}, t.${columnOf(line)}`,
  )
  return rows.map(({ id, key, quantity, ...row }) => ({
    name: nameOf({ scope: key.slice(0, scope.length), transactionId: id }),
    line: { item: itemOfRow(map.item, key), quantity: map.quantities.parse(quantity) },
    row,
  }))
}
