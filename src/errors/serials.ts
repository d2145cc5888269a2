import { ConcurrencyError } from './concurrency-error.js'

/** There are too few free serials. None was taken. */
export class InsufficientSerialsError extends ConcurrencyError {
  readonly code = 'INSUFFICIENT_SERIALS'

  constructor(
    readonly transactionId: string,
    readonly requested: number,
    /** How many were free when it was looked. */
    readonly free: number,
  ) {
    super(
      `${requested} serials were asked for by ${JSON.stringify(transactionId)}, and ${free} are free. None was taken. ` +
        `Import more, or allow \`partial\`.`,
    )
  }
}

/** Serials that were to be imported are there already. None was imported. */
export class DuplicateSerialsError extends ConcurrencyError {
  readonly code = 'DUPLICATE_SERIALS'

  constructor(
    readonly transactionId: string,
    /** Some of the numbers that are there. */
    readonly numbers: readonly string[],
  ) {
    super(
      `Some of the serials that ${JSON.stringify(transactionId)} would import are there already: ${numbers.join(', ')}. ` +
        `None was imported. Leave out those that are there, or find out who imported them.`,
    )
  }
}
