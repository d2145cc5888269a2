/** A point at which calls wait until a test lets them go on. */
export interface Gate {
  /** Resolves when the gate is open. Waiting for it is no arrival. */
  readonly opened: Promise<void>
  /** How many calls have come to `wait`. */
  readonly arrivals: number
  /** Counts as an arrival, and waits until the gate is open. */
  wait(): Promise<void>
  /** Resolves when so many calls have arrived. Default 1. */
  arrived(count?: number): Promise<void>
  /** Lets all go on, also those that come later. */
  open(): void
}

/**
 * Makes a gate. A test that needs a call to be at a certain point lets it wait there, and sleeps nowhere.
 *
 * @example
 * const inside = gate()
 * const first = db.$withAdvisoryLock('stock', () => inside.wait())
 * await inside.arrived() // the lock is held now
 * inside.open()
 * await first
 */
export function gate(): Gate {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  let arrivals = 0
  const expected: { readonly count: number; readonly resolve: () => void }[] = []
  return {
    opened,
    open,
    get arrivals() {
      return arrivals
    },
    wait() {
      arrivals++
      for (const { count, resolve } of expected) if (arrivals >= count) resolve()
      return opened
    },
    async arrived(count = 1) {
      if (arrivals < count) await new Promise<void>((resolve) => expected.push({ count, resolve }))
    },
  }
}
