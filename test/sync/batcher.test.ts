import { expect, onTestFinished, test, vi } from 'vitest'
import type { Clock } from '../../src/sync/clock.js'
import { batcherOf } from '../support/batches.js'
import { stoppedClock } from '../support/fake-clock.js'
import { rejectionOf } from '../support/rejection.js'

/** A clock of the test's own: time passes, and timers fire, when it says so. */
function handClock() {
  const timers = new Map<object, { at: number; fire: () => void }>()
  let time = 0
  const clock: Clock = {
    now: () => time,
    random: () => 0.5,
    timer(ms, fire) {
      const timer = {}
      timers.set(timer, { at: time + ms, fire })
      return () => void timers.delete(timer)
    },
  }
  const pass = (ms: number) => {
    time += ms
    for (const [timer, { at, fire }] of [...timers]) {
      if (at <= time && timers.delete(timer)) fire()
    }
  }
  return { clock, pass, timers }
}

const still = () => batcherOf(stoppedClock().clock)

test('requests of one turn are one batch, in the order in which they came', async () => {
  const { add, sent } = still()
  for (const id of ['a', 'b', 'c']) add(id, 'x')

  expect(await sent()).toEqual(['a b c'])
})

test('a batch holds a thousand requests at most, and the next one begins with the one behind them', async () => {
  const { add, sent, batch } = still()
  for (let n = 0; n < 1_001; n++) add(String(n), 'x')
  await sent()
  add('late', 'x')
  batch('0').finish()

  expect((await sent())[1]).toBe('1000 late')
})

test('requests for an item that is being worked on gather meanwhile, and are the next batch', async () => {
  const { add, sent, batch } = still()
  add('a', 'x')
  await sent()
  add('b', 'x')
  await sent()
  add('c', 'x')
  expect(await sent()).toEqual(['a'])
  batch('a').finish()

  expect(await sent()).toEqual(['a', 'b c'])
})

test('batches of other items go on beside it', async () => {
  const { add, sent } = still()
  add('a', 'x')
  await sent()
  add('b', 'y')

  expect(await sent()).toEqual(['a', 'b'])
})

test('three batches are under way at once; the fourth gathers until one of them is through', async () => {
  const { add, sent, batch } = still()
  for (const item of ['v', 'w', 'x', 'y', 'z']) {
    add(item, item)
    await sent()
  }
  expect(await sent()).toEqual(['v', 'w', 'x'])
  batch('w').finish()

  expect(await sent()).toEqual(['v', 'w', 'x', 'y z'])
})

test('what waits for one item is not overtaken at its other items', async () => {
  const { add, sent, batch } = still()
  add('a', 'x')
  await sent()
  add('b', 'x y')
  add('c', 'y')
  add('d', 'z')
  expect(await sent()).toEqual(['a', 'd'])
  batch('a').finish()

  expect(await sent()).toEqual(['a', 'd', 'b c'])
})

test('what waits for two batches at once is overtaken at neither of their items', async () => {
  const { add, sent, batch } = still()
  add('a', 'x')
  await sent()
  add('b', 'y')
  await sent()
  add('first', 'x y')
  add('second', 'y')
  add('third', 'x y')
  batch('b').finish()
  expect(await sent()).toEqual(['a', 'b'])
  batch('a').finish()

  expect(await sent()).toEqual(['a', 'b', 'first second third'])
})

test('what names its items in another order is not overtaken either', async () => {
  const { add, sent, batch } = still()
  add('a', 'x')
  await sent()
  add('b', 'y')
  await sent()
  add('first', 'y x')
  add('second', 'x y')
  batch('b').finish()
  await sent()
  batch('a').finish()

  expect(await sent()).toEqual(['a', 'b', 'first second'])
})

test('what did not fit into a batch comes before what has come since', async () => {
  const { add, sent, batch } = still()
  for (const item of ['v', 'w']) {
    add(item, item)
    await sent()
  }
  for (let n = 0; n < 1_001; n++) add(String(n), 'x')
  await sent()
  add('late', 'x')
  await sent()
  batch('0').finish()
  await sent()

  expect((await sent()).at(-1)).toBe('1000 late')
})

test('what waits for two batches is not overtaken while the one behind the other is put together', async () => {
  const { add, sent, batch } = still()
  add('a', 'x')
  await sent()
  add('b', 'y')
  add('first', 'x y')
  add('second', 'y')
  expect(await sent()).toEqual(['a', 'b'])
  batch('b').finish()
  expect(await sent()).toEqual(['a', 'b'])
  batch('a').finish()

  expect(await sent()).toEqual(['a', 'b', 'first second'])
})

test('a batch that goes on in parts frees the items of each part as it is settled', async () => {
  const { add, sent, batch } = still()
  add('a', 'x')
  add('b', 'y')
  await sent()
  add('c', 'x')
  add('d', 'y')
  const first = batch('a')
  first.release()
  expect(await sent()).toEqual(['a b'])
  first.release('b')
  expect(await sent()).toEqual(['a b', 'd'])
  first.finish()

  expect(await sent()).toEqual(['a b', 'd', 'c'])
})

test('a batch that goes on in parts no longer takes one of the three places', async () => {
  const { add, sent, batch } = still()
  for (const item of ['w', 'x', 'y', 'z']) {
    add(item, item)
    await sent()
  }
  batch('w').release()

  expect(await sent()).toEqual(['w', 'x', 'y', 'z'])
})

test('one call more than may wait is refused, and nothing of it is sent', async () => {
  const { add, sent, batcher } = batcherOf(stoppedClock().clock, { maxWaiting: 2 })
  add('a', 'x')
  await sent()
  add('b', 'x')
  add('c', 'x')

  expect(await rejectionOf(add('d', 'x'))).toMatchObject({ code: 'OVERLOADED', limit: 2 })
  expect(batcher.size).toBe(2)
})

test('those who gave up waiting make room for others', async () => {
  const { add, sent, batch } = batcherOf(stoppedClock().clock, { maxWaiting: 1 })
  const waits = new AbortController()
  add('a', 'x')
  await sent()
  const given = add('b', 'x', { signal: waits.signal })
  waits.abort('enough')
  expect(await rejectionOf(given)).toBe('enough')
  add('c', 'x')
  batch('a').finish()

  expect(await sent()).toEqual(['a', 'c'])
})

test('a call whose signal is aborted already is not sent', async () => {
  const { add, sent, batcher } = still()

  expect(await rejectionOf(add('a', 'x', { signal: AbortSignal.abort('never mind') }))).toBe('never mind')
  expect(await sent()).toEqual([])
  expect(batcher.size).toBe(0)
})

test('a call that is aborted before its batch is sent is not in it', async () => {
  const { add, sent, batcher } = still()
  const waits = new AbortController()
  const given = add('a', 'x', { signal: waits.signal })
  add('b', 'x')
  waits.abort('enough')

  expect(await rejectionOf(given)).toBe('enough')
  expect(await sent()).toEqual(['b'])
  expect(batcher.size).toBe(0)
})

test('a signal that comes when the call has been sent changes nothing', async () => {
  const { add, sent, batch } = still()
  const waits = new AbortController()
  const call = add('a', 'x', { signal: waits.signal })
  await sent()
  waits.abort('too late')
  batch('a').finish()

  expect(await call).toBe('done: a')
})

test('who waits behind somebody who gave up is not held back by the items of the one who left', async () => {
  const { add, sent, batch } = still()
  const waits = new AbortController()
  add('a', 'x')
  await sent()
  const given = add('b', 'x y', { signal: waits.signal })
  add('c', 'y')
  waits.abort('enough')
  await rejectionOf(given)
  batch('a').finish()

  expect(await sent()).toEqual(['a', 'c'])
})

test('a call that waits is told when its deadline passes, and is not sent', async () => {
  const { clock, pass } = handClock()
  const { add, sent, batch, batcher } = batcherOf(clock)
  add('a', 'x')
  await sent()
  const short = add('b', 'x', { deadline: 200 })
  const long = add('c', 'x', { deadline: 10_000 })
  await sent()
  pass(199)
  expect(batcher.size).toBe(2)
  pass(51)
  expect(await rejectionOf(short)).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 200 })
  batch('a').finish()
  expect(await sent()).toEqual(['a', 'c'])
  batch('c').finish()

  expect(await long).toBe('done: c')
})

test('a call under way is told at the end of its grace, whatever keeps its executor; the others of its batch go on', async () => {
  const { clock, pass } = handClock()
  const { add, sent, batch } = batcherOf(clock)
  const short = add('a', 'x', { deadline: 200 })
  const long = add('b', 'y', { deadline: 10_000 })
  await sent()
  add('c', 'x')
  add('d', 'y')
  for (const ms of [1_200, 50, 50, 50]) pass(ms)

  expect(await rejectionOf(short)).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { isUnanswered: true } })
  expect(await sent()).toEqual(['a b', 'c'])
  batch('b').finish()
  expect(await long).toBe('done: b')
  expect(await sent()).toEqual(['a b', 'c', 'd'])
})

test('an executor has the time to tell an overdue call more than that its outcome is unknown', async () => {
  const { clock, pass } = handClock()
  const { add, sent, batch } = batcherOf(clock)
  const call = add('a', 'x', { deadline: 200 })
  await sent()
  for (const ms of [1_200, 50]) pass(ms)
  batch('a').fail('nothing was written')

  expect(await rejectionOf(call)).toBe('nothing was written')
})

test('a call that was told is told nothing more: nobody would look at the error with which its executor ends', async () => {
  const { clock, pass } = handClock()
  const { add, sent, batch } = batcherOf(clock)
  const call = add('a', 'x', { deadline: 200 })
  await sent()
  for (const ms of [1_200, 50, 50, 50]) pass(ms)
  expect(await rejectionOf(call)).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
  const unhandled = vi.fn()
  process.on('unhandledRejection', unhandled)
  onTestFinished(() => void process.off('unhandledRejection', unhandled))
  batch('a').fail('too late')
  await new Promise((resolve) => setImmediate(resolve))

  expect(unhandled).not.toHaveBeenCalled()
})

test('a call that waits for a free place is told, too', async () => {
  const { clock, pass } = handClock()
  const { add, sent, batch } = batcherOf(clock)
  for (const item of ['w', 'x', 'y']) {
    add(item, item)
    await sent()
  }
  const short = add('z', 'z', { deadline: 200 })
  await sent()
  pass(250)
  expect(await rejectionOf(short)).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  batch('w').finish()

  expect(await sent()).toEqual(['w', 'x', 'y'])
})

test('when all is done nobody waits, and no timer runs', async () => {
  const { clock, pass, timers } = handClock()
  const { add, sent, batch, batcher } = batcherOf(clock)
  add('a', 'x')
  await sent()
  add('b', 'x y')
  add('c', 'y')
  await sent()
  expect(timers.size).toBe(1)
  batch('a').finish()
  await sent()
  batch('b').finish()
  await sent()
  pass(50)

  expect(batcher.size).toBe(0)
  expect(timers.size).toBe(0)
})

test('when all is done every item is free', async () => {
  const { add, sent, batch } = still()
  add('a', 'x y')
  await sent()
  add('b', 'y z')
  add('c', 'z x')
  await sent()
  batch('a').finish()
  await sent()
  batch('b').finish()
  await sent()
  for (const item of ['x', 'y', 'z']) add(`of ${item}`, item)

  expect((await sent()).at(-1)).toBe('of x of y of z')
})

test('tasks of different groups are never in one batch, and do not wait for each other', async () => {
  const { add, sent } = batcherOf(stoppedClock().clock, { batchesAtOnce: 1 })
  add('a', '', { group: 'one' })
  add('b', '', { group: 'other' })
  add('c', '', { group: 'one' })

  expect(await sent()).toEqual(['a c', 'b'])
})

test('a group has so many batches under way at once, and the next one has all that has come meanwhile', async () => {
  const { add, sent, batch } = batcherOf(stoppedClock().clock, { batchesAtOnce: 1 })
  add('a', '')
  await sent()
  add('b', '')
  await sent()
  add('c', '')
  expect(await sent()).toEqual(['a'])
  batch('a').finish()

  expect(await sent()).toEqual(['a', 'b c'])
})

test('a resource is in one batch at a time, across the groups', async () => {
  const { add, sent, batch } = still()
  add('a', 'x', { group: 'one' })
  add('b', 'x', { group: 'other' })
  add('c', 'y', { group: 'other' })
  expect(await sent()).toEqual(['a', 'c'])
  batch('a').finish()

  expect(await sent()).toEqual(['a', 'c', 'b'])
})

test('a job that has waited for a place for the longest time departs beside the batch under way', async () => {
  const { clock, pass } = handClock()
  const { add, sent } = batcherOf(clock, { batchesAtOnce: 1, longestWait: 10 })
  add('a', '')
  await sent()
  add('b', '')
  await sent()
  pass(9)
  expect(await sent()).toEqual(['a'])
  pass(1)

  expect(await sent()).toEqual(['a', 'b'])
})

test('a job that gets a place in time leaves no timer behind', async () => {
  const { clock, pass, timers } = handClock()
  const { add, sent, batch } = batcherOf(clock, { batchesAtOnce: 1, longestWait: 10 })
  add('a', '')
  await sent()
  add('b', '')
  await sent()
  batch('a').finish()
  await sent()
  batch('b').finish()
  await sent()
  pass(50)

  expect(timers.size).toBe(0)
})

test('calls of one microtask depart together, with no turn of the queue more than is asked for', async () => {
  const { add, sent } = batcherOf(stoppedClock().clock, { gatheringTurns: 1 })
  add('a', '')
  await undefined
  await undefined
  add('b', '')

  expect(await sent()).toEqual(['a', 'b'])
})

test('what the executor leaves open when it fails is rejected with its error', async () => {
  const { add, sent, batch } = still()
  const calls = [add('a', 'x'), add('b', 'y')]
  await sent()
  batch('a').fail('out of order')

  expect(await Promise.all(calls.map(rejectionOf))).toEqual(['out of order', 'out of order'])
})

test('an executor that fails leaves the resources and the place of its batch free', async () => {
  const { add, sent, batch } = batcherOf(stoppedClock().clock, { batchesAtOnce: 1 })
  add('a', 'x')
  await sent()
  batch('a').fail('out of order')
  add('b', 'x')

  expect(await sent()).toEqual(['a', 'b'])
})

test('a result that one caller makes an error of is the error of that caller alone', async () => {
  const { add, sent, batch } = still()
  const refuse = () => {
    throw 'refused'
  }
  const [bad, good] = [add('a', 'x', { answer: refuse }), add('b', 'x')]
  await sent()
  batch('a').finish()

  expect([await rejectionOf(bad), await good]).toEqual(['refused', 'done: b'])
})

test('a group that went on in parts has lost none of the jobs that came meanwhile', async () => {
  const { add, sent, batch } = still()
  add('a', 'x')
  await sent()
  batch('a').release()
  await sent()
  add('b', 'y')
  add('c', 'x')
  await sent()
  batch('a').finish()

  expect(await sent()).toEqual(['a', 'b', 'c'])
})

test('a batch that goes on in parts gives its place back once', async () => {
  const { add, sent, batch } = batcherOf(stoppedClock().clock, { batchesAtOnce: 2 })
  for (const name of ['a', 'b']) {
    add(name, name)
    await sent()
  }
  batch('a').release()
  batch('a').release()
  for (const name of ['c', 'd']) {
    add(name, name)
    await sent()
  }

  expect(await sent()).toEqual(['a', 'b', 'c'])
})

test('the end of a batch that goes on in parts does not forget the jobs that its group has by now', async () => {
  const { add, sent, batch } = batcherOf(stoppedClock().clock, { batchesAtOnce: 1 })
  add('a', 'x')
  await sent()
  batch('a').release()
  await sent()
  add('b', 'y')
  await sent()
  batch('a').finish()
  await sent()
  add('c', 'z')
  expect(await sent()).toEqual(['a', 'b'])
  batch('b').finish()

  expect(await sent()).toEqual(['a', 'b', 'c'])
})

test('a job that is out of time no longer listens to its signal', async () => {
  const { clock, pass } = handClock()
  const { add, sent, batcher } = batcherOf(clock)
  const waits = new AbortController()
  add('a', 'x')
  await sent()
  const short = add('b', 'x', { deadline: 200, signal: waits.signal })
  await sent()
  pass(250)
  expect(await rejectionOf(short)).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  waits.abort('too late')

  expect(batcher.size).toBe(0)
})

test('ten thousand jobs for one resource and as many for others are sent in no more batches than they need', async () => {
  const { add, sent, batch, batcher } = still()
  for (let n = 0; n < 10_000; n++) {
    add(`hot ${n}`, 'hot')
    add(`own ${n}`, `own ${n}`)
  }
  let known = 0
  for (;;) {
    const all = await sent()
    if (all.length === known) break
    for (const names of all.slice(known)) batch(names.match(/^\w+ \d+/)?.[0] ?? '').finish()
    known = all.length
  }

  expect(batcher.size).toBe(0)
  expect(known).toBeLessThan(40)
})
