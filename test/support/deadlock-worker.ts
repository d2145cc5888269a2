/** A process of its own whose transactions write two rows in opposite orders, beside writers of one row. */
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { type DeadlockOutcome, type DeadlockWork, writeInOpposition } from './opposition.js'
import { STARTING_LINE } from './starting-line.js'
import { warm } from './warm.js'

process.once('message', async (work: DeadlockWork & { readonly url: string }) => {
  const pool = new pg.Pool({ connectionString: work.url, max: 10 })
  const db = new PrismaClient({ adapter: new PrismaPg(pool) }).$extends(concurrency())
  await warm(pool, 10)
  await db.$queryRaw`SELECT pg_advisory_lock_shared(${STARTING_LINE})::text`
  const outcome: DeadlockOutcome = await writeInOpposition(db, work)
  await db.$disconnect()
  await pool.end()
  process.send?.(outcome, () => process.exit(0))
})
