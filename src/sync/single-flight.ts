import { type Clock, systemClock } from './clock.js'

/** A run of some work that several callers may wait for, each as long as it likes. */
export interface Flight<T> {
  readonly startedAt: number
  readonly done: Promise<T>
}

/** Callers that come while the work for their key is under way share that one run of it. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>()
  readonly #clock: Clock

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /** The run that is under way for the key, or a new one. A run that fails is over: the next caller begins another. */
  join(key: string, work: () => Promise<T>): Flight<T> {
    const underWay = this.#flights.get(key)
    if (underWay) return underWay
    const done = work().finally(() => this.#flights.delete(key))
    done.catch(() => {}) // each caller is told by its own wait, if it still waits
    const flight = { startedAt: this.#clock.now(), done }
    this.#flights.set(key, flight)
    return flight
  }
}
