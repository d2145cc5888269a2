import type { Deadline } from './deadline.js'

export type LockMode = 'exclusive' | 'shared'

/** Who uses a key, in this process: those who hold it, and those who wait, in the order in which they came. */
interface Turns {
  readonly holders: Set<Caller>
  readonly waiting: Set<Caller>
}

interface Caller {
  readonly mode: LockMode
  admit(): void
}

/**
 * Lets the callers of a key through one at a time, or several shared ones together, first come,
 * first served, within this process. It holds nothing while it waits: no connection, no timer but
 * the caller's own deadline, and no trace of a key that nobody uses.
 */
export class KeyedLock {
  readonly #keys = new Map<string, Turns>()

  /** Keys in use now. */
  get size(): number {
    return this.#keys.size
  }

  /** Whether somebody holds the key, or waits for it. */
  isBusy(key: string): boolean {
    return this.#keys.has(key)
  }

  /**
   * Waits for the key's turn. Rejects with DeadlineExceededError or the signal's reason when the
   * wait ends first. Returns the function that lets the next caller in; call it exactly once.
   */
  async enter(key: string, deadline: Deadline, waitedFor: string, mode: LockMode = 'exclusive'): Promise<() => void> {
    deadline.signal?.throwIfAborted()
    let admit = () => {}
    const admitted = new Promise<void>((resolve) => {
      admit = resolve
    })
    const caller = { mode, admit }
    const turns = this.#turnsOf(key)
    turns.waiting.add(caller)
    this.#admitNext(key, turns)
    if (turns.waiting.has(caller)) {
      try {
        await deadline.race(admitted, waitedFor)
      } catch (error) {
        this.#leave(key, turns, caller) // perhaps as a holder: its turn may have come while the wait ended
        throw error
      }
    }
    return () => this.#leave(key, turns, caller)
  }

  #turnsOf(key: string): Turns {
    const known = this.#keys.get(key)
    if (known) return known
    const turns: Turns = { holders: new Set(), waiting: new Set() }
    this.#keys.set(key, turns)
    return turns
  }

  #leave(key: string, turns: Turns, caller: Caller): void {
    turns.holders.delete(caller)
    turns.waiting.delete(caller)
    this.#admitNext(key, turns)
  }

  /** Nobody overtakes: the first who has to wait keeps all behind it waiting too. */
  #admitNext(key: string, { holders, waiting }: Turns): void {
    for (const caller of waiting) {
      const [holder] = holders
      if (holder && (holder.mode === 'exclusive' || caller.mode === 'exclusive')) break
      waiting.delete(caller)
      holders.add(caller)
      caller.admit()
    }
    if (holders.size === 0 && waiting.size === 0) this.#keys.delete(key)
  }
}
