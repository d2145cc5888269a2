import { rowOf, type Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import { type Grid, gridOf, ofTimeZone, periodAt, secondsOf } from '../idempotency/period.js'
import { sql } from '../sql/statement.js'
import { cronPeriods } from './cron.js'
import type { JobMap } from './mapping.js'
import { type Known, lookStatement } from './statements.js'
import type { JobOptions, JobResult } from './types.js'

/** A period: in ms, by the database's clock. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** When a job is due, with every value settled. */
export interface Times {
  readonly rule: Pause | Periods
  /** In ms. */
  readonly retryAfter: number
}

interface Pause {
  /** In ms. */
  readonly pause: number
}

interface Periods {
  /** The period in which that moment is. */
  readonly at: (session: Session, moment: number) => Promise<Span>
  readonly catchesUp: boolean
}

export type TimeOptions = Pick<
  JobOptions,
  'every' | 'atLeast' | 'cron' | 'timeZone' | 'offset' | 'missed' | 'retryAfter'
>

/** @throws InvalidArgumentError that names the field */
export async function timesOf(options: TimeOptions): Promise<Times> {
  const { every, atLeast, cron, timeZone, offset, missed, retryAfter } = options
  if ([every, atLeast, cron].filter((given) => given !== undefined).length !== 1) {
    throw new InvalidArgumentError('options', 'must have one of `every`, `atLeast` and `cron`.')
  }
  const after = retryAfter === undefined || retryAfter === 0 ? 0 : secondsOf(retryAfter, 'retryAfter') * 1_000
  if (atLeast !== undefined) {
    refuse({ timeZone, offset, missed }, 'is of periods: `atLeast` has none.')
    return { rule: { pause: secondsOf(atLeast, 'atLeast') * 1_000 }, retryAfter: after }
  }
  const catchesUp = missed === 'catchUp'
  if (cron !== undefined) {
    refuse({ offset }, 'is of `every`: write it into the expression.')
    const periodOf = await cronPeriods(cron, timeZone ?? 'UTC')
    return { rule: { at: async (_, moment) => periodOf(moment), catchesUp }, retryAfter: after }
  }
  const grid = gridOf({ every: every ?? '', timeZone, offset }, '')
  return { rule: { at: (session, moment) => periodIn(session, grid, moment), catchesUp }, retryAfter: after }
}

function refuse(options: Readonly<Record<string, unknown>>, message: string): void {
  const given = Object.keys(options).find((name) => options[name] !== undefined)
  if (given !== undefined) throw new InvalidArgumentError(given, message)
}

async function periodIn(session: Session, grid: Grid, moment: number): Promise<Span> {
  const { period, start, next } = periodAt(grid, new Date(moment))
  try {
    return await rowOf<{ start: number; end: number }>(
      session,
      sql`${period}
SELECT (extract(epoch FROM ${start}) * 1000)::float8 AS start, (extract(epoch FROM ${next}) * 1000)::float8 AS "end"
FROM period`,
    )
  } catch (error) {
    throw ofTimeZone(error, grid, 'timeZone')
  }
}

/** Why a job is not to be run now. */
export type NotDue = Extract<JobResult<never>, { status: 'done' | 'failed' }>

export interface Due {
  /** `undefined` where there are no periods. */
  readonly period: Span | undefined
}

/** Whether the job is due now. */
export async function look(session: Session, map: JobMap, job: string, times: Times): Promise<Due | NotDue> {
  const known = await rowOf<Known>(session, lookStatement(map, job))
  const { rule, retryAfter } = times
  if ('pause' in rule) {
    const next = known.doneEnd === null ? known.now : known.doneEnd + rule.pause
    return next > known.now ? done(known, next) : (failed(known, undefined, retryAfter) ?? { period: undefined })
  }
  const current = await rule.at(session, known.now)
  // Under another rule the job may have had no periods.
  const last = known.donePeriod ?? known.doneStart
  if (last !== null && last >= current.start) return done(known, current.end)
  const period = last !== null && rule.catchesUp ? await after(session, rule, last) : current
  return failed(known, period, retryAfter) ?? { period }
}

/** The period after the one of that moment. */
async function after(session: Session, { at }: Periods, moment: number): Promise<Span> {
  const { end } = await at(session, moment)
  return at(session, end)
}

const done = ({ doneEnd }: Known, next: number): NotDue => ({
  status: 'done',
  since: new Date(doneEnd ?? 0),
  next: new Date(next),
})

/** The pause after a run that has failed for this period. */
function failed(
  { now, state, period, endedAt, error }: Known,
  of: Span | undefined,
  pause: number,
): NotDue | undefined {
  if (state !== 'failed' || endedAt === null || period !== (of?.start ?? null)) return undefined
  const next = endedAt + pause
  return next > now
    ? { status: 'failed', since: new Date(endedAt), next: new Date(next), error: error ?? '' }
    : undefined
}
