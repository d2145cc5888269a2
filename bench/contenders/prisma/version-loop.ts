/**
 * Optimistic by hand: read, decide, `updateMany` by the version that was read, again while the
 * count is 0. This is the loop that the others are compared with.
 */
import type { Contender } from '../../contender.js'
import { untilItWins } from '../../support/patience.js'
import { createPrisma } from '../../support/prisma-client.js'

export default {
  id: 'prisma/version-loop',
  title: 'Prisma, read + update by version',
  family: 'prisma',
  source: 'https://www.prisma.io/docs/orm/v7/prisma-client/queries/transactions#optimistic-concurrency-control',
  choices:
    'READ COMMITTED, one statement per transaction. Tries again at once, and until it wins or 5 s are over, as ' +
    'others wait for a lock: a delay would make it slower alone, and no faster among many. Prepared statements.',
  operations: ['readChangeWrite'],

  async open(env) {
    const db = createPrisma(env)
    return {
      async readChangeWrite(itemId) {
        const retries = await untilItWins(async () => {
          const { stock, version } = await db.item.findUniqueOrThrow({ where: { id: itemId } })
          const { count } = await db.item.updateMany({
            where: { id: itemId, version },
            data: { stock: stock + 1, version: { increment: 1 } },
          })
          return count === 1
        })
        return { retries }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
