import { ConcurrencyError } from './concurrency-error.js'

/** Somebody else has the lease, or is to have it next. The body has not run. */
export class LeaseHeldError extends ConcurrencyError {
  readonly code = 'LEASE_HELD'

  constructor(
    readonly lease: string,
    /** When it ends unless its holder goes on, in ms by the database's clock; 0 where somebody else is about to get it. */
    readonly endsIn: number,
    /** How long was waited, in ms. */
    readonly waited: number,
    options?: ErrorOptions,
  ) {
    super(`The lease ${JSON.stringify(lease)} has a holder. Nothing was done. Wait longer.`, options)
  }
}

/**
 * The lease cannot be proved to be held any more: somebody else may have it. Writes of a transaction with `$assertLease`
 * are not committed. Writes without the fence, and work outside of the database, stay.
 */
export class LeaseLostError extends ConcurrencyError {
  readonly code = 'LEASE_LOST'

  constructor(
    readonly lease: string,
    readonly token: bigint,
    /** No heartbeat was confirmed in time (`expired`), or the database says that it is no longer held (`taken`). */
    readonly reason: 'expired' | 'taken',
    options?: ErrorOptions,
  ) {
    super(
      `The lease ${JSON.stringify(lease)} with the token ${token} is lost: ` +
        (reason === 'taken' ? 'it was taken. ' : 'no heartbeat was confirmed. ') +
        'Stop its work.',
      options,
    )
  }
}
