import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { jobs as onPrisma } from '../../src/jobs/extension.js'
import type { JobsOptions } from '../../src/jobs/options.js'
import { jobs as onPg } from '../../src/pg.js'
import { describeEngines, type EngineName, type EngineOptions, openEngine, rows } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { changeRun, type JobDb, openJobs } from '../support/jobs.js'
import { expire, leaseRow, until } from '../support/leases.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'

/** No test meets the end of a period of that length. */
const LONG = { every: '1000d' } as const

describeEngines(({ database, name: engine, other }) => {
  let job = ''
  beforeEach((context) => {
    job = context.task.id
  })
  const connect = async (on: EngineName = engine, options: Partial<EngineOptions> = {}, given?: JobsOptions) => {
    const made = await openJobs(on, { url: database.url, ...options }, given)
    onTestFinished(made.close)
    return made.db
  }
  const history = (db: JobDb) => db.$jobHistory({ job })
  const change = (changes: Readonly<Record<string, string>>) => changeRun(database, job, changes)
  const answer = async () => 42

  describe('$job', () => {
    test('runs once in a period, whatever calls it, and says when it is due again', async () => {
      const db = await connect(engine, {}, { startedBy: 'machine 1' })
      const their = await connect(other)
      const first = await db.$job(job, LONG, async (run) => {
        await run.progress({ page: 7 })
        return [run.job, run.token, run.period, run.isHeld]
      })
      const [run] = await history(db)
      const period = run?.period as Date
      const end = new Date(period.getTime() + 1_000 * 86_400_000)

      expect(first).toEqual({ status: 'ran', result: [job, 1n, { start: period, end }, true] })
      expect(await their.$job(job, LONG, answer)).toEqual({ status: 'done', since: run?.endedAt, next: end })
      expect(await history(their)).toEqual([run])
      expect(run).toMatchObject({ job, token: 1n, state: 'done', startedBy: 'machine 1', progress: { page: 7 } })
      expect(run?.duration).toBe((run?.endedAt?.getTime() ?? 0) - (run?.startedAt.getTime() ?? 0))
      expect(await leaseRow(database, `job: ${job}`)).toMatchObject({ token: '1', holder: null, progress: null })

      await change({ period: `period - interval '1000 days'` })
      expect(await their.$job(job, LONG, async (run) => run.period?.start)).toEqual({ status: 'ran', result: period })
    })

    test('runs again so long after its last success', async () => {
      const db = await connect()
      expect(await db.$job(job, { atLeast: '1h' }, async (run) => run.period)).toEqual({
        status: 'ran',
        result: undefined,
      })
      const done = await db.$job(job, { atLeast: 3_600_000 }, answer)
      const [run] = await history(db)
      const since = run?.endedAt as Date
      expect(done).toEqual({ status: 'done', since, next: new Date(since.getTime() + 3_600_000) })
      await change({ endedAt: `"endedAt" - interval '59 minutes'` })
      expect((await db.$job(job, { atLeast: '1h' }, answer)).status).toBe('done')
      await change({ endedAt: `"endedAt" - interval '1 minute'` })
      expect((await db.$job(job, { atLeast: '1h' }, answer)).status).toBe('ran')
      // Its runs had no periods. The last one began in this one.
      expect((await db.$job(job, LONG, answer)).status).toBe('done')
    })

    test('the clock of this machine plays no part', async () => {
      const db = await connect()
      const rules = [LONG, { atLeast: '1h' }, { cron: '0 0 1 1 *' }] as const
      const statuses = async () => {
        const outcomes = []
        for (const [i, rule] of rules.entries()) outcomes.push((await db.$job(`${job} ${i}`, rule, answer)).status)
        return outcomes
      }
      expect(await statuses()).toEqual(['ran', 'ran', 'ran'])
      vi.useFakeTimers({ toFake: ['Date'], now: new Date('2100-01-01T00:00:00Z') })
      onTestFinished(() => void vi.useRealTimers())
      expect(await statuses()).toEqual(['done', 'done', 'done'])
    })

    test('a body that throws has failed: the next call runs it, with its progress, or not before `retryAfter`', async () => {
      const db = await connect()
      const failing = db.$job(job, LONG, async (run) => {
        await run.progress({ page: 3 })
        throw new RangeError('no\0paper')
      })
      expect(await rejectionOf(failing)).toMatchObject({ message: 'no\0paper' })
      const [run] = await history(db)
      expect(run).toMatchObject({ state: 'failed', error: 'RangeError: no\ufffdpaper', progress: { page: 3 } })
      const since = run?.endedAt as Date
      const later = { ...LONG, retryAfter: '10m' }
      expect(await db.$job(job, later, answer)).toEqual({
        status: 'failed',
        since,
        next: new Date(since.getTime() + 600_000),
        error: run?.error,
      })
      // A period before is none of this one.
      expect((await db.$job(job, { atLeast: '1h', retryAfter: '10m' }, answer)).status).toBe('ran')
      await change({ state: `'failed'`, period: 'NULL', endedAt: `"endedAt" - interval '10 minutes'` })
      const again = await db.$job(job, { atLeast: '1h', retryAfter: '10m' }, async ({ lastProgress }) => lastProgress)
      expect(again).toEqual({ status: 'ran', result: undefined })
    })

    test('the next run after one that has failed finds what it left', async () => {
      const db = await connect()
      await rejectionOf(
        db.$job(job, LONG, async (run) => {
          await run.progress({ page: 3 })
          throw new Error('no')
        }),
      )
      const again = await db.$job(job, LONG, async ({ lastProgress }) => lastProgress)
      expect(again).toEqual({ status: 'ran', result: { page: 3 } })
      expect((await history(db)).map(({ token, state }) => [token, state])).toEqual([
        [2n, 'done'],
        [1n, 'failed'],
      ])
    })

    test('while it runs elsewhere a call is told so, and one that waits finds it done', async () => {
      const db = await connect(engine, {}, { startedBy: 'machine 1' })
      const their = await connect(other)
      const { open, opened } = gate()
      const begun = gate()
      const running = db.$job(job, LONG, async () => {
        begun.open()
        await opened
      })
      await begun.opened
      const [run] = await history(their)
      expect(run).toMatchObject({ state: 'running', endedAt: undefined })
      const { left } = (await leaseRow(database, `job: ${job}`)) as { left: number }
      expect(left).toBeGreaterThan(10_000)
      expect(left).toBeLessThanOrEqual(30_000)
      expect(await their.$job(job, LONG, answer)).toEqual({ status: 'running', since: run?.startedAt, by: 'machine 1' })
      const waiting = their.$job(job, { ...LONG, wait: 100_000 }, answer)
      await until(async () => (await leaseRow(database, `job: ${job}`))?.waiting.length === 1)
      open()
      expect((await running).status).toBe('ran')
      expect((await waiting).status).toBe('done')
      expect(await history(db)).toHaveLength(1)
    })

    test('a holder that has lost its lease cannot say that the job is done, and its run is lost', async () => {
      const db = await connect()
      const their = await connect(other)
      const ended = gate()
      let taken: Promise<unknown> | undefined
      const late = db.$job(job, LONG, async (run) => {
        await run.progress('half')
        await expire(database, run.name)
        expect((await history(db)).map(({ state, progress }) => [state, progress])).toEqual([['lost', 'half']])
        const begun = gate()
        taken = their.$job(job, LONG, async ({ lastProgress, token }) => {
          begun.open()
          await ended.opened
          return [token, lastProgress]
        })
        await begun.opened
      })
      expect(await rejectionOf(late)).toMatchObject({ code: 'LEASE_LOST', token: 1n })
      ended.open()
      expect(await taken).toEqual({ status: 'ran', result: [2n, 'half'] })
      expect((await history(db)).map(({ token, state, progress }) => [token, state, progress])).toEqual([
        [2n, 'done', 'half'],
        [1n, 'lost', 'half'],
      ])
    })

    test('`signal` ends the wait, and the run is told', async () => {
      const db = await connect()
      const their = await connect(other)
      const ending = new AbortController()
      const options = { ...LONG, wait: 100_000, signal: ending.signal }
      const running = db.$job(job, options, async (run) => {
        const waiting = rejectionOf(their.$job(job, options, answer))
        await until(async () => (await leaseRow(database, `job: ${job}`))?.waiting.length === 1)
        ending.abort('enough')
        expect(await waiting).toBe('enough')
        run.signal.throwIfAborted()
      })
      expect(await rejectionOf(running)).toBe('enough')
      expect(await history(db)).toMatchObject([{ state: 'failed', error: 'enough' }])
    })

    test('a call tells nothing of an earlier run while the one that runs is not noted yet', async () => {
      const db = await connect(engine, {}, { startedBy: 'machine 1' })
      await rejectionOf(db.$job(job, LONG, async () => Promise.reject(new Error('no'))))

      await db.$withLease(`job: ${job}`, { ttl: 60_000 }, async () => {
        expect(await db.$job(job, LONG, answer)).toEqual({ status: 'running', since: undefined, by: undefined })
      })
    })

    test('a run that begins says of no other job that its run is lost', async () => {
      const db = await connect()
      const often = `${job} 2`
      await rejectionOf(db.$job(often, LONG, async () => Promise.reject(new Error('no'))))

      await db.$job(job, LONG, async () => {
        // Its second run has a higher token than the first one here.
        expect((await db.$job(often, LONG, answer)).status).toBe('ran')
        expect(await history(db)).toMatchObject([{ state: 'running', endedAt: undefined }])
      })
    })

    test('a lease that the body cannot have is its failure, and no sign that the job runs elsewhere', async () => {
      const db = await connect()
      const taken = `${job} 2`
      await db.$withLease(taken, { ttl: 60_000 }, async () => {
        const failing = db.$job(job, LONG, () => db.$withLease(taken, { ttl: 60_000 }, answer))
        expect(await rejectionOf(failing)).toMatchObject({ code: 'LEASE_HELD', lease: taken })
      })
    })

    test('a run whose row is deleted under it is no success, and the error of its body is the one that is thrown', async () => {
      const db = await connect()
      const forget = () => database.query('DELETE FROM "JobRun" WHERE job = $1', [job])
      expect(await rejectionOf(db.$job(job, LONG, forget))).toMatchObject({
        message: expect.stringContaining('was deleted while it was running'),
      })
      const failing = db.$job(job, LONG, async () => {
        await forget()
        throw new Error('no paper')
      })
      expect(await rejectionOf(failing)).toMatchObject({ message: 'no paper' })
    })

    test('a fenced transaction of the body is that of its run', async () => {
      const db = await connect()
      const outcome = await db
        .$job(job, LONG, async (run) => {
          await db.$transactionWithRetry(async (tx) => {
            await tx.$assertLease(run)
            await rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', job)
          })
          await database.query(`UPDATE "Lease" SET token = token + 1, holder = 'x' WHERE name = $1`, [run.name])
          const late = db.$transactionWithRetry((tx) => tx.$assertLease(run))
          return (await rejectionOf(late)) as { code: string }
        })
        .catch((error) => error)
      expect(outcome).toMatchObject({ code: 'LEASE_LOST' })
      expect(await history(db)).toMatchObject([{ state: 'lost' }])
    })

    test('leaves periods out in which it has not run, or catches up on them, one with each call', async () => {
      const db = await connect()
      const ran = async (options: object) => {
        const outcome = await db.$job(job, { ...LONG, ...options }, async (run) => run.period)
        return outcome.status === 'ran' ? outcome.result : outcome.status
      }
      const current = await ran({})
      const start = (current as { start: Date }).start.getTime()
      const period = (back: number) => ({
        start: new Date(start - back * 86_400_000_000),
        end: new Date(start - (back - 1) * 86_400_000_000),
      })
      await change({ period: `period - interval '3000 days'` })
      const caughtUp = []
      for (let i = 0; i < 4; i++) caughtUp.push(await ran({ missed: 'catchUp' }))
      expect(caughtUp).toEqual([period(2), period(1), current, 'done'])

      await database.query('DELETE FROM "JobRun" WHERE job = $1 AND token > 1', [job])
      expect([await ran({}), await ran({})]).toEqual([current, 'done'])
    })

    test('a day on which the clock is changed is one period', async () => {
      const db = await connect()
      const next = async (period: string) => {
        await database.query('DELETE FROM "JobRun" WHERE job = $1', [job])
        await database.query(
          `INSERT INTO "JobRun" (job, token, state, period, "startedAt", "endedAt") VALUES ($1, 0, 'done', $2, now(), now())`,
          [job, period],
        )
        const options = { every: '1d', timeZone: 'Europe/Vienna', missed: 'catchUp' } as const
        const outcome = await db.$job(job, options, async ({ period }) => [
          period?.start.toJSON(),
          period?.end.toJSON(),
        ])
        return outcome.status === 'ran' && outcome.result
      }
      expect(await next('2025-10-24T22:00:00Z')).toEqual(['2025-10-25T22:00:00.000Z', '2025-10-26T23:00:00.000Z'])
      expect(await next('2025-10-25T22:00:00Z')).toEqual(['2025-10-26T23:00:00.000Z', '2025-10-27T23:00:00.000Z'])
      expect(await next('2025-03-28T23:00:00Z')).toEqual(['2025-03-29T23:00:00.000Z', '2025-03-30T22:00:00.000Z'])

      const later = { every: '1d', timeZone: 'Europe/Vienna', offset: '5h' } as const
      const moved = await db.$job(`${job} 2`, later, async ({ period }) =>
        period?.start.toLocaleTimeString('de-AT', { timeZone: 'Europe/Vienna' }),
      )
      expect(moved).toEqual({ status: 'ran', result: '05:00:00' })
    })

    test('runs once from each time of a cron expression to the next', async () => {
      const db = await connect()
      const options = { cron: '30 2 * * *', timeZone: 'Europe/Vienna', missed: 'catchUp' } as const
      const next = async (period: string) => {
        await database.query('DELETE FROM "JobRun" WHERE job = $1', [job])
        await database.query(
          `INSERT INTO "JobRun" (job, token, state, period, "startedAt", "endedAt") VALUES ($1, 0, 'done', $2, now(), now())`,
          [job, period],
        )
        const outcome = await db.$job(job, options, async ({ period }) => [
          period?.start.toJSON(),
          period?.end.toJSON(),
        ])
        return outcome.status === 'ran' && outcome.result
      }
      expect(await next('2025-10-25T00:30:00Z')).toEqual(['2025-10-26T00:30:00.000Z', '2025-10-27T01:30:00.000Z'])
      // On this day there is no 02:30.
      expect(await next('2025-03-29T01:30:00Z')).toEqual(['2025-03-30T01:00:00.000Z', '2025-03-31T00:30:00.000Z'])
      await database.query('DELETE FROM "JobRun" WHERE job = $1', [job])
      const yearly = { cron: '0 0 1 1 *' }
      expect((await db.$job(job, yearly, answer)).status).toBe('ran')
      const [run] = await history(db)
      const year = (run as { startedAt: Date }).startedAt.getUTCFullYear()
      expect(run?.period).toEqual(new Date(Date.UTC(year, 0, 1)))
      expect(await db.$job(job, yearly, answer)).toMatchObject({
        status: 'done',
        next: new Date(Date.UTC(year + 1, 0, 1)),
      })
    })

    test('lost answers to the notes of its beginning and its end are found out', async () => {
      const proxy = await openProxy(database.url)
      const db = await connect(engine, { url: proxy.url })
      const drop = () => proxy.next(/^COMMIT/i, 'drop').happened
      const dropped = [drop()]
      const outcome = await db.$job(job, LONG, async () => {
        dropped.push(drop())
        return 1
      })
      await Promise.all(dropped)
      expect(outcome).toEqual({ status: 'ran', result: 1 })
      expect(await history(db)).toMatchObject([{ token: 1n, state: 'done' }])
    })

    test('of many callers on both engines one runs in each period, in the order of the periods', async () => {
      const clients = await Promise.all([connect(), connect(other)])
      const [first] = clients
      await first.$job(job, LONG, answer)
      await change({ period: `period - interval '5000 days'` })
      const ran: string[] = []
      const caller = async (db: JobDb) => {
        for (let i = 0; i < 6; i++) {
          await db.$job(job, { ...LONG, missed: 'catchUp', wait: 100_000 }, async ({ period }) => {
            ran.push(String(period?.start.toJSON()))
          })
        }
      }
      await Promise.all([0, 1, 0, 1].map((i) => caller(clients[i] as JobDb)))
      expect(ran).toHaveLength(5)
      expect(ran).toEqual([...new Set(ran)].sort())
    })

    test('refuses what cannot be right, before any statement', async () => {
      const db = await connect()
      const wrong: [options: object, field: string][] = [
        [{}, 'options'],
        [{ every: '1d', atLeast: '1d' }, 'options'],
        [{ every: 'daily' }, 'every'],
        [{ every: '1d', offset: '2d' }, 'offset'],
        [{ every: '1d', ttl: 5 }, 'ttl'],
        [{ every: '1d', missed: 'all' }, 'missed'],
        [{ every: '1d', retryAfter: 'soon' }, 'retryAfter'],
        [{ every: '1d', cron: '* * * * *' }, 'options'],
        [{ cron: '* * * *' }, 'cron'],
        [{ cron: '60 * * * *' }, 'cron'],
        [{ cron: '0 0 31 2 *' }, 'cron'],
        [{ cron: '2026-01-01T00:00:00' }, 'cron'],
        [{ cron: '* * * * *', offset: '1h' }, 'offset'],
        [{ every: '1d', timeZone: '+02:00' }, 'timeZone'],
        [{ every: '1d', timeZone: 'Mars/Olympus' }, 'timeZone'],
        [{ atLeast: '1d', timeZone: 'UTC' }, 'timeZone'],
      ]
      for (const [options, field] of wrong) {
        const error = await rejectionOf(db.$job(job, options as never, answer))
        expect([field, error]).toMatchObject([field, { code: 'INVALID_ARGUMENT', field }])
      }
      expect(await rejectionOf(db.$job('', LONG, answer))).toMatchObject({ field: 'name' })
      expect(await rejectionOf(db.$job(job, LONG, undefined as never))).toMatchObject({ field: 'body' })
      const inside = db.$transaction((tx) => tx.$job(job, LONG, answer))
      expect(await rejectionOf(inside)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'client' })
      expect(await history(db)).toEqual([])
    })
  })

  describe('the history', () => {
    test('is found by its state, and old runs are forgotten, but for the last success and the last run', async () => {
      const db = await connect()
      const run = (state: string, token: number, of = job) =>
        database.query(
          `INSERT INTO "JobRun" (job, token, state, "startedAt", "endedAt") VALUES ($1, $2, $3, now() - interval '1 day', now())`,
          [of, token, state],
        )
      const kept = `${job} 2`
      for (const token of [0, 1]) await run('done', token, kept)
      for (const [i, state] of ['done', 'failed', 'done', 'lost', 'failed'].entries()) await run(state, i)
      expect((await db.$jobHistory({ job, state: 'done' })).map(({ token }) => token)).toEqual([2n, 0n])
      expect(await db.$jobHistory({ job, limit: 1 })).toMatchObject([{ token: 4n, progress: undefined }])
      expect(await db.$pruneJobHistory({ job, olderThan: 172_800_000 })).toEqual({ count: 0 })
      expect(await db.$pruneJobHistory({ job, olderThan: 3_600_000, batchSize: 2 })).toEqual({ count: 3 })
      expect((await history(db)).map(({ token }) => token)).toEqual([4n, 2n])
      expect(await db.$jobHistory({ job: kept })).toHaveLength(2)
      expect(await rejectionOf(db.$jobHistory({ state: 'over' } as never))).toMatchObject({ field: 'state' })
    })
  })

  test('jobs() says that it needs leases()', async () => {
    const jobs = engine === 'pg' ? onPg : onPrisma
    const made = await openEngine(engine, { url: database.url })
    onTestFinished(made.close)
    expect(() => made.db.$extends(jobs() as never)).toThrow(/jobs\(\) builds on leases\(\)/)
  })
})
