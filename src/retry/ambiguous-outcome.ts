import { isConnectionLost, isStatementTimeout, isTransactionTimeout, isUnreachable } from '../engine/error-facts.js'
import { isConcurrencyError, OutcomeUnknownError } from '../errors/index.js'
import { systemClock } from '../sync/clock.js'
import { sameAttempts } from './attempts.js'

const LOST = 'the connection was lost before the answer came'

/** Errors of reads. */
const harmless = new WeakSet<object>()

/** Notes on the error that it is that of a read: a lost answer to it is no ambiguous outcome. */
export function leavesNothingUnknown(error: unknown): unknown {
  harmless.add(Object(error))
  return error
}

/**
 * The state of a write whose answer was lost. The connection broke while the write, or its COMMIT,
 * was under way, so the database may have carried it out. The outcome is ambiguous until the write has
 * been sent again, under a key or a version that does not let it happen twice, and has been answered.
 */
export class AmbiguousOutcome {
  #lost: { readonly error: unknown } | undefined

  /** Whether a write may have been carried out of which nothing is known. */
  get isAmbiguous(): boolean {
    return this.#lost !== undefined
  }

  /** Remembers that an answer was lost, with this error. */
  lose(error: unknown): void {
    this.#lost = { error }
    noteLostAnswer()
  }

  /** The same, if the error is a lost connection, or says already that the outcome is unknown. */
  note(error: unknown): void {
    if (harmless.has(Object(error))) return
    if (isConnectionLost(error) || isConcurrencyError(error, 'OUTCOME_UNKNOWN')) this.lose(error)
  }

  /** It is known now what became of the write. */
  settle(): void {
    this.#lost = undefined
  }

  /** The error for the caller. The cause is the error with which the answer was lost, unless there is a later one. */
  error(reason: string = LOST, cause: unknown = this.#lost?.error): OutcomeUnknownError {
    return new OutcomeUnknownError(reason, { cause })
  }

  /** The error where the write was refused when it was sent again: by then the lost one may not have come yet. */
  refusal(cause: unknown): OutcomeUnknownError {
    return this.error('what was lost may still come; sent again, it was refused', cause)
  }

  /** The error to throw in the end: the one that kept the outcome ambiguous must not hide that it is. */
  lastError(error: unknown, reason: string = LOST): unknown {
    if (!this.isAmbiguous || isConcurrencyError(error, 'OUTCOME_UNKNOWN')) return error
    return sameAttempts(this.error(reason, error), error)
  }
}

/** How long after a lost answer, in ms, what a call finds may be what was lost. */
const REMEMBERED_FOR = 86_400_000

let lastLost = Number.NEGATIVE_INFINITY

export function noteLostAnswer(): void {
  lastLost = systemClock.now()
}

/** Whether an answer was lost in this process that some call may still find out about. */
export function wasAnswerLost(): boolean {
  return systemClock.now() - lastLost < REMEMBERED_FOR
}

/** Whether a statement was waited for until the end of the grace. */
export function isUnanswered(error: unknown): boolean {
  return isConcurrencyError(error, 'DEADLINE_EXCEEDED') && error.isUnanswered
}

/** Whether the server, or the way to it, is gone for now: to ask again may give an answer. */
export function isServerAway(error: unknown): boolean {
  return isConnectionLost(error) || isUnreachable(error)
}

/** Whether the error says nothing about a write that was sent before. */
export function isNoAnswer(error: unknown): boolean {
  return (
    isServerAway(error) ||
    isStatementTimeout(error) ||
    isTransactionTimeout(error) ||
    isConcurrencyError(error, 'DEADLINE_EXCEEDED') ||
    isConcurrencyError(error, 'CONFIGURATION') // such as of a replica, to which a failover has led
  )
}
