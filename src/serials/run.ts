import type { Session } from '../engine/session.js'
import type { CallEvents } from '../events/call-events.js'
import { type CallOptions, patienceOf } from '../retry/call-options.js'
import { withGivenDeadline } from '../retry/loop.js'
import { DEFAULT_POLICY, type RetryPolicy, resolvePolicy } from '../retry/policy.js'
import type { Deadline } from '../sync/deadline.js'
import { partOf, type RetryingRoot } from '../transactions/method.js'
import { inSavepoint, serializeInTransaction } from '../transactions/serialize.js'

/** Where the work of a call runs, and until when. */
export interface Run {
  readonly session: Session
  readonly deadline: Deadline
  /** Runs a body all or nothing: a body that fails leaves nothing behind, and no lock either. */
  contained<R>(body: (tx: Session) => Promise<R>): Promise<R>
}

export interface RunOptions extends CallOptions {
  timeout?: number | undefined
  /** For the events of the call. */
  told: CallKeys
}

/** The events of a call, and what it is about. */
export interface CallKeys {
  readonly events: CallEvents | undefined
  readonly key: unknown
  readonly transactionId: string
}

/**
 * Gives the work a way to run its bodies: on the root, each in a transaction of its own that is
 * run again after a conflict; in a caller's transaction, each in a savepoint.
 */
export class Runner {
  readonly root: RetryingRoot
  readonly #retry: RetryPolicy | undefined

  constructor(root: RetryingRoot, retry: RetryPolicy | undefined) {
    this.root = root
    this.#retry = retry
  }

  async run<R>(session: Session, options: RunOptions, work: (run: Run) => Promise<R>): Promise<R> {
    const { retry: given, signal, timeout, told } = options
    const retry = { ...this.#retry, ...withoutUndefined(given) }
    const { deadline } = patienceOf(resolvePolicy(DEFAULT_POLICY, retry), { signal })
    told.events?.begin(deadline, told.key, told.transactionId)
    if (session.inTransaction) {
      const contained: Run['contained'] = (body) => inSavepoint(session, deadline, body)
      return serializeInTransaction(session, deadline, () => work({ session, deadline, contained }))
    }
    signal?.throwIfAborted()
    const contained: Run['contained'] = async (body) => {
      const left = retry.deadline === undefined ? {} : { deadline: Math.max(1, deadline.left()) }
      try {
        const options = { isolationLevel: 'ReadCommitted', retry: { ...retry, ...left }, signal, timeout } as const
        return await this.root.transactionWithRetry(body, partOf(told.events, options))
      } catch (error) {
        throw withGivenDeadline(error, left.deadline, deadline)
      }
    }
    return work({ session: session.until(deadline), deadline, contained })
  }
}

function withoutUndefined(policy: RetryPolicy | undefined): RetryPolicy {
  return Object.fromEntries(Object.entries(policy ?? {}).filter(([, value]) => value !== undefined))
}
