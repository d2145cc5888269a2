import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { currentPeriod, gridOf } from '../../src/idempotency/period.js'
import { sessionOf } from '../../src/prisma/client-session.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

const never = async () => {
  throw new Error('The body ran again.')
}
/** Nobody shall give up because the machine is slow. */
const patient = { retry: { deadline: 100_000 } }
const VIENNA = 'Europe/Vienna'

/** Moves the last success of a job into the past. */
const age = (job: string, interval: string) =>
  database.query(`UPDATE "IdempotencyKey" SET "createdAt" = "createdAt" - $2::interval WHERE scope LIKE '%' || $1`, [
    job,
    interval,
  ])

describe('a period of at least some time', () => {
  test('lets a job run that has never run', async () => {
    const { db } = connect()

    expect(await db.$oncePer({ job: randomUUID(), period: { atLeast: '23h' } }, async () => 1)).toEqual({
      ran: true,
      result: 1,
    })
  })

  test('keeps a job from running again before it is over, on every client, and tells the last success', async () => {
    const call = { job: randomUUID(), period: { atLeast: '23h' } }
    const before = await now()
    await connect().db.$oncePer(call, async () => 1)
    const after = await now()
    await age(call.job, '22 hours 59 minutes')
    const outcome = await connect().db.$oncePer(call, never)

    expect(outcome).toEqual({ ran: false, since: expect.any(Date) })
    const since = ((outcome as { since: Date }).since.getTime() + (22 * 60 + 59) * 60_000) as number
    expect([since >= Math.floor(before), since <= Math.ceil(after)]).toEqual([true, true])
  })

  test('lets the job run again once it is over, and counts from that run on', async () => {
    const { db } = connect()
    const call = { job: randomUUID(), period: { atLeast: '23h' } }
    await db.$oncePer(call, async () => 1)
    await age(call.job, '23 hours')

    expect(await db.$oncePer(call, async () => 2)).toEqual({ ran: true, result: 2 })
    expect(await db.$oncePer(call, never)).toMatchObject({ ran: false })
  })

  test('counts from the last success: a run that fails, the first or a later one, changes nothing', async () => {
    const { db } = connect()
    const call = { job: randomUUID(), period: { atLeast: '23h' } }
    const fail = () => db.$oncePer(call, never).catch(() => 'failed')

    const first = await fail()
    await db.$oncePer(call, async () => 1)
    await age(call.job, '24 hours')
    const second = await fail()

    expect([first, second]).toEqual(['failed', 'failed'])
    expect(await db.$oncePer(call, async () => 3)).toEqual({ ran: true, result: 3 })
  })

  test('counts from the end of a run, by the clock of the database', async () => {
    const { db } = connect()
    const call = { job: randomUUID(), period: { atLeast: '1h' } }
    let ended = 0
    await db.$oncePer(call, async (tx) => {
      await tx.$queryRaw`SELECT pg_sleep(0.05)::text`
      ended = await now()
    })
    const outcome = await db.$oncePer(call, never)

    expect((outcome as { since: Date }).since.getTime()).toBeGreaterThanOrEqual(Math.floor(ended))
  })

  test.each([
    { what: 'in which the job has never run', ran: false },
    { what: 'after which the job is due', ran: true },
  ])('on two machines at once, $what, lets one of them run it', async ({ ran }) => {
    const [here, elsewhere] = [connect().db, connect().db]
    const call = { ...patient, job: randomUUID(), period: { atLeast: '1h' } }
    if (ran) {
      await here.$oncePer(call, async () => 0)
      await age(call.job, '1 hour')
    }
    const [running, going] = [gate(), gate()]
    const first = here.$oncePer(call, async () => {
      running.open()
      await going.opened
      return 1
    })
    await running.opened
    const during = await elsewhere.$oncePer(call, never)
    going.open()

    expect(during).toEqual({ ran: false, since: undefined })
    expect(await first).toEqual({ ran: true, result: 1 })
    expect(await elsewhere.$oncePer(call, never)).toEqual({ ran: false, since: expect.any(Date) })
  })

  test.each(['ReadCommitted', 'RepeatableRead', 'Serializable'] as const)(
    'on many machines at the same moment lets just one of them run the job, at %s',
    async (isolationLevel) => {
      const clients = Array.from({ length: 4 }, () => connect({ poolSize: 2 }).db)
      const call = { ...patient, job: randomUUID(), period: { atLeast: '1h' }, isolationLevel }
      let runs = 0
      const rounds: number[] = []
      for (let round = 0; round < 5; round++) {
        await age(call.job, '1 hour')
        const outcomes = await Promise.all(
          clients.flatMap((db) => [1, 2].map(() => db.$oncePer(call, async () => ++runs))),
        )
        rounds.push(outcomes.filter(({ ran }) => ran).length)
      }

      expect([rounds, runs]).toEqual([[1, 1, 1, 1, 1], 5])
    },
  )

  test('is of the job, whatever its length: a shorter one asks for the same last success', async () => {
    const { db } = connect()
    const job = randomUUID()
    await db.$oncePer({ job, period: { atLeast: '23h' } }, async () => 1)
    await age(job, '2 hours')

    expect(await db.$oncePer({ job, period: { atLeast: '3h' } }, never)).toMatchObject({ ran: false })
    expect(await db.$oncePer({ job, period: { atLeast: '1h' } }, async () => 2)).toMatchObject({ ran: true })
  })

  test('has nothing to do with periods of the same job that are named like its key', async () => {
    const { db } = connect()
    const job = randomUUID()
    await db.$oncePer({ job, period: { atLeast: '1h' } }, async () => 1)

    expect(await db.$oncePer({ job, period: 'last success' }, async () => 2)).toMatchObject({ ran: true })
    expect(await db.$oncePer({ job: `, at least: ${job}`, period: 'last success' }, async () => 3)).toMatchObject({
      ran: true,
    })
  })

  test('is not forgotten when keys are pruned', async () => {
    const { db } = connect()
    const job = randomUUID()
    await db.$oncePer({ job, period: { atLeast: '60d' } }, async () => 1)
    await db.$oncePer({ job, period: 'named' }, async () => 1)
    await age(job, '31 days')
    await db.$pruneIdempotencyKeys({ olderThan: 30 * 86_400_000 })

    expect(await db.$oncePer({ job, period: { atLeast: '60d' } }, never)).toMatchObject({ ran: false })
    expect(await db.$oncePer({ job, period: 'named' }, async () => 2)).toMatchObject({ ran: true })
  })

  test('asked for by the job itself is told that it runs', async () => {
    const { db } = connect()
    const call = { job: randomUUID(), period: { atLeast: '1h' } }

    expect(await db.$oncePer(call, (tx) => tx.$oncePer(call, never))).toEqual({
      ran: true,
      result: { ran: false, since: undefined },
    })
  })

  test('inside a transaction that rolls back leaves the success before it', async () => {
    const { db } = connect()
    const call = { job: randomUUID(), period: { atLeast: '1h' } }
    await db.$oncePer(call, async () => 1)
    await age(call.job, '1 hour')
    const rolledBack = db.$transaction(async (tx) => {
      await tx.$oncePer(call, async () => 2)
      throw new Error('later')
    })

    await expect(rolledBack).rejects.toThrow('later')
    expect(await db.$oncePer(call, async () => 3)).toEqual({ ran: true, result: 3 })
  })
})

describe('a grid of local time', () => {
  const periodAt = async (period: Parameters<typeof gridOf>[0], at: string) =>
    currentPeriod(sessionOf(connect().db as never), gridOf(period), new Date(at))

  test.each([
    ['a winter day', '2026-11-29T11:00Z', '2026-11-28T23:00:00Z'],
    ['a summer day', '2026-07-01T11:00Z', '2026-06-30T22:00:00Z'],
    ['a moment that is yesterday in UTC', '2026-06-30T22:00Z', '2026-06-30T22:00:00Z'],
    ['the last moment of a day', '2026-06-30T21:59:59Z', '2026-06-29T22:00:00Z'],
    ['the day of 23 hours, in the morning', '2026-03-28T23:30Z', '2026-03-28T23:00:00Z'],
    ['the day of 23 hours, in the evening', '2026-03-29T21:59Z', '2026-03-28T23:00:00Z'],
    ['the day after it', '2026-03-29T22:00Z', '2026-03-29T22:00:00Z'],
    ['the day of 25 hours, in the morning', '2026-10-24T22:30Z', '2026-10-24T22:00:00Z'],
    ['the day of 25 hours, in the evening', '2026-10-25T22:59Z', '2026-10-24T22:00:00Z'],
    ['the day after that', '2026-10-25T23:00Z', '2026-10-25T23:00:00Z'],
  ])('has %s as one period', async (_, at, start) => {
    expect(await periodAt({ every: '1d', timeZone: VIENNA }, at)).toBe(`${start}/86400s`)
  })

  test.each([
    // The clock shows two o'clock twice, at 00:00Z and at 01:00Z; the second of them names the period.
    ['before two o’clock in the night of the 25 hours', '2026-10-24T23:59Z', '2026-10-24T00:00:00Z'],
    ['after the first two o’clock', '2026-10-25T00:10Z', '2026-10-25T01:00:00Z'],
    ['after the second two o’clock', '2026-10-25T01:10Z', '2026-10-25T01:00:00Z'],
    ['at the end of that day', '2026-10-26T00:59Z', '2026-10-25T01:00:00Z'],
    // There is no two o'clock on the day of 23 hours: it begins at three.
    ['before three o’clock in the night of the 23 hours', '2026-03-29T00:59Z', '2026-03-28T01:00:00Z'],
    ['after it', '2026-03-29T01:00Z', '2026-03-29T01:00:00Z'],
    ['at the end of that day of two hours less', '2026-03-29T23:59Z', '2026-03-29T01:00:00Z'],
  ])('begins each day later by its offset: %s', async (_, at, start) => {
    expect(await periodAt({ every: '1d', timeZone: VIENNA, offset: '2h' }, at)).toBe(`${start}/86400s`)
  })

  test('has two periods of an hour where the clock shows the hour twice, and none where it leaves it out', async () => {
    const hours = async (from: string, count: number, every: string) => {
      const periods = new Set<string>()
      for (let quarter = 0; quarter < count * 4; quarter++) {
        const at = new Date(Date.parse(from) + quarter * 900_000).toISOString()
        periods.add(await periodAt({ every, timeZone: VIENNA }, at))
      }
      return periods.size
    }

    expect([
      await hours('2026-10-24T22:00:00Z', 5, '1h'), // 0, 1, 2, 2 again, 3
      await hours('2026-03-28T23:00:00Z', 4, '1h'), // 0, 1, 3, 4
      await hours('2026-10-24T22:00:00Z', 7, '6h'), // 0 to 6
      await hours('2026-10-24T22:00:00Z', 5, '2h'), // 0 to 2, 2 to 4
    ]).toEqual([5, 4, 1, 2])
  })

  test.each([
    [
      'a zone that is half an hour away',
      { every: '1h', timeZone: 'Asia/Kolkata' },
      '2026-11-29T11:10Z',
      '2026-11-29T10:30:00Z/3600s',
    ],
    ['an offset', { every: '1h', offset: '15m' }, '2026-11-29T11:10Z', '2026-11-29T10:15:00Z/3600s'],
    ['an offset in ms', { every: '1h', offset: 900_000 }, '2026-11-29T11:20Z', '2026-11-29T11:15:00Z/3600s'],
    ['no offset, written out', { every: '1h', offset: '0s' }, '2026-11-29T11:20Z', '2026-11-29T11:00:00Z/3600s'],
    ['UTC', { every: '1d', timeZone: 'UTC' }, '2026-11-29T11:20Z', '2026-11-29T00:00:00Z/86400s'],
    [
      'weeks from Monday',
      { every: '7d', offset: '4d', timeZone: VIENNA },
      '2026-11-29T11:20Z',
      '2026-11-22T23:00:00Z/604800s',
    ],
  ])('counts with %s', async (_, period, at, key) => {
    expect(await periodAt(period, at)).toBe(key)
  })

  test('is the same for all spellings of a zone', async () => {
    const { db } = connect()
    const job = randomUUID()
    const every = '36500d'
    await db.$oncePer({ job, period: { every, timeZone: 'Europe/Kiev' } }, async () => 1)

    expect(await db.$oncePer({ job, period: { every, timeZone: 'Europe/Kyiv' } }, never)).toMatchObject({ ran: false })
  })

  test.each([
    [{ every: '1d', timeZone: 'Vienna' }, 'period.timeZone'],
    [{ every: '1d', timeZone: 'Europe/Viena' }, 'period.timeZone'],
    [{ every: '1d', timeZone: 'Foo/Bar2' }, 'period.timeZone'],
    [{ every: '1d', timeZone: '+02:00' }, 'period.timeZone'],
    [{ every: '1d', timeZone: '' }, 'period.timeZone'],
    [{ every: '1d', timeZone: 2 }, 'period.timeZone'],
    [{ every: '1d', offset: '1d' }, 'period.offset'],
    [{ every: '1d', offset: -3_600_000 }, 'period.offset'],
    [{ every: '1d', offset: '1.5h' }, 'period.offset'],
    [{ atLeast: '0s' }, 'period.atLeast'],
    [{ atLeast: 'soon' }, 'period.atLeast'],
    [{ atLeast: {} }, 'period.atLeast'],
    [{ atLeast: 1_500 }, 'period.atLeast'],
    [{ atLeast: '1h', timeZone: VIENNA }, 'period.timeZone'],
    [{ every: '1h', atLeast: '1h' }, 'period.atLeast'],
  ])('or a pause of %j is refused before any statement', async (period, field) => {
    const { db, statements } = connect()
    const error = await rejectionOf(db.$oncePer({ job: randomUUID(), period: period as never }, never))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })

  test('of a zone that the database does not know is refused before the job runs', async () => {
    const unknown = gridOf({ every: '1d', timeZone: 'Moon/Tycho' }) // past the check of the zone's name
    const error = await rejectionOf(currentPeriod(sessionOf(connect().db as never), unknown))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'period.timeZone' })
  })
})

async function now(): Promise<number> {
  const [row] = await database.query('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now')
  return row?.now as number
}
