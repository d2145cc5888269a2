import type { Deadline } from '../retry/deadline.js'

export type LockMode = 'exclusive' | 'shared'

/** Who uses a key, in this process: the last exclusive caller, and the shared ones that came after. */
interface Turns {
  lastExclusive: Promise<void>
  readonly sharedSince: Set<Promise<void>>
  users: number
}

/**
 * Lets the callers of a key through one at a time, or several shared ones together, first come,
 * first served, within this process. It holds nothing while it waits: no connection, no timer but
 * the caller's own deadline, and no trace of a key that nobody uses.
 */
export class KeyedQueue {
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
    const turns = this.#turnsOf(key)
    const { before, leave } = mode === 'exclusive' ? this.#queueExclusive(key, turns) : this.#queueShared(key, turns)
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

  #turnsOf(key: string): Turns {
    const known = this.#keys.get(key)
    if (known) return known
    const turns: Turns = { lastExclusive: Promise.resolve(), sharedSince: new Set(), users: 0 }
    this.#keys.set(key, turns)
    return turns
  }

  /** Behind everybody. A caller who gives up passes the turn on, but only once it has come to it. */
  #queueExclusive(key: string, turns: Turns) {
    const isFirst = turns.users === 0
    const before = Promise.all([turns.lastExclusive, ...turns.sharedSince])
    const { left, leave } = this.#use(key, turns)
    turns.lastExclusive = before.then(() => left)
    turns.sharedSince.clear()
    return { before: isFirst ? undefined : before.then(() => {}), leave }
  }

  /** Behind the last exclusive caller, whether it holds the key already or waits for it. */
  #queueShared(key: string, turns: Turns) {
    const isFirst = turns.users === 0
    const before = turns.lastExclusive
    const { left, leave } = this.#use(key, turns)
    turns.sharedSince.add(left)
    void left.then(() => turns.sharedSince.delete(left))
    return { before: isFirst ? undefined : before, leave }
  }

  #use(key: string, turns: Turns) {
    turns.users++
    let resolve = () => {}
    const left = new Promise<void>((done) => {
      resolve = done
    })
    const leave = () => {
      if (--turns.users === 0) this.#keys.delete(key)
      resolve()
    }
    return { left, leave }
  }
}
