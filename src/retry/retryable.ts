import { isConnectionLost, isTransactionConflict, isUnreachable } from '../engine/error-facts.js'
import { isConcurrencyError } from '../errors/index.js'
import type { AmbiguousOutcome } from './ambiguous-outcome.js'
import type { ResolvedPolicy } from './policy.js'

/** Whether the same statement may succeed when it is sent again: a conflict of transactions, or a lost connection. */
export function isTransient(error: unknown): boolean {
  return isTransactionConflict(error) || isConnectionLost(error)
}

/**
 * Whether a failed attempt is worth another one. A server that cannot be reached is a failure that the
 * caller can be told at once, unless an earlier attempt may have been carried out: only the server
 * can say whether it was.
 */
export function isRetryable(
  error: unknown,
  { retryOn }: Pick<ResolvedPolicy, 'retryOn'>,
  outcome?: AmbiguousOutcome,
): boolean {
  if (isConcurrencyError(error, 'OUTCOME_UNKNOWN')) return false
  return isTransient(error) || (outcome?.isAmbiguous === true && isUnreachable(error)) || retryOn(error)
}
