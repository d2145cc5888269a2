import { isUnsupported } from '../engine/error-facts.js'
import { rowOf, type TransactionSession } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import type { Deadline } from '../sync/deadline.js'
import { Semaphore } from '../sync/semaphore.js'

/**
 * The text whose `hashtextextended(text, 0)` is the number of the lock. A key of the user's is a JSON
 * array, which this is not.
 */
export const CONFLICT_TURN = 'prisma-extension-concurrency: the turn of a transaction after a conflict'

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
 */
export class ConflictTurn {
  readonly #queue = new Semaphore(1)
  #isSupported = true

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
    try {
      const leave = await this.#queue.acquire(patience, 'the turn of a transaction after a conflict')
      let isIn = true
      return () => {
        if (isIn) leave()
        isIn = false
      }
    } catch (error) {
      if (isConcurrencyError(error, 'DEADLINE_EXCEEDED')) return undefined
      throw error
    }
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
