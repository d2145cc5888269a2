/**
 * Every error of this package. Each has a stable `code`, plain fields, and a message that says
 * what happened, to which record, and what to do next. The original database error, where there
 * is one, is the `cause`.
 */

import { BRAND, ConcurrencyError, type ConcurrencyErrorCode, describe } from './concurrency-error.js'
import type {
  DuplicateSerialsError,
  InsufficientSerialsError,
  InsufficientStockError,
  ItemNotFoundError,
  OverloadedError,
  ReservationActiveError,
  ReservationEndedError,
  SeriesOverflowError,
} from './erp.js'
import type { ForeignExtensionError } from './foreign-extension.js'
import type { TransactionAbortedError, TransactionRequiredError, TransactionScopeError } from './transactions.js'

export { ConcurrencyError, type ConcurrencyErrorCode } from './concurrency-error.js'
export * from './erp.js'
export { ForeignExtensionError, type ForeignExtensionProblem } from './foreign-extension.js'
export * from './transactions.js'

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
  | LockTimeoutError
  | OutcomeUnknownError
  | OverloadedError
  | ReservationActiveError
  | ReservationEndedError
  | SeriesOverflowError
  | TransactionAbortedError
  | TransactionRequiredError
  | TransactionScopeError
  | UnsupportedDatabaseError
  | VersionConflictError
  | VersionOverflowError
  | WriteSuppressedError

/** A version, as the column's type has it: `number` for `Int`, `bigint` for `BigInt`. */
export type VersionValue = number | bigint

/** The row has another version than the one expected: somebody wrote it in between. */
export class VersionConflictError extends ConcurrencyError {
  readonly code = 'VERSION_CONFLICT'
  /** The Prisma model, such as `Product`. */
  readonly model: string
  /** The unique `where` of the call, without the version. */
  readonly where: Readonly<Record<string, unknown>>
  /** The version that the caller held. */
  readonly expected: VersionValue
  /** The version found after the check failed. Never equal to `expected`. */
  readonly actual: VersionValue
  /** How often the write was tried. */
  readonly attempts: number

  constructor(
    conflict: {
      model: string
      where: Readonly<Record<string, unknown>>
      expected: VersionValue
      actual: VersionValue
      attempts: number
    },
    options?: ErrorOptions,
  ) {
    super(
      `${conflict.model} ${describe(conflict.where)} has version ${conflict.actual}, expected ${conflict.expected}: ` +
        `it was changed by another writer. Read it again and decide anew, or let updateVersioned do so by giving \`data\` as a function.`,
      options,
    )
    this.model = conflict.model
    this.where = conflict.where
    this.expected = conflict.expected
    this.actual = conflict.actual
    this.attempts = conflict.attempts
  }
}

/** One row of a batch that was not at its expected version, or not there (`actual: undefined`). */
export interface BatchConflict {
  /** The position in the array given to `updateManyVersioned`. */
  readonly index: number
  readonly where: Readonly<Record<string, unknown>>
  readonly expected: VersionValue
  /** The version found, or `undefined` where the row does not exist. */
  readonly actual: VersionValue | undefined
}

/** `updateManyVersioned` in mode `all`: some rows were stale or missing, so nothing was written. */
export class BatchVersionConflictError extends ConcurrencyError {
  readonly code = 'BATCH_VERSION_CONFLICT'
  readonly model: string
  /** Every row that was stale or missing, in the order given. */
  readonly conflicts: readonly BatchConflict[]
  readonly attempts: number

  constructor(model: string, conflicts: readonly BatchConflict[], attempts: number) {
    const list = conflicts
      .map(({ index, where, expected, actual }) =>
        actual === undefined
          ? `[${index}] ${describe(where)} does not exist`
          : `[${index}] ${describe(where)} has version ${actual}, expected ${expected}`,
      )
      .join('; ')
    super(
      `${conflicts.length} of the ${model} rows were not written, and so none was: ${list}. ` +
        `Read them again, or use mode 'each' to write the others.`,
    )
    this.model = model
    this.conflicts = conflicts
    this.attempts = attempts
  }
}

/** The version column has reached the highest number of its type. */
export class VersionOverflowError extends ConcurrencyError {
  readonly code = 'VERSION_OVERFLOW'
  readonly model: string
  readonly field: string

  constructor(model: string, field: string, options?: ErrorOptions) {
    super(
      `${model}.${field} is at the highest number its type can hold, so the row cannot be written any more. ` +
        `Migrate the column to BigInt.`,
      options,
    )
    this.model = model
    this.field = field
  }
}

/** The row is there at the expected version, yet the database did not write it. */
export class WriteSuppressedError extends ConcurrencyError {
  readonly code = 'WRITE_SUPPRESSED'
  readonly model: string
  readonly where: Readonly<Record<string, unknown>>

  constructor(model: string, where: Readonly<Record<string, unknown>>, options?: ErrorOptions) {
    super(
      `${model}${Object.keys(where).length > 0 ? ` ${describe(where)}` : ''} is at the expected version, yet the database did not write it: ` +
        `a BEFORE trigger that returns NULL, or a row-level security policy, suppresses the write. Nothing was changed.`,
      options,
    )
    this.model = model
    this.where = where
  }
}

/**
 * The connection was lost and it cannot be told whether the write took effect. Look at the data
 * before trying again.
 */
export class OutcomeUnknownError extends ConcurrencyError {
  readonly code = 'OUTCOME_UNKNOWN'

  constructor(reason: string, options: ErrorOptions) {
    super(`It is not known whether the write took effect: ${reason}. Look at the data before you try again.`, options)
  }
}

/** The likely cause of a wait that took all the time, where there is one to name. */
export interface DeadlineHint {
  /** Sentences that say what may be the cause, and what to do. */
  readonly hint?: string
  /** Whether what was sent may still be carried out. Default `false`. */
  readonly mayTakeEffect?: boolean
}

/**
 * The deadline of the call passed while it waited, before there was another error to report. Nothing
 * was written, unless `mayTakeEffect` says otherwise.
 */
export class DeadlineExceededError extends ConcurrencyError {
  readonly code = 'DEADLINE_EXCEEDED'
  /** The deadline in ms, counted from the start of the call. */
  readonly deadline: number
  /** What the call waited for, such as `a connection`. */
  readonly waitedFor: string
  /** Whether a write that was sent may still be carried out, by an extension that sent it elsewhere. */
  readonly mayTakeEffect: boolean

  constructor(deadline: number, waitedFor: string, options: ErrorOptions & DeadlineHint = {}) {
    const { hint = 'Raise `retry.deadline`, or find out what holds it for so long.', mayTakeEffect = false } = options
    super(`The deadline of ${deadline} ms passed while waiting for ${waitedFor}. ${hint}`, options)
    this.deadline = deadline
    this.waitedFor = waitedFor
    this.mayTakeEffect = mayTakeEffect
  }
}

/** One mistake in the options, with its path, such as `version.models.Produkt`. */
export interface ConfigurationIssue {
  readonly path: string
  readonly message: string
}

/** The options do not fit the schema, or a model is used in a way it is not set up for. */
export class ConfigurationError extends ConcurrencyError {
  readonly code = 'CONFIGURATION'
  readonly issues: readonly ConfigurationIssue[]

  constructor(issues: readonly ConfigurationIssue[], options?: ErrorOptions) {
    super(issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('\n'), options)
    this.issues = issues
  }
}

/** An argument that cannot be right. Thrown before any SQL. */
export class InvalidArgumentError extends ConcurrencyError {
  readonly code = 'INVALID_ARGUMENT'
  /** The argument, such as `where.version` or `[2].data.stock`. */
  readonly field: string

  constructor(field: string, message: string, options?: ErrorOptions) {
    super(`${field} ${message}`, options)
    this.field = field
  }
}

/** A call of this package was put into an array `$transaction([…])`. Nothing was written. */
export class BatchTransactionError extends ConcurrencyError {
  readonly code = 'BATCH_TRANSACTION'
  readonly method: string

  constructor(method: string) {
    super(
      `${method}() cannot be part of an array $transaction([…]), since it needs more than one step. Nothing was written. ` +
        `Use $transactionWithRetry(async (tx) => …), or $transaction(async (tx) => …).`,
    )
    this.method = method
  }
}

/** The same idempotency key came with another payload. Nothing was written. */
export class IdempotencyMismatchError extends ConcurrencyError {
  readonly code = 'IDEMPOTENCY_MISMATCH'
  /** The Prisma model of the record, or of the stored keys. */
  readonly model: string
  /** What names the first one: the unique `where`, or scope and key. */
  readonly where: Readonly<Record<string, unknown>>
  /** The fields that differ from the first time; `request` for a whole operation. */
  readonly fields: readonly string[]

  constructor(model: string, where: Readonly<Record<string, unknown>>, fields: readonly string[]) {
    super(
      `${model} ${describe(where)} was already used with another payload: ${differing(fields)}. Nothing was written. ` +
        `A new payload needs a new key; find out who uses this one for two different things.`,
    )
    this.model = model
    this.where = where
    this.fields = fields
  }
}

/** The same operation is running right now, and the caller did not want to wait for it. */
export class IdempotencyInProgressError extends ConcurrencyError {
  readonly code = 'IDEMPOTENCY_IN_PROGRESS'
  readonly scope: string
  readonly key: string

  constructor(scope: string, key: string, options?: ErrorOptions) {
    super(
      `The operation ${JSON.stringify(key)} in scope ${JSON.stringify(scope)} is running right now. Try again later to get its answer.`,
      options,
    )
    this.scope = scope
    this.key = key
  }
}

/** A lock was not free in time. Nothing was done under it. */
export class LockTimeoutError extends ConcurrencyError {
  readonly code = 'LOCK_TIMEOUT'
  /** The keys in their encoded form, such as `["stock","A-1"]`. */
  readonly keys: readonly string[]
  /** How long was waited, in ms. */
  readonly timeout: number

  constructor(keys: readonly string[], timeout: number, options?: ErrorOptions) {
    const shown = keys.map((key) => (key.length > 100 ? `${key.slice(0, 100)}…` : key))
    super(
      `The lock on ${shown.join(' and ')} was not free within ${timeout} ms. ` +
        `Try again, raise \`timeout\`, or find out who holds it for so long, perhaps a caller further up in this very call.`,
      options,
    )
    this.keys = keys
    this.timeout = timeout
  }
}

/** The database has the advisory lock functions, but they lock nothing. */
export class UnsupportedDatabaseError extends ConcurrencyError {
  readonly code = 'UNSUPPORTED_DATABASE'

  constructor() {
    super(
      'Advisory locks do nothing on this database: one was taken, and it is not there. ' +
        'Use updateVersioned instead, which needs no lock.',
    )
  }
}

/** `quantity differs`, `item and quantity differ`, `a, b and c differ` */
function differing(fields: readonly string[]): string {
  if (fields.length === 1) return `${fields[0]} differs`
  return `${fields.slice(0, -1).join(', ')} and ${fields.at(-1)} differ`
}
