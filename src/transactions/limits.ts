import type { Deadline } from '../sync/deadline.js'

/** The time left of the deadline, as Prisma wants it: a whole number of ms, and never 0. */
export function wholeMilliseconds(deadline: Deadline): number {
  return Math.max(1, Math.ceil(deadline.left()))
}

/** An expression that limits every wait of the transaction for a lock to `$1` ms. */
export const LOCK_LIMIT = limitOf('lock_timeout')

/**
 * Expressions that limit every statement of the transaction to `$1` ms, as text. A running
 * statement cannot be taken back by the client, so the server must end it.
 */
export const LIMITS = `${LOCK_LIMIT},\n  ${limitOf('statement_timeout')}`

/** The same with a limit of `$2` ms for the waits. */
export const LIMITS_APART = `${limitOf('lock_timeout', '$2::int')},\n  ${limitOf('statement_timeout')}`

/** The second of them alone. */
export const STATEMENT_LIMIT = limitOf('statement_timeout')

/**
 * The same with the ms in `parameter`, and a limit for the pauses between statements, a second
 * longer: a process that is stopped or cut off cannot end its own transaction, so the server does.
 * Limits `before` stay where they are shorter.
 */
export function bodyLimits(parameter: string, before: { lock?: string; statement?: string } = {}): string {
  return `${limitOf('lock_timeout', `${parameter}::int`, before.lock)},
  ${limitOf('statement_timeout', `${parameter}::int`, before.statement)},
  ${limitOf('idle_in_transaction_session_timeout', `least(${parameter}::int8 + 1000, 2147483647)`)}`
}

/** The first of them, with `limit` ms. */
export function lockLimit(limit: number): string {
  return limitOf('lock_timeout', String(limit))
}

/**
 * A limit that the database or the role already has stays, where it is shorter; 0 means that there
 * is none (PostgreSQL manual, "19.11. Client Connection Defaults").
 */
function limitOf(name: string, limit = '$1::int', before = `current_setting('${name}')`): string {
  return `set_config('${name}', least(
    ${limit},
    nullif(extract(epoch FROM ${before}::interval) * 1000, 0)::int
  )::text, true)`
}
