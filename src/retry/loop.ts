import { DeadlineExceededError, isConcurrencyError } from '../errors/index.js'
import type { Deadline } from '../sync/deadline.js'
import { backoff } from './backoff.js'
import type { ResolvedPolicy } from './policy.js'

/**
 * Runs `work` until it succeeds, fails in a way that is not worth another try, or the policy
 * gives up; then throws the last error itself, with the number of `attempts` on it.
 */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  policy: ResolvedPolicy,
  deadline: Deadline,
  isRetryable: (error: unknown) => boolean,
): Promise<T> {
  let last: unknown
  for (let attempt = 1; ; attempt++) {
    deadline.signal?.throwIfAborted()
    try {
      return await work(attempt)
    } catch (error) {
      const { events } = deadline
      events?.failed(error, attempt)
      if (!isRetryable(error)) {
        // That time is up is not worth telling where there is a reason why it took so long.
        const isLate = isConcurrencyError(error, 'DEADLINE_EXCEEDED') && !error.mayTakeEffect
        if (attempt > 1 && isLate) {
          events?.rejected(error)
          throw withAttempts(last, attempt)
        }
        throw attempt === 1 ? error : withAttempts(error, attempt)
      }
      if (attempt >= policy.attempts) throw withAttempts(error, attempt)
      const delay = backoff(attempt, policy, deadline.clock)
      const reachesDeadline = delay >= deadline.left() // a timer may fire early, so it is not asked afterwards only
      await deadline.sleep(delay)
      if (reachesDeadline || deadline.passed()) {
        events?.tell({ type: 'deadline', ms: deadline.duration, waitedFor: 'another attempt' })
        throw withAttempts(error, attempt)
      }
      events?.retries(error, attempt, delay)
      last = error
    }
  }
}

/** Notes on the error how often the work ran. The error stays the one that was thrown. */
export function withAttempts(error: unknown, attempts: number): unknown {
  if (typeof error === 'object' && error !== null && Object.isExtensible(error)) {
    Reflect.defineProperty(error, 'attempts', { value: attempts, configurable: true, enumerable: true, writable: true })
  }
  return error
}

/**
 * The error of an inner call whose own deadline was what was `left` of this one: it names the number
 * that the caller gave. An error with any other number, such as the `timeout` of an attempt, stays.
 */
export function withGivenDeadline(error: unknown, left: number | undefined, { duration }: Deadline): unknown {
  if (!isConcurrencyError(error, 'DEADLINE_EXCEEDED') || error.deadline !== left) return error
  const told = new DeadlineExceededError(duration, error.waitedFor, { cause: error.cause })
  return 'attempts' in error ? withAttempts(told, Number(error.attempts)) : told
}
