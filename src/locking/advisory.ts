import { isStatementTimeout, isTransactionTimeout } from '../engine/error-facts.js'
import {
  type IsolationLevel,
  type RootSession,
  rowOf,
  type Session,
  type TransactionSession,
} from '../engine/session.js'
import { isConcurrencyError, LockTimeoutError, TransactionRequiredError } from '../errors/index.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { systemClock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import { KeyedLock, type LockMode } from '../sync/keyed-lock.js'
import { Semaphore } from '../sync/semaphore.js'
import { boundedBody, timeoutBehind, untilOver } from '../transactions/bounded-body.js'
import { bodyLimits, STATEMENT_LIMIT, wholeMilliseconds } from '../transactions/limits.js'
import { inNestedBody, inSavepoint, serializeInTransaction } from '../transactions/serialize.js'
import type { RetryingTransactions } from '../transactions/with-retry.js'
import { AdvisoryLocks, type LockRequest } from './acquire.js'
import { encodeKeys } from './key.js'

export interface LockCall {
  readonly keys: unknown
  readonly mode: LockMode
  /** How long to wait for the locks, in ms. */
  readonly timeout: number
  /** How long the body may take once it holds them, in ms. */
  readonly bodyTimeout: number
  readonly signal?: AbortSignal | undefined
}

export type LockedBody<R> = (tx: object, signal: AbortSignal) => Promise<R>

/** What a lock on a transaction of the caller's is taken with. */
interface TakeCall extends Omit<LockRequest, 'keys'> {
  readonly keys: unknown
  readonly timeout: number
}

/** A call of `$withAdvisoryLock` that has come through the queue of this process. */
interface Hold<R> {
  readonly keys: readonly string[]
  readonly call: LockCall
  readonly deadline: Deadline
  readonly body: LockedBody<R>
}

/** Advisory locks of one extended client. */
export class Advisory {
  readonly #locks = new AdvisoryLocks()
  readonly #queue = new KeyedLock()
  readonly #waiters: Semaphore
  readonly #transactions: RetryingTransactions
  readonly #policy: ResolvedPolicy
  /** Named once it is known not to be the default. */
  #isolationLevel: IsolationLevel | undefined

  constructor(transactions: RetryingTransactions, policy: ResolvedPolicy, maxWaiting: number) {
    this.#transactions = transactions
    this.#policy = policy
    this.#waiters = new Semaphore(maxWaiting)
  }

  /** `$advisoryXactLock` */
  async take(tx: Session, { timeout, ...call }: TakeCall): Promise<void> {
    if (!tx.inTransaction) throw new TransactionRequiredError('$advisoryXactLock')
    const request = { ...call, keys: encodeKeys(call.keys) }
    const deadline = new Deadline(timeout, undefined, systemClock)
    try {
      // In a savepoint, so that a timeout leaves the caller's transaction usable.
      await serializeInTransaction(tx, deadline, () =>
        inSavepoint(tx, deadline, async (inner) => {
          const previous = await limitWait(inner, wholeMilliseconds(deadline))
          await this.#locks.take(inner, request)
          await restoreLimits(inner, previous)
        }),
      )
    } catch (error) {
      const isTimeout = isStatementTimeout(error) || isConcurrencyError(error, 'DEADLINE_EXCEEDED')
      throw isTimeout ? new LockTimeoutError(request.keys, timeout, { cause: error }) : error
    }
  }

  /** `$tryAdvisoryXactLock`: all of the keys, or none. */
  async tryTake(tx: Session, call: Omit<TakeCall, 'timeout'>): Promise<boolean> {
    if (!tx.inTransaction) throw new TransactionRequiredError('$tryAdvisoryXactLock')
    const request = { ...call, keys: encodeKeys(call.keys) }
    const deadline = new Deadline(this.#policy.deadline, undefined, systemClock)
    try {
      return await serializeInTransaction(tx, deadline, async () => {
        if (request.keys.length === 1) return this.#locks.tryTake(tx, request)
        // In a savepoint, whose end gives back those that were free, if not all of them were.
        await inSavepoint(tx, deadline, async (inner) => {
          if (!(await this.#locks.tryTake(inner, request))) throw NOT_FREE
        })
        return true
      })
    } catch (error) {
      if (error === NOT_FREE) return false
      throw error
    }
  }

  /**
   * `$withAdvisoryLock`. Callers of this process queue before they take a connection, in the order
   * of the encoded keys. Whoever has come through the queue waits for nothing but the database, and
   * there all locks are taken in the order of their numbers: neither order can close a circle.
   */
  async hold<R>(session: Session, call: LockCall, body: LockedBody<R>): Promise<R> {
    const keys = encodeKeys(call.keys)
    if (session.inTransaction) return this.#holdInside(session, call, body)
    const deadline = new Deadline(call.timeout, call.signal, systemClock)
    const leave: (() => void)[] = []
    try {
      for (const key of keys) leave.push(await this.#enterQueue(key, keys, call, deadline))
      return await this.#holdInDatabase(session, { keys, call, deadline, body })
    } finally {
      for (const pass of leave.reverse()) pass()
    }
  }

  /**
   * In a savepoint, so that a body that fails leaves neither its writes nor its lock behind. Else the
   * lock ends with the caller's transaction, whose timeout is the body's too: a body cut short in a
   * savepoint could still write into the transaction around it.
   */
  async #holdInside<R>(tx: TransactionSession, call: LockCall, body: LockedBody<R>): Promise<R> {
    call.signal?.throwIfAborted()
    const deadline = new Deadline(call.timeout, call.signal, systemClock)
    return inNestedBody(tx, deadline, async (inner) => {
      await this.take(inner, { keys: call.keys, mode: call.mode, snapshot: 'refuse', timeout: call.timeout })
      call.signal?.throwIfAborted() // a statement that waits cannot be taken back
      return untilOver(call.signal, (signal) => body(inner.client, signal))
    })
  }

  async #enterQueue(key: string, keys: readonly string[], call: LockCall, deadline: Deadline): Promise<() => void> {
    try {
      return await this.#queue.acquire(key, deadline, 'the lock', call.mode)
    } catch (error) {
      throw timeoutOf(error, keys, call)
    }
  }

  /**
   * A free key is taken at once. For one that is not, a place among the waiters is needed, so that
   * waiting never takes up more than so many connections of the pool.
   */
  async #holdInDatabase<R>(session: RootSession, hold: Hold<R>): Promise<R> {
    const { keys, call, deadline } = hold
    const request: LockRequest = { keys, mode: call.mode, snapshot: 'refuse' }
    const attempt = (acquire: Acquire, whenOver: () => void) => this.#transaction(session, hold, acquire, whenOver)

    const first = await attempt(
      (tx) => this.#locks.tryTake(tx, request, call.bodyTimeout),
      () => {},
    )
    if (first !== NOT_FREE) return first

    const stopWaiting = await this.#enterWaiters(keys, call, deadline)
    const second = await attempt(async (tx) => {
      const previous = await limitWait(tx, wholeMilliseconds(deadline))
      await this.#locks.take(tx, request)
      stopWaiting()
      await limitBody(tx, previous, call.bodyTimeout)
      return true
    }, stopWaiting)
    return second as R
  }

  async #enterWaiters(keys: readonly string[], call: LockCall, deadline: Deadline): Promise<() => void> {
    try {
      return once(await this.#waiters.acquire(deadline, 'a connection to wait for the lock on'))
    } catch (error) {
      throw timeoutOf(error, keys, call)
    }
  }

  /**
   * Calls `whenOver` when the transaction has ended. That can be after the caller has given up: a
   * statement that waits in the database cannot be taken back, so it is left to its `lock_timeout`,
   * and the lock, should it still come, is given back at once.
   */
  async #transaction<R>(
    session: RootSession,
    { keys, call, deadline, body }: Hold<R>,
    acquire: Acquire,
    whenOver: () => void,
  ): Promise<R | typeof NOT_FREE> {
    // Twice: a statement that begins just before the body's time is up has all of it once more.
    const longest = timeoutBehind(wholeMilliseconds(deadline) + 2 * call.bodyTimeout)
    // It only ends a wait for the lock: what it tells is how long that may take.
    const whole = new Deadline(longest, call.signal, systemClock, call.timeout)
    let state: 'waiting' | 'held' | 'given up' = 'waiting'
    let onHeld = () => {}
    const held = new Promise<void>((resolve) => {
      onHeld = resolve
    })
    const run = async (tx: TransactionSession) => {
      if (!(await acquire(tx))) throw NOT_FREE // rolls back, and so gives back what was taken
      if (state === 'given up') throw NOT_FREE
      state = 'held'
      onHeld()
      const bounds = new Deadline(call.bodyTimeout, call.signal, systemClock) // begins now, when the lock is held
      return boundedBody(tx, bounds, 'the body under the lock', (signal) => body(tx.client, signal))
    }
    const isHeld = () => state === 'held'
    const begin = (isolationLevel: IsolationLevel | undefined) =>
      this.#transactions.run(session, run, {
        policy: { ...this.#policy, attempts: 1, retryOn: () => false },
        deadline: whole,
        isolationLevel,
        maxWait: wholeMilliseconds(deadline),
        timeout: undefined,
        readOnly: false,
      })
    const transaction = this.#atReadCommitted(begin, isHeld)
    void transaction.then(whenOver, whenOver)
    try {
      await whole.race(Promise.race([held, transaction]), 'the lock').catch((error: unknown) => {
        if (isHeld()) return // the body has begun, and is told by itself
        state = 'given up'
        throw error
      })
      return await transaction
    } catch (error) {
      if (error === NOT_FREE) return NOT_FREE
      throw isHeld() ? error : timeoutOf(error, keys, call)
    }
  }

  /**
   * To name the level costs a statement, so it is named only from the first time on that the default
   * was another one, whenever that became so. A lock is never younger than its snapshot: the statement
   * that takes it looks at the level, which the query before it has made final, and refuses.
   */
  async #atReadCommitted<R>(
    begin: (level: IsolationLevel | undefined) => Promise<R>,
    isHeld: () => boolean,
  ): Promise<R> {
    const level = this.#isolationLevel
    try {
      return await begin(level)
    } catch (error) {
      const isRefused = !isHeld() && isConcurrencyError(error, 'INVALID_ARGUMENT')
      if (!isRefused || level !== undefined) throw error
      this.#isolationLevel = 'ReadCommitted'
      return begin(this.#isolationLevel)
    }
  }
}

/** Takes the locks, and limits what comes after to the body's time; whether they were to be had. */
type Acquire = (tx: TransactionSession) => Promise<boolean>

const NOT_FREE = Symbol('not free')

interface Limits {
  readonly lock: string
  readonly statement: string
}

/**
 * Limits the wait for the locks; resolves to the limits before. `lock_timeout` counts anew for each
 * lock that a statement waits for, `statement_timeout` for all of them together.
 */
function limitWait(tx: TransactionSession, milliseconds: number): Promise<Limits> {
  const text = `SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement,
  set_config('lock_timeout', $1::int::text, true),
  ${STATEMENT_LIMIT}`
  return rowOf(tx, { text, values: [milliseconds] })
}

async function restoreLimits(tx: TransactionSession, { lock, statement }: Limits): Promise<void> {
  const text = `SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)`
  await tx.rows({ text, values: [lock, statement] })
}

/** Puts `lock_timeout` back, and limits the body; a `statement_timeout` from before the wait stays where it is shorter. */
async function limitBody(tx: TransactionSession, { lock, statement }: Limits, bodyTimeout: number): Promise<void> {
  const text = `SELECT set_config('lock_timeout', $2, true),
  ${bodyLimits('$1', '$3::text')}`
  await tx.rows({ text, values: [bodyTimeout, lock, statement] })
}

/** Any way of running out of time before the lock was held is one and the same to the caller. */
function timeoutOf(error: unknown, keys: readonly string[], { timeout }: LockCall): unknown {
  const isTimeout =
    isConcurrencyError(error, 'DEADLINE_EXCEEDED') || isStatementTimeout(error) || isTransactionTimeout(error)
  return isTimeout ? new LockTimeoutError(keys, timeout, { cause: error }) : error
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
