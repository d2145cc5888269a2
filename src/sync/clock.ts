/** The one source of time and chance, so that delays can be tested without waiting for them. */
export interface Clock {
  /** Milliseconds from a fixed point in the past; never goes back. */
  now(): number
  /** A number in [0, 1). */
  random(): number
  /** Calls `fire` once after `ms`; returns the way to call it off. */
  timer(ms: number, fire: () => void): () => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  random: () => Math.random(),
  timer(ms, fire) {
    const id = setTimeout(fire, ms)
    return () => clearTimeout(id)
  },
}
