/** Inserts, and takes the violation of the unique key for the answer that it is there already. */
import type { Contender } from '../../contender.js'
import { createPrisma, hasCode } from '../../support/prisma-client.js'

export default {
  id: 'prisma/catch-p2002',
  title: 'Prisma, create and catch P2002',
  family: 'prisma',
  source:
    'https://www.prisma.io/docs/orm/v7/prisma-client/debugging-and-troubleshooting/handling-exceptions-and-errors',
  choices: 'Autocommit. A duplicate is read, so that its caller gets the record too. Prepared statements.',
  operations: ['insertOnce'],

  async open(env) {
    const db = createPrisma(env)
    return {
      async insertOnce(transactionId, amount) {
        try {
          await db.payment.create({ data: { transactionId, amount } })
        } catch (error) {
          if (!hasCode(error, 'P2002')) throw error
          await db.payment.findUniqueOrThrow({ where: { transactionId } })
        }
        return { retries: 0 }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
