import { ConcurrencyError, describe } from './concurrency-error.js'

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
    conflict: Pick<VersionConflictError, 'model' | 'where' | 'expected' | 'actual' | 'attempts'>,
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

  constructor(
    readonly model: string,
    /** Every row that was stale or missing, in the order given. */
    readonly conflicts: readonly BatchConflict[],
    readonly attempts: number,
  ) {
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
  }
}

/** The version column has reached the highest number of its type. */
export class VersionOverflowError extends ConcurrencyError {
  readonly code = 'VERSION_OVERFLOW'

  constructor(
    readonly model: string,
    readonly field: string,
    options?: ErrorOptions,
  ) {
    super(
      `${model}.${field} is at the highest number its type can hold, so the row cannot be written any more. ` +
        `Migrate the column to BigInt.`,
      options,
    )
  }
}

/** The row is there at the expected version, yet the database did not write it. */
export class WriteSuppressedError extends ConcurrencyError {
  readonly code = 'WRITE_SUPPRESSED'

  constructor(
    readonly model: string,
    readonly where: Readonly<Record<string, unknown>>,
    options?: ErrorOptions,
  ) {
    super(
      `${model}${Object.keys(where).length > 0 ? ` ${describe(where)}` : ''} is at the expected version, yet the database did not write it: ` +
        `a BEFORE trigger that returns NULL, or a row-level security policy, suppresses the write. Nothing was changed.`,
      options,
    )
  }
}
