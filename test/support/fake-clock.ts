import type { Clock } from '../../src/sync/clock.js'

/** A clock whose timers fire at once and move its time on, so that a test knows every delay and waits for none. */
export function fakeClock(random: () => number = Math.random) {
  let time = 0
  const delays: number[] = []
  const clock: Clock = {
    now: () => time,
    random,
    timer(ms, fire) {
      let isCalledOff = false
      delays.push(ms)
      queueMicrotask(() => {
        if (isCalledOff) return
        time += ms
        fire()
      })
      return () => {
        isCalledOff = true
      }
    },
  }
  const pass = (ms: number) => {
    time += ms
  }
  return { clock, delays, pass }
}

/** A clock that stands still: no timer of it ever fires. `timers` counts those that were not called off. */
export function stoppedClock() {
  const count = { timers: 0 }
  const clock: Clock = {
    now: () => 0,
    random: () => 0.5,
    timer() {
      count.timers++
      return () => {
        count.timers--
      }
    },
  }
  return { clock, count }
}
