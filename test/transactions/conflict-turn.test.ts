import { expect, test } from 'vitest'
import { Deadline } from '../../src/sync/deadline.js'
import { ConflictTurn } from '../../src/transactions/conflict-turn.js'
import { fakeClock, stoppedClock } from '../support/fake-clock.js'
import { rejectionOf } from '../support/rejection.js'

/** A transaction that runs for the first time, and whether it has begun. */
function first(turn: ConflictTurn, deadline: Deadline) {
  const run = { hasBegun: false, done: Promise.resolve() }
  run.done = turn.letPass(deadline).then(() => {
    run.hasBegun = true
  })
  return run
}

const turns = async () => {
  for (let turn = 0; turn < 20; turn++) await undefined
}

test('a transaction that runs for the first time waits until all calls have ended that had conflicts in their turns', async () => {
  const deadline = new Deadline(5_000, undefined, stoppedClock().clock)
  const turn = new ConflictTurn()
  const ends = [turn.press(deadline), turn.press(deadline)]
  const run = first(turn, deadline)

  ends[0]?.()
  ends[0]?.()
  await turns()
  expect(run.hasBegun).toBe(false)
  ends[1]?.()
  await run.done
  const next = first(turn, deadline)
  await turns()
  expect(next.hasBegun).toBe(true)
})

test('it waits no longer than the longest turn, and three quarters of its time', async () => {
  for (const [duration, longest] of [
    [5_000, 500],
    [400, 300],
  ] as const) {
    const { clock } = fakeClock()
    const turn = new ConflictTurn()
    turn.press(new Deadline(5_000, undefined, stoppedClock().clock)) // does not end
    await first(turn, new Deadline(duration, undefined, clock)).done
    expect(clock.now()).toBe(longest)
  }
})

test('a call presses no longer than the longest turn', async () => {
  const { clock } = fakeClock()
  const turn = new ConflictTurn()
  turn.press(new Deadline(60_000, undefined, clock))
  await first(turn, new Deadline(60_000, undefined, stoppedClock().clock)).done
  expect(clock.now()).toBe(500)
})

test('the signal of a call ends its wait', async () => {
  const { clock, count } = stoppedClock()
  const turn = new ConflictTurn()
  const end = turn.press(new Deadline(5_000, undefined, clock))
  const controller = new AbortController()
  const waiting = rejectionOf(turn.letPass(new Deadline(5_000, controller.signal, clock)))
  controller.abort(new Error('enough'))
  expect(await waiting).toMatchObject({ message: 'enough' })
  end()
  expect(count.timers).toBe(0)
})
