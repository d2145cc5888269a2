/** Serials by `FOR UPDATE SKIP LOCKED`, in raw SQL, after the transaction id was claimed. */
import type { Contender } from '../../contender.js'
import { createPrisma, hasCode } from '../../support/prisma-client.js'

export default {
  id: 'prisma/skip-locked',
  title: 'Prisma, FOR UPDATE SKIP LOCKED',
  family: 'prisma',
  source: 'https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE',
  choices: 'READ COMMITTED, an interactive transaction with the default limits.',
  operations: ['takeSerials'],

  async open(env) {
    const db = createPrisma(env)
    return {
      async takeSerials(transactionId, itemId, count) {
        try {
          await db.$transaction(async (tx) => {
            await tx.serialClaim.create({ data: { transactionId, itemId, count } })
            const taken = await tx.$executeRaw`
              UPDATE serial SET transaction_id = ${transactionId}
              WHERE id IN (
                SELECT id FROM serial
                WHERE item_id = ${itemId} AND transaction_id IS NULL
                ORDER BY id
                LIMIT ${count}
                FOR UPDATE SKIP LOCKED
              )`
            if (taken < count) throw new TooFew()
          })
          return { retries: 0 }
        } catch (error) {
          if (error instanceof TooFew) return { retries: 0, refused: true }
          if (hasCode(error, 'P2002')) return { retries: 0 } // they were taken before
          throw error
        }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender

/** Rolls the claim back. */
class TooFew extends Error {}
