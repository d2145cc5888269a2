import { isStatementTimeout, isTransactionConflict, isTransactionTimeout } from '../engine/error-facts.js'
import { DeadlineExceededError, isConcurrencyError } from '../errors/index.js'
import type { ConcurrencyClient } from '../mapping/client.js'
import { AmbiguousOutcome, isNoAnswer } from '../retry/ambiguous-outcome.js'
import { withGivenDeadline } from '../retry/loop.js'
import { isRetryable } from '../retry/retryable.js'
import { Batcher, type BatcherBounds, type Job } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import { Semaphore } from '../sync/semaphore.js'
import type { TransactionWithRetryOptions } from '../transactions/method.js'
import { BalanceCache } from './balance-cache.js'
import { Decider, type WriteSet } from './decider.js'
import { executeInTransaction } from './execute-in-transaction.js'
import type { Item } from './item.js'
import { loadSnapshot } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import type { Decision, Request } from './request.js'
import { writeReservations } from './write-locked.js'
import { writeOptimistic } from './write-optimistic.js'

/** How long a batch waits for a row, in ms, before those who do not need it go on without. */
const BATCH_LOCK_TIMEOUT = 100
const BOUNDS: BatcherBounds = {
  largestBatch: 1_000,
  batchesAtOnce: 3,
  gatheringTurns: 12,
  waitedFor: 'other calls for the same items',
}
/** Where each request takes a lock of its id: the server's table of locks is small. */
const LARGEST_BATCH_WITH_LOCKS = 250

type StockJob = Job<Request, Decision>
/** Connections for what is left of failed batches: for those that may be quick, and for those that wait. */
const REST_AT_ONCE = 2
const PATIENT_AT_ONCE = 3

/**
 * Settles the requests of this process in batches, each on one connection with one lock per item.
 *
 * A batch is first judged by the balances that this process knows, and written by one statement
 * that checks them. Where that fails, or cannot be tried (an item is new here, others write it, a
 * request would be refused, or is a reservation), the items are locked and read, and judged anew. A
 * batch that waits too long for a row, or that one bad row fails, is taken apart: first by what has
 * items in common, then one by one, so that strangers do not wait for each other.
 */
export class StockExecutor {
  readonly #client: ConcurrencyClient
  readonly #map: StockMap
  readonly #known = new BalanceCache()
  readonly #batcher: Batcher<Request, Decision>
  readonly #rest = new Semaphore(REST_AT_ONCE)
  readonly #patient = new Semaphore(PATIENT_AT_ONCE)

  constructor(client: ConcurrencyClient, map: StockMap, maxWaiting: number) {
    this.#client = client
    this.#map = map
    const largestBatch = map.reservation ? LARGEST_BATCH_WITH_LOCKS : BOUNDS.largestBatch
    this.#batcher = new Batcher(
      (batch, release) => this.#run(batch, release),
      { ...BOUNDS, largestBatch, maxWaiting },
      systemClock,
    )
  }

  /** @throws OverloadedError if too many calls wait already */
  settle<R>(request: Request, answer: (verdict: Decision) => R): Promise<R> {
    return this.#batcher.add(request, answer)
  }

  async #run(batch: readonly StockJob[], release: (settled: readonly StockJob[]) => void): Promise<void> {
    if (!(await this.#hasKeys(batch))) return
    const failure = await this.#together(batch)
    if (failure === undefined) return
    const parts = partsOf(batch)
    release([])
    await Promise.all(
      parts.map(async (part) => {
        await this.#part(part, failure, parts.length > 1)
        release(part)
      }),
    )
  }

  /** Without its keys the database records duplicates, so nobody is let through. Other failures will show again. */
  async #hasKeys(batch: readonly StockJob[]): Promise<boolean> {
    try {
      await this.#map.keys.check(this.#client)
    } catch (error) {
      if (isConcurrencyError(error, 'CONFIGURATION')) {
        for (const job of batch) job.reject(error)
        return false
      }
    }
    return true
  }

  /** Settles all of them at once. Resolves to what went wrong, if it did: nothing was written then, or it is not known. */
  async #together(batch: readonly StockJob[]): Promise<Failure | undefined> {
    try {
      if (await this.#guessed(batch)) return undefined
    } catch (error) {
      // A guess that others got ahead of, at the isolation level that the database has set, is only wrong.
      if (!isTransactionConflict(error)) return { error }
    }
    return this.#locked(batch)
  }

  async #guessed(batch: readonly StockJob[]): Promise<boolean> {
    if (batch.some(({ task }) => task.kind !== 'move')) return false
    const items = itemsOf(batch)
    const balances = this.#known.guess(items.values())
    if (balances === undefined) return false
    const judge = new Decider(this.#map, { ...NO_EVIDENCE, balances })
    const verdicts = batch.map(({ task }) => judge.judge(task))
    // A refusal has nothing in the statement that could check it.
    if (verdicts.some(({ status }) => status === 'refused')) return false
    const effects = judge.effects([])
    if (!(await writeOptimistic(this.#client, this.#map, effects, BATCH_LOCK_TIMEOUT, true))) return false
    this.#remember(effects)
    answer(batch, verdicts)
    return true
  }

  async #locked(batch: readonly StockJob[]): Promise<Failure | undefined> {
    const items = itemsOf(batch)
    const requests = batch.map(({ task }) => task)
    try {
      const { verdicts, effects } = await this.#client.$transactionWithRetry(
        async (tx) => {
          await this.#map.keys.check(tx)
          const evidence = await loadSnapshot(tx, this.#map, [...items.values()], requests, BATCH_LOCK_TIMEOUT)
          for (const [id, balance] of evidence.balances) this.#known.found(id, balance)
          const judge = new Decider(this.#map, evidence)
          const verdicts = batch.map(({ task }) => judge.judge(task))
          const effects = judge.effects(items.values())
          if (effects.items.length > 0 && !(await writeOptimistic(tx, this.#map, effects, BATCH_LOCK_TIMEOUT)))
            throw CLAIMED
          if (!(await writeReservations(tx, this.#map, effects))) throw CLAIMED
          return { verdicts, effects }
        },
        transactionOptions(longest(batch)),
      )
      this.#remember(effects)
      answer(batch, verdicts)
      return undefined
    } catch (error) {
      return { error }
    }
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
      if (again === undefined) return
      noteFailure(outcome, again)
    }
    await within(this.#patient, async () => {
      for (const waiting of part) await this.#alone(waiting, outcome)
    })
  }

  async #alone(waiting: StockJob, outcome: AmbiguousOutcome): Promise<void> {
    const { task: request } = waiting
    const options = transactionOptions(request, outcome)
    try {
      if (request.deadline.passed()) throw new DeadlineExceededError(request.deadline.duration, 'the stock')
      const { verdict, effects } = await this.#client.$transactionWithRetry(
        (tx) => executeInTransaction(tx, this.#map, request),
        options,
      )
      this.#remember(effects)
      waiting.resolve(verdict)
    } catch (error) {
      const told = withGivenDeadline(error, options.retry?.deadline, request.deadline)
      waiting.reject(explained(told, request, outcome))
    }
  }
}

async function within<R>(limiter: Semaphore, work: () => Promise<R>): Promise<R> {
  const leave = await limiter.acquire()
  try {
    return await work()
  } finally {
    leave()
  }
}

interface Failure {
  readonly error: unknown
}

/** Some of the batch may have been written all the same. */
function noteFailure(outcome: AmbiguousOutcome, { error }: Failure): void {
  if (isConcurrencyError(error, 'OUTCOME_UNKNOWN')) outcome.lose(error)
  else outcome.note(error)
}

/** Somebody else has recorded one of the transaction ids since they were looked up. */
const CLAIMED = new Error('A transaction id was taken meanwhile.')

const NO_EVIDENCE = { movements: new Map(), reservations: new Map(), expired: new Map(), now: new Date(0) }

function itemsOf(batch: readonly StockJob[]): Map<string, Item> {
  const items = new Map<string, Item>()
  for (const { task } of batch) for (const { item } of task.lines) items.set(item.id, item)
  return items
}

function answer(batch: readonly StockJob[], verdicts: readonly Decision[]): void {
  batch.forEach((waiting, i) => {
    waiting.resolve(verdicts[i] as Decision)
  })
}

function longest(batch: readonly StockJob[]): Request {
  return batch.map(({ task }) => task).reduce((a, b) => (a.deadline.left() < b.deadline.left() ? b : a))
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

function explained(error: unknown, { deadline }: Request, outcome: AmbiguousOutcome): unknown {
  if (outcome.isAmbiguous && isNoAnswer(error)) return outcome.error('the connection was lost', error)
  // The server, or Prisma, may notice the deadline sooner than our own clock.
  const isOutOfTime = (isStatementTimeout(error) || isTransactionTimeout(error)) && deadline.passed()
  return isOutOfTime ? new DeadlineExceededError(deadline.duration, 'the stock', { cause: error }) : error
}

/** The batch by what has items in common: its parts need nothing of each other. (Union-find.) */
function partsOf(batch: readonly StockJob[]): StockJob[][] {
  const leaders = batch.map((_, i) => i)
  const leaderOf = (i: number): number => {
    let leader = i
    while (leaders[leader] !== leader) leader = leaders[leader] = leaders[leaders[leader] as number] as number
    return leader
  }
  const firstWith = new Map<string, number>()
  batch.forEach(({ task }, i) => {
    for (const { item } of task.lines) {
      const first = firstWith.get(item.id)
      if (first === undefined) firstWith.set(item.id, i)
      else leaders[leaderOf(i)] = leaderOf(first)
    }
  })
  const parts = new Map<number, StockJob[]>()
  batch.forEach((waiting, i) => {
    const leader = leaderOf(i)
    const part = parts.get(leader)
    if (part) part.push(waiting)
    else parts.set(leader, [waiting])
  })
  return [...parts.values()]
}
