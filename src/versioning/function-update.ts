import { Absent, type CallersTransaction, type RecordSession } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import type { VersionValue } from '../errors/index.js'
import { timed } from '../events/call-events.js'
import { retry } from '../retry/loop.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { Retryable } from '../retry/retryable.js'
import { patient } from '../transactions/bounds.js'
import { CALLS_FROM_INSIDE } from '../transactions/hints.js'
import { inPatientTurn } from '../transactions/records-in-turn.js'
import { allScalars } from '../values/selection.js'
import { snapshot } from '../values/snapshot.js'
import type { Data } from './arguments.js'
import type { DirectRow } from './direct-rows.js'
import { GuardedWrite, type Outcome, versionIn, type Write } from './guarded-write.js'
import { lockRow } from './lock-row.js'
import { sendUpdate } from './send-update.js'
import { UPDATE_CALLS, type UpdateTarget } from './update-target.js'

/** `data` as a function. */
export type Change = (current: Row, attempt: number) => unknown

export function isChange(data: unknown): data is Change {
  return typeof data === 'function'
}

const DATA_FUNCTION = 'the function given as `data`'
const FROM_DATA = { ...CALLS_FROM_INSIDE, mayTakeEffect: true }

/** The number of the attempt from which the row is locked: two conflicts can be chance, three predict more. */
export const FIRST_LOCKED_ATTEMPT = 3

/** The record that an attempt begins with, and its version. */
export interface Current {
  readonly record: Row
  readonly expected: VersionValue
  readonly attempt: number
}

/** Makes one write of a write and of those of other calls, if there are any that fit. */
export type Join = (own: Write, data: Data) => Promise<Write>

/** Read, change, write; again from the read on a conflict. */
export class FunctionUpdate {
  readonly target: UpdateTarget
  readonly change: Change
  readonly guarded: GuardedWrite
  /** The version that the caller gave; it must match what is read first, and plays no part afterwards. */
  given: VersionValue | undefined
  #isHopeless = false

  constructor(target: UpdateTarget, change: Change, given: VersionValue | undefined) {
    this.target = target
    this.change = change
    this.guarded = new GuardedWrite(target)
    this.given = given
  }

  /**
   * All attempts in a transaction of the caller's. A turn covers statements. A function that gives its answer at
   * once is run in the turn, so that nothing comes in between; an async one may call its own `tx`, and would wait
   * for itself there.
   *
   * No call waits for another one of its row: to wait in the process while the database waits for a row of that
   * transaction would be a deadlock that PostgreSQL cannot see.
   */
  attemptsOn(transaction: CallersTransaction): Promise<Outcome> {
    const { policy, deadline } = this.target
    const attempt = async (number: number): Promise<Outcome> => {
      const begun = await inPatientTurn(transaction, deadline, UPDATE_CALLS, async (turn) => {
        const current = await this.read(turn, number, number >= FIRST_LOCKED_ATTEMPT)
        const answer = this.change(current.record, number)
        return isThenable(answer) ? { current, answer } : this.write(turn, current, answer)
      })
      if ('status' in begun) return begun
      const data = await this.answerOf(begun.answer, true)
      return inPatientTurn(transaction, deadline, UPDATE_CALLS, (turn) => this.write(turn, begun.current, data))
    }
    return this.guarded.outcomeOf(() =>
      retry(attempt, policyInTransaction(policy), deadline, (error) => this.isRetryable(error)),
    )
  }

  isRetryable(error: unknown): Retryable {
    const isConflict = this.guarded.isConflict(error) && !this.#isHopeless
    return isConflict || this.guarded.isRetryable(this.target.session, error)
  }

  async read(session: RecordSession, attempt: number, isLocking: boolean): Promise<Current> {
    const { versioned, deadline, direct, shared, currentSelection } = this.target
    deadline.check('the database')
    const readDirect = (row: DirectRow) => shared.rows.read(session, row, deadline)
    const record = direct
      ? ((await (isLocking
          ? timed(deadline.events, 'row', () => readDirect({ ...direct, isLocking }))
          : readDirect(direct))) ?? this.guarded.missing(session.absent('findUniqueOrThrow').error))
      : await this.#readByPrisma(session, isLocking)
    const expected = versionIn(record, versioned)
    const { given } = this
    this.given = undefined
    if (given === undefined || given === expected) return { record, expected, attempt }
    this.#isHopeless = true
    const current = await this.#patient(session, () => this.guarded.read(session, currentSelection))
    throw this.guarded.conflictAt(given, expected, { current, attempt })
  }

  async #readByPrisma(session: RecordSession, isLocking: boolean): Promise<Row> {
    if (isLocking) await lockRow(session, this.target, 'NO KEY UPDATE')
    return this.#patient(session, () => this.guarded.read(session, allScalars(this.target.versioned.model)))
  }

  /** A statement of our own meets no extension that could keep it waiting. */
  #patient<R>(session: RecordSession, run: () => Promise<R>): Promise<R> {
    return this.target.direct ? run() : patient(session, this.target.deadline, UPDATE_CALLS, run)
  }

  /** Waits for an async function. */
  answerOf(answer: PromiseLike<unknown>, inTransaction: boolean): Promise<unknown> {
    return this.target.deadline.race(answer, DATA_FUNCTION, inTransaction ? FROM_DATA : undefined)
  }

  /** Writes the data that the function has given for the record. */
  async write(session: RecordSession, current: Current, given: unknown, join?: Join): Promise<Outcome> {
    this.target.deadline.check(DATA_FUNCTION)
    const data = snapshot(given, 'data', 'data')
    if (data === undefined) return this.#unchanged(session, current)
    const checked = this.target.dataOf(data)
    const own = { expected: current.expected, send: sendUpdate(this.target, checked) }
    const write = join ? await join(own, checked) : own
    const record = await this.#patient(session, () => this.guarded.run(session, write, current.attempt))
    return { status: 'updated', record }
  }

  /** The record as it was when the function decided to leave it alone; a conflict if it no longer is. */
  async #unchanged(session: RecordSession, { expected, attempt }: Current): Promise<Outcome> {
    const { versioned, row, selection } = this.target
    const where = { ...row, [versioned.version.name]: expected }
    const record = await session.read({ where, ...selection })
    if (!(record instanceof Absent)) return { status: 'unchanged', record }
    await this.guarded.throwReason(session, record, expected, attempt)
    throw record.error
  }
}

/**
 * At READ COMMITTED a statement sees what was committed before it, so reading again may win.
 * At REPEATABLE READ and above the database answers 40001, which ends the transaction and goes
 * up. There is no wait between attempts: it would only hold the transaction's locks for longer. Once the
 * row is locked, only calls of the same transaction come in between: as many as there are.
 */
function policyInTransaction(policy: ResolvedPolicy): ResolvedPolicy {
  const attempts = policy.attempts < FIRST_LOCKED_ATTEMPT ? policy.attempts : Number.POSITIVE_INFINITY
  return { ...policy, attempts, baseDelay: 0 }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
