import type { Session } from '../engine/session.js'
import type { CallEvents } from '../events/call-events.js'
import type { CallOptions, Patience } from '../retry/call-options.js'
import { DEFAULT_POLICY, type ResolvedPolicy, type RetryPolicy, resolvePolicy } from '../retry/policy.js'
import { patienceWith, type RetryingRoot } from '../transactions/method.js'
import { ownStatements } from '../transactions/own-statements.js'
import { inSavepoint, serializeInTransaction } from '../transactions/serialize.js'

/** Where the work of a call runs, and until when. */
export interface Run extends Patience {
  readonly session: Session
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
  readonly transactionId: string | undefined
}

/**
 * Gives the work a way to run its bodies: on the root, each in a transaction of its own that is
 * run again after a conflict; in a caller's transaction, each in a savepoint.
 */
export class Runner {
  readonly root: RetryingRoot
  readonly #retry: RetryPolicy | undefined
  #policy: ResolvedPolicy | undefined

  constructor(root: RetryingRoot, retry: RetryPolicy | undefined) {
    this.root = root
    this.#retry = retry
  }

  async run<R>(session: Session, options: RunOptions, work: (run: Run) => Promise<R>): Promise<R> {
    const { signal, timeout, told } = options
    this.#policy ??= resolvePolicy(resolvePolicy(DEFAULT_POLICY, this.root.clientRetry()), this.#retry)
    const { policy, deadline } = patienceWith(this.#policy, options)
    told.events?.begin(deadline, told.key, told.transactionId)
    if (session.inTransaction) {
      const contained: Run['contained'] = (body) => inSavepoint(session, deadline, body)
      return serializeInTransaction(session, deadline, () => work({ session, policy, deadline, contained }))
    }
    signal?.throwIfAborted()
    const contained: Run['contained'] = (body) =>
      ownStatements(this.root, { policy, deadline, timeout, waitedFor: 'serials, or a transaction id' }, body)
    return work({ session: session.until(deadline), policy, deadline, contained })
  }
}
