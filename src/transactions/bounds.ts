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
  /** Whether the transaction is one of ours, whose connection may be closed. */
  readonly isOurs?: boolean
}

/** Runs calls of Prisma; not past the deadline, where another extension takes part in them. */
export async function withinDeadline<R>(
  scope: Pick<RecordSession, 'foreign' | 'rows'>,
  { deadline, calls, isOurs = false }: BoundedCalls,
  work: (bound: Bound) => Promise<R>,
): Promise<R> {
  const bound = boundOf(deadline)
  const extension = scope.foreign(...calls)
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
    if (isOurs && !isOver) await scope.rows(CLOSE_CONNECTION).catch(() => {})
    throw error
  }
}

/** The same on the root client; in a transaction, whoever waits for the turn takes care of it. */
export function patient<R>(
  scope: Pick<RecordSession, 'inTransaction' | 'foreign' | 'rows'>,
  deadline: Deadline,
  calls: readonly Action[],
  run: () => Promise<R>,
): Promise<R> {
  return scope.inTransaction ? run() : withinDeadline(scope, { deadline, calls }, run)
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
