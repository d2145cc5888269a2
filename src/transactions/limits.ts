import type { Deadline } from '../sync/deadline.js'

/** The time left of the deadline, as Prisma wants it: a whole number of ms, and never 0. */
export function wholeMilliseconds(deadline: Deadline): number {
  return Math.max(1, Math.ceil(deadline.left()))
}

/** An expression that limits every wait of the transaction for a lock to `$1` ms. */
export const LOCK_LIMIT = limitOf('lock_timeout', '$1::int')

/** The same of every statement, as text. A running statement cannot be taken back by the client, so the server must end it. */
export const STATEMENT_LIMIT = limitOf('statement_timeout', '$1::int')

/** How long each statement may take, and wait for a lock: `int` expressions, in ms. */
interface Limited {
  readonly statement: string
  readonly lock: string
  /** Limits from before, as text, that stay where they are shorter. They are the ones that hold unless given. */
  readonly before?: { readonly lock?: string | undefined; readonly statement?: string | undefined } | undefined
}

/** A column of limits for a statement with parameters of its own. */
export interface Limits {
  /** The first of its parameters has this number. */
  column(first: number): string
  readonly values: readonly unknown[]
}

/**
 * A column that limits the transaction: its waits for locks, its statements, and, a second longer, the pauses
 * between statements: a process that is stopped or cut off cannot end its own transaction, so the server does.
 */
export function limitsColumn({ statement, lock, before }: Limited): string {
  return `concat(
    ${limitOf('lock_timeout', lock, before?.lock)},
    ${limitOf('statement_timeout', statement, before?.statement)},
    ${limitOf('idle_in_transaction_session_timeout', `least(${statement}::int8 + 1000, 2147483647)`)}
  ) AS limits`
}

/** An expression that limits every wait for a lock to `limit` ms. */
export function lockLimit(limit: number): string {
  return limitOf('lock_timeout', String(limit))
}

/**
 * A limit that the database or the role already has stays, where it is shorter; 0 means that there
 * is none (PostgreSQL manual, "19.11. Client Connection Defaults").
 */
function limitOf(name: string, limit: string, before = `current_setting('${name}')`): string {
  return `set_config('${name}', least(
    ${limit},
    nullif(extract(epoch FROM ${before}::interval) * 1000, 0)::int
  )::text, true)`
}
