/** `pg_advisory_xact_lock` by raw SQL at the beginning of an interactive transaction. */
import type { Prisma } from '../../../generated/bench/client.js'
import type { Contender } from '../../contender.js'
import { createPrisma } from '../../support/prisma-client.js'
import { rowsOf } from '../../support/prisma-rows.js'

export default {
  id: 'prisma/advisory-lock',
  title: 'Prisma, pg_advisory_xact_lock',
  family: 'prisma',
  source: 'https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS',
  choices:
    'READ COMMITTED. With $executeRaw, since the result of the function cannot be read by Prisma. A transaction ' +
    'waits 5 s for a connection (maxWait), as ' +
    'others wait for a lock, and takes 5 s at most, which is the default. Prepared statements.',
  operations: ['readChangeWrite', 'critical'],

  async open(env) {
    const db = createPrisma(env)
    return {
      async readChangeWrite(itemId) {
        await db.$transaction(async (tx) => {
          await lock(tx, `item-${itemId}`)
          const { stock } = await tx.item.findUniqueOrThrow({ where: { id: itemId } })
          await tx.item.update({ where: { id: itemId }, data: { stock: stock + 1 } })
        })
        return { retries: 0 }
      },
      async critical(key, body) {
        await db.$transaction(async (tx) => {
          await lock(tx, key)
          await body(rowsOf(tx))
        })
        return { retries: 0 }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender

async function lock(tx: Prisma.TransactionClient, key: string): Promise<void> {
  await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${key}, 0))`
}
