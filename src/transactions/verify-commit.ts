import { type RootSession, rowOf } from '../engine/session.js'
import { isServerAway } from '../retry/ambiguous-outcome.js'
import { SERVER } from '../retry/confirm.js'
import type { Deadline } from '../sync/deadline.js'

/**
 * The identity of a transaction to the server that ran it.
 *
 * The id alone is no proof: after a crash or a failover the same number can belong to another
 * transaction. A promotion begins a new timeline, and crash recovery resets the statistics, so
 * with both as they were, the id still means what it meant (PostgreSQL manual, "26.3.5.
 * Timelines", and "27.2. The Cumulative Statistics System").
 */
export interface TransactionNote {
  readonly xid: string
  /** Timeline and recovery. In one column, since each costs the client 4 µs. */
  readonly server: string
}

/** Columns that note the transaction: those of a `TransactionNote`. */
export const NOTE = `pg_current_xact_id()::text AS xid,
  ${SERVER} AS server`

/**
 * Asks what became of a transaction whose COMMIT was not answered. While it is still under way, or
 * the server is away, it is asked again until the deadline, or until the caller gives up: neither
 * of them says what became of it.
 */
export async function outcomeOf(
  note: TransactionNote,
  session: RootSession,
  deadline: Deadline,
): Promise<'committed' | 'aborted' | 'unknown'> {
  try {
    for (let attempt = 1; ; attempt++) {
      deadline.check('the outcome of a transaction')
      const status = await deadline.race(ask(note, session.until(deadline)), 'the outcome of a transaction')
      if (status !== 'again') return status
      await deadline.sleep(Math.min(250, 5 * 2 ** attempt))
    }
  } catch {
    return 'unknown'
  }
}

async function ask({ xid, server }: TransactionNote, session: RootSession) {
  try {
    const text = `SELECT pg_xact_status($1::xid8) AS status,
  ${SERVER} AS server`
    const row = await rowOf<{ status: string | null; server: string }>(session, { text, values: [xid] })
    if (row.server !== server) return 'unknown'
    if (row.status === 'in progress') return 'again'
    return row.status === 'committed' || row.status === 'aborted' ? row.status : 'unknown'
  } catch (error) {
    // Anything else, such as an id that the server has not got to (yet), is no answer.
    return isServerAway(error) ? 'again' : 'unknown'
  }
}
