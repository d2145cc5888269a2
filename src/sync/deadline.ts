import { DeadlineExceededError, type DeadlineHint } from '../errors/index.js'
import type { CallEvents, EventCarrier } from '../events/call-events.js'
import type { Clock } from './clock.js'
import { watch } from './overdue.js'

/**
 * How long after its deadline a call still waits for the database, in ms: an answer may be on its way, of a statement
 * that the server ends at the deadline, or of a COMMIT. Where there is none by then, the connection counts as lost.
 */
export const GRACE = 1_000

/** The end of a call's patience, and the caller's way to end it sooner. */
export class Deadline implements EventCarrier {
  readonly clock: Clock
  /** In ms, as the caller gave it. */
  readonly duration: number
  readonly signal: AbortSignal | undefined
  /** Of the call whose deadline it is, where somebody listens. */
  events: CallEvents | undefined
  readonly #end: number

  /** @param told what the error says; the caller's own number, where `duration` is what is left of it */
  constructor(duration: number, signal: AbortSignal | undefined, clock: Clock, told = duration) {
    this.clock = clock
    this.duration = told
    this.signal = signal
    this.#end = Math.floor(clock.now() + duration) // a whole number is 16 bytes less for each call that waits
  }

  /** A deadline of the same call, for a part of it. */
  lasting(duration: number, told = duration): Deadline {
    const part = new Deadline(duration, this.signal, this.clock, told)
    part.events = this.events
    return part
  }

  /** Milliseconds left, never negative. */
  left(): number {
    return Math.max(0, this.#end - this.clock.now())
  }

  /** The same for work of several callers, or for a write under way: no signal ends it. */
  withoutSignal(): Deadline {
    const part = new Deadline(this.left(), undefined, this.clock, this.duration)
    part.events = this.events
    return part
  }

  passed(): boolean {
    return this.left() === 0
  }

  isBefore(other: Deadline): boolean {
    return this.#end < other.#end
  }

  /** Whether the grace is over as well. */
  isOverdue(): boolean {
    return this.clock.now() >= this.#end + GRACE
  }

  /** The error of a caller who has waited for the database until the end of the grace. */
  unanswered(): DeadlineExceededError {
    return new DeadlineExceededError(this.duration, 'the database', { isUnanswered: true })
  }

  /**
   * Settles as what is sent does, if that is before the end of the grace. A later answer is for nobody. Nothing is
   * sent after the end of the grace, for the caller has been told.
   */
  answered<T>(send: () => PromiseLike<T>): Promise<T> {
    if (this.isOverdue()) return Promise.reject(this.unanswered())
    return new Promise((resolve, reject) => {
      const work = send()
      const end = watch({ deadline: this, giveUp: () => reject(this.unanswered()) })
      work.then(
        (value) => {
          end()
          resolve(value)
        },
        (error: unknown) => {
          end()
          reject(error)
        },
      )
    })
  }

  /**
   * The same for a transaction. Where its caller has been told before the body has ended, nothing is committed: a body
   * that begins or ends later is rolled back.
   */
  committed<S, R>(
    open: (body: (session: S) => Promise<R>) => Promise<R>,
    body: (session: S) => Promise<R>,
  ): Promise<R> {
    const check = () => {
      if (this.isOverdue()) throw new DeadlineExceededError(this.duration, 'the database')
    }
    return this.answered(() =>
      open(async (session) => {
        check()
        const result = await body(session)
        check()
        return result
      }),
    )
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

  /** The same until the end of the grace, for an answer that the database may owe to another call; as `answered`. */
  raceInGrace<T>(wait: () => PromiseLike<T>): Promise<T> {
    const answer = this.answered(wait)
    return this.signal ? this.#wait<T>(answer, undefined, () => {}) : answer
  }

  /** Waits `ms`, but never past the deadline. Rejects at once with the signal's reason if it is aborted. */
  sleep(ms: number): Promise<void> {
    return this.#wait<void>(undefined, Math.min(ms, this.left()), (resolve) => resolve())
  }

  /** Waits for the work, a time or the signal, whichever comes first. It leaves neither a timer nor a listener behind. */
  #wait<T>(
    work: PromiseLike<T> | undefined,
    ms: number | undefined,
    onTime: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void,
  ): Promise<T> {
    const { signal } = this
    return new Promise<T>((resolve, reject) => {
      let cancelTimer: (() => void) | undefined
      const end = () => {
        cancelTimer?.()
        signal?.removeEventListener('abort', onAbort)
      }
      const onAbort = () => {
        end()
        reject(signal?.reason)
      }
      if (work) {
        // Not `Promise.race`, which costs four promises more.
        const onValue = (value: T) => {
          end()
          resolve(value)
        }
        const onError = (error: unknown) => {
          end()
          reject(error)
        }
        Promise.resolve(work).then(onValue, onError)
      }
      if (signal?.aborted) return queueMicrotask(onAbort) // work that is done by now comes first
      signal?.addEventListener('abort', onAbort)
      if (ms === undefined) return
      cancelTimer = this.clock.timer(ms, () => {
        end()
        onTime(resolve, reject)
      })
    })
  }
}

/**
 * The one that has the least time left, of those whose grace is not over. A statement for all of them is waited for until
 * the end of its grace: the others find out what became of it in the time that they have left.
 */
export function soonest<C extends { readonly deadline: Deadline }>(calls: readonly C[]): C | undefined {
  let found: C | undefined
  for (const call of calls) {
    if (!call.deadline.isOverdue() && (!found || call.deadline.isBefore(found.deadline))) found = call
  }
  return found
}
