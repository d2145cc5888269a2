/** The number after the highest one that is taken, read and then written: as many a program begins. */
import type { Contender } from '../../contender.js'
import { takeSerial } from '../../support/next-serial.js'
import { createPrisma } from '../../support/prisma-client.js'

export default {
  id: 'prisma/max-plus-one',
  title: 'Prisma, max() + 1 (no guard)',
  family: 'prisma',
  isUnguarded: true,
  source: 'https://www.prisma.io/docs/orm/v7/prisma-client/queries/aggregation-grouping-summarizing#aggregate',
  choices:
    'The wrong way, for comparison. Both are in an interactive transaction, READ COMMITTED, which does not help; it waits ' +
    '5 s for a connection (maxWait). Prepared statements.',
  operations: ['takeSerial'],

  async open(env) {
    const db = createPrisma(env)
    return {
      async takeSerial(transactionId, itemId) {
        const refused = await db.$transaction(async (tx) => {
          const last = await tx.serial.aggregate({
            where: { itemId, transactionId: { not: null } },
            _max: { number: true },
          })
          const next = await tx.serial.findFirst({
            where: { itemId, number: { gt: last._max.number ?? '' } },
            orderBy: { number: 'asc' },
            select: { id: true },
          })
          if (next === null) return true
          await takeSerial(tx, next.id, transactionId)
          return false
        })
        return { retries: 0, refused }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
