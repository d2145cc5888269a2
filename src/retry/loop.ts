import { isStatementTimeout, isTransactionTimeout } from '../engine/error-facts.js'
import { DeadlineExceededError, isConcurrencyError } from '../errors/index.js'
import type { Deadline } from '../sync/deadline.js'
import { sameAttempts, withAttempts } from './attempts.js'
import { backoff } from './backoff.js'
import { DEFAULT_POLICY, type ResolvedPolicy } from './policy.js'
import type { Retryable } from './retryable.js'

/**
 * Runs `work` until it succeeds, fails in a way that is not worth another try, or the policy
 * gives up; then throws the last error itself, with the number of `attempts` on it.
 *
 * Attempts that do not count, as while the server is away, are ended by the deadline alone, unless the policy wants
 * fewer attempts than usual: then it wants few runs, whatever their end.
 */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  policy: ResolvedPolicy,
  deadline: Deadline,
  isRetryable: (error: unknown) => Retryable,
): Promise<T> {
  let last: unknown
  let uncounted = 0
  for (let attempt = 1; ; attempt++) {
    deadline.signal?.throwIfAborted()
    try {
      return await work(attempt)
    } catch (error) {
      const { events } = deadline
      events?.failed(error, attempt)
      const isWorthAnother = isRetryable(error)
      if (!isWorthAnother) {
        // That time is up is not worth telling where there is a reason why it took so long.
        const isLate = isConcurrencyError(error, 'DEADLINE_EXCEEDED') && !error.mayTakeEffect
        if (attempt > 1 && isLate) {
          events?.rejected(error)
          throw withAttempts(last, attempt)
        }
        throw attempt === 1 ? error : withAttempts(error, attempt)
      }
      if (isWorthAnother === 'uncounted' && policy.attempts >= DEFAULT_POLICY.attempts) uncounted++
      if (attempt - uncounted >= policy.attempts) throw withAttempts(error, attempt)
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

const LIMIT_OF_DATABASE = 'A lock_timeout or statement_timeout has ended a statement: find out what it waited for.'

/** The error of a call that statement limits have kept from its end: those of the database, or its deadline's own. */
export function limitReached(error: unknown, deadline: Deadline, waitedFor: string): unknown {
  if (!isStatementTimeout(error) && !(isTransactionTimeout(error) && deadline.passed())) return error
  const told = new DeadlineExceededError(deadline.duration, waitedFor, { cause: error, hint: LIMIT_OF_DATABASE })
  return sameAttempts(told, error)
}

/**
 * The error of an inner call whose own deadline was what was `left` of this one: it names the number
 * that the caller gave. An error with any other number, such as the `timeout` of an attempt, stays.
 */
export function withGivenDeadline(error: unknown, left: number | undefined, { duration }: Deadline): unknown {
  if (!isConcurrencyError(error, 'DEADLINE_EXCEEDED') || error.deadline !== left) return error
  return sameAttempts(new DeadlineExceededError(duration, error.waitedFor, { cause: error.cause }), error)
}
