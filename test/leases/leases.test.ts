import { beforeEach, describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { describeEngines, rows } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { connectLeases, expire, leaseRow, until, untilBeaten } from '../support/leases.js'
import { passingTimers } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const TTL = { ttl: 30_000 }
/** The time in which a heartbeat of such a lease is due. */
const BEAT = 10_100

describeEngines(({ database, name: engine, other }) => {
  let name = ''
  beforeEach((context) => {
    name = context.task.id
  })
  const connect = (options?: object) => connectLeases(engine, database.url, options)
  const row = () => leaseRow(database, name)
  const notes = async () => (await database.query('SELECT 1 FROM "Note" WHERE text = $1', [name])).length
  const note = (tx: object) => rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', name)
  /** A lease that somebody else has. */
  const held = (left: string, waiting: object[] = []) =>
    database.query(
      `INSERT INTO "Lease" (name, token, holder, "expiresAt", progress, waiting)
       VALUES ($1, 7, 'somebody', clock_timestamp() + $2::interval, '{"page": 3}', $3)`,
      [name, left, JSON.stringify(waiting)],
    )
  const place = (id: string, ms: number) => ({ id, until: Date.now() + ms })

  describe('$withLease', () => {
    test('gives each holder a higher token, and gives the lease back', async () => {
      const { db } = await connect()
      const { db: their } = await connectLeases(other, database.url)
      const tokens = []
      for (const client of [db, their, db]) tokens.push(await client.$withLease(name, TTL, async ({ token }) => token))
      expect(tokens).toEqual([1n, 2n, 3n])
      expect(await row()).toMatchObject({ token: '3', holder: null, left: null, waiting: [] })
    })

    test('holds no connection while the body runs', async () => {
      const { db } = await connect({ poolSize: 1 })
      const seen = await db.$withLease(name, TTL, () => rows(db, 'SELECT 1 AS one'))
      expect(seen).toEqual([{ one: 1 }])
    })

    test('refuses a second holder, with the time that is left', async () => {
      const { db } = await connect()
      await held('20 s')
      let hasRun = false
      const error = await rejectionOf(db.$withLease(name, TTL, async () => (hasRun = true)))
      expect(error).toMatchObject({ code: 'LEASE_HELD', lease: name, waited: 0 })
      expect((error as { endsIn: number }).endsIn).toBeGreaterThan(1_000)
      expect([hasRun, await row()]).toMatchObject([false, { token: '7', holder: 'somebody' }])
    })

    test('takes over what a holder left whose time is over, with its progress', async () => {
      const { db } = await connect()
      await held('-1 s')
      const seen = await db.$withLease(name, TTL, async ({ token, lastProgress }) => [token, lastProgress])
      expect(seen).toEqual([8n, { page: 3 }])
      expect(await row()).toMatchObject({ token: '8', progress: null })
    })

    test('keeps the progress of a body that throws, and gives the lease back at once', async () => {
      const { db } = await connect()
      const failing = db.$withLease(name, TTL, async (lease) => {
        await Promise.all([lease.progress({ page: 1 }), lease.progress({ page: 2 })])
        throw new Error('no')
      })
      expect(await rejectionOf(failing)).toMatchObject({ message: 'no' })
      expect(await row()).toMatchObject({ holder: null, progress: { page: 2 } })
      expect(await db.$withLease(name, TTL, async ({ lastProgress }) => lastProgress)).toEqual({ page: 2 })
      expect(await db.$withLease(name, TTL, async ({ lastProgress }) => lastProgress)).toBeUndefined()
    })

    test('lets those in that wait in the order in which they came, of all processes', async () => {
      const clients = await Promise.all([connect(), connectLeases(other, database.url)])
      const order: number[] = []
      const { opened, open } = gate()
      const holding = gate()
      const first = clients[0].db.$withLease(name, TTL, async () => {
        holding.open()
        await opened
      })
      await holding.opened
      const waiters = []
      for (const i of [0, 1, 2, 3]) {
        const { db } = clients[i % 2]
        waiters.push(db.$withLease(name, { ...TTL, wait: 100_000 }, async () => void order.push(i)))
        await until(async () => (await row())?.waiting.length === i + 1)
      }
      open()
      await Promise.all([first, ...waiters])
      expect([order, await row()]).toMatchObject([[0, 1, 2, 3], { waiting: [] }])
    })

    test('does not let a caller past those that wait, and forgets those that have gone', async () => {
      const { db } = await connect()
      await held('-1 s', [place('gone', -1_000), place('alive', 60_000)])
      expect(await rejectionOf(db.$withLease(name, TTL, async () => {}))).toMatchObject({
        code: 'LEASE_HELD',
        endsIn: 0,
      })
      await database.query(`UPDATE "Lease" SET waiting = $2 WHERE name = $1`, [
        name,
        JSON.stringify([place('gone', -1)]),
      ])
      expect(await db.$withLease(name, TTL, async ({ token }) => token)).toBe(8n)
      expect(await row()).toMatchObject({ waiting: [] })
    })

    test('leaves no place in the queue when the wait is over, or aborted', async () => {
      const { db } = await connect()
      await held('20 s')
      const waiting = () => db.$withLease(name, { ...TTL, wait: 300 }, async () => {})
      expect(await rejectionOf(waiting())).toMatchObject({ code: 'LEASE_HELD', waited: 300 })
      await until(async () => (await row())?.waiting.length === 0)

      const controller = new AbortController()
      const { signal } = controller
      const aborted = rejectionOf(db.$withLease(name, { ...TTL, wait: 100_000, signal }, async () => {}))
      await until(async () => (await row())?.waiting.length === 1)
      controller.abort(new Error('enough'))
      expect(await aborted).toMatchObject({ message: 'enough' })
      await until(async () => (await row())?.waiting.length === 0)
      expect(await row()).toMatchObject({ token: '7', holder: 'somebody' })
    })

    test("aborts the body's signal with the caller's, and what the body gives back stays", async () => {
      const { db } = await connect()
      const controller = new AbortController()
      const result = await db.$withLease(name, { ...TTL, signal: controller.signal }, async (lease) => {
        controller.abort('enough')
        return [lease.signal.reason, lease.isHeld]
      })
      expect(result).toEqual(['enough', true])
    })

    test('is over for whatever the body has left running', async () => {
      const { db } = await connect()
      const lease = await db.$withLease(name, TTL, async (lease) => lease)
      expect([lease.isHeld, lease.signal.aborted]).toEqual([false, true])
      expect(await rejectionOf(lease.progress(1))).toMatchObject({ code: 'INVALID_ARGUMENT' })
      const late = db.$transaction((tx) => tx.$assertLease(lease))
      expect(await rejectionOf(late)).toMatchObject({ code: 'LEASE_LOST' })
    })

    test('keeps the lease by heartbeats for longer than its ttl', async () => {
      const { db } = await connect()
      const pass = passingTimers()
      const { holder, refused } = await db.$withLease(name, TTL, async (lease) => {
        for (let beats = 0; beats < 4; beats++) await untilBeaten(database, name, () => pass(BEAT))
        const refused = await rejectionOf(db.$withLease(name, TTL, async () => {}))
        return { holder: [lease.isHeld, lease.signal.aborted], refused }
      })
      expect([holder, refused]).toMatchObject([[true, false], { code: 'LEASE_HELD' }])
    })

    test('tells the body that the lease was taken, and the caller even if the body goes on', async () => {
      const { db } = await connect()
      const events: string[] = []
      const { db: told } = await connect({ options: { onEvent: ({ type }: { type: string }) => events.push(type) } })
      const pass = passingTimers()
      const work = told.$withLease(name, TTL, async (lease) => {
        await expire(database, name)
        const taken = await db.$withLease(name, TTL, async ({ token }) => token)
        pass(BEAT)
        await until(() => lease.signal.aborted)
        return [taken, lease.signal.reason.code]
      })
      expect(await rejectionOf(work)).toMatchObject({ code: 'LEASE_LOST', lease: name, token: 1n, reason: 'taken' })
      expect(events).toEqual(['lock-acquired', 'lock-lost'])
    })

    test('has the error of the body that the loss has ended as its cause', async () => {
      const { db } = await connect()
      const work = db.$withLease(name, { ttl: 600 }, async (lease) => {
        await expire(database, name)
        await until(() => lease.signal.aborted)
        throw new Error('stopped')
      })
      expect(await rejectionOf(work)).toMatchObject({ code: 'LEASE_LOST', cause: { message: 'stopped' } })
    })

    test('takes a lease whose answer was lost, and leaves none behind that nobody has', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await connectLeases(engine, proxy.url)
      proxy.next(/^INSERT INTO .*"Lease"/, 'drop')
      const token = await db.$withLease(name, { ...TTL, wait: 100_000 }, async ({ token }) => token)
      expect(token).toBe(2n)

      proxy.next(/^WITH wait .*"Lease"/s, 'drop')
      await rejectionOf(db.$withLease(name, TTL, async () => {}))
      await until(async () => (await row())?.token === '3' && (await row())?.holder === null)
    })

    test('takes a lease again that it has waited for, and whose answer was lost, before those behind it', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await connectLeases(engine, proxy.url)
      const { db: their } = await connectLeases(other, database.url)
      const { opened, open } = gate()
      const long = { ttl: 600_000, wait: 60_000 }
      const first = their.$withLease(name, long, () => opened)
      await until(async () => (await row())?.holder !== undefined)
      const second = db.$withLease(name, long, async ({ token }) => token)
      await until(async () => (await row())?.waiting.length === 1)
      const third = their.$withLease(name, long, async ({ token }) => token)
      await until(async () => (await row())?.waiting.length === 2)
      proxy.next(/^WITH wait .*"Lease"/s, 'drop')
      open()
      await first
      expect(await Promise.all([second, third])).toEqual([3n, 4n])
    })

    test('works where the default isolation level is serializable', async () => {
      const { db, pool } = await connect({ poolSize: 1 })
      await pool.query(`SET default_transaction_isolation TO 'serializable'`)
      const calls = Array.from({ length: 5 }, () =>
        db.$withLease(name, { ...TTL, wait: 100_000 }, async (lease) => {
          await lease.progress(1)
          return lease.token
        }),
      )
      expect((await Promise.all(calls)).sort()).toEqual([1n, 2n, 3n, 4n, 5n])
    })

    test('is refused where the token is in no unique key, without which a new holder would not wait for the fence', async () => {
      await database.query('DROP INDEX "Lease_name_token_key"')
      const work = connect().then(({ db }) => db.$withLease(name, TTL, async () => {}))
      expect(await rejectionOf(work)).toMatchObject({ code: 'CONFIGURATION' })
      await database.query('CREATE UNIQUE INDEX "Lease_name_token_key" ON "Lease" (name, token)')
    })

    test('refuses what makes no sense, before any SQL', async () => {
      const { db } = await connect()
      const body = async () => {}
      const wrong = [
        ['name', () => db.$withLease('', TTL, body)],
        ['ttl', () => db.$withLease(name, { ttl: 99 }, body)],
        ['wait', () => db.$withLease(name, { ...TTL, wait: -1 }, body)],
        ['body', () => db.$withLease(name, TTL, undefined as never)],
        ['client', () => db.$transaction((tx) => tx.$withLease(name, TTL, body))],
        ['progress', () => db.$withLease(name, TTL, (lease) => lease.progress(1n))],
        ['lease.token', () => db.$transaction((tx) => tx.$assertLease({ name, token: 1, holder: 'x' } as never))],
        ['lease', () => db.$transaction((tx) => tx.$assertLease(undefined as never))],
      ] as const
      const found = []
      for (const [, call] of wrong) {
        const error = await rejectionOf(call())
        found.push((error as { field: string }).field)
      }
      expect(found).toEqual(wrong.map(([field]) => field))
    })
  })

  describe('$assertLease', () => {
    test('lets a transaction of the holder commit', async () => {
      const { db } = await connect()
      await db.$withLease(name, TTL, async (lease) => {
        await db.$transactionWithRetry(async (tx) => {
          await tx.$assertLease(lease)
          await note(tx)
        })
        // Plain data will do, such as in another process.
        const { name, token, holder } = lease
        await db.$transaction((tx) => tx.$assertLease({ name, token, holder }))
      })
      expect(await notes()).toBe(1)
    })

    test('keeps a holder that has lost the lease from committing, even if its body catches the error', async () => {
      const { db } = await connect()
      const { db: their } = await connectLeases(other, database.url)
      const errors: unknown[] = []
      await rejectionOf(
        db.$withLease(name, TTL, async (lease) => {
          await expire(database, name)
          await their.$withLease(name, TTL, async () => {})
          for (const options of [{}, { isolationLevel: 'Serializable' } as const]) {
            const work = db.$transactionWithRetry(async (tx) => {
              await note(tx)
              await tx.$assertLease(lease)
            }, options)
            errors.push(await rejectionOf(work))
            const swallowing = db.$transactionWithRetry(async (tx) => {
              await note(tx)
              await tx.$assertLease(lease).catch(() => {})
            }, options)
            errors.push(await rejectionOf(swallowing))
          }
        }),
      )
      const lost = { code: 'LEASE_LOST', reason: 'taken' }
      expect(errors).toMatchObject([lost, { code: 'TRANSACTION_ABORTED' }, lost, { code: 'TRANSACTION_ABORTED' }])
      expect(await notes()).toBe(0)
    })

    test('is refused to a lease of the same token and another holder, such as after a failover', async () => {
      const { db } = await connect()
      const work = db.$withLease(name, TTL, async ({ name, token }) =>
        db.$transaction((tx) => tx.$assertLease({ name, token, holder: 'somebody else' })),
      )
      expect(await rejectionOf(work)).toMatchObject({ code: 'LEASE_LOST' })
    })

    test('is a serialization failure where the lease was taken after the snapshot, and then a loss', async () => {
      const { db } = await connect()
      let runs = 0
      const work = db.$withLease(name, TTL, (lease) =>
        db.$transactionWithRetry(
          async (tx) => {
            await rows(tx, 'SELECT 1')
            if (++runs === 1) {
              await expire(database, name)
              await database.query(`UPDATE "Lease" SET token = token + 1 WHERE name = $1`, [name])
            }
            await tx.$assertLease(lease)
          },
          { isolationLevel: 'RepeatableRead' },
        ),
      )
      expect(await rejectionOf(work)).toMatchObject({ code: 'LEASE_LOST' })
      expect(runs).toBe(2)
    })

    test('lets heartbeats pass, so that a transaction longer than the ttl commits', async () => {
      const { db } = await connect()
      const pass = passingTimers()
      const refused = await db.$withLease(name, TTL, (lease) =>
        db.$transaction(
          async (tx) => {
            await tx.$assertLease(lease)
            for (let beats = 0; beats < 4; beats++) await untilBeaten(database, name, () => pass(BEAT))
            await lease.progress('halfway')
            const refused = await rejectionOf(db.$withLease(name, TTL, async () => {}))
            await note(tx)
            return refused
          },
          { timeout: 600_000 },
        ),
      )
      expect([refused, await notes()]).toMatchObject([{ code: 'LEASE_HELD' }, 1])
    })

    test('keeps a new holder waiting until the transaction has ended', async () => {
      const { db } = await connect()
      await held('-1 s')
      const order: string[] = []
      const fenced = gate()
      const { opened, open } = gate()
      const transaction = db.$transaction(
        async (tx) => {
          await tx.$assertLease({ name, token: 7n, holder: 'somebody' })
          fenced.open()
          await opened
          order.push('committed')
        },
        { timeout: 100_000 },
      )
      await fenced.opened
      const pass = passingTimers()
      const taking = db.$withLease(name, { ttl: 4_000, wait: 100_000 }, async (lease) => {
        order.push('taken')
        return lease.isHeld
      })
      await untilBlocked(database.url)
      pass(4_500) // longer than the ttl
      open()
      expect([await taking, await transaction, order]).toEqual([true, undefined, ['committed', 'taken']])
    })

    test('keeps a new holder waiting for a second, where it waits for nothing else, and then refuses it', async () => {
      const { db } = await connect()
      await held('-1 s')
      const fenced = await openTransaction(database.url, 'SELECT 1 FROM "Lease" WHERE name = $1 FOR KEY SHARE', [name])
      const error = await rejectionOf(db.$withLease(name, TTL, async () => {}))
      expect(error).toMatchObject({ code: 'LEASE_HELD', endsIn: 0 })
      await fenced.query('COMMIT')
      expect(await row()).toMatchObject({ token: '7', waiting: [] })
    })

    test('limits a transaction that has no limits, and leaves those that it has', async () => {
      const { db } = await connect()
      const shown = (tx: object) =>
        rows(
          tx,
          `SELECT current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('statement_timeout') AS statement`,
        )
      const [plain, own, retried] = await db.$withLease(name, TTL, async (lease) => [
        await db.$transaction(async (tx) => {
          await tx.$assertLease(lease)
          return shown(tx)
        }),
        await db.$transaction(async (tx) => {
          await tx.$assertLease(lease, { limit: 2_000 })
          return shown(tx)
        }),
        await db.$transactionWithRetry(
          async (tx) => {
            await tx.$assertLease(lease)
            return shown(tx)
          },
          { timeout: 90_000 },
        ),
      ])
      expect(plain).toEqual([{ idle: '1min', statement: '1min' }])
      expect(own).toEqual([{ idle: '2s', statement: '2s' }])
      // The rest of its 90 s: PostgreSQL shows whole seconds as such.
      expect(retried).toEqual([
        {
          idle: expect.stringMatching(/^(9[01]s|8\ds|90\d{3}ms|8\d{4}ms)$/),
          statement: expect.stringMatching(/^(90s|8\ds|8\d{4}ms)$/),
        },
      ])
    })

    test('is refused outside a transaction', async () => {
      const { db } = await connect()
      const work = db.$withLease(name, TTL, (lease) => db.$assertLease(lease))
      expect(await rejectionOf(work)).toMatchObject({ code: 'TRANSACTION_REQUIRED' })
    })
  })
})
