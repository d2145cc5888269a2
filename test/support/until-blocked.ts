import { setTimeout as sleep } from 'node:timers/promises'
import { openConnection } from './connection.js'

/** Waits until this many sessions of the database really wait for a lock that another one holds. */
export async function untilBlocked(url: string, sessions = 1): Promise<void> {
  const observer = await openConnection(url)
  for (;;) {
    const { rows } = await observer.query(
      `SELECT count(*)::int AS blocked
FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`,
    )
    if (rows[0].blocked >= sessions) break
    await sleep(5)
  }
}
