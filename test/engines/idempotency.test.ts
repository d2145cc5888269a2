import { beforeEach, describe, expect, test } from 'vitest'
import { describeEngines, rows } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { isOnCitus } from '../support/on-citus.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines(({ connect, database, other }) => {
  let key = ''
  beforeEach((context) => {
    key = context.task.id
  })
  const write = (tx: object) => rows(tx, `INSERT INTO "Note" (text) VALUES ($1)`, key)
  const notes = async () => (await database.query(`SELECT 1 FROM "Note" WHERE text = $1`, [key])).length

  describe('$idempotent', () => {
    test('runs an operation once, and answers a duplicate as it answered the first', async () => {
      const { db } = await connect()
      const answer = {
        text: 'done',
        count: 12_345_678_901_234_567_890n,
        at: new Date('2026-11-29T08:00:00.123Z'),
        bytes: new Uint8Array([1, 255]),
        nothing: undefined,
        list: [null, -0, Number.NaN],
      }
      const run = () =>
        db.$idempotent({ key, scope: 'test', request: { amount: 5 } }, async (tx) => {
          await write(tx)
          return answer
        })
      expect(await run()).toEqual({ result: answer, replayed: false })
      expect(await run()).toEqual({ result: answer, replayed: true })
      expect(await notes()).toBe(1)
    })

    test('answers a duplicate on the other engine', async () => {
      const { db } = await connect()
      const { db: their } = await connect(other)
      const options = { key, scope: 'test', request: { amount: 5n, at: new Date(0) } }
      const first = await db.$idempotent(options, async (tx) => {
        await write(tx)
        return { price: 1n }
      })
      const second = await their.$idempotent(options, async () => ({ price: 2n }))
      expect([first, second]).toEqual([
        { result: { price: 1n }, replayed: false },
        { result: { price: 1n }, replayed: true },
      ])
    })

    test('gives a decimal back that the other engine has stored', async () => {
      const { db, client } = await connect('prisma')
      const { db: pool } = await connect('pg')
      const [row] = await client.$queryRaw<
        [{ price: { toFixed(): string } }]
      >`SELECT 12345678901234567890.10::numeric AS price`
      await db.$idempotent({ key, scope: 'test' }, async () => row)
      const { result, replayed } = await pool.$idempotent({ key, scope: 'test' }, async () => row)
      expect([result.price.toFixed(), replayed]).toEqual(['12345678901234567890.1', true])
    })

    test('refuses a key that comes with another request', async () => {
      const { db } = await connect()
      await db.$idempotent({ key, scope: 'test', request: 1 }, async () => 'one')
      const error = await rejectionOf(db.$idempotent({ key, scope: 'test', request: 2 }, async () => 'two'))
      expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['request'] })
    })

    test('leaves no key behind when its body fails', async () => {
      const { db } = await connect()
      const failing = db.$idempotent({ key, scope: 'test' }, async (tx) => {
        await write(tx)
        throw new Error('no')
      })
      expect(await rejectionOf(failing)).toMatchObject({ message: 'no' })
      expect(await db.$idempotent({ key, scope: 'test' }, async () => 'yes')).toEqual({
        result: 'yes',
        replayed: false,
      })
      expect(await notes()).toBe(0)
    })

    test('of two at once, on both engines, runs one, and the other waits for its answer', async () => {
      const { db } = await connect()
      const { db: their } = await connect(other)
      const inside = gate()
      const { opened, open } = gate()
      const first = db.$idempotent({ key, scope: 'test' }, async (tx) => {
        await write(tx)
        inside.open()
        await opened
        return 'first'
      })
      await inside.opened
      const second = their.$idempotent({ key, scope: 'test' }, async () => 'second')
      await untilBlocked(database.url)
      open()
      expect(await Promise.all([first, second])).toEqual([
        { result: 'first', replayed: false },
        { result: 'first', replayed: true },
      ])
    })

    test('refuses a duplicate at once while the first runs, where that is asked for', async () => {
      const { db } = await connect()
      const { db: their } = await connect(other)
      const inside = gate()
      const { opened, open } = gate()
      const first = db.$idempotent({ key, scope: 'test' }, async () => {
        inside.open()
        await opened
      })
      await inside.opened
      const options = { key, scope: 'test', whileRunning: 'refuse' } as const
      const refused = await Promise.all(
        [db, their].map((each) => rejectionOf(each.$idempotent(options, async () => {}))),
      )
      open()
      await first
      expect(refused).toMatchObject([{ code: 'IDEMPOTENCY_IN_PROGRESS' }, { code: 'IDEMPOTENCY_IN_PROGRESS' }])
    })

    test('is part of the transaction that it is called in', async () => {
      const { db } = await connect()
      const work = db.$transaction(async (tx) => {
        await tx.$idempotent({ key, scope: 'test' }, (inner) => write(inner))
        throw new Error('rolled back')
      })
      await rejectionOf(work)
      expect(await db.$idempotent({ key, scope: 'test' }, async () => 1)).toEqual({ result: 1, replayed: false })
    })

    test('finds its own answer when that to COMMIT was lost', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await connect(undefined, { url: proxy.url })
      proxy.next(/^COMMIT/, 'drop')
      const outcome = await db.$idempotent({ key, scope: 'test' }, async (tx) => {
        await write(tx)
        return 'written'
      })
      expect([outcome, await notes()]).toEqual([{ result: 'written', replayed: false }, 1])
    })
  })

  describe('$oncePer', () => {
    test('runs a job once per period, whichever engine asks', async () => {
      const { db } = await connect()
      const { db: their } = await connect(other)
      const options = { job: key, period: { every: '1d' } } as const
      expect(await db.$oncePer(options, async () => 'ran')).toEqual({ ran: true, result: 'ran' })
      expect(await their.$oncePer(options, async () => 'again')).toEqual({ ran: false, since: expect.any(Date) })
    })

    test.each([{ every: '1d' }, { atLeast: '1h' }])(
      'tells the second caller at once that the job is running: %o',
      async (period) => {
        const { db } = await connect()
        const { db: their } = await connect(other)
        const options = { job: key, period }
        if (isOnCitus && 'atLeast' in period) {
          const error = await rejectionOf(db.$oncePer(options, async () => 1))
          expect(error).toMatchObject({ code: 'CONFIGURATION', issues: [{ path: 'period.atLeast' }] })
          return
        }
        const inside = gate()
        const { opened, open } = gate()
        const first = db.$oncePer(options, async () => {
          inside.open()
          await opened
          return 1
        })
        await inside.opened
        expect(await their.$oncePer(options, async () => 2)).toEqual({ ran: false, since: undefined })
        open()
        expect(await first).toEqual({ ran: true, result: 1 })
      },
    )

    test('refuses a time zone that the database does not know', async () => {
      const { db } = await connect()
      const period = { every: '1d', timeZone: 'Nowhere/Land' } as const
      const error = await rejectionOf(db.$oncePer({ job: key, period }, async () => 1))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'period.timeZone' })
    })
  })

  test('$pruneIdempotencyKeys deletes old keys, and counts them', async () => {
    const { db } = await connect()
    await db.$idempotent({ key, scope: `old ${key}` }, async () => 1)
    await database.query(`UPDATE "IdempotencyKey" SET "createdAt" = now() - interval '40 days' WHERE key = $1`, [key])
    expect(await db.$pruneIdempotencyKeys({ olderThan: 30 * 86_400_000 })).toEqual({ count: 1 })
  })
})
