import { Batcher, type BatcherBounds, type Job, type Task } from '../../src/sync/batcher.js'
import type { Clock } from '../../src/sync/clock.js'
import { Deadline } from '../../src/sync/deadline.js'
import { gate } from './gate.js'
import { started } from './started.js'

interface NamedTask extends Task {
  readonly name: string
}

interface Batch {
  /** The names of its tasks, in their order. */
  readonly names: readonly string[]
  /** Every job of it gets `done`, and the name of its task. */
  finish(): void
  /** The executor fails. */
  fail(error: unknown): void
  /** It goes on in parts: so much of it is settled, and the rest is not. */
  release(...names: readonly string[]): void
}

interface AddOptions {
  readonly group?: string
  readonly signal?: AbortSignal
  readonly deadline?: number
  readonly answer?: (result: string) => unknown
}

const BOUNDS: BatcherBounds = {
  largestBatch: 1_000,
  batchesAtOnce: 3,
  gatheringTurns: 12,
  waitedFor: 'other calls for the same items',
}

/** A batcher by itself: its batches are under way until the test says what becomes of them. */
export function batcherOf(clock: Clock, bounds: Partial<BatcherBounds> = {}) {
  const batches: Batch[] = []
  const execute = async (
    jobs: readonly Job<NamedTask, string>[],
    release: (settled: readonly Job<NamedTask, string>[]) => void,
  ) => {
    const { opened, open } = gate()
    let failure: { readonly error: unknown } | undefined
    batches.push({
      names: jobs.map(({ task }) => task.name),
      finish: open,
      fail(error) {
        failure = { error }
        open()
      },
      release: (...names) => release(jobs.filter(({ task }) => names.includes(task.name))),
    })
    await opened
    if (failure) throw failure.error
    for (const job of jobs) job.resolve(`done: ${job.task.name}`)
  }
  const batcher = new Batcher<NamedTask, string>(execute, { ...BOUNDS, ...bounds }, clock)
  /** A task for these resources: `x y` are two. */
  const add = (name: string, resources: string, options: AddOptions = {}) => {
    const { group = '', deadline = 1_000_000, signal, answer = (result: string) => result } = options
    const task = {
      name,
      group,
      resources: resources.split(' ').filter((resource) => resource !== ''),
      deadline: new Deadline(deadline, signal, clock),
    }
    return started(batcher.add(task, answer))
  }
  /** The batches that were sent so far, by the names of their tasks. */
  const sent = async () => {
    await settled()
    return batches.map(({ names }) => names.join(' '))
  }
  const batch = (name: string): Batch => {
    const found = batches.findLast(({ names }) => names.includes(name))
    if (found === undefined) throw new Error(`${name} is in none of the batches.`)
    return found
  }
  return { batcher, add, sent, batch }
}

/** Gives everything that needs no more than turns of the microtask queue the time to happen. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
