import { isTransactionConflict } from '../engine/error-facts.js'
import type { Session } from '../engine/session.js'
import { DeadlineExceededError, isConcurrencyError } from '../errors/index.js'
import { AmbiguousOutcome, isNoAnswer } from '../retry/ambiguous-outcome.js'
import { Batcher, type BatcherBounds } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import { GRACE, soonest } from '../sync/deadline.js'
import { ReplayWatch } from '../sync/replay-watch.js'
import { Semaphore } from '../sync/semaphore.js'
import { partOf, type RetryingRoot, type TransactionWithRetryOptions } from '../transactions/method.js'
import { ownStatements } from '../transactions/own-statements.js'
import { BalanceCache } from './balance-cache.js'
import { type Balance, Decider } from './decider.js'
import { executeInTransaction } from './execute-in-transaction.js'
import { GuardedMoves } from './guarded-moves.js'
import { itemsOf, loadSnapshot } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import { movesOf, partsOf, type StockJob } from './parts.js'
import type { Decision, Request } from './request.js'
import { leftBy, writeLocked } from './write.js'

/** How long a batch waits for a row, in ms, before the others go on without it. */
const BATCH_LOCK_TIMEOUT = 100
const BOUNDS: BatcherBounds = {
  largestBatch: 1_000,
  batchesAtOnce: 3,
  gatheringTurns: 12,
  // A connection may hang; the calls of other items go past it.
  longestWait: 250,
  waitedFor: 'other calls for the same items',
}
/** Where each request takes a lock of its id: the server's table of locks is small. */
const LARGEST_BATCH_WITH_LOCKS = 250
/** Connections for the rest of failed batches: for parts that may be quick, and for calls that wait. */
const REST_AT_ONCE = 2
const PATIENT_AT_ONCE = 3
/** How often the deadlines of those that wait for a turn are looked at, in ms. */
const SWEEP_INTERVAL = 50

type Release = (settled: readonly StockJob[]) => void

/**
 * Settles the requests of this process in batches, each on one connection with one lock per item.
 *
 * Movements that are likely to be granted are written by one guarded statement, also where other processes write
 * the items. The rest of the batch is decided with the items locked: a reservation, a movement that has an item
 * in common with one, a refusal that is not certain. A batch that waits too long for a row, or that one bad row
 * fails, is taken apart: first into groups with items in common, then one by one, so that requests without a common
 * item do not wait for each other.
 */
export class StockExecutor {
  readonly root: RetryingRoot
  readonly maxWaiting: number
  readonly #map: StockMap
  /** A guess at what will be granted. */
  readonly #known = new BalanceCache()
  readonly #batcher: Batcher<Request, Decision>
  /** Those that wait for their turn alone. */
  readonly #inLine = new Set<StockJob>()
  #isSweeping = false
  readonly #replays = new ReplayWatch()
  readonly #rest = new Semaphore(REST_AT_ONCE)
  readonly #patient = new Semaphore(PATIENT_AT_ONCE)

  constructor(root: RetryingRoot, map: StockMap, maxWaiting: number) {
    this.root = root
    this.maxWaiting = maxWaiting
    this.#map = map
    const largestBatch = map.reservation ? LARGEST_BATCH_WITH_LOCKS : BOUNDS.largestBatch
    this.#batcher = new Batcher(
      (batch, release) => this.#run(batch, release),
      { ...BOUNDS, largestBatch, maxWaiting },
      systemClock,
    )
  }

  /** @throws OverloadedError if too many calls wait already */
  execute<R>(request: Request, answer: (decision: Decision) => R | PromiseLike<R>): Promise<R> {
    const { isSharded } = this.#map.keys
    return this.#batcher.add(
      isSharded ? { ...request, group: `${JSON.stringify(request.scope)} ${request.group}` } : request,
      answer,
    )
  }

  inTransaction(tx: Session, request: Request) {
    return executeInTransaction(tx, this.#map, request)
  }

  async #run(batch: readonly StockJob[], release: Release): Promise<void> {
    const next = soonest(batch.map(({ task }) => task))
    if (next === undefined) return
    const root = this.root.until(next.deadline)
    try {
      await this.#map.keys.check(root)
    } catch (error) {
      // Without its keys the database records duplicates, so nobody is let through. Other failures will show again.
      if (isConcurrencyError(error, 'CONFIGURATION')) throw error
    }
    const moves = movesOf(batch)
    const { settled, failure } = await this.#guarded(moves, root)
    if (settled.size === batch.length) return
    if (settled.size > 0) release([...settled])
    const failed = failure ? moves : []
    const open = batch.filter((job) => !settled.has(job) && !failed.includes(job))
    await Promise.all([
      failure && this.#takeApart(failed, failure, release),
      open.length > 0 && this.#decide(open, open.length === batch.length, release),
    ])
  }

  /** A request that is not settled, and has not failed, was not written. */
  async #guarded(
    moves: readonly StockJob[],
    root: Session,
  ): Promise<{ settled: ReadonlySet<StockJob>; failure?: Failure }> {
    const settled = new Set<StockJob>()
    if (moves.length === 0) return { settled }
    const requests = moves.map(({ task }) => task)
    const known = (id: string) => this.#known.get(id)
    try {
      const { decisions, locked, left } = await new GuardedMoves(root, this.#map, requests, known).run({
        lockTimeout: BATCH_LOCK_TIMEOUT,
        looksForIds: this.#replays.expectsReplays(),
      })
      this.#remember(locked.balances)
      this.#remember(left)
      moves.forEach((job, i) => {
        const decision = decisions[i]
        if (decision === undefined) return
        settled.add(job)
        job.resolve(decision)
        if (decision.status === 'done' && decision.replayed) this.#replays.note()
      })
    } catch (error) {
      moves[0]?.task.deadline.events?.failed(error, 1)
      if (isConcurrencyError(error, 'WRITE_SUPPRESSED')) this.#replays.note()
      // Somebody else got ahead, at the isolation level that the database has set, or has recorded one of the ids.
      if (!isTransactionConflict(error) && !isConcurrencyError(error, 'WRITE_SUPPRESSED')) {
        return { settled, failure: { error } }
      }
    }
    return { settled }
  }

  async #decide(jobs: readonly StockJob[], hasPlace: boolean, release: Release): Promise<void> {
    const outcome = await (hasPlace ? this.#locked(jobs, SETTLED) : this.#lockedInTurn(jobs, SETTLED))
    if (outcome === WRITTEN) release(jobs)
    else await this.#takeApart(jobs, outcome, release)
  }

  async #locked(batch: readonly StockJob[], before: AmbiguousOutcome): Promise<Outcome> {
    const jobs = batch.filter(({ isOver }) => !isOver)
    const requests = jobs.map(({ task }) => task)
    const next = soonest(requests)
    if (next === undefined || requests.every(({ deadline }) => deadline.passed())) return LATE
    const decide = async (tx: Session) => {
      await this.#map.keys.check(tx)
      const snapshot = await loadSnapshot(tx, this.#map, requests, { lockTimeout: BATCH_LOCK_TIMEOUT })
      const decider = new Decider(this.#map, snapshot)
      const decisions = requests.map((request) => decider.decide(request))
      const set = decider.writeSet(itemsOf(requests))
      if ((await writeLocked(tx, this.#map, set)) !== 'written') throw CLAIMED
      return { decisions, left: new Map([...snapshot.balances, ...leftBy(set)]) }
    }
    try {
      // With the grace, so that a call that has little time left fails nobody else.
      const options = transactionOptions(next, GRACE)
      const { decisions, left } = await next.deadline.committed(
        (body: typeof decide) => this.root.transactionWithRetry(body, options),
        decide,
      )
      this.#remember(left)
      for (const [i, job] of jobs.entries()) answer(job, decisions[i], before)
      // The database can compare them with what it has made of the data of others.
      for (const [i, job] of jobs.entries()) if (decisions[i] === undefined) await this.#single(job, before)
      return WRITTEN
    } catch (error) {
      return { error }
    }
  }

  #remember(balances: ReadonlyMap<string, Balance>): void {
    for (const [id, balance] of balances) this.#known.set(id, balance)
  }

  async #takeApart(jobs: readonly StockJob[], failure: Failure, release: Release): Promise<void> {
    const parts = partsOf(jobs)
    release([])
    await Promise.all(
      parts.map(async (part) => {
        await this.#part(part, failure, parts.length > 1)
        release(part)
      }),
    )
  }

  /** A part of a failed batch: once more together, where it is not all of it, and then one by one. */
  async #part(part: readonly StockJob[], failure: Failure, isSmaller: boolean): Promise<void> {
    const outcome = new AmbiguousOutcome()
    outcome.note(failure.error)
    if (isSmaller) {
      const again = await this.#lockedInTurn(part, outcome)
      if (again === WRITTEN) return
      outcome.note(again.error)
    }
    this.#enterLine(part, outcome)
    await within(this.#patient, async () => {
      for (const job of part) if (this.#leaveLine(job, outcome)) await this.#single(job, outcome)
    })
  }

  #lockedInTurn(jobs: readonly StockJob[], outcome: AmbiguousOutcome): Promise<Outcome> {
    this.#enterLine(jobs, outcome)
    return within(this.#rest, () =>
      this.#locked(
        jobs.filter((job) => this.#leaveLine(job, outcome)),
        outcome,
      ),
    )
  }

  /** Where an answer was lost, only its turn tells what became of a call. */
  #enterLine(jobs: readonly StockJob[], outcome: AmbiguousOutcome): void {
    if (outcome.isAmbiguous) return
    for (const job of jobs) this.#inLine.add(job)
    this.#sweepLater()
  }

  /** Whether it is still to be carried out, now that its turn has come. */
  #leaveLine(job: StockJob, outcome: AmbiguousOutcome): boolean {
    this.#inLine.delete(job)
    return !job.isOver && isInTime(job, outcome)
  }

  /** Tells those whose time is up, or that are aborted, before their turn comes: one timer for all. */
  #sweepLater(): void {
    if (this.#isSweeping || this.#inLine.size === 0) return
    this.#isSweeping = true
    systemClock.timer(SWEEP_INTERVAL, () => {
      this.#isSweeping = false
      for (const job of this.#inLine) if (!isInTime(job, SETTLED)) this.#inLine.delete(job)
      this.#sweepLater()
    })
  }

  async #single(job: StockJob, outcome: AmbiguousOutcome): Promise<void> {
    const { task: request } = job
    const { policy, deadline } = request
    try {
      if (deadline.passed()) throw new DeadlineExceededError(deadline.duration, 'the stock')
      const { decision, left } = await ownStatements(
        this.root,
        { policy, deadline: deadline.withoutSignal(), waitedFor: 'the stock' },
        (tx) => this.inTransaction(tx, request),
      )
      this.#remember(left)
      answer(job, decision, outcome)
    } catch (error) {
      job.reject(reasonOf(error, outcome))
    }
  }
}

const WRITTEN = 'written'
/** No answer was lost. */
const SETTLED = new AmbiguousOutcome()

interface Failure {
  readonly error: unknown
}

type Outcome = typeof WRITTEN | Failure

/** Somebody else has recorded one of the transaction ids since they were looked up. */
const CLAIMED = new Error('A transaction id was taken meanwhile.')
/** Each of them is told by itself. */
const LATE: Outcome = { error: new Error('The time of all requests is up.') }

async function within<R>(limiter: Semaphore, work: () => Promise<R>): Promise<R> {
  const leave = await limiter.acquire()
  try {
    return await work()
  } finally {
    leave()
  }
}

/** READ COMMITTED under any default of the database: a read after a lock must have a snapshot of after the lock. */
function transactionOptions({ policy, deadline }: Request, grace = 0): TransactionWithRetryOptions {
  const { attempts, baseDelay, maxDelay } = policy
  return partOf(deadline.events, {
    isolationLevel: 'ReadCommitted',
    retry: {
      attempts,
      baseDelay,
      maxDelay,
      deadline: Math.max(1, deadline.left()) + grace,
      retryOn: policy.retryOn,
    },
  })
}

/**
 * A refusal is no answer where an earlier statement of the call was lost: it may reach the server late, and find
 * more. A recorded call is found by it under its transaction id.
 */
function answer(job: StockJob, decision: Decision | undefined, before: AmbiguousOutcome): void {
  if (decision === undefined) return
  const isRefused = decision.status === 'refused' && !isConcurrencyError(decision.error, 'IDEMPOTENCY_MISMATCH')
  if (isRefused && before.isAmbiguous) job.reject(before.refusal(decision.error))
  else job.resolve(decision)
}

function reasonOf(error: unknown, outcome: AmbiguousOutcome): unknown {
  if (outcome.isAmbiguous && isNoAnswer(error)) return outcome.error('the connection was lost', error)
  return error
}

/** Tells the caller, if it is not. Where an answer was lost, it may still be found in the grace. */
function isInTime(job: StockJob, outcome: AmbiguousOutcome): boolean {
  const { deadline } = job.task
  try {
    if (!outcome.isAmbiguous) deadline.check(BOUNDS.waitedFor)
    else if (deadline.isOverdue()) throw deadline.unanswered()
    return true
  } catch (error) {
    job.reject(reasonOf(error, outcome))
    return false
  }
}
