import { setTimeout as sleep } from 'node:timers/promises'
import { openConnection } from './connection.js'

/** Waits until a request of the stock waits for a lock by itself: its batch has given up, and was taken apart. */
export async function untilPatient(url: string): Promise<void> {
  const observer = await openConnection(url)
  for (;;) {
    const { rowCount } = await observer.query(
      `SELECT FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0 AND query NOT LIKE '%lock_timeout%'`,
    )
    if (rowCount !== 0) break
    await sleep(5)
  }
}
