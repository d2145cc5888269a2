import { isUnsupported } from '../engine/error-facts.js'
import { rowOf, type TransactionSession } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import type { Deadline } from '../sync/deadline.js'
import { once } from '../sync/once.js'
import { Semaphore } from '../sync/semaphore.js'

/**
 * The text whose `hashtextextended(text, 0)` is the number of the lock. A key of the user's is a JSON
 * array, which this is not.
 */
export const CONFLICT_TURN = 'prisma-extension-concurrency: the turn of a transaction after a conflict'

const WAITED_FOR = 'the turn of a transaction after a conflict'

/** Thrown in a transaction whose turn it is not: it is rolled back, having done nothing. */
const NOT_YET = Symbol('not yet')

/** The longest pause between two questions for the turn, in ms. */
const LONGEST_PAUSE = 50

/** How long one transaction may keep the others waiting, in ms, in the process and again in the database. */
const LONGEST_TURN = 500

/** The first statement of a transaction that runs in its turn. */
export type TakeTurn = (tx: TransactionSession) => Promise<void>

/**
 * Lets transactions that have had conflicts run one after the other, so that they do not meet again.
 *
 * In the process they queue before they take a connection, first come, first served. So each process
 * has at most one that asks for the lock of the database, which one has in all processes. It asks
 * in the first statement of its transaction, and does not wait there: a transaction that waits holds
 * a connection, and at REPEATABLE READ and above also the snapshot from before the wait, in which the
 * work of the holder before is missing. A transaction that does not get it ends, and its call asks
 * in another one a moment later, whose snapshot is younger. The holder's commit becomes visible before
 * its lock is free; it may come between the snapshot and the lock of the very same statement, which
 * then is at worst a conflict like any other.
 *
 * No transaction depends on its turn: the turn saves time, and the rows' own locks keep the data right.
 * So a slow holder, or one that waits for the next in the queue, keeps it waiting for LONGEST_TURN only,
 * and a call that has waited three quarters of the time that is left runs without a turn.
 *
 * A conflict in a turn is one with a transaction that runs for the first time, and while others come there is always
 * such a one. So from then on those of this process wait, until the call has ended, and the longest turn at most.
 */
export class ConflictTurn {
  readonly #queue = new Semaphore(1)
  /** Calls that have had a conflict in their turn; `done` comes when all have ended. */
  #pressing: { count: number; readonly done: Promise<void>; readonly end: () => void } | undefined
  #isSupported = true

  /** A call has had a conflict in its turn. Returns the function that is called when the call has ended. */
  press({ clock }: Deadline): () => void {
    const pressing = (this.#pressing ??= pressingCalls())
    pressing.count++
    const stop = once(() => {
      if (--pressing.count > 0) return
      this.#pressing = undefined
      pressing.end()
    })
    const cancelTimer = clock.timer(LONGEST_TURN, stop)
    return () => {
      cancelTimer()
      stop()
    }
  }

  /** Whether there are calls that have had a conflict in their turn. */
  get isPressed(): boolean {
    return this.#pressing !== undefined
  }

  /** Called before a transaction runs for the first time: waits for the calls that have had a conflict in their turn. */
  async letPass(deadline: Deadline): Promise<void> {
    if (this.#pressing === undefined) return
    const patience = deadline.lasting(Math.min(LONGEST_TURN, deadline.left() * 0.75))
    await patience.race(this.#pressing.done, WAITED_FOR).catch(unlessLate)
  }

  async run<R>(deadline: Deadline, run: (takeTurn?: TakeTurn) => Promise<R>): Promise<R> {
    const { clock } = deadline
    const leave = await this.#enter(deadline.lasting(deadline.left() * 0.75))
    if (leave === undefined) return run()
    const cancelTimer = clock.timer(LONGEST_TURN, leave)
    const patience = deadline.lasting(Math.min(LONGEST_TURN, deadline.left()))
    try {
      while (this.#isSupported && !patience.passed()) {
        try {
          return await run((tx) => this.#take(tx))
        } catch (error) {
          if (error !== NOT_YET) throw error
        }
        await patience.sleep(clock.random() * LONGEST_PAUSE)
      }
      return await run()
    } finally {
      cancelTimer()
      leave()
    }
  }

  /** Returns the function that lets the next one in; `undefined` if the wait was too long. */
  async #enter(patience: Deadline): Promise<(() => void) | undefined> {
    const leave = await this.#queue.acquire(patience, WAITED_FOR).catch(unlessLate)
    return leave && once(leave)
  }

  async #take(tx: TransactionSession): Promise<void> {
    const text = `SELECT pg_try_advisory_xact_lock(hashtextextended('${CONFLICT_TURN}', 0)) AS taken`
    const { taken } = await rowOf<{ taken: boolean }>(tx, { text, values: [] }).catch((error: unknown) => {
      if (!isUnsupported(error)) throw error
      this.#isSupported = false
      throw NOT_YET
    })
    if (!taken) throw NOT_YET
  }
}

function pressingCalls() {
  let end = () => {}
  const done = new Promise<void>((resolve) => {
    end = resolve
  })
  return { count: 0, done, end }
}

/** The end of a wait whose time is up is no error. */
function unlessLate(error: unknown): undefined {
  if (!isConcurrencyError(error, 'DEADLINE_EXCEEDED')) throw error
}
