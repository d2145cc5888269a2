import type { Action, RecordSession, RootRecords } from '../engine/records.js'
import type { IsolationLevel } from '../engine/session.js'
import type { Deadline } from '../sync/deadline.js'
import { NO_TIMEOUT } from './bounded-body.js'
import { boundOf, withinDeadline } from './bounds.js'
import { limitsColumn, wholeMilliseconds } from './limits.js'

const LIMITS = limitsColumn({ statement: '$1::int', lock: '$1::int' })

interface OwnTransaction {
  readonly deadline: Deadline
  /** The calls of Prisma that are sent in it. */
  readonly calls: readonly Action[]
  /** The database's default unless given. */
  readonly isolationLevel?: IsolationLevel
}

/**
 * A transaction of a call's own, whose every statement the server ends at the deadline. The server cannot
 * end a statement of another extension on another client, which may wait for a row of this transaction.
 */
export function inOwnTransaction<R>(
  root: RootRecords,
  { deadline, calls, isolationLevel }: OwnTransaction,
  work: (tx: RecordSession) => Promise<R>,
): Promise<R> {
  const limit = wholeMilliseconds(deadline)
  const { events } = deadline
  const since = events?.age ?? 0
  return root.transaction(
    async (tx) => {
      events?.waitedFor('connection', events.age - since)
      await tx.rows({ text: `SELECT ${LIMITS}`, values: [limit] })
      return withinDeadline(tx, { deadline, calls, ours: tx }, () => work(tx))
    },
    boundOf(deadline),
    { ...(isolationLevel && { isolationLevel }), maxWait: limit, timeout: NO_TIMEOUT },
  )
}
