import { randomUUID } from 'node:crypto'
import { afterEach, expect, test, vi } from 'vitest'
import { concurrency } from '../../src/index.js'
import { connectTo } from '../support/connect-to.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

const DAY = { every: '1d' }
/** Nobody shall give up because the machine is slow. */
const patient = { retry: { deadline: 100_000 } }
const never = async () => {
  throw new Error('The body ran again.')
}
const keysOf = (job: string) =>
  database.query('SELECT key, answer, "createdAt" FROM "IdempotencyKey" WHERE scope LIKE $1', [`%${job}`])
const notesOf = (text: string) => database.query('SELECT id FROM "Note" WHERE text = $1', [text])

afterEach(() => void vi.useRealTimers())

test('a job runs once in its period, and who comes later is told since when it is done', async () => {
  const { db } = connect()
  const call = { job: randomUUID(), period: '2026-11-24' }

  const first = await db.$oncePer(call, (tx) => tx.note.create({ data: { text: call.job } }))
  const second = await db.$oncePer(call, never)

  const [{ createdAt }] = await keysOf(call.job)
  expect(first).toEqual({ ran: true, result: { id: expect.any(Number), text: call.job } })
  expect(second).toEqual({ ran: false, since: createdAt })
})

test('any number who come later at once, in one process, are all told since when it is done', async () => {
  const { db } = connect()
  const call = { job: randomUUID(), period: '2026-11-24' }
  await db.$oncePer(call, async () => 1)

  const outcomes = await Promise.all([db.$oncePer(call, never), db.$oncePer(call, never), db.$oncePer(call, never)])

  const [{ createdAt }] = await keysOf(call.job)
  expect(outcomes).toEqual(Array.from({ length: 3 }, () => ({ ran: false, since: createdAt })))
})

test.each(['once per: ', 'once per, at least: '])(
  'an operation cannot take the scope of a job, which would then be taken for done: %s',
  async (prefix) => {
    const { db, statements } = connect()
    const job = randomUUID()
    const error = await rejectionOf(db.$idempotent({ scope: `${prefix}${job}`, key: '2026-11-24' }, async () => 1))
    const sent = statements.length
    const { ran } = await db.$oncePer({ job, period: '2026-11-24' }, async () => 1)

    expect({ error, sent, ran }).toMatchObject({
      error: { code: 'INVALID_ARGUMENT', field: 'scope', message: expect.stringContaining('once per: ') },
      sent: 0,
      ran: true,
    })
  },
)

test.each(['once per day: a', 'once per', 'Nightly, once per: a'])(
  'a scope that no job has is one like any other: %s',
  async (scope) => {
    const { db } = connect()

    expect(await db.$idempotent({ scope, key: randomUUID() }, async () => 1)).toMatchObject({ replayed: false })
  },
)

test('the result of a job is not stored, and may be anything', async () => {
  const { db } = connect()
  const job = randomUUID()

  const outcome = await db.$oncePer({ job, period: DAY }, async () => new Map([['sent', 5]]))

  expect(outcome).toEqual({ ran: true, result: new Map([['sent', 5]]) })
  expect(await keysOf(job)).toMatchObject([{ answer: expect.not.stringContaining('sent') }])
})

test('in the next period, and under another name, a job runs again', async () => {
  const { db } = connect()
  const job = randomUUID()
  const ran = async (call: { job: string; period: string }) => (await db.$oncePer(call, async () => 1)).ran

  expect([
    await ran({ job, period: 'monday' }),
    await ran({ job, period: 'monday' }),
    await ran({ job, period: 'tuesday' }),
    await ran({ job: `other ${job}`, period: 'monday' }),
  ]).toEqual([true, false, true, true])
})

test('while a job runs, who asks in the same process is told so without a wait', async () => {
  const { db } = connect()
  const call = { ...patient, job: randomUUID(), period: DAY }
  const [running, going] = [gate(), gate()]
  const first = db.$oncePer(call, async () => {
    running.open()
    await going.opened
  })
  await running.opened

  expect(await db.$oncePer(call, never)).toEqual({ ran: false, since: undefined })
  going.open()
  expect(await first).toEqual({ ran: true, result: undefined })
})

test('while a job runs elsewhere, who asks is told so without a wait', async () => {
  const [here, elsewhere] = [connect().db, connect().db]
  const call = { ...patient, job: randomUUID(), period: DAY }
  const [running, going] = [gate(), gate()]
  const first = elsewhere.$oncePer(call, async () => {
    running.open()
    await going.opened
  })
  await running.opened

  expect(await here.$oncePer(call, never)).toEqual({ ran: false, since: undefined })
  going.open()
  await first
  expect(await here.$oncePer(call, never)).toEqual({ ran: false, since: expect.any(Date) })
})

test('a job that throws leaves nothing behind, and may be run by the next one', async () => {
  const { db } = connect()
  const call = { job: randomUUID(), period: DAY }
  const failing = db.$oncePer(call, async (tx) => {
    await tx.note.create({ data: { text: call.job } })
    throw new Error('no paper')
  })

  await expect(failing).rejects.toThrow('no paper')
  expect(await notesOf(call.job)).toEqual([])
  expect(await db.$oncePer(call, async () => 'printed')).toEqual({ ran: true, result: 'printed' })
})

test('an operation that is running and that the job asks for is the error of the job, not a job that runs', async () => {
  const [here, elsewhere] = [connect().db, connect().db]
  const operation = { key: randomUUID(), scope: 'test' }
  const [running, going] = [gate(), gate()]
  const other = elsewhere.$idempotent({ ...operation, ...patient }, async () => {
    running.open()
    await going.opened
  })
  await running.opened

  const outcome = here.$oncePer({ ...patient, job: randomUUID(), period: DAY }, (tx) =>
    tx.$idempotent({ ...operation, whileRunning: 'refuse' }, never),
  )

  expect(await rejectionOf(outcome)).toMatchObject({ code: 'IDEMPOTENCY_IN_PROGRESS', ...operation })
  going.open()
  await other
})

test('when the answer to COMMIT is lost, the job ran once, and its result is what the body returned', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const call = { ...patient, job: randomUUID(), period: DAY }
  const result = { sent: 5 }

  proxy.next(/^COMMIT/, 'drop')
  const outcome = await db.$oncePer(call, async (tx) => {
    await tx.note.create({ data: { text: call.job } })
    return result
  })

  expect(outcome).toEqual({ ran: true, result: { sent: 5 } })
  expect(await notesOf(call.job)).toHaveLength(1)
})

test.each([
  { period: { every: '90s' }, seconds: 90 },
  { period: { every: '15m' }, seconds: 900 },
  { period: { every: '1h' }, seconds: 3_600 },
  { period: { every: '1d' }, seconds: 86_400 },
  { period: { every: 7 * 86_400_000 }, seconds: 604_800 },
])('a period of $period.every begins at a multiple of it since 1970 in UTC', async ({ period, seconds }) => {
  const { db } = connect()
  const job = randomUUID()
  const startNow = async () => {
    const [{ now }] = await database.query('SELECT extract(epoch FROM now())::float8 AS now')
    const start = new Date(Math.floor((now as number) / seconds) * seconds * 1_000)
    return `${start.toISOString().slice(0, 19)}Z/${seconds}s`
  }

  const before = await startNow()
  await db.$oncePer({ job, period }, async () => 1)

  const [{ key }] = await keysOf(job)
  expect([before, await startNow()]).toContain(key)
})

test('the same length of time, however it is written, is the same period', async () => {
  const { db } = connect()
  const job = randomUUID()
  const days = 36_500

  await db.$oncePer({ job, period: { every: `${days}d` } }, async () => 1)

  for (const every of [`${days * 24}h`, `${days * 24 * 60}m`, `${days * 86_400}s`, days * 86_400_000]) {
    expect(await db.$oncePer({ job, period: { every } }, never)).toMatchObject({ ran: false })
  }
})

test('the clock of the process, and the time zone of its session, play no part in the period', async () => {
  const { db, pool } = connect({ poolSize: 1 })
  const job = randomUUID()
  const period = { every: '36500d' } // a boundary of it is not near
  await connect().db.$oncePer({ job, period }, async () => 1)

  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2100-01-01T00:00:00Z') })
  await pool.query(`SET TIME ZONE 'Pacific/Kiritimati'`)
  const second = await db.$oncePer({ job, period }, never)

  expect(second).toMatchObject({ ran: false })
})

test.each([
  '',
  '0s',
  '1',
  'h',
  '1.5h',
  '-1h',
  '1w',
  '1 h',
  '1h30m',
  0,
  -1_000,
  1_500,
  999,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  1e21,
  '99999999999d',
])('a period of every %j is refused before any statement', async (every) => {
  const { db, statements } = connect()

  const error = await rejectionOf(db.$oncePer({ job: randomUUID(), period: { every } }, never))

  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: expect.stringMatching(/^period/) })
  expect(statements).toEqual([])
})

test.each([
  { what: 'no period', options: { job: 'j' }, field: 'period' },
  { what: 'an empty period', options: { job: 'j', period: '' }, field: 'period' },
  { what: 'a date as a period', options: { job: 'j', period: new Date() }, field: 'period.every' },
  { what: 'an object without its length', options: { job: 'j', period: {} }, field: 'period.every' },
  { what: 'a period that is too long a name', options: { job: 'j', period: 'x'.repeat(1_001) }, field: 'period' },
  { what: 'an empty job', options: { job: '', period: 'p' }, field: 'job' },
  { what: 'a key', options: { job: 'j', period: 'p', key: 'k' }, field: 'key' },
  { what: 'a wish to wait', options: { job: 'j', period: 'p', whileRunning: 'wait' }, field: 'whileRunning' },
  { what: 'a wish to read only', options: { job: 'j', period: 'p', readOnly: true }, field: 'readOnly' },
])('$what is refused before any statement', async ({ options, field }) => {
  const { db, statements } = connect()

  const error = await rejectionOf(db.$oncePer(options as never, never))

  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  expect(statements).toEqual([])
})

test('a timeout longer than the deadline of the client is honoured', async () => {
  const { client } = connect()
  const db = client.$extends(concurrency({ retry: { deadline: 2_000 } }))
  await client.note.count()
  const call = { job: randomUUID(), period: DAY, timeout: 100_000 }

  const outcome = await db.$oncePer(call, async (tx) => {
    await tx.$queryRaw`SELECT pg_sleep(2.2)::text`
    return 'done'
  })

  expect(outcome).toEqual({ ran: true, result: 'done' })
})

test('a job that takes longer than its timeout is ended, and leaves nothing behind', async () => {
  const { db } = connect()
  await db.note.count()
  const call = { job: randomUUID(), period: DAY, retry: { deadline: 100_000 } }

  const outcome = db.$oncePer({ ...call, timeout: 500 }, async (tx) => {
    await tx.note.create({ data: { text: call.job } })
    await tx.$queryRaw`SELECT pg_sleep(1000)::text`
  })

  await rejectionOf(outcome)
  expect(await notesOf(call.job)).toEqual([])
  expect(await db.$oncePer(call, async () => 'done')).toEqual({ ran: true, result: 'done' })
})

test('inside a transaction the job is done with it, or not at all', async () => {
  const { db } = connect()
  const call = { job: randomUUID(), period: DAY }
  const rolledBack = db.$transaction(async (tx) => {
    await tx.$oncePer(call, (inner) => inner.note.create({ data: { text: call.job } }))
    throw new Error('later')
  })

  await expect(rolledBack).rejects.toThrow('later')
  expect(await notesOf(call.job)).toEqual([])
  expect(await db.$transaction((tx) => tx.$oncePer(call, async () => 1))).toEqual({ ran: true, result: 1 })
})
