import { rowOf, type TransactionSession } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError, UnsupportedDatabaseError } from '../errors/index.js'
import { takesNoWrites } from '../errors/read-only.js'
import type { LockMode } from '../sync/keyed-lock.js'
import type { Limits } from '../transactions/limits.js'
import { CAN_TRY, tryNewSnapshot } from '../transactions/new-snapshot.js'
import { FOR_TOKEN, hasIdAlready, whenTaken, XID } from './token.js'

/** The rule for a lock whose snapshot would be older than the lock. */
export type SnapshotRule = 'refuse' | 'accept'

/** Locks to be taken, all in one statement. */
export interface LockRequest {
  /** Encoded. */
  readonly keys: readonly string[]
  readonly mode: LockMode
  readonly snapshot: SnapshotRule
}

interface LockStatement {
  /** Whether it waits for locks that are not free; for a single one also how long, in ms (see `limitsItself`). */
  readonly waits: boolean | number
  /** The columns that note the transaction. They are read once all locks are taken. */
  readonly note?: string | undefined
  /** Whether the transaction's id is to be a token, whether it is noted or not. */
  readonly isToken?: boolean
  /** They are set once all locks are taken. */
  readonly limits?: Limits | undefined
}

interface Taken {
  /**
   * Of all locks together: empty where they were waited for, `true`, `false` if one was not free, `refused` for the
   * isolation level, or `late` where the transaction had an id already.
   */
  readonly taken: string
}

const NUMBERS = `(
    SELECT DISTINCT hashtextextended(key, 0) AS number
    FROM unnest($1::text[]) AS key
    ORDER BY number
  )`

/** The same of one key, which saves 15 µs. */
const ONE_NUMBER = `(
    SELECT hashtextextended($1::text, 0) AS number
  )`

/** It is read before the lock is waited for, since the wait is a column of the row that it is a part of. */
const waitColumns = (n: number) => `WITH wait AS MATERIALIZED (
  SELECT current_setting('lock_timeout') AS before, set_config('lock_timeout', $${n}::int::text, true)
)
`

const LATE =
  'is not to be had here: the transaction had its id before the lock was taken, so that it need not grow from holder to holder. ' +
  'Another extension writes at the beginning of each transaction: call $withAdvisoryLock on a client without it.'

const isGiven = (column: string | undefined) => column !== undefined

/** The `lock_timeout` before a statement that limits its own wait. */
export const LOCK_LIMIT_BEFORE = 'min(locks.before)'

/**
 * Takes transaction-level advisory locks (PostgreSQL manual, "9.28.10. Advisory Lock Functions"). They are
 * released by the database with the transaction.
 */
export class AdvisoryLocks {
  /** Whether taking a lock has been seen to do something on this database. */
  #isThere = false
  /** Whether a statement behind it has been seen to have a snapshot of its own. */
  #isFresh = false

  /**
   * Whether the statement that takes these locks can limit its own wait: `lock_timeout` counts anew for each lock,
   * and a `statement_timeout` that a statement sets holds for those after it.
   */
  limitsItself(keys: readonly string[]): boolean {
    return this.#isFresh && keys.length === 1
  }

  /**
   * Takes all of them, in one statement. `isTaken` says whether all were free; those that were stay taken.
   *
   * The numbers are sorted in a sub-select, and the locks taken in the order in which its rows come
   * out: one order for all callers, whatever the order of their keys.
   *
   * At REPEATABLE READ and above the first statement of a transaction takes its snapshot, before
   * it waits for the lock, and would not see the writes of the holder before us. CASE keeps the lock
   * from being taken there.
   *
   * The columns beside `min` are computed when it has seen all rows, so after the last lock: the limits
   * cut off no wait. They go into the last statement of these. The transaction's id, which must not come
   * before a lock, depends on them by CASE.
   */
  async acquire<N extends object>(
    tx: TransactionSession,
    { keys, mode, snapshot }: LockRequest,
    { waits, note, isToken = false, limits }: LockStatement,
  ): Promise<N & { readonly isTaken: boolean }> {
    const isProven = snapshot === 'accept' ? this.#isThere : this.#isFresh // others may prove it meanwhile
    const after = isProven ? limits : undefined
    const noted = isToken ? `${note ?? XID},\n  ${FOR_TOKEN}` : note
    const columns = ['min(taken) AS taken', noted && whenTaken(noted), after?.column(3)].filter(isGiven)
    const isLimited = typeof waits === 'number'
    const first = 3 + (after?.values.length ?? 0)
    const text = `${isLimited ? waitColumns(first) : ''}SELECT ${columns.join(',\n  ')}
FROM (
  SELECT ${isLimited ? 'wait.before, ' : ''}CASE ${isToken ? hasIdAlready('late') : ''}WHEN $2::boolean OR current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
    THEN pg_${waits ? '' : 'try_'}advisory_xact_lock${mode === 'shared' ? '_shared' : ''}(number)::text ELSE 'refused' END AS taken
  FROM ${keys.length === 1 ? ONE_NUMBER : NUMBERS} AS sorted${isLimited ? ', wait' : ''}
) AS locks`
    const values = [
      keys.length === 1 ? keys[0] : keys,
      snapshot === 'accept',
      ...(after?.values ?? []),
      ...(isLimited ? [waits] : []),
    ]
    const row = await rowOf<Taken & N>(tx, { text, values })
    if (row.taken === 'refused') {
      throw new InvalidArgumentError(
        'isolationLevel',
        'of the transaction is REPEATABLE READ or above, where the lock would come after the snapshot: what its last holder wrote could not be seen. ' +
          "Use $withAdvisoryLock, run at READ COMMITTED, or say { snapshot: 'accept' }.",
      )
    }
    if (row.taken === 'late') throw new ConfigurationError([{ path: 'token', message: LATE }])
    const isTaken = row.taken !== 'false'
    if (!isProven && isTaken) await this.#prove(tx, snapshot, limits)
    return { ...row, isTaken }
  }

  /**
   * Some engines have the function, and it does nothing; or they say READ COMMITTED, and keep the snapshot of the
   * transaction. So look once whether the lock is there, and try once whether a statement sees what ended before it.
   */
  async #prove(tx: TransactionSession, snapshot: SnapshotRule, limits: Limits | undefined): Promise<void> {
    const columns = limits ? `${FACTS},\n  ${limits.column(1)}` : FACTS
    const facts = await rowOf<Facts>(tx, { text: `SELECT ${columns}`, values: limits?.values ?? [] })
    if (!facts.is_held) throw new UnsupportedDatabaseError()
    if (facts.is_replica) throw takesNoWrites()
    this.#isThere = true
    if (snapshot === 'accept') return // its level may be one that has no new snapshot to be seen
    if (facts.can_try) await tryNewSnapshot(tx)
    this.#isFresh = true
  }
}

interface Facts {
  readonly is_held: boolean
  /** A lock of a replica keeps nobody out who takes it on the primary. */
  readonly is_replica: boolean
  readonly can_try: boolean
}

const FACTS = `EXISTS (
  SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
) AS is_held,
  pg_is_in_recovery() AS is_replica,
  ${CAN_TRY}`
