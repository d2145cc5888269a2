import { expect, test } from 'vitest'
import type { Clock } from '../../src/sync/clock.js'
import { queueOf } from '../support/batches.js'
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

const still = () => queueOf(stoppedClock().clock)

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
  const { add, sent, queue } = queueOf(stoppedClock().clock, 2)
  add('a', 'x')
  await sent()
  add('b', 'x')
  add('c', 'x')

  expect(await rejectionOf(called(() => add('d', 'x')))).toMatchObject({ code: 'OVERLOADED', limit: 2 })
  expect(queue.size).toBe(2)
})

test('those who gave up waiting make room for others', async () => {
  const { add, sent, batch } = queueOf(stoppedClock().clock, 1)
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
  const { add, sent, queue } = still()

  expect(await rejectionOf(called(() => add('a', 'x', { signal: AbortSignal.abort('never mind') })))).toBe('never mind')
  expect(await sent()).toEqual([])
  expect(queue.size).toBe(0)
})

test('a call that is aborted before its batch is sent is not in it', async () => {
  const { add, sent, queue } = still()
  const waits = new AbortController()
  const given = add('a', 'x', { signal: waits.signal })
  add('b', 'x')
  waits.abort('enough')

  expect(await rejectionOf(given)).toBe('enough')
  expect(await sent()).toEqual(['b'])
  expect(queue.size).toBe(0)
})

test('a signal that comes when the call has been sent changes nothing', async () => {
  const { add, sent, batch } = still()
  const waits = new AbortController()
  const call = add('a', 'x', { signal: waits.signal })
  await sent()
  waits.abort('too late')
  batch('a').finish()

  expect(await call).toMatchObject({ status: 'done' })
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
  const { add, sent, batch, queue } = queueOf(clock)
  add('a', 'x')
  await sent()
  const short = add('b', 'x', { deadline: 200 })
  const long = add('c', 'x', { deadline: 10_000 })
  await sent()
  pass(199)
  expect(queue.size).toBe(2)
  pass(51)
  expect(await rejectionOf(short)).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 200 })
  batch('a').finish()
  expect(await sent()).toEqual(['a', 'c'])
  batch('c').finish()

  expect(await long).toMatchObject({ status: 'done' })
})

test('a call that waits for a free place is told, too', async () => {
  const { clock, pass } = handClock()
  const { add, sent, batch } = queueOf(clock)
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
  const { add, sent, batch, queue } = queueOf(clock)
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

  expect(queue.size).toBe(0)
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

/** As the promise that it would be, were it called by an async function. */
async function called<T>(call: () => Promise<T>): Promise<T> {
  return call()
}
