import { expect, test } from 'vitest'
import { Deadline, GRACE, soonest } from '../../src/sync/deadline.js'
import { fakeClock } from '../support/fake-clock.js'

test('a follow-up statement is for the calls whose grace is not over: the soonest of them limits it', () => {
  const { clock, pass } = fakeClock()
  const of = (ms: number) => ({ deadline: new Deadline(ms, undefined, clock) })
  const [short, middle, long] = [of(1), of(2_000), of(3_000)]
  const calls = [long, short, middle]
  expect(soonest(calls)).toBe(short)
  pass(1 + GRACE)

  expect(soonest(calls)).toBe(middle)
  expect(soonest([short])).toBeUndefined()
})
