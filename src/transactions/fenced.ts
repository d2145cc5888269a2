import type { Session, TransactionSession } from '../engine/session.js'
import { InvalidArgumentError, isConcurrencyError } from '../errors/index.js'
import { type Patience, patienceOf } from '../retry/call-options.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { FENCE, type Fence, type TakenFence } from './fence.js'

export interface FencedCall {
  readonly session: Session
  readonly taken: TakenFence
  /** Of the client, or of the feature. */
  readonly policy: ResolvedPolicy
  /** Opens a transaction that runs again after a conflict. */
  open<R>(body: (tx: TransactionSession) => Promise<R>, patience: Patience): Promise<R>
}

/**
 * A write with a fence: in its transaction the row of the lease is locked first, and stays so until the COMMIT. So a holder
 * that has lost the lease writes nothing, and a new one waits for this write.
 *
 * On a `tx` it is that transaction. A lease that is lost ends it, whatever its body catches.
 */
export async function fenced<R>(
  { session, taken, policy, open }: FencedCall,
  write: (tx: TransactionSession) => Promise<R>,
): Promise<R> {
  const { fence } = taken
  if (!isFence(fence)) {
    throw new InvalidArgumentError(
      'fence',
      'must be the lease that the body of $withLease is given. For the fence of another process call tx.$assertLease.',
    )
  }
  if (session.inTransaction) {
    await fence[FENCE](session)
    return write(session)
  }
  const inside = async (tx: TransactionSession) => {
    await fence[FENCE](tx)
    return refusalOf(write(tx))
  }
  const end = await open(inside, patienceOf(policy, taken))
  if ('refusal' in end) throw end.refusal
  return end.result
}

function isFence(value: unknown): value is Fence {
  return typeof value === 'object' && value !== null && FENCE in value
}

/**
 * A refusal ends as it would without a fence: it is not tried again, as a conflict of the transaction is, and what is
 * remembered of it is committed.
 */
async function refusalOf<R>(writing: Promise<R>): Promise<{ readonly result: R } | { readonly refusal: unknown }> {
  try {
    return { result: await writing }
  } catch (refusal) {
    if (REFUSALS.some((code) => isConcurrencyError(refusal, code))) return { refusal }
    throw refusal
  }
}

const REFUSALS = ['VERSION_CONFLICT', 'BATCH_VERSION_CONFLICT', 'INSUFFICIENT_STOCK', 'MAXIMUM_EXCEEDED'] as const
