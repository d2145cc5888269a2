import { rowOf, type TransactionSession } from '../engine/session.js'
import { InvalidArgumentError, UnsupportedDatabaseError } from '../errors/index.js'
import type { LockMode } from '../sync/keyed-lock.js'
import { bodyLimits } from '../transactions/limits.js'

/** What to do where a lock's snapshot would be older than the lock. */
export type SnapshotRule = 'refuse' | 'accept'

/** Locks to be taken, all in one statement. */
export interface LockRequest {
  /** Encoded. */
  readonly keys: readonly string[]
  readonly mode: LockMode
  readonly snapshot: SnapshotRule
}

interface Taken {
  /** Empty for a lock that was waited for, `true` or `false` for one that was tried, or `refused`. */
  readonly taken: string
}

/**
 * Takes transaction-level advisory locks, waiting for whoever has them (PostgreSQL manual,
 * "9.28.10. Advisory Lock Functions"). They are released by the database with the transaction.
 */
export class AdvisoryLocks {
  /** Whether taking a lock has been seen to do something on this database. */
  #isProven = false

  /** Waits until all are taken. */
  async take(tx: TransactionSession, request: LockRequest): Promise<void> {
    await this.#call(tx, 'pg_advisory_xact_lock', request)
  }

  /**
   * Takes all that are free now; whether that was all of them. Those taken stay taken. With a
   * `bodyTimeout` the transaction is limited to it from here on, if all were free.
   */
  async tryTake(tx: TransactionSession, request: LockRequest, bodyTimeout?: number): Promise<boolean> {
    const rows = await this.#call(tx, 'pg_try_advisory_xact_lock', request, bodyTimeout)
    return rows.every(({ taken }) => taken === 'true')
  }

  /**
   * The numbers are sorted in a sub-select, and the locks taken in the order in which its rows come
   * out: one order for all callers, whatever the order of their keys.
   *
   * At REPEATABLE READ and above the first statement of a transaction takes its snapshot, before
   * it waits for the lock; what the holder before us wrote would then not be seen. CASE keeps the
   * lock from being taken there.
   *
   * The limits of a body go into the last statement of these, so that they cut off none of them.
   */
  async #call(
    tx: TransactionSession,
    lock: string,
    { keys, mode, snapshot }: LockRequest,
    bodyTimeout?: number,
  ): Promise<Taken[]> {
    const isProven = this.#isProven // others may prove it meanwhile
    const limit = withLimits('$3', isProven ? bodyTimeout : undefined)
    const text = `SELECT CASE WHEN $2::boolean OR current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
  THEN ${lock}${mode === 'shared' ? '_shared' : ''}(number)::text ELSE 'refused' END AS taken${limit.sql}
FROM (
  SELECT DISTINCT hashtextextended(key, 0) AS number
  FROM unnest($1::text[]) AS key
  ORDER BY number
) AS sorted`
    const rows = await tx.rows<Taken>({ text, values: [keys, snapshot === 'accept', ...limit.values] })
    if (rows.some(({ taken }) => taken === 'refused')) {
      throw new InvalidArgumentError(
        'isolationLevel',
        'of the transaction is REPEATABLE READ or above, where the lock would come after the snapshot: what its last holder wrote could not be seen. ' +
          "Use $withAdvisoryLock, run at READ COMMITTED, or say { snapshot: 'accept' }.",
      )
    }
    if (!isProven && rows.every(({ taken }) => taken !== 'false')) await this.#prove(tx, bodyTimeout)
    return rows
  }

  /** Some engines have the function, and it does nothing. So look once whether the lock is there. */
  async #prove(tx: TransactionSession, bodyTimeout?: number): Promise<void> {
    const limit = withLimits('$1', bodyTimeout)
    const text = `SELECT EXISTS (
  SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
) AS is_held${limit.sql}`
    const row = await rowOf(tx, { text, values: limit.values })
    if (row.is_held !== true) throw new UnsupportedDatabaseError()
    this.#isProven = true
  }
}

/** A column that sets the limits of a body: in a sub-select, which runs once, however many rows there are. */
function withLimits(parameter: string, bodyTimeout: number | undefined) {
  if (bodyTimeout === undefined) return { sql: '', values: [] }
  return { sql: `,\n  (SELECT concat(${bodyLimits(parameter)})) AS limits`, values: [bodyTimeout] }
}
