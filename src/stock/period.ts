import type { Field } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError, PeriodClosedError } from '../errors/index.js'
import { columnsOf, keysEqual } from '../mapping/columns.js'
import { columnValue } from '../sql/column-value.js'
import { columnOf } from '../sql/sql.js'
import { param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { DAY } from '../values/moment.js'
import type { Decider } from './decider.js'
import type { Args } from './lines.js'
import type { PeriodMap, StockMap } from './mapping.js'
import { dateIn, dates, epochIn, todayOf } from './period-sql.js'
import type { Line, Request } from './request.js'
import type { RecordedMovement } from './snapshot.js'
import { type Entry, keyColumns, positions, rowsIn } from './statements.js'

/** The business date of a request. It is loaded with the other methods, by the first call of a ledger that has dates. */
export class Period {
  /** In ms since 1970; `undefined` is that of today, by the database's clock. */
  readonly date: number | undefined
  readonly checkDeferred = checkDeferred

  constructor(date: number | undefined) {
    this.date = date
  }

  /**
   * The field of the date, where a call that comes again gives another one. A call without a date means today, and may come
   * again on another day.
   *
   * @param decider knows what day it is, for a movement that was recorded just now
   */
  differing({ date, lines }: Pick<RecordedMovement, 'date' | 'lines'>, decider?: Decider): readonly string[] {
    const today = () => lines[0] && decider?.balance(lines[0].item).today
    return this.date === undefined || (date === undefined ? today() : date) === this.date ? [] : ['date']
  }

  /**
   * The items are locked, so their periods stay as they are until this is committed.
   *
   * @throws PeriodClosedError if the date is in a closed period of one of the items
   */
  check(decider: Decider, { transactionId }: Request, lines: readonly Line[]): void {
    for (const { item } of lines) {
      const { closedUntil = null, today = 0 } = decider.balance(item)
      const date = this.date ?? today
      if (closedUntil === null || date > closedUntil) continue
      throw new PeriodClosedError(transactionId, item.given, {
        date: new Date(date),
        closedUntil: new Date(closedUntil),
      })
    }
  }
}

/**
 * A condition: all items are there, and the dates are in no closed period of theirs.
 *
 * A deferred movement waits for no other movement: it locks its items for nobody but `close`, which takes the stronger lock. So
 * one that is under way while its item is closed is waited for, and is found there; and one that comes later waits, and
 * sees the item as it is then: a row that had to be waited for is the present one.
 */
export function itemsAreOpen(map: StockMap, { date, closedUntil }: Closable, entries: readonly Entry[]): Statement {
  return sql`(
    SELECT count(*)
    FROM (
      SELECT
      FROM ${closable(map, date, entries)}
      WHERE (${isClosed(date, closedUntil)}) IS NOT TRUE
      ORDER BY ${columnsOf(map.item.key, 't')}
      FOR KEY SHARE OF t
    ) AS open
  ) = ${param(entries.length, 'int')}`
}

/** @throws PeriodClosedError if an item is closed for a movement that was to be deferred */
async function checkDeferred(
  session: Session,
  map: StockMap,
  { transactionId, lines, period }: Request,
): Promise<void> {
  const { date, closedUntil } = map.period ?? {}
  if (!date || !closedUntil) return
  const entries = lines.map((entry) => ({ ...entry, date: period?.date }))
  const [row] = await session.rows<{ position: number; date: number; closedUntil: number }>(
    sql`SELECT item.position, ${epochIn(`coalesce(${dateIn(date, 'item.date')}, ${todayOf(date)})`)} AS date,
  ${epochIn(`t.${columnOf(closedUntil)}`)} AS "closedUntil"
FROM ${closable(map, date, entries)}
WHERE ${isClosed(date, closedUntil)}
ORDER BY item.position
LIMIT 1`,
  )
  const line = row && lines[row.position - 1]
  if (!line) return
  const moments = { date: new Date(row.date), closedUntil: new Date(row.closedUntil) }
  throw new PeriodClosedError(transactionId, line.item.given, moments)
}

/** Of a ledger whose periods can be closed. */
export interface Closable {
  readonly date: Field
  readonly closedUntil: Field
}

/** The items `t` of movements, beside the dates of these: `item`. */
function closable(map: StockMap, date: Field, entries: readonly Pick<Entry, 'item' | 'date'>[]): Statement {
  const items = entries.map(({ item }) => item)
  const rows = rowsIn('item', [
    ...keyColumns(map, items),
    positions(items),
    dates(date, entries, (entry) => entry.date),
  ])
  return sql`${rows} JOIN ${map.item.table} AS t ON ${keysEqual(map.item.key, 't', 'item')}`
}

function isClosed(date: Field, closedUntil: Field): SqlText {
  return raw(`t.${columnOf(closedUntil)} >= coalesce(${dateIn(date, 'item.date')}, ${todayOf(date)})`)
}

/** The request of a call with the date of its movements, where they have one. */
export function withPeriod(map: StockMap, request: Request, { date }: Args): Request {
  const { period, movement } = map
  if (period) return { ...request, period: new Period(date === undefined ? undefined : readDate(period, date, 'date')) }
  if (date === undefined) return request
  const message = `must name a DateTime field of ${movement.model.name}, for movements to have a date`
  throw new ConfigurationError([{ path: 'movement.date', message }])
}

/** A business date, in ms since 1970: of a Date as Prisma stores it, so that of a day is its day in UTC. */
export function readDate({ date }: Pick<PeriodMap, 'date'>, given: unknown, path: string): number {
  const isDay = date.nativeType === 'Date'
  const value = isDay && typeof given === 'string' && DAY.test(given) ? `${given}T00:00:00Z` : given
  const text = value === null ? undefined : columnValue(value, date)
  if (typeof text === 'string') return Date.parse(isDay ? text : `${text}Z`)
  throw new InvalidArgumentError(path, `must be a Date, or a text such as '2026-01-31${isDay ? "'" : "T00:00:00Z'"}.`)
}
