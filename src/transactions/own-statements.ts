import { isStatementTimeout } from '../engine/error-facts.js'
import type { Patience } from '../retry/call-options.js'
import { limitReached, retry, withGivenDeadline } from '../retry/loop.js'
import { partOf, type RetryingRoot } from './method.js'
import type { Body } from './with-retry.js'

export interface OwnCall extends Patience {
  readonly waitedFor: string
  readonly timeout?: number | undefined
}

/**
 * A transaction of statements of our own, which may run as often as the deadline allows: also where a limit of the
 * database's is shorter, and has ended one of them.
 *
 * READ COMMITTED under any default of the database: a read after a lock must have a snapshot of after the lock.
 */
export async function ownStatements<R>(
  root: RetryingRoot,
  { policy, deadline, waitedFor, timeout }: OwnCall,
  body: Body<R>,
): Promise<R> {
  const attempt = async () => {
    const left = Math.max(1, deadline.left())
    try {
      const { signal } = deadline
      const options = {
        isolationLevel: 'ReadCommitted',
        retry: { ...policy, deadline: left },
        signal,
        timeout,
      } as const
      return await root.transactionWithRetry(body, partOf(deadline.events, options))
    } catch (error) {
      throw withGivenDeadline(error, left, deadline)
    }
  }
  try {
    const patient = { ...policy, attempts: Number.POSITIVE_INFINITY }
    return await retry(attempt, patient, deadline, isStatementTimeout)
  } catch (error) {
    throw limitReached(error, deadline, waitedFor)
  }
}
