import { expect, test } from 'vitest'
import type { Clock } from '../../src/sync/clock.js'
import { Deadline } from '../../src/sync/deadline.js'
import { KeyedLock } from '../../src/sync/keyed-lock.js'
import { rejectionOf } from '../support/rejection.js'

/** A clock that stands still until it is moved. */
function stoppedClock() {
  let now = 0
  let timers: { at: number; fire: () => void }[] = []
  const clock: Clock = {
    now: () => now,
    random: () => 0,
    timer(ms, fire) {
      const timer = { at: now + ms, fire }
      timers.push(timer)
      return () => {
        timers = timers.filter((other) => other !== timer)
      }
    },
  }
  return {
    clock,
    pending: () => timers.length,
    move(ms: number) {
      now += ms
      for (const timer of timers.filter(({ at }) => at <= now)) timer.fire()
    },
  }
}

/** Long enough for every promise that can settle without the outside world. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

function arrange() {
  const time = stoppedClock()
  const queue = new KeyedLock()
  const log: string[] = []
  const enter = async (
    key: string,
    name: string,
    { duration = 1_000, signal }: { duration?: number; signal?: AbortSignal } = {},
  ) => {
    const leave = await queue.acquire(key, new Deadline(duration, signal, time.clock), 'its turn')
    log.push(name)
    return leave
  }
  return { ...time, queue, log, enter }
}

test('the first caller of a key does not wait', async () => {
  const { enter, log } = arrange()
  await enter('a', 'first')
  expect(log).toEqual(['first'])
})

test('a second caller waits until the first has left', async () => {
  const { enter, log } = arrange()
  const leave = await enter('a', 'first')
  void enter('a', 'second')
  await settle()
  expect(log).toEqual(['first'])
  leave()
  await settle()
  expect(log).toEqual(['first', 'second'])
})

test('callers of different keys do not wait for one another', async () => {
  const { enter, log } = arrange()
  await enter('a', 'of a')
  await enter('b', 'of b')
  expect(log).toEqual(['of a', 'of b'])
})

test('turns are taken first come, first served, one at a time', async () => {
  const { enter, log } = arrange()
  const names = Array.from({ length: 20 }, (_, i) => `caller ${i}`)
  let inside = 0
  await Promise.all(
    names.map(async (name) => {
      const leave = await enter('a', name)
      expect(++inside).toBe(1)
      await settle()
      inside--
      leave()
    }),
  )
  expect(log).toEqual(names)
})

test('a key that nobody uses leaves no trace', async () => {
  const { enter, queue } = arrange()
  const leaves = await Promise.all(['a', 'b', 'c'].map((key) => enter(key, key)))
  expect(queue.size).toBe(3)
  for (const leave of leaves) leave()
  await settle()
  expect(queue.size).toBe(0)
})

test('a key leaves no trace after callers who gave up either', async () => {
  const { enter, queue } = arrange()
  const abort = new AbortController()
  const leave = await enter('a', 'first')
  const quitters = [1, 2, 3].map((name) => rejectionOf(enter('a', `quitter ${name}`, { signal: abort.signal })))
  abort.abort()
  await Promise.all(quitters)
  leave()
  await settle()
  expect(queue.size).toBe(0)
})

test('a caller whose signal is aborted while it waits rejects at once, with the reason', async () => {
  const { enter } = arrange()
  const abort = new AbortController()
  await enter('a', 'first')
  const second = rejectionOf(enter('a', 'second', { signal: abort.signal }))
  const reason = new Error('changed my mind')
  abort.abort(reason)
  expect(await second).toBe(reason)
})

test('a caller whose signal is aborted before it comes takes no place', async () => {
  const { enter, queue } = arrange()
  await rejectionOf(enter('a', 'first', { signal: AbortSignal.abort() }))
  expect(queue.size).toBe(0)
})

test('a caller whose deadline passes while it waits rejects with a DeadlineExceededError', async () => {
  const { enter, move } = arrange()
  await enter('a', 'first')
  const second = rejectionOf(enter('a', 'second', { duration: 50 }))
  await settle()
  move(50)
  expect(await second).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 50 })
})

test('a caller who gives up does not let those behind it in before those ahead of it have left', async () => {
  const { enter, log } = arrange()
  const abort = new AbortController()
  const leave = await enter('a', 'first')
  const second = rejectionOf(enter('a', 'second', { signal: abort.signal }))
  const third = enter('a', 'third')
  abort.abort()
  await second
  await settle()
  expect(log).toEqual(['first'])
  leave()
  await third
  expect(log).toEqual(['first', 'third'])
})

test('a newcomer after one who gave up still waits for the holder', async () => {
  const { enter, log } = arrange()
  const abort = new AbortController()
  await enter('a', 'first')
  const second = rejectionOf(enter('a', 'second', { signal: abort.signal }))
  abort.abort()
  await second
  void enter('a', 'third')
  await settle()
  expect(log).toEqual(['first'])
})

test('a caller whose wait is over keeps no timer', async () => {
  const { enter, pending } = arrange()
  const leave = await enter('a', 'first')
  const second = enter('a', 'second')
  await settle()
  expect(pending()).toBe(1)
  leave()
  await second
  expect(pending()).toBe(0)
})
