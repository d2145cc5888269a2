import { DeadlineExceededError } from '../errors/index.js'
import { isServerAway, leavesNothingUnknown } from './ambiguous-outcome.js'
import { sameAttempts } from './attempts.js'
import type { Patience } from './call-options.js'
import { retry } from './loop.js'
import { DEFAULT_POLICY } from './policy.js'

/**
 * Reads again while the server is away. At the deadline it is no lost answer: a read writes nothing.
 *
 * Fewer attempts than usual limit these reads, too. One that was cut is tried once more all the same.
 */
export async function readAgain<T>({ policy, deadline }: Patience, read: () => Promise<T>): Promise<T> {
  const most = policy.attempts < DEFAULT_POLICY.attempts ? Math.max(2, policy.attempts) : Number.POSITIVE_INFINITY
  let failures = 0
  const isWorthAnother = (error: unknown) => isServerAway(error) && ++failures < most && 'uncounted'
  try {
    return await retry(read, DEFAULT_POLICY, deadline, isWorthAnother)
  } catch (error) {
    if (!isServerAway(error)) throw error
    if (failures === most) throw leavesNothingUnknown(error)
    throw sameAttempts(new DeadlineExceededError(deadline.duration, 'the database', { cause: error }), error)
  }
}
