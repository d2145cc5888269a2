import { setTimeout as sleep } from 'node:timers/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import { type Prisma, PrismaClient } from '../../generated/bench/client.js'
import { hasCode } from '../support/prisma-client.js'
import { statementNameGenerator } from '../support/statement-names.js'
import { ITEMS, SECTION_MS, type Side } from './cells.js'

type Tx = Prisma.TransactionClient

/** The same by hand on Prisma, right, and as fast as it is commonly written. */
export function openByHand(url: string): Side {
  const adapter = new PrismaPg({ connectionString: url, max: 10 }, { statementNameGenerator })
  const db = new PrismaClient({ adapter, transactionOptions: { maxWait: 60_000, timeout: 60_000 } })
  const versions: number[] = []
  const amount = 1
  const move = (transactionId: string, itemId: number, quantity: number) =>
    db.$transaction(async (tx) => {
      await takeStock(tx, [itemId], quantity)
      await tx.stockMovement.create({ data: { transactionId, line: 0, itemId, quantity } })
    })
  const numbered = async (tx: Tx, transactionId: string) => {
    const { last } = await tx.series.update({ where: { name: 'invoice' }, data: { last: { increment: 1 } } })
    await tx.document.create({ data: { series: 'invoice', number: last, transactionId } })
    return last
  }
  const number = (transactionId: string) => db.$transaction((tx) => numbered(tx, transactionId))
  return {
    async updateObject(caller) {
      const where = { id: ITEMS - caller, version: versions[caller] ?? 0 }
      const { version } = await db.item.update({ where, data: { name: 'Chai', version: { increment: 1 } } })
      versions[caller] = version
    },
    async updateFunction(id) {
      for (;;) {
        const { stock, version } = await db.item.findUniqueOrThrow({ where: { id } })
        const data = { stock: stock + 1, version: { increment: 1 } }
        const { count } = await db.item.updateMany({ where: { id, version }, data })
        if (count === 1) return
      }
    },
    insert: (transactionId) => db.payment.create({ data: { transactionId, amount } }),
    // Prisma reads, and inserts where nothing is there. Where two come at once, one of them has P2002, and reads again.
    async insertOnce(transactionId) {
      const call = { where: { transactionId }, update: {}, create: { transactionId, amount } }
      try {
        return await db.payment.upsert(call)
      } catch (error) {
        if (!hasCode(error, 'P2002')) throw error
        return db.payment.upsert(call)
      }
    },
    operation: (key) =>
      db.$transaction(async (tx) => {
        const where = { scope: 'pay', key }
        await tx.idempotencyKey.create({ data: { ...where, request: JSON.stringify({ amount }) } })
        const { id } = await tx.payment.create({ data: { transactionId: key, amount } })
        const answer = JSON.stringify({ id: String(id) })
        await tx.idempotencyKey.update({ where: { scope_key: where }, data: { answer } })
      }),
    transaction: (transactionId) => db.$transaction((tx) => tx.payment.create({ data: { transactionId, amount } })),
    lock: (key, transactionId) =>
      db.$transaction(async (tx) => {
        await lock(tx, key)
        await tx.payment.create({ data: { transactionId, amount } })
      }),
    section: (id) =>
      db.$transaction(async (tx) => {
        await lock(tx, `item-${id}`)
        const { version } = await tx.item.findUniqueOrThrow({ where: { id } })
        await sleep(SECTION_MS)
        await tx.item.update({ where: { id }, data: { version: version + 1 } })
      }),
    move,
    moveInSlots: move,
    moveInTransaction: move,
    moveAll: (transactionId, itemIds) =>
      db.$transaction(async (tx) => {
        await takeStock(tx, itemIds, -1)
        await tx.stockMovement.createMany({
          data: itemIds.map((itemId, line) => ({ transactionId, line, itemId, quantity: -1 })),
        })
      }),
    serials: (transactionId) =>
      db.$transaction(async (tx) => {
        await tx.serialClaim.create({ data: { transactionId, itemId: 1, count: 3 } })
        const taken = await tx.$queryRaw<unknown[]>`
          WITH free AS (
            SELECT id FROM serial
            WHERE item_id = 1 AND transaction_id IS NULL
            ORDER BY id
            LIMIT 3
            FOR UPDATE SKIP LOCKED
          )
          UPDATE serial SET transaction_id = ${transactionId}
          FROM free
          WHERE serial.id = free.id
          RETURNING serial.*`
        if (taken.length < 3) throw new Error('There are too few serials.')
      }),
    number,
    numberById: (transactionId) =>
      db.$transaction(async (tx) => {
        const last = await numbered(tx, transactionId)
        const noted = { series: 'invoice', period: '', value: last, text: String(last) }
        await tx.seriesNumber.create({ data: { ...noted, transactionId } })
      }),
    numberTogether: number,
    close: () => db.$disconnect(),
  }
}

async function lock(tx: Tx, key: string): Promise<void> {
  await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${key}, 0))`
}

/** Locks the rows in one order, looks whether there is enough, and writes each. */
async function takeStock(tx: Tx, itemIds: readonly number[], quantity: number): Promise<void> {
  const rows = await tx.$queryRaw<{ item_id: number; onHand: number }[]>`
    SELECT item_id, "onHand" FROM stock WHERE item_id = ANY(${itemIds}) ORDER BY item_id FOR UPDATE`
  if (rows.length < itemIds.length || rows.some(({ onHand }) => onHand + quantity < 0)) {
    throw new Error('There is not enough stock.')
  }
  for (const { item_id: itemId } of rows) {
    await tx.stock.update({ where: { itemId }, data: { onHand: { increment: quantity } } })
  }
}
