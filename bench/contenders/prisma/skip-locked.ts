/** Serials by `FOR UPDATE SKIP LOCKED`, in raw SQL, after the transaction id was claimed. */
import type { Contender, Outcome } from '../../contender.js'
import { createPrisma, hasCode } from '../../support/prisma-client.js'

export default {
  id: 'prisma/skip-locked',
  title: 'Prisma, FOR UPDATE SKIP LOCKED',
  family: 'prisma',
  source: 'https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE',
  choices:
    'READ COMMITTED, an interactive transaction, which waits 5 s for a connection, as long as whoever waits for a lock ' +
    'here (maxWait; by default 2 s). What is free is chosen in a CTE, which is run once, whatever the plan. Prepared statements.',
  operations: ['takeSerials', 'takeSerial'],

  async open(env) {
    const db = createPrisma(env)
    async function takeSerials(transactionId: string, itemId: number, count: number): Promise<Outcome> {
      try {
        await db.$transaction(async (tx) => {
          await tx.serialClaim.create({ data: { transactionId, itemId, count } })
          const taken = await tx.$executeRaw`
              WITH free AS (
                SELECT id FROM serial
                WHERE item_id = ${itemId} AND transaction_id IS NULL
                ORDER BY id
                LIMIT ${count}
                FOR UPDATE SKIP LOCKED
              )
              UPDATE serial SET transaction_id = ${transactionId}
              FROM free
              WHERE serial.id = free.id`
          if (taken < count) throw new TooFew()
        })
        return { retries: 0 }
      } catch (error) {
        if (error instanceof TooFew) return { retries: 0, refused: true }
        if (hasCode(error, 'P2002')) return { retries: 0 } // they were taken before
        throw error
      }
    }
    return {
      takeSerials,
      takeSerial: (transactionId, itemId) => takeSerials(transactionId, itemId, 1),
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender

/** Rolls the claim back. */
class TooFew extends Error {}
