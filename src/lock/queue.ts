import type { Deadline } from '../retry/deadline.js'

/**
 * Lets one caller per key through at a time, first come, first served, within this process.
 * It holds nothing while it waits: no connection, no timer but the caller's own deadline, and no
 * trace of a key that nobody uses.
 */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<void>>()

  /** Keys in use now. */
  get size(): number {
    return this.#tails.size
  }

  /**
   * Waits for the key's turn. Rejects with DeadlineExceededError or the signal's reason when the
   * wait ends first. Returns the function that lets the next caller in; call it exactly once.
   */
  async enter(key: string, deadline: Deadline, waitedFor: string): Promise<() => void> {
    deadline.signal?.throwIfAborted()
    const before = this.#tails.get(key)
    let leave = () => {}
    const left = new Promise<void>((resolve) => {
      leave = resolve
    })
    // A caller who gives up still passes the turn on, but only once it has come to it: whoever
    // is behind must wait for whoever is ahead.
    const tail = before === undefined ? left : before.then(() => left)
    this.#tails.set(key, tail)
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    })

    if (before !== undefined) {
      try {
        await deadline.race(before, waitedFor)
      } catch (error) {
        leave()
        throw error
      }
    }
    return leave
  }
}
