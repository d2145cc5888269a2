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

/** How often it looks, in ms: at one server, and at all nodes of a cluster, each by a connection of its own. */
const INTERVAL = 5
const INTERVAL_OF_NODES = 50

/** How long it looks, unless told otherwise, in ms. */
const PATIENCE = 10_000

/**
 * Waits until a session of the database really waits for a lock that another one holds. A test that goes on then knows
 * where the other call stands. On Citus it looks at all nodes: a session is that of the client, also where it waits on a
 * worker.
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
    const nodes = await nodesOf(client)
    for (;;) {
      const rows = await nodes.blocked()
      const counted = pid === undefined ? rows : rows.filter((session) => session.pid === pid)
      if (counted.length >= sessions) return counted
      if (performance.now() >= end) throw new Error(await tooFew(client, counted.length, options))
      await sleep(nodes.interval)
    }
  } finally {
    await client.end()
  }
}

const BLOCKED = `SELECT pid, pg_blocking_pids(pid) AS "blockedBy", query
FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`

/** On a node of a cluster. A session that the coordinator has there is that of its client, whose process id is in its global one. */
const BLOCKED_ON_NODE = `WITH client AS MATERIALIZED (
  SELECT process_id AS pid, (global_pid % 10000000000)::int AS client FROM get_all_active_transactions() WHERE global_pid <> 0
), session AS MATERIALIZED (
  SELECT a.pid, pg_blocking_pids(a.pid) AS blocking, a.query FROM pg_stat_activity AS a WHERE a.datname = current_database()
)
SELECT coalesce(jsonb_agg(jsonb_build_object('pid', coalesce(c.client, s.pid), 'query', s.query, 'blockedBy', ARRAY(
  SELECT coalesce(c.client, b.pid) FROM unnest(s.blocking) AS b(pid) LEFT JOIN client AS c ON c.pid = b.pid
))), '[]')
FROM session AS s LEFT JOIN client AS c ON c.pid = s.pid
WHERE cardinality(s.blocking) > 0`

const BLOCKED_ON_NODES = `SELECT DISTINCT ON (session.pid) session.*
FROM run_command_on_all_nodes($1) AS node, jsonb_to_recordset(node.result::jsonb) AS session(pid int, "blockedBy" int[], query text)
WHERE node.success
ORDER BY session.pid`

/** How the sessions of the database are looked at. */
async function nodesOf(client: pg.Client) {
  const { rows } = await client.query<{ isCitus: boolean }>(
    `SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL AS "isCitus"`,
  )
  const [sql, values, interval] = rows[0]?.isCitus
    ? [BLOCKED_ON_NODES, [BLOCKED_ON_NODE], INTERVAL_OF_NODES]
    : [BLOCKED, [], INTERVAL]
  return { interval, blocked: async () => (await client.query<BlockedSession>(sql, values)).rows }
}

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
