import type { Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import { type Events, observed } from '../events/events.js'
import { callOptions } from '../retry/call-options.js'
import { DEFAULT_POLICY, type ResolvedPolicy, timeSpan } from '../retry/policy.js'
import type { LockMode } from '../sync/keyed-lock.js'
import { type Committed, runCommitted } from '../transactions/effects.js'
import type { RetryingTransactions } from '../transactions/with-retry.js'
import * as s from '../values/schema.js'
import { snapshot } from '../values/snapshot.js'
import { checkArguments } from '../values/validation.js'
import type { SnapshotRule } from './acquire.js'
import type { Advisory } from './advisory.js'
import type { LockKeys } from './key.js'
import type { LockedBody } from './telling-loss.js'

/** The options of a lock taken inside a transaction. */
export interface AdvisoryXactLockOptions {
  /** `shared` locks exclude only exclusive ones. Default `exclusive`. */
  mode?: LockMode | undefined
  /** How long to wait, in ms. Default 5,000. */
  timeout?: number | undefined
  /**
   * At REPEATABLE READ and above the lock would come after the snapshot, so that what its last
   * holder wrote cannot be seen; it is refused there, unless `accept` says that this is fine.
   */
  snapshot?: SnapshotRule | undefined
}

export interface TryAdvisoryXactLockOptions extends Omit<AdvisoryXactLockOptions, 'timeout'> {}

export interface WithAdvisoryLockOptions<Token extends boolean = false> {
  /** `shared` locks exclude only exclusive ones. Default `exclusive`. */
  mode?: (Token extends true ? 'exclusive' : LockMode) | undefined
  /** How long to wait for the locks, in the process and in the database, over all keys together, in ms. Default 5,000. */
  timeout?: number | undefined
  /** How long the body may take once it holds the locks, in ms. Default 5,000. */
  bodyTimeout?: number | undefined
  /** Ends the wait, or the body, at once. */
  signal?: AbortSignal | undefined
  /**
   * Hands the body a token, for storage outside the database that can refuse an old one: the id of the transaction, a
   * bigint that grows with every holder of the keys. Only on the client, and for exclusive locks.
   */
  token?: Token | undefined
}

/** The last parameter of the body of `$withAdvisoryLock`. */
export type LockToken<Token extends boolean> = [Token] extends [true]
  ? [token: bigint]
  : [Token] extends [false]
    ? []
    : [token?: bigint]

const wait = s.optional(timeSpan)
const mode = s.optional(s.oneOf(['exclusive', 'shared']))
const snapshotRule = s.optional(s.oneOf(['refuse', 'accept']))

const takeOptions = s.strictObject({ mode, snapshot: snapshotRule, timeout: wait })
const tryOptions = s.strictObject({ mode, snapshot: snapshotRule })
const holdOptions = s.strictObject({
  mode,
  timeout: wait,
  bodyTimeout: wait,
  signal: callOptions.signal,
  token: s.optional(s.boolean()),
})

/** The client methods of the lock, as they are called: they check the arguments. */
export class LockMethods {
  readonly #transactions: RetryingTransactions
  readonly #policy: ResolvedPolicy
  readonly #maxWaiting: number
  readonly #events: Events | undefined
  #advisory: Advisory | undefined

  constructor(
    transactions: RetryingTransactions,
    policy: ResolvedPolicy,
    maxWaiting: number,
    events: Events | undefined,
  ) {
    this.#transactions = transactions
    this.#policy = policy
    this.#maxWaiting = maxWaiting
    this.#events = events
  }

  take(session: Session, keys: LockKeys, options: AdvisoryXactLockOptions = {}): Promise<void> {
    return observed(this.#events, '$advisoryXactLock', undefined, async (events) => {
      const given = keysOf(keys)
      const {
        mode = 'exclusive',
        snapshot = 'refuse',
        timeout = DEFAULT_POLICY.deadline,
      } = checkArguments(takeOptions, options)
      const advisory = this.#advisory ?? (await this.#load())
      await advisory.take(session, { keys: given, mode, snapshot, timeout: Math.ceil(timeout), events })
    })
  }

  tryTake(session: Session, keys: LockKeys, options: TryAdvisoryXactLockOptions = {}): Promise<boolean> {
    return observed(this.#events, '$tryAdvisoryXactLock', undefined, async (events) => {
      const given = keysOf(keys)
      const { mode = 'exclusive', snapshot = 'refuse' } = checkArguments(tryOptions, options)
      const advisory = this.#advisory ?? (await this.#load())
      return advisory.tryTake(session, { keys: given, mode, snapshot, events })
    })
  }

  hold<R>(
    session: Session,
    keys: LockKeys,
    body: LockedBody<R>,
    options: WithAdvisoryLockOptions<boolean> = {},
  ): Promise<R> {
    return observed(this.#events, '$withAdvisoryLock', undefined, async (events) => {
      if (typeof body !== 'function') {
        throw new InvalidArgumentError('body', 'must be a function of the transaction client.')
      }
      const given = keysOf(keys)
      const {
        mode = 'exclusive',
        timeout = DEFAULT_POLICY.deadline,
        bodyTimeout = DEFAULT_POLICY.deadline,
        token = false,
        ...checked
      } = checkArguments(holdOptions, options)
      const limits = { timeout: Math.ceil(timeout), bodyTimeout: Math.ceil(bodyTimeout) }
      const advisory = this.#advisory ?? (await this.#load())
      const committed: Committed = {}
      const call = { keys: given, mode, token, ...checked, ...limits, events, committed }
      const result = await advisory.hold(session, call, body)
      await runCommitted(committed, events)
      return result
    })
  }

  /**
   * The file of the locks is loaded by the first call of the process that takes one, before its time begins: most
   * programs take none. The arguments are read by then.
   */
  async #load(): Promise<Advisory> {
    const { Advisory } = await import('./advisory.js')
    this.#advisory ??= new Advisory(this.#transactions, this.#policy, this.#maxWaiting)
    return this.#advisory
  }
}

/** One key's parts are named by their place in it; the names of several begin with `keys`. */
function keysOf(keys: LockKeys): LockKeys {
  return snapshot(keys, 'key', isList(keys) ? 'key' : '')
}

function isList(keys: LockKeys): boolean {
  try {
    return Array.isArray(keys)
  } catch {
    return false // a Proxy that was revoked
  }
}
