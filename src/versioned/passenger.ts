import { OutcomeUnknownError } from '../errors.js'
import type { Row } from '../prisma/client.js'
import type { Field } from '../prisma/data-model.js'
import type { Deadline } from '../retry/deadline.js'
import type { ResolvedPolicy } from '../retry/policy.js'

export type Change = (current: Row, attempt: number) => unknown

/** What became of a write that went along with another one; nothing, if it was not written and has to go alone. */
export type Arrival = { readonly status: 'updated' | 'unchanged'; readonly record: Row } | undefined

/** A caller who waits for its turn, and whose function may as well be run by the one who has it. */
export class Passenger {
  readonly change: Change
  /** The fields of the record that it wants back. */
  readonly selected: readonly Field[]
  readonly #policy: ResolvedPolicy
  readonly #deadline: Deadline
  #goesAlone = false
  #journey: Promise<Arrival> = Promise.resolve(undefined)
  #end: (arrival: Arrival | PromiseLike<Arrival>) => void = () => {}
  #lost: Promise<'lost'> | undefined
  #noteLost = () => {}

  constructor(change: Change, selected: readonly Field[], policy: ResolvedPolicy, deadline: Deadline) {
    this.change = change
    this.selected = selected
    this.#policy = policy
    this.#deadline = deadline
    // An async function may take its time, which nobody else should have to wait for.
    if (Object.prototype.toString.call(change) === '[object AsyncFunction]') this.#goesAlone = true
  }

  get isFit(): boolean {
    return !this.#goesAlone && !this.#deadline.signal?.aborted && !this.#deadline.passed()
  }

  /** What its function has done is worth nothing: it runs again, in its own turn. */
  goAlone(): undefined {
    this.#goesAlone = true
  }

  retriesOn(error: unknown): boolean {
    return this.#policy.retryOn(error)
  }

  setOut(): void {
    this.#journey = new Promise((resolve) => {
      this.#end = resolve
    })
    this.#journey.catch(() => {}) // its caller may not be waiting any more
    this.#lost = new Promise((resolve) => {
      this.#noteLost = () => resolve('lost')
    })
  }

  arrive(arrival: Arrival): void {
    this.#end(arrival)
  }

  fail(error: unknown): void {
    this.#end(Promise.reject(error))
  }

  noteLost(): void {
    this.#noteLost()
  }

  /**
   * Waits for the end of the journey. Like a statement under way it cannot be called off, neither
   * by the deadline nor by the signal; they count again once the answer to it was lost.
   */
  async arrival(): Promise<Arrival> {
    const journey = this.#journey
    if ((await Promise.race([journey, this.#lost])) !== 'lost') return journey
    try {
      return await this.#deadline.race(journey, 'the database')
    } catch (error) {
      if (error instanceof OutcomeUnknownError) throw error
      throw new OutcomeUnknownError('the connection was lost before the answer came', { cause: error })
    }
  }
}
