import type { DeadlineHint } from '../errors.js'
import type { IsolationLevel } from '../prisma/client.js'
import type { Action } from '../prisma/foreign.js'
import type { RootScope, Scope } from '../prisma/scope.js'
import type { Deadline } from '../retry/deadline.js'
import { NO_TIMEOUT } from './bounded-body.js'
import { LIMITS, wholeMilliseconds } from './limits.js'

type Foreseen = Pick<Scope, 'inTransaction' | 'foreign' | 'query'>

interface OwnTransaction {
  readonly deadline: Deadline
  /** The calls of Prisma that are sent in it. */
  readonly calls: readonly Action[]
  /** The database's default unless given. */
  readonly isolationLevel?: IsolationLevel
}

/**
 * A transaction of a call's own, whose every statement the server ends at the deadline. What another
 * extension sends on another client the server cannot: it may wait for a row of this transaction.
 */
export function inOwnTransaction<R>(
  root: RootScope,
  { deadline, calls, isolationLevel }: OwnTransaction,
  work: (tx: Scope) => Promise<R>,
): Promise<R> {
  const limit = wholeMilliseconds(deadline)
  return root.transaction(
    async (tx) => {
      await tx.query(`SELECT ${LIMITS}`, limit)
      return withinDeadline(tx, deadline, calls, () => work(tx), true)
    },
    { ...(isolationLevel && { isolationLevel }), maxWait: limit, timeout: NO_TIMEOUT },
  )
}

/** Runs calls in a transaction; not past the deadline, where another extension takes part in them. */
export async function withinDeadline<R>(
  tx: Foreseen,
  deadline: Deadline,
  calls: readonly Action[],
  work: () => Promise<R>,
  isOurs = false,
): Promise<R> {
  const extension = tx.foreign(...calls)
  if (extension === undefined) return work()
  let isOver = false
  const done = work().finally(() => {
    isOver = true
  })
  done.catch(() => {}) // it may come after the deadline
  try {
    return await deadline.race(done, extension, sentElsewhere(extension))
  } catch (error) {
    // A call of several statements would go on behind the ROLLBACK, so the connection is closed.
    if (isOurs && !isOver) await tx.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => {})
    throw error
  }
}

/** The same for the one call that a method is about. On the root client, what may wait is bounded where it is sent. */
export function patient<R>(scope: Foreseen, deadline: Deadline, call: Action, run: () => Promise<R>): Promise<R> {
  return scope.inTransaction ? withinDeadline(scope, deadline, [call], run) : run()
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
