/** An outbox by hand on Prisma: a table of messages, and workers that take one each by `FOR UPDATE SKIP LOCKED`. */
import type { Contender } from '../../contender.js'
import { createPrisma } from '../../support/prisma-client.js'
import { Telling } from '../../support/telling.js'

export default {
  id: 'prisma/outbox-table',
  title: 'Prisma, a table and SKIP LOCKED',
  family: 'prisma',
  source: 'https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE',
  choices:
    'Payment and message are created by one $transaction([…]). A worker deletes the message with the lowest id that nobody ' +
    'has locked, and writes its effect, in an interactive transaction. No keys, no attempts, no dead messages: a ' +
    'message that fails comes again at once. Prepared statements.',
  operations: ['tell'],

  async open(env) {
    const db = createPrisma(env)
    const telling = new Telling()
    const handle = () =>
      db.$transaction(async (tx) => {
        const [taken] = await tx.$queryRaw<{ transactionId: string }[]>`
            DELETE FROM message
            WHERE id = (SELECT id FROM message ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING transaction_id AS "transactionId"`
        if (taken === undefined) return false
        await tx.told.create({ data: { transactionId: taken.transactionId } })
        telling.told(taken.transactionId)
        return true
      })
    const relay = telling.relay(handle)
    return {
      async tell(transactionId) {
        await db.$transaction([
          db.payment.create({ data: { transactionId, amount: 12.5 } }),
          db.message.create({ data: { transactionId } }),
        ])
        telling.made(transactionId)
        return { retries: 0 }
      },
      async settle() {
        await telling.settled()
        await relay.end()
      },
      async close() {
        await relay.end()
        await db.$disconnect()
      },
    }
  },
} satisfies Contender
