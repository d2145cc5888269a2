import { untilBlocked as untilBlockedWithin } from '../../src/testing/until-blocked.js'
import { openConnection } from './connection.js'

const PATIENCE = 100_000

/** Waits until this many sessions of the database really wait for a lock that another one holds. */
export async function untilBlocked(url: string, sessions = 1): Promise<void> {
  await untilBlockedWithin(url, { sessions, timeout: PATIENCE })
}

/** Ends the sessions of clients that wait for a lock, as an administrator does, once there is one. */
export async function endBlocked(url: string): Promise<void> {
  const connection = await openConnection(url)
  for (let ended = false; !ended; ) {
    const blocked = await untilBlockedWithin(url, { timeout: PATIENCE })
    // One of them may have got its lock meanwhile, and another call be between two waits.
    const { rows } = await connection.query<{ ended: boolean }>(
      'SELECT bool_or(pg_terminate_backend(pid)) AS ended FROM unnest($1::int[]) AS pid',
      [blocked.map(({ pid }) => pid)],
    )
    ended = rows[0]?.ended ?? false
  }
}
