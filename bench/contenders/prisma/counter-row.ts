/** Gapless numbers by a row that counts, incremented in the transaction that writes the document. */
import type { Contender } from '../../contender.js'
import { createPrisma, hasCode } from '../../support/prisma-client.js'

export default {
  id: 'prisma/counter-row',
  title: 'Prisma, counter row',
  family: 'prisma',
  source: 'https://www.prisma.io/docs/orm/v7/reference/prisma-client-reference#atomic-number-operations',
  choices:
    'READ COMMITTED, an interactive transaction, which waits 5 s for a connection, as long as whoever waits for a lock ' +
    'here (maxWait; by default 2 s). The increment locks the row until the commit. Prepared statements.',
  operations: ['nextNumber'],

  async open(env) {
    const db = createPrisma(env)
    return {
      async nextNumber(transactionId, series) {
        try {
          await db.$transaction(async (tx) => {
            const { last } = await tx.series.update({ where: { name: series }, data: { last: { increment: 1 } } })
            await tx.document.create({ data: { series, number: last, transactionId } })
          })
        } catch (error) {
          if (!hasCode(error, 'P2002')) throw error // it has its number already
        }
        return { retries: 0 }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
