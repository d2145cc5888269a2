import { LeaseLostError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { Deadline } from '../sync/deadline.js'
import { Acquisition, type Place } from './acquire.js'
import { HeldLease } from './held-lease.js'
import { rowsWithin } from './send.js'
import { type Claim, releaseStatement } from './statements.js'
import type { Lease } from './types.js'

export interface HoldCall {
  readonly name: string
  readonly ttl: number
  readonly wait: number
  readonly signal: AbortSignal | undefined
  readonly events: CallEvents | undefined
}

/** How long the end of a call waits for the lease to be given back, in ms, and how often it is tried. */
const RELEASE = 2_000
const RELEASES = 2

/** `$withLease`: takes the lease, runs the body, and gives it back. */
export async function hold<R>(place: Place, call: HoldCall, body: (lease: Lease) => Promise<R>): Promise<R> {
  const { name, ttl, wait, signal, events } = call
  const claim: Claim = { name, ttl, holder: crypto.randomUUID() }
  const deadline = new Deadline(wait, signal, place.clock)
  events?.begin(deadline, name)
  const taken = await new Acquisition(place, claim, deadline).take()
  const since = events?.age ?? 0
  events?.tell({ type: 'lock-acquired', ms: since })
  const lease = new HeldLease(place, claim, taken, () => {
    events?.tell({ type: 'lock-lost', ms: events.age - since })
  })
  const onAbort = () => lease.stop(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort)
  let isDone = false
  try {
    const result = await body(lease)
    isDone = lease.lost === undefined
    if (lease.lost) throw lease.lost
    return result
  } catch (error) {
    throw lostBy(lease, error)
  } finally {
    signal?.removeEventListener('abort', onAbort)
    lease.close()
    await giveBack(place, claim, isDone)
  }
}

/** The caller has to hear that the lease was lost, whatever the body threw then. */
function lostBy({ lost }: HeldLease, error: unknown): unknown {
  if (lost === undefined || error === lost) return error
  return new LeaseLostError(lost.lease, lost.token, lost.reason, { cause: error })
}

/** A lease that cannot be given back, since the server is away, ends by itself. */
async function giveBack({ session, map, clock }: Place, claim: Claim, isDone: boolean): Promise<void> {
  for (let attempt = 1; attempt <= RELEASES; attempt++) {
    try {
      await rowsWithin(session, releaseStatement(map, claim, isDone), new Deadline(RELEASE, undefined, clock))
      return
    } catch {
      await new Deadline(RELEASE / 10, undefined, clock).sleep(RELEASE / 10)
    }
  }
}
