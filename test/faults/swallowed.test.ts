import { randomInt, randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { describeEngines, type ErpDb, rows } from '../support/engines.js'
import { passingTime } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { watchUnhandled } from '../support/unhandled.js'

/** Longer than any deadline of these calls, and its grace. */
const FOR_EVER = 600_000

const DEADLINE = 'DEADLINE_EXCEEDED'
const UNKNOWN = 'OUTCOME_UNKNOWN'
const COMMIT = /^COMMIT/
const BEGIN = /^BEGIN/

/** A call, and the statement of it that is swallowed: the proxy keeps it, and the connection stays open. */
interface Swallowed<D> {
  readonly call: (db: D, id: string) => Promise<unknown>
  readonly statement: RegExp
  readonly code: string
}

describeEngines(({ name, connectErp, database }) => {
  const productId = randomInt(1, 2 ** 31)
  const item = { productId, warehouse: 'main' }
  const note = (tx: object, text: string) => rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', text)
  const notes = async (text: string) => (await database.query('SELECT FROM "Note" WHERE text = $1', [text])).length

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
  const defer = (db: ErpDb, transactionId: string) => db.$stock.defer({ transactionId, item, quantity: 1 })
  const trace = (db: ErpDb) => db.$stock.trace({ item })
  const reserve = async (db: ErpDb, transactionId: string) => {
    // Of its own: a transaction whose COMMIT has not come has its rows locked in the server.
    const own = { productId, warehouse: transactionId.slice(0, 8) }
    await database.query('INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, $2, 0)', [
      productId,
      own.warehouse,
    ])
    await db.$stock.move({ transactionId: `${transactionId} in`, item: own, quantity: 5 })
    return db.$stock.reserve({ transactionId, item: own, quantity: 1, expiresIn: 60_000 })
  }
  const allocate = (db: ErpDb, transactionId: string) =>
    db.$serials.allocate({ transactionId, where: { productId }, count: 1 })
  const release = (db: ErpDb, transactionId: string) => db.$serials.release({ transactionId })
  const create = (db: ErpDb, transactionId: string) =>
    db.$series.create('payment', { transactionId, record: { amount: 1 } })
  const next = (db: ErpDb, transactionId: string) => db.$series.next('ticket', { transactionId })
  const transaction = (db: ErpDb, id: string) => db.$transactionWithRetry((tx) => note(tx, id))
  const idempotent = (db: ErpDb, key: string) => db.$idempotent({ key, scope: 'test' }, (tx) => note(tx, key))
  const locked = (db: ErpDb, id: string) => db.$withAdvisoryLock(id, (tx) => note(tx, id))

  const CALLS: Readonly<Record<string, Swallowed<ErpDb>>> = {
    'the statement of $stock.move': { call: move, statement: /"StockMovement"/, code: UNKNOWN },
    'the statement of $stock.defer': { call: defer, statement: /INSERT INTO "public"."StockMovement"/, code: UNKNOWN },
    'COMMIT of $stock.reserve': { call: reserve, statement: COMMIT, code: UNKNOWN },
    'the read of $stock.trace': { call: trace, statement: /LIMIT/, code: DEADLINE },
    'the statement of $serials.allocate': { call: allocate, statement: /"Serial"/, code: UNKNOWN },
    'the first write of $serials.release': { call: release, statement: /INSERT INTO/, code: DEADLINE },
    'COMMIT of $serials.release': { call: release, statement: COMMIT, code: UNKNOWN },
    'the statement of $series.create': { call: create, statement: /entry AS MATERIALIZED/, code: UNKNOWN },
    'the look of $series.next for a known id': {
      call: next,
      statement: /FROM "public"."SeriesNumber"/,
      code: DEADLINE,
    },
    'BEGIN of $transactionWithRetry': { call: transaction, statement: BEGIN, code: DEADLINE },
    'the first statement of $transactionWithRetry': { call: transaction, statement: /AS xid/, code: DEADLINE },
    'a statement in $transactionWithRetry': { call: transaction, statement: /INSERT INTO "Note"/, code: DEADLINE },
    'COMMIT of $transactionWithRetry': { call: transaction, statement: COMMIT, code: UNKNOWN },
    'the claim of $idempotent': {
      call: idempotent,
      statement: /INSERT INTO "public"."IdempotencyKey"/,
      code: DEADLINE,
    },
    'a statement in $idempotent': { call: idempotent, statement: /INSERT INTO "Note"/, code: DEADLINE },
    'COMMIT of $idempotent': { call: idempotent, statement: COMMIT, code: UNKNOWN },
    'the lock of $withAdvisoryLock': { call: locked, statement: /pg_try_advisory/, code: 'LOCK_TIMEOUT' },
    'a statement in $withAdvisoryLock': { call: locked, statement: /INSERT INTO "Note"/, code: DEADLINE },
    'COMMIT of $withAdvisoryLock': { call: locked, statement: COMMIT, code: UNKNOWN },
  }

  test.each(Object.entries(CALLS))(
    '%s is swallowed: the caller is told, and nobody else waits',
    async (_, swallowed) => {
      const { call, statement, code } = swallowed
      const unhandled = watchUnhandled()
      const proxy = await openProxy(database.url)
      const { db, pool } = await connectErp(undefined, { url: proxy.url })
      const pass = passingTime()
      await call(db, randomUUID())
      const held = proxy.next(statement, 'hold')
      const id = randomUUID()
      const failing = rejectionOf(call(db, id))
      await held.happened
      pass(FOR_EVER)

      expect(await failing).toMatchObject({ code })
      // Everything that it held in this process is free while the statement is still on its way.
      await call(db, randomUUID())
      // The statement that ends the session of the transaction may still have one.
      if (name === 'pg' && code === UNKNOWN) await expect.poll(() => pool.idleCount).toBe(pool.totalCount)
      held.release()
      expect(await unhandled.collected()).toEqual([])
    },
  )

  test.each([/^SAVEPOINT/, /^RELEASE SAVEPOINT/])(
    '%s is swallowed while the body throws: the caller is told by its deadline, and nothing is committed',
    async (statement) => {
      const unhandled = watchUnhandled()
      const proxy = await openProxy(database.url)
      const { db } = await connectErp(undefined, { url: proxy.url })
      const pass = passingTime()
      await transaction(db, randomUUID())
      const held = proxy.next(statement, 'hold')
      const id = randomUUID()
      const failing = rejectionOf(
        db.$transactionWithRetry(async (tx) => {
          tx.$transactionWithRetry((inner) => note(inner, id)).catch(() => {})
          await held.happened
          throw new Error('on purpose')
        }),
      )
      await held.happened
      pass(FOR_EVER)

      expect(await failing).toMatchObject({ code: DEADLINE })
      await transaction(db, randomUUID())
      held.release()
      expect(await unhandled.collected()).toEqual([])
      expect(await notes(id)).toBe(0)
    },
  )

  test.each([
    ['in the body', /INSERT INTO "Note"/, 0],
    ['in COMMIT', COMMIT, 1],
  ])('a late answer %s changes nothing of what was told', async (_, statement, written) => {
    const unhandled = watchUnhandled()
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    const pass = passingTime()
    const id = randomUUID()
    const held = proxy.next(statement, 'hold')
    const failing = rejectionOf(transaction(db, id))
    await held.happened
    pass(FOR_EVER)
    const error = await failing
    held.release()

    await vi.waitFor(async () => {
      const open = await database.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()`,
      )
      expect(open).toHaveLength(0)
    }, 60_000)
    expect(error).toMatchObject({ code: written === 0 ? DEADLINE : UNKNOWN })
    // On a pool the connection may have been closed before COMMIT came through.
    expect(name === 'pg' ? [0, written] : [written]).toContain(await notes(id))
    expect(await unhandled.collected()).toEqual([])
  })

  test('three batches of $stock that are swallowed keep no call for other items from going on', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(undefined, { url: proxy.url })
    await move(db, randomUUID())
    const others = [1, 2, 3].map((warehouse) => ({ productId, warehouse: `other ${warehouse}` }))
    for (const { warehouse } of others) {
      await database.query('INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, $2, 0)', [
        productId,
        warehouse,
      ])
    }
    for (const other of others) {
      const held = proxy.next(/"StockMovement"/, 'hold')
      void started(db.$stock.move({ transactionId: randomUUID(), item: other, quantity: 1 })).catch(() => {})
      await held.happened
    }

    expect(await move(db, randomUUID())).toMatchObject({ replayed: false })
  })

  if (name === 'pg') {
    test('a call that gets no connection sends nothing, and says so; a late connection goes back', async () => {
      const { db, pool } = await connectErp(undefined, { poolSize: 1 })
      await move(db, randomUUID())
      const holder = await pool.connect()
      const transactionId = randomUUID()
      const error = await rejectionOf(db.$stock.move({ transactionId, item, quantity: 1, retry: { deadline: 100 } }))
      holder.release()
      await move(db, randomUUID())

      expect(error).toMatchObject({ code: DEADLINE, isUnanswered: false })
      expect(await database.query('SELECT FROM "StockMovement" WHERE "transactionId" = $1', [transactionId])).toEqual(
        [],
      )
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1])
    })
  } else {
    test('a call that gets no connection is told that its outcome is unknown, and is carried out once there is one', async () => {
      const { db, pool } = await connectErp(undefined, { poolSize: 1 })
      await move(db, randomUUID())
      const holder = await pool.connect()
      const transactionId = randomUUID()
      const error = await rejectionOf(db.$stock.move({ transactionId, item, quantity: 1, retry: { deadline: 100 } }))
      expect(error).toMatchObject({ code: UNKNOWN })

      holder.release()
      const moved = () => database.query('SELECT FROM "StockMovement" WHERE "transactionId" = $1', [transactionId])
      await expect.poll(moved, { timeout: 60_000 }).toHaveLength(1)
    })
  }
})

describe('by models', () => {
  const database = useDatabase()
  type Db = ReturnType<typeof connectTo>['db']
  let id = 0
  let number = 0
  beforeEach(async () => {
    const [row] = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
    id = row?.id as number
    number = 0
  })
  const versionOf = async () => (await database.query('SELECT version FROM "Product" WHERE id = $1', [id]))[0]?.version
  const where = async () => ({ id, version: Number(await versionOf()) })
  const data = () => ({ stock: ++number })

  const update = async (db: Db) => db.product.updateVersioned({ where: await where(), data: data() })
  const include = async (db: Db) =>
    db.product.updateVersioned({ where: await where(), data: data(), include: { lines: true } })
  const change = (db: Db) => db.product.updateVersioned({ where: { id }, data })
  const many = async (db: Db) => db.product.updateManyVersioned([{ where: await where(), data: data() }])
  const remove = async (db: Db) => {
    const made = await db.product.create({ data: { name: 'Chang' } })
    return db.product.deleteVersioned({ where: { id: made.id, version: made.version } })
  }
  const insert = (db: Db, transactionId: string) =>
    db.payment.createIdempotent({ where: { transactionId }, data: { amount: 1 } })
  const inserts = (db: Db, transactionId: string) =>
    Promise.all([insert(db, `${transactionId} 1`), insert(db, `${transactionId} 2`)])

  const CALLS: Readonly<Record<string, Swallowed<Db>>> = {
    'the statement of updateVersioned': { call: update, statement: /^UPDATE/, code: UNKNOWN },
    'the statement of updateVersioned with include': { call: include, statement: /^UPDATE/, code: UNKNOWN },
    'the read of updateVersioned with a function': { call: change, statement: /^SELECT/, code: DEADLINE },
    'the write of updateVersioned with a function': { call: change, statement: /^UPDATE/, code: UNKNOWN },
    'the statement of updateManyVersioned': { call: many, statement: /UPDATE/, code: UNKNOWN },
    'the statement of deleteVersioned': { call: remove, statement: /^DELETE/, code: UNKNOWN },
    'the statement of createIdempotent': { call: insert, statement: /INSERT INTO "public"."Payment"/, code: UNKNOWN },
    'the statement of two inserts': { call: inserts, statement: /INSERT INTO "public"."Payment"/, code: UNKNOWN },
  }

  test.each(Object.entries(CALLS))(
    '%s is swallowed: the caller is told, and nobody else waits',
    async (_, swallowed) => {
      const { call, statement, code } = swallowed
      const unhandled = watchUnhandled()
      const proxy = await openProxy(database.url)
      const { db } = connectTo(proxy.url)
      const pass = passingTime()
      await call(db, randomUUID())
      const before = await versionOf()
      const held = proxy.next(statement, 'hold')
      const failing = rejectionOf(call(db, randomUUID()))
      await held.happened
      pass(FOR_EVER)

      expect(await failing).toMatchObject({ code })
      expect(await versionOf()).toBe(before)
      await call(db, randomUUID())
      held.release()
      expect(await unhandled.collected()).toEqual([])
    },
  )
})
