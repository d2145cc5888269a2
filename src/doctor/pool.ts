import type { ClientSetup } from '../engine/setup.js'
import type { Finding } from '../errors/index.js'
import type { ServerFacts } from './facts.js'

/** The facts about a pooler in front of the server that only the driver can tell. */
export interface PoolerFacts {
  /** `transaction`: two statements of one connection can be on two sessions of the server. */
  readonly mode: 'none' | 'session' | 'transaction'
  /** Whether a statement that one session has prepared by a name is unknown to the next one. */
  readonly losesNames: boolean
}

type PoolSetup = Pick<ClientSetup, 'connections' | 'options' | 'namesStatements'>

/** The pool of the client, and a pooler in front of the server. */
export function checkPool(
  setup: PoolSetup,
  server: Pick<ServerFacts, 'connectionAge'>,
  pooler: PoolerFacts | undefined,
): Finding[] {
  return [...checkSize(setup), ...checkPooler(setup, server, pooler)]
}

/** As in `concurrency()`. */
const DEFAULT_MAX_WAITING = 5

function checkSize({ connections, options }: PoolSetup): Finding[] {
  const most = options.lock?.maxWaiting ?? DEFAULT_MAX_WAITING
  if (connections === undefined || 2 * most <= connections) return []
  const isAll = most >= connections
  return [
    {
      severity: isAll ? 'error' : 'warning',
      code: 'POOL_TOO_SMALL',
      where: 'the pool of the client',
      what: `The pool has ${count(connections)}, and ${most} callers may wait for locks in the database, each on one (lock.maxWaiting)`,
      cost: isAll
        ? 'While other processes hold locks that this one waits for, it has no connection for anything else: every call of it stands still'
        : 'While other processes hold locks that this one waits for, most of its connections stand still',
      sql: undefined,
    },
  ]
}

const count = (connections: number) => (connections === 1 ? 'one connection' : `${connections} connections`)

function checkPooler(
  { namesStatements }: PoolSetup,
  { connectionAge }: Pick<ServerFacts, 'connectionAge'>,
  pooler: PoolerFacts | undefined,
): Finding[] {
  const where = 'the connection'
  const isProven = pooler ? pooler.mode !== 'none' : connectionAge > performance.now() + CLOCKS
  if (!isProven) return []
  const isShared = pooler?.mode === 'transaction'
  if (namesStatements && pooler?.mode !== 'session' && pooler?.losesNames !== false) {
    const what = `There is a pooler in front of the server${isShared ? ', in transaction mode' : ''}, and the adapter of the client names its statements (statementNameGenerator)`
    const cost = 'Calls fail with "prepared statement does not exist", now and then, and more often under load'
    return [{ severity: isShared ? 'error' : 'warning', code: 'NAMED_STATEMENTS', where, what, cost, sql: undefined }]
  }
  const what = isShared
    ? 'There is a pooler in front of the server, in transaction mode'
    : 'There is a pooler in front of the server'
  const cost = 'None: measure lock.maxWaiting by the pool of the pooler, and keep nothing in a session'
  return [{ severity: 'info', code: 'POOLER', where, what, cost, sql: undefined }]
}

/** A connection that is so much older than the process was not opened by it, in ms. */
const CLOCKS = 1_000
