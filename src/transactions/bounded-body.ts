import type { TransactionSession } from '../engine/session.js'
import { limitReached } from '../retry/loop.js'
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

/** The reason of every signal whose body was not cut short: to make one for each would cost 5 µs. */
const OVER = new DOMException('This operation was aborted', 'AbortError')

/** The end of a body. Its signal is made when it is asked for, since it costs 10 µs. */
export class BodyEnd {
  #controller: AbortController | undefined
  #end: { readonly reason: unknown } | undefined

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#end) this.#controller.abort(this.#end.reason)
    }
    return this.#controller.signal
  }

  /** Throws the reason if the body is over. */
  check(): void {
    if (this.#end) throw this.#end.reason
  }

  /** The body is over, for this reason. Only the first one counts. */
  come(reason: unknown = OVER): void {
    this.#end ??= { reason }
    this.#controller?.abort(this.#end.reason)
  }
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
  body: (end: BodyEnd) => Promise<R>,
): Promise<R> {
  const end = new BodyEnd()
  let hasSettled = false
  const work = tx.keepingCalls(async () => {
    try {
      return await body(end)
    } finally {
      hasSettled = true
    }
  }, boundOf(deadline))
  try {
    return await deadline.race(work, waitedFor, CALLS_FROM_INSIDE)
  } catch (given) {
    // The server's limit of a statement is as long, and may come first.
    const error = deadline.passed() ? limitReached(given, deadline, waitedFor) : given
    end.come(error)
    if (!hasSettled) await closeConnection(tx)
    throw error
  } finally {
    end.come()
  }
}

/** Runs the body with an end that comes with the caller's own signal, and when the body is through. */
export async function untilOver<R>(signal: AbortSignal | undefined, body: (end: BodyEnd) => Promise<R>): Promise<R> {
  const end = new BodyEnd()
  const onAbort = () => end.come(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort)
  try {
    return await body(end)
  } finally {
    signal?.removeEventListener('abort', onAbort)
    end.come()
  }
}
