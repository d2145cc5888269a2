import { randomUUID } from 'node:crypto'
import { readReplicas } from '@prisma/extension-read-replicas'
import { describe, expect, test, vi } from 'vitest'
import { sqlState } from '../../src/engine/error-facts.js'
import { concurrency } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()
const replica = useDatabase()

type Db = ReturnType<typeof connect>['db']

const newId = () => randomUUID()
const rowsOf = (transactionId: string) =>
  database.query('SELECT * FROM "Payment" WHERE "transactionId" = $1', [transactionId])
const INSERT = 'INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 1)'
const isInsert = /^INSERT/
const isSelect = /^SELECT/
const insert = (db: Pick<Db, 'payment'>, transactionId: string) =>
  db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })

describe.each(['RepeatableRead', 'Serializable'] as const)('in a transaction at %s', (isolationLevel) => {
  test('a first insert that is in the snapshot is a replay', async () => {
    const { db } = connect()
    const transactionId = newId()
    await database.query(INSERT, [transactionId])
    const result = await db.$transaction((tx) => insert(tx, transactionId), { isolationLevel })
    expect(result.replayed).toBe(true)
  })

  test('a first insert that is not in the snapshot is a 40001 that goes up', async () => {
    const { db } = connect()
    const transactionId = newId()
    const error = await rejectionOf(
      db.$transaction(
        async (tx) => {
          await tx.note.count() // takes the snapshot
          await database.query(INSERT, [transactionId])
          return insert(tx, transactionId)
        },
        { isolationLevel },
      ),
    )
    expect(sqlState(error)).toBe('40001')
  })

  test('a first insert that commits while this one waits for it is a 40001 that goes up', async () => {
    const { db } = connect()
    const transactionId = newId()
    const holder = await openTransaction(database.url, INSERT, [transactionId])
    const call = started(db.$transaction((tx) => insert(tx, transactionId), { isolationLevel }))
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    expect(sqlState(await rejectionOf(call))).toBe('40001')
  })

  test('a first insert that rolls back while this one waits for it leaves the key to it', async () => {
    const { db } = connect()
    const transactionId = newId()
    const holder = await openTransaction(database.url, INSERT, [transactionId])
    const call = started(db.$transaction((tx) => insert(tx, transactionId), { isolationLevel }))
    await untilBlocked(database.url)
    await holder.query('ROLLBACK')
    expect(await call).toMatchObject({ replayed: false })
  })

  test('$transactionWithRetry gets through to the record of the first', async () => {
    const { db } = connect()
    const transactionId = newId()
    const holder = await openTransaction(database.url, INSERT, [transactionId])
    const body = vi.fn((tx: Pick<Db, 'payment'>) => insert(tx, transactionId))
    const call = started(db.$transactionWithRetry(body, { isolationLevel }))
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    expect(await call).toMatchObject({ replayed: true, record: { transactionId } })
    expect(body).toHaveBeenCalledTimes(2)
  })
})

describe.each(['repeatable read', 'serializable'])('where the database makes every transaction %s', (level) => {
  const strict = () => {
    const url = new URL(database.url)
    url.searchParams.set('options', `-c default_transaction_isolation=${level.replace(' ', '\\ ')}`)
    return connectTo(url.href).db
  }

  test.each([
    ['a lone call', (db: Db, transactionId: string) => insert(db, transactionId)],
    [
      'a call with children',
      (db: Db, transactionId: string) =>
        db.payment.createIdempotent({
          where: { transactionId },
          data: { amount: 5, items: { create: { text: 'a' } } },
        }),
    ],
  ])('%s that waits for the first to commit gets its record', async (_, call) => {
    const transactionId = newId()
    const holder = await openTransaction(database.url, INSERT, [transactionId])
    const result = started(call(strict() as Db, transactionId))
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    expect(await result).toMatchObject({ replayed: true })
  })
})

describe('a lone call whose connection breaks', () => {
  test('before the insert is inserted by the second attempt', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const transactionId = newId()
    proxy.next(isInsert, 'cut')
    expect(await insert(db, transactionId)).toMatchObject({ replayed: false })
    expect(await rowsOf(transactionId)).toHaveLength(1)
  })

  test('once the insert is done is found by the second attempt: one row', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const transactionId = newId()
    const lost = proxy.next(isInsert, 'drop')
    const { record } = await insert(db, transactionId)
    await lost.happened
    expect(await rowsOf(transactionId)).toMatchObject([{ id: record.id }])
  })

  test('while the server may still be at it waits for that, and is one row', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const transactionId = newId()
    const holder = await openTransaction(database.url, INSERT, [transactionId])
    proxy.next(isInsert, 'abandon')
    const call = started(insert(db, transactionId))
    await untilBlocked(database.url, 2)
    await holder.query('ROLLBACK')
    await call
    expect(await rowsOf(transactionId)).toHaveLength(1)
  })

  test.each(['cut', 'drop'] as const)('at the look at a duplicate is made again: %s', async (fate) => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const transactionId = newId()
    await database.query(INSERT, [transactionId])
    proxy.next(isSelect, fate)
    expect(await insert(db, transactionId)).toMatchObject({ replayed: true })
  })

  test('because its backend is terminated, while it waits, is inserted by the second attempt', async () => {
    const { db } = connect()
    const transactionId = newId()
    const holder = await openTransaction(database.url, INSERT, [transactionId])
    const call = started(insert(db, transactionId))
    await untilBlocked(database.url)
    await database.query(
      `SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`,
    )
    await untilBlocked(database.url)
    await holder.query('ROLLBACK')
    expect(await call).toMatchObject({ replayed: false })
  })

  test('is not tried again where the caller allows one attempt', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const transactionId = newId()
    proxy.next(isInsert, 'cut')
    const call = db.payment.createIdempotent({
      where: { transactionId },
      data: { amount: 5 },
      retry: { attempts: 1 },
    })
    expect(await rejectionOf(call)).toMatchObject({ attempts: 1 })
    expect(await rowsOf(transactionId)).toEqual([])
  })

  test("in a caller's transaction goes up: only the caller can begin again", async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const transactionId = newId()
    proxy.next(isInsert, 'cut')
    await rejectionOf(db.$transaction((tx) => insert(tx, transactionId)))
    expect(proxy.statements.filter((sql) => isInsert.test(sql))).toHaveLength(1)
    expect(await rowsOf(transactionId)).toEqual([])
  })

  test('in $transactionWithRetry is one row, whether COMMIT was heard of or not', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const [cut, drop] = [newId(), newId()]
    proxy.next(/^COMMIT/, 'cut')
    const first = await db.$transactionWithRetry((tx) => insert(tx, cut))
    proxy.next(/^COMMIT/, 'drop')
    const second = await db.$transactionWithRetry((tx) => insert(tx, drop))
    expect([first, second]).toMatchObject([{ replayed: false }, { replayed: false }])
    expect([...(await rowsOf(cut)), ...(await rowsOf(drop))]).toHaveLength(2)
  })
})

describe('a deadlock with a transaction of somebody else', () => {
  test('is tried again, and comes through', async () => {
    const { db } = connect()
    await database.query(
      `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 10', current_database()); END $$`,
    )
    const [transactionId, other] = [newId(), newId()]
    // Theirs waits first, and never looks for deadlocks, so it is ours that finds it.
    const theirs = await openTransaction(database.url, INSERT, [transactionId])
    await theirs.query(`SET LOCAL deadlock_timeout = '1h'`)
    const claimed = gate()
    const crossing = gate()
    const call = started(
      db.$transactionWithRetry(async (tx) => {
        await insert(tx, other)
        claimed.open()
        await crossing.opened
        return insert(tx, transactionId)
      }),
    )
    await claimed.opened
    const waiting = theirs.query(INSERT, [other])
    await untilBlocked(database.url)
    crossing.open()
    await waiting
    await theirs.query('COMMIT')
    expect(await call).toMatchObject({ replayed: true })
  })
})

describe('an error that is not of this kind', () => {
  test('is thrown after one attempt', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const call = db.payment.createIdempotent({ where: { transactionId: newId() }, data: { amount: 5, customerId: -1 } })
    expect(await rejectionOf(call)).toMatchObject({ code: 'P2003' })
    expect(proxy.statements.filter((sql) => isInsert.test(sql))).toHaveLength(1)
  })

  test('is tried again where the caller says so', async () => {
    const { db } = connect()
    const call = db.payment.createIdempotent({
      where: { transactionId: newId() },
      data: { amount: 5, customerId: -1 },
      retry: { attempts: 3, baseDelay: 0, retryOn: (error) => sqlState(error) === '23503' },
    })
    expect(await rejectionOf(call)).toMatchObject({ code: 'P2003', attempts: 3 })
  })

  test('of a user who may insert and not read is not taken for a missing row', async () => {
    const { db } = connectTo(await openRole(database))
    const transactionId = newId()
    await database.query(INSERT, [transactionId])
    await database.query('ALTER TABLE "Payment" ENABLE ROW LEVEL SECURITY')
    await database.query('CREATE POLICY blind ON "Payment" FOR INSERT WITH CHECK (true)')
    try {
      // The row is there, and this user does not see it.
      expect(await rejectionOf(insert(db, transactionId))).toBeInstanceOf(Error)
    } finally {
      await database.query('DROP POLICY blind ON "Payment"')
      await database.query('ALTER TABLE "Payment" DISABLE ROW LEVEL SECURITY')
    }
    expect(await rowsOf(transactionId)).toHaveLength(1)
  })
})

describe.each([
  ['below', true],
  ['above', false],
])('with read replicas %s', (_, isBelow) => {
  const stacked = () => {
    const { client } = database.connect()
    const replicas = readReplicas({ replicas: [replica.connect().client] })
    const top = isBelow
      ? client.$extends(replicas).$extends(concurrency())
      : client.$extends(concurrency()).$extends(replicas)
    return top as unknown as Db
  }

  test('a duplicate is looked up on the primary', async () => {
    const db = stacked()
    const transactionId = newId()
    const first = await insert(db, transactionId)
    expect(await insert(db, transactionId)).toEqual({ ...first, replayed: true })
  })

  test('duplicates of a batch are looked up on the primary', async () => {
    const db = stacked()
    const ids = [newId(), newId(), newId()]
    await Promise.all(ids.map((id) => insert(db, id)))
    const again = await Promise.all(ids.map((id) => insert(db, id)))
    expect(again.map(({ record, replayed }) => [record.transactionId, replayed])).toEqual(ids.map((id) => [id, true]))
  })

  test('relations are read on the primary', async () => {
    const db = stacked()
    const call = (transactionId: string) =>
      db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5, items: { create: { text: 'a' } } },
        include: { items: true },
      })
    const transactionId = newId()
    const first = await call(transactionId)
    expect(first.record.items).toHaveLength(1)
    expect(await call(transactionId)).toEqual({ ...first, replayed: true })
  })

  test('what is connected by another unique key is looked up on the primary', async () => {
    const email = newId()
    await database.query('INSERT INTO "Customer" (email) VALUES ($1)', [email])
    const call = stacked().payment.createIdempotent({
      where: { transactionId: newId() },
      data: { amount: 5, customer: { connect: { email } } },
    })
    expect((await call).record.customerId).toEqual(expect.any(Number))
  })
})

test('an insert that a trigger suppresses is an error of its own, alone, on a tx and beside others', async () => {
  const { db } = connect()
  await database.query(`CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT ON "Payment" FOR EACH ROW WHEN (NEW.amount = 13) EXECUTE FUNCTION suppress()`)
  const suppressed = (on: Pick<Db, 'payment'>) =>
    rejectionOf(on.payment.createIdempotent({ where: { transactionId: newId() }, data: { amount: 13 } }))
  const expected = { code: 'WRITE_SUPPRESSED', model: 'Payment' }

  expect(await suppressed(db)).toMatchObject(expected)
  const [inTransaction, after] = await db.$transaction(async (tx) => [await suppressed(tx), await insert(tx, newId())])
  expect(inTransaction).toMatchObject(expected)
  expect(after).toMatchObject({ replayed: false })
  const [beside, other] = await Promise.all([suppressed(db), insert(db, newId())])
  expect(beside).toMatchObject(expected)
  expect(other.replayed).toBe(false)
})
