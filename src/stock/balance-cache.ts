import type { Balance } from './decider.js'
import type { Item } from './item.js'

interface Entry {
  readonly balance: Balance
  /** Whether the balance was still the one that this process had left, when it was last looked at. */
  readonly isOurs: boolean
}

/** Balances that are remembered at most; the oldest are forgotten. */
const MOST = 10_000

/**
 * The balances as this process last saw them. They are guesses, since other processes write too:
 * each decision by them is checked by the statement that writes it. An item that others were
 * found to write is not guessed until it was once found as this process had left it.
 */
export class BalanceCache {
  readonly #entries = new Map<string, Entry>()

  /** The balances of all items, or `undefined` if one of them cannot be guessed. */
  guess(items: Iterable<Item>): Map<string, Balance> | undefined {
    const guesses = new Map<string, Balance>()
    for (const { id } of items) {
      const entry = this.#entries.get(id)
      if (!entry?.isOurs) return undefined
      guesses.set(id, entry.balance)
    }
    return guesses
  }

  /** Remembers a balance that was found under a lock, before it was written. */
  found(id: string, balance: Balance): void {
    const before = this.#entries.get(id)
    this.#set(id, { balance, isOurs: before === undefined || isSame(before.balance, balance) })
  }

  /** Remembers a balance that this process has written. */
  wrote(id: string, balance: Balance): void {
    this.#set(id, { balance, isOurs: this.#entries.get(id)?.isOurs ?? true })
  }

  #set(id: string, entry: Entry): void {
    this.#entries.delete(id)
    this.#entries.set(id, entry)
    if (this.#entries.size <= MOST) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }
}

function isSame(a: Balance, b: Balance): boolean {
  return a.onHand === b.onHand && a.reserved === b.reserved && a.minimum === b.minimum
}
