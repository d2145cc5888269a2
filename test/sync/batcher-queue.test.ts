import { expect, test } from 'vitest'
import { Batcher, type Queue, type Task } from '../../src/sync/batcher.js'
import { Deadline } from '../../src/sync/deadline.js'
import { stoppedClock } from '../support/fake-clock.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'

interface Named extends Task {
  readonly name: string
}

/** The first task of a group is under way until `open`; those that come meanwhile are in `queue`. */
function heldBatch() {
  const { clock } = stoppedClock()
  const { opened, open } = gate()
  const led: string[] = []
  const queues: Queue<Named, string>[] = []
  const batcher = new Batcher<Named, string>(
    async ([job], _, queue) => {
      queues.push(queue)
      led.push(job?.task.name ?? '')
      await opened
      job?.resolve(`led ${job.task.name}`)
    },
    { largestBatch: 1, batchesAtOnce: 1, gatheringTurns: 0, waitedFor: 'the others' },
    clock,
  )
  const add = (name: string, signal?: AbortSignal) =>
    started(batcher.add({ name, group: 'row', deadline: new Deadline(1_000, signal, clock) }, (result) => result))
  const first = add('first')
  const [queue] = queues
  if (!queue) throw new Error('The first task of a group is its turn at once.')
  return { add, first, queue, open, led, batcher }
}

const namesOf = (jobs: readonly { readonly task: Named }[]) => jobs.map(({ task }) => task.name)

test('a batch takes the jobs that wait behind it, in their order, and gives them their results', async () => {
  const { add, first, queue, open, led } = heldBatch()
  const others = ['a', 'b'].map((name) => add(name))
  const joined = queue.join(() => true, 10)
  for (const job of joined) job.resolve(`joined ${job.task.name}`)
  open()

  expect(await Promise.all([first, ...others])).toEqual(['led first', 'joined a', 'joined b'])
  expect(led).toEqual(['first'])
})

test('a batch takes no job past one that does not fit, and no more than it has room for', () => {
  const { add, queue } = heldBatch()
  for (const name of ['a', 'b', 'alone', 'c']) void add(name)

  expect(namesOf(queue.join(({ name }) => name !== 'alone', 1))).toEqual(['a'])
  expect(namesOf(queue.join(({ name }) => name !== 'alone', 10))).toEqual(['b'])
  expect(namesOf(queue.join(({ name }) => name !== 'alone', 10))).toEqual([])
})

test('jobs that were put back have their turns before those that came after them', async () => {
  const { add, queue, open, led } = heldBatch()
  const calls = [add('a'), add('b')]
  const joined = queue.join(() => true, 10)
  calls.push(add('c'))
  queue.putBack(joined)
  open()
  await Promise.all(calls)

  expect(led).toEqual(['first', 'a', 'b', 'c'])
})

test('a job that was taken cannot be called off, and can be again once it was put back', async () => {
  const { add, queue, batcher } = heldBatch()
  const abort = new AbortController()
  const call = add('a', abort.signal)
  const joined = queue.join(() => true, 10)
  abort.abort(new Error('changed my mind'))
  expect(batcher.size).toBe(0)
  queue.putBack(joined)

  expect(await rejectionOf(call)).toMatchObject({ message: 'changed my mind' })
  expect(batcher.size).toBe(0)
})
