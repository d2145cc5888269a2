import type { ConcurrencyClient } from '../mapping/client.js'
import { inSavepoint, serializeInTransaction } from '../mapping/client.js'
import { isTransactionClient, type PrismaClientLike } from '../prisma/client.js'
import { type CallOptions, patienceOf } from '../retry/call-options.js'
import { withGivenDeadline } from '../retry/loop.js'
import { DEFAULT_POLICY, type RetryPolicy, resolvePolicy } from '../retry/policy.js'
import type { Deadline } from '../sync/deadline.js'

/** Runs a body all or nothing: what fails in it leaves nothing behind, and no lock either. */
export type Contained = <R>(body: (tx: PrismaClientLike) => Promise<R>) => Promise<R>

/** The client itself, where it is not that of a caller's transaction. */
export interface Root {
  readonly client: PrismaClientLike
  readonly deadline: Deadline
}

export interface Ways {
  readonly contained: Contained
  /** `undefined` in a caller's transaction. */
  readonly root: Root | undefined
}

export interface RunOptions extends CallOptions {
  timeout?: number | undefined
}

/**
 * Gives the work a way to run its bodies: on the client, each in a transaction of its own that is
 * run again after a conflict; in a caller's transaction, each in a savepoint.
 */
export async function run<R>(
  client: PrismaClientLike,
  own: RetryPolicy | undefined,
  { retry: given, signal, timeout }: RunOptions,
  work: (ways: Ways) => Promise<R>,
): Promise<R> {
  const core = client as ConcurrencyClient
  const retry = { ...own, ...withoutUndefined(given) }
  const policy = resolvePolicy(DEFAULT_POLICY, retry)
  const { deadline } = patienceOf(policy, { signal })
  if (!isTransactionClient(client)) {
    signal?.throwIfAborted()
    const contained: Contained = async (body) => {
      const left = retry.deadline === undefined ? {} : { deadline: Math.max(1, deadline.left()) }
      try {
        return await core.$transactionWithRetry(body, {
          isolationLevel: 'ReadCommitted',
          retry: { ...retry, ...left },
          signal,
          timeout,
        })
      } catch (error) {
        throw withGivenDeadline(error, left.deadline, deadline)
      }
    }
    return work({ contained, root: { client, deadline } })
  }
  return serializeInTransaction(client, deadline, () =>
    work({ contained: (body) => inSavepoint(client, deadline, body), root: undefined }),
  )
}

function withoutUndefined(policy: RetryPolicy | undefined): RetryPolicy {
  return Object.fromEntries(Object.entries(policy ?? {}).filter(([, value]) => value !== undefined))
}
