import { DeadlineExceededError, type DeadlineHint } from '../errors/index.js'
import type { Clock } from './clock.js'

/** The end of a call's patience, and the caller's way to end it sooner. */
export class Deadline {
  readonly clock: Clock
  /** In ms, as the caller gave it. */
  readonly duration: number
  readonly signal: AbortSignal | undefined
  readonly #end: number

  /** @param told what the error says; the caller's own number, where `duration` is what is left of it */
  constructor(duration: number, signal: AbortSignal | undefined, clock: Clock, told = duration) {
    this.clock = clock
    this.duration = told
    this.signal = signal
    this.#end = clock.now() + duration
  }

  /** Milliseconds left, never negative. */
  left(): number {
    return Math.max(0, this.#end - this.clock.now())
  }

  passed(): boolean {
    return this.left() === 0
  }

  /** Throws the signal's reason if it is aborted, or a DeadlineExceededError if time is up. */
  check(waitedFor: string): void {
    this.signal?.throwIfAborted()
    if (this.passed()) throw new DeadlineExceededError(this.duration, waitedFor)
  }

  /**
   * Settles as `work` does, unless the deadline or the signal comes first. `work` is not stopped
   * by that, only no longer waited for; what it comes to is then ignored.
   */
  async race<T>(work: PromiseLike<T>, waitedFor: string, hint?: DeadlineHint): Promise<T> {
    const { signal } = this
    let cancelTimer = () => {}
    let onAbort = () => {}
    const interrupted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal?.reason)
      if (signal?.aborted) onAbort()
      else signal?.addEventListener('abort', onAbort)
      cancelTimer = this.clock.timer(this.left(), () =>
        reject(new DeadlineExceededError(this.duration, waitedFor, hint)),
      )
    })
    try {
      return await Promise.race([work, interrupted])
    } finally {
      cancelTimer()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Waits `ms`, but never past the deadline. Rejects at once with the signal's reason if it is aborted. */
  sleep(ms: number): Promise<void> {
    const { signal } = this
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        cancelTimer()
        reject(signal?.reason)
      }
      const cancelTimer = this.clock.timer(Math.min(ms, this.left()), () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}
