import type { Balance } from './decider.js'

/** Balances that are remembered at most; the oldest are forgotten. */
const MOST = 10_000

/** The balances as this process last saw them: a guess at which requests will be granted. Nothing is decided by them. */
export class BalanceCache {
  readonly #balances = new Map<string, Balance>()

  get(id: string): Balance | undefined {
    return this.#balances.get(id)
  }

  set(id: string, balance: Balance): void {
    this.#balances.delete(id)
    this.#balances.set(id, balance)
    if (this.#balances.size <= MOST) return
    const [oldest] = this.#balances.keys()
    if (oldest !== undefined) this.#balances.delete(oldest)
  }
}
