/** An entry of a `TopKeys`. */
export interface Counted<A> {
  readonly key: string
  /** At least how often it came is `count - error`, and at most `count`. */
  count: number
  readonly error: number
  /** The additions since it is in the list. */
  readonly added: A
}

/**
 * The keys that come most often, in bounded memory: each key that is more than 1/size of all is in the list.
 *
 * Source: Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams"
 * (Space-Saving), 2005.
 */
export class TopKeys<A> {
  readonly #size: number
  readonly #make: () => A
  readonly #entries = new Map<string, Counted<A>>()

  constructor(size: number, make: () => A) {
    this.#size = size
    this.#make = make
  }

  /** The key has come once more. */
  count(key: string): A {
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { key, ...this.#room(), added: this.#make() }
      this.#entries.set(key, entry)
    }
    entry.count++
    return entry.added
  }

  /** The most frequent first. */
  top(most: number): Counted<A>[] {
    return [...this.#entries.values()].sort((a, b) => b.count - a.count).slice(0, most)
  }

  get size(): number {
    return this.#entries.size
  }

  /** The rarest one gives its place to the new one, which may have come as often before. */
  #room(): { count: number; error: number } {
    if (this.#entries.size < this.#size) return { count: 0, error: 0 }
    let rarest: Counted<A> | undefined
    for (const entry of this.#entries.values()) if (!rarest || entry.count < rarest.count) rarest = entry
    if (rarest === undefined) return { count: 0, error: 0 }
    this.#entries.delete(rarest.key)
    return { count: rarest.count, error: rarest.count }
  }
}

/** Numbers of one distribution. */
export interface Quantiles {
  readonly count: number
  readonly total: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

/** Buckets for each doubling: a quantile is off by a tenth at most. */
const PER_DOUBLING = 4
/** Up to 2^24: four hours in ms. */
const BUCKETS = 24 * PER_DOUBLING + 1

/** A distribution of numbers from 1 on, in bounded memory. */
export class Histogram {
  readonly #buckets = new Uint32Array(BUCKETS)
  #count = 0
  #total = 0
  #max = 0

  add(value: number): void {
    const bucket = Math.round(Math.log2(Math.max(1, value)) * PER_DOUBLING)
    const index = Math.min(BUCKETS - 1, bucket)
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1
    this.#count++
    this.#total += value
    this.#max = Math.max(this.#max, value)
  }

  read(): Quantiles {
    const [p50, p90, p99] = [this.#quantile(0.5), this.#quantile(0.9), this.#quantile(0.99)]
    return { count: this.#count, total: this.#total, p50, p90, p99, max: this.#max }
  }

  #quantile(share: number): number {
    let left = share * this.#count
    for (const [index, count] of this.#buckets.entries()) {
      left -= count
      if (left <= 0 && count > 0) return Math.min(this.#max, 2 ** (index / PER_DOUBLING))
    }
    return this.#max
  }
}
