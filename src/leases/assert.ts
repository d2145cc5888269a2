import type { TransactionSession } from '../engine/session.js'
import { LeaseLostError } from '../errors/index.js'
import { type CallEvents, timed } from '../events/call-events.js'
import { isWritten } from '../sql/refusal.js'
import { systemClock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import { serializeInTransaction } from '../transactions/serialize.js'
import { HeldLease } from './held-lease.js'
import type { LeaseMap } from './mapping.js'
import type { GivenFence } from './methods.js'
import { assertStatement } from './statements.js'

interface AssertCall {
  /** The caller's own object. */
  readonly lease: object
  readonly fence: GivenFence
  readonly limit: number
  /** How long it waits for other calls of the transaction, in ms. */
  readonly timeout: number
  readonly events: CallEvents | undefined
}

/** `$assertLease` */
export async function assertLease(
  tx: TransactionSession,
  map: LeaseMap,
  { lease, fence, limit, timeout, events }: AssertCall,
): Promise<void> {
  const deadline = new Deadline(timeout, undefined, systemClock)
  events?.begin(deadline, fence.name)
  const isHeld = await serializeInTransaction(tx, deadline, () =>
    isWritten(timed(events, 'row', () => tx.rows(assertStatement(map, fence, { isProven: fence.isProven, limit })))),
  )
  if (isHeld) return
  if (lease instanceof HeldLease) lease.lose('taken') // unless it was lost, or over, before
  const { reason } = (lease instanceof HeldLease && lease.lost) || { reason: 'taken' as const }
  throw new LeaseLostError(fence.name, fence.token, reason)
}
