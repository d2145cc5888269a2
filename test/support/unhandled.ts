import { setImmediate } from 'node:timers/promises'
import { onTestFinished } from 'vitest'

/** Collects promises that were rejected and that nobody has looked at, from now until the test ends. */
export function watchUnhandled() {
  const reasons: unknown[] = []
  const note = (reason: unknown) => reasons.push(reason)
  process.on('unhandledRejection', note)
  onTestFinished(() => void process.off('unhandledRejection', note))
  return {
    async collected() {
      await setImmediate()
      await setImmediate()
      return reasons
    },
  }
}
