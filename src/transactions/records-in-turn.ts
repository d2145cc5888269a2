import type { Action, CallersTransaction, RecordSession, RootScope } from '../engine/records.js'
import type { Bound } from '../engine/session.js'
import type { Deadline } from '../sync/deadline.js'
import { withinDeadline } from './bounds.js'
import { inSavepoint, serializeInTransaction, shareScope } from './serialize.js'

/** A transaction of the caller's, in which it is the turn of one of our calls. */
export interface TransactionInTurn extends CallersTransaction, Pick<RecordSession, 'contained'> {}

/**
 * Runs a call of this package, made of these calls of Prisma: in its turn, where it came on the `tx` of a
 * caller's transaction.
 */
export function serialized<R>(
  scope: RootScope | CallersTransaction,
  deadline: Deadline,
  calls: readonly Action[],
  run: (scope: RootScope | TransactionInTurn) => Promise<R>,
): Promise<R> {
  return scope.inTransaction ? inPatientTurn(scope, deadline, calls, run) : run(scope)
}

/**
 * The caller is told when the deadline has passed, but the turn is kept until the call has ended: a
 * statement of it that is still under way is one of the transaction, and COMMIT must not come between
 * it and the next one. A statement on another client is none of them, and ends with its bound.
 */
export function inPatientTurn<R>(
  scope: CallersTransaction,
  deadline: Deadline,
  calls: readonly Action[],
  run: (scope: TransactionInTurn) => Promise<R>,
): Promise<R> {
  return withinDeadline(scope, { deadline, calls }, (bound) =>
    serializeInTransaction(scope.session, deadline, () => run(withSavepoints(scope, deadline, bound))),
  )
}

/** The transaction for the statements of a turn: with savepoints that keep the caller's own calls out. */
function withSavepoints(transaction: CallersTransaction, deadline: Deadline, bound: Bound): TransactionInTurn {
  const { session } = transaction
  const bounded = transaction.bounded(bound, (mark) => shareScope(session, mark))
  return {
    ...bounded,
    contained: (body) => inSavepoint(session, deadline, (inner) => body(transaction.under(inner)), bound),
  }
}
