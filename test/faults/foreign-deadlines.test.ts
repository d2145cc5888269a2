import { randomUUID } from 'node:crypto'
import { Prisma } from '@prisma/client/extension'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { concurrency } from '../../src/index.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { passingTimers } from '../support/passing-time.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()
type Db = ReturnType<typeof connect>['db']
type Client = ReturnType<typeof connect>['client']

/** Sends a delete as an update, on the client that it has closed over. */
const softDelete = (base: Client) =>
  Prisma.defineExtension({
    name: 'soft delete',
    query: {
      product: {
        delete: ({ args }) => base.product.update({ where: args.where as never, data: { name: 'deleted' } }) as never,
      },
    },
  })

/** Sends one call of all models on the client that it has closed over. */
const onBase = (operation: string) => (base: Client) =>
  Prisma.defineExtension({
    name: 'on base',
    query: {
      $allModels: {
        [operation]: ({ model, args }: { model: string; args: unknown }) =>
          (base as never as Record<string, Record<string, (args: unknown) => unknown>>)[
            model.charAt(0).toLowerCase() + model.slice(1)
          ]?.[operation]?.(args),
      } as Record<never, never>,
    },
  })

const stacked = (make: (base: Client) => unknown, place: string) => {
  const { client } = connect()
  const extension = make(client) as never
  return (place === 'below'
    ? client.$extends(extension).$extends(concurrency())
    : client.$extends(concurrency()).$extends(extension)) as unknown as Db
}

const newProduct = async () => {
  const rows = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('a', now()) RETURNING id`)
  return rows[0]?.id as number
}

/** No test waits for it: a call that takes this long does not end by its deadline. */
const ENDLESS = { timeout: 1_000_000, maxWait: 60_000 }

const MAY_COME = { code: 'DEADLINE_EXCEEDED', mayTakeEffect: true, message: expect.stringContaining("'on base'") }
/** It passes when a test says so. */
const retry = { deadline: 60_000, baseDelay: 1 }
/** In the grace: nothing counts as unanswered yet. */
const AFTER_IT = retry.deadline + 1

describe.each(['below', 'on top'])('an extension %s that sends calls on another client', (place) => {
  test('deletes in its own way by deleteVersioned with relations, which holds no lock then', async () => {
    const id = await newProduct()
    const db = stacked(softDelete, place)
    await db.product.deleteVersioned({ where: { id, version: 0 }, include: { lines: true } })
    expect(await database.query('SELECT name FROM "Product" WHERE id = $1', [id])).toEqual([{ name: 'deleted' }])
  })

  test('is told that it waits for the row of the locked attempt, when the deadline has passed', async () => {
    const id = await newProduct()
    const pass = passingTimers()
    const work = stacked(onBase('update'), place).product.updateVersioned({
      where: { id },
      data: async (_, attempt) => {
        if (attempt < 3) await database.query('UPDATE "Product" SET version = version + 1 WHERE id = $1', [id])
        return { stock: 1 }
      },
      retry,
    })
    const failing = rejectionOf(work)
    await untilBlocked(database.url)
    pass(AFTER_IT)
    expect(await failing).toMatchObject({ ...MAY_COME, attempts: 3 })
  })

  test.each(['updateVersioned', 'deleteVersioned'] as const)(
    'is told that %s waits for a row of the transaction that it was called in',
    async (method) => {
      const id = await newProduct()
      const db = stacked(onBase(method === 'updateVersioned' ? 'update' : 'delete'), place)
      const pass = passingTimers()
      const work = db.$transaction(async (tx) => {
        await tx.$executeRaw`UPDATE "Product" SET name = 'b' WHERE id = ${id}`
        const where = { id, version: 0 }
        return method === 'updateVersioned'
          ? tx.product.updateVersioned({ where, data: { stock: 1 }, retry })
          : tx.product.deleteVersioned({ where, include: { lines: true }, retry })
      }, ENDLESS)
      const failing = rejectionOf(work)
      await untilBlocked(database.url)
      pass(AFTER_IT)
      expect(await failing).toMatchObject(MAY_COME)
    },
  )

  test.each([
    ['the row', 'createManyAndReturn', undefined],
    ['the row with its children', 'create', { create: [{ text: 'a' }] }],
  ])(
    'is told that createIdempotent of %s waits for a key of the transaction that it was called in',
    async (_, call, items) => {
      const transactionId = randomUUID()
      const pass = passingTimers()
      const work = stacked(onBase(call), place).$transaction(async (tx) => {
        await tx.$executeRaw`INSERT INTO "Payment" ("transactionId", amount) VALUES (${transactionId}, 1)`
        await database.query('SELECT 1')
        await tx.$executeRaw`DELETE FROM "Payment" WHERE "transactionId" = ${transactionId}`
        return tx.payment.createIdempotent({
          where: { transactionId },
          data: { amount: 1, ...(items && { items }) },
          retry,
        })
      }, ENDLESS)
      const failing = rejectionOf(work)
      await untilBlocked(database.url)
      pass(AFTER_IT)
      expect(await failing).toMatchObject(MAY_COME)
    },
  )

  test('leaves no row without its children behind where it hooks one call of the insert only', async () => {
    const db = stacked(onBase('createManyAndReturn'), place)
    const insert = (transactionId: string, id?: number) =>
      db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5, items: { create: [{ text: 'a', ...(id ? { id } : {}) }] } },
        include: { items: true },
      })
    const taken = (await insert(randomUUID())).record.items[0]?.id
    const transactionId = randomUUID()
    await rejectionOf(insert(transactionId, taken))
    expect(await database.query('SELECT FROM "Payment" WHERE "transactionId" = $1', [transactionId])).toEqual([])
  })

  test('leaves no row without its children behind in a transaction of the caller', async () => {
    const db = stacked(onBase('createManyAndReturn'), place)
    const transactionId = randomUUID()
    await db.$transaction((tx) =>
      tx.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5, items: { create: [{ text: 'a' }] } },
      }),
    )
    const rows = await database.query(
      'SELECT i.text FROM "Payment" AS p JOIN "PaymentItem" AS i ON i."paymentId" = p.id WHERE "transactionId" = $1',
      [transactionId],
    )
    expect(rows).toEqual([{ text: 'a' }])
  })
})

const never = () => new Promise<never>(() => {})

/** How many calls have come to the hook of an extension, in this test. */
let reached = 0
beforeEach(() => {
  reached = 0
})
const untilReached = (calls: number) => vi.waitUntil(() => reached >= calls, { timeout: 60_000, interval: 5 })

/** Takes part in these calls of all models: before they are sent, instead of that, or after they were answered. */
const hooked = (operations: readonly string[], hook: (send: () => Promise<unknown>) => Promise<unknown>) => () =>
  Prisma.defineExtension({
    name: 'on base',
    query: {
      $allModels: Object.fromEntries(
        operations.map((operation) => [
          operation,
          ({ args, query }: { args: unknown; query: (args: unknown) => Promise<unknown> }) => {
            reached++
            return hook(() => query(args))
          },
        ]),
      ) as Record<never, never>,
    },
  })

const WRITES = ['update', 'delete', 'create', 'createManyAndReturn']
const READS = ['findUnique', 'findUniqueOrThrow', 'findFirst']

/** A call of this package, on a client or on a `tx`. */
type Call = (db: Db, id: number) => Promise<unknown>

const byVersion: Call = (db, id) => db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 }, retry })
const byFunction: Call = (db, id) => db.product.updateVersioned({ where: { id }, data: () => ({ stock: 1 }), retry })
const deleteWithRelations: Call = (db, id) =>
  db.product.deleteVersioned({ where: { id, version: 0 }, include: { lines: true }, retry })
const insert = (db: Db, items?: { create: { text: string }[] }) =>
  db.payment.createIdempotent({
    where: { transactionId: randomUUID() },
    data: { amount: 1, ...(items && { items }) },
    retry,
  })
const CALLS: readonly Call[] = [
  byVersion,
  byFunction,
  deleteWithRelations,
  (db, id) => db.product.updateVersioned({ where: { id }, data: async () => ({ stock: 1 }), retry }),
  (db, id) => db.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 1 } }], { retry }),
  (db, id) => db.product.deleteVersioned({ where: { id, version: 0 }, retry }),
  (db) => insert(db),
  (db) => insert(db, { create: [{ text: 'a' }] }),
]
const stockOf = async (id: number) =>
  (await database.query('SELECT stock FROM "Product" WHERE id = $1', [id]))[0]?.stock

describe.each(['below', 'on top'])('an extension %s that does not come to an end', (place) => {
  describe.each([
    ['before it has sent the write', (send: () => Promise<unknown>) => never().then(send)],
    ['after the write was answered', (send: () => Promise<unknown>) => send().then(never)],
  ])('%s', (_, hook) => {
    const connected = () => stacked(hooked(WRITES, hook), place)

    test('is not waited for by any call after its deadline', async () => {
      const db = connected()
      const pass = passingTimers()
      const errors = CALLS.map(async (call) => rejectionOf(call(db, await newProduct())))
      await untilReached(CALLS.length)
      pass(AFTER_IT)
      expect(await Promise.all(errors)).toMatchObject(CALLS.map(() => MAY_COME))
    })

    test('is not waited for on a tx, nor by its end, where the error is caught and the body goes on', async () => {
      const db = connected()
      const text = randomUUID()
      const pass = passingTimers()
      const errors = CALLS.map(async (call) => {
        const id = await newProduct()
        return db.$transaction(async (tx) => {
          const error = await rejectionOf(call(tx as never, id))
          await tx.note.createMany({ data: [{ text }] })
          await tx.$transaction((inner) => inner.note.createMany({ data: [{ text }] }))
          await tx.$transactionWithRetry((inner) => inner.note.createMany({ data: [{ text }] }))
          await tx.$advisoryXactLock(`${text} ${id}`)
          return error
        }, ENDLESS)
      })
      await untilReached(CALLS.length)
      pass(AFTER_IT)
      expect(await Promise.all(errors)).toMatchObject(CALLS.map(() => MAY_COME))
      expect(await database.query('SELECT FROM "Note" WHERE text = $1', [text])).toHaveLength(3 * CALLS.length)
    })

    test('is not waited for on a tx that is then rolled back', async () => {
      const db = connected()
      const ids = await Promise.all(CALLS.map(newProduct))
      const pass = passingTimers()
      const errors = CALLS.map((call, i) =>
        rejectionOf(db.$transaction((tx) => call(tx as never, ids[i] as number), ENDLESS)),
      )
      await untilReached(CALLS.length)
      pass(AFTER_IT)
      expect(await Promise.all(errors)).toMatchObject(CALLS.map(() => MAY_COME))
      expect(await Promise.all(ids.map(stockOf))).toEqual(ids.map(() => 0))
    })

    test('is not waited for by the body of a transaction of this package', async () => {
      const db = connected()
      const id = await newProduct()
      const write = (tx: Pick<Db, 'product'>) => tx.product.update({ where: { id }, data: { stock: 1 } })
      const pass = passingTimers()
      const work = [
        db.$transactionWithRetry(write as never, { retry }),
        db.$idempotent({ key: randomUUID(), scope: 'a', retry }, write as never),
        db.$withAdvisoryLock(randomUUID(), write as never, { bodyTimeout: retry.deadline }),
      ].map(rejectionOf)
      await untilReached(work.length)
      pass(AFTER_IT)
      expect(await Promise.all(work)).toMatchObject(work.map(() => ({ code: 'DEADLINE_EXCEEDED' })))
      expect(await stockOf(id)).toBe(0)
    })
  })

  test('before a read is not waited for, on the client and on a tx', async () => {
    const db = stacked(hooked(READS, never), place)
    const calls = [byFunction, deleteWithRelations]
    const ids = await Promise.all([...calls, ...calls].map(newProduct))
    const pass = passingTimers()
    const work = calls
      .flatMap((call, i) => [
        call(db, ids[i] as number),
        db.$transaction((tx) => call(tx as never, ids[2 + i] as number), ENDLESS),
      ])
      .map(rejectionOf)
    await untilReached(work.length)
    pass(AFTER_IT)
    expect(await Promise.all(work)).toMatchObject(work.map(() => MAY_COME))
  })
})

describe.each(['below', 'on top'])('a call that an extension %s sends', (place) => {
  test('too late is not sent: the transaction does what it was told to have done', async () => {
    const id = await newProduct()
    const late = gate()
    let sent: Promise<unknown> | undefined
    const db = stacked(
      hooked(['update'], (send) => late.opened.then(() => (sent = send()))),
      place,
    )
    const pass = passingTimers()
    await db.$transaction(async (tx) => {
      const failing = rejectionOf(byVersion(tx as never, id))
      await untilReached(1)
      pass(AFTER_IT)
      await failing
      late.open()
      await late.opened
      await tx.note.count()
    }, ENDLESS)
    expect(await rejectionOf(sent as Promise<unknown>)).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(await stockOf(id)).toBe(0)
  })

  test('in the transaction, where it waits for a row of somebody else, is part of it when it commits', async () => {
    const id = await newProduct()
    const db = stacked(
      hooked(['update'], (send) => send()),
      place,
    )
    const other = await openTransaction(database.url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
    const isTold = gate()
    const pass = passingTimers()
    const work = db.$transaction(async (tx) => {
      const error = await rejectionOf(byVersion(tx as never, id))
      isTold.open()
      return error
    }, ENDLESS)
    const told = work.then((error) => error)
    await untilBlocked(database.url)
    pass(AFTER_IT)
    await isTold.opened
    await other.query('ROLLBACK')
    expect(await told).toMatchObject(MAY_COME)
    expect(await stockOf(id)).toBe(1)
  })
})

test.each(['below', 'on top'])(
  'calls of one tick on a tx, of which one fails, are each answered beside an extension %s',
  async (place) => {
    const ids = [await newProduct(), await newProduct()]
    const db = stacked(
      hooked([...WRITES, ...READS], (send) => send()),
      place,
    )
    const outcomes = await db.$transaction((tx) =>
      Promise.allSettled([
        tx.product.updateVersioned({ where: { id: ids[0] as number, version: 0 }, data: { stock: 1 } }),
        tx.product.updateVersioned({ where: { id: ids[1] as number }, data: () => ({ stock: 1 }) }),
        tx.product.update({ where: { id: -1 }, data: { stock: 1 } }),
        tx.product.findUniqueOrThrow({ where: { id: -1 } }),
        tx.note.create({ data: { text: 'beside' } }),
        tx.product.findUniqueOrThrow({ where: { id: ids[0] as number } }),
      ]),
    )
    const record = { status: 'fulfilled', value: { id: expect.any(Number) } }
    const missing = { status: 'rejected', reason: { code: 'P2025' } }
    expect(outcomes).toMatchObject([record, record, missing, missing, record, record])
    expect(await Promise.all(ids.map(stockOf))).toEqual([1, 1])
  },
)

describe('on a pool of one, a call of the client from inside', () => {
  const bodies = {
    $transactionWithRetry: (db: Db) => db.$transactionWithRetry(() => db.note.count(), { retry }),
    $idempotent: (db: Db) => db.$idempotent({ key: randomUUID(), scope: 'a', retry }, () => db.note.count()),
    $withAdvisoryLock: (db: Db) => db.$withAdvisoryLock('a', () => db.note.count(), { bodyTimeout: retry.deadline }),
    'updateVersioned in a transaction': async (db: Db) => {
      const id = await newProduct()
      return db.$transaction(
        (tx) =>
          tx.product.updateVersioned({
            where: { id },
            data: async () => ({ stock: await db.note.count() }),
            retry,
          }),
        ENDLESS,
      )
    },
    'updateVersioned whose row is locked': async (db: Db) => {
      const id = await newProduct()
      return db.product.updateVersioned({
        where: { id },
        data: async (_, attempt) => {
          if (attempt < 3) await database.query('UPDATE "Product" SET version = version + 1 WHERE id = $1', [id])
          return { stock: attempt < 3 ? 1 : await db.note.count() }
        },
        retry,
      })
    },
  }

  test.each(Object.entries(bodies))('ends %s by its deadline, with an error that names it', async (_, call) => {
    const { db, pool } = connect({ poolSize: 1 })
    const pass = passingTimers()
    const failing = rejectionOf(call(db))
    await vi.waitUntil(() => pool.waitingCount > 0 && pool.totalCount > 0, { timeout: 60_000, interval: 5 })
    pass(AFTER_IT)

    expect(await failing).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringContaining('instead of its own `tx`'),
    })
  })
})
