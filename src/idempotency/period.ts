import { sqlState } from '../engine/error-facts.js'
import { rowOf, type Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import { param, type Statement, sql } from '../sql/statement.js'
import * as s from '../values/schema.js'
import { isTimeZone } from '../values/time-zone.js'
import { keyTextSchema } from '../values/validation.js'
import { AT_LEAST, ONCE_PER, type OperationKey } from './key-store.js'

/**
 * Periods of one length, side by side: a new one begins whenever the local time has come to the
 * next multiple of the length, counted from midnight of 1970-01-01. Take it where the periods
 * themselves matter, such as one report for each day.
 *
 * Not for a scheduler that fires where a period begins: its clock and the database's differ, so one
 * tick can be the last moment of a period on one machine and the first of the next on another, and
 * the job then runs twice. Take `atLeast` there, or an `offset` far from the tick.
 */
export interface GridPeriod {
  /**
   * How long a period is: a number of ms, or a text such as `'90s'`, `'15m'`, `'1h'` or `'1d'`; whole
   * seconds. Periods longer than an hour are counted by the local clock alone: the days on which the
   * clock is changed have 23 or 25 hours, and are one period each. Those of up to an hour are
   * counted by the time that passes: the hour that comes twice in autumn is two of them.
   */
  readonly every: string | number
  /** The time zone of the local time, such as `'Europe/Vienna'`. Default `'UTC'`. */
  readonly timeZone?: string | undefined
  /** How much later each period begins, such as `'2h'`: a day from two to two. Shorter than `every`. Default 0. */
  readonly offset?: string | number | undefined
}

/**
 * A pause: the job runs if its last success, on any machine, is so long ago by the database's clock,
 * or if there was none yet. A success is noted when its body ends; a body that throws is none.
 *
 * For a scheduler, take less than its interval by more than the job takes and the schedulers'
 * clocks differ: `'23h'` for a job of some minutes each day.
 */
export interface AtLeastPeriod {
  /** The pause: a number of ms, or a text such as `'90s'`, `'15m'`, `'1h'` or `'23h'`; whole seconds. */
  readonly atLeast: string | number
}

/** When a job may run again: in the next period of a name, such as `2026-11-24`, in the next of a grid, or after a pause. */
export type Period = string | GridPeriod | AtLeastPeriod

const length = s.union([s.string(), s.number()], "must be a text such as '1h', or a number of ms")

export const timeZoneSchema = s.string().check(s.refine(isTimeZone, "must be 'UTC', or a name such as 'Europe/Vienna'"))

const gridSchema = s.strictObject({
  every: length,
  timeZone: s.optional(timeZoneSchema),
  offset: s.optional(length),
})

export const periodSchema = s.union(
  [keyTextSchema, gridSchema, s.strictObject({ atLeast: length })],
  "must be a name such as '2026-11-24', of at most 1,000 bytes, { every: '1h' } or { atLeast: '1h' }",
)

/** The key under which a run of the job is noted: one for each period, or one for all runs that a pause keeps apart. */
export async function keyOfRun(session: Session, job: string, period: Period): Promise<OperationKey> {
  const scope = `${ONCE_PER}${job}`
  if (typeof period === 'string') return { scope, key: period }
  if ('every' in period) return { scope, key: await currentPeriod(session, gridOf(period)) }
  return { scope: `${AT_LEAST.scope}${job}`, key: AT_LEAST.key, pause: secondsOf(period.atLeast, 'period.atLeast') }
}

/** A grid with every value settled; its lengths in seconds. */
export interface Grid {
  readonly every: number
  readonly timeZone: string
  readonly offset: number
}

/** @param path of the period among the arguments, in errors */
export function gridOf({ every, timeZone = 'UTC', offset = 0 }: GridPeriod, path = 'period.'): Grid {
  const grid = {
    every: secondsOf(every, `${path}every`),
    timeZone,
    offset: isNothing(offset) ? 0 : secondsOf(offset, `${path}offset`),
  }
  if (grid.offset < grid.every) return grid
  throw new InvalidArgumentError(`${path}offset`, 'must be shorter than `every`.')
}

const isNothing = (length: string | number) => length === 0 || (typeof length === 'string' && /^0+[smhd]$/.test(length))

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** @throws InvalidArgumentError that names the field */
export function secondsOf(length: string | number, field: string): number {
  const text = typeof length === 'number' ? `${length / 1_000}s` : length
  const [, amount, unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? []
  const seconds = Number(amount) * (UNITS[unit] ?? Number.NaN)
  // The database counts in microseconds.
  if (seconds > 0 && Number.isInteger(seconds) && Number.isSafeInteger(seconds * 1_000_000)) return seconds
  throw new InvalidArgumentError(
    field,
    "must be whole seconds, at most 285 years: a number of ms, or a text such as '90s', '15m', '1h' or '1d'.",
  )
}

/**
 * The start of a period in UTC. Up to an hour it is so long ago as the local clock says: then an hour
 * that the clock shows twice is two periods. Else it is the moment at which the clock shows the
 * start, however many hours there are between: one of two where it shows it twice, but always the same.
 */
function startOfPeriod(grid: Grid, at: Date | undefined): Statement {
  const { period, start } = periodAt(grid, at)
  return sql`${period}
SELECT to_char(
  ${start} AT TIME ZONE 'UTC',
  'YYYY-MM-DD"T"HH24:MI:SS"Z"'
) AS start
FROM period`
}

/** Parts of a statement about the period of a moment: the table `period`, and of its row the start, and the start of the next one. */
export function periodAt({ every, timeZone, offset }: Grid, at: Date | undefined) {
  const [length, zone] = [param(every, 'float8'), param(timeZone, 'text')]
  const period = sql`WITH local AS (
  SELECT moment, moment AT TIME ZONE ${zone} AS shown
  FROM coalesce(${param(at?.toISOString() ?? null, 'timestamptz')}, now()) AS moment
), period AS (
  SELECT moment, shown,
    date_bin(make_interval(secs => ${length}), shown, timestamp '1970-01-01 00:00:00' + make_interval(secs => ${param(offset, 'float8')})) AS start
  FROM local
)`
  const next = sql`CASE WHEN ${length} <= 3600 THEN moment - (shown - start) + make_interval(secs => ${length}) ELSE (start + make_interval(secs => ${length})) AT TIME ZONE ${zone} END`
  return {
    period,
    start: sql`CASE WHEN ${length} <= 3600 THEN moment - (shown - start) ELSE start AT TIME ZONE ${zone} END`,
    next,
  }
}

/**
 * The name of the period that it is now, by the database's clock, the only one that all machines
 * share. It is made of the moment at which the period begins: the same for all spellings of a zone.
 *
 * @throws InvalidArgumentError if the database does not know the time zone
 */
export async function currentPeriod(session: Session, grid: Grid, at?: Date): Promise<string> {
  try {
    const { start } = await rowOf<{ start: string }>(session, startOfPeriod(grid, at))
    return `${start}/${grid.every}s`
  } catch (error) {
    throw ofTimeZone(error, grid, 'period.timeZone')
  }
}

/** The error of a statement about a period, which may be that of a time zone. */
export function ofTimeZone(error: unknown, { timeZone }: Grid, path: string): unknown {
  if (sqlState(error) !== '22023') return error
  return new InvalidArgumentError(path, `is ${timeZone}, which the database does not know.`, { cause: error })
}
