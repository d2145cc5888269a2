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

/** The limits of a transaction that has none, in ms. */
const DEFAULT_LIMIT = 60_000

interface AssertCall {
  /** The caller's own object. */
  readonly lease: object
  readonly fence: GivenFence
  readonly limit?: number | undefined
  /** How long it waits for other calls of the transaction, in ms. */
  readonly timeout: number
  readonly events: CallEvents | undefined
}

/** `$assertLease` */
export async function assertLease(
  tx: TransactionSession,
  map: LeaseMap,
  { lease, fence, limit = DEFAULT_LIMIT, timeout, events }: AssertCall,
): Promise<void> {
  const deadline = new Deadline(timeout, undefined, systemClock)
  events?.begin(deadline, fence.name)
  const statement = assertStatement(map, fence, { isProven: fence.isProven, limit })
  // It is lost in the turn of the call, so that the end of the body knows of it: the server would take COMMIT for ROLLBACK.
  await serializeInTransaction(tx, deadline, async () => {
    if (await isWritten(timed(events, 'row', () => tx.rows(statement)))) return
    if (lease instanceof HeldLease) lease.lose('taken') // unless it was lost, or over, before
    const { reason } = (lease instanceof HeldLease && lease.lost) || { reason: 'taken' as const }
    throw new LeaseLostError(fence.name, fence.token, reason)
  })
}
