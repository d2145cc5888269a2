/** Pessimistic by hand: `SELECT … FOR UPDATE` by raw SQL at the beginning of an interactive transaction. */
import type { Prisma } from '../../../generated/bench/client.js'
import type { Contender } from '../../contender.js'
import { findNextSerial, takeSerial } from '../../support/next-serial.js'
import { createPrisma, hasCode } from '../../support/prisma-client.js'

export default {
  id: 'prisma/select-for-update',
  title: 'Prisma, SELECT … FOR UPDATE',
  family: 'prisma',
  source: 'https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS',
  choices:
    'READ COMMITTED. Prisma has no such call, so the row is read with $queryRaw. A transaction waits 5 s for a ' +
    'connection (maxWait), as others wait for a lock, and takes 5 s at most, which is the default. Prepared statements.',
  operations: ['readChangeWrite', 'move', 'receive', 'takeSerial'],

  async open(env) {
    const db = createPrisma(env)
    const move = async (transactionId: string, itemId: number, quantity: number) => {
      try {
        const refused = await db.$transaction(async (tx) => {
          const stock = await lockStock(tx, itemId)
          if (stock + quantity < 0) return true
          await tx.movement.create({ data: { transactionId, itemId, quantity } })
          await tx.item.update({ where: { id: itemId }, data: { stock: stock + quantity } })
          return false
        })
        return { retries: 0, refused }
      } catch (error) {
        if (!hasCode(error, 'P2002')) throw error
        return { retries: 0 } // it was moved before
      }
    }
    return {
      async readChangeWrite(itemId) {
        await db.$transaction(async (tx) => {
          const stock = await lockStock(tx, itemId)
          await tx.item.update({ where: { id: itemId }, data: { stock: stock + 1 } })
        })
        return { retries: 0 }
      },
      move,
      receive: move,
      async takeSerial(transactionId, itemId) {
        const refused = await db.$transaction(async (tx) => {
          await lockStock(tx, itemId)
          const next = await findNextSerial(tx, transactionId, itemId)
          if (typeof next === 'number') await takeSerial(tx, next, transactionId)
          return next === undefined
        })
        return { retries: 0, refused }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender

async function lockStock(tx: Prisma.TransactionClient, itemId: number): Promise<number> {
  const [row] = await tx.$queryRaw<{ stock: number }[]>`SELECT stock FROM item WHERE id = ${itemId} FOR UPDATE`
  if (row === undefined) throw new Error(`No item ${itemId}.`)
  return row.stock
}
