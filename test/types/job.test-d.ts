import { leases as leasesOnPool, jobs as onPool, type PgClient } from '../../src/pg.js'
import { jobs, leases, type RunningJob } from '../../src/work.js'
import { db, type Equal, type Expect, type Resolved } from './support.js'

const worker = db.$extends(leases()).$extends(jobs({ run: { model: 'JobRun' }, startedBy: 'machine 1' }))

// The body gets the run, and its result is in the answer.
{
  const call = worker.$job('report', { every: '1d', timeZone: 'Europe/Vienna', missed: 'catchUp' }, async (run) => {
    type _run = Expect<Equal<typeof run, RunningJob>>
    type _start = Expect<Equal<NonNullable<typeof run.period>['start'], Date>>
    await worker.$transactionWithRetry((tx) => tx.$assertLease(run))
    return 42
  })
  const outcome = await call
  if (outcome.status === 'ran') {
    type _result = Expect<Equal<typeof outcome.result, number>>
  } else if (outcome.status === 'done') {
    type _next = Expect<Equal<typeof outcome.next, Date>>
  } else {
    type _since = Expect<Equal<typeof outcome.since, Date | undefined>>
    // @ts-expect-error: nothing has run here
    outcome.result
  }
}
// @ts-expect-error: a job needs to know when it is due
worker.$job('report', {}, async () => {})
// @ts-expect-error: in one way
worker.$job('report', { every: '1d', atLeast: '23h' }, async () => {})
worker.$job('report', { cron: '0 3 * * *', timeZone: 'Europe/Vienna', missed: 'skip' }, async () => {})
// @ts-expect-error: in one way
worker.$job('report', { every: '1d', cron: '0 3 * * *' }, async () => {})
// @ts-expect-error: a pause has no time zone
worker.$job('report', { atLeast: '23h', timeZone: 'UTC' }, async () => {})
// @ts-expect-error: the body is asynchronous
worker.$job('report', { every: '1d' }, () => 1)
// @ts-expect-error: there is no such state
worker.$jobHistory({ state: 'over' })
// @ts-expect-error: without jobs() there is none
db.$job('report', { every: '1d' }, async () => {})
// @ts-expect-error: an option that is not there
jobs({ model: 'JobRun' })

{
  const [run] = await worker.$jobHistory({ job: 'report', state: 'done', limit: 1 })
  type _token = Expect<Equal<NonNullable<typeof run>['token'], bigint>>
  type _count = Expect<Equal<Resolved<ReturnType<typeof worker.$pruneJobHistory>>, { count: number }>>
}

// The same on a pool.
declare const pool: PgClient
{
  const onPg = pool.$extends(leasesOnPool()).$extends(onPool())
  const outcome = await onPg.$job('report', { atLeast: '23h' }, async (run) => run.token)
  if (outcome.status === 'ran') {
    type _result = Expect<Equal<typeof outcome.result, bigint>>
  }
}
