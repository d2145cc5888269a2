import {
  isConnectionLost,
  isOutOfRange,
  isStatementTimeout,
  isTransactionTimeout,
  sqlState,
} from '../engine/error-facts.js'
import {
  Absent,
  type CallersTransaction,
  type ModelAction,
  type RecordSession,
  type RootRecords,
  type TransactionRecords,
} from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { VersionConflictError, VersionOverflowError, type VersionValue, WriteSuppressedError } from '../errors/index.js'
import { AmbiguousOutcome } from '../retry/ambiguous-outcome.js'
import { withAttempts } from '../retry/attempts.js'
import type { Patience } from '../retry/call-options.js'
import { limitReached, retry } from '../retry/loop.js'
import { isRetryableStatement, type Retryable } from '../retry/retryable.js'
import type { Catalogue } from '../sql/catalogue.js'
import type { RowKey } from '../sql/row-key.js'
import { patient } from '../transactions/bounds.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import { serialized } from '../transactions/records-in-turn.js'
import { type Selection, widened } from '../values/selection.js'
import type { Where } from './arguments.js'
import type { KeyCheck } from './key-check.js'
import type { VersionedModel } from './versioned-models.js'

/** The row of a versioned write, and the limits of its attempts. */
export interface Target extends Patience {
  readonly versioned: VersionedModel
  /** The unique `where`, without the version. */
  readonly row: Where
  readonly key: RowKey
  readonly catalogue: Catalogue
  readonly keyCheck: KeyCheck
  readonly selection: Selection
  /** The part of the row to read when the write was stale. */
  readonly currentSelection: Selection
}

/** One write under an expected version. */
export interface Write {
  readonly expected: VersionValue
  /** The record as it is now written, if it was at the expected version. */
  send(session: RecordSession, expected: VersionValue): Promise<Row | Absent>
}

/** The end of a versioned write. */
export type Outcome =
  | { readonly status: 'updated' | 'unchanged'; readonly record: Row }
  | {
      readonly status: 'stale'
      readonly error: unknown
      readonly expected: VersionValue
      readonly actual: VersionValue
      readonly current: Row
    }
  | { readonly status: 'missing'; readonly error: unknown }

/** How often a row is written that is at its version after all: it may have been set back to it meanwhile. */
const MOST_SENDS = 3

/**
 * The guarded write of one row. Over its attempts it remembers the last conflict, a
 * missing row, and a write whose answer was lost.
 */
export class GuardedWrite {
  readonly #target: Target
  readonly #ambiguous = new AmbiguousOutcome()
  #conflict: { readonly error: VersionConflictError; readonly current: Row } | undefined
  /** The last error with which the row was found missing. */
  #missing: { readonly error: unknown } | undefined
  /** The write whose answer was lost. */
  #lost: Write | undefined
  /** The write that was answered, in a transaction whose COMMIT is still to come. */
  #answered: Write | undefined

  constructor(target: Target) {
    this.#target = target
  }

  /** The attempts of a write whose version the caller has: in their turn, in a transaction, and within the deadline. */
  attempts(
    session: RootRecords | CallersTransaction,
    calls: readonly ModelAction[],
    attempt: (turn: RootRecords | TransactionRecords, attempt: number) => Promise<Row>,
  ): Promise<Outcome> {
    const { policy, deadline } = this.#target
    return this.outcomeOf(async () => {
      const record = await serialized(session, deadline, calls, (turn) =>
        retry(
          (number) => patient(turn, deadline, calls, () => attempt(turn, number)),
          policy,
          deadline,
          (error) => this.isRetryable(turn, error),
        ),
      ).catch((error: unknown) => {
        throw session.inTransaction ? error : limitReached(error, deadline, 'the row')
      })
      return { status: 'updated', record }
    })
  }

  /** Sends the write, and resolves to the record. Throws what kept it from being done. */
  async run(session: RecordSession, write: Write, attempt: number): Promise<Row> {
    const { keyCheck, key, deadline } = this.#target
    const look = keyCheck.find(session, key, deadline)
    if (look) await look // calls of one tick stay together
    for (let sends = 1; ; sends++) {
      const answer = await this.#send(session, write)
      if (!(answer instanceof Absent)) {
        this.#ambiguous.settle()
        this.#answered = write
        return answer
      }
      await this.throwReason(session, answer, write.expected, attempt)
      if (sends === MOST_SENDS) {
        const { versioned, row } = this.#target
        throw new WriteSuppressedError(versioned.model.name, row, { cause: answer.error })
      }
    }
  }

  async #send(session: RecordSession, write: Write): Promise<Row | Absent> {
    try {
      return await write.send(session, write.expected)
    } catch (error) {
      return this.#failed(session, write, error)
    }
  }

  #failed(session: RecordSession, write: Write, error: unknown): Absent {
    const { model, version, highest } = this.#target.versioned
    if (isConnectionLost(error) && !session.inTransaction) this.#lose(write, error)
    const isOverflow = isOutOfRange(error) && BigInt(write.expected) === highest
    const failure = isOverflow ? new VersionOverflowError(model.name, version.name, { cause: error }) : error
    // A nested write may have been refused before the guarded one was reached: the row itself tells.
    if (this.isAmbiguous && !session.inTransaction && isRefusedData(error)) return new Absent(failure, false)
    throw failure
  }

  /**
   * Sends once more the write whose answer was lost, under the same expected version, so that it
   * cannot be applied twice. `undefined` if none was lost.
   */
  resend(session: RecordSession, attempt: number): Promise<Row> | undefined {
    return this.isAmbiguous && this.#lost ? this.run(session, this.#lost, attempt) : undefined
  }

  /** Whether a write may have taken effect of which nothing is known. */
  get isAmbiguous(): boolean {
    return this.#ambiguous.isAmbiguous
  }

  /** Runs an attempt in a transaction of its own, in which the row can be locked before. */
  async inTransaction<R>(
    root: RootRecords,
    calls: readonly ModelAction[],
    attempt: number,
    work: (tx: RecordSession) => Promise<R>,
  ): Promise<R> {
    const { deadline } = this.#target
    this.#answered = undefined
    try {
      return await inOwnTransaction(root, { deadline, calls, isolationLevel: 'ReadCommitted' }, work)
    } catch (error) {
      // Everything was answered but the COMMIT.
      if (this.#answered && isConnectionLost(error)) this.#lose(this.#answered, error)
      const isOutOfTime = deadline.passed() && (isStatementTimeout(error) || isTransactionTimeout(error))
      throw (isOutOfTime && withAttempts(this.#conflict?.error, attempt)) || error
    }
  }

  /** The answer to the write, or to its COMMIT, was lost. */
  #lose(write: Write, error: unknown): void {
    this.#lost = write
    this.#ambiguous.lose(error)
  }

  /** Whether the attempt failed by a conflict of the version. */
  isConflict(error: unknown): boolean {
    return error !== undefined && error === this.#conflict?.error
  }

  /**
   * Whether a failed attempt is worth another one, conflicts of the version aside. In a transaction
   * of the caller's it never is: the database has ended it.
   */
  isRetryable(session: Pick<RecordSession, 'inTransaction'>, error: unknown): Retryable {
    if (session.inTransaction || this.isConflict(error) || error === this.#missing?.error) return false
    return isRetryableStatement(error, this.#target.policy)
  }

  /** The end of the write. Rejects with any error that is neither a conflict nor a missing row. */
  async outcomeOf(run: () => Promise<Outcome>): Promise<Outcome> {
    try {
      return await run()
    } catch (thrown) {
      const error = this.#ambiguous.lastError(thrown)
      if (this.#conflict && this.isConflict(error)) {
        const { expected, actual } = this.#conflict.error
        return { status: 'stale', error, expected, actual, current: this.#conflict.current }
      }
      if (this.#missing && error === this.#missing.error) return { status: 'missing', error }
      throw error
    }
  }

  /** Reads the record of the write. Without one the row is missing. */
  async read(session: RecordSession, selection: Selection): Promise<Row> {
    const record = await session.read({ where: this.#target.row, ...selection })
    return record instanceof Absent ? this.missing(record.error) : record
  }

  /** The row was found missing, with this error. */
  missing(error: unknown): never {
    this.#missing = { error }
    throw error
  }

  /**
   * Throws why the row was not found. The write has waited for the writer in flight, so this read, which
   * comes after it, sees the version that made it fail, or a later one. It returns only if the row is
   * there at the expected version after all.
   */
  async throwReason(session: RecordSession, absent: Absent, expected: VersionValue, attempt: number): Promise<void> {
    const { versioned, row, currentSelection } = this.#target
    const { name } = versioned.version
    const wide = widened(currentSelection, [name], versioned.model)
    const record = await session.read({ where: row, ...wide.selection })
    const actual = record instanceof Absent ? undefined : versionIn(record, versioned)
    if (actual === expected) {
      this.#ambiguous.settle() // had it been applied, the version would have moved
      if (!absent.isOwn) throw absent.error // of a record that a nested write needs
      return
    }
    if (this.isAmbiguous) {
      const state = actual === undefined ? 'the row is gone' : `the row went on to version ${actual}`
      throw this.#ambiguous.error(
        `the connection was lost before the answer came, and now ${state}: by this write, or by another`,
      )
    }
    if (record instanceof Absent || actual === undefined) return this.missing(absent.error)
    throw this.conflictAt(expected, actual, { current: wide.strip(record), attempt, cause: absent.error })
  }

  /** Remembers a conflict: the record as it was found, which has another version. */
  conflictAt(
    expected: VersionValue,
    actual: VersionValue,
    { current, attempt, cause }: { current: Row; attempt: number; cause?: unknown },
  ): VersionConflictError {
    const { versioned, row } = this.#target
    const facts = { model: versioned.model.name, where: row, expected, actual, attempts: attempt }
    const error = new VersionConflictError(facts, cause === undefined ? undefined : { cause })
    this.#conflict = { error, current }
    return error
  }
}

/** The version in a record that was read with it. */
export function versionIn(record: Row, { version }: VersionedModel): VersionValue {
  return record[version.name] as VersionValue
}

/** Data that does not fit, or breaks a constraint: classes 22 and 23. */
export function isRefusedData(error: unknown): boolean {
  return /^2[23]/.test(sqlState(error) ?? '')
}
