/** The common part of the two contenders with `$withLease`: the same lease, and rows that are written under it. */
import { concurrency } from '../../dist/index.js'
import { type Lease, leases } from '../../dist/work.js'
import type { Environment, Rows, Session } from '../contender.js'
import { LEASE } from './lock.js'
import { PATIENCE } from './patience.js'
import { createPrisma } from './prisma-client.js'

const createWorker = (env: Environment) => createPrisma(env).$extends(concurrency()).$extends(leases())
export type Worker = ReturnType<typeof createWorker>

/** @param rowsUnder the rows as they are read and written while the lease is held */
export function leaseSession(env: Environment, rowsUnder: (db: Worker, lease: Lease) => Rows): Session {
  const db = createWorker(env)
  const critical = async (key: string, body: (rows: Rows) => Promise<void>) => {
    await db.$withLease(key, { ttl: LEASE, wait: PATIENCE }, (lease) => body(rowsUnder(db, lease)))
    return { retries: 0 }
  }
  return {
    critical,
    readChangeWrite: (itemId) =>
      critical(`item-${itemId}`, async (rows) => rows.write(itemId, (await rows.read(itemId)) + 1)),
    close: () => db.$disconnect(),
  }
}
