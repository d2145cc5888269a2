import { onTestFinished, vi } from 'vitest'
import { systemClock } from '../../src/sync/clock.js'

/** Moves the time of all deadlines on, as often as it is called, until the test ends. */
export function passingTime(): (milliseconds: number) => void {
  const { now } = systemClock
  let passed = 0
  const spy = vi.spyOn(systemClock, 'now').mockImplementation(() => now() + passed)
  onTestFinished(() => spy.mockRestore())
  return (milliseconds) => {
    passed += milliseconds
  }
}

interface Timer {
  readonly due: number
  fire(): void
}

/**
 * The same for a time that stands still otherwise, with its timers: those that are due by then fire at once. So a busy machine
 * cannot bring a deadline on, and it passes when the test has seen what must come before.
 */
export function passingTimers(): (milliseconds: number) => void {
  let time = systemClock.now()
  const { timer } = systemClock
  const timers = new Set<Timer>()
  const now = vi.spyOn(systemClock, 'now').mockImplementation(() => time)
  const spy = vi.spyOn(systemClock, 'timer').mockImplementation((milliseconds, fire) => {
    const callOff = timer(milliseconds, () => own.fire())
    const cancel = () => {
      timers.delete(own)
      callOff()
    }
    const own = {
      due: time + milliseconds,
      fire() {
        cancel()
        fire()
      },
    }
    timers.add(own)
    return cancel
  })
  onTestFinished(() => {
    now.mockRestore()
    spy.mockRestore()
  })
  return (milliseconds) => {
    time += milliseconds
    const due = [...timers].filter((own) => own.due <= time).sort((one, other) => one.due - other.due)
    for (const own of due) if (timers.has(own)) own.fire()
  }
}
