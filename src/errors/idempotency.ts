import { ConcurrencyError, describe } from './concurrency-error.js'

/** The same idempotency key came with another payload. Nothing was written. */
export class IdempotencyMismatchError extends ConcurrencyError {
  readonly code = 'IDEMPOTENCY_MISMATCH'

  constructor(
    /** The Prisma model of the record, or of the stored keys. */
    readonly model: string,
    /** The name of the first one: the unique `where`, or scope and key. */
    readonly where: Readonly<Record<string, unknown>>,
    /** The fields that differ from the first time; `request` for a whole operation. */
    readonly fields: readonly string[],
  ) {
    super(
      `${model} ${describe(where)} was already used with another payload: ${differing(fields)}. Nothing was written. ` +
        `A new payload needs a new key; find out who uses this one for two different things.`,
    )
  }
}

/** The same operation is running right now, and the caller did not want to wait for it. */
export class IdempotencyInProgressError extends ConcurrencyError {
  readonly code = 'IDEMPOTENCY_IN_PROGRESS'

  constructor(
    readonly scope: string,
    readonly key: string,
    options?: ErrorOptions,
  ) {
    super(
      `The operation ${JSON.stringify(key)} in scope ${JSON.stringify(scope)} is running right now. Try again later to get its answer.`,
      options,
    )
  }
}

/** `quantity differs`, `item and quantity differ`, `a, b and c differ` */
function differing(fields: readonly string[]): string {
  if (fields.length === 1) return `${fields[0]} differs`
  return `${fields.slice(0, -1).join(', ')} and ${fields.at(-1)} differ`
}
