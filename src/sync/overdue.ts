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
 * The waits by a clock. They share one timer, since one for each statement would be called off nearly every time; there
 * is none while nobody waits.
 */
class Watch {
  readonly #clock: Clock
  readonly #waits = new Set<Wait>()
  #cancel: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(wait: Wait): void {
    this.#waits.add(wait)
    this.#cancel ??= this.#clock.timer(INTERVAL, () => {
      this.#cancel = undefined
      for (const each of this.#waits) {
        if (!each.deadline.isOverdue()) this.add(each)
        else if (this.#waits.delete(each)) each.giveUp()
      }
    })
  }

  delete(wait: Wait): void {
    this.#waits.delete(wait)
    if (this.#waits.size > 0) return
    this.#cancel?.()
    this.#cancel = undefined
  }
}

const watches = new WeakMap<Clock, Watch>()

/** Gives up the wait at the end of the grace. Returns the function that ends it before. */
export function watch(wait: Wait): () => void {
  const { clock } = wait.deadline
  let own = watches.get(clock)
  if (own === undefined) {
    own = new Watch(clock)
    watches.set(clock, own)
  }
  own.add(wait)
  const watching = own
  return () => watching.delete(wait)
}
