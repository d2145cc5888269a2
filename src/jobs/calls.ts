import { type RootSession, rowOf, type Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { timeZoneSchema } from '../idempotency/period.js'
import { callOptions } from '../retry/call-options.js'
import { LONGEST_TIMER } from '../retry/policy.js'
import { keyText } from '../sql/key-text.js'
import * as s from '../values/schema.js'
import { checkArguments, keyTextSchema } from '../values/validation.js'
import { timesOf } from './due.js'
import type { JobMap } from './mapping.js'
import type { JobCall, JobParts } from './methods.js'
import { JobCaller } from './run.js'
import { historyStatement, leaseOf, pruneStatement, type RunRow } from './statements.js'
import type { JobResult, JobRun } from './types.js'

const DEFAULT_TTL = 30_000
const HUNDRED_YEARS = 36_525 * 86_400_000 // the database's dates do not go back for ever

const length = s.union([s.string(), s.number()], "must be a text such as '1h', or a number of ms")
const span = s.number('must be a number of ms')
const TOO_LONG = `must be at most ${LONGEST_TIMER} ms`
const jobSchema = s.strictObject({
  every: s.optional(length),
  atLeast: s.optional(length),
  cron: s.optional(s.string()),
  timeZone: s.optional(timeZoneSchema),
  offset: s.optional(length),
  missed: s.optional(s.oneOf(['skip', 'catchUp'])),
  retryAfter: s.optional(length),
  ttl: s.optional(span.check(s.gte(100, 'must be at least 100 ms'), s.lte(LONGEST_TIMER, TOO_LONG))),
  wait: s.optional(span.check(s.gte(0, 'must not be negative'), s.lte(LONGEST_TIMER, TOO_LONG))),
  signal: callOptions.signal,
})
const historySchema = s.strictObject({
  job: s.optional(keyTextSchema),
  state: s.optional(s.oneOf(['running', 'done', 'failed', 'lost'])),
  limit: s.optional(s.whole().check(s.gte(1))),
})
const pruneSchema = s.strictObject({
  olderThan: span.check(
    s.gte(0, 'must not be negative'),
    s.lte(HUNDRED_YEARS, 'must not be more than a hundred years'),
  ),
  job: s.optional(keyTextSchema),
  batchSize: s.optional(s.whole().check(s.gte(1), s.lte(1_000_000))),
})

export async function runJob<R>(
  session: Session,
  parts: JobParts,
  { name, options, body }: JobCall<R>,
  events: CallEvents | undefined,
): Promise<JobResult<R>> {
  const { ttl = DEFAULT_TTL, wait = 0, signal, ...given } = checkArguments(jobSchema, options)
  const job = nameOf(name, parts.map)
  if (typeof body !== 'function') throw new InvalidArgumentError('body', 'must be a function of the run.')
  const root = rootOf(session)
  const times = await timesOf(given)
  signal?.throwIfAborted()
  await parts.map.lease.keys.check(root)
  await parts.map.keys.check(root)
  return new JobCaller(parts.rootOf(root), parts, { job, times, ttl, wait, signal, events }).run(body)
}

/** The name of the lease is longer by some letters. */
function nameOf(name: unknown, map: JobMap): string {
  const [issue] = keyTextSchema.find(name)
  if (issue) throw new InvalidArgumentError('name', `${issue.message}.`)
  const job = keyText(String(name), map.job, 'name')
  keyText(leaseOf(job), map.lease.name, 'name')
  return job
}

/** The body would keep the transaction open, and nobody else would see that the job is running. */
function rootOf(session: Session): RootSession {
  if (!session.inTransaction) return session
  throw new InvalidArgumentError(
    'client',
    'is the tx of a transaction, which would be open for as long as the job runs. Call $job on the client.',
  )
}

export async function jobHistory(session: Session, map: JobMap, options: unknown): Promise<JobRun[]> {
  const { job, state, limit = 100 } = checkArguments(historySchema, options ?? {})
  const rows = await session.rows<RunRow>(historyStatement(map, { job, state, limit }))
  return rows.map(({ period, startedAt, endedAt, startedBy, error, progress, ...row }) => ({
    ...row,
    period: momentOf(period),
    startedAt: new Date(startedAt),
    endedAt: momentOf(endedAt),
    startedBy: startedBy ?? undefined,
    error: error ?? undefined,
    progress: progress === null ? undefined : JSON.parse(progress),
  }))
}

const momentOf = (ms: number | null) => (ms === null ? undefined : new Date(ms))

export async function pruneJobHistory(session: Session, map: JobMap, options: unknown): Promise<{ count: number }> {
  const { olderThan, job, batchSize: limit = 1_000 } = checkArguments(pruneSchema, options)
  for (let count = 0; ; ) {
    const deleted = await rowOf<{ count: number }>(session, pruneStatement(map, { job, olderThan, limit }))
    count += deleted.count
    if (deleted.count < limit) return { count }
  }
}
