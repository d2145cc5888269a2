import { isDeadlock, isLockTimeout, isTransactionConflict } from '../engine/error-facts.js'
import type { TransactionSession } from '../engine/session.js'
import { DeadlineExceededError, isConcurrencyError } from '../errors/index.js'
import type { Clock } from '../sync/clock.js'
import type { Deadline } from '../sync/deadline.js'
import { ConflictTurn, type TakeTurn } from './conflict-turn.js'
import { lockLimit } from './limits.js'

/*
 * PostgreSQL finds a deadlock only when somebody has waited `deadlock_timeout`, a second, and ends one
 * transaction of the circle. The next circle waits as long again: ten transactions on two rows, in
 * opposite orders, take up to nine seconds. So after the first deadlock that this client sees
 *
 * - the transactions of the client wait only LIMIT ms for a lock, for a while: those that begin, and
 *   those that are under way, from their next write on. One that waits longer gives way: it is rolled
 *   back, which lets the other one through, and runs again in its turn (see `ConflictTurn`).
 * - a transaction in its turn meets none of those that have had conflicts. It can meet one that runs for the
 *   first time, or another program's. It gives way to these, too, before a deadlock is found, and
 *   waits twice as long the next time: there may be no circle, but a long queue. Those that run for
 *   the first time become fewer, since each of them gets through, or comes into its turn.
 * - another process learns of it by a deadlock of its own, a second later at most.
 *
 * Conflicts without deadlocks, such as serialization failures, lead to the turn from the third run on:
 * two conflicts can be chance, a third is likely to be followed by more.
 */

/** How long a transaction without conflicts so far waits for a lock, in ms, when deadlocks are expected. */
const LIMIT = 50

/** How long a transaction in its turn waits for a lock at first, in ms: less than `deadlock_timeout`. */
const FIRST_LIMIT_IN_TURN = 250

/** Two can be chance. A third is one in the turn. */
const CONFLICTS_BEFORE_TURN = 2

/** How long after a deadlock others are expected, in ms. */
const EXPECTED_FOR = 2_000

/** A transaction's run, and how long it waits for a lock. */
export interface Run {
  /** Whether the call can run again. */
  readonly mayGiveWay: boolean
  readonly takeTurn: TakeTurn | undefined
  /** In ms; `undefined` for as long as the run may take. */
  lockLimit: number | undefined
  /** The error of a statement that `lockLimit` has ended: the run gives way, also if its body catches it. */
  endedByLimit: unknown
  /** Called when the body begins; its number among the call's runs: 1, 2, … */
  begins(): number
}

type Send = <R>(send: () => PromiseLike<R>) => PromiseLike<R>

/** By the id of a transaction that is under way: how it sends what may wait for a lock. */
const limits = new Map<string, Send>()

/** Sends a write, or SQL, in a transaction, by its id: within the limit that it has by then. */
export function withinLimit<R>(id: string, send: () => PromiseLike<R>): PromiseLike<R> {
  const limit = limits.get(id)
  return limit ? limit(send) : send()
}

/** The deadlocks of the transactions of one client. */
export class Deadlocks {
  readonly turn = new ConflictTurn()
  readonly #clock: Clock
  #expectedUntil = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** There was one. */
  note(): void {
    this.#expectedUntil = this.#clock.now() + EXPECTED_FOR
  }

  get areExpected(): boolean {
    return this.#clock.now() < this.#expectedUntil
  }

  /** Runs the body of a transaction. */
  async track<R>(tx: TransactionSession, run: Run, body: () => Promise<R>): Promise<R> {
    const { id } = tx
    if (!run.mayGiveWay) return body()
    let limiting: Promise<void> | undefined
    const withinLimit: Send = async (send) => {
      await limiting // also one that another write of the transaction has asked for
      const since = this.#clock.now()
      try {
        return await send()
      } catch (error) {
        if (this.#clock.now() - since + 1 >= (run.lockLimit as number)) run.endedByLimit ??= lockTimeoutOf(error)
        throw error
      }
    }
    limits.set(id, (send) => {
      if (run.lockLimit === undefined && this.areExpected) limiting = this.#limit(run, tx)
      return run.lockLimit === undefined ? send() : withinLimit(send)
    })
    let result: R
    try {
      result = await body()
    } catch (error) {
      throw run.endedByLimit ?? error
    } finally {
      limits.delete(id)
    }
    // The body has caught it, and may have taken it for an answer.
    if (run.endedByLimit !== undefined) throw run.endedByLimit
    return result
  }

  async #limit(run: Run, tx: TransactionSession): Promise<void> {
    run.lockLimit = LIMIT
    // Where this fails the transaction is over, which the write itself tells.
    await tx.rowsAtOnce({ text: `SELECT ${lockLimit(LIMIT)}`, values: [] }).catch(() => {})
  }
}

/** One call's runs: the conflicts so far, and how the next run goes. */
export class Runs {
  readonly #deadlocks: Deadlocks
  readonly #deadline: Deadline
  readonly #mayGiveWay: boolean
  #bodies = 0
  #conflicts = 0
  #hasFought = false
  #timesInTurn = 0
  #stopPressing = () => {}

  constructor(deadlocks: Deadlocks, deadline: Deadline, mayGiveWay: boolean) {
    this.#deadlocks = deadlocks
    this.#deadline = deadline
    this.#mayGiveWay = mayGiveWay
  }

  /** Notes what a run has failed with. */
  note(error: unknown): void {
    if (isDeadlock(error)) this.#deadlocks.note()
    const isConflict =
      isTransactionConflict(error) ||
      isConcurrencyError(error, 'VERSION_CONFLICT') ||
      isConcurrencyError(error, 'BATCH_VERSION_CONFLICT')
    if (!isConflict) return
    this.#conflicts++
    if (this.#conflicts > CONFLICTS_BEFORE_TURN) {
      const stop = this.#deadlocks.turn.press(this.#deadline)
      this.#stopPressing()
      this.#stopPressing = stop
    }
    this.#hasFought ||= isDeadlock(error) || this.#conflicts >= CONFLICTS_BEFORE_TURN || this.#deadlocks.areExpected
  }

  /** The call has ended. */
  end(): void {
    this.#stopPressing()
  }

  /** Runs until it comes to an end other than that it gives way. Only the deadline counts these. */
  async next<R>(once: (run: Run) => Promise<R>): Promise<R> {
    for (;;) {
      let run: Run | undefined
      const begin = (takeTurn?: TakeTurn) => once((run = this.#begin(takeTurn)))
      const { turn } = this.#deadlocks
      try {
        if (this.#hasFought) return await turn.run(this.#deadline, begin)
        if (this.#mayGiveWay && turn.isPressed) await turn.letPass(this.#deadline)
        return await begin()
      } catch (error) {
        if (run?.endedByLimit === undefined) throw error
        this.#deadline.signal?.throwIfAborted()
        if (this.#deadline.passed()) {
          throw new DeadlineExceededError(this.#deadline.duration, 'other transactions, after a deadlock', {
            cause: error,
          })
        }
        if (this.#hasFought) this.#timesInTurn++
        this.#hasFought = true
        this.#deadline.events?.tell({ type: 'retry', reason: 'gave way', attempt: this.#bodies, ms: 0 })
      }
    }
  }

  #begin(takeTurn: TakeTurn | undefined): Run {
    return {
      mayGiveWay: this.#mayGiveWay,
      takeTurn,
      lockLimit: this.#lockLimit(),
      endedByLimit: undefined,
      begins: () => ++this.#bodies,
    }
  }

  #lockLimit(): number | undefined {
    if (!this.#mayGiveWay) return undefined
    if (this.#hasFought) return FIRST_LIMIT_IN_TURN * 2 ** Math.min(this.#timesInTurn, 31)
    return this.#deadlocks.areExpected ? LIMIT : undefined
  }
}

/** The lock timeout that an error comes from, unless the call had a limit of its own for the wait. */
function lockTimeoutOf(error: unknown): unknown {
  if (isConcurrencyError(error, 'LOCK_TIMEOUT')) return undefined
  if (isLockTimeout(error)) return error
  return error instanceof Error && error.cause !== undefined ? lockTimeoutOf(error.cause) : undefined
}
