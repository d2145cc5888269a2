import { OutcomeUnknownError } from '../errors/index.js'
import type { Deadline } from './deadline.js'

/** The facts of a call that the batcher needs. */
export interface Task {
  /** Only tasks of one group can be in one batch, such as those of one form of statement. */
  readonly group?: string
  /** Each of them can be in one batch at a time. Several tasks of one batch may share a resource. */
  readonly resources?: string | readonly string[]
  readonly deadline?: Deadline
}

/** A task with the caller that waits for its result. */
export interface Job<T, R> {
  readonly task: T
  /** Whether its caller has been told, with a result or an error. */
  readonly isOver: boolean
  resolve(result: R): void
  reject(error: unknown): void
}

export interface QueuedJob<T, R> extends Job<T, R> {
  /** How many came before it. */
  readonly sequence: number
  onAbort: (() => void) | undefined
}

/** A class, so that a hundred thousand jobs do not have closures of their own. */
export class WaitingJob<T, R, A> implements QueuedJob<T, R> {
  readonly task: T
  readonly sequence: number
  readonly #answer: (result: R) => A | PromiseLike<A>
  #resolve: (answer: A | PromiseLike<A>) => void = () => {}
  isOver = false
  onAbort: (() => void) | undefined

  constructor(task: T, answer: (result: R) => A | PromiseLike<A>, sequence: number) {
    this.task = task
    this.#answer = answer
    this.sequence = sequence
  }

  /** The function that rejects is not kept: it is 56 bytes for each of those that wait. */
  settlesBy(resolve: (answer: A | PromiseLike<A>) => void): void {
    this.#resolve = resolve
  }

  resolve(result: R): void {
    this.#settle(() => this.#answer(result))
  }

  reject(error: unknown): void {
    this.#settle(() => Promise.reject(error))
  }

  /** Once: a promise that is rejected, and that nobody looks at any more, would end the process. */
  #settle(outcome: () => A | PromiseLike<A>): void {
    if (this.isOver) return
    this.isOver = true
    try {
      this.#resolve(outcome())
    } catch (error) {
      this.#resolve(Promise.reject(error))
    }
  }
}

/** After so many looks, an executor that could tell an overdue job more has done so: its statements are looked at as often. */
const LOOKS_IN_VAIN = 2

/** Whether the caller of the job has to be told. Counts the looks, apart from the job: a hundred thousand of them wait. */
export function isOutOfTime<J extends Job<Task, never>>(job: J, looks: Map<J, number>): boolean {
  if (job.isOver || !job.task.deadline?.isOverdue()) return false
  const before = looks.get(job) ?? 0
  looks.set(job, before + 1)
  return before >= LOOKS_IN_VAIN
}

/** Its batch is out of time, and does not know what became of it. */
export function tellUnknown(job: Job<Task, never>): void {
  const cause = job.task.deadline?.unanswered()
  job.reject(new OutcomeUnknownError('the database has not answered in time', { cause }))
}

/** A task with a single resource needs no array: a hundred thousand of them wait. */
export function resourcesOf({ resources = [] }: Task): readonly string[] {
  return typeof resources === 'string' ? [resources] : resources
}
