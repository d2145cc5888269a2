import {
  isConnectionLost,
  isOutOfRange,
  isTransactionConflict,
  isUnreachable,
  sqlState,
} from '../engine/error-facts.js'
import type { Row } from '../engine/session.js'
import {
  OutcomeUnknownError,
  VersionConflictError,
  VersionOverflowError,
  type VersionValue,
  WriteSuppressedError,
} from '../errors/index.js'
import { isOwnRecordNotFound, isRecordNotFound } from '../prisma/errors.js'
import type { Selection } from '../prisma/selection.js'
import type { Session } from '../prisma/session.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { Catalogue } from '../sql/catalogue.js'
import type { Deadline } from '../sync/deadline.js'
import type { Where } from './arguments.js'
import { findReason } from './find-reason.js'
import type { RowKeys } from './row-keys.js'
import type { VersionedModel } from './versioned-models.js'

/** What a versioned write of one row is about, in all its attempts. */
export interface Target {
  readonly versioned: VersionedModel
  /** The unique `where`, without the version. */
  readonly row: Where
  readonly catalogue: Catalogue
  readonly rowKeys: RowKeys
  readonly policy: ResolvedPolicy
  readonly deadline: Deadline
  /** What to read of the row when the write was stale. */
  readonly currentSelection: Selection
}

/** Sends the write, guarded by the version; resolves to the record. */
export type Send = (scope: Session, expected: VersionValue) => Promise<Row>

/**
 * One guarded write of one row, remembering over its attempts what became of it: the last
 * conflict, a missing row, and above all a write whose answer was lost.
 */
export class GuardedWrite {
  /** The last version conflict, and the record as it was found then. */
  conflict: VersionConflictError | undefined
  current: Row | undefined
  /** Prisma's own P2025, once the row was found missing. */
  missing: unknown
  readonly target: Target
  #lost: { readonly send: Send; readonly expected: VersionValue; readonly error: unknown } | undefined

  constructor(target: Target) {
    this.target = target
  }

  /** Sends the write; throws what kept it from being done. */
  async run(scope: Session, expected: VersionValue, send: Send, attempt: number): Promise<Row> {
    const look = this.target.rowKeys.check(scope, this.target.versioned.model, this.target.row)
    if (look) await look // calls of one tick stay together
    // Twice: a row may have been set back to the expected version since. A third time it is not chance.
    for (let again = 0; ; again++) {
      try {
        const record = await send(scope, expected)
        this.#lost = undefined
        return record
      } catch (error) {
        if (!isRecordNotFound(error)) {
          const failure = this.#failed(scope, error, expected, send)
          // A nested write may have been refused before the guarded one was reached: the row itself tells.
          const isUnsettled = this.#lost !== undefined && !scope.inTransaction
          if (isUnsettled && isRefusedData(error)) await this.throwReason(scope, failure, expected, attempt)
          throw failure
        }
        await this.throwReason(scope, error, expected, attempt)
        if (again >= 2)
          throw new WriteSuppressedError(this.target.versioned.model.name, this.target.row, { cause: error })
      }
    }
  }

  /**
   * Sends once more the write whose answer was lost, under the same expected version, so that it
   * cannot be applied twice. `undefined` if none was lost.
   */
  resend(scope: Session, attempt: number): Promise<Row> | undefined {
    return this.#lost && this.run(scope, this.#lost.expected, this.#lost.send, attempt)
  }

  /** Whether it is not known if the write took effect. */
  get isLost(): boolean {
    return this.#lost !== undefined
  }

  /** Notes that the answer to the COMMIT of the write was lost. */
  noteLost(expected: VersionValue, send: Send, error: unknown): void {
    this.#lost = { expected, send, error }
  }

  /**
   * Whether a failed attempt is worth another one, conflicts of the version aside. In a transaction
   * of the caller's it never is: the database has ended it.
   */
  isRetryable(scope: Session, error: unknown): boolean {
    if (scope.inTransaction || error === this.conflict || error === this.missing) return false
    if (error instanceof OutcomeUnknownError) return false
    if (isTransactionConflict(error) || isConnectionLost(error)) return true
    return (this.#lost !== undefined && isUnreachable(error)) || this.target.policy.retryOn(error)
  }

  /** What to throw in the end: an error that leaves a lost write unsettled does not hide that. */
  lastError(error: unknown): unknown {
    if (this.#lost === undefined || error instanceof OutcomeUnknownError) return error
    return new OutcomeUnknownError('the connection was lost before the answer came', { cause: error })
  }

  conflictWith(expected: VersionValue, actual: VersionValue, attempts: number, cause?: unknown): VersionConflictError {
    const { versioned, row } = this.target
    return new VersionConflictError(
      { model: versioned.model.name, where: row, expected, actual, attempts },
      cause === undefined ? undefined : { cause },
    )
  }

  /** Throws why the row was not found. Returns only if the row is there at the expected version after all. */
  async throwReason(scope: Session, error: unknown, expected: VersionValue, attempt: number): Promise<void> {
    const { versioned, row, currentSelection } = this.target
    const found = await findReason(scope, versioned, row, expected, currentSelection)
    if (found.status === 'unchanged') {
      this.#lost = undefined // had it been applied, the version would have moved
      if (!isOwnRecordNotFound(error)) throw error // a record that a nested write needs
      return
    }
    if (this.#lost !== undefined) {
      const state = found.status === 'missing' ? 'the row is gone' : `the row went on to version ${found.actual}`
      throw new OutcomeUnknownError(
        `the connection was lost before the answer came, and now ${state}: by this write, or by another`,
        { cause: this.#lost.error },
      )
    }
    if (found.status === 'missing') {
      this.missing = error
      throw error
    }
    this.conflict = this.conflictWith(expected, found.actual, attempt, error)
    this.current = found.current
    throw this.conflict
  }

  #failed(scope: Session, error: unknown, expected: VersionValue, send: Send): unknown {
    const { versioned } = this.target
    if (isConnectionLost(error) && !scope.inTransaction) this.noteLost(expected, send, error)
    if (isOutOfRange(error) && BigInt(expected) === versioned.highest) {
      return new VersionOverflowError(versioned.model.name, versioned.version.name, { cause: error })
    }
    return error
  }
}

/** Data that does not fit, or breaks a constraint: classes 22 and 23. */
function isRefusedData(error: unknown): boolean {
  return /^2[23]/.test(sqlState(error) ?? '')
}
