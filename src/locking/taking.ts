import type { TransactionSession } from '../engine/session.js'
import { type CallEvents, timed } from '../events/call-events.js'
import type { Deadline } from '../sync/deadline.js'
import type { LockMode } from '../sync/keyed-lock.js'
import { wholeMilliseconds } from '../transactions/limits.js'
import type { TransactionNote } from '../transactions/verify-commit.js'
import type { Opening } from '../transactions/with-retry.js'
import { type AdvisoryLocks, LOCK_LIMIT_BEFORE, type LockStatement } from './acquire.js'
import { limitsOfBody, limitWait } from './limits.js'

/** Thrown where a lock is not free. */
export const NOT_FREE = Symbol('not free')

/** The locks that a transaction is to begin with. */
interface Wanted {
  readonly keys: readonly string[]
  readonly call: {
    readonly mode: LockMode
    readonly bodyTimeout: number
    readonly events: CallEvents | undefined
  }
  /** Until when they are waited for. */
  readonly deadline: Deadline
}

/** Begins the transaction: it is noted, the locks are taken if they are free, and what comes after is limited to the body's time. */
export function trying(locks: AdvisoryLocks, { keys, call }: Wanted, note: string | undefined): Opening {
  const limits = limitsOfBody(call.bodyTimeout)
  const acquisition = locks.prepare({ keys, mode: call.mode, snapshot: 'refuse' }, { waits: false, note, limits })
  const run = async (tx: TransactionSession) => {
    const noted = await locks.acquire<TransactionNote>(tx, acquisition)
    if (!noted.isTaken) throw NOT_FREE // rolls back, and so gives back what was taken
    return () => noted
  }
  return { first: acquisition.statement, run }
}

/**
 * The same, and the locks are waited for; then `stopWaiting` is called. How long they are waited for is known only when
 * there is a connection, so nothing of it goes together with BEGIN.
 */
export function waiting(
  locks: AdvisoryLocks,
  { keys, call, deadline }: Wanted,
  note: string | undefined,
  stopWaiting: () => void,
): Opening {
  const acquire = (tx: TransactionSession, statement: LockStatement) => {
    const acquisition = locks.prepare({ keys, mode: call.mode, snapshot: 'refuse' }, statement)
    return timed(call.events, 'advisory', () => locks.acquire<TransactionNote>(tx, acquisition))
  }
  const run = async (tx: TransactionSession) => {
    const waits = wholeMilliseconds(deadline)
    if (locks.limitsItself(keys)) {
      const noted = await acquire(tx, { waits, note, limits: limitsOfBody(call.bodyTimeout, LOCK_LIMIT_BEFORE) })
      stopWaiting()
      return () => noted
    }
    const before = await limitWait(tx, waits, note)
    await acquire(tx, { waits: true, limits: limitsOfBody(call.bodyTimeout, before) })
    stopWaiting()
    return () => before
  }
  return { first: undefined, run }
}
