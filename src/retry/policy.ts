import * as s from '../values/schema.js'

/** How often, how fast and how long a write is tried again. */
export interface RetryPolicy {
  /**
   * How often the work runs at most, the first time included. Default 10. A transaction that only gave
   * way to another one, when there were deadlocks, has not used up one of these, and nor has a run that ended because
   * the server was away: there the deadline counts. Fewer than 10 limit these runs, too.
   */
  attempts?: number | undefined
  /** The first delay's upper bound in ms; it doubles with every attempt. Default 5. */
  baseDelay?: number | undefined
  /** The upper bound of any delay in ms. Default 250. */
  maxDelay?: number | undefined
  /** How long the whole call may take in ms, waits and queues included. Default 5,000. */
  deadline?: number | undefined
  /**
   * Errors to try again besides version conflicts, serialization failures (40001) and deadlocks
   * (40P01). Asked only about other errors.
   */
  retryOn?: ((error: unknown) => boolean) | undefined
}

/** A policy with every value settled. */
export interface ResolvedPolicy {
  readonly attempts: number
  readonly baseDelay: number
  readonly maxDelay: number
  readonly deadline: number
  readonly retryOn: (error: unknown) => boolean
}

// setTimeout fires at once for anything longer than this many ms (32 bits, signed).
export const LONGEST_TIMER = 2_147_483_647
const milliseconds = s
  .number('must be a number of ms')
  .check(s.gte(0, 'must not be negative'), s.lte(LONGEST_TIMER, `must be at most ${LONGEST_TIMER} ms`))

/** A time that something may take. */
export const timeSpan = s
  .number('must be a number of ms')
  .check(s.gte(1, 'must be at least 1 ms'), s.lte(LONGEST_TIMER, `must be at most ${LONGEST_TIMER} ms`))

export const retryPolicySchema = s.strictObject({
  attempts: s.optional(s.whole().check(s.gte(1, 'must be at least 1: the first run counts'))),
  baseDelay: s.optional(milliseconds),
  maxDelay: s.optional(milliseconds),
  deadline: s.optional(milliseconds.check(s.gte(1, 'must be at least 1 ms'))),
  retryOn: s.optional(
    s.custom<(error: unknown) => boolean>((value) => typeof value === 'function', 'must be a function'),
  ),
})

export const DEFAULT_POLICY: ResolvedPolicy = {
  attempts: 10,
  baseDelay: 5,
  maxDelay: 250,
  deadline: 5_000,
  retryOn: () => false,
}

/** How long a transaction waits for a connection, and how long it may take, in ms, unless told otherwise: as on Prisma. */
export const DEFAULT_TRANSACTION = { maxWait: 2_000, timeout: 5_000 }

/** Lays `override` over `base`; values that it leaves out, or leaves `undefined`, stay as they were. */
export function resolvePolicy(base: ResolvedPolicy, override: RetryPolicy | undefined): ResolvedPolicy {
  return {
    attempts: override?.attempts ?? base.attempts,
    baseDelay: override?.baseDelay ?? base.baseDelay,
    maxDelay: override?.maxDelay ?? base.maxDelay,
    deadline: override?.deadline ?? base.deadline,
    retryOn: override?.retryOn ?? base.retryOn,
  }
}
