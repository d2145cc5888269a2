import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { type ConcurrencyEvent, concurrency as onPrisma } from '../../src/index.js'
import { concurrency as onPool, type PgClient, replicas as pgReplicas } from '../../src/pg.js'
import type { ReplicaMethods } from '../../src/replicas/types.js'
import { systemClock } from '../../src/sync/clock.js'
import { replicas as prismaReplicas } from '../../src/work.js'
import { openBlackHole } from '../support/black-hole.js'
import { createDatabase, type Database } from '../support/database.js'
import { rows } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { type Server, startEmbedded } from '../support/server.js'
import { type Standby, startStandby } from '../support/standby.js'
import { started } from '../support/started.js'

let server: Server
let standby: Standby
let database: Database
let replicaUrl: string
let replica: pg.Pool

beforeAll(async () => {
  server = await startEmbedded()
  database = await createDatabase(server.url)
  standby = await startStandby(server)
  const url = new URL(standby.url)
  url.pathname = new URL(database.url).pathname
  replicaUrl = url.href
  replica = new pg.Pool({ connectionString: replicaUrl })
  replica.on('error', () => {}) // it is ended in some tests
})
afterAll(async () => {
  await replica?.end()
  await standby?.stop()
  await server?.stop()
})
beforeEach(() => replica.query('SELECT pg_wal_replay_resume()'))
beforeEach(() => {
  // A replica that answers does so in time: a busy machine takes the 2 s away that it has.
  const { timer } = systemClock
  const spy = vi
    .spyOn(systemClock, 'timer')
    .mockImplementation((ms, fire) => timer(ms < 1_000 ? ms : ms + 60_000, fire))
  return () => spy.mockRestore()
})

const pause = () => replica.query('SELECT pg_wal_replay_pause()')
const resume = () => replica.query('SELECT pg_wal_replay_resume()')

/** A place that no server is at yet. */
const far = (at: string) => `${at.split(':')[0]}:FFFFFFFF/0`

type Db = PgClient<ReplicaMethods<object>>

interface Servers {
  readonly primary?: string
  readonly replica?: string
  readonly poolSize?: number
}

async function connect(engine: 'prisma' | 'pg', urls: Servers = {}) {
  const pools = [urls.primary ?? database.url, urls.replica ?? replicaUrl].map((connectionString) => {
    const pool = new pg.Pool({ connectionString, max: urls.poolSize ?? 4 })
    pool.on('error', () => {})
    return pool
  }) as [pg.Pool, pg.Pool]
  const prisma = pools.map(
    (pool) => new PrismaClient({ adapter: new PrismaPg(pool), transactionOptions: { maxWait: 60_000 } }),
  ) as [PrismaClient, PrismaClient]
  onTestFinished(async () => {
    await Promise.all(prisma.map((client) => client.$disconnect()))
    await Promise.all(pools.map((pool) => pool.end()))
  })
  const told: ConcurrencyEvent[] = []
  const onEvent = (event: ConcurrencyEvent) => void told.push(event)
  const db = (engine === 'pg'
    ? (await onPool(pools[0], { onEvent })).$extends(pgReplicas({ clients: [await onPool(pools[1])] }))
    : prisma[0].$extends(onPrisma({ onEvent })).$extends(prismaReplicas({ clients: [prisma[1]] }))) as unknown as Db
  return { db, pools, reasons: () => told.flatMap((event) => (event.type === 'read-on-primary' ? event.why : [])) }
}

const write = (db: object, text: string) => rows(db, 'INSERT INTO "Note" (text) VALUES ($1) RETURNING text', text)

/** Whether the note is there, and where that was read. */
async function look(reader: object, text: string) {
  const [found] = await rows(
    reader,
    'SELECT count(*)::int AS notes, pg_is_in_recovery() AS "isReplica" FROM "Note" WHERE text = $1',
    text,
  )
  return found
}

describe.each(['prisma', 'pg'] as const)('on %s', (engine) => {
  test('what was committed before the place is read on the replica', async () => {
    const { db, reasons } = await connect(engine)
    const text = randomUUID()
    await write(db, text)
    const at = await db.$at()

    expect(await db.$after(at, (reader) => look(reader, text), { wait: 60_000 })).toEqual({ notes: 1, isReplica: true })
    expect(reasons()).toEqual([])
  })

  test('a replica that is behind is waited for, and then the primary is read', async () => {
    // Its own default would keep what was there when it was asked first.
    const repeatable = `${replicaUrl}?options=${encodeURIComponent('-c default_transaction_isolation=repeatable\\ read')}`
    const { db, reasons } = await connect(engine, { replica: repeatable })
    await pause()
    const text = randomUUID()
    await write(db, text)
    const at = await db.$at()

    expect(await look(replica, text)).toEqual({ notes: 0, isReplica: true })
    expect(await db.$after(at, (reader) => look(reader, text), { wait: 0 })).toEqual({ notes: 1, isReplica: false })
    expect(reasons()).toEqual(['behind'])

    const read = gate()
    const reading = db.$after(
      at,
      async (reader) => {
        read.open()
        return look(reader, text)
      },
      { wait: 60_000 },
    )
    const asks = `SELECT FROM pg_stat_activity WHERE query LIKE '%pg_last_wal_replay_lsn%' AND pid <> pg_backend_pid()`
    await expect.poll(async () => (await replica.query(asks)).rowCount, { timeout: 60_000 }).toBeGreaterThan(0)
    await resume()
    await read.opened
    expect(await reading).toEqual({ notes: 1, isReplica: true })
    expect(reasons()).toEqual(['behind'])
  })

  test('reads of what was just written see it, while the replica stops and goes on', async () => {
    const { db } = await connect(engine)
    const isOver = gate()
    const stumbling = (async () => {
      for (let i = 0; i < 10; i++) {
        await pause()
        await resume()
      }
      isOver.open()
    })()
    const seen = new Set<unknown>()
    const caller = async () => {
      for (let i = 0; i < 20; i++) {
        const text = randomUUID()
        await write(db, text)
        const at = await db.$at()
        seen.add((await db.$after(at, (reader) => look(reader, text)))?.notes)
      }
    }
    await Promise.all([stumbling, ...Array.from({ length: 3 }, caller)])

    await isOver.opened
    expect([...seen]).toEqual([1])
  })

  test('a place on another timeline is read on the primary, though the replica is further', async () => {
    const { db, reasons } = await connect(engine)
    const text = randomUUID()
    await write(db, text)

    expect(await db.$after('9:0/1', (reader) => look(reader, text))).toEqual({ notes: 1, isReplica: false })
    expect(reasons()).toEqual(['timeline'])
  })

  test('where the role may not see the timeline the primary is read, and the event says so', async () => {
    const { db, reasons } = await connect(engine, { replica: await roleOnReplica() })
    const at = await db.$at()

    expect(await db.$after(at, (reader) => look(reader, 'any'))).toEqual({ notes: 0, isReplica: false })
    expect(reasons()).toEqual(['timeline-hidden'])
  })

  test('what is no replica is not read', async () => {
    const { db, reasons } = await connect(engine, { replica: database.url })

    expect(await db.$after(await db.$at(), (reader) => look(reader, 'any'))).toEqual({ notes: 0, isReplica: false })
    expect(reasons()).toEqual(['no-replica'])
  })

  test('a replica that is down is not needed', async () => {
    const { db, reasons } = await connect(engine)
    const text = randomUUID()
    await write(db, text)
    const at = await db.$at()
    await standby.crash()
    try {
      expect(await db.$after(at, (reader) => look(reader, text))).toEqual({ notes: 1, isReplica: false })
      expect(reasons()).toEqual(['unreachable'])
    } finally {
      await standby.start()
    }
  })

  test('a replica whose connection is swallowed is not waited for, neither when it is asked nor in the body', async () => {
    vi.mocked(systemClock.timer).mockRestore()
    const read = (reader: object) => rows(reader, 'SELECT 1 AS one')
    const asked = await openBlackHole(replicaUrl)
    const { db, reasons } = await connect(engine, { replica: asked.url, poolSize: 1 })
    await write(db, randomUUID()) // its commit has all WAL sent, also what the server has added itself
    const at = await db.$at()
    await db.$after(at, read, { wait: 60_000 })
    asked.swallow()
    expect(await db.$after(at, read, { wait: 0 })).toEqual([{ one: 1 }])
    expect(reasons()).toEqual(['unreachable'])
    asked.end()

    const inBody = await openBlackHole(replicaUrl)
    const { db: other } = await connect(engine, { replica: inBody.url, poolSize: 1 })
    const swallowed = (reader: object) => {
      inBody.swallow()
      return read(reader)
    }
    const error = await rejectionOf(other.$after(at, swallowed, { wait: 60_000, timeout: 2_000 }))
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 2_000 })
    inBody.end()
  })

  test('a body that the replica ends in the middle runs again on the primary', async () => {
    const { db, reasons } = await connect(engine)
    await write(db, randomUUID())
    const at = await db.$at()
    const places: unknown[] = []
    const read = await db.$after(
      at,
      async (reader) => {
        const [own] = await rows(reader, 'SELECT pg_backend_pid() AS pid, pg_is_in_recovery() AS "isReplica"')
        places.push(own?.isReplica)
        if (own?.isReplica) await replica.query('SELECT pg_terminate_backend($1, 60000)', [own.pid])
        return look(reader, 'any')
      },
      { wait: 60_000 },
    )

    expect(read).toEqual({ notes: 0, isReplica: false })
    expect(places).toEqual([true, false])
    expect(reasons()).toEqual(['interrupted'])
  })

  test('a body that writes is refused wherever it runs, and an error of its own is thrown as it is', async () => {
    const { db, reasons } = await connect(engine)
    const at = await db.$at()
    const own = new Error('of the body')

    for (const place of [at, far(at)]) {
      const error = await rejectionOf(db.$after(place, (reader) => write(reader, 'never'), { wait: 0 }))
      expect(String((error as Error).message)).toMatch(/read-only transaction/)
      expect(await rejectionOf(db.$after(place, () => Promise.reject(own), { wait: 0 }))).toBe(own)
    }
    expect(new Set(reasons())).toEqual(new Set(['behind']))
  })

  test('the callers of a tick share a statement, which is sent after all of them asked', async () => {
    const { db, pools } = await connect(engine)
    await db.$at()
    const sent = vi.spyOn(pg.Client.prototype, 'query')
    onTestFinished(() => sent.mockRestore())
    const places = await Promise.all([db.$at(), db.$at(), db.$at()])
    const later = await db.$at()
    const texts = sent.mock.calls.map(([query]) => JSON.stringify(query)).filter((text) => text?.includes('wal_insert'))

    expect(new Set(places).size).toBe(1)
    expect(texts).toHaveLength(2)
    expect(later).toMatch(/^1:[0-9A-F]+\/[0-9A-F]+$/)
    expect(pools[0].totalCount).toBeLessThanOrEqual(4)
  })

  test('who asks while a statement is under way has committed after it, and needs another one', async () => {
    const { db, pools } = await connect(engine)
    await db.$at()
    const all = await Promise.all([1, 2, 3, 4].map(() => pools[0].connect()))
    const first = started(db.$at())
    await expect.poll(() => pools[0].waitingCount, { timeout: 60_000 }).toBe(1)
    const second = started(db.$at())
    await expect.poll(() => pools[0].waitingCount, { timeout: 60_000 }).toBe(2)
    for (const connection of all) connection.release()

    expect(await Promise.all([first, second])).toHaveLength(2)
  })

  test('has no place on a tx, nor on a replica', async () => {
    const { db } = await connect(engine)
    const onTx = (call: (tx: Db) => Promise<unknown>) => rejectionOf(db.$transaction((tx) => call(tx as unknown as Db)))

    const field = { code: 'INVALID_ARGUMENT', field: 'client' }
    expect(await onTx((tx) => tx.$at())).toMatchObject(field)
    expect(await onTx((tx) => tx.$after('1:0/1', async () => {}))).toMatchObject(field)
    const { db: onReplica } = await connect('prisma', { primary: replicaUrl })
    expect(await rejectionOf(onReplica.$at())).toMatchObject({
      code: 'CONFIGURATION',
      message: /connected to a replica/,
    })
  })

  test.each([
    ['at', ['1:0', async () => {}]],
    ['at', [undefined, async () => {}]],
    ['at', ['0:0/1', async () => {}]],
    ['body', ['1:0/1', undefined]],
    ['wait', ['1:0/1', async () => {}, { wait: -1 }]],
    ['timeout', ['1:0/1', async () => {}, { timeout: 0 }]],
    ['waits', ['1:0/1', async () => {}, { waits: 1 }]],
  ])('names the argument %s that cannot be right: %j', async (field, args) => {
    const { db } = await connect(engine)

    const after = db.$after as (...given: unknown[]) => Promise<unknown>
    expect(await rejectionOf(after.apply(db, args))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })
})

test.each([
  [{}, 'clients'],
  [{ clients: [] }, 'clients'],
  [{ clients: [1] }, 'clients'],
  [{ clients: [{}], wait: -1 }, 'wait'],
  [{ clients: [{}], waits: 1 }, 'waits'],
])('options that cannot be right are named: %j', (options, path) => {
  for (const make of [prismaReplicas, pgReplicas]) {
    let error: unknown
    try {
      make(options as never)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ code: 'CONFIGURATION', issues: [{ path }] })
  }
})

/** An ordinary role of the primary, at the replica, which has it as soon as it has replayed that. */
async function roleOnReplica(): Promise<string> {
  const onPrimary = new URL(await openRole(database))
  const onReplica = new URL(replicaUrl)
  onReplica.username = onPrimary.username
  onReplica.password = onPrimary.password
  const has = () => replica.query('SELECT FROM pg_roles WHERE rolname = $1', [onPrimary.username])
  await expect.poll(async () => (await has()).rowCount, { timeout: 60_000 }).toBe(1)
  return onReplica.href
}

test.each(['prisma', 'pg'] as const)('clients of another engine are refused: %s', async (engine) => {
  const { db } = await connect(engine)
  const extended = () =>
    engine === 'pg'
      ? db.$extends(pgReplicas({ clients: [{}] }))
      : db.$extends(prismaReplicas({ clients: [{}] }) as never)

  expect(extended).toThrow(/^clients: must be/)
})
