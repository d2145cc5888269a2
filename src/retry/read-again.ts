import { DeadlineExceededError } from '../errors/index.js'
import type { Deadline } from '../sync/deadline.js'
import { isServerAway } from './ambiguous-outcome.js'
import { sameAttempts } from './attempts.js'
import { retry } from './loop.js'
import { DEFAULT_POLICY } from './policy.js'

/** Reads again while the server is away. At the deadline it is no lost answer: a read writes nothing. */
export async function readAgain<T>(deadline: Deadline, read: () => Promise<T>): Promise<T> {
  try {
    return await retry(read, DEFAULT_POLICY, deadline, (error) => isServerAway(error) && 'uncounted')
  } catch (error) {
    if (!isServerAway(error)) throw error
    throw sameAttempts(new DeadlineExceededError(deadline.duration, 'the database', { cause: error }), error)
  }
}
