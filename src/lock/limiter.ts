import type { Deadline } from '../retry/deadline.js'

/** Lets so many callers through at once; the others wait in the order in which they came. */
export class Limiter {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(size: number) {
    this.#free = size
  }

  /** Waits for a place. Returns the function that gives it back; call it exactly once. */
  async enter(deadline: Deadline, waitedFor: string): Promise<() => void> {
    if (this.#free > 0) this.#free--
    else await this.#wait(deadline, waitedFor)
    return () => this.#leave()
  }

  async #wait(deadline: Deadline, waitedFor: string): Promise<void> {
    let admit = () => {}
    const admitted = new Promise<void>((resolve) => {
      admit = resolve
    })
    this.#waiting.push(admit)
    try {
      await deadline.race(admitted, waitedFor)
    } catch (error) {
      const index = this.#waiting.indexOf(admit)
      // Not among the waiting any more: the place was given while the wait ended, so it goes on.
      if (index === -1) this.#leave()
      else this.#waiting.splice(index, 1)
      throw error
    }
  }

  #leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}
