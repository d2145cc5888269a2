/** Who waits for a lock, in the order of asking. */

/** In ms: so often does one who waits look whether the time of a holder that is gone has run out. */
const LOOK_AGAIN = 500

export class Waiting {
  readonly #turns = new Map<string, (() => void)[]>()

  /** Resolves when the lock was given back and nobody was before; or when it is time to look, or `left` ms have passed. */
  turn(name: string, left: number): Promise<void> {
    const turns = this.#turns.get(name) ?? []
    this.#turns.set(name, turns)
    return new Promise((resolve) => {
      const come = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(
        () => {
          turns.splice(turns.indexOf(come), 1)
          if (turns.length === 0 && this.#turns.get(name) === turns) this.#turns.delete(name)
          resolve()
        },
        Math.min(left, LOOK_AGAIN),
      )
      turns.push(come)
    })
  }

  wakeNext(name: string): void {
    const turns = this.#turns.get(name)
    const next = turns?.shift()
    if (turns?.length === 0) this.#turns.delete(name)
    next?.()
  }
}
