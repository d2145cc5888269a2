import { isConcurrencyError, LockTimeoutError, TransactionRequiredError } from '../errors.js'
import { isTransactionClient, type PrismaClientLike } from '../prisma/client.js'
import { isStatementTimeout, isTransactionTimeout } from '../prisma/errors.js'
import { systemClock } from '../retry/clock.js'
import { Deadline } from '../retry/deadline.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { wholeMilliseconds } from '../transaction/limits.js'
import type { RetryingTransactions } from '../transaction/with-retry.js'
import { AdvisoryLocks, type SnapshotRule } from './acquire.js'
import { encodeKeys } from './key.js'
import { Limiter } from './limiter.js'
import { KeyedQueue, type LockMode } from './queue.js'

export interface LockCall {
  readonly keys: unknown
  readonly mode: LockMode
  /** How long to wait for the locks, in ms. */
  readonly timeout: number
  /** How long the body may take once it holds them, in ms. */
  readonly bodyTimeout: number
  readonly signal?: AbortSignal | undefined
}

export type LockedBody<R> = (tx: PrismaClientLike, signal: AbortSignal) => Promise<R>

/** Advisory locks of one extended client. */
export class Advisory {
  readonly #locks = new AdvisoryLocks()
  readonly #queue = new KeyedQueue()
  readonly #waiters: Limiter
  readonly #transactions: RetryingTransactions
  readonly #policy: ResolvedPolicy

  constructor(transactions: RetryingTransactions, policy: ResolvedPolicy, maxWaiting: number) {
    this.#transactions = transactions
    this.#policy = policy
    this.#waiters = new Limiter(maxWaiting)
  }

  /** `$advisoryXactLock` */
  async take(tx: PrismaClientLike, keys: unknown, mode: LockMode, snapshot: SnapshotRule, timeout: number) {
    requireTransaction(tx, '$advisoryXactLock')
    const encoded = encodeKeys(keys)
    try {
      // In a savepoint, so that a timeout leaves the caller's transaction usable.
      await tx.$transaction(async (inner) => {
        const previous = await limitLockWait(inner, timeout)
        await this.#locks.take(inner, encoded, mode, snapshot)
        await restoreLockWait(inner, previous)
      })
    } catch (error) {
      throw isStatementTimeout(error) ? new LockTimeoutError(encoded, timeout, { cause: error }) : error
    }
  }

  /** `$tryAdvisoryXactLock` */
  async tryTake(tx: PrismaClientLike, keys: unknown, mode: LockMode, snapshot: SnapshotRule): Promise<boolean> {
    requireTransaction(tx, '$tryAdvisoryXactLock')
    return this.#locks.tryTake(tx, encodeKeys(keys), mode, snapshot)
  }

  /**
   * `$withAdvisoryLock`. Callers of this process queue before they take a connection, in the order
   * of the encoded keys. Whoever has come through the queue waits for nothing but the database, and
   * there all locks are taken in the order of their numbers: neither order can close a circle.
   */
  async hold<R>(client: PrismaClientLike, call: LockCall, body: LockedBody<R>): Promise<R> {
    const keys = encodeKeys(call.keys)
    if (isTransactionClient(client)) {
      await this.take(client, call.keys, call.mode, 'refuse', call.timeout)
      return body(client, call.signal ?? new AbortController().signal)
    }
    const deadline = new Deadline(call.timeout, call.signal, systemClock)
    const leave: (() => void)[] = []
    try {
      for (const key of keys) leave.push(await this.#enterQueue(key, keys, call, deadline))
      return await this.#holdInDatabase(client, keys, call, deadline, body)
    } finally {
      for (const pass of leave.reverse()) pass()
    }
  }

  async #enterQueue(key: string, keys: readonly string[], call: LockCall, deadline: Deadline): Promise<() => void> {
    try {
      return await this.#queue.enter(key, deadline, 'the lock', call.mode)
    } catch (error) {
      throw timeoutOf(error, keys, call)
    }
  }

  /**
   * A free key is taken at once. For one that is not, a place among the waiters is needed, so that
   * waiting never takes up more than so many connections of the pool.
   */
  async #holdInDatabase<R>(
    client: PrismaClientLike,
    keys: readonly string[],
    call: LockCall,
    deadline: Deadline,
    body: LockedBody<R>,
  ): Promise<R> {
    const attempt = (acquire: Acquire) => this.#transaction(client, keys, call, deadline, body, acquire)

    const first = await attempt((tx) => this.#locks.tryTake(tx, keys, call.mode, 'refuse'))
    if (first !== NOT_FREE) return first

    const stopWaiting = await this.#enterWaiters(keys, call, deadline)
    try {
      const second = await attempt(async (tx) => {
        const previous = await limitLockWait(tx, wholeMilliseconds(deadline))
        await this.#locks.take(tx, keys, call.mode, 'refuse')
        stopWaiting()
        await restoreLockWait(tx, previous)
        return true
      })
      return second as R
    } finally {
      stopWaiting()
    }
  }

  async #enterWaiters(keys: readonly string[], call: LockCall, deadline: Deadline): Promise<() => void> {
    try {
      return once(await this.#waiters.enter(deadline, 'a connection to wait for the lock on'))
    } catch (error) {
      throw timeoutOf(error, keys, call)
    }
  }

  async #transaction<R>(
    client: PrismaClientLike,
    keys: readonly string[],
    call: LockCall,
    deadline: Deadline,
    body: LockedBody<R>,
    acquire: Acquire,
  ): Promise<R | typeof NOT_FREE> {
    const whole = wholeMilliseconds(deadline) + call.bodyTimeout
    let isHeld = false
    const run = async (tx: PrismaClientLike) => {
      if (!(await acquire(tx))) throw NOT_FREE // rolls back, and so gives back what was taken
      isHeld = true
      return runBody(tx, call, body)
    }
    try {
      return await this.#transactions.run(client, run, {
        policy: { ...this.#policy, attempts: 1, retryOn: () => false },
        deadline: new Deadline(whole, call.signal, systemClock),
        isolationLevel: 'ReadCommitted',
        maxWait: wholeMilliseconds(deadline),
        timeout: undefined,
        readOnly: false,
      })
    } catch (error) {
      if (error === NOT_FREE) return NOT_FREE
      throw isHeld ? error : timeoutOf(error, keys, call)
    }
  }
}

type Acquire = (tx: PrismaClientLike) => Promise<boolean>

const NOT_FREE = Symbol('not free')

/**
 * Runs the body under its own timeout, which begins now. When it ends, or runs out of time, its
 * signal is aborted: from then on the transaction is over, the lock is gone, and what the body may
 * still write fails.
 */
async function runBody<R>(tx: PrismaClientLike, call: LockCall, body: LockedBody<R>): Promise<R> {
  const ended = new AbortController()
  const deadline = new Deadline(call.bodyTimeout, call.signal, systemClock)
  try {
    return await deadline.race(body(tx, ended.signal), 'the body under the lock')
  } finally {
    ended.abort()
  }
}

/** Sets how long a statement waits for a lock; resolves to what it was before. */
async function limitLockWait(tx: PrismaClientLike, milliseconds: number): Promise<string> {
  const [row] = (await tx.$queryRawUnsafe(
    `SELECT current_setting('lock_timeout') AS previous, set_config('lock_timeout', $1, true)`,
    String(milliseconds),
  )) as [{ previous: string }]
  return row.previous
}

async function restoreLockWait(tx: PrismaClientLike, previous: string): Promise<void> {
  await tx.$queryRawUnsafe(`SELECT set_config('lock_timeout', $1, true)`, previous)
}

/** Any way of running out of time before the lock was held is one and the same to the caller. */
function timeoutOf(error: unknown, keys: readonly string[], { timeout }: LockCall): unknown {
  const isTimeout =
    isConcurrencyError(error, 'DEADLINE_EXCEEDED') || isStatementTimeout(error) || isTransactionTimeout(error)
  return isTimeout ? new LockTimeoutError(keys, timeout, { cause: error }) : error
}

function requireTransaction(client: PrismaClientLike, method: string): void {
  if (!isTransactionClient(client)) throw new TransactionRequiredError(method)
}

/** The function, which does something only the first time it is called. */
function once(action: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    action()
  }
}
