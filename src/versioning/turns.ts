import type { Deadline } from '../sync/deadline.js'

/**
 * The turns of the writers of each row, in this process: one at a time, first come, first served.
 * Whoever has the turn may take those who wait right behind it along, if they are `passengers`, so that
 * one write does for all. A turn holds no connection, no timer but the caller's own deadline,
 * and no trace of a row that nobody writes.
 */
export class Turns<P> {
  readonly #rows = new Map<string, Set<Place<P>>>()

  /** Takes the last place in the row's queue. Whoever has joined must leave. */
  join(row: string, passenger?: P): Place<P> {
    const places = this.#rows.get(row) ?? new Set<Place<P>>()
    this.#rows.set(row, places)
    return new Place(places, passenger, () => {
      if (places.size === 0) this.#rows.delete(row)
    })
  }
}

/** One caller's place in the queue of a row. */
export class Place<P> {
  readonly passenger: P | undefined
  readonly #places: Set<Place<P>>
  readonly #onLeave: () => void
  #isTaken = false
  #call = () => {}
  #called: Promise<void>

  constructor(places: Set<Place<P>>, passenger: P | undefined, onLeave: () => void) {
    this.#places = places
    this.passenger = passenger
    this.#onLeave = onLeave
    this.#called = this.#newCall()
    places.add(this)
    this.#callFirst()
  }

  /**
   * Waits for the turn, or to be taken along by the one who has it. Who gives up is gone at once,
   * so that nobody takes along a caller that has been told otherwise.
   */
  async turn(deadline: Deadline, waitedFor: string): Promise<'turn' | 'taken'> {
    if (this.#isFirst()) return 'turn'
    try {
      await deadline.race(this.#called, waitedFor)
    } catch (error) {
      if (!this.#isTaken) {
        this.leave()
        throw error
      }
    }
    return this.#isTaken ? 'taken' : 'turn'
  }

  /** For the one who has the turn: those who wait behind it, in the order in which they came. */
  *behind(): Iterable<Place<P>> {
    for (const place of this.#places) if (place !== this && !place.#isTaken) yield place
  }

  /** Whether somebody waits right behind. */
  hasCompany(): boolean {
    return this.#places.size > 1
  }

  /** The one who has the turn takes this one along. */
  take(): void {
    this.#isTaken = true
    this.#call()
  }

  /** One who was taken along waits again, in its old place. */
  giveBack(): void {
    this.#isTaken = false
    this.#called = this.#newCall()
    this.#callFirst()
  }

  /** Lets the next one in. */
  leave(): void {
    if (!this.#places.delete(this)) return
    this.#callFirst()
    this.#onLeave()
  }

  #isFirst(): boolean {
    const [first] = this.#places
    return first === this
  }

  #callFirst(): void {
    const [first] = this.#places
    if (first) first.#call()
  }

  #newCall(): Promise<void> {
    return new Promise((resolve) => {
      this.#call = resolve
    })
  }
}
