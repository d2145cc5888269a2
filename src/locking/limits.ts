import { rowOf, type TransactionSession } from '../engine/session.js'
import { type Limits, limitsColumn, STATEMENT_LIMIT } from '../transactions/limits.js'

/** The limits of a transaction before those of a wait. */
export interface LimitsBefore {
  readonly lock: string
  readonly statement: string
}

/**
 * Limits the wait for the locks; resolves to the limits before. `lock_timeout` counts anew for each lock that a
 * statement waits for, `statement_timeout` for all of them together.
 */
export function limitWait(tx: TransactionSession, milliseconds: number): Promise<LimitsBefore> {
  const text = `SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement,
  set_config('lock_timeout', $1::int::text, true),
  ${STATEMENT_LIMIT}`
  return rowOf(tx, { text, values: [milliseconds] })
}

export function limitsBefore({ lock, statement }: LimitsBefore): Limits {
  return {
    column: (n) => `concat(set_config('lock_timeout', $${n}, true), set_config('statement_timeout', $${n + 1}, true))`,
    values: [lock, statement],
  }
}

/** Limits from before a wait stay where they are shorter: given as values, or the one for locks as an expression. */
export function limitsOfBody(bodyTimeout: number, before?: LimitsBefore | string): Limits {
  const isGiven = typeof before === 'object'
  return {
    column(n) {
      const body = `$${n}::int`
      const shorter = isGiven ? { lock: `$${n + 1}::text`, statement: `$${n + 2}::text` } : { lock: before }
      return limitsColumn({ statement: body, lock: body, before: shorter })
    },
    values: isGiven ? [bodyTimeout, before.lock, before.statement] : [bodyTimeout],
  }
}
