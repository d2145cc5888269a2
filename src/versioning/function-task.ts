import { CallersContext } from '../engine/callers-context.js'
import type { Field } from '../engine/data-model.js'
import { Absent, type RecordSession, type RootRecords } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import { inBatch } from '../events/call-events.js'
import { limitReached, retry } from '../retry/loop.js'
import { isDirect, type RowKey } from '../sql/row-key.js'
import { Batcher, type BatcherBounds, type Job, type Queue, type Task } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import type { Deadline } from '../sync/deadline.js'
import { canonical } from '../values/canonical.js'
import { snapshot } from '../values/snapshot.js'
import type { Data } from './arguments.js'
import { type Answer, copyOf } from './compose.js'
import { type Change, FIRST_LOCKED_ATTEMPT, type FunctionUpdate, isThenable, type Join } from './function-update.js'
import type { Outcome, Write } from './guarded-write.js'
import { type JoiningCall, JointWrite } from './joint-write.js'

/**
 * The first locked attempt of a function that answers at once: the lock is then held for statements alone, and
 * processes that write the row take turns with all that waits in each.
 */
const FIRST_LOCKED_IF_QUICK = 2

/**
 * The call of a function on the root client. The calls of one process wait for their turn by row, so only
 * processes race. The turn comes before the read: no other call of the process makes that read stale.
 */
export class FunctionTask implements JoiningCall, Task {
  /** One row is one group, of which one call at a time has its turn. */
  readonly group: string
  readonly deadline: Deadline
  readonly selected: readonly Field[]
  readonly dataOf: (given: unknown) => Data
  canJoin: boolean
  readonly #update: FunctionUpdate
  readonly #root: RootRecords
  readonly #firstLocked: number
  /** Of the call, while it waits. */
  #context: CallersContext | undefined
  /** The calls that wait behind this one, while it is its turn. */
  #queue: Queue<FunctionTask, Outcome> | undefined
  /** The functions of other calls that are in the write of this attempt. */
  #joint: JointWrite | undefined

  constructor(update: FunctionUpdate, root: RootRecords) {
    const { versioned, row, key, deadline, direct, dataOf } = update.target
    this.group = versioned.model.name + (isDirect(key) ? keyName(key) : canonical(row))
    this.deadline = deadline
    this.selected = direct?.selected ?? []
    this.dataOf = dataOf
    // An async function may take its time, for which nobody else should have to wait.
    const isQuick = direct !== undefined && !isAsyncFunction(update.change)
    this.canJoin = isQuick && update.given === undefined
    this.#firstLocked = isQuick ? FIRST_LOCKED_IF_QUICK : FIRST_LOCKED_ATTEMPT
    this.#update = update
    this.#root = root.until(update.target.deadline)
  }

  /** Keeps the caller's context, unless its turn has come already. */
  keepContext(): void {
    if (!this.#queue) this.#context = new CallersContext()
  }

  /** All attempts: its turn has come. The calls in a write share what becomes of it: written, not written, or not known. */
  async lead(job: Job<FunctionTask, Outcome>, queue: Queue<FunctionTask, Outcome>): Promise<void> {
    this.#queue = queue
    const { guarded, target, change } = this.#update
    const readAndWrite = async (session: RecordSession, number: number): Promise<Outcome> => {
      const current = await this.#update.read(session, number, session.inTransaction)
      // The function may change what it is given.
      const own = target.direct ? copyOf(current.record, target.direct.scalars) : current.record
      const answer = change(own, number)
      const data = isThenable(answer) ? await this.#update.answerOf(answer, session.inTransaction) : answer
      const join: Join = (own, given) => this.#joined(session, own, { record: current.record, data: given })
      return this.#update.write(session, current, data, queue.isEmpty() ? undefined : join)
    }
    const attempt = async (root: RootRecords, number: number): Promise<Outcome> => {
      try {
        // A write whose answer was lost comes first, and alone: whether it took effect decides what is next.
        const resent = guarded.resend(root, number)
        const outcome: Outcome = resent
          ? { status: 'updated', record: await resent }
          : number < this.#firstLocked
            ? await readAndWrite(root, number)
            : // The row is locked first, so what is read then stays as it is, and the write cannot lose.
              await guarded.inTransaction(root, ['update'], number, (tx) => readAndWrite(tx, number))
        this.#joint?.settle()
        return outcome
      } catch (error) {
        if (!guarded.isAmbiguous) this.#goAlone()
        else if (isConcurrencyError(error, 'OUTCOME_UNKNOWN')) this.#joint?.giveUp(error)
        else this.#joint?.lose()
        throw error
      }
    }
    const isRetryable = (error: unknown) => this.#update.isRetryable(error)
    const limited = (error: unknown) => {
      throw limitReached(error, this.deadline, 'the row')
    }
    const attempts = () =>
      guarded.outcomeOf(() =>
        retry((number) => attempt(this.#root, number), target.policy, this.deadline, isRetryable).catch(limited),
      )
    try {
      job.resolve(await (this.#context ? this.#context.run(attempts) : attempts()))
    } catch (error) {
      job.reject(error)
      await this.#findOut(attempt)
    }
  }

  /**
   * The call whose turn it is has been told. Where the answer to its write was lost, the others in it have their own
   * time to find out what became of it: it is sent again.
   */
  async #findOut(attempt: (root: RootRecords, number: number) => Promise<Outcome>): Promise<void> {
    const { guarded, target } = this.#update
    for (let job = this.#joint?.open; job && guarded.isAmbiguous; job = this.#joint?.open) {
      const { deadline } = job.task
      try {
        const root = this.#root.until(deadline)
        const isRetryable = (error: unknown) => guarded.isAmbiguous && this.#update.isRetryable(error)
        await guarded.outcomeOf(() => retry((number) => attempt(root, number), target.policy, deadline, isRetryable))
      } catch (error) {
        if (guarded.isAmbiguous) job.reject(error)
      }
    }
  }

  ask(record: Row): Promise<Answer> {
    const answer = (): Answer => {
      try {
        this.deadline.signal?.throwIfAborted()
        const data = this.#update.change(record, 1)
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
    return this.#update.target.policy.retryOn(error)
  }

  /** The write, together with the calls behind this one whose functions can be composed with it. */
  async #joined(session: RecordSession, own: Write, { record, data }: { record: Row; data: Data }): Promise<Write> {
    const { direct, versioned, catalogue, keyCheck, key } = this.#update.target
    if (!direct || !this.#queue) return own
    await keyCheck.find(session, key, this.deadline) // asks the catalogue
    const table = catalogue.known(versioned.model)
    const joint = table && (await JointWrite.of({ ...direct, table, queue: this.#queue }, record, data))
    if (!joint) return own
    this.#joint = joint
    return {
      expected: own.expected,
      send: async (session, expected) => {
        const together = [this.deadline, ...joint.deadlines]
        const written = await inBatch(
          together,
          ({ events }) => events,
          () => joint.send(session),
        )
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
export function functionBatcher(): Batcher<FunctionTask, Outcome> {
  return new Batcher(
    async ([job], _, queue) => {
      if (job) await job.task.lead(job, queue)
    },
    BOUNDS,
    systemClock,
  )
}

function isAsyncFunction(change: Change): boolean {
  return Object.prototype.toString.call(change) === '[object AsyncFunction]'
}
