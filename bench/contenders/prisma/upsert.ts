/** `upsert` as get-or-create, in the form that Prisma hands over to the database. */
import type { Contender } from '../../contender.js'
import { createPrisma } from '../../support/prisma-client.js'

export default {
  id: 'prisma/upsert',
  title: 'Prisma, upsert',
  family: 'prisma',
  source: 'https://www.prisma.io/docs/orm/v7/reference/prisma-client-reference#database-upserts',
  choices:
    'Autocommit. The update sets the key that is there already: then it is one INSERT … ON CONFLICT DO UPDATE, which ' +
    'the reference says to be faster and never to fail with P2002. With an empty update, as the page on CRUD has it, ' +
    'Prisma reads and then inserts, in a transaction, and two at once can fail. Prepared statements.',
  operations: ['insertOnce'],

  async open(env) {
    const db = createPrisma(env)
    return {
      async insertOnce(transactionId, amount) {
        await db.payment.upsert({
          where: { transactionId },
          create: { transactionId, amount },
          update: { transactionId },
        })
        return { retries: 0 }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
