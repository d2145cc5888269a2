import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { PrismaClient } from '../../generated/prisma/client.js'
import { stock } from '../../src/erp.js'
import { concurrency } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()

/** As a later Prisma may be: raw SQL goes another way than the one that the package has read. */
function laterPrisma(client: PrismaClient): PrismaClient {
  const parts = client as unknown as { $queryRawInternal(...args: unknown[]): unknown }
  const own = parts.$queryRawInternal
  parts.$queryRawInternal = function (transaction, method, args) {
    return Array.isArray(args) && args.length === 0 ? undefined : own.call(this, transaction, method, args)
  }
  return client
}

const extended = (client: PrismaClient) =>
  client
    .$extends(concurrency())
    .$extends(
      stock({ item: { model: 'Stock', key: ['productId', 'warehouse'] }, movement: { model: 'StockMovement' } }),
    )

describe.each([
  ['the Prisma that is known', (client: PrismaClient) => extended(client)],
  ['a Prisma that sends raw SQL in another way', (client: PrismaClient) => extended(laterPrisma(client))],
])('on %s', (_name, make) => {
  test('all features work, and what is done on a tx is rolled back with it', async () => {
    const { client } = database.connect()
    const db = make(client)
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const warehouse = randomUUID()
    await client.stock.create({ data: { productId: id, warehouse, onHand: 5 } })
    const item = { productId: id, warehouse }
    const transactionId = randomUUID()

    await db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
    await db.payment.createIdempotent({ where: { transactionId }, data: { amount: 1 } })
    await db.$stock.move({ transactionId, item, quantity: -1 })
    const error = new Error('no')
    const failing = db.$withAdvisoryLock(['product', id], async (tx) => {
      await tx.$advisoryXactLock('another')
      await tx.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
      await tx.payment.createIdempotent({ where: { transactionId: `${transactionId} 2` }, data: { amount: 1 } })
      await tx.$stock.move({ transactionId: `${transactionId} 2`, item, quantity: -1 })
      throw error
    })

    expect(await rejectionOf(failing)).toBe(error)
    expect(await db.product.findUniqueOrThrow({ where: { id } })).toMatchObject({ stock: 1, version: 1 })
    expect(await db.payment.count({ where: { transactionId: { startsWith: transactionId } } })).toBe(1)
    expect(await db.stock.findUniqueOrThrow({ where: { productId_warehouse: item } })).toMatchObject({ onHand: 4 })
  })

  test('a body that takes too long under a lock has its connection closed, and writes nothing, though it goes on', async () => {
    const { client, pool } = database.connect()
    let closed = 0
    pool.on('remove', () => closed++)
    const db = make(client)
    const text = randomUUID()
    const late = gate()
    const ended = gate()
    const call = db.$withAdvisoryLock(
      text,
      async (tx) => {
        try {
          await tx.note.create({ data: { text } })
          await late.opened
          await tx.note.create({ data: { text } }).catch(() => {})
        } finally {
          ended.open()
        }
      },
      { bodyTimeout: 1_000 },
    )

    expect(await rejectionOf(call)).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    late.open()
    await ended.opened

    expect(await db.note.count({ where: { text } })).toBe(0)
    expect(closed).toBe(1)
  })

  test('an error of SQL is an error of Prisma', async () => {
    const db = make(database.connect().client)
    const call = db.payment.createIdempotent({ where: { transactionId: randomUUID() }, data: { amount: 10 ** 15 } })

    expect(await rejectionOf(call)).toMatchObject({ name: 'PrismaClientKnownRequestError', code: 'P2020' })
  })
})
