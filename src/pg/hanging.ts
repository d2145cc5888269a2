import type { SqlStatement } from '../engine/session.js'
import { SERVER } from '../retry/confirm.js'
import type { TransactionNote } from '../transactions/verify-commit.js'

/** A transaction, and the process id of its session as the driver was told it. */
export interface NotedTransaction {
  readonly note: TransactionNote
  readonly pid: unknown
}

/**
 * Ends the session of a transaction that waits for a statement which does not come, so that its locks are free.
 *
 * It can be no other session. A pooler tells the driver process ids of its own: the connection that sends this is direct
 * only if its session has the id that its driver was told. The transaction id belongs to one transaction, as long as
 * the server is the same. A transaction that commits is not ended: its COMMIT may wait for a standby, and others would
 * see what can still be lost.
 *
 * @param ownPid of the connection that sends it, as its driver was told
 */
export function endingStatement({ note: { xid, server }, pid }: NotedTransaction, ownPid: unknown): SqlStatement {
  return {
    text: `SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE pid = $1::int AND backend_xid = $2::xid8::xid AND state LIKE 'idle in transaction%'
  AND ${SERVER} = $3 AND pg_backend_pid() = $4::int`,
    values: [pid, xid, server, ownPid],
  }
}
