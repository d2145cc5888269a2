import type { TransactionSession } from '../engine/session.js'
import { LONGEST_TIMER } from '../retry/policy.js'
import type { Deadline } from '../sync/deadline.js'
import { boundOf } from './bounds.js'
import { CALLS_FROM_INSIDE } from './hints.js'
import { closeConnection } from './serialize.js'

/**
 * Prisma's own timeout for a transaction whose every statement is limited by the server.
 *
 * Prisma's timeout sends a ROLLBACK as soon as the running statement is through. A call with nested
 * writes is several statements: those still to come then follow the ROLLBACK on the same connection,
 * and are committed one by one, outside the transaction. So it must not come in the middle of one.
 */
export const NO_TIMEOUT = LONGEST_TIMER

/** Prisma's own timeout, in ms, for a body that is given `limit`: late enough for ours to come first. */
export function timeoutBehind(limit: number): number {
  return Math.min(LONGEST_TIMER, Math.ceil(limit) + 1_000)
}

/**
 * Runs the body until the deadline, or the caller's signal. The body's own signal is aborted when
 * the transaction is over, for whatever reason; from then on nothing that it still writes gets
 * through: if it still runs, the connection is closed, which is more than a ROLLBACK (see above).
 */
export async function boundedBody<R>(
  tx: TransactionSession,
  deadline: Deadline,
  waitedFor: string,
  body: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const over = new AbortController()
  let hasSettled = false
  const settle = () => {
    hasSettled = true
  }
  const work = tx.keepingCalls(async () => body(over.signal), boundOf(deadline))
  work.then(settle, settle)
  try {
    return await deadline.race(work, waitedFor, CALLS_FROM_INSIDE)
  } catch (error) {
    over.abort(error)
    if (!hasSettled) await closeConnection(tx)
    throw error
  } finally {
    over.abort()
  }
}

/** Runs the body with a signal that is aborted with the caller's own, and when the body is through. */
export async function untilOver<R>(
  signal: AbortSignal | undefined,
  body: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const over = new AbortController()
  const onAbort = () => over.abort(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort)
  try {
    return await body(over.signal)
  } finally {
    signal?.removeEventListener('abort', onAbort)
    over.abort()
  }
}
