/** A Serializable transaction in the loop of Prisma's documentation. */
import { Prisma, type PrismaClient } from '../../../generated/bench/client.js'
import type { Contender } from '../../contender.js'
import { createPrisma, hasCode } from '../../support/prisma-client.js'

/** As in the documentation. */
const MOST_RETRIES = 5
const OPTIONS = { isolationLevel: Prisma.TransactionIsolationLevel.Serializable }

export default {
  id: 'prisma/serializable',
  title: 'Prisma, Serializable with retry',
  family: 'prisma',
  source: 'https://www.prisma.io/docs/orm/v7/prisma-client/queries/transactions#transaction-timing-issues',
  choices:
    'Up to 5 runs without a delay, as in the documentation; then the caller sees P2034. A transaction waits 5 s for ' +
    'a connection (maxWait), as others wait for a lock, and takes 5 s at most, which is the default. Prepared statements.',
  operations: ['readChangeWrite', 'move', 'receive'],

  async open(env) {
    const db = createPrisma(env)
    const move = async (transactionId: string, itemId: number, quantity: number) => {
      let refused = false
      const attempt = async (tx: Prisma.TransactionClient) => {
        const { stock } = await tx.item.findUniqueOrThrow({ where: { id: itemId } })
        refused = stock + quantity < 0
        if (refused) return
        await tx.movement.create({ data: { transactionId, itemId, quantity } })
        await tx.item.update({ where: { id: itemId }, data: { stock: stock + quantity } })
      }
      try {
        return { retries: await serializable(db, attempt), refused }
      } catch (error) {
        if (!hasCode(error, 'P2002')) throw error
        return { retries: 0 } // it was moved before
      }
    }
    return {
      async readChangeWrite(itemId) {
        const retries = await serializable(db, async (tx) => {
          const { stock } = await tx.item.findUniqueOrThrow({ where: { id: itemId } })
          await tx.item.update({ where: { id: itemId }, data: { stock: stock + 1 } })
        })
        return { retries }
      },
      move,
      receive: move,
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender

/** Resolves to the number of retries. */
async function serializable(db: PrismaClient, body: (tx: Prisma.TransactionClient) => Promise<void>): Promise<number> {
  for (let retries = 0; ; retries++) {
    try {
      await db.$transaction(body, OPTIONS)
      return retries
    } catch (error) {
      if (!isWriteConflict(error) || retries + 1 >= MOST_RETRIES) throw error
    }
  }
}

/** P2034, or what the adapter throws when it is the COMMIT that fails. */
function isWriteConflict(error: unknown): boolean {
  return hasCode(error, 'P2034') || (error instanceof Error && error.message === 'TransactionWriteConflict')
}
