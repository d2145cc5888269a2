import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { isFree, lockElsewhere } from '../support/advisory.js'
import { openAll } from '../support/all-features.js'
import { useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { openConnection } from '../support/connection.js'
import { featuresOf, newSubject } from '../support/feature-calls.js'
import { gate } from '../support/gate.js'
import { passingTimers } from '../support/passing-time.js'
import { type PgBouncer, startPgBouncer, whyNoNamedStatements, whyNoPgBouncer } from '../support/pgbouncer.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const SERVER_CONNECTIONS = 4
const PATIENT = { timeout: 100_000, bodyTimeout: 100_000 }
const name = 'behind PgBouncer in transaction pooling'

describe.skipIf(whyNoPgBouncer)(whyNoPgBouncer ? `${name} (skipped: ${whyNoPgBouncer})` : name, () => {
  const database = useDatabase()
  let bouncer: PgBouncer | undefined

  beforeAll(async () => {
    bouncer = await startPgBouncer(database.url, SERVER_CONNECTIONS)
  })
  afterAll(() => bouncer?.stop())

  const connect = () => connectTo(bouncer?.url as string, { retry: { deadline: 100_000 } })
  const times = <T>(count: number, make: (index: number) => T) =>
    Array.from({ length: count }, (_, index) => make(index))
  const notes = async (text: string) => (await database.query('SELECT 1 FROM "Note" WHERE text = $1', [text])).length

  test('many clients share a few connections of the server', async () => {
    const clients = [connect(), connect(), connect()]
    const pids = await Promise.all(
      clients.flatMap(({ db }) => times(20, () => db.$queryRaw<[{ pid: number }]>`SELECT pg_backend_pid() AS pid`)),
    )
    expect(new Set(pids.map(([{ pid }]) => pid)).size).toBeLessThanOrEqual(SERVER_CONNECTIONS)
  })

  test('versioned writes by twenty callers of two clients lose no increment', async () => {
    const clients = [connect(), connect()]
    const { id } = await clients[0].db.product.create({ data: { name: 'storm' } })
    const caller = async (index: number) => {
      for (let time = 0; time < 10; time++) {
        await clients[index % 2].db.product.updateVersioned({
          where: { id },
          data: ({ stock }) => ({ stock: stock + 1 }),
        })
      }
    }
    await Promise.all(times(20, caller))
    expect(await clients[0].db.product.findUniqueOrThrow({ where: { id } })).toMatchObject({ stock: 200, version: 200 })
  })

  test('a stale version is refused, and the true one is named', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'stale', version: 3 } })
    const error = await rejectionOf(db.product.updateVersioned({ where: { id, version: 2 }, data: { stock: 1 } }))
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 2, actual: 3 })
  })

  test('a versioned write that waits for the row of another transaction is not lost', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'waits' } })
    const other = await openConnection(database.url)
    await other.query('BEGIN')
    await other.query('UPDATE "Product" SET stock = 10, version = version + 1 WHERE id = $1', [id])
    const write = started(db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) }))
    await untilBlocked(database.url)
    await other.query('COMMIT')
    expect(await write).toMatchObject({ stock: 11, version: 2 })
  })

  test('batches of versioned writes in opposite orders write each row once per batch', async () => {
    const clients = [connect(), connect()]
    const rows = await clients[0].db.product.createManyAndReturn({ data: times(10, (n) => ({ name: `batch ${n}` })) })
    const items = rows.map(({ id, version }) => ({ where: { id, version }, data: { stock: { increment: 1 } } }))
    const verdicts = await Promise.all([
      clients[0].db.product.updateManyVersioned(items, { mode: 'each' }),
      clients[1].db.product.updateManyVersioned([...items].reverse(), { mode: 'each' }),
    ])
    expect(verdicts.flat().filter(({ status }) => status === 'updated')).toHaveLength(10)
    const stocks = await clients[0].db.product.findMany({ where: { id: { in: rows.map(({ id }) => id) } } })
    expect(stocks.map(({ stock, version }) => [stock, version])).toEqual(times(10, () => [1, 1]))
  })

  test('plain writes of many rows bump their versions', async () => {
    const { db } = connect()
    await db.product.createMany({ data: times(3, () => ({ name: 'plain' })) })
    await db.product.updateMany({ where: { name: 'plain' }, data: { stock: 5 } })
    const rows = await db.product.findMany({ where: { name: 'plain' }, select: { stock: true, version: true } })
    expect(rows).toEqual(times(3, () => ({ stock: 5, version: 1 })))
  })

  test('serializable transactions of ten callers are retried until each is committed once', async () => {
    const clients = [connect(), connect()]
    const [from, to] = await clients[0].db.product.createManyAndReturn({
      data: [
        { name: 'from', stock: 100 },
        { name: 'to', stock: 0 },
      ],
    })
    await Promise.all(
      times(20, (index) =>
        clients[index % 2].db.$transactionWithRetry(
          async (tx) => {
            const { stock } = await tx.product.findUniqueOrThrow({ where: { id: from.id } })
            const other = await tx.product.findUniqueOrThrow({ where: { id: to.id } })
            await tx.product.update({ where: { id: from.id }, data: { stock: stock - 1 } })
            await tx.product.update({ where: { id: to.id }, data: { stock: other.stock + 1 } })
          },
          { isolationLevel: 'Serializable', retry: { attempts: 1_000 } },
        ),
      ),
    )
    const rows = await clients[0].db.product.findMany({
      where: { id: { in: [from.id, to.id] } },
      orderBy: { id: 'asc' },
    })
    expect(rows.map(({ stock }) => stock)).toEqual([80, 20])
  })

  test('a COMMIT whose answer is lost is found out to be committed, and not run again', async () => {
    const proxy = await openProxy(bouncer?.url as string)
    const { db } = connectTo(proxy.url, { retry: { deadline: 100_000 } })
    const body = vi.fn()
    proxy.next(/^COMMIT/, 'drop')
    await db.$transactionWithRetry(async (tx) => {
      body()
      await tx.note.create({ data: { text: 'dropped' } })
    })
    expect({ runs: body.mock.calls.length, notes: await notes('dropped') }).toEqual({ runs: 1, notes: 1 })
  })

  test('an insert with one transaction id by twenty callers of two clients is one row, which all of them get', async () => {
    const clients = [connect(), connect()]
    const outcomes = await Promise.all(
      times(20, (index) =>
        clients[index % 2].db.payment.createIdempotent({ where: { transactionId: 'once' }, data: { amount: 5 } }),
      ),
    )
    expect(outcomes.filter(({ replayed }) => !replayed)).toHaveLength(1)
    expect(new Set(outcomes.map(({ record }) => record.id)).size).toBe(1)
  })

  test('a whole operation by ten callers of two clients runs once, and all of them get its answer', async () => {
    const clients = [connect(), connect()]
    const body = vi.fn()
    const outcomes = await Promise.all(
      times(10, (index) =>
        clients[index % 2].db.$idempotent({ key: 'once', scope: 'bouncer', request: { amount: 5 } }, async (tx) => {
          body()
          return (await tx.note.create({ data: { text: 'operation' } })).id
        }),
      ),
    )
    expect({ runs: body.mock.calls.length, notes: await notes('operation') }).toEqual({ runs: 1, notes: 1 })
    expect(new Set(outcomes.map(({ result }) => result)).size).toBe(1)
  })

  test('a read and a write under $withAdvisoryLock are one step for the callers of two clients', async () => {
    const clients = [connect(), connect()]
    const { id } = await clients[0].db.product.create({ data: { name: 'locked' } })
    await Promise.all(
      times(60, (index) =>
        clients[index % 2].db.$withAdvisoryLock(
          ['product', id],
          async (tx) => {
            const { stock } = await tx.product.findUniqueOrThrow({ where: { id } })
            await tx.product.update({ where: { id }, data: { stock: stock + 1 } })
          },
          PATIENT,
        ),
      ),
    )
    expect((await clients[0].db.product.findUniqueOrThrow({ where: { id } })).stock).toBe(60)
  })

  test('a lock is free as soon as its transaction has ended, whoever gets the connection next', async () => {
    const { db } = connect()
    await db.$withAdvisoryLock('ends 1', async () => {})
    await db.$transaction((tx) => tx.$advisoryXactLock('ends 2'))
    await db.$transaction((tx) => tx.$tryAdvisoryXactLock('ends 3'))
    const free = await Promise.all(times(3, (index) => isFree(database, `["ends ${index + 1}"]`)))
    expect(free).toEqual([true, true, true])
  })

  test('timeouts of locks are errors of this package, and leave no limit on the shared connections', async () => {
    const { db } = connect()
    await lockElsewhere(database.url, '["timeout"]')
    const errors = [
      await rejectionOf(db.$withAdvisoryLock('timeout', async () => {}, { timeout: 1_000 })),
      await db.$transaction((tx) => rejectionOf(tx.$advisoryXactLock('timeout', { timeout: 500 })), {
        timeout: 100_000,
      }),
    ]
    const settings = await Promise.all(
      times(
        20,
        () =>
          db.$queryRaw`SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement`,
      ),
    )
    expect(errors).toEqual(errors.map(() => expect.objectContaining({ code: 'LOCK_TIMEOUT' })))
    expect(settings).toEqual(settings.map(() => [{ lock: '0', statement: '0' }]))
  })

  test('a body cut off in the middle of a nested write leaves nothing of it, and the pool works on', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'nested' } })
    const order = await db.order.create({ data: { customer: 'nested' } })
    const blocker = await openConnection(database.url)
    await blocker.query('BEGIN')
    await blocker.query('SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
    const told = gate()
    const pass = passingTimers()
    const call = rejectionOf(
      db.$withAdvisoryLock(
        'nested',
        async (tx, signal) => {
          signal.addEventListener('abort', told.open)
          const data = { stock: 1, lines: { create: { quantity: 1, orderId: order.id } } }
          await tx.product.update({ where: { id }, data })
        },
        { timeout: 90_000, bodyTimeout: 90_000 },
      ),
    )
    await untilBlocked(database.url)
    pass(90_000)
    await told.opened
    await blocker.query('COMMIT')
    expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    const works = await Promise.all(times(20, () => db.$withAdvisoryLock('nested', async () => 'works', PATIENT)))
    expect(works).toEqual(times(20, () => 'works'))
    expect(await db.product.findUniqueOrThrow({ where: { id }, include: { lines: true } })).toMatchObject({
      stock: 0,
      lines: [],
    })
  })
})

const named = 'behind PgBouncer that prepares named statements anew in each session'

describe.skipIf(whyNoNamedStatements)(
  whyNoNamedStatements ? `${named} (skipped: ${whyNoNamedStatements})` : named,
  () => {
    const CALLERS = 16
    /** Fewer than the features send, so that some are forgotten and prepared again. */
    const SETTINGS = 'max_prepared_statements = 10'
    const hashOf = (sql: string) => [...sql].reduce((hash, char) => (hash * 31 + char.charCodeAt(0)) | 0, 7)

    describe.each(['prisma', 'pg'] as const)('on %s', (engine) => {
      const database = useDatabase()
      let bouncer: PgBouncer | undefined
      let opened: Awaited<ReturnType<typeof openAll>>
      beforeAll(async () => {
        bouncer = await startPgBouncer(database.url, SERVER_CONNECTIONS, 'transaction', SETTINGS)
        opened = await openAll(engine, {
          url: bouncer.url,
          poolSize: 2 * SERVER_CONNECTIONS,
          retry: { deadline: 100_000 },
          statementNameGenerator: ({ sql }) => `s${hashOf(sql)}`,
        })
      })
      afterAll(async () => {
        await opened?.close()
        await bouncer?.stop()
      })

      test.each(Object.entries(featuresOf(engine)))(
        '%s is right, with statements of the program under names beside it',
        async (_, { call, effect, counted }) => {
          const subject = await newSubject(database.query)
          const mine = (n: number) =>
            opened.pool.query({ name: `mine ${n % 5}`, text: `SELECT $1::int + ${n % 5} AS n`, values: [n] })
          const calls = Array.from({ length: CALLERS }, (_, caller) => [call(opened.db, subject, caller), mine(caller)])
          await Promise.all(calls.flat())
          expect(await counted(database.query, subject)).toBe(effect === 'once' ? 1 : CALLERS)
        },
      )
    })
  },
)
