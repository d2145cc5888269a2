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

/** Serials that a call names are not all free. None was taken. */
export class SerialsUnavailableError extends ConcurrencyError {
  readonly code = 'SERIALS_UNAVAILABLE'

  constructor(
    readonly transactionId: string,
    /** The numbers of those that are there, and are not free. */
    readonly taken: readonly string[],
    /** The numbers that are not there. */
    readonly missing: readonly string[],
  ) {
    const [taking, lacking] = [listOf(taken), listOf(missing)]
    super(
      `Not all serials that ${JSON.stringify(transactionId)} names are free.` +
        `${taking && ` Not free: ${taking}.`}${lacking && ` Not there: ${lacking}.`} None was taken. ` +
        `Name others, or find out who has them.`,
    )
  }
}

/** How many numbers a message names: an order may have a thousand. */
const MOST_NAMED = 20

function listOf(numbers: readonly string[]): string {
  const others = numbers.length - MOST_NAMED
  return `${numbers.slice(0, MOST_NAMED).join(', ')}${others > 0 ? ` and ${others} more` : ''}`
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
