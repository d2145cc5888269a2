import { setTimeout } from 'node:timers/promises'
import type { Pool, PoolClient } from 'pg'
import type { PoolerFacts } from '../doctor/pool.js'
import { sqlState } from '../engine/error-facts.js'

/**
 * Whether a pooler is in front of the server, and how it behaves.
 *
 * The server tells each connection the number of its process when that begins. A pooler makes one up, as it has many
 * connections on one process. In transaction mode it gives the process of an idle connection to the next transaction:
 * while that runs, the first connection finds itself on another process, which knows nothing of what it has prepared.
 */
export async function readPooler(pool: Pool): Promise<PoolerFacts> {
  const one = await pool.connect()
  try {
    const pid = await pidOf(one)
    if (!hasPid(one) || one.processID === pid) return { mode: 'none', losesNames: false }
    const other = await pool.connect()
    try {
      const named = { name: 'concurrency_probe', text: 'SELECT pg_backend_pid() AS pid' }
      const before = (await one.query<{ pid: number }>(named)).rows[0]?.pid
      await other.query('BEGIN')
      const taken = await pidOf(other)
      const answer = one.query<{ pid: number }>(named).catch(failure)
      // Where the transaction has the only process that is free, the answer comes after it.
      await Promise.race([answer, setTimeout(PATIENCE)])
      await other.query('ROLLBACK')
      const after = await answer
      if (after instanceof Error) {
        const state = sqlState(after)
        if (state !== '26000' && state !== '42P05') throw after
        return { mode: 'transaction', losesNames: true }
      }
      const isShared = taken === before || after.rows[0]?.pid !== before
      return { mode: isShared ? 'transaction' : 'session', losesNames: false }
    } finally {
      other.release(true)
    }
  } finally {
    one.release(true)
  }
}

/** How long a process that is free takes to answer at most, in ms. */
const PATIENCE = 1_000

const failure = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))

/** The driver has it, and its types do not. */
function hasPid(client: PoolClient): client is PoolClient & { readonly processID: number } {
  return 'processID' in client && typeof client.processID === 'number'
}

async function pidOf(client: PoolClient): Promise<number | undefined> {
  return (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid
}
