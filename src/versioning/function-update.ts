import type { Field } from '../engine/data-model.js'
import { isConnectionLost, isStatementTimeout, isTransactionTimeout } from '../engine/error-facts.js'
import { Absent, type CallersTransaction, type RecordSession, type RootRecords } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import type { VersionValue } from '../errors/index.js'
import { retry, withAttempts } from '../retry/loop.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { isDirect, type RowKey } from '../sql/row-key.js'
import { Batcher, type BatcherBounds, type Queue, type Task } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import type { Deadline } from '../sync/deadline.js'
import { patient } from '../transactions/bounds.js'
import { CALLS_FROM_INSIDE } from '../transactions/hints.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import { inPatientTurn } from '../transactions/records-in-turn.js'
import { canonical } from '../values/canonical.js'
import { allScalars } from '../values/selection.js'
import { snapshot } from '../values/snapshot.js'
import type { Data } from './arguments.js'
import { CallersContext } from './callers-context.js'
import { type Answer, copyOf } from './compose.js'
import { GuardedWrite, type Outcome, versionIn, type Write } from './guarded-write.js'
import { type JoiningCall, JointWrite } from './joint-write.js'
import { lockRow } from './lock-row.js'
import { sendUpdate } from './send-update.js'
import type { UpdateTarget } from './update.js'

/** `data` as a function. */
export type Change = (current: Row, attempt: number) => unknown

export function isChange(data: unknown): data is Change {
  return typeof data === 'function'
}

const DATA_FUNCTION = 'the function given as `data`'
const FROM_DATA = { ...CALLS_FROM_INSIDE, mayTakeEffect: true }

/** The calls of Prisma that an attempt is made of. */
const CALLS = ['update', 'findUniqueOrThrow'] as const

/** The number of the attempt from which the row is locked: two conflicts can be chance, three predict more. */
const FIRST_LOCKED_ATTEMPT = 3

/**
 * The same for a function that answers at once: the lock is then held for statements alone, and processes that
 * write the row take turns with all that waits in each.
 */
const FIRST_LOCKED_IF_QUICK = 2

/** The record that an attempt begins with, and its version. */
interface Current {
  readonly record: Row
  readonly expected: VersionValue
}

/**
 * Read, change, write; again from the read on a conflict.
 *
 * On the root client the calls of one process wait for their turn by row, so only processes race. The turn
 * comes before the read: no other call of the process makes that read stale. Inside a transaction no
 * call waits for a turn: to wait in the process while the database waits for a row of that transaction
 * would be a deadlock that PostgreSQL cannot see.
 */
export class FunctionUpdate implements JoiningCall, Task {
  /** One row is one group, of which one call at a time has its turn. */
  readonly group: string
  readonly deadline: Deadline
  readonly selected: readonly Field[]
  readonly dataOf: (given: unknown) => Data
  canJoin: boolean
  readonly #target: UpdateTarget
  readonly #change: Change
  /** Of the call, while it waits. */
  #context: CallersContext | undefined
  readonly #guarded: GuardedWrite
  readonly #firstLocked: number
  /** The calls that wait behind this one, while it is its turn. */
  #queue: Queue<FunctionUpdate, Outcome> | undefined
  /** The functions of other calls that are in the write of this attempt. */
  #joint: JointWrite | undefined
  /** The version that the caller gave; it must match what is read first, and plays no part afterwards. */
  #given: VersionValue | undefined
  #isHopeless = false
  /** The last write that was answered. */
  #sent: Write | undefined

  constructor(target: UpdateTarget, given: VersionValue | undefined, change: Change) {
    const { versioned, row, key, deadline, direct, dataOf } = target
    this.group = versioned.model.name + (isDirect(key) ? keyName(key) : canonical(row))
    this.deadline = deadline
    this.selected = direct?.selected ?? []
    this.dataOf = dataOf
    // An async function may take its time, for which nobody else should have to wait.
    this.canJoin = direct !== undefined && given === undefined && !isAsyncFunction(change)
    this.#firstLocked = direct && !isAsyncFunction(change) ? FIRST_LOCKED_IF_QUICK : FIRST_LOCKED_ATTEMPT
    this.#target = target
    this.#change = change
    this.#guarded = new GuardedWrite(target)
    this.#given = given
  }

  run(): Promise<Outcome> {
    const { session, shared } = this.#target
    if (session.inTransaction) return this.#attempts()
    const outcome = shared.functions.add(this, (outcome) => outcome)
    if (!this.#queue) this.#context = new CallersContext()
    return outcome
  }

  /** Its turn has come. */
  async lead(queue: Queue<FunctionUpdate, Outcome>): Promise<Outcome> {
    this.#queue = queue
    try {
      return await (this.#context ? this.#context.run(() => this.#attempts()) : this.#attempts())
    } catch (error) {
      this.#joint?.giveUp(error)
      throw error
    }
  }

  ask(record: Row): Promise<Answer> {
    const answer = (): Answer => {
      try {
        this.deadline.signal?.throwIfAborted()
        const data = this.#change(record, 1)
        if (!isThenable(data)) return { data: snapshot(data, 'data', 'data') }
        Promise.resolve(data).catch(() => {}) // it runs again, and is looked at then
        return { isAsync: true }
      } catch (error) {
        return { error }
      }
    }
    return this.#context ? this.#context.run(answer) : Promise.resolve(answer())
  }

  retriesOn(error: unknown): boolean {
    return this.#target.policy.retryOn(error)
  }

  #attempts(): Promise<Outcome> {
    const { session, policy, deadline } = this.#target
    return this.#guarded.outcomeOf(() =>
      retry(
        (attempt) =>
          session.inTransaction ? this.#attemptInTurns(session, attempt) : this.#attemptOnRoot(session, attempt),
        session.inTransaction ? policyInTransaction(policy) : policy,
        deadline,
        (error) => this.#isConflict(error) || this.#guarded.isRetryable(session, error),
      ),
    )
  }

  /** The calls in the write share what becomes of it: written, not written, or not known. */
  async #attemptOnRoot(root: RootRecords, attempt: number): Promise<Outcome> {
    try {
      // A write whose answer was lost comes first, and alone: whether it took effect decides what is next.
      const resent = this.#guarded.resend(root, attempt)
      const outcome: Outcome = resent
        ? { status: 'updated', record: await resent }
        : await (attempt < this.#firstLocked ? this.#attemptIn(root, attempt) : this.#lockedAttempt(root, attempt))
      this.#joint?.settle()
      return outcome
    } catch (error) {
      if (this.#guarded.isAmbiguous) this.#joint?.lose()
      else this.#goAlone()
      throw error
    }
  }

  async #attemptIn(session: RecordSession, attempt: number): Promise<Outcome> {
    const { deadline, direct } = this.#target
    const current = await this.#read(session, attempt, session.inTransaction)
    // The function may change what it is given.
    const own = direct ? copyOf(current.record, direct.scalars) : current.record
    const answer = this.#change(own, attempt)
    const given = isThenable(answer)
      ? await deadline.race(answer, DATA_FUNCTION, session.inTransaction ? FROM_DATA : undefined)
      : answer
    return this.#write(session, current, given, attempt)
  }

  /** The row is locked first, so what is read then stays as it is, and the write cannot lose. */
  async #lockedAttempt(root: RootRecords, attempt: number): Promise<Outcome> {
    const { deadline } = this.#target
    const options = { deadline, calls: ['update'], isolationLevel: 'ReadCommitted' } as const
    this.#sent = undefined
    try {
      return await inOwnTransaction(root, options, (tx) => this.#attemptIn(tx, attempt))
    } catch (error) {
      // Everything was answered but the COMMIT.
      if (this.#sent && isConnectionLost(error)) this.#guarded.lose(this.#sent, error)
      const isOutOfTime = deadline.passed() && (isStatementTimeout(error) || isTransactionTimeout(error))
      throw (isOutOfTime && withAttempts(this.#guarded.conflict, attempt)) || error
    }
  }

  /**
   * A turn covers statements. A function that gives its answer at once is run in the turn, so that
   * nothing comes in between; an async one may call its own `tx`, and would wait for itself there.
   */
  async #attemptInTurns(transaction: CallersTransaction, attempt: number): Promise<Outcome> {
    const { deadline } = this.#target
    const begun = await inPatientTurn(transaction, deadline, CALLS, async (turn) => {
      const current = await this.#read(turn, attempt, attempt >= FIRST_LOCKED_ATTEMPT)
      const answer = this.#change(current.record, attempt)
      return isThenable(answer) ? { current, answer } : this.#write(turn, current, answer, attempt)
    })
    if ('status' in begun) return begun
    const data = await deadline.race(begun.answer, DATA_FUNCTION, FROM_DATA)
    return inPatientTurn(transaction, deadline, CALLS, (turn) => this.#write(turn, begun.current, data, attempt))
  }

  async #read(session: RecordSession, attempt: number, isLocking: boolean): Promise<Current> {
    const { versioned, deadline, direct, shared, currentSelection } = this.#target
    deadline.check('the database')
    const record = direct
      ? ((await shared.rows.read(session, isLocking ? { ...direct, isLocking } : direct)) ??
        this.#guarded.missing(session.absent('findUniqueOrThrow').error))
      : await this.#readByPrisma(session, isLocking)
    const expected = versionIn(record, versioned)
    const given = this.#given
    this.#given = undefined
    if (given === undefined || given === expected) return { record, expected }
    this.#isHopeless = true
    const current = await this.#patient(session, () => this.#guarded.read(session, currentSelection))
    throw this.#guarded.conflictAt(given, expected, { current, attempt })
  }

  async #readByPrisma(session: RecordSession, isLocking: boolean): Promise<Row> {
    const { versioned } = this.#target
    if (isLocking) await lockRow(session, this.#target, 'NO KEY UPDATE')
    return this.#patient(session, () => this.#guarded.read(session, allScalars(versioned.model)))
  }

  /** A statement of our own meets no extension that could keep it waiting. */
  #patient<R>(session: RecordSession, run: () => Promise<R>): Promise<R> {
    return this.#target.direct ? run() : patient(session, this.#target.deadline, CALLS, run)
  }

  async #write(session: RecordSession, current: Current, given: unknown, attempt: number): Promise<Outcome> {
    this.#target.deadline.check(DATA_FUNCTION)
    const data = snapshot(given, 'data', 'data')
    if (data === undefined) return this.#unchanged(session, current, attempt)
    const checked = this.dataOf(data)
    const own = { expected: current.expected, send: sendUpdate(this.#target, checked) }
    const isAlone = !this.#queue || this.#queue.isEmpty()
    const write = isAlone ? own : await this.#joined(session, own, { record: current.record, data: checked })
    const record = await this.#patient(session, () => this.#guarded.run(session, write, attempt))
    this.#sent = write
    return { status: 'updated', record }
  }

  /** The write, together with the calls behind this one whose functions can be composed with it. */
  async #joined(session: RecordSession, own: Write, { record, data }: { record: Row; data: Data }): Promise<Write> {
    const { direct, versioned, catalogue, keyCheck, key } = this.#target
    if (!direct || !this.#queue) return own
    await keyCheck.find(session, key) // asks the catalogue
    const table = catalogue.known(versioned.model)
    const joint = table && (await JointWrite.of({ ...direct, table, queue: this.#queue }, record, data))
    if (!joint) return own
    this.#joint = joint
    return {
      expected: own.expected,
      send: async (session, expected) => {
        const written = await joint.send(session)
        if (written) return written
        const alone = await own.send(session, expected)
        if (!(alone instanceof Absent)) this.#goAlone() // the row was still as expected, so theirs was not written
        return alone
      },
    }
  }

  #goAlone(): void {
    this.#joint?.putBack()
    this.#joint = undefined
  }

  /** The record as it was when the function decided to leave it alone; a conflict if it no longer is. */
  async #unchanged(session: RecordSession, { expected }: Current, attempt: number): Promise<Outcome> {
    const { versioned, row, selection } = this.#target
    const where = { ...row, [versioned.version.name]: expected }
    const record = await session.read({ where, ...selection })
    if (!(record instanceof Absent)) return { status: 'unchanged', record }
    await this.#guarded.throwReason(session, record, expected, attempt)
    throw record.error
  }

  #isConflict(error: unknown): boolean {
    return this.#guarded.isConflict(error) && !this.#isHopeless
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

function keyName({ parts }: RowKey): string {
  let name = ''
  for (const { field, value } of parts) name += ` ${field.name} ${canonical(value)}`
  return name
}

const BOUNDS: BatcherBounds = {
  largestBatch: 1,
  batchesAtOnce: 1,
  gatheringTurns: 0,
  waitedFor: 'other writers of the row in this process',
}

/** The turns of the calls of each row. The call whose turn it is takes others into its write. */
export function functionBatcher(): Batcher<FunctionUpdate, Outcome> {
  return new Batcher(
    async ([job], _, queue) => {
      if (job) job.resolve(await job.task.lead(queue))
    },
    BOUNDS,
    systemClock,
  )
}

function isAsyncFunction(change: Change): boolean {
  return Object.prototype.toString.call(change) === '[object AsyncFunction]'
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
