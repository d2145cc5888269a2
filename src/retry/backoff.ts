import type { Clock } from '../sync/clock.js'
import type { ResolvedPolicy } from './policy.js'

/**
 * The delay in ms before the next attempt, after `attempt` failed: full jitter, evenly spread
 * over [0, min(maxDelay, baseDelay · 2^(attempt − 1))].
 *
 * Full jitter makes the least total work when many collide: Marc Brooker, "Exponential Backoff
 * and Jitter", AWS Architecture Blog, 2015.
 */
export function backoff(attempt: number, policy: ResolvedPolicy, clock: Clock): number {
  const ceiling = Math.min(policy.maxDelay, policy.baseDelay * 2 ** Math.min(attempt - 1, 31))
  return clock.random() * ceiling
}
