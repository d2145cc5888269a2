/** The callers that wait for a lock, in the order of asking. Only the first looks whether it is free. */

/** In ms: so often does the first one look whether the time of a holder that is gone has run out. */
const LOOK_AGAIN = 500

export class Waiting {
  readonly #lines = new Map<string, Waiter[]>()

  /**
   * Looks, whenever it is the first in line and there is a reason to, until it is given something or time is up.
   *
   * @param left in ms
   */
  async inLine<T>(name: string, left: number, look: () => Promise<T | undefined>): Promise<T | undefined> {
    const deadline = performance.now() + left
    const line = this.#lines.get(name) ?? []
    this.#lines.set(name, line)
    const self = new Waiter()
    line.push(self)
    let given: T | undefined
    try {
      for (;;) {
        if (line[0] === self) given = await look()
        const rest = deadline - performance.now()
        if (given !== undefined || rest <= 0) return given
        await self.sleep(Math.min(rest, LOOK_AGAIN))
      }
    } finally {
      line.splice(line.indexOf(self), 1)
      if (line.length === 0) this.#lines.delete(name)
      // Behind one who was given the lock nobody needs to look before it is given back.
      if (given === undefined) line[0]?.wake()
    }
  }

  /** The lock was given back. */
  wakeFirst(name: string): void {
    this.#lines.get(name)?.[0]?.wake()
  }
}

class Waiter {
  #isWoken = false
  #end = () => {}

  wake(): void {
    this.#isWoken = true
    this.#end()
  }

  /** Not at all, if it was woken since it last slept: its last look may be older. */
  async sleep(milliseconds: number): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, milliseconds)
        this.#end = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#isWoken = false
  }
}
