import { randomInt, randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../src/sync/clock.js'
import { useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines, type ErpDb, rows } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { passingTime } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { watchUnhandled } from '../support/unhandled.js'
import { untilBlocked } from '../support/until-blocked.js'

/** Longer than any deadline of these calls, and its grace. */
const FOR_EVER = 600_000
const UNKNOWN = 'OUTCOME_UNKNOWN'
const COMMIT = /^COMMIT/

type PrismaDb = ReturnType<typeof connectTo>['db']

describeEngines(({ connectErp, database }) => {
  const productId = randomInt(1, 2 ** 31)
  const item = { productId, warehouse: 'main' }
  const note = (tx: object, text: string) => rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', text)

  beforeEach(async () => {
    await database.query(
      `INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 0) ON CONFLICT DO NOTHING`,
      [productId],
    )
    await database.query(
      `INSERT INTO "Serial" ("productId", number) SELECT $1, gen_random_uuid()::text FROM generate_series(1, 10)`,
      [productId],
    )
  })

  const move = (db: ErpDb, transactionId: string) => db.$stock.move({ transactionId, item, quantity: 1 })
  const allocate = (db: ErpDb, transactionId: string) =>
    db.$serials.allocate({ transactionId, where: { productId }, count: 1 })
  const create = (db: ErpDb, transactionId: string) =>
    db.$series.create('payment', { transactionId, record: { amount: 1 } })

  test('calls of $stock that are decided together are told by their own deadlines', async () => {
    const unhandled = watchUnhandled()
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    const pass = passingTime()
    const own = { productId, warehouse: randomUUID().slice(0, 8) }
    await database.query('INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, $2, 5)', [
      productId,
      own.warehouse,
    ])
    await db.$stock.move({ transactionId: randomUUID(), item: own, quantity: 1 })
    const reserve = (deadline: number) =>
      started(
        db.$stock.reserve({
          transactionId: randomUUID(),
          item: own,
          quantity: 1,
          expiresIn: 60_000,
          retry: { deadline },
        }),
      )
    const held = proxy.next(COMMIT, 'hold')
    const [long, short] = [reserve(1_000_000), reserve(60_000)]
    await held.happened
    pass(65_000)

    expect(await rejectionOf(short)).toMatchObject({ code: UNKNOWN })
    held.release()
    expect(await long).toMatchObject({ state: 'active' })
    expect(await unhandled.collected()).toEqual([])
  })

  test('$withAdvisoryLock ends by the time of its body and the grace, also where COMMIT is swallowed', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    const pass = passingTime()
    const locked = (key: string) =>
      db.$withAdvisoryLock(key, (tx) => note(tx, key), { timeout: 60_000, bodyTimeout: 100_000 })
    await locked(randomUUID())
    const held = proxy.next(COMMIT, 'hold')
    const failing = rejectionOf(locked(randomUUID()))
    await held.happened
    pass(102_000)

    expect(await failing).toMatchObject({ code: UNKNOWN, cause: { isUnanswered: true } })
    held.release()
  })

  test('$withAdvisoryLock that waits ends by the time for the lock and the grace, however long its body may take', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    const pass = passingTime()
    const locked = (key: string) =>
      db.$withAdvisoryLock(key, (tx) => note(tx, key), { timeout: 60_000, bodyTimeout: 1_000_000 })
    await locked(randomUUID())
    const held = proxy.next(/pg_try_advisory/, 'hold')
    const failing = rejectionOf(locked(randomUUID()))
    await held.happened
    pass(62_000)

    expect(await failing).toMatchObject({ code: 'LOCK_TIMEOUT' })
    held.release()
  })

  test('a body under a lock that ends after its caller was told is rolled back', async () => {
    const unhandled = watchUnhandled()
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    const pass = passingTime()
    const key = randomUUID()
    const held = proxy.next(/INSERT INTO "Note"/, 'hold')
    const failing = rejectionOf(db.$withAdvisoryLock(key, (tx) => note(tx, key), { bodyTimeout: 100_000 }))
    await held.happened
    pass(102_000)
    const error = await failing
    held.release()

    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', isUnanswered: true })
    // Free again: its transaction has ended.
    await db.$withAdvisoryLock(key, (tx) => note(tx, 'next'))
    expect(await database.query('SELECT FROM "Note" WHERE text = $1', [key])).toEqual([])
    expect(await unhandled.collected()).toEqual([])
  })

  test('a lock whose turn comes after its time is a LockTimeoutError, and nothing else is rejected', async () => {
    const unhandled = watchUnhandled()
    const { db, pool } = await connectErp(undefined, { poolSize: 1 })
    const pass = passingTime()
    const [key, entered, leaving] = [randomUUID(), gate(), gate()]
    const locked = (body: () => Promise<void>) => started(db.$withAdvisoryLock(key, body, { bodyTimeout: 1_000_000 }))
    const first = locked(async () => {
      entered.open()
      await leaving.opened
    })
    await entered.opened
    const second = rejectionOf(locked(async () => {}))
    const holder = pool.connect()
    await new Promise((resolve) => setImmediate(resolve))
    pass(FOR_EVER)
    leaving.open()
    await first

    expect(await second).toMatchObject({ code: 'LOCK_TIMEOUT' })
    // Its transaction gets no connection either, within a ms: behind the timer for that.
    await new Promise((resolve) => setTimeout(resolve, 100))
    ;(await holder).release()
    expect(await unhandled.collected()).toEqual([])
  })

  test.each([
    ['$stock.move', 'StockMovement', move],
    ['$serials.allocate', 'Serial', allocate],
    ['$series.create', 'Payment', create],
  ])('%s is told in time while its table is locked, and the next call goes through', async (_, table, call) => {
    const { db, pool } = await connectErp()
    const pass = passingTime()
    await call(db, randomUUID())
    const holder = await openTransaction(database.url, `LOCK TABLE "${table}" IN ACCESS EXCLUSIVE MODE`)
    const failing = rejectionOf(call(db, randomUUID()))
    await untilBlocked(database.url)
    pass(FOR_EVER)

    expect(await failing).toMatchObject({ code: UNKNOWN })
    await holder.query('ROLLBACK')
    await call(db, randomUUID())
    await expect.poll(() => pool.idleCount).toBe(pool.totalCount)
  })

  test('a large import that was committed is a success, also where its ANALYZE is swallowed', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    const pass = passingTime()
    const numbers = Array.from({ length: 10_000 }, (_, n) => `${productId} ${n}`)
    const held = proxy.next(/^ANALYZE/, 'hold')
    const importing = started(
      db.$serials.import({ transactionId: randomUUID(), numbers, data: { productId }, retry: { deadline: 60_000 } }),
    )
    await held.happened
    pass(FOR_EVER)

    expect(await importing).toEqual({ imported: 10_000, replayed: false })
    held.release()
  })

  test('a connection of a pool that swallows keeps no call waiting that does not need it', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url, poolSize: 3 })
    const other = { productId, warehouse: randomUUID().slice(0, 8) }
    await database.query('INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, $2, 0)', [
      productId,
      other.warehouse,
    ])
    const calls = (): (() => PromiseLike<unknown>)[] => [
      () => db.$stock.move({ transactionId: randomUUID(), item: other, quantity: 1 }),
      () => allocate(db, randomUUID()),
      () => create(db, randomUUID()),
      () => db.$series.next('ticket'),
      () => db.$idempotent({ key: randomUUID(), scope: 'test' }, (tx) => note(tx, 'done')),
      () => db.$withAdvisoryLock(randomUUID(), (tx) => note(tx, 'done')),
      () => db.$transactionWithRetry((tx) => note(tx, 'done')),
    ]
    for (const call of calls()) await call()
    await move(db, randomUUID())
    const held = proxy.next(/"StockMovement"/, 'hold')
    let isTold = false
    const swallowed = move(db, randomUUID()).finally(() => {
      isTold = true
    })
    await held.happened

    for (const call of [...calls(), ...calls()]) await call()
    await Promise.all([...calls(), ...calls(), ...calls()].map((call) => call()))
    expect(isTold).toBe(false)
    held.release()
    expect(await swallowed).toMatchObject({ replayed: false })
  })
})

describe('by models', () => {
  const database = useDatabase()
  const insert = (db: ReturnType<typeof connectTo>['db'], transactionId: string) =>
    db.payment.createIdempotent({ where: { transactionId }, data: { amount: 1 } })

  test.each([
    ['updateVersioned', 'Product'],
    ['createIdempotent', 'Payment'],
  ])('%s is told in time while its table is locked, and the next call goes through', async (name, table) => {
    const [row] = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
    const id = row?.id as number
    const { db } = connectTo(database.url)
    const update = () => db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
    const call = async () => (name === 'updateVersioned' ? update() : insert(db, randomUUID()))
    const pass = passingTime()
    await call()
    const holder = await openTransaction(database.url, `LOCK TABLE "${table}" IN ACCESS EXCLUSIVE MODE`)
    const failing = rejectionOf(call())
    await untilBlocked(database.url)
    pass(FOR_EVER)

    // The function has read nothing yet.
    expect(await failing).toMatchObject({ code: name === 'updateVersioned' ? 'DEADLINE_EXCEEDED' : UNKNOWN })
    await holder.query('ROLLBACK')
    await call()
  })

  test.each([
    [
      '$withAdvisoryLock',
      (db: PrismaDb, body: (tx: object) => Promise<unknown>, limit: number) =>
        db.$withAdvisoryLock(randomUUID(), body, { bodyTimeout: limit }),
    ],
    [
      '$transactionWithRetry',
      (db: PrismaDb, body: (tx: object) => Promise<unknown>, limit: number) =>
        db.$transactionWithRetry(body, { timeout: limit }),
    ],
  ])("%s says whose time was up, also where the server's limit of a statement comes first", async (_, call) => {
    const [row] = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
    const { db } = connectTo(database.url)
    const locked = `SELECT FROM "Product" WHERE id = ${row?.id} FOR UPDATE`
    await call(db, (tx) => rows(tx, locked), 30_000)
    const holder = await openTransaction(database.url, locked)
    const { timer } = systemClock
    const late = vi.spyOn(systemClock, 'timer').mockImplementation((ms, fire) => timer(ms + 60_000, fire))
    const error = await rejectionOf(call(db, (tx) => rows(tx, locked), 1_500))
    late.mockRestore()
    await holder.query('ROLLBACK')

    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 1_500, cause: expect.anything() })
  })

  test('a row that comes in the grace of an insert is the answer of its duplicate in this process, too', async () => {
    const { db } = connectTo(database.url, { retry: { deadline: 500 } })
    await db.payment.createIdempotent({
      where: { transactionId: randomUUID() },
      data: { amount: 1 },
      retry: { deadline: 60_000 },
    })
    const transactionId = randomUUID()
    const holder = await openTransaction(
      database.url,
      'INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 1)',
      [transactionId],
    )
    // The time of all calls stands still, but for timers of less than the grace: those of the deadlines fire by hand.
    const { now, timer } = systemClock
    const time = now()
    const deadlines = new Set<() => void>()
    const clock = [
      vi.spyOn(systemClock, 'now').mockReturnValue(time),
      vi.spyOn(systemClock, 'timer').mockImplementation((ms, fire) => {
        if (ms < 400) return timer(ms, fire)
        if (ms < 1_000) deadlines.add(fire)
        return () => void deadlines.delete(fire)
      }),
    ]
    const calls = [started(insert(db, transactionId)), started(insert(db, transactionId))]
    await untilBlocked(database.url)
    for (const fire of deadlines) fire()
    await holder.query('ROLLBACK')

    expect(await Promise.all(calls)).toMatchObject([{ replayed: false }, { replayed: true }])
    for (const spy of clock) spy.mockRestore()
  })

  test('a call that looks for the key of a table with another one is told by its own deadline', async () => {
    const [row] = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
    const id = row?.id as number
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const pass = passingTime()
    const held = proxy.next(/pg_catalog/, 'hold')
    const update = (version: number, deadline: number) =>
      started(db.product.updateVersioned({ where: { id, version }, data: { stock: 1 }, retry: { deadline } }))
    const long = update(0, 1_000_000)
    await held.happened
    const short = update(0, 1_000)
    await new Promise((resolve) => setImmediate(resolve))
    pass(5_000)

    expect(await rejectionOf(short)).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 1_000 })
    held.release()
    expect(await long).toMatchObject({ version: 1 })
  })
})
