import { isConnectionLost } from '../engine/error-facts.js'
import type { CallEvents } from '../events/call-events.js'

/** The body of `$withAdvisoryLock`. The token comes last, where it was asked for. */
export type LockedBody<R> = (tx: object, signal: AbortSignal, ...token: bigint[]) => Promise<R>

/** Tells when the transaction that holds the lock ends under the body: out of time, aborted, or cut off. */
export async function tellingLoss<R>(
  events: CallEvents | undefined,
  body: LockedBody<R>,
  run: (body: LockedBody<R>) => Promise<R>,
): Promise<R> {
  if (events === undefined) return run(body)
  const since = events.age
  let isRunning = true
  const ending: LockedBody<R> = async (...given) => {
    try {
      return await body(...given)
    } finally {
      isRunning = false
    }
  }
  try {
    return await run(ending)
  } catch (error) {
    if (isRunning || isConnectionLost(error)) events.tell({ type: 'lock-lost', ms: events.age - since })
    throw error
  }
}
