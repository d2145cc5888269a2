import { randomInt, randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { isConcurrencyError } from '../../src/errors/index.js'
import { useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines, type ErpDb, rows } from '../support/engines.js'
import { passingTimers } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { started } from '../support/started.js'

/** More than the attempts of the default policy. */
const MANY = 12
/** Long enough for any outage of these tests. */
const retry = { deadline: 60_000, maxDelay: 5 }

const note = (tx: object, text: string) => rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', text)

describeEngines(({ connectErp, database }) => {
  const productId = randomInt(1, 2 ** 31)
  const item = { productId, warehouse: 'main' }

  beforeAll(async () => {
    await database.query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 100)`, [productId])
    await database.query(
      `INSERT INTO "Serial" ("productId", number) SELECT $1, gen_random_uuid()::text FROM generate_series(1, 100)`,
      [productId],
    )
  })

  const few = { attempts: 2, deadline: 60_000 }
  const FEW: Readonly<Record<string, (db: ErpDb, id: string) => Promise<unknown>>> = {
    $oncePer: (db, job) => db.$oncePer({ job, period: { every: '1d' }, retry: few }, (tx) => note(tx, job)),
    '$serials.allocate': (db, transactionId) =>
      db.$serials.allocate({ transactionId, where: { productId }, count: 1, retry: few }),
    '$stock.release': (db, transactionId) => db.$stock.release({ transactionId, retry: few }),
    '$series.create': (db, transactionId) =>
      db.$series.create('payment', { transactionId, record: { amount: 1 }, retry: few }),
  }

  const CALLS: Readonly<Record<string, (db: ErpDb, id: string) => Promise<unknown>>> = {
    $transactionWithRetry: (db, id) => db.$transactionWithRetry((tx) => note(tx, id), { retry }),
    $idempotent: (db, key) => db.$idempotent({ key, scope: 'test', retry }, (tx) => note(tx, key)),
    $oncePer: (db, job) => db.$oncePer({ job, period: { every: '1d' }, retry }, (tx) => note(tx, job)),
    '$stock.move': (db, transactionId) => db.$stock.move({ transactionId, item, quantity: 1, retry }),
    '$stock.defer': (db, transactionId) => db.$stock.defer({ transactionId, item, quantity: 1, retry }),
    '$stock.reserve': (db, transactionId) =>
      db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 60_000, retry }),
    '$stock.release': (db, transactionId) => db.$stock.release({ transactionId, retry }),
    '$serials.allocate': (db, transactionId) =>
      db.$serials.allocate({ transactionId, where: { productId }, count: 1, retry }),
    '$serials.release': (db, transactionId) => db.$serials.release({ transactionId, retry }),
    '$serials.import': (db, transactionId) =>
      db.$serials.import({ transactionId, data: { productId }, numbers: [transactionId], retry } as never),
    '$series.create': (db, transactionId) =>
      db.$series.create('payment', { transactionId, record: { amount: 1 }, retry }),
  }

  test.each(Object.entries(CALLS))('%s outlasts an outage of more attempts than it has', async (_, call) => {
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    proxy.refuse()
    const done = started(call(db, randomUUID()))
    await vi.waitUntil(() => proxy.refusals() > MANY, { timeout: 50_000, interval: 5 })
    proxy.accept()

    await expect(done).resolves.toBeDefined()
  })

  test('a call that is allowed one attempt is told of an outage at once', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    proxy.refuse()

    expect(
      await rejectionOf(db.$transactionWithRetry((tx) => note(tx, ''), { retry: { attempts: 1 } })),
    ).toHaveProperty('attempts', 1)
  })

  test.each(['$oncePer', '$serials.allocate', '$stock.release', '$series.create'])(
    '%s, which reads first, is told of an outage after as many attempts as it is allowed',
    async (name) => {
      const proxy = await openProxy(database.url)
      const { db } = await connectErp(undefined, { url: proxy.url })
      proxy.refuse()
      const error = await rejectionOf(FEW[name]?.(db, randomUUID()))

      expect(isConcurrencyError(error)).toBe(false)
      expect(proxy.refusals()).toBeLessThan(MANY)
    },
  )

  test('a body that cannot reach another server is not run again for that', async () => {
    const { db } = await connectErp()
    const body = vi.fn(() => Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })))

    expect(await rejectionOf(db.$transactionWithRetry(body, { retry }))).toHaveProperty('code', 'ECONNREFUSED')
    expect(body).toHaveBeenCalledTimes(1)
  })

  test('a block of a series that was perhaps taken is a gap, and the next one is taken', async () => {
    const role = await openRole(database)
    await database.query('REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC')
    onTestFinished(async () => void (await database.query('GRANT EXECUTE ON FUNCTION pg_current_wal_lsn() TO PUBLIC')))
    const proxy = await openProxy(role)
    const { db } = await connectErp(undefined, { url: proxy.url })
    const transactionId = randomUUID()
    const lost = proxy.next(/^COMMIT/, 'drop')
    const number = started(db.$series.next('ticket', { transactionId }))
    await lost.happened

    expect(await number).toMatchObject({ replayed: false })
  })

  test('a look that is cut leaves nothing unknown: $serials.allocate is refused as it would have been', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    const allocate = (count: number) =>
      db.$serials.allocate({ transactionId: randomUUID(), where: { productId }, count, retry })
    await allocate(1)
    proxy.next(/^SELECT a."request" AS request, CASE/, 'cut')

    expect(await rejectionOf(allocate(1_000))).toHaveProperty('code', 'INSUFFICIENT_SERIALS')
  })

  test('a look that is cut leaves nothing unknown: $stock.move is refused as it would have been', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    const move = (transactionId: string, quantity: number) => db.$stock.move({ transactionId, item, quantity, retry })
    await move(randomUUID(), 1)
    const look = proxy.next(/^SELECT t."transactionId"::text AS id/, 'cut')

    expect(await rejectionOf(move(randomUUID(), -1_000_000))).toHaveProperty('code', 'INSUFFICIENT_STOCK')
    await look.happened
  })

  describe('a statement that a limit of the database has ended is sent again until the deadline:', () => {
    const locked: Readonly<
      Record<string, readonly [string, (db: ErpDb, id: string, options: object) => Promise<unknown>]>
    > = {
      '$stock.move': [
        '"Stock"',
        (db, transactionId, options) => db.$stock.move({ transactionId, item, quantity: 1, ...options }),
      ],
      '$stock.count': [
        '"Stock"',
        (db, transactionId, options) => db.$stock.count({ transactionId, item, counted: 7, ...options }),
      ],
      '$stock.defer': [
        '"StockMovement"',
        (db, transactionId, options) => db.$stock.defer({ transactionId, item, quantity: 1, ...options }),
      ],
      '$serials.allocate': [
        '"SerialAllocation"',
        (db, transactionId, options) =>
          db.$serials.allocate({ transactionId, where: { productId }, count: 1, ...options }),
      ],
      '$serials.release': [
        '"SerialAllocation"',
        (db, transactionId, options) => db.$serials.release({ transactionId, ...options }),
      ],
      '$series.create': [
        '"Payment"',
        (db, transactionId, options) =>
          db.$series.create('payment', { transactionId, record: { amount: 1 }, ...options }),
      ],
    }

    const limited = async (limit: string) => {
      const url = new URL(database.url)
      url.searchParams.set('options', `-c ${limit}`)
      const proxy = await openProxy(url.href)
      return { proxy, ...(await connectErp(undefined, { url: proxy.url })) }
    }

    const cases = Object.entries(locked).flatMap(([name, [table, call]]) => [
      [name, 'lock_timeout=20ms', table, call] as const,
      ...(name === '$stock.move' ? [[name, 'statement_timeout=250ms', table, call] as const] : []),
    ])

    test.each(cases)('%s under %s is carried out', async (_, limit, table, call) => {
      const { db, proxy } = await limited(limit)
      const holder = await openTransaction(database.url, `LOCK TABLE ${table} IN EXCLUSIVE MODE`)
      const before = proxy.statements.length
      const done = started(call(db, randomUUID(), { retry }))
      await vi.waitUntil(() => proxy.statements.length > before + 15, { timeout: 50_000, interval: 5 })
      await holder.query('COMMIT')

      await expect(done).resolves.toBeDefined()
    })

    test.each(cases)('%s under %s is told of its deadline otherwise', async (_, limit, table, call) => {
      const { db, proxy } = await limited(limit)
      await openTransaction(database.url, `LOCK TABLE ${table} IN EXCLUSIVE MODE`)
      const pass = passingTimers()
      const before = proxy.statements.length
      const failing = rejectionOf(call(db, randomUUID(), { retry }))
      await vi.waitUntil(() => proxy.statements.length > before + 5, { timeout: 50_000, interval: 5 })
      pass(retry.deadline + 1)

      expect(await failing).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: retry.deadline })
    })
  })
})

describe('on models of Prisma', () => {
  const database = useDatabase()
  const newProduct = async () =>
    (await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`))[0]
      ?.id as number
  const newPayment = () => ({ where: { transactionId: randomUUID() }, data: { amount: 5 } })
  type Db = ReturnType<typeof connectTo>['db']

  const CALLS: Readonly<Record<string, (db: Db, id: number, retry: object) => Promise<unknown>>> = {
    updateVersioned: (db, id, retry) =>
      db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 7 }, retry }),
    'updateVersioned with a function': (db, id, retry) =>
      db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }), retry }),
    deleteVersioned: (db, id, retry) => db.product.deleteVersioned({ where: { id, version: 0 }, retry }),
    updateManyVersioned: (db, id, retry) =>
      db.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 7 } }], { retry }),
  }

  test.each(Object.entries(CALLS))('%s outlasts an outage of more attempts than it has', async (_, call) => {
    const id = await newProduct()
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    proxy.refuse()
    const done = started(call(db, id, retry))
    await vi.waitUntil(() => proxy.refusals() > MANY, { timeout: 50_000, interval: 5 })
    proxy.accept()

    await expect(done).resolves.toBeDefined()
  })

  test.each(Object.entries(CALLS))(
    '%s is told of its deadline, where lock_timeout has ended its waits',
    async (_, call) => {
      const id = await newProduct()
      const url = new URL(database.url)
      url.searchParams.set('options', '-c lock_timeout=20ms')
      const { db, statements } = connectTo(url.href)
      await openTransaction(database.url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
      const pass = passingTimers()
      const failing = rejectionOf(call(db, id, retry))
      await vi.waitUntil(() => statements.length > 5, { timeout: 50_000, interval: 5 })
      pass(retry.deadline + 1)

      expect(await failing).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    },
  )

  test('createIdempotent outlasts an outage of more attempts than it has', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    proxy.refuse()
    const done = started(db.payment.createIdempotent({ ...newPayment(), retry }))
    await vi.waitUntil(() => proxy.refusals() > MANY, { timeout: 50_000, interval: 5 })
    proxy.accept()

    expect(await done).toMatchObject({ replayed: false })
  })

  test('createIdempotent is told of an outage after as many attempts as it is allowed', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    proxy.refuse()
    const error = await rejectionOf(db.payment.createIdempotent({ ...newPayment(), retry: { attempts: 2 } }))

    expect(isConcurrencyError(error)).toBe(false)
    expect(error).toHaveProperty('attempts', 2)
    expect(proxy.refusals()).toBeLessThan(MANY)
  })

  test('two of createIdempotent at once that could not even look for the key are not of unknown outcome', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    proxy.refuse()
    const insert = () => rejectionOf(db.payment.createIdempotent({ ...newPayment(), retry: { attempts: 2 } }))
    const errors = await Promise.all([insert(), insert()])

    expect(errors.map((error) => isConcurrencyError(error))).toEqual([false, false])
  })

  test('createIdempotent is of unknown outcome where its answer was lost, and no attempt is left', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    proxy.next(/^INSERT INTO "public"."Payment"/, 'drop')
    const error = await rejectionOf(db.payment.createIdempotent({ ...newPayment(), retry: { attempts: 1 } }))

    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', attempts: 1 })
  })

  test('createIdempotent is not unknown where only a look at a duplicate was cut', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const payment = newPayment()
    await db.payment.createIdempotent(payment)
    proxy.next(/^SELECT/, 'cut')

    expect(await db.payment.createIdempotent({ ...payment, retry: { attempts: 1 } })).toMatchObject({ replayed: true })
  })

  test('createIdempotent is told of its deadline, where lock_timeout has ended its waits for a duplicate', async () => {
    const url = new URL(database.url)
    url.searchParams.set('options', '-c lock_timeout=20ms')
    const { db, statements } = connectTo(url.href)
    const { where, data } = newPayment()
    await openTransaction(database.url, 'INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 5)', [
      where.transactionId,
    ])
    const pass = passingTimers()
    const failing = rejectionOf(db.payment.createIdempotent({ where, data, retry }))
    await vi.waitUntil(() => statements.length > 5, { timeout: 50_000, interval: 5 })
    pass(retry.deadline + 1)

    expect(await failing).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: retry.deadline })
  })
})
