import type { TransactionSession } from '../engine/session.js'

/** By this a lease takes its row in a transaction, and throws if it is lost. */
export const FENCE = Symbol('fence')

/** The setting of a transaction that says which leases it holds: a JSON object, by their names. Triggers look at it. */
export const HELD_LEASES = 'prisma_extension_concurrency.leases'

/** A lease, to the writes that it is a fence for: they know nothing else of it. */
export interface Fence {
  [FENCE](tx: TransactionSession): Promise<void>
}

/** The `lease` that the body of `$withLease` is given. */
export interface WriteFence {
  readonly name: string
  /** Grows with every holder of the name. */
  readonly token: bigint
  /** The random id of this holder. */
  readonly holder: string
  /** Whether it can be proved to be held now. */
  readonly isHeld: boolean
}

export interface FenceOption {
  /**
   * The lease that this write needs: it is committed only if nobody else has taken the lease before. The call is not
   * sent together with others, but in a transaction of its own, unless it is made on a `tx`.
   */
  fence?: WriteFence
}

/** The fence of a call, and its other options that its transaction needs. */
export interface TakenFence {
  readonly fence: unknown
  readonly retry: unknown
  readonly signal: unknown
}

/**
 * Takes the fence out of the arguments of a call, which are a copy in which a lease is the caller's own object. One that is
 * there and `undefined` is refused later: the write would be without the fence that was meant.
 */
export function takeFence(args: unknown): TakenFence | undefined {
  if (typeof args !== 'object' || args === null || !('fence' in args)) return undefined
  const { fence, retry, signal } = { retry: undefined, signal: undefined, ...args }
  Reflect.deleteProperty(args, 'fence')
  return { fence, retry, signal }
}
