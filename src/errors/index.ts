/**
 * Every error of this package. Each has a stable `code`, plain fields, and a message that says
 * what happened, to which record, and what to do next. The original database error, where there
 * is one, is the `cause`.
 */

import type { ConcurrencyCheckError } from './check.js'
import { BRAND, type ConcurrencyErrorCode } from './concurrency-error.js'
import type { ConfigurationError, InvalidArgumentError } from './configuration.js'
import type { ForeignExtensionError } from './foreign-extension.js'
import type { IdempotencyInProgressError, IdempotencyMismatchError } from './idempotency.js'
import type { LeaseHeldError, LeaseLostError } from './leases.js'
import type { LockTimeoutError, RowLockedError, UnsupportedDatabaseError } from './locking.js'
import type { DeadlineExceededError, OutcomeUnknownError, OverloadedError } from './retry.js'
import type { DuplicateSerialsError, InsufficientSerialsError, SerialsUnavailableError } from './serials.js'
import type { SeriesNumberError, SeriesOverflowError } from './series.js'
import type { OperationRefusedError, StepMismatchError } from './steps.js'
import type {
  InsufficientStockError,
  ItemNotFoundError,
  MaximumExceededError,
  PeriodClosedError,
  ReservationActiveError,
  ReservationEndedError,
  ReservationExceededError,
  ReversalError,
} from './stock.js'
import type {
  BatchTransactionError,
  TransactionAbortedError,
  TransactionRequiredError,
  TransactionScopeError,
} from './transactions.js'
import type {
  BatchVersionConflictError,
  VersionConflictError,
  VersionOverflowError,
  WriteSuppressedError,
} from './versioning.js'

export * from './check.js'
export { ConcurrencyError, type ConcurrencyErrorCode } from './concurrency-error.js'
export * from './configuration.js'
export { ForeignExtensionError, type ForeignExtensionProblem } from './foreign-extension.js'
export * from './idempotency.js'
export * from './leases.js'
export * from './locking.js'
export * from './retry.js'
export * from './serials.js'
export * from './series.js'
export * from './steps.js'
export * from './stock.js'
export * from './transactions.js'
export * from './versioning.js'

/**
 * Tells an error of this package from any other, also across two installed copies of it, where
 * `instanceof` fails.
 *
 * @example
 * if (isConcurrencyError(error, 'VERSION_CONFLICT')) return reply.code(412).send()
 */
export function isConcurrencyError<Code extends ConcurrencyErrorCode = ConcurrencyErrorCode>(
  error: unknown,
  code?: Code,
): error is Extract<AnyConcurrencyError, { readonly code: Code }> {
  if (typeof error !== 'object' || error === null || !(BRAND in error)) return false
  return code === undefined || ('code' in error && error.code === code)
}

/** The union of all errors of this package, told apart by `code`. */
export type AnyConcurrencyError =
  | BatchTransactionError
  | BatchVersionConflictError
  | ConcurrencyCheckError
  | ConfigurationError
  | DeadlineExceededError
  | DuplicateSerialsError
  | ForeignExtensionError
  | IdempotencyInProgressError
  | IdempotencyMismatchError
  | InsufficientSerialsError
  | InsufficientStockError
  | InvalidArgumentError
  | ItemNotFoundError
  | LeaseHeldError
  | LeaseLostError
  | LockTimeoutError
  | MaximumExceededError
  | PeriodClosedError
  | OperationRefusedError
  | OutcomeUnknownError
  | OverloadedError
  | ReservationActiveError
  | ReservationEndedError
  | ReservationExceededError
  | ReversalError
  | RowLockedError
  | SerialsUnavailableError
  | SeriesNumberError
  | SeriesOverflowError
  | StepMismatchError
  | TransactionAbortedError
  | TransactionRequiredError
  | TransactionScopeError
  | UnsupportedDatabaseError
  | VersionConflictError
  | VersionOverflowError
  | WriteSuppressedError
