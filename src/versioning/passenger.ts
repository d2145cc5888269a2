import type { Field } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import { OutcomeUnknownError } from '../errors/index.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { Deadline } from '../sync/deadline.js'
import { snapshot } from '../values/snapshot.js'

export type Change = (current: Row, attempt: number) => unknown

/** What became of a write that went along with another one; nothing, if it was not written and has to go alone. */
export type Arrival = { readonly status: 'updated' | 'unchanged'; readonly record: Row } | undefined

/** What the function gave. */
export type Answer = { readonly data: unknown } | { readonly error: unknown } | { readonly isAsync: true }

interface PassengerCall {
  readonly policy: ResolvedPolicy
  readonly deadline: Deadline
  /** What its function gave as data, checked. */
  readonly dataOf: (given: unknown) => Row
}

/** A caller who waits for its turn, and whose function may as well be part of another one's write. */
export class Passenger {
  /** The fields of the record that it wants back. */
  readonly selected: readonly Field[]
  readonly dataOf: PassengerCall['dataOf']
  readonly #change: Change
  readonly #policy: ResolvedPolicy
  readonly #deadline: Deadline
  #goesAlone = false
  #journey: Promise<Arrival> = Promise.resolve(undefined)
  #end: (arrival: Arrival | PromiseLike<Arrival>) => void = () => {}
  #lost: Promise<'lost'> | undefined
  #noteLost = () => {}
  #answer = () => {}

  constructor(change: Change, selected: readonly Field[], { policy, deadline, dataOf }: PassengerCall) {
    this.#change = change
    this.selected = selected
    this.dataOf = dataOf
    this.#policy = policy
    this.#deadline = deadline
    // An async function may take its time, which nobody else should have to wait for.
    if (Object.prototype.toString.call(change) === '[object AsyncFunction]') this.#goesAlone = true
  }

  get isFit(): boolean {
    return !this.#goesAlone && !this.#deadline.signal?.aborted && !this.#deadline.passed()
  }

  /** From now on it has its own turn. */
  goAlone(): void {
    this.#goesAlone = true
  }

  retriesOn(error: unknown): boolean {
    return this.#policy.retryOn(error)
  }

  /** From the one who has the turn: runs the function on the record as it will be then. */
  ask(record: Row): Promise<Answer> {
    this.#journey = new Promise((resolve) => {
      this.#end = resolve
    })
    this.#journey.catch(() => {}) // its caller may not be waiting any more
    this.#lost = new Promise((resolve) => {
      this.#noteLost = () => resolve('lost')
    })
    return new Promise((resolve) => {
      this.#answer = () => resolve(this.#run(record))
    })
  }

  /** From its own caller, so that the function runs in its own async context (AsyncLocalStorage). */
  answer(): void {
    this.#answer()
  }

  #run(record: Row): Answer {
    try {
      const data = this.#change(record, 1)
      if (!isThenable(data)) return { data: snapshot(data, 'data', 'data') }
      Promise.resolve(data).catch(() => {}) // it runs again, and is looked at then
      return { isAsync: true }
    } catch (error) {
      return { error }
    }
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

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
