import type { Action, RecordSession } from '../engine/records.js'
import type { Bound } from '../engine/session.js'
import type { DeadlineHint } from '../errors/index.js'
import type { Deadline } from '../sync/deadline.js'

/** Ends the connection, which cannot answer then. */
export const CLOSE_CONNECTION = { text: 'SELECT pg_terminate_backend(pg_backend_pid())', values: [] }

/** The time that other extensions have in a call with this deadline. */
export interface CallBound extends Bound {
  /** The caller has been told. */
  end(reason: unknown): void
}

export function boundOf(deadline: Deadline): CallBound {
  let over: { readonly reason: unknown } | undefined
  return {
    race: (work, extension) => deadline.race(work, extension, sentElsewhere(extension)),
    check() {
      if (over) throw over.reason
    },
    end(reason) {
      over = { reason }
    },
  }
}

/** Calls of Prisma that end by a deadline. */
interface BoundedCalls {
  readonly deadline: Deadline
  readonly calls: readonly Action[]
  /** The transaction, where it is one of ours, whose connection may be closed. */
  readonly ours?: Pick<RecordSession, 'rows'>
}

/** Runs calls of Prisma; not past the deadline, where another extension takes part in them. */
export async function withinDeadline<R>(
  records: Pick<RecordSession, 'foreign'>,
  { deadline, calls, ours }: BoundedCalls,
  work: (bound: Bound) => Promise<R>,
): Promise<R> {
  const bound = boundOf(deadline)
  const extension = records.foreign(...calls)
  if (extension === undefined) return work(bound)
  let isOver = false
  const done = work(bound).finally(() => {
    isOver = true
  })
  done.catch(() => {}) // it may come after the deadline
  try {
    return await deadline.race(done, extension, sentElsewhere(extension))
  } catch (error) {
    bound.end(error)
    // A call of several statements would go on behind the ROLLBACK, so the connection is closed.
    if (ours && !isOver) await ours.rows(CLOSE_CONNECTION).catch(() => {})
    throw error
  }
}

/** The same on the root client; in a transaction, whoever waits for the turn takes care of it. */
export function patient<R>(
  records: Pick<RecordSession, 'inTransaction' | 'foreign'>,
  deadline: Deadline,
  calls: readonly Action[],
  run: () => Promise<R>,
): Promise<R> {
  return records.inTransaction ? run() : withinDeadline(records, { deadline, calls }, run)
}

function sentElsewhere(extension: string): DeadlineHint {
  return {
    hint:
      `If ${extension} sends the call on another client, it waits there for a row that the transaction of this ` +
      `call has locked, and it may still be carried out now that the transaction ends: look at the data. ` +
      `Let the extension use query(args), or call this on a client without it.`,
    mayTakeEffect: true,
  }
}
