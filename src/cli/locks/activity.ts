import type { ClientBase } from 'pg'

/** A connection that holds something, or waits for it. Times are in ms, up to now. */
export interface Backend {
  readonly pid: number
  /** By which it is told from a later one with its number. */
  /** `null` where this role may not see it. */
  readonly startedAt: string | null
  readonly user: string | null
  readonly application: string | null
  readonly address: string | null
  readonly state: string | null
  readonly inState: number | null
  readonly transactionStartedAt: string | null
  readonly inTransaction: number | null
  /** The statement that runs, or that ran last. */
  readonly query: string | null
}

/** A wait for a lock. */
export interface Wait {
  readonly pid: number
  readonly waited: number | null
  /** As `pg_locks` calls it: `transactionid` and `tuple` are waits for a row. */
  readonly type: string
  readonly mode: string
  readonly relation: Relation | null
  /** The place of the row in its table, such as `(0,7)`. */
  readonly place: string | null
  /** The transaction that is waited for. */
  readonly transaction: string | null
  /** The number of an advisory lock: one of 64 bits, or two of 32. */
  readonly advisory: string | null
  /** Those that hold it, or wait for it before. 0 is a prepared transaction. */
  readonly blockers: readonly number[]
}

export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly name: string
}

/** An advisory lock that is held. */
export interface HeldAdvisory {
  readonly pid: number
  readonly number: string
  readonly mode: string
}

export interface Activity {
  readonly waits: readonly Wait[]
  readonly advisory: readonly HeldAdvisory[]
  /** All that are named in the others, and the one with the oldest open transaction. */
  readonly backends: readonly Backend[]
  readonly oldest: number | null
}

/**
 * All of it in one statement, since what is read in several is of several moments. `pg_blocking_pids` is asked for
 * waits alone: it stops the lock manager for an instant. The first one that waits for a row waits for the transaction
 * that has it, and holds the place of the row meanwhile; those behind it wait for that place.
 */
const ACTIVITY = `WITH locks AS MATERIALIZED (
  SELECT l.*, CASE WHEN l.locktype = 'advisory' THEN
    CASE l.objsubid WHEN 1 THEN (l.classid::int8 << 32 | l.objid::int8)::text ELSE format('%s, %s', l.classid, l.objid) END
  END AS number
  FROM pg_catalog.pg_locks AS l
), activity AS MATERIALIZED (
  SELECT a.*
  FROM pg_catalog.pg_stat_activity AS a
  WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
), waiting AS MATERIALIZED (
  SELECT l.pid, extract(epoch FROM clock_timestamp() - l.waitstart)::float8 * 1000 AS waited, l.locktype AS type, l.mode,
    p.relation, CASE WHEN p.tuple IS NOT NULL THEN format('(%s,%s)', p.page, p.tuple) END AS place,
    l.transactionid::text AS transaction, l.number AS advisory, pg_blocking_pids(l.pid) AS blockers
  FROM locks AS l
  JOIN activity AS a ON a.pid = l.pid
  LEFT JOIN LATERAL (
    SELECT t.relation, t.page, t.tuple
    FROM locks AS t
    WHERE t.pid = l.pid AND (NOT t.granted AND t.relation IS NOT NULL OR t.granted AND t.locktype = 'tuple' AND l.locktype = 'transactionid')
    ORDER BY t.granted
    LIMIT 1
  ) AS p ON true
  WHERE NOT l.granted
), held AS MATERIALIZED (
  SELECT l.pid, l.number, l.mode
  FROM locks AS l
  JOIN activity AS a ON a.pid = l.pid
  WHERE l.granted AND l.locktype = 'advisory'
), oldest AS MATERIALIZED (
  SELECT a.pid
  FROM activity AS a
  WHERE a.xact_start IS NOT NULL AND a.backend_type = 'client backend'
  ORDER BY a.xact_start
  LIMIT 1
)
SELECT (
  SELECT coalesce(json_agg(json_build_object('pid', w.pid, 'waited', w.waited, 'type', w.type, 'mode', w.mode,
    'relation', CASE WHEN c.oid IS NOT NULL THEN json_build_object('oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname) END,
    'place', w.place, 'transaction', w.transaction, 'advisory', w.advisory, 'blockers', w.blockers)
    ORDER BY w.waited DESC NULLS LAST, w.pid), '[]')
  FROM waiting AS w
  LEFT JOIN pg_catalog.pg_class AS c ON c.oid = w.relation
  LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
) AS waits, (
  SELECT coalesce(json_agg(h ORDER BY h.pid, h.number), '[]') FROM held AS h
) AS advisory, (
  SELECT coalesce(json_agg(json_build_object('pid', a.pid, 'startedAt', a.backend_start::text, 'user', a.usename,
    'application', nullif(a.application_name, ''), 'address', host(a.client_addr), 'state', a.state,
    'inState', extract(epoch FROM clock_timestamp() - a.state_change)::float8 * 1000,
    'transactionStartedAt', a.xact_start::text,
    'inTransaction', extract(epoch FROM clock_timestamp() - a.xact_start)::float8 * 1000,
    'query', nullif(a.query, '')) ORDER BY a.xact_start, a.pid), '[]')
  FROM activity AS a
  WHERE a.pid IN (SELECT pid FROM waiting UNION SELECT unnest(blockers) FROM waiting UNION SELECT pid FROM held UNION SELECT pid FROM oldest)
) AS backends, (
  SELECT pid FROM oldest
) AS oldest`

export async function readActivity(client: ClientBase): Promise<Activity> {
  const { rows } = await client.query<Activity>(ACTIVITY)
  return rows[0] ?? { waits: [], advisory: [], backends: [], oldest: null }
}

/** The connection of this number, of this database; `undefined` where there is none. Of another role it may show nothing. */
export async function readBackend(client: ClientBase, pid: number): Promise<Backend | undefined> {
  const { rows } = await client.query<Backend>(
    `SELECT a.pid, a.backend_start::text AS "startedAt", a.usename AS "user", nullif(a.application_name, '') AS application,
  host(a.client_addr) AS address, a.state, extract(epoch FROM clock_timestamp() - a.state_change)::float8 * 1000 AS "inState",
  a.xact_start::text AS "transactionStartedAt", extract(epoch FROM clock_timestamp() - a.xact_start)::float8 * 1000 AS "inTransaction",
  nullif(a.query, '') AS query
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid = $1 AND a.datname = current_database() AND a.pid <> pg_backend_pid() AND coalesce(a.backend_type, 'client backend') = 'client backend'`,
    [pid],
  )
  return rows[0]
}

/** How long it is waited for a connection to be gone, in ms. */
const PATIENCE = 5_000

/**
 * Ends the connection, and with it its transaction, if it is still the one that was read, in the same transaction: the
 * number may be that of another by now. `undefined` if it is not, and `false` if it was told, but is still there.
 */
export async function endBackend(client: ClientBase, backend: Backend): Promise<boolean | undefined> {
  const { rows } = await client.query<{ ended: boolean }>(
    `SELECT pg_terminate_backend(a.pid, ${PATIENCE}) AS ended
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid = $1 AND a.backend_start = $2::timestamptz AND a.xact_start IS NOT DISTINCT FROM $3::timestamptz`,
    [backend.pid, backend.startedAt, backend.transactionStartedAt],
  )
  return rows[0]?.ended
}
