import { stampColumns, stamps, touches } from '../mapping/columns.js'
import { columnOf, epochOf, momentIn, momentOf } from '../sql/sql.js'
import { param, raw, type Statement, sql } from '../sql/statement.js'
import type { JobMap } from './mapping.js'
import type { JobState } from './types.js'

/*
 * None of these decides who runs a job: the lease does. A holder looks again once it has the lease: all that holders before
 * it have noted behind the fence is committed by then, since the lease is not taken before their transactions have ended.
 */

/** The beginning of the names of the leases of jobs: no job is in the way of a `$withLease` of the same name. */
const LEASE_OF_JOB = 'job: '

/** The facts about a job. Moments are in ms, by the database's clock. */
export interface Known {
  readonly now: number
  /** Its last success. */
  readonly donePeriod: number | null
  readonly doneStart: number | null
  readonly doneEnd: number | null
  /** Its last run. */
  readonly state: string | null
  readonly period: number | null
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly startedBy: string | null
  readonly error: string | null
}

const now = (map: JobMap, field: 'startedAt' | 'endedAt') => momentOf(map[field], 'clock_timestamp()')

export function lookStatement(map: JobMap, job: string): Statement {
  const name = param(job, 'text')
  const [own, token] = [raw(`r.${columnOf(map.job)}`), raw(`r.${columnOf(map.token)}`)]
  return sql`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now,
  ${epochOf(map.period, 'done.')} AS "donePeriod", ${epochOf(map.startedAt, 'done.')} AS "doneStart", ${epochOf(map.endedAt, 'done.')} AS "doneEnd",
  last.${columnOf(map.state)} AS state, ${epochOf(map.period, 'last.')} AS period, ${epochOf(map.startedAt, 'last.')} AS "startedAt",
  ${epochOf(map.endedAt, 'last.')} AS "endedAt", last.${columnOf(map.startedBy)} AS "startedBy", last.${columnOf(map.error)} AS error
FROM (SELECT 1) AS job
LEFT JOIN (
  SELECT r.* FROM ${map.table} AS r WHERE ${own} = ${name} AND r.${columnOf(map.state)} = 'done' ORDER BY ${token} DESC LIMIT 1
) AS done ON true
LEFT JOIN (
  SELECT r.* FROM ${map.table} AS r WHERE ${own} = ${name} ORDER BY ${token} DESC LIMIT 1
) AS last ON true`
}

export interface Start {
  readonly job: string
  readonly token: bigint
  /** In ms. */
  readonly period: number | undefined
  readonly startedBy: string | undefined
  /** Left by the holder before, as JSON. */
  readonly lastProgress: string | undefined
}

/** Notes the run, and that those are lost which have not said what became of them. */
export function startStatement(map: JobMap, { job, token, period, startedBy, lastProgress }: Start): Statement {
  const [name, own] = [param(job, 'text'), param(token, 'int8')]
  const { state } = map
  const start = momentIn(map.period, sql`to_timestamp(${param(period ?? null, 'float8')} / 1000)`)
  return sql`WITH lost AS (
  UPDATE ${map.table} AS r SET ${columnOf(state)} = 'lost', ${columnOf(map.endedAt)} = ${now(map, 'endedAt')},
    ${columnOf(map.progress)} = ${param(lastProgress ?? null, 'jsonb')}${touches(map, 'r')}
  WHERE r.${columnOf(map.job)} = ${name} AND r.${columnOf(state)} = 'running' AND r.${columnOf(map.token)} < ${own}
)
INSERT INTO ${map.table} (${columnOf(map.job)}, ${columnOf(map.token)}, ${columnOf(state)}, ${columnOf(map.period)}, ${columnOf(map.startedAt)}, ${columnOf(map.startedBy)}${stampColumns(map.updatedAt)})
VALUES (${name}, ${own}, 'running', ${start}, ${now(map, 'startedAt')}, ${param(startedBy ?? null, 'text')}${stamps(map.updatedAt)})`
}

/** Notes what became of the run, with the progress that its lease has. */
export function endStatement(
  map: JobMap,
  { job, token }: Pick<Start, 'job' | 'token'>,
  { state, error }: { readonly state: JobState; readonly error?: string },
): Statement {
  const { lease } = map
  return sql`UPDATE ${map.table} AS r
SET ${columnOf(map.state)} = ${param(state, 'text')}, ${columnOf(map.endedAt)} = ${now(map, 'endedAt')}, ${columnOf(map.error)} = ${param(error ?? null, 'text')},
    ${columnOf(map.progress)} = l.${columnOf(lease.progress)}${touches(map, 'r')}
FROM ${lease.table} AS l
WHERE r.${columnOf(map.job)} = ${param(job, 'text')} AND r.${columnOf(map.token)} = ${param(token, 'int8')} AND l.${columnOf(lease.name)} = ${param(leaseOf(job), 'text')}
RETURNING 1 AS noted`
}

export const leaseOf = (job: string) => `${LEASE_OF_JOB}${job}`

export interface RunRow {
  readonly job: string
  readonly token: bigint
  readonly state: JobState
  readonly period: number | null
  readonly startedAt: number
  readonly endedAt: number | null
  readonly duration: number
  readonly startedBy: string | null
  readonly error: string | null
  readonly progress: string | null
}

export interface HistoryFilter {
  readonly job: string | undefined
  readonly state: JobState | undefined
  readonly limit: number
}

/** The runs, the last one first. One whose lease is not held any more is lost, though nobody has noted that yet. */
export function historyStatement(map: JobMap, { job, state, limit }: HistoryFilter): Statement {
  const { lease } = map
  const isHeld = raw(
    `l.${columnOf(lease.token)} = r.${columnOf(map.token)} AND l.${columnOf(lease.expiresAt)} > ${momentOf(lease.expiresAt, 'clock_timestamp()')}`,
  )
  return sql`SELECT run.*
FROM (
  SELECT r.${columnOf(map.job)} AS job, r.${columnOf(map.token)}::int8 AS token,
    CASE WHEN r.${columnOf(map.state)} = 'running' AND (${isHeld}) IS NOT TRUE THEN 'lost' ELSE r.${columnOf(map.state)} END AS state,
    ${epochOf(map.period, 'r.')} AS period, ${epochOf(map.startedAt, 'r.')} AS "startedAt", ${epochOf(map.endedAt, 'r.')} AS "endedAt",
    coalesce(${epochOf(map.endedAt, 'r.')}, (extract(epoch FROM clock_timestamp()) * 1000)::float8) - ${epochOf(map.startedAt, 'r.')} AS duration,
    r.${columnOf(map.startedBy)} AS "startedBy", r.${columnOf(map.error)} AS error,
    (CASE WHEN r.${columnOf(map.state)} = 'running' AND l.${columnOf(lease.token)} = r.${columnOf(map.token)} THEN l.${columnOf(lease.progress)} ELSE r.${columnOf(map.progress)} END)::text AS progress
  FROM ${map.table} AS r LEFT JOIN ${lease.table} AS l ON l.${columnOf(lease.name)} = ${param(LEASE_OF_JOB, 'text')} || r.${columnOf(map.job)}${
    job !== undefined &&
    sql`
  WHERE r.${columnOf(map.job)} = ${param(job, 'text')}`
  }
) AS run${
    state !== undefined &&
    sql`
WHERE run.state = ${param(state, 'text')}`
  }
ORDER BY run."startedAt" DESC, run.token DESC
LIMIT ${param(limit, 'int8')}`
}

export interface OldRuns {
  readonly job: string | undefined
  readonly olderThan: number
  readonly limit: number
}

/** Deletes old runs. The last run of a job stays, and the last one that was done. Machines that prune at once share the work. */
export function pruneStatement(map: JobMap, { job, olderThan, limit }: OldRuns): Statement {
  const [own, token, state] = [columnOf(map.job), columnOf(map.token), columnOf(map.state)]
  const age = sql`now() - make_interval(secs => ${param(olderThan, 'float8')} / 1000)`
  return sql`WITH old AS (
  SELECT r.${own} AS job, r.${token} AS token
  FROM ${map.table} AS r
  WHERE r.${columnOf(map.startedAt)} < ${momentIn(map.startedAt, age)}${job !== undefined && sql` AND r.${own} = ${param(job, 'text')}`}
    AND EXISTS (SELECT FROM ${map.table} AS n WHERE n.${own} = r.${own} AND n.${token} > r.${token})
    AND (r.${state} <> 'done' OR EXISTS (SELECT FROM ${map.table} AS n WHERE n.${own} = r.${own} AND n.${state} = 'done' AND n.${token} > r.${token}))
  LIMIT ${param(limit, 'int')}
  FOR UPDATE OF r SKIP LOCKED
), deleted AS (
  DELETE FROM ${map.table} AS r
  USING old
  WHERE r.${own} = old.job AND r.${token} = old.token
  RETURNING 1
)
SELECT count(*)::int AS count FROM deleted`
}
