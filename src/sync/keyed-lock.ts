import type { Deadline } from './deadline.js'
import { Semaphore } from './semaphore.js'

export type LockMode = 'exclusive' | 'shared'

/** The weight of all callers together: an exclusive one needs it, and of shared ones each needs 1. */
const WHOLE = Number.MAX_SAFE_INTEGER

/**
 * A lock for each key, within this process: one exclusive caller at a time, or several shared ones, first
 * come, first served. It keeps no trace of a key that nobody uses.
 */
export class KeyedLock {
  readonly #locks = new Map<string, Semaphore>()

  /** Keys in use now. */
  get size(): number {
    return this.#locks.size
  }

  /** Whether a caller holds the key, or waits for it. */
  isBusy(key: string): boolean {
    return this.#locks.has(key)
  }

  /**
   * Waits for the key. Resolves to the function that lets the next caller in; call it exactly once.
   *
   * @throws DeadlineExceededError, or the signal's reason, if the wait ends first
   */
  async acquire(key: string, deadline: Deadline, waitedFor: string, mode: LockMode = 'exclusive'): Promise<() => void> {
    deadline.signal?.throwIfAborted()
    const lock = this.#locks.get(key) ?? new Semaphore(WHOLE)
    this.#locks.set(key, lock)
    const forget = () => {
      if (lock.isIdle) this.#locks.delete(key)
    }
    try {
      const release = await lock.acquire(deadline, waitedFor, mode === 'exclusive' ? WHOLE : 1)
      return () => {
        release()
        forget()
      }
    } catch (error) {
      forget()
      throw error
    }
  }
}
