import { isStatementTimeout, isTransactionTimeout, isUnsupported } from '../engine/error-facts.js'
import { isConcurrencyError, LockTimeoutError } from '../errors/index.js'
import { noToken } from './token.js'

interface Wanted {
  readonly timeout: number
  readonly token?: boolean
}

/**
 * The error of a call that did not come to hold its locks. Any way of running out of time before is one and the same to
 * the caller.
 */
export function notHeld(error: unknown, keys: readonly string[], { timeout, token }: Wanted): unknown {
  if (token && isUnsupported(error)) return noToken(error)
  const isTimeout =
    isConcurrencyError(error, 'DEADLINE_EXCEEDED') || isStatementTimeout(error) || isTransactionTimeout(error)
  return isTimeout ? new LockTimeoutError(keys, timeout, { cause: error }) : error
}
