import { systemClock } from '../sync/clock.js'

export interface FakeClockOptions {
  /**
   * Chance, as numbers in [0, 1): a backoff is its longest delay times this. Default: always 0, so that nothing waits
   * before it tries again.
   */
  readonly random?: () => number
}

/** The time of this package, which a test moves on. */
export interface FakeClock {
  /** In ms. */
  now(): number
  /** Moves the time on. Delays and deadlines that end by then do so in their order, each at its own time. */
  advance(ms: number): Promise<void>
  /** Gives the package the real time again, in which delays that have not ended go on. */
  restore(): void
}

interface Timer {
  readonly due: number
  fire(): void
  /** Calls off the real timer that took its place. */
  cancel?: () => void
}

let isFake = false

/**
 * Takes the place of the clock by which this package measures backoff, deadlines and other delays in this process. The
 * time stands still except for `advance`, and tests wait for no backoff. The server has its own time, for a
 * `lock_timeout` and the like.
 *
 * @throws Error while there is another fake clock
 *
 * @example
 * const clock = fakeClock()
 * const call = db.$transactionWithRetry(async (tx) => tx.product.update({ where: { id }, data: { stock: 5 } }))
 * await clock.advance(60_000) // a minute has passed for the deadline of the call
 * clock.restore()
 */
export function fakeClock({ random = () => 0 }: FakeClockOptions = {}): FakeClock {
  if (isFake) throw new Error('There is a fake clock already. Call its restore() first.')
  isFake = true
  const real = { ...systemClock }
  const timers = new Set<Timer>()
  let time = Math.floor(real.now()) // whole ms, as deadlines end at them
  let isRestored = false

  Object.assign(systemClock, {
    now: () => time,
    random,
    timer(ms: number, fire: () => void) {
      if (ms <= 0) return real.timer(0, fire)
      const timer: Timer = { due: time + ms, fire }
      timers.add(timer)
      return () => {
        timers.delete(timer)
        timer.cancel?.()
      }
    },
  })
  const firstDue = (end: number) =>
    Array.from(timers)
      .filter(({ due }) => due <= end)
      .reduce<Timer | undefined>((first, timer) => (first && first.due <= timer.due ? first : timer), undefined)
  return {
    now: () => time,
    async advance(ms) {
      const end = time + ms
      for (let timer = firstDue(end); timer; timer = firstDue(end)) {
        timers.delete(timer)
        time = Math.max(time, timer.due)
        timer.fire()
        await turn(real.timer) // what it set off comes first
      }
      time = Math.max(time, end)
      await turn(real.timer)
    },
    restore() {
      if (isRestored) return
      isRestored = true
      isFake = false
      Object.assign(systemClock, real)
      for (const timer of timers) timer.cancel = real.timer(timer.due - time, timer.fire)
      timers.clear()
    },
  }
}

const turn = (timer: typeof systemClock.timer) => new Promise<void>((resolve) => void timer(0, resolve))
