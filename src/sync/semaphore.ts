import type { Deadline } from './deadline.js'

interface Waiter {
  readonly weight: number
  readonly admit: () => void
}

/**
 * Lets callers through up to a total weight; the others wait in the order in which they came. It holds
 * nothing while they wait: no connection, and no timer but that of a caller's own deadline.
 */
export class Semaphore {
  readonly #size: number
  #free: number
  readonly #waiting = new Set<Waiter>()

  constructor(size: number) {
    this.#size = size
    this.#free = size
  }

  /** Whether nobody is in, and nobody waits. */
  get isIdle(): boolean {
    return this.#free === this.#size
  }

  /** The weight of those that are in. */
  get taken(): number {
    return this.#size - this.#free
  }

  /**
   * Waits for a place, without end if there is no deadline. Resolves to the function that gives it
   * back; call it exactly once.
   *
   * @throws DeadlineExceededError, or the signal's reason, if the wait ends first
   */
  async acquire(deadline?: Deadline, waitedFor = 'a place', weight = 1): Promise<() => void> {
    const release = this.tryAcquire(weight)
    if (release) return release
    await this.#wait(weight, deadline, waitedFor)
    return () => this.#release(weight)
  }

  /** A place that is free now, as above; `undefined` if there is none. */
  tryAcquire(weight = 1): (() => void) | undefined {
    if (this.#waiting.size > 0 || weight > this.#free) return undefined
    this.#free -= weight
    return () => this.#release(weight)
  }

  async #wait(weight: number, deadline: Deadline | undefined, waitedFor: string): Promise<void> {
    let admit = () => {}
    const admitted = new Promise<void>((resolve) => {
      admit = resolve
    })
    const waiter = { weight, admit }
    this.#waiting.add(waiter)
    deadline?.events?.startWaiting()
    try {
      await (deadline ? deadline.race(admitted, waitedFor) : admitted)
    } catch (error) {
      if (this.#waiting.delete(waiter)) this.#admitNext()
      else this.#release(weight) // its turn came while the wait ended
      throw error
    } finally {
      deadline?.events?.stopWaiting()
    }
  }

  #release(weight: number): void {
    this.#free += weight
    this.#admitNext()
  }

  /** No caller overtakes another: the first that has to wait keeps all behind it waiting. */
  #admitNext(): void {
    for (const waiter of this.#waiting) {
      if (waiter.weight > this.#free) break
      this.#free -= waiter.weight
      this.#waiting.delete(waiter)
      waiter.admit()
    }
  }
}
