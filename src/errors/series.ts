import { ConcurrencyError } from './concurrency-error.js'

/** A number cannot be made void: a transaction id has it (`used`), or nobody has taken it yet (`not taken`). */
export class SeriesNumberError extends ConcurrencyError {
  readonly code = 'SERIES_NUMBER'

  constructor(
    readonly problem: 'used' | 'not taken',
    readonly series: string,
    readonly period: string,
    readonly value: bigint,
  ) {
    const what = problem === 'used' ? 'has a transaction id' : 'was not taken yet'
    const next = problem === 'used' ? 'Cancel its document' : 'Take it first'
    super(`The number ${value} of the series ${JSON.stringify(series)} ${what}, so it was not made void. ${next}.`)
  }
}

/** The series has given its last number, or its format has no room for the next one. No number was used up. */
export class SeriesOverflowError extends ConcurrencyError {
  readonly code = 'SERIES_OVERFLOW'

  constructor(
    readonly series: string,
    /** The highest number that there can be. */
    readonly highest: bigint,
    options?: ErrorOptions,
  ) {
    super(
      `The series ${JSON.stringify(series)} ends at ${highest}, and the next number would be beyond it. ` +
        `No number was used up. Give the format more digits, or begin another series.`,
      options,
    )
  }
}
