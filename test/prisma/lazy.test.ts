import { describe, expect, test } from 'vitest'
import { BatchTransactionError, concurrency } from '../../src/index.js'
import { useExtended } from '../support/extended.js'
import { passingTime } from '../support/passing-time.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

type Client = ReturnType<typeof connect>['db']

/** One call of each method, every one of which would write if it were sent. */
const CALLS = {
  updateVersioned: (db: Client, id: number) =>
    db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } }),
  'updateVersioned with a function': (db: Client, id: number) =>
    db.product.updateVersioned({ where: { id }, data: () => ({ stock: 1 }) }),
  tryUpdateVersioned: (db: Client, id: number) =>
    db.product.tryUpdateVersioned({ where: { id, version: 0 }, data: { stock: 1 } }),
  deleteVersioned: (db: Client, id: number) => db.product.deleteVersioned({ where: { id, version: 0 } }),
  updateManyVersioned: (db: Client, id: number) =>
    db.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 1 } }]),
}

async function arrange() {
  const { db, statements } = connect()
  const product = await db.product.create({ data: { name: 'Chai' } })
  statements.length = 0
  return { db, product, id: product.id, statements }
}

// Prisma refuses what is no call of its own where `$transaction` is called, not by a rejection; so do we.

/** Long enough for whatever was wrongly started to reach the database. */
const settle = () => database.query('SELECT pg_sleep(0.05)')

describe.each(Object.entries(CALLS))('%s', (name, call) => {
  test('sends nothing before it is awaited', async () => {
    const { db, id, statements } = await arrange()
    const promise = call(db, id)
    await settle()
    expect(statements).toEqual([])
    await promise
    expect(statements).not.toEqual([])
  })

  test('is sent once, however often it is awaited', async () => {
    const { db, id } = await arrange()
    const promise = call(db, id)
    const [first, second] = await Promise.all([promise, promise])
    expect(second).toBe(first)
    expect(await promise).toBe(first)
  })

  test('has what a promise has', async () => {
    const { db, id } = await arrange()
    let isSettled = false
    const result = await call(db, id)
      .catch(() => 'failed')
      .finally(() => {
        isSettled = true
      })
    expect(result).not.toBe('failed')
    expect(isSettled).toBe(true)
  })

  test('in an array $transaction throws, having written nothing', async () => {
    const { db, product, id, statements } = await arrange()
    // @ts-expect-error it is no PrismaPromise
    const error = await rejectionOf((async () => db.$transaction([call(db, id)]))())
    await settle()
    expect(error).toBeInstanceOf(BatchTransactionError)
    expect(error).toMatchObject({ code: 'BATCH_TRANSACTION', method: name.split(' ')[0] })
    expect(statements).toEqual([])
    expect(await db.product.findUnique({ where: { id } })).toEqual(product)
  })

  test('keeps the other calls of the array from being written too, before it and after it', async () => {
    const { db, product, id, statements } = await arrange()
    const others = () => db.note.create({ data: { text: name } })
    // @ts-expect-error it is no PrismaPromise
    const error = await rejectionOf((async () => db.$transaction([others(), call(db, id), others()]))())
    await settle()
    expect(error).toBeInstanceOf(BatchTransactionError)
    expect(statements).toEqual([])
    expect(await db.note.count({ where: { text: name } })).toBe(0)
    expect(await db.product.findUnique({ where: { id } })).toEqual(product)
  })

  test('in an array $transaction throws also under another extension', async () => {
    const { db, product, id } = await arrange()
    const top = db.$extends({ name: 'on top', query: { $allOperations: ({ args, query }) => query(args) } })
    const calls = [call(top as unknown as Client, id)] as never
    const error = await rejectionOf((async () => top.$transaction(calls))())
    expect(error).toBeInstanceOf(BatchTransactionError)
    expect(await db.product.findUnique({ where: { id } })).toEqual(product)
  })
})

describe('a call', () => {
  test('with bad arguments rejects when it is awaited; it does not throw where it is made', async () => {
    const { db } = await arrange()
    const promise = db.product.updateVersioned({ where: { id: 1, version: -1 }, data: { stock: 1 } })
    expect(await rejectionOf(promise)).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  test('that is never awaited is no unhandled rejection', async () => {
    const { db } = await arrange()
    const unhandled: unknown[] = []
    const note = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', note)
    void db.product.updateVersioned({ where: { id: 1, version: -1 }, data: { stock: 1 } })
    await settle()
    process.off('unhandledRejection', note)
    expect(unhandled).toEqual([])
  })

  test('counts its deadline from when it is awaited, not from when it is made', async () => {
    const { db, id } = await arrange()
    const promise = db.product.updateVersioned({
      where: { id },
      data: () => ({ stock: 1 }),
      retry: { deadline: 100_000 },
    })
    passingTime()(200_000)
    expect(await promise).toMatchObject({ stock: 1 })
  })

  test('can be returned from an async function without being awaited there', async () => {
    const { db, id } = await arrange()
    const written = await (async () => db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } }))()
    expect(written.stock).toBe(1)
  })
})

describe('the extension applied twice', () => {
  test('bumps once, by versioned and by plain writes', async () => {
    const db = database.connect().client.$extends(concurrency()).$extends(concurrency())
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const first = await db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })
    const second = await db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
    const third = await db.product.update({ where: { id }, data: { stock: 9 } })
    expect([first.version, second.version, third.version]).toEqual([1, 2, 3])
  })

  test('still tells stale from missing, and keeps the versioned delete', async () => {
    const db = database.connect().client.$extends(concurrency()).$extends(concurrency())
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const stale = await db.product.tryUpdateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })
    await db.product.deleteVersioned({ where: { id, version: 1 } })
    const missing = await db.product.tryUpdateVersioned({ where: { id, version: 1 }, data: { stock: 1 } })
    expect([stale.status, missing.status]).toEqual(['stale', 'missing'])
  })
})
