import { isConnectionLost, isStatementTimeout, isTransactionTimeout } from '../engine/error-facts.js'
import type { Row } from '../engine/session.js'
import type { VersionValue } from '../errors/index.js'
import { isRecordNotFound } from '../prisma/errors.js'
import { allScalars, type Selection } from '../prisma/selection.js'
import type { CallersTransaction, RootScope, Session } from '../prisma/session.js'
import { retry, withAttempts } from '../retry/loop.js'
import { patient } from '../transactions/bounds.js'
import { CALLS_FROM_INSIDE } from '../transactions/hints.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import { inPatientTurn } from '../transactions/records-in-turn.js'
import { snapshot } from '../values/snapshot.js'
import { Company, copyOf } from './company.js'
import { GuardedWrite, type Send } from './guarded-write.js'
import { lockRow } from './lock-row.js'
import { type Change, isThenable, type Passenger } from './passenger.js'
import { type Data, type Outcome, sendUpdate, type UpdateTarget } from './send-update.js'
import type { Place } from './turns.js'

const DATA_FUNCTION = 'the function given as `data`'
const FROM_DATA = { ...CALLS_FROM_INSIDE, mayTakeEffect: true }

/** The calls of Prisma that an attempt is made of. */
const CALLS = ['update', 'findUniqueOrThrow'] as const

/** The number of the attempt from which the row is locked: two lost races are bad luck, a third would be a habit. */
const FIRST_LOCKED_ATTEMPT = 3

/** The attempts of one update by a function. */
export class FunctionUpdate {
  readonly write: GuardedWrite
  readonly #target: UpdateTarget
  readonly #change: Change
  /** The version that the caller gave; it must match what is read first, and plays no part afterwards. */
  #given: VersionValue | undefined
  #isHopeless = false
  /** Its place among the writers of the row, while it has the turn. */
  #place: Place<Passenger> | undefined
  /** Those whose functions are in the same write. */
  #company: Company | undefined

  constructor(target: UpdateTarget, given: VersionValue | undefined, change: Change) {
    this.write = new GuardedWrite(target)
    this.#target = target
    this.#given = given
    this.#change = change
  }

  async runOnRoot(root: RootScope, place: Place<Passenger>): Promise<Outcome> {
    const { policy, deadline } = this.#target
    this.#place = place
    try {
      return await retry(
        (attempt) => this.#inCompany(() => this.#resend(root, attempt) ?? this.#freshAttempt(root, attempt)),
        policy,
        deadline,
        (error) => this.#isConflict(error) || this.write.isRetryable(root, error),
      )
    } catch (error) {
      this.#company?.strand(error)
      throw error
    }
  }

  /** Those who were taken along share what becomes of an attempt: written, not written, or not known. */
  async #inCompany(attempt: () => Promise<Outcome>): Promise<Outcome> {
    try {
      const outcome = await attempt()
      this.#company?.arrive()
      this.#company = undefined
      return outcome
    } catch (error) {
      if (this.write.isLost) this.#company?.noteLost()
      else this.#leaveCompany()
      throw error
    }
  }

  #leaveCompany(): void {
    this.#company?.giveBack()
    this.#company = undefined
  }

  /**
   * At READ COMMITTED a statement sees what was committed before it, so reading again may win.
   * At REPEATABLE READ and above the database answers 40001, which ends the transaction and goes
   * up. There is no wait between attempts: it would only hold the transaction's locks for longer.
   */
  runInTransaction(transaction: CallersTransaction): Promise<Outcome> {
    const { policy, deadline } = this.#target
    // Once the row is locked, only calls of the same transaction come in between: as many as there are.
    const attempts = policy.attempts < FIRST_LOCKED_ATTEMPT ? policy.attempts : Number.POSITIVE_INFINITY
    return retry(
      (attempt) => this.#attemptInTurns(transaction, attempt),
      { ...policy, attempts, baseDelay: 0 },
      deadline,
      (error) => this.#isConflict(error),
    )
  }

  /**
   * A turn covers statements. A function that gives its answer at once is run in the turn, so that
   * nothing comes in between; an async one may call its own `tx`, and would wait for itself there.
   */
  async #attemptInTurns(transaction: CallersTransaction, attempt: number): Promise<Outcome> {
    const { deadline } = this.#target
    const begun = await inPatientTurn(transaction, deadline, CALLS, async (turn) => {
      if (attempt >= FIRST_LOCKED_ATTEMPT) await this.#lock(turn)
      const { current, expected } = await this.#current(turn, attempt)
      const answer = this.#change(current, attempt)
      if (isThenable(answer)) return { current, expected, answer }
      return this.#write(turn, current, expected, answer, attempt)
    })
    if ('status' in begun) return begun
    const { current, expected, answer } = begun
    const data = await deadline.race(answer, DATA_FUNCTION, FROM_DATA)
    return inPatientTurn(transaction, deadline, CALLS, (turn) => this.#write(turn, current, expected, data, attempt))
  }

  /** A write whose answer was lost comes first, and alone: whether it took effect decides what is next. */
  #resend(root: RootScope, attempt: number): Promise<Outcome> | undefined {
    return this.write.resend(root, attempt)?.then((record) => ({ status: 'updated', record }))
  }

  #freshAttempt(root: RootScope, attempt: number): Promise<Outcome> {
    return attempt < FIRST_LOCKED_ATTEMPT ? this.#attempt(root, attempt) : this.#lockedAttempt(root, attempt)
  }

  async #attempt(
    scope: Session,
    attempt: number,
    onSent?: (expected: VersionValue, send: Send) => void,
  ): Promise<Outcome> {
    const { deadline, plain } = this.#target
    const { current, expected } = await this.#current(scope, attempt)
    // The function may change what it is given.
    const data = await deadline.race(
      callChange(this.#change, plain ? copyOf(current, plain.scalars) : current, attempt),
      DATA_FUNCTION,
      scope.inTransaction ? FROM_DATA : undefined,
    )
    return this.#write(scope, current, expected, data, attempt, onSent)
  }

  async #current(scope: Session, attempt: number): Promise<{ readonly current: Row; readonly expected: VersionValue }> {
    const { versioned, deadline } = this.#target
    deadline.check('the database')
    const current = await patient(scope, deadline, CALLS, () => this.#read(scope, allScalars(versioned.model)))
    const expected = current[versioned.version.name] as VersionValue
    await this.#checkGiven(scope, expected, attempt)
    return { current, expected }
  }

  async #write(
    scope: Session,
    current: Row,
    expected: VersionValue,
    data: unknown,
    attempt: number,
    onSent?: (expected: VersionValue, send: Send) => void,
  ): Promise<Outcome> {
    const { dataOf, deadline } = this.#target
    deadline.check(DATA_FUNCTION)
    const given = snapshot(data, 'data', 'data')
    if (given === undefined) return this.#unchanged(scope, expected, attempt)

    const send = await this.#sendInCompany(scope, current, dataOf(given))
    const record = await patient(scope, deadline, CALLS, () => this.write.run(scope, expected, send, attempt))
    onSent?.(expected, send)
    return { status: 'updated', record }
  }

  /** The write, with those whose functions can be composed with this one. */
  async #sendInCompany(scope: Session, current: Row, data: Data): Promise<Send> {
    const alone = sendUpdate(this.#target, data)
    const { plain, versioned, together } = this.#target
    const place = this.#place
    if (!plain || !place?.hasCompany()) return alone
    const { model } = versioned
    const { catalogue } = together
    const table = scope.inTransaction ? catalogue.known(model) : await catalogue.of(model, scope.query)
    if (!table) return alone
    this.#company = await Company.gather({ ...plain, versioned, place, table }, current, data)
    return async (scope, expected) => {
      const record = await this.#company?.send(scope)
      if (record) return record
      const own = await alone(scope, expected)
      this.#leaveCompany() // the row was still as expected, so theirs was not written
      return own
    }
  }

  /** The row is locked first, so what is read then stays as it is, and the write cannot lose. */
  async #lockedAttempt(root: RootScope, attempt: number): Promise<Outcome> {
    const { deadline } = this.#target
    const options = { deadline, calls: ['update'], isolationLevel: 'ReadCommitted' } as const
    let sent: { expected: VersionValue; send: Send } | undefined
    try {
      return await inOwnTransaction(root, options, async (tx) => {
        await this.#lock(tx)
        return this.#attempt(tx, attempt, (expected, send) => {
          sent = { expected, send }
        })
      })
    } catch (error) {
      // Everything was answered but the COMMIT.
      if (sent && isConnectionLost(error)) this.write.noteLost(sent.expected, sent.send, error)
      const isOutOfTime = deadline.passed() && (isStatementTimeout(error) || isTransactionTimeout(error))
      throw (isOutOfTime && withAttempts(this.write.conflict, attempt)) || error
    }
  }

  #lock(scope: Session): Promise<void> {
    return lockRow(scope, this.#target, 'NO KEY UPDATE')
  }

  async #read(scope: Session, selection: Selection): Promise<Row> {
    try {
      return await scope.read({ where: this.#target.row, ...selection })
    } catch (error) {
      if (isRecordNotFound(error)) this.write.missing = error
      throw error
    }
  }

  async #checkGiven(scope: Session, actual: VersionValue, attempt: number): Promise<void> {
    const given = this.#given
    this.#given = undefined
    if (given === undefined || given === actual) return
    this.#isHopeless = true
    this.write.current = await this.#read(scope, this.#target.currentSelection)
    this.write.conflict = this.write.conflictWith(given, actual, attempt)
    throw this.write.conflict
  }

  /** The record as it was when the function decided to leave it alone; a conflict if it no longer is. */
  async #unchanged(scope: Session, expected: VersionValue, attempt: number): Promise<Outcome> {
    const { versioned, row, selection } = this.#target
    try {
      const record = await scope.read({ where: { ...row, [versioned.version.name]: expected }, ...selection })
      return { status: 'unchanged', record }
    } catch (error) {
      if (isRecordNotFound(error)) await this.write.throwReason(scope, error, expected, attempt)
      throw error
    }
  }

  #isConflict(error: unknown): boolean {
    return error === this.write.conflict && !this.#isHopeless
  }
}

/** Also a function that throws at once gives a rejected promise. */
async function callChange(change: Change, current: Row, attempt: number): Promise<unknown> {
  return change(current, attempt)
}
