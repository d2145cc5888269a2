import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { Deadline } from '../../src/sync/deadline.js'
import { fakeClock, stoppedClock } from '../support/fake-clock.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'

const forever = new Promise<never>(() => {})

test('what is left goes down with the clock, and never below 0', () => {
  const { clock, pass } = fakeClock()
  const deadline = new Deadline(100, undefined, clock)
  const left = [deadline.left()]
  for (const ms of [30, 70, 500]) {
    pass(ms)
    left.push(deadline.left())
  }

  expect(left).toEqual([100, 70, 0, 0])
})

test('check passes in time, and afterwards says what was waited for', () => {
  const { clock, pass } = fakeClock()
  const deadline = new Deadline(100, undefined, clock)
  pass(99)
  expect(() => deadline.check('the moon')).not.toThrow()
  pass(1)

  expect(() => deadline.check('the moon')).toThrow(
    expect.objectContaining({
      code: 'DEADLINE_EXCEEDED',
      deadline: 100,
      message: expect.stringContaining('waiting for the moon'),
    }),
  )
})

test('the error names the number that the caller gave, where only a rest of it is left', () => {
  const { clock, pass } = fakeClock()
  const rest = new Deadline(86, undefined, clock, 5_000)
  pass(86)

  expect(() => rest.check('the body')).toThrow(/^The deadline of 5000 ms passed/)
})

test('check throws the reason of an aborted signal, also when time is up as well', () => {
  const { clock, pass } = fakeClock()
  const deadline = new Deadline(100, AbortSignal.abort('gone'), clock)
  pass(500)

  expect(() => deadline.check('the moon')).toThrow('gone')
})

test('a race settles as its work does', async () => {
  const deadline = new Deadline(100, undefined, stoppedClock().clock)

  expect(await deadline.race(Promise.resolve('done'), 'it')).toBe('done')
  expect(await rejectionOf(deadline.race(Promise.reject(new Error('failed')), 'it'))).toHaveProperty(
    'message',
    'failed',
  )
})

test('a race is lost when the time is up', async () => {
  const deadline = new Deadline(100, undefined, fakeClock().clock)

  expect(await rejectionOf(deadline.race(forever, 'the moon'))).toHaveProperty('code', 'DEADLINE_EXCEEDED')
})

test('a race waits only for what is left of the deadline', async () => {
  const { clock, delays, pass } = fakeClock()
  const deadline = new Deadline(100, undefined, clock)
  pass(60)
  await rejectionOf(deadline.race(forever, 'the moon'))

  expect(delays).toEqual([40])
})

test('an aborted signal ends a race at once', async () => {
  const aborter = new AbortController()
  const deadline = new Deadline(100, aborter.signal, stoppedClock().clock)
  const race = rejectionOf(deadline.race(forever, 'the moon'))
  aborter.abort('gone')

  expect(await race).toBe('gone')
  expect(await rejectionOf(deadline.race(forever, 'the moon'))).toBe('gone')
})

test('work that fails after its race was lost is nobody’s unhandled rejection', async () => {
  const unhandled: unknown[] = []
  const note = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', note)
  const { opened, open } = gate()
  const work = opened.then(() => {
    throw new Error('too late')
  })
  await rejectionOf(new Deadline(100, undefined, fakeClock().clock).race(work, 'it'))

  open()
  await new Promise((resolve) => setImmediate(resolve))
  process.off('unhandledRejection', note)

  expect(unhandled).toEqual([])
})

test('neither a race nor a sleep leaves a timer or a listener behind', async () => {
  const { signal } = new AbortController()
  const { clock, count } = stoppedClock()
  const stopped = new Deadline(100, signal, clock)
  await stopped.race(Promise.resolve(), 'it')
  await rejectionOf(stopped.race(Promise.reject(new Error('failed')), 'it'))
  await new Deadline(100, signal, fakeClock().clock).sleep(10)

  expect(count.timers).toBe(0)
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('a sleep is cut to the deadline', async () => {
  const { clock, delays, pass } = fakeClock()
  const deadline = new Deadline(100, undefined, clock)
  await deadline.sleep(30)
  pass(50)
  await deadline.sleep(30)
  await deadline.sleep(30)

  expect(delays).toEqual([30, 20, 0])
})

test('a sleep is not begun under an aborted signal, and ended at once by one', async () => {
  const { clock, count } = stoppedClock()
  expect(await rejectionOf(new Deadline(100, AbortSignal.abort('gone'), clock).sleep(10))).toBe('gone')
  expect(count.timers).toBe(0)

  const aborter = new AbortController()
  const sleep = rejectionOf(new Deadline(100, aborter.signal, clock).sleep(10))
  aborter.abort('gone')
  expect(await sleep).toBe('gone')
  expect(count.timers).toBe(0)
})
