import type { Action, CallersTransaction, RootRecords, TransactionRecords } from '../engine/records.js'
import type { Deadline } from '../sync/deadline.js'
import { withinDeadline } from './bounds.js'
import { inSavepoint, serializeInTransaction, shareScope } from './serialize.js'
import type { Body } from './transaction-scope.js'

/**
 * Runs a call of this package, made of these calls of Prisma: in its turn, where it came on the `tx` of a
 * caller's transaction.
 */
export function serialized<R>(
  records: RootRecords | CallersTransaction,
  deadline: Deadline,
  calls: readonly Action[],
  run: (records: RootRecords | TransactionRecords) => Promise<R>,
): Promise<R> {
  return records.inTransaction ? inPatientTurn(records, deadline, calls, run) : run(records.until(deadline))
}

/**
 * The caller is told when the deadline has passed, but the turn is kept until the call has ended: a
 * statement of it that is still under way is one of the transaction, and COMMIT must not come between
 * it and the next one. A statement on another client is none of them, and ends with its bound.
 *
 * Its savepoints keep the caller's own calls out.
 */
export function inPatientTurn<R>(
  transaction: CallersTransaction,
  deadline: Deadline,
  calls: readonly Action[],
  run: (records: TransactionRecords) => Promise<R>,
): Promise<R> {
  const { session } = transaction
  return withinDeadline(transaction, { deadline, calls }, (bound) => {
    const turn = {
      bound,
      onMark: (mark: object) => shareScope(session, mark),
      savepoint: <S>(body: Body<S>) => inSavepoint(session, deadline, body, bound),
    }
    return serializeInTransaction(session, deadline, () => run(transaction.inTurn(turn)))
  })
}
