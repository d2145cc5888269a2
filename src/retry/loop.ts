import { backoff } from './backoff.js'
import type { Deadline } from './deadline.js'
import type { ResolvedPolicy } from './policy.js'

/**
 * Runs `work` until it succeeds, fails in a way that is not worth another try, or the policy
 * gives up; then throws the last error itself, with the number of `attempts` on it.
 */
export async function retrying<T>(
  work: (attempt: number) => Promise<T>,
  policy: ResolvedPolicy,
  deadline: Deadline,
  isRetryable: (error: unknown) => boolean,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    deadline.signal?.throwIfAborted()
    try {
      return await work(attempt)
    } catch (error) {
      if (!isRetryable(error)) throw attempt === 1 ? error : withAttempts(error, attempt)
      if (attempt >= policy.attempts || deadline.passed()) throw withAttempts(error, attempt)
      await deadline.sleep(backoff(attempt, policy, deadline.clock))
      if (deadline.passed()) throw withAttempts(error, attempt)
    }
  }
}

/** Notes on the error how often the work ran. The error stays the one that was thrown. */
export function withAttempts(error: unknown, attempts: number): unknown {
  if (typeof error === 'object' && error !== null && Object.isExtensible(error)) {
    Object.defineProperty(error, 'attempts', { value: attempts, configurable: true, enumerable: true, writable: true })
  }
  return error
}
