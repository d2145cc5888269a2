import type { Session } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import { Batcher, type BatcherBounds } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import { soonest } from '../sync/deadline.js'
import type { Job, Task } from '../sync/job.js'
import { Semaphore } from '../sync/semaphore.js'
import { ownStatements } from '../transactions/own-statements.js'
import { serializeInTransaction } from '../transactions/serialize.js'
import { type Allocation, allocate, type Taken, withLines } from './allocate.js'
import type { Executor } from './call.js'
import { executeInTransaction } from './execute-in-transaction.js'
import { readMovements } from './load-snapshot.js'
import { lockLots, readLots } from './lots.js'
import type { StockMap } from './mapping.js'
import { readReservations } from './read-reservations.js'
import { type Decision, type Line, nameOf, type Request } from './request.js'
import { nameOfPlace, recordedLines, type SourcedRequest } from './sources.js'

const BOUNDS: BatcherBounds = {
  largestBatch: 250,
  batchesAtOnce: 1,
  gatheringTurns: 12,
  // A row may be held; the calls behind it choose what is left.
  longestWait: 250,
  waitedFor: 'other calls for the same items',
}
/** How often the calls of a batch choose without locks, where other processes have been quicker. */
const ROUNDS = 3
/** How often a call in a transaction does, and how often in all: then it has locks of all lots. */
const UNLOCKED = 2
const MOST_CHOICES = 4
/** Connections for those that choose with locks. */
const LOCKED_AT_ONCE = 2

/** Calls for one place are in one group: those that come while a batch is under way are the next one. */
interface SourcingTask extends Task {
  readonly request: SourcedRequest
}

type SourcingJob = Job<SourcingTask, Decision>

/**
 * Settles requests whose items are chosen now. The lots are read without locks, and the lines made of them are then
 * like any other lines: one statement checks all quantities with the items locked, and writes all of them or nothing. If
 * another process was quicker, the lots are read again.
 *
 * The calls of this process for one place choose together from one read, each from what those before it leave.
 */
export class Sourcing {
  readonly #map: StockMap
  readonly #executor: Executor
  readonly #batcher: Batcher<SourcingTask, Decision>
  readonly #locking = new Semaphore(LOCKED_AT_ONCE)

  constructor(map: StockMap, executor: Executor) {
    this.#map = map
    this.#executor = executor
    const { maxWaiting } = executor
    this.#batcher = new Batcher((batch) => this.#run(batch), { ...BOUNDS, maxWaiting }, systemClock)
  }

  settle<R>(session: Session, request: SourcedRequest, answer: (decision: Decision) => R): Promise<R> {
    const { deadline, sources } = request
    if (session.inTransaction) {
      return serializeInTransaction(session, deadline, async () => answer(await settleIn(session, this.#map, request)))
    }
    const [place] = sources[0]?.places ?? []
    return this.#batcher.add({ group: nameOfPlace(place?.key ?? []), deadline, request }, answer)
  }

  async #run(batch: readonly SourcingJob[]): Promise<void> {
    let open = batch
    for (let round = 1; round <= ROUNDS && open.length > 0; round++) {
      const again = await this.#together(open, round > 1).catch(() => undefined)
      if (again === undefined) break // its read has failed: each of them finds out why, in the time that it has
      open = again
    }
    await Promise.all(open.map((job) => this.#locked(job)))
  }

  /** @returns those that have to choose again */
  async #together(jobs: readonly SourcingJob[], looksForIds: boolean): Promise<readonly SourcingJob[]> {
    const open = jobs.filter(({ isOver }) => !isOver)
    const next = soonest(open.map(({ task }) => task.request))
    if (next === undefined) return open
    const root = this.#executor.root.until(next.deadline)
    const requests = open.map(({ task }) => task.request)
    const choices = await choose(root, this.#map, requests, looksForIds)
    const outcomes = open.map((job, i) => this.#settles(job, choices[i]))
    const round = Promise.all(outcomes)
    open.forEach(async (job, i) => {
      if (!(await outcomes[i])) await waitFor(round, job)
    })
    const settled = await round
    return open.filter((_, i) => !settled[i])
  }

  /** @returns whether its caller is told; else it has written nothing, and has to choose again */
  async #settles(job: SourcingJob, choice: Choice): Promise<boolean> {
    if (choice === undefined) return false
    try {
      if ('error' in choice) throw choice.error
      const decision = await this.#executor.execute(choice.request, (decided) => decided)
      if (isToChooseAgain(job.task.request, choice, decision)) return false
      job.resolve(decision)
    } catch (error) {
      job.reject(error)
    }
    return true
  }

  async #locked(job: SourcingJob): Promise<void> {
    const { request } = job.task
    const { policy, deadline } = request
    if (job.isOver) return
    try {
      deadline.check(BOUNDS.waitedFor)
      const leave = await this.#locking.acquire(deadline, BOUNDS.waitedFor)
      try {
        const call = { policy, deadline: deadline.withoutSignal(), waitedFor: 'the stock' }
        job.resolve(await ownStatements(this.#executor.root, call, (tx) => settleIn(tx, this.#map, request, 0)))
      } finally {
        leave()
      }
    } catch (error) {
      job.reject(error)
    }
  }
}

/** Another call of the round may wait for a row longer than this one waits, which has nothing under way. */
async function waitFor(round: Promise<unknown>, job: SourcingJob): Promise<void> {
  await job.task.request.deadline.race(round, BOUNDS.waitedFor).catch((error: unknown) => job.reject(error))
}

/**
 * In a transaction, after some choices without locks, one with locks of all lots, so that it ends: nobody else takes
 * from them then.
 */
async function settleIn(
  tx: Session,
  map: StockMap,
  request: SourcedRequest,
  unlocked: number = UNLOCKED,
): Promise<Decision> {
  for (let time = 1; ; time++) {
    if (time > unlocked) await lockLots(tx, map, request)
    const [choice] = await choose(tx, map, [request], time > 1)
    if (choice === undefined) throw new Error(`Nobody is before ${request.transactionId}.`)
    if ('error' in choice) return { status: 'refused', error: choice.error }
    const { decision } = await executeInTransaction(tx, map, choice.request)
    if (time === MOST_CHOICES || !isToChooseAgain(request, choice, decision)) return decision
  }
}

type Choice = Exclude<Allocation, { readonly request: Request }> | Chosen

interface Chosen {
  readonly request: Request
  /** Its lines are those that are recorded under the transaction id. */
  readonly isRecorded?: true
}

/**
 * The lines of each request: those that are recorded under its transaction id, or as many of the lots as it needs.
 *
 * A request that is new looks for no recorded lines, so a call takes one read. One that comes again, and chooses other
 * lots than the first time, is a mismatch to the statement that writes it, and chooses again. A refusal is certain where
 * nothing is recorded after the lots were read: nothing was recorded either when they were too few.
 */
async function choose(
  session: Session,
  map: StockMap,
  requests: readonly SourcedRequest[],
  looksForIds: boolean,
): Promise<readonly Choice[]> {
  await map.quantities.prepare(session)
  const lots = await readLots(session, map, requests)
  const recorded = looksForIds ? await readRecorded(session, map, requests) : undefined
  const taken: Taken = new Map()
  const choices = requests.map(
    (request) => (recorded && recordedChoice(map, request, recorded)) ?? allocate(map, request, lots, taken),
  )
  const refused = requests.filter((_, i) => isRefused(choices[i]))
  if (recorded || refused.length === 0) return choices
  const found = await readRecorded(session, map, refused)
  return choices.map((choice, i) => {
    const request = requests[i]
    return (request && isRefused(choice) && recordedChoice(map, request, found)) || choice
  })
}

function isRefused(choice: Choice): boolean {
  return choice !== undefined && 'error' in choice
}

interface Recorded {
  readonly movements: ReadonlyMap<string, { readonly lines: readonly (Line & { readonly original?: bigint })[] }>
  readonly reservations: ReadonlyMap<string, { readonly lines: readonly (Line & { readonly original?: bigint })[] }>
}

/** The lines that are recorded under the ids of requests: of a reservation its own, else movements. */
async function readRecorded(session: Session, map: StockMap, requests: readonly SourcedRequest[]): Promise<Recorded> {
  const reserving = requests.filter(({ kind }) => kind === 'reserve')
  const moving = requests.filter(({ kind }) => kind !== 'reserve')
  const movements = moving.length > 0 ? await readMovements(session, map, moving) : new Map()
  const reservations = reserving.length > 0 ? await readReservations(session, map, reserving) : new Map()
  return { movements, reservations }
}

function recordedChoice(map: StockMap, request: SourcedRequest, { movements, reservations }: Recorded): Choice {
  const found = (request.kind === 'reserve' ? reservations : movements).get(nameOf(request))
  if (found === undefined) return undefined
  // The quantities that were reserved at first: they may have been changed since.
  const lines = found.lines.map((line) => ({ ...line, quantity: line.original ?? line.quantity }))
  try {
    return { request: withLines(request, recordedLines(map, request, lines)), isRecorded: true }
  } catch (error) {
    return { error }
  }
}

/** Whether somebody was quicker: with the same transaction id, or with a lot that was chosen. A line of the caller's own that is short stays so. */
function isToChooseAgain({ lines }: SourcedRequest, choice: Chosen, decision: Decision): boolean {
  if (choice.isRecorded || decision.status === 'done') return false
  const { error } = decision
  if (isConcurrencyError(error, 'IDEMPOTENCY_MISMATCH')) return true
  if (!isConcurrencyError(error, 'INSUFFICIENT_STOCK')) return false
  return !error.shortages.some(({ item }) => lines.some((line) => line.item.given === item))
}
