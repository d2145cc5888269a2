import { ConcurrencyError } from './concurrency-error.js'

/** A lock was not free in time. Nothing was done under it. */
export class LockTimeoutError extends ConcurrencyError {
  readonly code = 'LOCK_TIMEOUT'

  constructor(
    /** The keys in their encoded form, such as `["stock","A-1"]`. */
    readonly keys: readonly string[],
    /** How long was waited, in ms. */
    readonly timeout: number,
    options?: ErrorOptions,
  ) {
    const shown = keys.map((key) => (key.length > 100 ? `${key.slice(0, 100)}…` : key))
    super(
      `The lock on ${shown.join(' and ')} was not free within ${timeout} ms. ` +
        `Try again, raise \`timeout\`, or find out who holds it for so long, perhaps a caller further up in this very call.`,
      options,
    )
  }
}

/**
 * Records that `findUniqueForUpdate` or `findManyForUpdate` was to lock are locked by another transaction. The
 * transaction of the call goes on, and the call holds none of them.
 */
export class RowLockedError extends ConcurrencyError {
  readonly code = 'ROW_LOCKED'

  constructor(
    readonly model: string,
    /** How long was waited, in ms; `undefined` with `wait: 'refuse'`. */
    readonly timeout: number | undefined,
    options?: ErrorOptions,
  ) {
    const wait = timeout === undefined ? '' : ` for longer than ${timeout} ms`
    super(`Records of ${model} are locked by another transaction${wait}. Nothing was locked. Try again.`, options)
  }
}

/** The database has the advisory lock functions, but they lock nothing, or what is read under a lock may be old. */
export class UnsupportedDatabaseError extends ConcurrencyError {
  readonly code = 'UNSUPPORTED_DATABASE'

  constructor(
    what = 'Advisory locks do nothing on this database: one was taken, and it is not there.',
    options?: ErrorOptions,
  ) {
    super(`${what} Use updateVersioned instead, which needs no lock.`, options)
  }
}
