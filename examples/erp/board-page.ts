/**
 * The events for one page. It keeps one event that is not taken yet: a page that reads slowly is sent a full
 * picture instead of all that it has missed, so it costs no memory.
 */
export class BoardPage {
  /** Nothing but a full picture is of use to it: it is new, has missed something, or nobody has listened. */
  needsPicture = true
  readonly #onMissed: () => void
  #event: string | undefined
  #take: ((event: string | undefined) => void) | undefined
  #hasMissed = false
  #hasEnded = false

  constructor(onMissed: () => void) {
    this.#onMissed = onMissed
  }

  tell(event: string): void {
    if (this.#take !== undefined) this.#give(event)
    else if (this.#event === undefined) this.#event = event
    else this.#hasMissed = true
  }

  /** The next event; `undefined` if there is none any more. */
  next(): Promise<string | undefined> {
    const event = this.#event
    if (event === undefined && !this.#hasEnded) return new Promise((resolve) => (this.#take = resolve))
    this.#event = undefined
    if (this.#hasMissed) {
      this.#hasMissed = false
      this.needsPicture = true
      this.#onMissed()
    }
    return Promise.resolve(event)
  }

  end(): void {
    this.#hasEnded = true
    this.#give(undefined)
  }

  #give(event: string | undefined): void {
    const take = this.#take
    this.#take = undefined
    take?.(event)
  }
}
