import { isStatementTimeout, isTransactionConflict, isTransactionTimeout } from '../engine/error-facts.js'
import { DeadlineExceededError, isConcurrencyError } from '../errors/index.js'
import { AmbiguousOutcome, isNoAnswer } from '../retry/ambiguous-outcome.js'
import { withGivenDeadline } from '../retry/loop.js'
import { isRetryable } from '../retry/retryable.js'
import { Batcher, type BatcherBounds, type Job } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import { Semaphore } from '../sync/semaphore.js'
import type { RetryingRoot, TransactionWithRetryOptions } from '../transactions/method.js'
import { BalanceCache } from './balance-cache.js'
import { Decider, type WriteSet } from './decider.js'
import { executeInTransaction } from './execute-in-transaction.js'
import { itemsOf, loadSnapshot } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import type { Decision, Request } from './request.js'
import { writeReservations } from './write-locked.js'
import { writeOptimistic } from './write-optimistic.js'

/** How long a batch waits for a row, in ms, before the others go on without it. */
const BATCH_LOCK_TIMEOUT = 100
const BOUNDS: BatcherBounds = {
  largestBatch: 1_000,
  batchesAtOnce: 3,
  gatheringTurns: 12,
  waitedFor: 'other calls for the same items',
}
/** Where each request takes a lock of its id: the server's table of locks is small. */
const LARGEST_BATCH_WITH_LOCKS = 250
/** Connections for the rest of failed batches: for parts that may be quick, and for calls that wait. */
const REST_AT_ONCE = 2
const PATIENT_AT_ONCE = 3

type StockJob = Job<Request, Decision>

/**
 * Settles the requests of this process in batches, each on one connection with one lock per item.
 *
 * A batch is first decided by the balances that this process knows, and written by one statement
 * that checks them. Where that fails, or cannot be tried (an item is new here, others write it, a
 * request would be refused, or is a reservation), the items are locked and read, and it is decided anew. A
 * batch that waits too long for a row, or that one bad row fails, is taken apart: first by what has
 * items in common, then one by one, so that strangers do not wait for each other.
 */
export class StockExecutor {
  readonly #root: RetryingRoot
  readonly #map: StockMap
  readonly #known = new BalanceCache()
  readonly #batcher: Batcher<Request, Decision>
  readonly #rest = new Semaphore(REST_AT_ONCE)
  readonly #patient = new Semaphore(PATIENT_AT_ONCE)

  constructor(root: RetryingRoot, map: StockMap, maxWaiting: number) {
    this.#root = root
    this.#map = map
    const largestBatch = map.reservation ? LARGEST_BATCH_WITH_LOCKS : BOUNDS.largestBatch
    this.#batcher = new Batcher(
      (batch, release) => this.#run(batch, release),
      { ...BOUNDS, largestBatch, maxWaiting },
      systemClock,
    )
  }

  /** @throws OverloadedError if too many calls wait already */
  execute<R>(request: Request, answer: (decision: Decision) => R): Promise<R> {
    return this.#batcher.add(request, answer)
  }

  async #run(batch: readonly StockJob[], release: (settled: readonly StockJob[]) => void): Promise<void> {
    try {
      await this.#map.keys.check(this.#root)
    } catch (error) {
      // Without its keys the database records duplicates, so nobody is let through. Other failures will show again.
      if (isConcurrencyError(error, 'CONFIGURATION')) throw error
    }
    const failure = (await this.#optimistic(batch)) ?? (await this.#locked(batch))
    if (failure === WRITTEN) return
    const parts = partsOf(batch)
    release([])
    await Promise.all(
      parts.map(async (part) => {
        await this.#part(part, failure, parts.length > 1)
        release(part)
      }),
    )
  }

  /** `undefined` where it could not be tried, or the guess was wrong: nothing was written then. */
  async #optimistic(batch: readonly StockJob[]): Promise<Outcome | undefined> {
    const requests = batch.map(({ task }) => task)
    if (requests.some(({ kind }) => kind !== 'move')) return undefined
    const balances = this.#known.guess(itemsOf(requests))
    if (balances === undefined) return undefined
    const decider = new Decider(this.#map, { ...NOTHING_RECORDED, balances })
    const decisions = requests.map((request) => decider.decide(request))
    // A refusal has nothing in the statement that could check it.
    if (decisions.some(({ status }) => status === 'refused')) return undefined
    const set = decider.writeSet([])
    try {
      const write = { lockTimeout: BATCH_LOCK_TIMEOUT, isUnlocked: true }
      if (!(await writeOptimistic(this.#root, this.#map, set, write))) return undefined
    } catch (error) {
      // A guess that others got ahead of, at the isolation level that the database has set, is only wrong.
      return isTransactionConflict(error) ? undefined : { error }
    }
    return this.#settle(batch, decisions, set)
  }

  async #locked(batch: readonly StockJob[]): Promise<Outcome> {
    const requests = batch.map(({ task }) => task)
    const longest = requests.reduce((a, b) => (a.deadline.left() < b.deadline.left() ? b : a))
    try {
      const { decisions, set } = await this.#root.transactionWithRetry(async (tx) => {
        await this.#map.keys.check(tx)
        const snapshot = await loadSnapshot(tx, this.#map, requests, BATCH_LOCK_TIMEOUT)
        for (const [id, balance] of snapshot.balances) this.#known.found(id, balance)
        const decider = new Decider(this.#map, snapshot)
        const decisions = requests.map((request) => decider.decide(request))
        const set = decider.writeSet(itemsOf(requests))
        const write = { lockTimeout: BATCH_LOCK_TIMEOUT, isUnlocked: false }
        const isWritten = set.items.length === 0 || (await writeOptimistic(tx, this.#map, set, write))
        if (!isWritten || !(await writeReservations(tx, this.#map, set))) throw CLAIMED
        return { decisions, set }
      }, transactionOptions(longest))
      return this.#settle(batch, decisions, set)
    } catch (error) {
      return { error }
    }
  }

  #settle(batch: readonly StockJob[], decisions: readonly Decision[], set: WriteSet): typeof WRITTEN {
    this.#remember(set)
    decisions.forEach((decision, i) => void batch[i]?.resolve(decision))
    return WRITTEN
  }

  #remember({ items }: WriteSet): void {
    for (const { item, next } of items) this.#known.wrote(item.id, next)
  }

  /** A part of a failed batch: once more together, where it is not all of it, and then one by one. */
  async #part(part: readonly StockJob[], failure: Failure, isSmaller: boolean): Promise<void> {
    const outcome = new AmbiguousOutcome()
    noteFailure(outcome, failure)
    if (isSmaller) {
      const again = await within(this.#rest, () => this.#locked(part))
      if (again === WRITTEN) return
      noteFailure(outcome, again)
    }
    await within(this.#patient, async () => {
      for (const job of part) await this.#single(job, outcome)
    })
  }

  async #single(job: StockJob, outcome: AmbiguousOutcome): Promise<void> {
    const { task: request } = job
    const { deadline } = request
    const options = transactionOptions(request, outcome)
    try {
      if (deadline.passed()) throw new DeadlineExceededError(deadline.duration, 'the stock')
      const { decision, written } = await this.#root.transactionWithRetry(
        (tx) => executeInTransaction(tx, this.#map, request),
        options,
      )
      this.#remember(written)
      job.resolve(decision)
    } catch (error) {
      job.reject(reasonOf(withGivenDeadline(error, options.retry?.deadline, deadline), request, outcome))
    }
  }
}

const WRITTEN = 'written'

interface Failure {
  readonly error: unknown
}

type Outcome = typeof WRITTEN | Failure

/** Somebody else has recorded one of the transaction ids since they were looked up. */
const CLAIMED = new Error('A transaction id was taken meanwhile.')

const NOTHING_RECORDED = { movements: new Map(), reservations: new Map(), expired: new Map(), now: new Date(0) }

async function within<R>(limiter: Semaphore, work: () => Promise<R>): Promise<R> {
  const leave = await limiter.acquire()
  try {
    return await work()
  } finally {
    leave()
  }
}

/** Some of the batch may have been written all the same. */
function noteFailure(outcome: AmbiguousOutcome, { error }: Failure): void {
  if (isConcurrencyError(error, 'OUTCOME_UNKNOWN')) outcome.lose(error)
  else outcome.note(error)
}

/** READ COMMITTED, whatever the database's default: what is read after a lock must be of after the lock. */
function transactionOptions({ policy, deadline }: Request, outcome?: AmbiguousOutcome): TransactionWithRetryOptions {
  const { attempts, baseDelay, maxDelay } = policy
  return {
    isolationLevel: 'ReadCommitted',
    retry: {
      attempts,
      baseDelay,
      maxDelay,
      deadline: Math.max(1, deadline.left()),
      retryOn: (error) => isRetryable(error, policy, outcome),
    },
  }
}

function reasonOf(error: unknown, { deadline }: Request, outcome: AmbiguousOutcome): unknown {
  if (outcome.isAmbiguous && isNoAnswer(error)) return outcome.error('the connection was lost', error)
  // The server, or Prisma, may notice the deadline sooner than our own clock.
  const isOutOfTime = (isStatementTimeout(error) || isTransactionTimeout(error)) && deadline.passed()
  return isOutOfTime ? new DeadlineExceededError(deadline.duration, 'the stock', { cause: error }) : error
}

/** The batch by what has items in common: its parts need nothing of each other. (Union-find.) */
function partsOf(batch: readonly StockJob[]): readonly StockJob[][] {
  const leaders = new Map<string, string>()
  const leaderOf = (id: string): string => {
    let leader = id
    for (let next = leaders.get(leader); next !== undefined; next = leaders.get(leader)) {
      // Each look shortens the way, or a chain of a thousand requests would be walked for every line.
      const beyond = leaders.get(next)
      if (beyond !== undefined) leaders.set(leader, beyond)
      leader = next
    }
    return leader
  }
  for (const { task } of batch) {
    const [first, ...others] = task.lines.map(({ item }) => leaderOf(item.id))
    for (const other of others) {
      const [from, to] = [leaderOf(other), leaderOf(first ?? other)]
      if (from !== to) leaders.set(from, to)
    }
  }
  const parts = new Map<unknown, StockJob[]>()
  for (const job of batch) {
    const [line] = job.task.lines
    const name = line ? leaderOf(line.item.id) : job
    const part = parts.get(name)
    if (part) part.push(job)
    else parts.set(name, [job])
  }
  return [...parts.values()]
}
