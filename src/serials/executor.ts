import type { Session } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import { AmbiguousOutcome, isNoAnswer } from '../retry/ambiguous-outcome.js'
import { readConfirmed } from '../retry/confirm.js'
import { readAgain } from '../retry/read-again.js'
import type { Table } from '../sql/catalogue.js'
import { Batcher, type BatcherBounds, type Job, type Task } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import { type Deadline, soonest } from '../sync/deadline.js'
import { Semaphore } from '../sync/semaphore.js'
import { type AllocateCall, type Allocation, type Allocator, isTooFew, tooFew } from './allocate.js'
import { lookFor, readTaken } from './look.js'
import { checkSame } from './request.js'
import type { Run } from './run.js'
import { ownerText } from './statements.js'
import { type Taking, take } from './take.js'
import { jsonOf } from './values.js'

/** A call on the root. */
interface AllocateTask extends Task {
  readonly run: Run
  readonly call: AllocateCall
}

type AllocateJob = Job<AllocateTask, Allocation>

interface Answering {
  readonly columns: Table
  /** Of an earlier statement of the same calls: one that is lost may take serials late. */
  readonly outcome: AmbiguousOutcome
  readonly deadline: Deadline
}

const WAITED_FOR = 'other calls of $serials.allocate'
const BOUNDS: BatcherBounds = {
  largestBatch: 100,
  batchesAtOnce: 3,
  gatheringTurns: 12,
  // A connection may hang; the calls behind it go past it.
  longestWait: 250,
  waitedFor: WAITED_FOR,
}
/** A call for more than this is alone in its statement, so that no other one waits for it. */
const LARGEST_TOGETHER = 1_000
/** How long a statement waits for a transaction id that is claimed elsewhere, in ms, before its calls go on alone. */
const BATCH_LOCK_TIMEOUT = 100
/** Connections for calls that go alone: they may wait for long, and others need connections, too. */
const ALONE_AT_ONCE = 3

/**
 * Allocates for the calls of this process in batches: those of one form are one statement. It passes over serials
 * that others have locked, so that calls for different serials do not wait for one another. A call that gets none by
 * it is answered by what is recorded, or refused where there are too few, locked ones included. Else others have
 * locked some, or a call failed the statement: those of each `where` are tried together once more, waiting a moment
 * for the locks, and then each goes on alone.
 */
export class SerialsExecutor {
  readonly #root: Session
  readonly #allocator: Allocator
  readonly #batcher: Batcher<AllocateTask, Allocation>
  readonly #waiting = new Semaphore(ALONE_AT_ONCE)

  constructor(root: Session, allocator: Allocator, maxWaiting: number) {
    this.#root = root
    this.#allocator = allocator
    this.#batcher = new Batcher((batch, release) => this.#run(batch, release), { ...BOUNDS, maxWaiting }, systemClock)
  }

  /** @throws OverloadedError if too many calls wait already */
  allocate(run: Run, call: AllocateCall): Promise<Allocation> {
    const owner = ownerText(call)
    const form = this.#allocator.map.keys.isSharded ? `${JSON.stringify(call.scope)} ${formOf(call)}` : formOf(call)
    const group = call.count > LARGEST_TOGETHER ? `alone ${owner}` : form
    return this.#batcher.add({ group, resources: owner, deadline: run.deadline, run, call }, (allocation) => allocation)
  }

  async #run(batch: readonly AllocateJob[], release: (settled: readonly AllocateJob[]) => void): Promise<void> {
    const outcome = new AmbiguousOutcome()
    const open = await this.#together(batch, outcome, true)
    release(notIn(open, batch))
    await Promise.all(
      byPool(open).map(async (jobs) => {
        // Where an answer was lost, the transaction ids are asked first: a call that took serials is no error.
        const inTime = outcome.isAmbiguous ? jobs : jobs.filter(isInTime)
        // One by itself can be told at once that it is aborted, or out of time.
        const left = inTime.length > 1 || outcome.isAmbiguous ? await this.#together(inTime, outcome, false) : inTime
        release(notIn(left, jobs))
        await Promise.all(
          left.map(async (job) => {
            await this.#alone(job, outcome)
            release([job])
          }),
        )
      }),
    )
  }

  /** Resolves to the jobs that are not settled by it: all of them, where it failed. */
  async #together(jobs: readonly AllocateJob[], outcome: AmbiguousOutcome, skips: boolean) {
    let open = jobs
    const next = soonest(jobs.map(({ task }) => task.run))
    if (next === undefined) return open
    const deadline = next.deadline.withoutSignal()
    const patience = { policy: next.policy, deadline }
    const root = this.#root.until(deadline)
    try {
      const columns = await readAgain(patience, () => this.#allocator.readyFor(root))
      open = await this.#take(root, jobs, { columns, skips, lockTimeout: BATCH_LOCK_TIMEOUT })
      // Reads that are cut leave nothing unknown.
      if (open.length > 0) {
        const taken = open
        open = await readAgain(patience, () => this.#answer(root, taken, { columns, outcome, deadline }))
      }
      return open
    } catch (error) {
      // Without its keys the database records duplicates, so nobody is let through. Other failures will show again.
      if (isConcurrencyError(error, 'CONFIGURATION')) throw outcome.lastError(error)
      next.deadline.events?.failed(error, 1)
      // The statement did all or nothing. The transaction ids tell which, where its answer was lost.
      outcome.note(error)
      return open
    }
  }

  /** Resolves to the jobs that got none. Of those with one transaction id, or for one serial, the first takes it. */
  async #take(root: Session, batch: readonly AllocateJob[], taking: Taking): Promise<readonly AllocateJob[]> {
    const jobs = apart(batch)
    const outcomes = await take(root, this.#allocator.map, callsOf(jobs), taking)
    const settled = new Set(jobs.filter((_, i) => outcomes[i]?.claimed))
    jobs.forEach((job, i) => {
      if (settled.has(job)) job.resolve({ serials: outcomes[i]?.taken ?? [], replayed: false })
    })
    return batch.filter((job) => !settled.has(job))
  }

  /** Replays those that are recorded, and refuses those for which there are too few. Resolves to the others. */
  async #answer(
    root: Session,
    jobs: readonly AllocateJob[],
    { columns, outcome, deadline }: Answering,
  ): Promise<readonly AllocateJob[]> {
    const { map } = this.#allocator
    const looks = await readConfirmed(root, {
      deadline,
      read: () => lookFor(root, map, columns, callsOf(jobs)),
      isFound: (found) => found.some((look) => look.request !== null),
    })
    const recorded = jobs.filter((_, i) => looks[i]?.request != null)
    const lists = recorded.length === 0 ? [] : await readTaken(root, map, callsOf(recorded))
    const taken = new Map(recorded.map((job, i) => [job, lists[i]]))
    return jobs.filter((job, i) => {
      const { call } = job.task
      const { request, ...left } = looks[i] ?? { request: null, free: call.count }
      if (request === null) {
        if (call.partial || left.free >= call.count) return true
        const refused = tooFew(call, left)
        job.reject(outcome.isAmbiguous ? outcome.refusal(refused) : refused)
        return false
      }
      try {
        checkSame(map, call, request)
        job.resolve({ serials: taken.get(job) ?? [], replayed: true })
      } catch (error) {
        job.reject(error)
      }
      return false
    })
  }

  async #alone(job: AllocateJob, outcome: AmbiguousOutcome): Promise<void> {
    const { run, call } = job.task
    try {
      run.deadline.check(WAITED_FOR)
      const leave = await this.#waiting.acquire(run.deadline, WAITED_FOR)
      job.resolve(await this.#allocator.allocate(run, call).finally(leave))
    } catch (error) {
      const { signal } = run.deadline
      const isAborted = signal?.aborted && error === signal.reason
      if (outcome.isAmbiguous && isTooFew(error)) job.reject(outcome.refusal(error))
      else job.reject(isAborted || isNoAnswer(error) ? outcome.lastError(error) : error)
    }
  }
}

const callsOf = (jobs: readonly AllocateJob[]) => jobs.map(({ task }) => task.call)

const notIn = (open: readonly AllocateJob[], jobs: readonly AllocateJob[]) => {
  const left = new Set(open)
  return jobs.filter((job) => !left.has(job))
}

/** Jobs of different transaction ids and for different serials, the first of each. */
function apart(batch: readonly AllocateJob[]): readonly AllocateJob[] {
  const used = new Set<unknown>()
  return batch.filter(({ task: { resources, call } }) => {
    const pool = call.numbers && jsonOf(call.where)
    const names = [resources, ...(call.numbers ?? []).map((number) => `${pool} ${number}`)]
    const isFirst = !names.some((name) => used.has(name))
    if (isFirst) for (const name of names) used.add(name)
    return isFirst
  })
}

/** Tells the caller, if it is not. */
function isInTime(job: AllocateJob): boolean {
  try {
    job.task.run.deadline.check('serials that others are about to take')
    return true
  } catch (error) {
    job.reject(error)
    return false
  }
}

/** The jobs of each `where`: those of different ones do not wait for one another. */
function byPool(jobs: readonly AllocateJob[]): readonly AllocateJob[][] {
  const pools = new Map<string, AllocateJob[]>()
  for (const job of jobs) {
    const name = jsonOf(job.task.call.where)
    const pool = pools.get(name)
    if (pool) pool.push(job)
    else pools.set(name, [job])
  }
  return [...pools.values()]
}

/** Calls of one form are one statement: the same fields in `where` and in `data`. */
function formOf({ where, data, partial, numbers }: AllocateCall): string {
  const compared = where.fields.map(({ name }) => [name, where.given[name] === null])
  return JSON.stringify([compared, data.fields.map(({ name }) => name), partial, numbers !== undefined])
}
