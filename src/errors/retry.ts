import { ConcurrencyError } from './concurrency-error.js'

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
  /** Whether the database has not answered what was sent. Default `false`. */
  readonly isUnanswered?: boolean
}

/**
 * The deadline of the call passed while it waited, before there was another error to report. Nothing
 * was written, unless `mayTakeEffect` says otherwise.
 */
export class DeadlineExceededError extends ConcurrencyError {
  readonly code = 'DEADLINE_EXCEEDED'
  /** Whether a write that was sent may still be carried out, by an extension that sent it elsewhere. */
  readonly mayTakeEffect: boolean
  /** Whether the database has not answered what was sent. A write so ends in an OutcomeUnknownError, whose cause this is. */
  readonly isUnanswered: boolean

  constructor(
    /** The deadline in ms, counted from the start of the call. */
    readonly deadline: number,
    /** The thing that the call waited for, such as `a connection`. */
    readonly waitedFor: string,
    options: ErrorOptions & DeadlineHint = {},
  ) {
    const { hint = 'Raise `retry.deadline`, or find out what holds it for so long.' } = options
    super(`The deadline of ${deadline} ms passed while waiting for ${waitedFor}. ${hint}`, options)
    this.mayTakeEffect = !!options.mayTakeEffect
    this.isUnanswered = !!options.isUnanswered
  }
}

/** Too many calls wait in this process already. Nothing was done. */
export class OverloadedError extends ConcurrencyError {
  readonly code = 'OVERLOADED'

  constructor(
    /** How many calls may wait at once. */
    readonly limit: number,
  ) {
    super(`${limit} calls wait in this process already. Nothing was done. Try again later, or turn work away sooner.`)
  }
}
