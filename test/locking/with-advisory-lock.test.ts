import { getEventListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import { sqlState } from '../../src/engine/error-facts.js'
import { type ConcurrencyOptions, concurrency } from '../../src/index.js'
import { systemClock } from '../../src/sync/clock.js'
import { KeyedLock } from '../../src/sync/keyed-lock.js'
import { advisoryWaiters, isFree, lockElsewhere } from '../support/advisory.js'
import { type ClientOptions, createClient, useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { openConnection } from '../support/connection.js'
import { createDatabase, databaseName } from '../support/database.js'
import { gate } from '../support/gate.js'
import { passingTimers } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { watchUnhandled } from '../support/unhandled.js'
import { untilBlocked } from '../support/until-blocked.js'
import { warm } from '../support/warm.js'

const database = useDatabase()

function connect(options?: ClientOptions & { lock?: ConcurrencyOptions['lock'] }) {
  const made = database.connect(options)
  return { ...made, db: made.client.$extends(concurrency(options?.lock ? { lock: options.lock } : {})) }
}

const notes = async (text: string) => (await database.query('SELECT 1 FROM "Note" WHERE text = $1', [text])).length
const never = () => new Promise<never>(() => {})

describe('the lock', () => {
  test('lets the body run in a transaction, and resolves to what it returns', async () => {
    const { db } = connect()
    const note = await db.$withAdvisoryLock('returns', (tx) => tx.note.create({ data: { text: 'returned' } }))
    expect(await database.query('SELECT id, text FROM "Note" WHERE text = $1', ['returned'])).toEqual([note])
  })

  test('is held while the body runs, and free when the call has settled', async () => {
    const { db } = connect()
    const during = await db.$withAdvisoryLock(['held', 1], () => isFree(database, '["held",1]'))
    expect({ during, after: await isFree(database, '["held",1]') }).toEqual({ during: false, after: true })
  })

  test('is not held longer by a statement that outlasts the body’s time: the server ends it', async () => {
    const { db } = connect()
    const sleeping = db.$withAdvisoryLock('asleep', (tx) => tx.$queryRaw`SELECT 1 FROM pg_sleep(100)`, {
      timeout: 100_000,
      bodyTimeout: 200,
    })
    const error = await rejectionOf(sleeping)
    expect(sqlState(error) ?? (error as { deadline: number }).deadline).toBeOneOf(['57014', 200])
    // Where the client was told first, the server ends it at about that time: in any case long before the 100 s.
    await vi.waitUntil(() => isFree(database, '["asleep"]'), { timeout: 60_000 })
  })

  test('makes a read and a write of fifty callers one step, where nothing else does', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'counted' } })
    await Promise.all(
      Array.from({ length: 50 }, () =>
        db.$withAdvisoryLock(
          ['product', id],
          async (tx) => {
            const { stock } = await tx.product.findUniqueOrThrow({ where: { id } })
            await tx.product.update({ where: { id }, data: { stock: stock + 1 } })
          },
          { timeout: 100_000 },
        ),
      ),
    )
    expect((await db.product.findUniqueOrThrow({ where: { id } })).stock).toBe(50)
  })

  test('lets callers of one process in first come, first served', async () => {
    const { db } = connect()
    const names = Array.from({ length: 20 }, (_, index) => index)
    const log: number[] = []
    await Promise.all(names.map((name) => db.$withAdvisoryLock('order', async () => log.push(name))))
    expect(log).toEqual(names)
  })

  test('waits in the database for a holder elsewhere, and then reads what that one wrote', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'read' } })
    const other = await lockElsewhere(database.url, '["read"]')
    const stock = db.$withAdvisoryLock(
      'read',
      async (tx) => (await tx.product.findUniqueOrThrow({ where: { id } })).stock,
    )
    await untilBlocked(database.url)
    await other.query('UPDATE "Product" SET stock = 7 WHERE id = $1', [id])
    await other.query('COMMIT')
    expect(await stock).toBe(7)
  })

  test.each(['repeatable read', 'serializable'])(
    'reads what the holder before it wrote, also where %s is the default',
    async (level) => {
      const url = await openRole(database)
      await database.query(`ALTER ROLE ${new URL(url).username} SET default_transaction_isolation = '${level}'`)
      const { db } = connectTo(url)
      const { id } = await db.product.create({ data: { name: 'read' } })
      const other = await lockElsewhere(database.url, JSON.stringify([level]))
      const read = db.$withAdvisoryLock(level, async (tx) => ({
        product: await tx.product.findUniqueOrThrow({ where: { id }, select: { stock: true } }),
        level: await tx.$queryRaw`SELECT current_setting('default_transaction_isolation') AS "isDefault"`,
      }))
      await untilBlocked(database.url)
      await other.query('UPDATE "Product" SET stock = 7 WHERE id = $1', [id])
      await other.query('COMMIT')
      expect(await read).toEqual({ product: { stock: 7 }, level: [{ isDefault: level }] })
    },
  )

  test('of several keys is held on each of them, and a key named twice is no obstacle', async () => {
    const { db } = connect()
    const free = await db.$withAdvisoryLock({ keys: ['several 2', ['several', 1], ['several 2']] }, async () => [
      await isFree(database, '["several 2"]'),
      await isFree(database, '["several",1]'),
    ])
    expect(free).toEqual([false, false])
  })

  test('waits for the last of several keys', async () => {
    const { db } = connect()
    const others = [await lockElsewhere(database.url, '["last 1"]'), await lockElsewhere(database.url, '["last 2"]')]
    const isDone = vi.fn()
    const call = db.$withAdvisoryLock({ keys: ['last 1', 'last 2', 'last 3'] }, async () => isDone())
    await untilBlocked(database.url)
    await others[0].query('COMMIT')
    await untilBlocked(database.url)
    expect(isDone).not.toHaveBeenCalled()
    await others[1].query('COMMIT')
    await call
    expect(isDone).toHaveBeenCalledOnce()
  })

  test('on one pool and the lock on another pool exclude each other', async () => {
    const [one, two] = [connect(), connect()]
    const { opened, open } = gate()
    const log: string[] = []
    const first = one.db.$withAdvisoryLock('pools', async () => {
      log.push('first begins')
      await opened
      log.push('first ends')
    })
    await vi.waitUntil(() => log.length === 1, { timeout: 60_000 })
    const second = two.db.$withAdvisoryLock('pools', async () => log.push('second begins'))
    await untilBlocked(database.url)
    open()
    await Promise.all([first, second])
    expect(log).toEqual(['first begins', 'first ends', 'second begins'])
  })
})

describe('shared locks', () => {
  test('are held together, and exclude an exclusive one', async () => {
    const { db } = connect()
    const { opened, open } = gate()
    const log: string[] = []
    const both = gate()
    const share = (name: string) =>
      db.$withAdvisoryLock(
        'shared',
        async () => {
          log.push(name)
          if (log.length === 2) both.open()
          await opened
        },
        { mode: 'shared' },
      )
    const shared = [share('one'), share('two')]
    await both.opened
    const seen = {
      shared: await isFree(database, '["shared"]', 'shared'),
      exclusive: await isFree(database, '["shared"]'),
    }
    open()
    await Promise.all(shared)
    expect(seen).toEqual({ shared: true, exclusive: false })
  })

  test('do not overtake an exclusive caller of the same process that waits', async () => {
    const { db } = connect()
    const { opened, open } = gate()
    const started = gate()
    const log: string[] = []
    const calls = [
      db.$withAdvisoryLock(
        'fair',
        async () => {
          log.push('shared 1')
          started.open()
          await opened
        },
        { mode: 'shared' },
      ),
    ]
    await started.opened
    calls.push(
      db.$withAdvisoryLock('fair', async () => void log.push('exclusive')),
      db.$withAdvisoryLock('fair', async () => void log.push('shared 2'), { mode: 'shared' }),
    )
    open()
    await Promise.all(calls)
    expect(log).toEqual(['shared 1', 'exclusive', 'shared 2'])
  })

  test('do not overtake an exclusive caller of another process that waits', async () => {
    const { db } = connect()
    const holder = await lockElsewhere(database.url, '["fair elsewhere"]', 'shared')
    const log: string[] = []
    const exclusive = lockElsewhere(database.url, '["fair elsewhere"]').then(async (other) => {
      log.push('exclusive')
      await other.query('COMMIT')
    })
    await untilBlocked(database.url)
    const shared = db.$withAdvisoryLock('fair elsewhere', async () => log.push('shared'), { mode: 'shared' })
    await untilBlocked(database.url, 2)
    await holder.query('COMMIT')
    await Promise.all([exclusive, shared])
    expect(log).toEqual(['exclusive', 'shared'])
  })
})

describe('a timeout', () => {
  test('while another process holds the lock is a LockTimeoutError with the keys; nothing is run or written', async () => {
    const { db, pool } = connect()
    await lockElsewhere(database.url, '["timeout"]')
    const body = vi.fn(async () => {})
    const error = await rejectionOf(db.$withAdvisoryLock('timeout', body, { timeout: 200 }))
    expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', keys: ['["timeout"]'], timeout: 200 })
    expect(body).not.toHaveBeenCalled()
    await vi.waitUntil(() => pool.idleCount === pool.totalCount, { timeout: 60_000 })
  })

  test('names all keys, and gives back those that were free', async () => {
    const { db } = connect()
    await lockElsewhere(database.url, '["some 1"]')
    const error = await rejectionOf(
      db.$withAdvisoryLock({ keys: ['some 2', 'some 1', 'some 3'] }, never, { timeout: 200 }),
    )
    expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', keys: ['["some 1"]', '["some 2"]', '["some 3"]'] })
    await vi.waitUntil(async () => (await isFree(database, '["some 2"]')) && (await isFree(database, '["some 3"]')), {
      timeout: 60_000,
    })
  })

  test('is for all keys together, not for each anew', async () => {
    const { db, pool } = connect()
    const [first, second] = await database.query(
      `SELECT text FROM unnest(ARRAY['["each 1"]', '["each 2"]']) AS text ORDER BY hashtextextended(text, 0)`,
    )
    const holder = await lockElsewhere(database.url, String(first.text))
    await lockElsewhere(database.url, String(second.text))
    await lockElsewhere(database.url, '["measure"]')
    const log: string[] = []
    await warm(pool, 4)
    const call = (keys: { keys: string[] }, timeout: number, name: string) =>
      rejectionOf(db.$withAdvisoryLock(keys, never, { timeout })).then(() => log.push(name))
    const calls = [call({ keys: ['each 1', 'each 2'] }, 2_000, 'both'), call({ keys: ['measure'] }, 2_900, 'longer')]
    await sleep(1_500) // then a quarter of a timeout is left, or a whole one anew
    await holder.query('COMMIT')
    await Promise.all(calls)
    expect(log).toEqual(['both', 'longer'])
  })

  test('in the queue of the process is the same error, and disturbs neither the holder nor those behind', async () => {
    const { db } = connect()
    const { opened, open } = gate()
    const first = db.$withAdvisoryLock('queue', () => opened, { bodyTimeout: 60_000 })
    const second = rejectionOf(db.$withAdvisoryLock('queue', never, { timeout: 20 }))
    const third = db.$withAdvisoryLock('queue', async () => 'third', { timeout: 60_000 })
    expect(await second).toMatchObject({ code: 'LOCK_TIMEOUT', keys: ['["queue"]'], timeout: 20 })
    open()
    expect(await Promise.all([first, third])).toEqual([undefined, 'third'])
  })

  test('while waiting for a place among the waiters is the same error, and loses no place', async () => {
    const { db } = connect({ lock: { maxWaiting: 1 } })
    const holders = await Promise.all(['1', '2', '3'].map((n) => lockElsewhere(database.url, `["place ${n}"]`)))
    const first = db.$withAdvisoryLock('place 1', async () => 'first', { timeout: 60_000 })
    await untilBlocked(database.url)
    const second = await rejectionOf(db.$withAdvisoryLock('place 2', never, { timeout: 300 }))
    const third = db.$withAdvisoryLock('place 3', async () => 'third', { timeout: 60_000 })
    for (const holder of holders) await holder.query('COMMIT')
    expect(second).toMatchObject({ code: 'LOCK_TIMEOUT', keys: ['["place 2"]'] })
    expect(await Promise.all([first, third])).toEqual(['first', 'third'])
  })

  test('while waiting for a connection is the same error, and the pool is whole again afterwards', async () => {
    const { db, pool } = connect({ poolSize: 1 })
    const connection = await pool.connect()
    const error = await rejectionOf(db.$withAdvisoryLock('connection', never, { timeout: 100 }))
    connection.release()
    expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', keys: ['["connection"]'] })
    expect(await db.$withAdvisoryLock('connection', async () => 'next', { timeout: 60_000 })).toBe('next')
  })

  test('can be as long as a timer can be, for the lock and for the body', async () => {
    const { db } = connect()
    await lockElsewhere(database.url, '["long"]').then((holder) => holder.query('COMMIT'))
    const longest = 2_147_483_647
    const call = db.$withAdvisoryLock('long', async (tx) => tx.note.count(), {
      timeout: longest,
      bodyTimeout: longest,
    })
    expect(await call).toEqual(expect.any(Number))
  })

  test('of the lock does not limit what the body waits for', async () => {
    const { db } = connect()
    const limits = await db.$withAdvisoryLock(
      'limits',
      (tx) => tx.$queryRaw<[{ wait: number }]>`
SELECT extract(epoch FROM current_setting('lock_timeout')::interval)::int AS wait`,
      { timeout: 60_000, bodyTimeout: 600_000 },
    )
    expect(limits[0].wait).toBeGreaterThanOrEqual(600)
  })

  test('of a lock that had to be waited for does not limit what the body waits for either', async () => {
    const { db } = connect()
    const holder = await lockElsewhere(database.url, '["limits after a wait"]')
    const limits = db.$withAdvisoryLock(
      'limits after a wait',
      (tx) => tx.$queryRaw<[{ wait: number; statement: number }]>`
SELECT extract(epoch FROM current_setting('lock_timeout')::interval)::int AS wait,
  extract(epoch FROM current_setting('statement_timeout')::interval)::int AS statement`,
      { timeout: 60_000, bodyTimeout: 600_000 },
    )
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    const [{ wait, statement }] = await limits
    expect(Math.min(wait, statement)).toBeGreaterThanOrEqual(600)
  })
})

describe('locks taken one inside the other, in opposite orders,', () => {
  test.each([
    ['one process', () => [connect(), connect()].slice(0, 1)],
    ['two processes', () => [connect(), connect()]],
  ])('by callers of %s end in a LockTimeoutError, and the other caller gets through', async (name, clients) => {
    const [{ db: one }, { db: two } = { db: undefined }] = clients()
    const [a, b] = [`${name} a`, `${name} b`]
    const inside = [gate(), gate()]
    const first = rejectionOf(
      one.$withAdvisoryLock(
        a,
        async () => {
          inside[0].open()
          await inside[1].opened
          await one.$withAdvisoryLock(b, never, { timeout: 300 })
        },
        { bodyTimeout: 60_000 },
      ),
    )
    const second = (two ?? one).$withAdvisoryLock(
      b,
      async () => {
        inside[1].open()
        await inside[0].opened
        return (two ?? one).$withAdvisoryLock(a, async () => 'through', { timeout: 60_000 })
      },
      { bodyTimeout: 60_000 },
    )
    expect(await first).toMatchObject({ code: 'LOCK_TIMEOUT', keys: [JSON.stringify([b])], timeout: 300 })
    expect(await second).toBe('through')
  })
})

describe('a signal', () => {
  const reason = new Error('changed my mind')

  test('aborted before the call sends nothing', async () => {
    const { db, statements } = connect()
    const error = await rejectionOf(db.$withAdvisoryLock('before', never, { signal: AbortSignal.abort(reason) }))
    expect({ error, statements }).toEqual({ error: reason, statements: [] })
  })

  test('aborted in the queue of the process ends the wait, and disturbs nobody', async () => {
    const { db } = connect()
    const abort = new AbortController()
    const { opened, open } = gate()
    const first = db.$withAdvisoryLock('signal in queue', () => opened, { bodyTimeout: 60_000 })
    const second = rejectionOf(db.$withAdvisoryLock('signal in queue', never, { signal: abort.signal }))
    const third = db.$withAdvisoryLock('signal in queue', async () => 'third', { timeout: 60_000 })
    abort.abort(reason)
    expect(await second).toBe(reason)
    open()
    expect(await Promise.all([first, third])).toEqual([undefined, 'third'])
  })

  test('aborted while waiting for a place among the waiters ends the wait, and loses no place', async () => {
    const { db, statements } = connect({ lock: { maxWaiting: 1 } })
    const abort = new AbortController()
    const holders = await Promise.all(['1', '2'].map((n) => lockElsewhere(database.url, `["signal place ${n}"]`)))
    const first = db.$withAdvisoryLock('signal place 1', async () => 'first', { timeout: 60_000 })
    await untilBlocked(database.url)
    statements.length = 0
    const second = rejectionOf(db.$withAdvisoryLock('signal place 2', never, { signal: abort.signal, timeout: 60_000 }))
    await vi.waitUntil(() => statements.includes('ROLLBACK'), { timeout: 60_000 })
    abort.abort(reason)
    expect(await second).toBe(reason)
    const third = db.$withAdvisoryLock('signal place 2', async () => 'third', { timeout: 60_000 })
    for (const holder of holders) await holder.query('COMMIT')
    expect(await Promise.all([first, third])).toEqual(['first', 'third'])
  })

  test('aborted while waiting for a connection ends the wait at once, and nothing is run later', async () => {
    const { db, pool } = connect({ poolSize: 1 })
    const abort = new AbortController()
    const body = vi.fn(async () => {})
    const connection = await pool.connect()
    const call = rejectionOf(db.$withAdvisoryLock('signal connection', body, { signal: abort.signal }))
    await vi.waitUntil(() => pool.waitingCount === 1, { timeout: 60_000 })
    abort.abort(reason)
    const error = await call // the connection is still taken
    connection.release()
    await db.note.count()
    expect({ error, runs: body.mock.calls.length }).toEqual({ error: reason, runs: 0 })
  })

  test('aborted while waiting in the database ends the wait at once, while the holder still holds', async () => {
    const { db } = connect()
    const abort = new AbortController()
    const holder = await lockElsewhere(database.url, '["signal in database"]')
    const body = vi.fn(async () => {})
    const call = rejectionOf(
      db.$withAdvisoryLock('signal in database', body, { signal: abort.signal, timeout: 60_000 }),
    )
    await untilBlocked(database.url)
    abort.abort(reason)
    expect(await call).toBe(reason)
    await holder.query('COMMIT')
    await vi.waitUntil(() => isFree(database, '["signal in database"]'), { timeout: 60_000 })
    expect(body).not.toHaveBeenCalled()
  })

  test('aborted while the answer about a free lock is on its way gives the lock back, and the body never runs', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    await db.$withAdvisoryLock('signal on its way', async () => {}) // so that the engine has been looked at
    const abort = new AbortController()
    const body = vi.fn(async () => {})
    const statement = proxy.next(/pg_try_advisory_xact_lock/, 'hold')
    const call = rejectionOf(db.$withAdvisoryLock('signal on its way', body, { signal: abort.signal, timeout: 60_000 }))
    await statement.happened
    abort.abort(reason)
    expect(await call).toBe(reason)
    statement.release()
    await vi.waitUntil(() => proxy.statements.some((sql) => /ROLLBACK|pg_terminate_backend/.test(sql)), {
      timeout: 60_000,
    })
    await vi.waitUntil(() => isFree(database, '["signal on its way"]'), { timeout: 60_000 })
    expect(body).not.toHaveBeenCalled()
  })

  test('aborted while waiting in the database keeps its place there until the statement ends', async () => {
    const { db, statements } = connect({ lock: { maxWaiting: 1 } })
    const abort = new AbortController()
    const holders = await Promise.all(['1', '2'].map((n) => lockElsewhere(database.url, `["ghost ${n}"]`)))
    const first = rejectionOf(db.$withAdvisoryLock('ghost 1', never, { signal: abort.signal, timeout: 60_000 }))
    await untilBlocked(database.url)
    abort.abort(reason)
    await first
    statements.length = 0
    const second = db.$withAdvisoryLock('ghost 2', async () => 'second', { timeout: 60_000 })
    await vi.waitUntil(() => statements.includes('ROLLBACK'), { timeout: 60_000 }) // its first, free try
    await db.note.count()
    expect(await advisoryWaiters(database.url)).toBe(1)
    for (const holder of holders) await holder.query('COMMIT')
    expect(await second).toBe('second')
  })

  test('aborted in the body aborts the signal of the body, rolls back and frees the lock, also if the body goes on', async () => {
    const { db } = connect()
    const abort = new AbortController()
    const inside = gate()
    let told: AbortSignal | undefined
    const call = rejectionOf(
      db.$withAdvisoryLock(
        'signal in body',
        async (tx, signal) => {
          told = signal
          await tx.note.create({ data: { text: 'signal in body' } })
          inside.open()
          await never()
        },
        { signal: abort.signal, bodyTimeout: 60_000 },
      ),
    )
    await inside.opened
    expect(told?.aborted).toBe(false)
    abort.abort(reason)
    expect({ error: await call, isAborted: told?.aborted }).toEqual({ error: reason, isAborted: true })
    await vi.waitUntil(() => isFree(database, '["signal in body"]'), { timeout: 60_000 })
    expect(await notes('signal in body')).toBe(0)
  })

  test('aborted after the commit changes nothing', async () => {
    const { db } = connect()
    const abort = new AbortController()
    const result = await db.$withAdvisoryLock('after', async () => 'done', { signal: abort.signal })
    abort.abort(reason)
    expect(result).toBe('done')
  })

  test('leaves no unhandled rejection behind, wherever it is aborted', async () => {
    const { db } = connect()
    const unhandled = watchUnhandled()
    const holder = await lockElsewhere(database.url, '["unhandled"]')
    const abort = new AbortController()
    const calls = [1, 2, 3].map(() =>
      rejectionOf(db.$withAdvisoryLock('unhandled', never, { signal: abort.signal, timeout: 60_000 })),
    )
    await untilBlocked(database.url)
    abort.abort(reason)
    await Promise.all(calls)
    await holder.query('COMMIT')
    await vi.waitUntil(() => isFree(database, '["unhandled"]'), { timeout: 60_000 })
    await db.note.count()
    expect(await unhandled.collected()).toEqual([])
  })
})

describe('the body', () => {
  test('that throws is rolled back, and its error comes through unchanged', async () => {
    const { db } = connect()
    const error = new Error('no')
    const thrown = await rejectionOf(
      db.$withAdvisoryLock('throws', async (tx) => {
        await tx.note.create({ data: { text: 'throws' } })
        throw error
      }),
    )
    expect({
      isSame: thrown === error,
      notes: await notes('throws'),
      free: await isFree(database, '["throws"]'),
    }).toEqual({ isSame: true, notes: 0, free: true })
  })

  test('that throws before it returns a promise, or something that is no error, does so too', async () => {
    const { db } = connect()
    const thrown = await rejectionOf(
      db.$withAdvisoryLock('throws at once', () => {
        throw 'no error'
      }),
    )
    expect({ thrown, free: await isFree(database, '["throws at once"]') }).toEqual({ thrown: 'no error', free: true })
  })

  test.each(['40P01', '40001', '55P03', '57014'])(
    'that runs into %s is not run again, and gets that very error through',
    async (state) => {
      const { db } = connect()
      const body = vi.fn()
      const error = await rejectionOf(
        db.$withAdvisoryLock(state, async (tx) => {
          body()
          await tx.$executeRawUnsafe(`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '${state}'; END $$`)
        }),
      )
      expect({ state: sqlState(error), runs: body.mock.calls.length }).toEqual({ state, runs: 1 })
    },
  )

  test('has a signal that is aborted once it has ended, and not before', async () => {
    const { db } = connect()
    const seen: boolean[] = []
    const signal = await db.$withAdvisoryLock('told', async (tx, signal) => {
      await tx.note.count()
      seen.push(signal.aborted)
      return signal
    })
    seen.push(signal.aborted)
    expect(seen).toEqual([false, true])
  })

  test('that takes longer than bodyTimeout is told, loses the lock, and can write nothing any more', async () => {
    const { db } = connect()
    const late = gate()
    let isTold = false
    let lateWrite: Promise<unknown> | undefined
    const error = await rejectionOf(
      db.$withAdvisoryLock(
        'body timeout',
        async (tx, signal) => {
          signal.addEventListener('abort', () => {
            isTold = true
          })
          lateWrite = late.opened.then(() => rejectionOf(tx.note.create({ data: { text: 'body timeout' } })))
          await tx.note.create({ data: { text: 'body timeout' } })
          await lateWrite
        },
        { bodyTimeout: 1_000 },
      ),
    )
    await vi.waitUntil(() => isFree(database, '["body timeout"]'), { timeout: 60_000 })
    late.open()
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 1_000 })
    expect({ isTold, isRefused: (await lateWrite) instanceof Error, notes: await notes('body timeout') }).toEqual({
      isTold: true,
      isRefused: true,
      notes: 0,
    })
  })

  test('cut off in the middle of a nested write leaves nothing of it, neither before nor after the ROLLBACK', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'nested' } })
    const order = await db.order.create({ data: { customer: 'nested' } })
    const blocker = await openConnection(database.url)
    await blocker.query('BEGIN')
    await blocker.query('SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
    const told = gate()
    const pass = passingTimers()
    let write: Promise<unknown> | undefined
    const call = rejectionOf(
      db.$withAdvisoryLock(
        'nested',
        async (tx, signal) => {
          signal.addEventListener('abort', told.open)
          const data = { stock: 1, lines: { create: { quantity: 1, orderId: order.id } } }
          write = tx.product.update({ where: { id }, data }).catch((error: unknown) => error)
          await write
        },
        { timeout: 90_000, bodyTimeout: 90_000 },
      ),
    )
    await untilBlocked(database.url)
    pass(90_000)
    await told.opened
    await blocker.query('COMMIT')
    expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(await write).toBeInstanceOf(Error)
    expect(await database.query('SELECT stock FROM "Product" WHERE id = $1', [id])).toEqual([{ stock: 0 }])
    expect(await db.orderLine.findMany({ where: { productId: id } })).toEqual([])
  })

  test('cut off leaves a pool that works on', async () => {
    const { db, pool } = connect({ poolSize: 2 })
    for (let time = 0; time < 3; time++) {
      await rejectionOf(db.$withAdvisoryLock('pool', never, { timeout: 60_000, bodyTimeout: 1 }))
    }
    expect(await Promise.all([1, 2, 3, 4].map(() => db.$withAdvisoryLock('pool', async () => 'works')))).toEqual(
      Array.from({ length: 4 }, () => 'works'),
    )
    expect(pool.totalCount).toBeLessThanOrEqual(2)
  })

  test('that keeps its tx for later finds it closed', async () => {
    const { db } = connect()
    const tx = await db.$withAdvisoryLock('kept', async (tx) => tx)
    await rejectionOf(tx.note.create({ data: { text: 'kept' } }))
    expect(await notes('kept')).toBe(0)
  })
})

describe('inside a transaction of the caller', () => {
  test('the lock is taken there, and held until that transaction ends', async () => {
    const { db } = connect()
    const seen = await db.$transaction(async (tx) => {
      await tx.note.create({ data: { text: 'inside' } })
      const notes = await tx.$withAdvisoryLock('inside', (inner) => inner.note.count({ where: { text: 'inside' } }))
      return { notes, free: await isFree(database, '["inside"]') }
    })
    expect({ ...seen, after: await isFree(database, '["inside"]') }).toEqual({ notes: 1, free: false, after: true })
  })

  test('a body that fails leaves neither its writes nor the lock, and the transaction goes on', async () => {
    const { db } = connect()
    const error = new Error('no')
    const seen = await db.$transaction(async (tx) => {
      await tx.note.create({ data: { text: 'outer' } })
      const thrown = await rejectionOf(
        tx.$withAdvisoryLock('fails inside', async (inner) => {
          await inner.note.create({ data: { text: 'inner' } })
          throw error
        }),
      )
      return { isSame: thrown === error, free: await isFree(database, '["fails inside"]') }
    })
    expect({ ...seen, outer: await notes('outer'), inner: await notes('inner') }).toEqual({
      isSame: true,
      free: true,
      outer: 1,
      inner: 0,
    })
  })

  test('a timeout leaves the transaction usable', async () => {
    const { db } = connect()
    await lockElsewhere(database.url, '["timeout inside"]')
    const error = await db.$transaction(
      async (tx) => {
        const error = await rejectionOf(tx.$withAdvisoryLock('timeout inside', never, { timeout: 50 }))
        await tx.note.create({ data: { text: 'timeout inside' } })
        return error
      },
      { timeout: 60_000 },
    )
    expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', keys: ['["timeout inside"]'], timeout: 50 })
    expect(await notes('timeout inside')).toBe(1)
  })

  test('at REPEATABLE READ it is refused, before the lock is taken', async () => {
    const { db } = connect()
    const seen = await db.$transaction(
      async (tx) => {
        const error = await rejectionOf(tx.$withAdvisoryLock('level inside', never))
        return { error, free: await isFree(database, '["level inside"]') }
      },
      { isolationLevel: 'RepeatableRead' },
    )
    expect(seen).toEqual({
      error: expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'isolationLevel' }),
      free: true,
    })
  })

  test('an aborted signal is heeded before anything is locked', async () => {
    const { db } = connect()
    const reason = new Error('changed my mind')
    const error = await db.$transaction((tx) =>
      rejectionOf(tx.$withAdvisoryLock('signal inside', never, { signal: AbortSignal.abort(reason) })),
    )
    expect(error).toBe(reason)
  })
})

describe('connections', () => {
  test('that wait in the database are never more than lock.maxWaiting; the rest of the pool serves', async () => {
    const { db, statements } = connect({ lock: { maxWaiting: 3 } })
    const keys = Array.from({ length: 9 }, (_, index) => `wait ${index}`)
    const holders = await Promise.all(keys.map((key) => lockElsewhere(database.url, JSON.stringify([key]))))
    const waiting = keys.map((key) => db.$withAdvisoryLock(key, async () => key, { timeout: 100_000 }))
    await vi.waitUntil(() => statements.filter((sql) => sql === 'ROLLBACK').length === 9, { timeout: 60_000 })
    await untilBlocked(database.url, 3)
    let inside = 0
    const all = gate()
    // Seven transactions that end only when all seven are open: they need the seven other connections.
    const others = Array.from({ length: 7 }, () =>
      db.$transaction(
        async (tx) => {
          await tx.note.count()
          if (++inside === 7) all.open()
          await all.opened
        },
        { maxWait: 60_000, timeout: 60_000 },
      ),
    )
    await Promise.all(others)
    expect(await advisoryWaiters(database.url)).toBe(3)
    for (const holder of holders) await holder.query('COMMIT')
    expect(await Promise.all(waiting)).toEqual(keys)
  })

  test('are left for the bodies, however many keys are held and waited for at once', async () => {
    const { db } = connect({ poolSize: 10 })
    await db.$withAdvisoryLock('first of all', async () => {})
    const body = async () => {
      await sleep(5) // meanwhile others come to wait for the lock
      return db.note.count() // on a connection of its own
    }
    const keys = Array.from({ length: 32 }, (_, n) => `connection ${n % 8}`)
    const counts = await Promise.all(keys.map((key) => db.$withAdvisoryLock(key, body, { timeout: 60_000 })))
    expect(counts).toHaveLength(32)
  })

  test('are not needed by callers who wait for their turn in the process', async () => {
    const { db, pool } = connect({ poolSize: 2 })
    const { opened, open } = gate()
    const inside = gate()
    const holder = async () => {
      inside.open()
      await opened
    }
    const calls = [db.$withAdvisoryLock('turn', holder, { bodyTimeout: 60_000 })]
    await inside.opened
    calls.push(...Array.from({ length: 20 }, () => db.$withAdvisoryLock('turn', async () => {}, { timeout: 60_000 })))
    const other = await db.$withAdvisoryLock('other turn', async () => pool.waitingCount)
    open()
    await Promise.all(calls)
    expect(other).toBe(0)
  })
})

describe('a call', () => {
  test.each<[string, object, string]>([
    ['timeout of 0', { timeout: 0 }, 'timeout'],
    ['timeout of NaN', { timeout: Number.NaN }, 'timeout'],
    ['timeout longer than a timer', { timeout: 2 ** 31 }, 'timeout'],
    ['bodyTimeout below 0', { bodyTimeout: -1 }, 'bodyTimeout'],
    ['unknown mode', { mode: 'exclusiv' }, 'mode'],
    ['signal that is none', { signal: {} }, 'signal'],
    ['option of another method', { snapshot: 'accept' }, 'snapshot'],
  ])('with a %s is refused before anything is sent', async (_, options, field) => {
    const { db, statements } = connect()
    const error = await rejectionOf(db.$withAdvisoryLock('options', never, options))
    expect({ error, statements }).toEqual({
      error: expect.objectContaining({ code: 'INVALID_ARGUMENT', field }),
      statements: [],
    })
  })

  test('without a body is refused', async () => {
    const { db } = connect()
    const error = await rejectionOf(db.$withAdvisoryLock('no body', undefined as never))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'body' })
  })

  test('leaves no timer, no listener and no key behind, whether it succeeds, fails, waits or is aborted', async () => {
    const { db } = connect()
    let timers = 0
    const timer = systemClock.timer
    const spies = [
      vi.spyOn(KeyedLock.prototype, 'acquire'),
      vi.spyOn(systemClock, 'timer').mockImplementation((ms, fire) => {
        timers++
        let isOver = false
        const end = () => {
          if (!isOver) timers--
          isOver = true
        }
        const cancel = timer(ms, () => {
          end()
          fire()
        })
        return () => {
          end()
          cancel()
        }
      }),
    ] as const
    onTestFinished(() => {
      for (const spy of spies) spy.mockRestore()
    })
    const abort = new AbortController()
    const { signal } = abort
    await lockElsewhere(database.url, '["tidy elsewhere"]')
    await Promise.allSettled([
      db.$withAdvisoryLock({ keys: ['tidy 1', 'tidy 2'] }, async () => {}, { signal }),
      db.$withAdvisoryLock('tidy 1', async () => Promise.reject(new Error('no')), { signal }),
      db.$withAdvisoryLock('tidy 1', never, { signal, bodyTimeout: 20 }),
      db.$withAdvisoryLock('tidy elsewhere', never, { signal, timeout: 500 }),
      db.$withAdvisoryLock('tidy elsewhere', never, { signal, timeout: 50 }),
    ])
    const left = () => ({
      timers,
      listeners: getEventListeners(signal, 'abort').length,
      keys: spies[0].mock.contexts.reduce((sum: number, queue) => sum + (queue as KeyedLock).size, 0),
    })
    // A call that is told before the server has ended its statement waits for that a little longer, in the background.
    await expect.poll(left, { timeout: 15_000 }).toEqual({ timers: 0, listeners: 0, keys: 0 })
  })
})

describe('a lost answer to COMMIT', () => {
  test('is no failure when the transaction was committed: the body runs once, and its effect is there', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const body = vi.fn()
    proxy.next(/^COMMIT/, 'drop')
    const result = await db.$withAdvisoryLock(
      'dropped',
      async (tx) => {
        body()
        await tx.note.create({ data: { text: 'dropped' } })
        return 'done'
      },
      { timeout: 60_000, bodyTimeout: 60_000 },
    )
    expect({ result, runs: body.mock.calls.length, notes: await notes('dropped') }).toEqual({
      result: 'done',
      runs: 1,
      notes: 1,
    })
  })

  test('is the error of the connection when it was not: the body runs once, nothing is written, the lock is free', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const body = vi.fn()
    proxy.next(/^COMMIT/, 'cut')
    await rejectionOf(
      db.$withAdvisoryLock(
        'cut',
        async (tx) => {
          body()
          await tx.note.create({ data: { text: 'cut' } })
        },
        { timeout: 60_000, bodyTimeout: 60_000 },
      ),
    )
    await vi.waitUntil(() => isFree(database, '["cut"]'), { timeout: 60_000 })
    expect({ runs: body.mock.calls.length, notes: await notes('cut') }).toEqual({ runs: 1, notes: 0 })
  })
})

describe('an engine', () => {
  /** A database with functions of its own under the names of the server's. */
  async function openPretender(functions: string, ...settings: string[]) {
    const pretender = await createDatabase(inject('serverUrl'), inject('template'))
    onTestFinished(() => pretender.drop())
    await pretender.query(`CREATE SCHEMA shadow;\n${functions}`)
    for (const setting of ['search_path = shadow, pg_catalog, public', ...settings])
      await pretender.query(`ALTER DATABASE ${databaseName(pretender.url)} SET ${setting}`)
    const made = createClient(pretender.url)
    onTestFinished(() => made.client.$disconnect())
    return made.client.$extends(concurrency())
  }

  /** Advisory locks that do nothing, as in an engine that has only their names. */
  const NAMES_ONLY = `
CREATE FUNCTION shadow.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION shadow.pg_try_advisory_xact_lock(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true'`

  /** An engine that says READ COMMITTED, whatever level it runs. */
  const SAYS_READ_COMMITTED = `
CREATE FUNCTION shadow.current_setting(name text) RETURNS text LANGUAGE sql AS $$
  SELECT CASE name WHEN 'transaction_isolation' THEN 'read committed' ELSE pg_catalog.current_setting(name) END
$$`

  test('whose locks do nothing is found out and refused, before the body runs', async () => {
    const db = await openPretender(NAMES_ONLY)
    const body = vi.fn(async () => {})
    expect(await rejectionOf(db.$withAdvisoryLock('x', body))).toMatchObject({ code: 'UNSUPPORTED_DATABASE' })
    expect(body).not.toHaveBeenCalled()
  })

  test('whose locks do nothing is refused inside a transaction too, each time', async () => {
    const db = await openPretender(NAMES_ONLY)
    const errors = [
      await rejectionOf(db.$transaction((tx) => tx.$advisoryXactLock('x'))),
      await rejectionOf(db.$transaction((tx) => tx.$tryAdvisoryXactLock('x'))),
      await rejectionOf(db.$transaction((tx) => tx.$advisoryXactLock('x'))),
    ]
    expect(errors).toEqual(errors.map(() => expect.objectContaining({ code: 'UNSUPPORTED_DATABASE' })))
  })

  test.each(['repeatable read', 'serializable'])(
    'that says READ COMMITTED and runs at %s is found out and refused, each time',
    async (level) => {
      const db = await openPretender(SAYS_READ_COMMITTED, `default_transaction_isolation = '${level}'`)
      const body = vi.fn(async () => {})
      const errors = [
        await rejectionOf(db.$withAdvisoryLock('x', body)),
        await rejectionOf(db.$transaction((tx) => tx.$advisoryXactLock('x'))),
        await rejectionOf(db.$transaction((tx) => tx.$tryAdvisoryXactLock('x'))),
      ]
      expect(errors).toEqual(errors.map(() => expect.objectContaining({ code: 'UNSUPPORTED_DATABASE' })))
      expect(body).not.toHaveBeenCalled()
    },
  )

  test('that lets the role not try it is believed', async () => {
    const own = await createDatabase(inject('serverUrl'), inject('template'))
    onTestFinished(() => own.drop())
    await own.query(`DO $$
DECLARE f regprocedure;
BEGIN
  FOR f IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message' LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
  END LOOP;
END $$`)
    const { db } = connectTo(await openRole(own))
    expect(await db.$withAdvisoryLock('x', async () => 'held')).toBe('held')
  })

  test('whose locks work is looked at once per client', async () => {
    const { db, statements } = connect()
    for (const key of ['probe 1', 'probe 2', 'probe 3']) await db.$withAdvisoryLock(key, async () => {})
    await db.$transaction((tx) => tx.$advisoryXactLock('probe 4'))
    expect(statements.filter((sql) => sql.includes('pg_locks'))).toHaveLength(1)
  })
})
