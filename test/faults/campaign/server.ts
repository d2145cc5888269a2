import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Chance } from '../../support/fuzz/chance.js'
import type { Server } from '../../support/server.js'

/** Of all servers. */
export const SETTINGS = {
  // A commit is with the operating system before it is acknowledged: a process that is killed takes none of it along.
  synchronous_commit: 'on',
  deadlock_timeout: '200ms',
  jit: 'off',
}

type Rows = Record<string, unknown>[]

/** Runs SQL on a connection of its own, past every fault, and again while the server is down. */
export async function query(url: string, sql: string, values: unknown[] = [], attempts = 200): Promise<Rows> {
  for (let attempt = 1; ; attempt++) {
    // The limits of a DBA are for the workers.
    const options = '-c statement_timeout=0 -c lock_timeout=0'
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000, options })
    client.on('error', () => {})
    try {
      await client.connect()
      return (await client.query(sql, values)).rows
    } catch (error) {
      const isStatements = error instanceof Error && 'severity' in error && error.severity === 'ERROR'
      if (isStatements || attempt === attempts) throw error
      await sleep(50)
    } finally {
      await client.end().catch(() => {})
    }
  }
}

const OTHERS = 'pid <> pg_backend_pid() AND datname = current_database()'

/** A fault of the server. Resolves when it is over. */
export type ServerFault = (server: Server, url: string, chance: Chance) => Promise<void>

/** A backend or two are ended by the administrator. */
const terminate: ServerFault = async (_, url, chance) => {
  const count = 1 + chance.below(3)
  await query(
    url,
    `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE ${OTHERS} ORDER BY backend_start LIMIT ${count}) AS b`,
  )
}

/** A backend is killed: the server ends all others, and recovers. */
const crash: ServerFault = async (_, url) => {
  const [row] = await query(url, `SELECT pid FROM pg_stat_activity WHERE ${OTHERS} LIMIT 1`)
  if (row) kill(Number(row.pid), 'SIGKILL')
}

/** The server is shut down at once, without a checkpoint, and started again. */
const restart: ServerFault = async (server, _, chance) => {
  await server.restart(chance.below(2) === 0 ? 'SIGQUIT' : 'SIGINT')
}

/** All backends stand still for a while. */
const freeze: ServerFault = async (_, url, chance) => {
  const backends = await query(url, `SELECT pid FROM pg_stat_activity WHERE ${OTHERS}`)
  const pids = backends.map(({ pid }) => Number(pid))
  for (const pid of pids) kill(pid, 'SIGSTOP')
  await sleep(100 + chance.below(1_500))
  for (const pid of pids) kill(pid, 'SIGCONT')
}

/** A stranger holds rows that everybody wants. */
const hold: ServerFault = async (_, url, chance) => {
  const table = chance.pick(['"Stock"', '"Product"', '"Series"', '"every thing"'])
  await query(
    url,
    `BEGIN; SELECT FROM (SELECT FROM ${table} LIMIT 3 FOR UPDATE) AS r, pg_sleep(${chance.below(15) / 10}); COMMIT`,
  ).catch(() => {})
}

export const SERVER_FAULTS: readonly ServerFault[] = [terminate, terminate, crash, restart, freeze, hold, hold]

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // it has ended meanwhile
  }
}

/** Settings of a DBA, for all sessions of a database. One of them for each round. */
export const DBA_SETTINGS: readonly Readonly<Record<string, string>>[] = [
  {},
  { lock_timeout: '300ms' },
  { default_transaction_isolation: 'serializable' },
  { statement_timeout: '1s' },
  { idle_in_transaction_session_timeout: '1s' },
  { default_transaction_isolation: 'repeatable read' },
]
