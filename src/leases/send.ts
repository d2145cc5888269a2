import type { RootSession, Row, SqlStatement } from '../engine/session.js'
import type { Deadline } from '../sync/deadline.js'

/**
 * Sends a statement that is waited for until the deadline, and no grace longer: a lease counts its own time. A later answer
 * is for nobody, and the connection counts as lost.
 */
export function rowsWithin<R extends object = Row>(
  session: RootSession,
  statement: SqlStatement,
  deadline: Deadline,
): Promise<R[]> {
  const limited = session.until({
    race: (work, waitedFor) => deadline.race(work, waitedFor),
    answered: (send) => deadline.race(send(), 'the database', { isUnanswered: true }),
    committed: (open, body) => open(body),
  })
  return limited.rows<R>(statement)
}
