import { canonical } from '../canonical.js'
import type { VersionValue } from '../errors.js'
import type { Row } from '../prisma/client.js'
import { isConnectionLost, isRecordNotFound, isStatementTimeout, isTransactionTimeout } from '../prisma/errors.js'
import type { CallersTransaction, RootScope, Scope } from '../prisma/scope.js'
import { allScalars, type Selection } from '../prisma/selection.js'
import { retrying, withAttempts } from '../retry/loop.js'
import { snapshot } from '../snapshot.js'
import { NO_TIMEOUT } from '../transaction/bounded-body.js'
import { LIMITS, wholeMilliseconds } from '../transaction/limits.js'
import { checkedData } from './arguments.js'
import { Company, copyOf } from './company.js'
import { changesEmulatedKey, withRowLocked } from './emulated-keys.js'
import { GuardedWrite, type Send, type Target } from './guarded-write.js'
import { lockRow } from './lock-row.js'
import { type Change, Passenger } from './passenger.js'
import { plainData, stamped } from './plain-data.js'
import type { PlainRow, Together } from './together.js'
import type { Place } from './turns.js'

export type { Change }

type Data = Readonly<Record<string, unknown>>

export interface UpdateTarget extends Target {
  readonly selection: Selection
  /** The row, where a statement of our own may stand for Prisma's `update`. */
  readonly plain: PlainRow | undefined
  /** The other writers of this client. */
  readonly together: Together
}

/** What became of a versioned update. */
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

/** The number of the attempt from which the row is locked: two lost races are bad luck, a third would be a habit. */
const FIRST_LOCKED_ATTEMPT = 3

/** The caller holds a version: one write under it. Only what cannot have been applied is sent again. */
export async function updateOnce(
  scope: RootScope | CallersTransaction,
  target: UpdateTarget,
  expected: VersionValue,
  data: Data,
): Promise<Outcome> {
  const write = new GuardedWrite(target)
  const send = sendUpdate(target, data)
  return outcomeOf(write, async () => {
    const record = await retrying(
      (attempt) => write.run(scope, expected, send, attempt),
      target.policy,
      target.deadline,
      (error) => write.isRetryable(scope, error),
    )
    return { status: 'updated', record }
  })
}

/**
 * Read, change, write; again from the read on a conflict.
 *
 * On the root client, writers of one process take turns by row, so only processes race. The turn
 * is taken before the read: what is read in one's turn no other writer of the process makes stale.
 * Inside a transaction there is no turn to take: a place in the queue, held while the database
 * waits for a row of that transaction, would be a deadlock that PostgreSQL cannot see.
 */
export async function updateByFunction(
  scope: RootScope | CallersTransaction,
  target: UpdateTarget,
  given: VersionValue | undefined,
  change: Change,
): Promise<Outcome> {
  const update = new FunctionUpdate(target, given, change)
  if (scope.inTransaction) return outcomeOf(update.write, () => update.runInTransaction(scope))
  const { versioned, row, deadline, policy, plain, together } = target
  deadline.signal?.throwIfAborted()
  const passenger = plain && given === undefined ? new Passenger(change, plain.selected, policy, deadline) : undefined
  const place = together.turns.join(`${versioned.model.name} ${canonical(row)}`, passenger)
  try {
    for (;;) {
      const turn = await place.turn(deadline, `other writers of ${versioned.model.name} in this process`)
      if (turn === 'turn') return await outcomeOf(update.write, () => update.runOnRoot(scope, place))
      passenger?.answer()
      const arrival = await passenger?.arrival()
      if (arrival) return arrival
    }
  } finally {
    place.leave()
  }
}

class FunctionUpdate {
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
      return await retrying(
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
  runInTransaction(scope: Scope): Promise<Outcome> {
    const { policy, deadline } = this.#target
    const attempt = async (attempt: number) => {
      if (attempt >= FIRST_LOCKED_ATTEMPT) await this.#lock(scope)
      return this.#attempt(scope, attempt)
    }
    return retrying(attempt, { ...policy, baseDelay: 0 }, deadline, (error) => this.#isConflict(error))
  }

  /** A write whose answer was lost comes first, and alone: whether it took effect decides what is next. */
  #resend(root: RootScope, attempt: number): Promise<Outcome> | undefined {
    return this.write.resend(root, attempt)?.then((record) => ({ status: 'updated', record }))
  }

  #freshAttempt(root: RootScope, attempt: number): Promise<Outcome> {
    return attempt < FIRST_LOCKED_ATTEMPT ? this.#attempt(root, attempt) : this.#lockedAttempt(root, attempt)
  }

  async #attempt(
    scope: Scope,
    attempt: number,
    onSent?: (expected: VersionValue, send: Send) => void,
  ): Promise<Outcome> {
    const { versioned, deadline, plain } = this.#target
    deadline.check('the database')
    const current = await this.#read(scope, allScalars(versioned.model))
    const expected = current[versioned.version.name] as VersionValue
    await this.#checkGiven(scope, expected, attempt)

    // The function may change what it is given.
    const data = await deadline.race(
      callChange(this.#change, plain ? copyOf(current, plain.scalars) : current, attempt),
      'the function given as `data`',
    )
    deadline.check('the function given as `data`')
    if (data === undefined) return this.#unchanged(scope, expected, attempt)

    const send = await this.#sendInCompany(scope, current, checkedData(data, versioned))
    const record = await this.write.run(scope, expected, send, attempt)
    onSent?.(expected, send)
    return { status: 'updated', record }
  }

  /** The write, with those whose functions can be composed with this one. */
  async #sendInCompany(scope: Scope, current: Row, data: Data): Promise<Send> {
    const alone = sendUpdate(this.#target, data)
    const { plain, versioned, together } = this.#target
    const place = this.#place
    if (!plain || !place?.hasCompany()) return alone
    const { model } = versioned
    const { facts: known, catalogue } = together
    const facts = scope.inTransaction ? known.known(model) : await known.of(model, scope)
    // A column is known to be free only if the table was found.
    const table = facts && (scope.inTransaction ? catalogue.known(model) : await catalogue.of(model, scope.query))
    if (!facts || !table) return alone
    this.#company = await Company.gather({ ...plain, versioned, place, facts, table }, current, data)
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
    const limit = wholeMilliseconds(deadline)
    let sent: { expected: VersionValue; send: Send } | undefined
    try {
      return await root.transaction(
        async (tx) => {
          await tx.query(`SELECT ${LIMITS}`, limit)
          await this.#lock(tx)
          return this.#attempt(tx, attempt, (expected, send) => {
            sent = { expected, send }
          })
        },
        { isolationLevel: 'ReadCommitted', maxWait: limit, timeout: NO_TIMEOUT },
      )
    } catch (error) {
      // Everything was answered but the COMMIT.
      if (sent && isConnectionLost(error)) this.write.noteLost(sent.expected, sent.send, error)
      const isOutOfTime = deadline.passed() && (isStatementTimeout(error) || isTransactionTimeout(error))
      throw (isOutOfTime && withAttempts(this.write.conflict, attempt)) || error
    }
  }

  #lock(scope: Scope): Promise<void> {
    return lockRow(scope, this.#target, 'NO KEY UPDATE')
  }

  async #read(scope: Scope, selection: Selection): Promise<Row> {
    try {
      return await scope.read({ where: this.#target.row, ...selection })
    } catch (error) {
      if (isRecordNotFound(error)) this.write.missing = error
      throw error
    }
  }

  async #checkGiven(scope: Scope, actual: VersionValue, attempt: number): Promise<void> {
    const given = this.#given
    this.#given = undefined
    if (given === undefined || given === actual) return
    this.#isHopeless = true
    this.write.current = await this.#read(scope, this.#target.currentSelection)
    this.write.conflict = this.write.conflictWith(given, actual, attempt)
    throw this.write.conflict
  }

  /** The record as it was when the function decided to leave it alone; a conflict if it no longer is. */
  async #unchanged(scope: Scope, expected: VersionValue, attempt: number): Promise<Outcome> {
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
  return snapshot(await change(current, attempt), 'data', 'data')
}

/**
 * The check and the write are one statement: UPDATE … WHERE key AND version RETURNING. Since the
 * version is always among the data, Prisma sends the UPDATE also when there is nothing but nested
 * writes, and before any of the rows that refer to this one. Writes of other rows that are ready
 * in the same tick go into the same statement, if they can.
 */
function sendUpdate(target: UpdateTarget, data: Data): Send {
  const { versioned, row, selection, plain, together } = target
  const { name } = versioned.version
  const call: Send = (scope, expected) =>
    scope.call('update', {
      where: { ...row, [name]: expected },
      data: { ...data, [name]: { increment: 1 } },
      ...selection,
    })
  if (changesEmulatedKey(data, versioned.model)) return withRowLocked(target, call)
  const columns = plain && plainData(data, versioned.model)
  return async (scope, expected) => {
    const values = !scope.inTransaction && columns && stamped(columns, versioned.model)
    if (plain && values) {
      const record = await together.batches.write(scope, { ...plain, versioned, expected, data: values })
      if (record) return record
    }
    return call(scope, expected)
  }
}

async function outcomeOf(write: GuardedWrite, run: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await run()
  } catch (thrown) {
    const error = write.lastError(thrown)
    if (error === write.conflict && write.conflict && write.current) {
      const { expected, actual } = write.conflict
      return { status: 'stale', error, expected, actual, current: write.current }
    }
    if (error === write.missing && error !== undefined) return { status: 'missing', error }
    throw error
  }
}
