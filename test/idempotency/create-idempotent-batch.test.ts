import { randomUUID } from 'node:crypto'
import { Prisma } from '@prisma/client/extension'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { concurrency } from '../../src/index.js'
import { type ClientOptions, createClient, useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { started } from '../support/started.js'
import { watchUnhandled } from '../support/unhandled.js'
import { untilBlocked } from '../support/until-blocked.js'

/*
 * Another extension looks on here, so the batches are Prisma's own `createManyAndReturn`. The statement
 * of our own, which stands for it where nobody looks on, is in create-idempotent-together.test.ts.
 */
const database = useDatabase()
const onlooker = Prisma.defineExtension({
  query: { $allModels: { createManyAndReturn: ({ args, query }) => query(args) } },
})
const connect = (options?: ClientOptions) => {
  const { client, ...made } = database.connect(options)
  return { ...made, db: client.$extends(onlooker).$extends(concurrency()) }
}
const connectTo = (url: string, options: Parameters<typeof concurrency>[0] = {}) => {
  const { client, pool } = createClient(url)
  onTestFinished(() => client.$disconnect())
  return { pool, db: client.$extends(onlooker).$extends(concurrency(options)) }
}

const newIds = (count: number) => Array.from({ length: count }, () => randomUUID())
const kinds = (statements: readonly string[]) => statements.map((sql) => sql.split(' ')[0])
const inserts = (statements: readonly string[]) => statements.filter((sql) => sql.startsWith('INSERT'))
/** How many rows an INSERT has. */
const rowsIn = (sql: string) =>
  sql.split('VALUES')[1].split('), (').length + sql.split('VALUES')[1].split('),(').length - 1

const INSERT = 'INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 1)'
const INSERT_TOGETHER = /^INSERT INTO "public"."Payment" .*\),\s*\(/

const countOf = async (ids: readonly string[]) =>
  (await database.query('SELECT 1 FROM "Payment" WHERE "transactionId" = ANY($1)', [ids])).length

type Db = ReturnType<typeof connect>['db']
const insert = (db: Db, transactionId: string, data: object = {}) =>
  db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, ...data } })
const insertAll = (db: Db, ids: readonly string[]) => Promise.all(ids.map((id) => insert(db, id)))

describe('inserts of one tick', () => {
  test('are one statement with many rows, and each caller gets its own record', async () => {
    const { db, statements } = connect()
    const ids = newIds(40)
    const results = await insertAll(db, ids)
    expect(kinds(statements)).toEqual(['BEGIN', 'SET', 'SELECT', 'INSERT', 'COMMIT'])
    expect(rowsIn(inserts(statements)[0])).toBe(40)
    expect(results.map(({ record, replayed }) => [record.transactionId, replayed])).toEqual(
      ids.map((id) => [id, false]),
    )
  })

  test('of one caller alone cost no further statement', async () => {
    const { db, statements } = connect()
    await insert(db, newIds(1)[0])
    expect(kinds(statements)).toEqual(['INSERT'])
  })

  test('are inserted in the order of their keys, whatever the order of the calls', async () => {
    const { db } = connect()
    const ids = newIds(30)
    const results = await insertAll(db, ids)
    const inserted = results.map(({ record }) => record).sort((a, b) => a.id - b.id)
    expect(inserted.map(({ transactionId }) => transactionId)).toEqual([...ids].sort())
  })

  test('with a fingerprint are one statement too', async () => {
    const { client, statements } = database.connect()
    const db = client.$extends(onlooker).$extends(concurrency({ idempotency: { fingerprint: 'fingerprint' } }))
    await Promise.all(
      newIds(40).map((transactionId) =>
        db.transfer.createIdempotent({
          where: { tenantId_transactionId: { tenantId: 1, transactionId } },
          data: { amount: 5n },
        }),
      ),
    )
    expect(inserts(statements)).toHaveLength(1)
  })

  test('may each have other fields', async () => {
    const { db, statements } = connect()
    const [a, b, c] = newIds(3)
    const results = await Promise.all([
      insert(db, a, { currency: 'USD' }),
      insert(db, b, { reference: b }),
      insert(db, c, { version: 7 }),
    ])
    expect(results.map(({ record }) => record)).toMatchObject([
      { currency: 'USD', reference: null, version: 0 },
      { currency: 'EUR', reference: b, version: 0 },
      { currency: 'EUR', reference: null, version: 7 },
    ])
    expect(inserts(statements)).toHaveLength(1)
  })

  test('have each key once in the statement, and one caller of each that inserted it', async () => {
    const { db, statements } = connect()
    const ids = newIds(10)
    const results = await insertAll(db, [...ids, ...ids, ...ids])
    expect(inserts(statements).map(rowsIn)).toEqual([10])
    expect(results.slice(0, 10).every(({ replayed }) => !replayed)).toBe(true)
    expect(results.slice(10).every(({ replayed }) => replayed)).toBe(true)
    expect(results.map(({ record }) => record.transactionId)).toEqual([...ids, ...ids, ...ids])
  })

  test('of one key only are one insert, whatever the number of callers', async () => {
    const { db, statements } = connect()
    const [id] = newIds(1)
    const results = await insertAll(
      db,
      Array.from({ length: 50 }, () => id),
    )
    expect(inserts(statements)).toHaveLength(1)
    expect(results.filter(({ replayed }) => !replayed)).toHaveLength(1)
  })

  test('of which some are known already: those are replays, and the others are not', async () => {
    const { db } = connect()
    const ids = newIds(10)
    for (const id of ids.slice(0, 5)) await database.query(INSERT, [id])
    const results = await insertAll(db, ids)
    expect(results.map(({ replayed }) => replayed)).toEqual(ids.map((_, index) => index < 5))
    expect(results.map(({ record }) => record.transactionId)).toEqual(ids)
  })

  test('that are all known are one insert and no insert more', async () => {
    const { db, statements } = connect()
    const ids = newIds(10)
    await insertAll(db, ids)
    statements.length = 0
    const results = await insertAll(db, ids)
    expect(results.every(({ replayed }) => replayed)).toBe(true)
    expect(inserts(statements)).toHaveLength(1)
  })

  test('of more than five hundred keys are several statements of at most that many', async () => {
    const { db, statements } = connect()
    const results = await insertAll(db, newIds(1_100))
    expect(
      inserts(statements)
        .map(rowsIn)
        .sort((a, b) => a - b),
    ).toEqual([100, 500, 500])
    expect(results.filter(({ replayed }) => !replayed)).toHaveLength(1_100)
  })

  test('follow `select`, though the key is not in it', async () => {
    const { db, statements } = connect()
    const ids = newIds(3)
    const results = await Promise.all(
      ids.map((transactionId) =>
        db.payment.createIdempotent({
          where: { transactionId },
          data: { amount: 5, reference: transactionId },
          select: { reference: true },
        }),
      ),
    )
    expect(results.map(({ record }) => record)).toEqual(ids.map((reference) => ({ reference })))
    expect(inserts(statements)).toHaveLength(1)
  })
})

describe('inserts that do not belong together are not sent together:', () => {
  test('those with another selection', async () => {
    const { db, statements } = connect()
    const [a, b, c, d] = newIds(4)
    const results = await Promise.all([
      insert(db, a),
      insert(db, b),
      db.payment.createIdempotent({ where: { transactionId: c }, data: { amount: 5 }, select: { currency: true } }),
      db.payment.createIdempotent({ where: { transactionId: d }, data: { amount: 5 }, omit: { id: true } }),
    ])
    expect(inserts(statements).map(rowsIn).sort()).toEqual([1, 1, 2])
    expect(results[2].record).toEqual({ currency: 'EUR' })
    expect(results[3].record).not.toHaveProperty('id')
  })

  test('those of another model', async () => {
    const { db, statements } = connect()
    const [a, b] = newIds(2)
    await Promise.all([
      insert(db, a),
      db.customer.createIdempotent({ where: { email: b }, data: {} }),
      db.everything.createIdempotent({ where: { code: b }, data: {} }),
    ])
    expect(inserts(statements).map(rowsIn)).toEqual([1, 1, 1])
  })

  test('those by another key of the same model', async () => {
    const { db, statements } = connect()
    const [a, b] = newIds(2)
    await Promise.all([
      insert(db, a),
      db.payment.createIdempotent({ where: { reference: b }, data: { amount: 5, transactionId: b } }),
    ])
    expect(inserts(statements).map(rowsIn)).toEqual([1, 1])
  })

  test('those of another client with the same extension below, whose own hooks see their rows only', async () => {
    const { db } = connect()
    const seen: string[][] = []
    const watched = (place: number) => {
      seen[place] = []
      return db.$extends({
        query: {
          payment: {
            createManyAndReturn({ args, query }) {
              for (const row of [args.data].flat()) seen[place].push(row.transactionId)
              return query(args)
            },
          },
        },
      }) as unknown as Db
    }
    const [one, two] = [watched(0), watched(1)]
    const ids = newIds(4)
    await Promise.all([insert(one, ids[0]), insert(two, ids[1]), insert(one, ids[2]), insert(two, ids[3])])
    expect(seen.map((rows) => rows.sort())).toEqual([[ids[0], ids[2]].sort(), [ids[1], ids[3]].sort()])
  })

  test('those of a transaction', async () => {
    const { db, statements } = connect()
    const ids = newIds(3)
    await db.$transaction((tx) =>
      Promise.all(
        ids.map((transactionId) => tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })),
      ),
    )
    expect(inserts(statements).map(rowsIn)).toEqual([1, 1, 1])
  })
})

describe('a bad one among many fails alone:', () => {
  test('a foreign key that does not exist', async () => {
    const { db } = connect()
    const ids = newIds(10)
    const outcomes = await Promise.allSettled(ids.map((id, i) => insert(db, id, i === 4 ? { customerId: -1 } : {})))
    expect(outcomes.map(({ status }) => status)).toEqual(ids.map((_, i) => (i === 4 ? 'rejected' : 'fulfilled')))
    expect(outcomes[4]).toMatchObject({ reason: { code: 'P2003' } })
    expect(await countOf(ids)).toBe(9)
  })

  test('a connected record that does not exist', async () => {
    const { db } = connect()
    const ids = newIds(3)
    const outcomes = await Promise.allSettled(
      ids.map((id, i) => insert(db, id, i === 1 ? { customer: { connect: { email: 'nobody' } } } : {})),
    )
    expect(outcomes).toMatchObject([
      { value: { replayed: false } },
      { reason: { code: 'P2025' } },
      { value: { replayed: false } },
    ])
  })

  test("a value of the wrong type is Prisma's own validation error", async () => {
    const { db } = connect()
    const ids = newIds(3)
    const outcomes = await Promise.allSettled(ids.map((id, i) => insert(db, id, i === 1 ? { currency: 7 } : {})))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(outcomes[1]).toMatchObject({ reason: { name: 'PrismaClientValidationError' } })
  })

  test('a mismatch', async () => {
    const { db } = connect()
    const ids = newIds(5)
    await insert(db, ids[2], { amount: 4 })
    const outcomes = await Promise.allSettled(
      ids.map((transactionId) =>
        db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 }, match: ['amount'] }),
      ),
    )
    expect(outcomes.map(({ status }) => status)).toEqual(ids.map((_, i) => (i === 2 ? 'rejected' : 'fulfilled')))
    expect(outcomes[2]).toMatchObject({ reason: { code: 'IDEMPOTENCY_MISMATCH', fields: ['amount'] } })
  })

  test('another payload for a key of the same tick: the first one counts', async () => {
    const { db } = connect()
    const [id, other] = newIds(2)
    const call = (transactionId: string, amount: number) =>
      db.payment.createIdempotent({ where: { transactionId }, data: { amount }, match: ['amount'] })
    const outcomes = await Promise.allSettled([call(id, 5), call(other, 1), call(id, 6), call(id, 5)])
    expect(outcomes).toMatchObject([
      { value: { replayed: false } },
      { value: { replayed: false } },
      { reason: { code: 'IDEMPOTENCY_MISMATCH' } },
      { value: { replayed: true } },
    ])
  })

  test('a conflict on another unique column', async () => {
    const { db } = connect()
    const [taken, ...ids] = newIds(5)
    await insert(db, taken, { reference: taken })
    const outcomes = await Promise.allSettled(ids.map((id, i) => insert(db, id, i === 1 ? { reference: taken } : {})))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect(outcomes[1]).toMatchObject({ reason: { code: 'P2002' } })
  })

  test('a bad first caller of a key does not take the others of that key with it', async () => {
    const { db } = connect()
    const [id, other] = newIds(2)
    const outcomes = await Promise.allSettled([
      insert(db, id, { customerId: -1 }),
      insert(db, other),
      insert(db, id),
      insert(db, id),
    ])
    expect(outcomes).toMatchObject([
      { reason: { code: 'P2003' } },
      { value: { replayed: false } },
      { status: 'fulfilled' },
      { status: 'fulfilled' },
    ])
    expect(await countOf([id, other])).toBe(2)
  })

  test('and no error is left without an owner', async () => {
    const { db } = connect()
    const unhandled = watchUnhandled()
    const ids = newIds(4)
    await Promise.allSettled([...ids, ...ids].map((id) => insert(db, id, { customerId: -1 })))
    expect(await unhandled.collected()).toEqual([])
  })
})

describe('a batch that meets a row in flight elsewhere', () => {
  test('lets the strangers go on, and only the one waits', async () => {
    const { db } = connect()
    const ids = newIds(10)
    const holder = await openTransaction(database.url, INSERT, [ids[3]])
    const calls = ids.map((id) => started(insert(db, id)))
    const strangers = await Promise.all(calls.filter((_, i) => i !== 3))
    expect(strangers.every(({ replayed }) => !replayed)).toBe(true)
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    expect(await calls[3]).toMatchObject({ replayed: true, record: { transactionId: ids[3] } })
  })

  test('inserts it if the other one rolls back', async () => {
    const { db } = connect()
    const ids = newIds(4)
    const holder = await openTransaction(database.url, INSERT, [ids[0]])
    const calls = ids.map((id) => started(insert(db, id)))
    await Promise.all(calls.slice(1))
    await untilBlocked(database.url)
    await holder.query('ROLLBACK')
    expect(await calls[0]).toMatchObject({ replayed: false })
  })

  test('holds all callers of that key back behind one, which costs one connection', async () => {
    const { db, pool } = connect({ poolSize: 3 })
    const [id, ...strangers] = newIds(4)
    const holder = await openTransaction(database.url, INSERT, [id])
    const calls = Array.from({ length: 20 }, () => started(insert(db, id)))
    await Promise.all(strangers.map((stranger) => insert(db, stranger)))
    await untilBlocked(database.url)
    expect(pool.totalCount - pool.idleCount).toBe(1)
    await holder.query('COMMIT')
    expect((await Promise.all(calls)).every(({ replayed }) => replayed)).toBe(true)
  })
})

describe('the signal of one caller', () => {
  test('that is aborted before the batch is sent leaves its row out, and harms nobody else', async () => {
    const { db, statements } = connect()
    const ids = newIds(3)
    const controller = new AbortController()
    const reason = new Error('the browser is gone')
    const calls = ids.map((transactionId, i) => {
      const call = db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5 },
        ...(i === 1 ? { signal: controller.signal } : {}),
      })
      void call.catch(() => {}) // it begins now
      return call
    })
    controller.abort(reason)
    const outcomes = await Promise.allSettled(calls)
    expect(outcomes).toMatchObject([{ status: 'fulfilled' }, { reason }, { status: 'fulfilled' }])
    expect(inserts(statements).map(rowsIn)).toEqual([2])
  })

  test('that is aborted while another one speaks for its key ends its wait at once', async () => {
    const { db } = connect()
    const [transactionId] = newIds(1)
    const holder = await openTransaction(database.url, INSERT, [transactionId])
    const controller = new AbortController()
    const reason = new Error('the browser is gone')
    const speaker = started(insert(db, transactionId))
    const follower = started(
      db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 }, signal: controller.signal }),
    )
    await untilBlocked(database.url)
    controller.abort(reason)
    expect(await rejectionOf(follower)).toBe(reason)
    await holder.query('COMMIT')
    expect(await speaker).toMatchObject({ replayed: true })
  })

  test('that is aborted while the batch is under way does not take back what was committed', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const ids = newIds(2)
    const controller = new AbortController()
    const commit = proxy.next(/^COMMIT/, 'hold')
    const calls = ids.map((transactionId) =>
      started(
        db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 }, signal: controller.signal }),
      ),
    )
    await commit.happened
    controller.abort()
    commit.release()
    expect(await Promise.all(calls)).toMatchObject([{ replayed: false }, { replayed: false }])
  })
})

describe('a batch whose connection breaks', () => {
  test.each([/^BEGIN/, INSERT_TOGETHER, /^COMMIT/])('before %s is sent again, one by one', async (statement) => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const ids = newIds(5)
    proxy.next(statement, 'cut')
    const results = await insertAll(db as Db, ids)
    expect(results.every(({ replayed }) => !replayed)).toBe(true)
    expect(await countOf(ids)).toBe(5)
  })

  test('at COMMIT, once it is done, finds its rows there, once each', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const ids = newIds(5)
    const lost = proxy.next(/^COMMIT/, 'drop')
    const results = await insertAll(db as Db, ids)
    await lost.happened
    expect(results.map(({ record }) => record.transactionId)).toEqual(ids)
    expect(await countOf(ids)).toBe(5)
  })

  test('and whose server takes no connections for a while comes through when it does again', async () => {
    const ordinary = await openRole(database)
    const role = new URL(ordinary).username
    const proxy = await openProxy(ordinary)
    const { db, pool } = connectTo(proxy.url, { retry: { attempts: 1_000, maxDelay: 20, deadline: 60_000 } })
    const ids = newIds(2)
    const commit = proxy.next(/^COMMIT/, 'hold')
    const call = started(insertAll(db as Db, ids))
    await commit.happened
    await database.query(`ALTER ROLE ${role} CONNECTION LIMIT 0`)
    const connecting = vi.spyOn(pool, 'connect')
    proxy.refuse()
    proxy.accept()
    // The third time somebody has been turned away before.
    await vi.waitUntil(() => connecting.mock.calls.length > 2, { timeout: 100_000 })
    await database.query(`ALTER ROLE ${role} CONNECTION LIMIT -1`)
    expect(await call).toMatchObject([{ record: { transactionId: ids[0] } }, { record: { transactionId: ids[1] } }])
    expect(await countOf(ids)).toBe(2)
  })
})

test('keys that the database spells differently are settled one by one', async () => {
  const { db } = connect()
  const ids = newIds(3).map((id) => id.toUpperCase())
  const call = () => Promise.all(ids.map((id) => db.document.createIdempotent({ where: { id }, data: { title: 'a' } })))
  expect((await call()).map(({ record }) => record.id)).toEqual(ids.map((id) => id.toLowerCase()))
  expect((await call()).every(({ replayed }) => replayed)).toBe(true)
})

test('a batch whose rows an extension gives other keys is undone, and its rows are inserted one by one', async () => {
  const { db } = connect()
  const renamed = (row: object) => ({ ...row, transactionId: `${(row as { transactionId: string }).transactionId} x` })
  const renaming = db.$extends(
    Prisma.defineExtension({
      query: {
        payment: {
          createManyAndReturn: ({ args, query }) =>
            query({ ...args, data: [args.data].flat().map((row) => renamed(row as object)) } as never),
        },
      },
    }),
  ) as unknown as Db
  const ids = newIds(3)

  const results = await insertAll(renaming, ids)

  const told = results.map(({ record, replayed }) => ({ id: record.transactionId, replayed }))
  expect(told).toEqual(ids.map((id) => ({ id: `${id} x`, replayed: false })))
})

test('an extension above ours that changes the data changes that of every row of a batch', async () => {
  const { db } = connect()
  const stamped = db.$extends(
    Prisma.defineExtension({
      query: {
        $allModels: {
          createManyAndReturn: ({ args, query }) =>
            query({
              ...args,
              data: [args.data].flat().map((row) => ({ ...(row as object), currency: 'XTS' })),
            } as never),
        },
      },
    }),
  ) as unknown as Db
  const results = await insertAll(stamped, newIds(3))
  expect(results.map(({ record }) => record.currency)).toEqual(['XTS', 'XTS', 'XTS'])
})
