/**
 * No guard at all: reads, decides, writes. This is what is found in most programs, and what the
 * audit must find to be wrong; if it does not, the bench has not made anybody meet.
 */
import type { Contender } from '../../contender.js'
import { createPrisma, hasCode } from '../../support/prisma-client.js'
import { rowsOf } from '../../support/prisma-rows.js'

export default {
  id: 'prisma/unguarded',
  title: 'Prisma, read + update (no guard)',
  family: 'prisma',
  isUnguarded: true,
  source: 'https://www.prisma.io/docs/orm/v7/prisma-client/queries/crud#update',
  choices:
    'The wrong way, for comparison. Stock and ledger are in one transaction, READ COMMITTED, which does not help. Prepared statements.',
  operations: ['readChangeWrite', 'move', 'receive', 'critical'],

  async open(env) {
    const db = createPrisma(env)
    const rows = rowsOf(db)
    const move = async (transactionId: string, itemId: number, quantity: number) => {
      const { stock } = await db.item.findUniqueOrThrow({ where: { id: itemId } })
      if (stock + quantity < 0) return { retries: 0, refused: true }
      try {
        await db.$transaction([
          db.movement.create({ data: { transactionId, itemId, quantity } }),
          db.item.update({ where: { id: itemId }, data: { stock: stock + quantity } }),
        ])
      } catch (error) {
        if (!hasCode(error, 'P2002')) throw error // it was moved before
      }
      return { retries: 0 }
    }
    return {
      async readChangeWrite(itemId) {
        await rows.write(itemId, (await rows.read(itemId)) + 1)
        return { retries: 0 }
      },
      move,
      receive: move,
      async critical(_key, body) {
        await body(rows)
        return { retries: 0 }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
