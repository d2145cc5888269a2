import type { Deadline } from '../retry/deadline.js'

/** What is left of the deadline, as Prisma wants it: a whole number of ms, and never 0. */
export function wholeMilliseconds(deadline: Deadline): number {
  return Math.max(1, Math.ceil(deadline.left()))
}

/**
 * Expressions that limit every statement of the transaction to `$1` ms, as text. A running
 * statement cannot be taken back by the client, so the server must end it. A limit that the
 * database or the role already has stays, where it is shorter; 0 means that there is none
 * (PostgreSQL manual, "19.11. Client Connection Defaults").
 */
export const LIMITS = ['lock_timeout', 'statement_timeout']
  .map(
    (name) => `set_config('${name}', least(
    $1::int,
    nullif(extract(epoch FROM current_setting('${name}')::interval) * 1000, 0)::int
  )::text, true)`,
  )
  .join(',\n  ')
