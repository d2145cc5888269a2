import { randomUUID } from 'node:crypto'
import { Prisma } from '@prisma/client/extension'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../src/index.js'
import { useExtended } from './support/extended.js'
import { rejectionOf } from './support/rejection.js'

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

const MAY_COME = { code: 'DEADLINE_EXCEEDED', mayTakeEffect: true, message: expect.stringContaining("'on base'") }
const retry = { deadline: 1_500, baseDelay: 1 }

describe.each(['below', 'on top'])('an extension %s that sends calls on another client', (place) => {
  test('deletes in its own way by deleteVersioned with relations, which holds no lock then', async () => {
    const id = await newProduct()
    const db = stacked(softDelete, place)
    await db.product.deleteVersioned({ where: { id, version: 0 }, include: { lines: true } })
    expect(await database.query('SELECT name FROM "Product" WHERE id = $1', [id])).toEqual([{ name: 'deleted' }])
  })

  test('is told that it waits for the row of the locked attempt, when the deadline has passed', async () => {
    const id = await newProduct()
    const work = stacked(onBase('update'), place).product.updateVersioned({
      where: { id },
      data: async (_, attempt) => {
        if (attempt < 3) await database.query('UPDATE "Product" SET version = version + 1 WHERE id = $1', [id])
        return { stock: 1 }
      },
      retry,
    })
    expect(await rejectionOf(work)).toMatchObject({ ...MAY_COME, attempts: 3 })
  })

  test.each(['updateVersioned', 'deleteVersioned'] as const)(
    'is told that %s waits for a row of the transaction that it was called in',
    async (method) => {
      const id = await newProduct()
      const db = stacked(onBase(method === 'updateVersioned' ? 'update' : 'delete'), place)
      const work = db.$transaction(
        async (tx) => {
          await tx.$executeRaw`UPDATE "Product" SET name = 'b' WHERE id = ${id}`
          const where = { id, version: 0 }
          return method === 'updateVersioned'
            ? tx.product.updateVersioned({ where, data: { stock: 1 }, retry })
            : tx.product.deleteVersioned({ where, include: { lines: true }, retry })
        },
        { timeout: 4_000 },
      )
      expect(await rejectionOf(work)).toMatchObject(MAY_COME)
    },
  )

  test.each([
    ['the row', 'createManyAndReturn', undefined],
    ['the row with its children', 'create', { create: [{ text: 'a' }] }],
  ])(
    'is told that createIdempotent of %s waits for a key of the transaction that it was called in',
    async (_, call, items) => {
      const transactionId = randomUUID()
      const work = stacked(onBase(call), place).$transaction(
        async (tx) => {
          await tx.$executeRaw`INSERT INTO "Payment" ("transactionId", amount) VALUES (${transactionId}, 1)`
          await database.query('SELECT 1')
          await tx.$executeRaw`DELETE FROM "Payment" WHERE "transactionId" = ${transactionId}`
          return tx.payment.createIdempotent({
            where: { transactionId },
            data: { amount: 1, ...(items && { items }) },
            retry,
          })
        },
        { timeout: 4_000 },
      )
      expect(await rejectionOf(work)).toMatchObject(MAY_COME)
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

describe('on a pool of one, a call of the client from inside', () => {
  const limits = { retry: { deadline: 500 } }
  const bodies = {
    $transactionWithRetry: (db: Db) => db.$transactionWithRetry(() => db.note.count(), limits),
    $idempotent: (db: Db) => db.$idempotent({ key: randomUUID(), scope: 'a', ...limits }, () => db.note.count()),
    $withAdvisoryLock: (db: Db) => db.$withAdvisoryLock('a', () => db.note.count(), { bodyTimeout: 500 }),
    'updateVersioned in a transaction': async (db: Db) => {
      const id = await newProduct()
      return db.$transaction(
        (tx) =>
          tx.product.updateVersioned({
            where: { id },
            data: async () => ({ stock: await db.note.count() }),
            ...limits,
          }),
        { timeout: 4_000 },
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
    const error = await rejectionOf(call(connect({ poolSize: 1 }).db))
    expect(error).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringContaining('instead of its own `tx`'),
    })
  })
})
