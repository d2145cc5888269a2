import { ConcurrencyError } from './concurrency-error.js'

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
