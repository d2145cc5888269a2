import type { SlotsEvent } from '../events/types.js'
import { type Clock, systemClock } from '../sync/clock.js'
import type { SlotBounds } from './slot-bounds.js'

/** Statements that are judged together: so many at least, over so many ms at least and at most. */
const FEWEST = 20
const SHORTEST = 1_000
const LONGEST = 10_000
/** Borrowed calls that are judged together. */
const FEWEST_BORROWED = 10
/** A slot is worth having if it lasts for so many statements like the largest one. */
const WORTH = 8n
/** How long after a halving nothing is doubled, in ms. */
const AFTER_HALVING = 10_000
/** Reads, ten seconds apart, that find most slots unused; and how many that comes to at most (an hour). */
const UNUSED_READS = 6
const MOST_UNUSED_READS = 384
/** The pause after a change that has failed, in ms: it doubles each time. */
const PAUSE = 1_000
const LONGEST_PAUSE = 600_000
/** How long a change may wait for a row, in ms: less than a batch does, and more after each failure, up to less than `deadlock_timeout`. */
const LOCK_TIMEOUT = 80
const LONGEST_LOCK_TIMEOUT = 500

/** A number of slots that is better than the one that was looked at. */
export interface Wanted {
  readonly before: number
  readonly count: number
  readonly why: SlotsEvent['why']
}

/** A statement at the own slot. */
export interface Visit {
  /** How long it took, and how much of that it waited for the lock of the row, in ms. */
  readonly took: number
  readonly waited: number
  /** The quantity that it adds, also where it was refused, and the one that was left then, if that is known. */
  readonly change: bigint
  readonly left: bigint | undefined
}

interface Window {
  readonly since: number
  visits: number
  waited: number
  borrowed: number
  largest: bigint
  left: bigint
}

/**
 * Tells how many slots an item should have, by what this process meets there.
 *
 * - Twice as many, if most statements wait for the row of the own slot longer than a quarter of their time. Two processes
 *   that share a row wait less than half of it however hot it is, since each works while the other one waits. One long wait,
 *   such as for a transaction that hangs, is no more than one of those statements.
 * - Half as many, if most of them borrow: so little is left that nearly every call locks all slots anyway. For the same
 *   reason nothing is doubled that would not last for a few statements.
 * - Half as many, if only one slot is used, or fewer than a quarter of them, for a minute: a slot whose quantity has not
 *   changed was used by nobody. It takes twice as long each time that a lower number was followed by a higher one, so that
 *   the number does not swing.
 */
export class SlotNeed {
  readonly #bounds: SlotBounds
  readonly #clock: Clock
  #count: number
  #window: Window | undefined
  #quantities: readonly string[] = []
  #unusedReads = 0
  #patience = UNUSED_READS
  #hasFallen = false
  #fellAt = Number.NEGATIVE_INFINITY
  #failures = 0
  #restsUntil = Number.NEGATIVE_INFINITY

  constructor(bounds: SlotBounds, count: number, clock: Clock = systemClock) {
    this.#bounds = bounds
    this.#count = count
    this.#clock = clock
  }

  /** The item has so many slots, whoever has made them. Statements and reads from before do not count any more. */
  found(count: number): void {
    if (count === this.#count) return
    if (count < this.#count) this.#fellAt = this.#clock.now()
    else if (this.#hasFallen) this.#patience = Math.min(2 * this.#patience, MOST_UNUSED_READS)
    this.#hasFallen = count < this.#count
    this.#count = count
    this.#window = undefined
    this.#unusedReads = 0
    this.#failures = 0
  }

  /** A statement of this process's own, in no transaction of a caller's. */
  visited({ took, waited, change, left }: Visit): Wanted | undefined {
    const window = this.#current()
    window.visits++
    if (4 * waited > took) window.waited++
    if (-change > window.largest) window.largest = -change
    if (left !== undefined) window.left = left
    const now = this.#clock.now()
    if (window.visits < FEWEST || now < window.since + SHORTEST) return undefined
    this.#window = undefined
    const isWaiting = 2 * window.waited > window.visits
    const isWorth = window.left >= 2n * WORTH * window.largest
    if (!isWaiting || !isWorth || now < this.#fellAt + AFTER_HALVING) return undefined
    return this.#wanted(2 * this.#count, 'waiting')
  }

  /** Units of other slots were moved to the own one. */
  borrowed(): Wanted | undefined {
    const window = this.#current()
    window.borrowed++
    if (window.borrowed < FEWEST_BORROWED || 2 * window.borrowed <= window.visits) return undefined
    this.#window = undefined
    return this.#wanted(this.#count >> 1, 'borrowing')
  }

  /**
   * A transaction of a caller's is at the own slot. Other calls of this process may wait for it, and more slots would be of
   * no use to them: all of its calls are of one slot. So what was found meanwhile does not count.
   */
  disturbed(): void {
    this.#window = undefined
  }

  /** Whether it has fewer slots than it may have, or more. */
  bounded(): Wanted | undefined {
    return this.#wanted(this.#count, 'bounds')
  }

  /** The quantities of the slots, as text. */
  read(quantities: readonly string[]): Wanted | undefined {
    const { length: count } = quantities
    const before = this.#quantities
    this.#quantities = quantities
    const bounded = this.bounded()
    if (bounded || before.length !== count) return bounded
    const used = quantities.filter((quantity, i) => quantity !== before[i]).length
    const isUnused = used <= 1 || 4 * used < count
    this.#unusedReads = isUnused ? this.#unusedReads + 1 : 0
    if (this.#unusedReads < this.#patience) return undefined
    this.#unusedReads = 0
    return this.#wanted(count >> 1, 'unused')
  }

  /** A change could not be made. */
  failed(): void {
    this.#restsUntil = this.#clock.now() + Math.min(PAUSE * 2 ** this.#failures, LONGEST_PAUSE)
    this.#failures++
  }

  /** How long a change may wait for a row, in ms. */
  get lockTimeout(): number {
    return Math.min(LOCK_TIMEOUT * 2 ** this.#failures, LONGEST_LOCK_TIMEOUT)
  }

  #current(): Window {
    const since = this.#clock.now()
    if (this.#window === undefined || since > this.#window.since + LONGEST) {
      this.#window = { since, visits: 0, waited: 0, borrowed: 0, largest: 0n, left: 0n }
    }
    return this.#window
  }

  #wanted(wish: number, why: Wanted['why']): Wanted | undefined {
    const { least, most } = this.#bounds
    const before = this.#count
    const count = Math.min(Math.max(wish, least), most)
    if (before === 0 || count === before || this.#clock.now() < this.#restsUntil) return undefined
    return { before, count, why }
  }
}
