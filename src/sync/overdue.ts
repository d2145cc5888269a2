import { madeOnce } from '../engine/made-once.js'
import type { Clock } from './clock.js'
import type { Deadline } from './deadline.js'

/** A statement under way, and the end of its caller's wait. */
interface Wait {
  readonly deadline: Deadline
  giveUp(): void
}

/** How often the waits are looked at, in ms. */
const INTERVAL = 50

/**
 * The waits by a clock. They share one timer, since one for each statement would be called off nearly every time. It is not
 * called off with the last of them, as the next statement would begin it anew, but it is the last then.
 */
class Watch {
  readonly #clock: Clock
  readonly #waits = new Set<Wait>()
  #isLooking = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(wait: Wait): void {
    this.#waits.add(wait)
    this.#lookLater()
  }

  delete(wait: Wait): void {
    this.#waits.delete(wait)
  }

  #lookLater(): void {
    if (this.#isLooking || this.#waits.size === 0) return
    this.#isLooking = true
    this.#clock.timer(INTERVAL, () => {
      this.#isLooking = false
      for (const wait of this.#waits) {
        if (wait.deadline.isOverdue() && this.#waits.delete(wait)) wait.giveUp()
      }
      this.#lookLater()
    })
  }
}

const watches = new WeakMap<Clock, Watch>()

/** Gives up the wait at the end of the grace. Returns the function that ends it before. */
export function watch(wait: Wait): () => void {
  const { clock } = wait.deadline
  const own = madeOnce(watches, clock, () => new Watch(clock))
  own.add(wait)
  return () => own.delete(wait)
}
