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
