import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { CallEvents } from '../../src/events/call-events.js'
import { Events } from '../../src/events/events.js'
import { Batcher, type BatcherBounds, type Job, type Queue, type Task } from '../../src/sync/batcher.js'
import { Deadline } from '../../src/sync/deadline.js'
import { stoppedClock } from '../support/fake-clock.js'
import { gate } from '../support/gate.js'
import { started } from '../support/started.js'

/*
 * A listener is told of a wait at the moment at which the call leaves the queue. It may do anything then, such as abort
 * other calls that leave it in the same moment.
 */

const ABORTABLE = 1

interface Named extends Task {
  readonly name: string
}

/** A listener that aborts a signal when it is told of a wait of a call that has it. The first batch is under way until `open`. */
function aborting(bounds: Partial<BatcherBounds>) {
  const { clock, count } = stoppedClock()
  const abort = new AbortController()
  const events = new Events({
    onEvent: ({ type, call }) => type === 'wait' && call === ABORTABLE && abort.abort('enough'),
  })
  const { opened, open } = gate()
  const batches: string[] = []
  const queues: Queue<Named, string>[] = []
  const execute = async (jobs: readonly Job<Named, string>[], _: unknown, queue: Queue<Named, string>) => {
    batches.push(jobs.map(({ task }) => task.name).join(' '))
    queues.push(queue)
    await opened
    for (const job of jobs) job.resolve('done')
  }
  const all = { largestBatch: 10, batchesAtOnce: 1, gatheringTurns: 0, waitedFor: 'the others', ...bounds }
  const batcher = new Batcher<Named, string>(execute, all, clock)
  const add = (name: string, signal?: AbortSignal) => {
    const deadline = new Deadline(1_000, signal, clock)
    deadline.events = new CallEvents(events, signal ? ABORTABLE : 0, 'move', undefined)
    return started(batcher.add({ name, resources: 'x', deadline }, (result) => result))
  }
  const outcomes = async (calls: readonly Promise<string>[]) =>
    (await Promise.allSettled(calls)).map((each) => (each.status === 'fulfilled' ? each.value : each.reason))
  return { add, signal: abort.signal, open, batches, queues, batcher, count, outcomes }
}

test('calls that a listener aborts when those before them leave the queue are in no batch, and wait no more', async () => {
  const { add, signal, open, batches, batcher, count, outcomes } = aborting({})
  const first = add('first')
  await sleep(0)
  const others = ['a', 'b', 'c'].map((name) => add(name, signal))
  await sleep(3)
  open()

  expect(await outcomes([first, ...others])).toEqual(['done', 'done', 'enough', 'enough'])
  expect(batches).toEqual(['first', 'a'])
  await sleep(0)
  expect(batcher.size).toBe(0)
  expect(count.timers).toBeLessThanOrEqual(1) // the look at deadlines that was due before
})

test('calls that a listener aborts while others are taken into a batch are not taken', async () => {
  const { add, signal, open, queues, batcher, outcomes } = aborting({ largestBatch: 1 })
  const first = add('first')
  await sleep(0)
  const others = ['a', 'b', 'c'].map((name) => add(name, signal))
  await sleep(3)
  const joined = queues[0]?.join(() => true, 10) ?? []
  for (const job of joined) job.resolve(`joined ${job.task.name}`)
  open()

  expect(await outcomes([first, ...others])).toEqual(['done', 'joined a', 'enough', 'enough'])
  expect(joined.map(({ task }) => task.name)).toEqual(['a'])
  expect(batcher.size).toBe(0)
})
