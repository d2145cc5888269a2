import type { IsolationLevel, RootSession, Session, TransactionSession } from '../engine/session.js'
import { isConcurrencyError, OutcomeUnknownError, TransactionRequiredError } from '../errors/index.js'
import { type CallEvents, timed } from '../events/call-events.js'
import { isUnanswered } from '../retry/ambiguous-outcome.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { systemClock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import { KeyedLock, type LockMode } from '../sync/keyed-lock.js'
import { once } from '../sync/once.js'
import { Semaphore } from '../sync/semaphore.js'
import { boundedBody, timeoutBehind, untilOver } from '../transactions/bounded-body.js'
import type { Committed } from '../transactions/effects.js'
import { wholeMilliseconds } from '../transactions/limits.js'
import { inNestedBody, inSavepoint, serializeInTransaction } from '../transactions/serialize.js'
import type { TransactionNote } from '../transactions/verify-commit.js'
import type { Open, RetryingTransactions } from '../transactions/with-retry.js'
import { AdvisoryLocks, LOCK_LIMIT_BEFORE, type LockRequest } from './acquire.js'
import { encodeKeys } from './key.js'
import { limitsBefore, limitsOfBody, limitWait } from './limits.js'
import { notHeld } from './not-held.js'
import { type LockedBody, tellingLoss } from './telling-loss.js'
import { checkToken } from './token.js'

export interface LockCall {
  readonly keys: unknown
  readonly mode: LockMode
  /** How long to wait for the locks, in ms. */
  readonly timeout: number
  /** How long the body may take once it holds them, in ms. */
  readonly bodyTimeout: number
  /** Whether the body is handed a token. */
  readonly token: boolean
  readonly signal?: AbortSignal | undefined
  readonly events: CallEvents | undefined
  readonly committed: Committed
}

/** The arguments of a lock on a transaction of the caller's. */
interface TakeCall extends Omit<LockRequest, 'keys'> {
  readonly keys: unknown
  readonly timeout: number
  readonly events: CallEvents | undefined
}

/** A call of `$withAdvisoryLock` on the client. */
interface Hold<R> {
  readonly keys: readonly string[]
  readonly call: LockCall
  readonly deadline: Deadline
  readonly body: LockedBody<R>
  /** Lets the next caller of this process come to the keys. */
  readonly leave: () => void
  state: 'waiting' | 'held' | 'ended' | 'given up'
  /** The time of the body: it begins when the locks are held. */
  bounds?: Deadline
  /** Empty, unless it was asked for. */
  token: bigint[]
}

/** Advisory locks of one extended client. */
export class Advisory {
  readonly #locks = new AdvisoryLocks()
  readonly #queue = new KeyedLock()
  /** By the keys that this process holds: the end of the transaction that holds each of them alone. */
  readonly #holders = new Map<string, Promise<void>>()
  /** Those that wait in the database. */
  readonly #waiters: Semaphore
  readonly #maxWaiting: number
  /** Transactions that hold, try or wait for locks: each has a connection, or is about to. */
  #open = 0
  readonly #transactions: RetryingTransactions
  readonly #policy: ResolvedPolicy
  /** The transaction of a lock runs once: its caller decides what comes after an error. */
  readonly #once: ResolvedPolicy
  /** Named once it is known not to be the default. */
  #isolationLevel: IsolationLevel | undefined

  constructor(transactions: RetryingTransactions, policy: ResolvedPolicy, maxWaiting: number) {
    this.#transactions = transactions
    this.#policy = policy
    this.#once = { ...policy, attempts: 1, retryOn: () => false }
    this.#waiters = new Semaphore(maxWaiting)
    this.#maxWaiting = maxWaiting
  }

  /** `$advisoryXactLock` */
  async take(tx: Session, { timeout, events, ...call }: TakeCall): Promise<void> {
    if (!tx.inTransaction) throw new TransactionRequiredError('$advisoryXactLock')
    const request = { ...call, keys: encodeKeys(call.keys) }
    const deadline = new Deadline(timeout, undefined, systemClock)
    events?.begin(deadline, nameOf(request.keys))
    try {
      // In a savepoint, so that a timeout leaves the caller's transaction usable.
      await serializeInTransaction(tx, deadline, () =>
        inSavepoint(tx, deadline, async (inner) => {
          const before = await limitWait(inner, wholeMilliseconds(deadline))
          const statement = { waits: true, limits: limitsBefore(before) }
          await timed(events, 'advisory', () => this.#locks.acquire(inner, request, statement))
        }),
      )
      events?.tell({ type: 'lock-acquired', ms: events.age })
    } catch (error) {
      throw notHeld(error, request.keys, { timeout })
    }
  }

  /** `$tryAdvisoryXactLock`: all of the keys, or none. */
  async tryTake(tx: Session, { events, ...call }: Omit<TakeCall, 'timeout'>): Promise<boolean> {
    if (!tx.inTransaction) throw new TransactionRequiredError('$tryAdvisoryXactLock')
    const request = { ...call, keys: encodeKeys(call.keys) }
    const deadline = new Deadline(this.#policy.deadline, undefined, systemClock)
    events?.begin(deadline, nameOf(request.keys))
    const acquire = async (inner: TransactionSession) => {
      const { isTaken } = await this.#locks.acquire(inner, request, { waits: false })
      if (!isTaken) throw NOT_FREE
    }
    try {
      await serializeInTransaction(tx, deadline, () =>
        // In a savepoint, whose end gives back those that were free, if not all of them were.
        request.keys.length === 1 ? acquire(tx) : inSavepoint(tx, deadline, acquire),
      )
      events?.tell({ type: 'lock-acquired', ms: events.age })
      return true
    } catch (error) {
      if (error === NOT_FREE) return false
      throw error
    }
  }

  /**
   * `$withAdvisoryLock`. Callers of this process queue before they take a connection, in the order
   * of the encoded keys. A caller that has come through the queue waits for the database only, and
   * there all locks are taken in the order of their numbers: neither order can close a circle.
   *
   * A free key is taken at once. For one that is not, a place among the waiters is needed, so that
   * waiting never takes up more than so many connections of the pool.
   */
  async hold<R>(session: Session, call: LockCall, body: LockedBody<R>): Promise<R> {
    const keys = encodeKeys(call.keys)
    if (call.token) checkToken(session, call.mode)
    if (session.inTransaction) return this.#holdInside(session, call, body)
    const deadline = new Deadline(call.timeout, call.signal, systemClock)
    call.events?.begin(deadline, nameOf(keys))
    const places: (() => void)[] = []
    const leave = once(() => {
      for (const pass of places.reverse()) pass()
    })
    const hold: Hold<R> = { keys, call, deadline, body, leave, state: 'waiting', token: [] }
    try {
      let stopWaiting: (() => void) | undefined
      for (const key of keys) {
        places.push(await this.#queue.acquire(key, deadline, 'the lock', call.mode))
        stopWaiting = await this.#behindHolder(session, key, hold)
      }
      if (stopWaiting === undefined) {
        const first = await this.#attempt(session, hold)
        if (first !== NOT_FREE) return first
        stopWaiting = await this.#waiters.acquire(deadline, 'a connection to wait for the lock on')
      }
      return (await this.#attempt(session, hold, once(stopWaiting))) as R
    } catch (error) {
      throw hold.bounds ? error : notHeld(error, keys, call)
    } finally {
      leave()
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
      const { keys, mode, timeout, events } = call
      await this.take(inner, { keys, mode, snapshot: 'refuse', timeout, events })
      call.signal?.throwIfAborted() // a statement that waits cannot be taken back
      return untilOver(call.signal, (end) => body(inner.client, end.signal))
    })
  }

  /**
   * Where this process holds the key, a free try would be a transaction for nothing: resolves to a place among the
   * waiters, if there is one, so that the lock goes from transaction to transaction within the database. Else
   * waits for the holder: those that wait for other processes must not keep this key from its callers.
   *
   * None waits so once locks take half of the connections, since a body may need another one, and one place is
   * left for a key that another process holds. A call with several keys waits here, too, so that it keeps none
   * of them in the database.
   */
  async #behindHolder(session: RootSession, key: string, hold: Hold<unknown>): Promise<(() => void) | undefined> {
    const holder = this.#holders.get(key)
    if (holder === undefined) return undefined
    const waiting = this.#waiters.taken + 1
    const isRoom = 2 * this.#open < (session.connections ?? 0) && waiting < this.#maxWaiting
    const place = isRoom && hold.keys.length === 1 ? this.#waiters.tryAcquire() : undefined
    if (place !== undefined) return place
    const { events } = hold.deadline
    events?.startWaiting()
    await hold.deadline.race(holder, 'the lock').finally(() => events?.stopWaiting())
    return undefined
  }

  /**
   * Runs the body in a transaction that holds the locks: waits for them with `stopWaiting`, else tries.
   *
   * The place among the waiters is given back when the transaction has ended, at the latest. That can be after the
   * caller has given up: a statement that waits in the database cannot be taken back, so it is left to its
   * `lock_timeout`, and the lock, should it still come, is given back at once.
   */
  async #attempt<R>(session: RootSession, hold: Hold<R>, stopWaiting?: () => void): Promise<R | typeof NOT_FREE> {
    const { call, deadline, body } = hold
    // Of the transaction, not of the call, which is told before. Twice: a statement that begins just before the body's
    // time is up has all of it once more.
    const longest = timeoutBehind(wholeMilliseconds(deadline) + 2 * call.bodyTimeout)
    // It only ends a wait for the lock, so its error names the time for that.
    const whole = deadline.lasting(longest, call.timeout)
    let onHeld: (bounds: Deadline) => void = () => {}
    let onEnd: (error: unknown) => void = () => {}
    const held = new Promise<Deadline>((resolve, reject) => {
      onHeld = resolve
      onEnd = reject
    })
    held.catch(nothing) // nobody waits for it where the time is up by now
    const open: Open = async (tx, { note }) => {
      const noted = await this.#take(tx, hold, note, stopWaiting)
      if (hold.state === 'given up') throw NOT_FREE
      hold.state = 'held'
      if (call.token) hold.token = [BigInt(noted.xid)]
      hold.bounds = deadline.lasting(call.bodyTimeout)
      call.events?.tell({ type: 'lock-acquired', ms: call.events.age })
      onHeld(hold.bounds)
      if (call.mode === 'exclusive') this.#handOver(hold, over)
      return note === undefined ? undefined : noted
    }
    const run = async (tx: TransactionSession) => {
      const bounds = await held
      const result = await tellingLoss(call.events, body, (body) =>
        boundedBody(tx, bounds, 'the body under the lock', (end) => body(tx.client, end.signal, ...hold.token)),
      )
      if (bounds.isOverdue()) throw bounds.unanswered() // its caller has been told: no COMMIT
      hold.state = 'ended'
      return result
    }
    const begin = (isolationLevel: IsolationLevel | undefined) =>
      this.#transactions.run(session, run, {
        policy: this.#once,
        deadline: whole,
        isolationLevel,
        maxWait: wholeMilliseconds(deadline),
        timeout: undefined,
        readOnly: false,
        committed: call.committed,
        open,
      })
    this.#open++
    const transaction = this.#atReadCommitted(begin, hold)
    const over = transaction.then(nothing, onEnd).then(() => {
      this.#open--
      stopWaiting?.()
    })
    try {
      await deadline
        .raceInGrace(() => held)
        .catch((error: unknown) => {
          if (hold.bounds) return // the body has begun, and is told by itself
          if (error !== NOT_FREE) hold.state = 'given up'
          throw error
        })
      return await (hold.bounds?.answered(() => transaction) ?? transaction)
    } catch (error) {
      if (error === NOT_FREE) return NOT_FREE
      const isUnknown = hold.state === 'ended' && isUnanswered(error)
      throw isUnknown ? new OutcomeUnknownError('COMMIT was not answered in time', { cause: error }) : error
    }
  }

  /** The first statements of the transaction: it is noted, the locks are taken, and what comes after is limited to the body's time. */
  async #take(
    tx: TransactionSession,
    { keys, call, deadline }: Hold<unknown>,
    note: string | undefined,
    stopWaiting: (() => void) | undefined,
  ): Promise<TransactionNote> {
    const request: LockRequest = { keys, mode: call.mode, snapshot: 'refuse' }
    const isToken = call.token
    if (stopWaiting === undefined) {
      const limits = limitsOfBody(call.bodyTimeout)
      const noted = await this.#locks.acquire<TransactionNote>(tx, request, { waits: false, note, isToken, limits })
      if (!noted.isTaken) throw NOT_FREE // rolls back, and so gives back what was taken
      return noted
    }
    const milliseconds = wholeMilliseconds(deadline)
    const limitsItself = this.#locks.limitsItself(keys)
    const before = limitsItself ? LOCK_LIMIT_BEFORE : await limitWait(tx, milliseconds)
    const limits = limitsOfBody(call.bodyTimeout, before)
    const statement = { waits: limitsItself ? milliseconds : true, note, isToken, limits }
    const noted = await timed(call.events, 'advisory', () =>
      this.#locks.acquire<TransactionNote>(tx, request, statement),
    )
    stopWaiting()
    return noted
  }

  /**
   * The next caller of this process may come to the keys while this one still holds them: it waits in the
   * database, and has the lock as soon as this transaction is committed, not a round trip and a BEGIN later.
   */
  #handOver({ keys, leave }: Hold<unknown>, over: Promise<void>): void {
    for (const key of keys) this.#holders.set(key, over)
    void over.then(() => {
      for (const key of keys) if (this.#holders.get(key) === over) this.#holders.delete(key)
    })
    leave()
  }

  /**
   * To name the level costs a statement, so it is named only from the first time on that the default
   * was another one, whenever that became so. A lock is never younger than its snapshot: the statement
   * that takes it looks at the level, which is final by then, and refuses.
   */
  async #atReadCommitted<R>(begin: (level: IsolationLevel | undefined) => Promise<R>, hold: Hold<unknown>): Promise<R> {
    const level = this.#isolationLevel
    try {
      return await begin(level)
    } catch (error) {
      const isRefused = hold.state !== 'held' && isConcurrencyError(error, 'INVALID_ARGUMENT')
      if (!isRefused || level !== undefined) throw error
      this.#isolationLevel = 'ReadCommitted'
      return begin(this.#isolationLevel)
    }
  }
}

const NOT_FREE = Symbol('not free')

const nothing = () => {}

/** The name of a call's keys in its events. */
function nameOf(keys: readonly string[]): string {
  return keys.join(' ')
}
