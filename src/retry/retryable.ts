import { isDeadlock, isStatementTimeout, isTransactionConflict } from '../engine/error-facts.js'
import { isConcurrencyError } from '../errors/index.js'
import { isServerAway } from './ambiguous-outcome.js'
import type { ResolvedPolicy } from './policy.js'

/** Whether a failed attempt is worth another one, and whether it counts. One that does not is ended by the deadline alone. */
export type Retryable = boolean | 'uncounted'

/** After a conflict, which counts, and while the server is away, which does not: nothing was tried. */
export function isRetryable(error: unknown, { retryOn }: Pick<ResolvedPolicy, 'retryOn'>): Retryable {
  if (isConcurrencyError(error, 'OUTCOME_UNKNOWN')) return false
  if (isServerAway(error)) return 'uncounted'
  return isTransactionConflict(error) || retryOn(error)
}

/**
 * The same for statements of our own, which do not depend on what a body has read. A limit of the database's may be
 * shorter than the deadline of the call, and under SERIALIZABLE as the default a lone statement may be refused for
 * the sake of any other.
 */
export function isRetryableStatement(error: unknown, policy: Pick<ResolvedPolicy, 'retryOn'>): Retryable {
  const isRefused = isStatementTimeout(error) || (isTransactionConflict(error) && !isDeadlock(error))
  return isRefused ? 'uncounted' : isRetryable(error, policy)
}
