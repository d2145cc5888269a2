/** `upsert` with an empty update, the usual get-or-create. */
import type { Contender } from '../../contender.js'
import { createPrisma, hasCode } from '../../support/prisma-client.js'

export default {
  id: 'prisma/upsert',
  title: 'Prisma, upsert',
  family: 'prisma',
  source: 'https://www.prisma.io/docs/orm/reference/prisma-client-reference#upsert',
  choices:
    'Autocommit. Two at once can both find nothing and insert: the reference says to catch that P2002 and to ' +
    'call again, which is done until it goes through.',
  operations: ['insertOnce'],

  async open(env) {
    const db = createPrisma(env)
    return {
      async insertOnce(transactionId, amount) {
        for (let retries = 0; ; retries++) {
          try {
            await db.payment.upsert({ where: { transactionId }, create: { transactionId, amount }, update: {} })
            return { retries }
          } catch (error) {
            if (!hasCode(error, 'P2002')) throw error
          }
        }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
