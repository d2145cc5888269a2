import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

export interface UntilBlockedOptions {
  /** How many sessions must wait. Default 1. */
  readonly sessions?: number
  /** Only this session counts, by its process id. */
  readonly pid?: number
  /** How long to wait for that, in ms. Default 10,000. */
  readonly timeout?: number
}

/** A session that waits for a lock. */
export interface BlockedSession {
  readonly pid: number
  /** The sessions that it waits for. */
  readonly blockedBy: readonly number[]
  /** The statement that waits. */
  readonly query: string
}

/** How often it looks, in ms. */
const INTERVAL = 5

/** How long it looks, unless told otherwise, in ms. */
const PATIENCE = 10_000

/**
 * Waits until a session of the database really waits for a lock that another one holds. A test that goes on then knows
 * where the other call stands.
 *
 * @returns the sessions that wait
 * @throws Error if there are too few of them in time; it names what the sessions of the database do
 */
export async function untilBlocked(url: string, options: UntilBlockedOptions = {}): Promise<BlockedSession[]> {
  const { sessions = 1, pid, timeout = PATIENCE } = options
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    const end = performance.now() + timeout
    for (;;) {
      const { rows } = await client.query<BlockedSession>(BLOCKED)
      const counted = pid === undefined ? rows : rows.filter((session) => session.pid === pid)
      if (counted.length >= sessions) return counted
      if (performance.now() >= end) throw new Error(await tooFew(client, counted.length, options))
      await sleep(INTERVAL)
    }
  } finally {
    await client.end()
  }
}

const BLOCKED = `SELECT pid, pg_blocking_pids(pid) AS "blockedBy", query
FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`

const ACTIVITY = `SELECT concat_ws(' ', pid, state, left(query, 100)) AS line
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
ORDER BY pid`

async function tooFew(client: pg.Client, found: number, options: UntilBlockedOptions): Promise<string> {
  const { sessions = 1, pid, timeout = PATIENCE } = options
  const { rows } = await client.query<{ line: string }>(ACTIVITY)
  const wanted =
    pid === undefined
      ? `${found} sessions wait for a lock, and not ${sessions}`
      : `The session ${pid} waits for no lock`
  return `${wanted}, after ${timeout} ms. The sessions of the database:\n${rows.map(({ line }) => `  ${line}`).join('\n')}`
}
