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
