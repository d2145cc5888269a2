/** A machine that rebuilds the index. The one of the example is stopped after its second page. */
import { isConcurrencyError } from 'prisma-extension-concurrency'
import { connect } from './database.js'
import { rebuild } from './rebuild.js'

const db = connect(process.env.DATABASE_URL ?? '')
try {
  await db.$withLease('search-index', { ttl: 5_000 }, (lease) =>
    rebuild(db, lease, async (page) => {
      if (page === 2) process.kill(process.pid, 'SIGSTOP')
    }),
  )
} catch (error) {
  if (!isConcurrencyError(error, 'LEASE_LOST')) throw error
  console.log('The first machine goes on, and is told: LEASE_LOST.')
} finally {
  await db.$disconnect()
}
