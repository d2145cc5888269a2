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
   * by that, only no longer waited for; its outcome is then ignored.
   */
  race<T>(work: PromiseLike<T>, waitedFor: string, hint?: DeadlineHint): Promise<T> {
    return this.#wait<T>(work, this.left(), (_, reject) =>
      reject(new DeadlineExceededError(this.duration, waitedFor, hint)),
    )
  }

  /** Waits `ms`, but never past the deadline. Rejects at once with the signal's reason if it is aborted. */
  sleep(ms: number): Promise<void> {
    return this.#wait<void>(undefined, Math.min(ms, this.left()), (resolve) => resolve())
  }

  /** Waits for the work, a time or the signal, whichever comes first. It leaves neither a timer nor a listener behind. */
  async #wait<T>(
    work: PromiseLike<T> | undefined,
    ms: number,
    onTime: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void,
  ): Promise<T> {
    const { signal } = this
    let stop = () => {}
    const interrupted = new Promise<T>((resolve, reject) => {
      const onAbort = () => reject(signal?.reason)
      if (signal?.aborted) return onAbort()
      signal?.addEventListener('abort', onAbort)
      const cancelTimer = this.clock.timer(ms, () => onTime(resolve, reject))
      stop = () => {
        cancelTimer()
        signal?.removeEventListener('abort', onAbort)
      }
    })
    try {
      return await (work ? Promise.race([work, interrupted]) : interrupted)
    } finally {
      stop()
    }
  }
}
