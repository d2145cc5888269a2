import type { Deadline } from './deadline.js'

/** Lets so many callers through at once; the others wait in the order in which they came. */
export class Semaphore {
  #free: number
  readonly #waiting: (() => void)[] = []

  readonly #size: number

  constructor(size: number) {
    this.#free = size
    this.#size = size
  }

  /** Whether nobody is in, and nobody waits. */
  get isIdle(): boolean {
    return this.#free === this.#size
  }

  /**
   * Waits for a place, without end if there is no deadline. Returns the function that gives it back;
   * call it exactly once.
   */
  async enter(deadline?: Deadline, waitedFor = 'a place'): Promise<() => void> {
    if (this.#free > 0) this.#free--
    else await this.#wait(deadline, waitedFor)
    return () => this.#leave()
  }

  async #wait(deadline: Deadline | undefined, waitedFor: string): Promise<void> {
    let admit = () => {}
    const admitted = new Promise<void>((resolve) => {
      admit = resolve
    })
    this.#waiting.push(admit)
    try {
      await (deadline ? deadline.race(admitted, waitedFor) : admitted)
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
