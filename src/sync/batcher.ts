import { DeadlineExceededError, OverloadedError } from '../errors/index.js'
import { inBatch } from '../events/call-events.js'
import type { Clock } from './clock.js'
import { isOutOfTime, type Job, type QueuedJob, resourcesOf, type Task, tellUnknown, WaitingJob } from './job.js'

export type { Job, QueuedJob, Task } from './job.js'

/*
 * Calls that come together go as one.
 *
 *   const batcher = new Batcher<Move, Balance>(execute, bounds, clock)
 *   const balance = await batcher.add({ resources: ['item 7'], deadline }, (balance) => balance)
 *
 * Task      what a call asks for. It names its group, and the resources that it needs alone.
 * Job       a task with the caller that waits for its result.
 * Batch     jobs of one group that the executor of the feature carries out together.
 * Resource  such as a row: it is in one batch at a time, and its jobs stay in their order. Jobs that
 *           wait for it are the next batch. Batches of other resources and groups go on beside it.
 *
 * A batch departs when its group has gathered for a few turns of the microtask queue, and a place is
 * free. The executor gives every job of the batch its own result or error, so that a bad job fails
 * alone. While it still works on a part of the batch, it releases the resources of the others.
 * A job that is aborted or out of time before its batch departs is in no batch; later it is the
 * executor's. But a caller is told at the end of its own grace, whatever keeps the executor.
 */

/**
 * Carries out a batch: it resolves or rejects every job. `release` frees the place of the batch, and
 * the resources of all jobs that are `settled` and of which no other open job has one.
 */
export type Execute<T, R> = (
  batch: readonly Job<T, R>[],
  release: (settled: readonly Job<T, R>[]) => void,
  queue: Queue<T, R>,
) => Promise<void>

/** The jobs of its group that wait behind a batch, where tasks have no resources. */
export interface Queue<T, R> {
  isEmpty(): boolean
  /** Takes the first of them out, as long as they fit. They are the executor's then. */
  join(fits: (task: T) => boolean, most: number): QueuedJob<T, R>[]
  /** Jobs that were taken out wait again, in their old places. */
  putBack(jobs: readonly QueuedJob<T, R>[]): void
}

/** Every bound of a batcher. */
export interface BatcherBounds {
  /** Jobs in one batch. */
  readonly largestBatch: number
  /** Batches of one group under way at once; each needs a connection. */
  readonly batchesAtOnce: number
  /** Turns of the microtask queue in which calls gather. Callers that were answered together come back together. */
  readonly gatheringTurns: number
  /** How long jobs wait for a place, in ms; then they depart all the same, for a connection may hang. Default: for ever. */
  readonly longestWait?: number
  /** Jobs that may wait at once. Default: any number. */
  readonly maxWaiting?: number
  /** The name of the wait, for the error of a deadline. */
  readonly waitedFor: string
}

/** How many calls may wait in this process, unless the options of the feature say otherwise. */
export const DEFAULT_MAX_WAITING = 10_000

/** How often the deadlines of jobs are looked at, in ms. */
const SWEEP_INTERVAL = 50

interface Group<T, R> {
  readonly name: string
  /** In the order in which they came. */
  ready: QueuedJob<T, R>[]
  underWay: number
  isGathering: boolean
  cancelWait: (() => void) | undefined
}

/** Resources in use, and the jobs that wait for them. A job that waits for two holds is behind both. */
interface ResourceHold<T, R> {
  readonly resources: Set<string>
  readonly waiting: Set<QueuedJob<T, R>>
}

/** A batch under way. */
interface Run<T, R> {
  /** Its jobs that have not been released, and those that its executor has taken out of the queue. */
  readonly open: Set<Job<T, R>>
  /** How often it was seen that the caller of a job should have been told. */
  readonly overdueLooks: Map<Job<T, R>, number>
  hold: ResourceHold<T, R>
}

export class Batcher<T extends Task, R> {
  readonly #execute: Execute<T, R>
  readonly #bounds: BatcherBounds
  readonly #clock: Clock
  readonly #groups = new Map<string, Group<T, R>>()
  readonly #holds = new Map<string, ResourceHold<T, R>>()
  readonly #runs = new Set<Run<T, R>>()
  #waiting = 0
  #sequence = 0
  #isSweeping = false

  constructor(execute: Execute<T, R>, bounds: BatcherBounds, clock: Clock) {
    this.#execute = execute
    this.#bounds = bounds
    this.#clock = clock
  }

  /** Jobs that wait, in no batch yet. */
  get size(): number {
    return this.#waiting
  }

  /**
   * Resolves to what `answer` makes of the result. There is no promise between the two, since a
   * hundred thousand calls may wait.
   *
   * @throws OverloadedError if too many wait already
   */
  add<A>(task: T, answer: (result: R) => A | PromiseLike<A>): Promise<A> {
    return new Promise((resolve) => {
      const { maxWaiting = Number.POSITIVE_INFINITY, waitedFor } = this.#bounds
      if (this.#waiting >= maxWaiting) throw new OverloadedError(maxWaiting)
      task.deadline?.check(waitedFor)
      const job = new WaitingJob(task, answer, this.#sequence++)
      job.settlesBy(resolve)
      this.#watch(job)
      const group = this.#groupOf(task)
      group.ready.push(job)
      this.#gather(group)
      this.#sweepLater()
    })
  }

  #groupOf({ group: name = '' }: Task): Group<T, R> {
    const known = this.#groups.get(name)
    if (known) return known
    const group: Group<T, R> = { name, ready: [], underWay: 0, isGathering: false, cancelWait: undefined }
    this.#groups.set(name, group)
    return group
  }

  #gather(group: Group<T, R>): void {
    if (group.isGathering) return
    group.isGathering = true
    void this.#dispatch(group)
  }

  async #dispatch(group: Group<T, R>): Promise<void> {
    const { gatheringTurns, batchesAtOnce, longestWait } = this.#bounds
    for (let turn = 0; turn < gatheringTurns; turn++) await undefined
    group.isGathering = false
    while (group.ready.length > 0 && group.underWay < batchesAtOnce) this.#depart(group)
    if (group.ready.length > 0 && longestWait !== undefined) {
      group.cancelWait ??= this.#clock.timer(longestWait, () => {
        this.#depart(group)
        this.#gather(group)
      })
    }
    this.#forget(group)
  }

  #depart(group: Group<T, R>): void {
    group.cancelWait?.()
    group.cancelWait = undefined
    const hold: ResourceHold<T, R> = { resources: new Set(), waiting: new Set() }
    const batch = this.#next(group, hold)
    if (batch.length > 0) void this.#run(group, batch, hold)
  }

  /** A group leaves no trace while nobody uses it. */
  #forget(group: Group<T, R>): void {
    if (group.ready.length > 0 || group.underWay > 0 || group.isGathering) return
    // A batch that goes on in parts has no place: there may be another group of the name by now.
    if (this.#groups.get(group.name) === group) this.#groups.delete(group.name)
  }

  /** The next batch, in the order of arrival. A job that must wait for a resource is put behind it. */
  #next(group: Group<T, R>, own: ResourceHold<T, R>): QueuedJob<T, R>[] {
    const batch: QueuedJob<T, R>[] = []
    /** Of the jobs that must wait: the jobs behind them wait for these, too. */
    const passed = new Set<string>()
    const isTaken = (resource: string) => passed.has(resource) || (this.#holds.get(resource) ?? own) !== own
    let scanned = 0
    for (const job of group.ready) {
      if (batch.length === this.#bounds.largestBatch) break
      scanned++
      if (this.#isOver(job)) continue
      const resources = resourcesOf(job.task)
      if (resources.some(isTaken)) {
        for (const resource of resources) passed.add(resource)
        this.#putBehind(job)
      } else {
        this.#take(job, own)
        batch.push(job)
      }
    }
    group.ready = group.ready.slice(scanned)
    return batch
  }

  /** Puts it behind all holds that have one of its resources. */
  #putBehind(job: QueuedJob<T, R>): void {
    let last: ResourceHold<T, R> | undefined
    for (const resource of resourcesOf(job.task)) {
      const hold = this.#holds.get(resource)
      hold?.waiting.add(job)
      last = hold ?? last
    }
    // Its other resources count as held, too, so that it is not overtaken.
    if (last) this.#take(job, last)
  }

  #take({ task }: Job<T, R>, hold: ResourceHold<T, R>): void {
    for (const resource of resourcesOf(task)) {
      if (this.#holds.has(resource)) continue
      this.#holds.set(resource, hold)
      hold.resources.add(resource)
    }
  }

  async #run(group: Group<T, R>, gathered: readonly QueuedJob<T, R>[], hold: ResourceHold<T, R>): Promise<void> {
    group.underWay++
    const batch = this.#begin(gathered)
    const run: Run<T, R> = { open: new Set(batch), overdueLooks: new Map(), hold }
    this.#runs.add(run)
    let hasPlace = true
    const release = (settled: Iterable<Job<T, R>>) => {
      if (hasPlace) group.underWay--
      hasPlace = false
      for (const job of settled) run.open.delete(job)
      this.#release(run)
      if (group.ready.length > 0) this.#gather(group)
      else this.#forget(group)
    }
    try {
      const work = () => this.#execute(batch, release, this.#queueOf(group, run.open))
      if (batch.length > 0) await inBatch(batch, ({ task }) => task.deadline?.events, work)
    } catch (error) {
      for (const job of batch) job.reject(error)
    }
    this.#runs.delete(run)
    for (const job of run.open) if (!job.isOver) tellUnknown(job)
    release(run.open)
  }

  #queueOf(group: Group<T, R>, open: Set<Job<T, R>>): Queue<T, R> {
    return {
      isEmpty: () => group.ready.length === 0,
      join: (fits, most) => {
        const { ready } = group
        group.ready = [] // for the calls of a listener, which is told of the waits that end here
        const waiting = ready.filter((job) => !this.#isOver(job))
        const found = waiting.findIndex(({ task }, i) => i === most || !fits(task))
        const taken = found === -1 ? waiting : waiting.slice(0, found)
        const joined = this.#begin(taken)
        for (const job of joined) open.add(job)
        group.ready = [...waiting.slice(taken.length), ...group.ready]
        return joined
      },
      putBack: (jobs) => {
        for (const job of jobs) open.delete(job)
        const untold = jobs.filter(({ isOver }) => !isOver)
        group.ready = [...untold, ...group.ready]
        for (const job of untold) this.#watch(job)
        this.#sweepLater()
      },
    }
  }

  /** Frees the resources of the settled jobs for the jobs that wait. The open jobs keep theirs. */
  #release(run: Run<T, R>): void {
    const { hold, open } = run
    if (hold.resources.size === 0) return
    for (const resource of hold.resources) this.#holds.delete(resource)
    run.hold = { resources: new Set(), waiting: new Set() }
    for (const job of open) this.#take(job, run.hold)
    const groups = new Set<Group<T, R>>()
    for (const job of hold.waiting) {
      if (job.isOver) continue
      const group = this.#groupOf(job.task)
      group.ready.push(job)
      groups.add(group)
    }
    for (const group of groups) {
      // A job that waited for two holds is in it twice if both have ended by now.
      group.ready = group.ready.sort((a, b) => a.sequence - b.sequence).filter((job, i, all) => job !== all[i - 1])
      this.#gather(group)
    }
  }

  /** The jobs wait no more: these are carried out. A listener that is told of one wait may abort the call of another. */
  #begin(jobs: readonly QueuedJob<T, R>[]): QueuedJob<T, R>[] {
    for (const job of jobs) if (!job.isOver) this.#unwatch(job)
    return jobs.filter(({ isOver }) => !isOver)
  }

  #watch(job: QueuedJob<T, R>): void {
    this.#waiting++
    const { signal, events } = job.task.deadline ?? {}
    events?.startWaiting()
    if (signal === undefined) return // a hundred thousand closures would be for nothing
    job.onAbort = () => this.#giveUp(job, signal.reason)
    if (signal.aborted) job.onAbort()
    else signal.addEventListener('abort', job.onAbort, { once: true })
  }

  #unwatch({ onAbort, task: { deadline } }: QueuedJob<T, R>): void {
    this.#waiting--
    if (onAbort) deadline?.signal?.removeEventListener('abort', onAbort)
    deadline?.events?.stopWaiting() // last, since it tells a listener
  }

  #giveUp(job: QueuedJob<T, R>, reason: unknown): void {
    job.reject(reason)
    this.#unwatch(job)
  }

  /** One timer for all, so that a hundred thousand of them are cheap. */
  #sweepLater(): void {
    if (this.#isSweeping || (this.#waiting === 0 && this.#runs.size === 0)) return
    this.#isSweeping = true
    this.#clock.timer(SWEEP_INTERVAL, () => {
      this.#isSweeping = false
      for (const { ready } of this.#groups.values()) for (const job of ready) this.#isOver(job)
      for (const { waiting } of new Set(this.#holds.values())) for (const job of waiting) this.#isOver(job)
      for (const run of this.#runs) this.#tellOverdue(run)
      this.#sweepLater()
    })
  }

  /** The other jobs of the batch go on, without the resources of those that are told. */
  #tellOverdue(run: Run<T, R>): void {
    const told = [...run.open].filter((job) => {
      if (!isOutOfTime(job, run.overdueLooks)) return false
      tellUnknown(job)
      return run.open.delete(job)
    })
    if (told.length > 0) this.#release(run)
  }

  /** Whether its caller has been told that it is aborted or out of time. It is told now, if its time is up. */
  #isOver(job: QueuedJob<T, R>): boolean {
    const { deadline } = job.task
    if (job.isOver || !deadline?.passed()) return job.isOver
    this.#giveUp(job, new DeadlineExceededError(deadline.duration, this.#bounds.waitedFor))
    return true
  }
}
