import { DeadlineExceededError, OverloadedError } from '../errors/index.js'
import type { Clock } from '../sync/clock.js'
import type { Decision, Request } from './request.js'

/** A request on its way, with the caller who waits for it. */
export interface Job {
  readonly request: Request
  /** What the caller is told of a verdict; it throws what the caller is to be rejected with. */
  readonly answer: (verdict: Decision) => unknown
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
  /** How many came before it. */
  readonly arrival: number
  /** Whether the caller has been given up already, by the deadline or the signal. */
  isOver: boolean
  onAbort: (() => void) | undefined
}

/** Items that are being worked on, and who waits for them. Who waits for two batches is behind both. */
interface ResourceHold {
  readonly items: Set<string>
  readonly waiting: Set<Job>
}

/** Runs requests together, and calls `release` for those that are settled, so that others may have their items. */
export type Run = (requests: readonly Job[], release: (settled: readonly Job[]) => void) => Promise<void>

/** Gives the caller the answer, without a promise between the two: a hundred thousand may wait. */
export function settle({ answer, resolve, reject }: Job, verdict: Decision): void {
  try {
    resolve(answer(verdict))
  } catch (error) {
    reject(error)
  }
}

/** Requests in one batch at most. */
const LARGEST_BATCH = 1_000
/** Batches under way at once, each on a connection. */
const BATCHES_AT_ONCE = 3
/** How often deadlines of waiting requests are looked at, in ms. */
const SWEEP_INTERVAL = 50
/** Turns of the microtask queue in which callers who were answered together come back together. */
const GATHERING_TURNS = 12

/**
 * The requests of this process, gathered into batches. An item is in one batch at a time, and its
 * requests stay in the order in which they came; while it is being worked on, its next ones gather.
 * Batches of other items go on beside it.
 */
export class Batcher {
  readonly #run: Run
  readonly #limit: number
  readonly #clock: Clock
  readonly #largest: number
  readonly #holds = new Map<string, ResourceHold>()
  #ready: Job[] = []
  #waiting = 0
  #arrivals = 0
  #underWay = 0
  #isGathering = false
  #stopSweeping: (() => void) | undefined

  constructor(run: Run, limit: number, clock: Clock, largest = LARGEST_BATCH) {
    this.#run = run
    this.#limit = limit
    this.#clock = clock
    this.#largest = largest
  }

  /** Calls that wait here, not yet sent. */
  get size(): number {
    return this.#waiting
  }

  /** @throws OverloadedError if too many wait already */
  add<R>(request: Request, answer: (verdict: Decision) => R): Promise<R> {
    if (this.#waiting >= this.#limit) throw new OverloadedError(this.#limit)
    request.deadline.check('the stock')
    return new Promise<unknown>((resolve, reject) => {
      const arrival = this.#arrivals++
      const waiting: Job = { request, answer, resolve, reject, arrival, isOver: false, onAbort: undefined }
      this.#watch(waiting)
      this.#waiting++
      this.#ready.push(waiting)
      this.#gather()
    }) as Promise<R>
  }

  /** Puts it behind all who have one of its items. */
  #putBehind(waiting: Job): void {
    let last: ResourceHold | undefined
    for (const { item } of waiting.request.lines) {
      const hold = this.#holds.get(item.id)
      hold?.waiting.add(waiting)
      last = hold ?? last
    }
    // It is not overtaken: its other items are spoken for, too.
    if (last) this.#take(waiting, last)
  }

  #take({ request }: Job, hold: ResourceHold): void {
    for (const { item } of request.lines) {
      if (this.#holds.has(item.id)) continue
      this.#holds.set(item.id, hold)
      hold.items.add(item.id)
    }
  }

  #gather(): void {
    if (this.#isGathering) return
    this.#isGathering = true
    this.#sweepLater()
    void this.#dispatch()
  }

  async #dispatch(): Promise<void> {
    for (let turn = 0; turn < GATHERING_TURNS; turn++) await undefined
    this.#isGathering = false
    while (this.#underWay < BATCHES_AT_ONCE && this.#ready.length > 0) {
      const hold: ResourceHold = { items: new Set(), waiting: new Set() }
      const batch = this.#next(hold)
      if (batch.length > 0) void this.#start(batch, hold)
    }
  }

  /** The next batch, in the order of arrival. What must wait for an item is put behind it. */
  #next(own: ResourceHold): Job[] {
    const batch: Job[] = []
    /** Of those who must wait: whoever comes behind them waits for these, too. */
    const passed = new Set<string>()
    const mustWait = ({ request }: Job) =>
      request.lines.some(({ item }) => passed.has(item.id) || (this.#holds.get(item.id) ?? own) !== own)
    let scanned = 0
    for (const waiting of this.#ready) {
      if (batch.length === this.#largest) break
      scanned++
      if (waiting.isOver) continue
      if (mustWait(waiting)) {
        for (const { item } of waiting.request.lines) passed.add(item.id)
        this.#putBehind(waiting)
        continue
      }
      this.#check(waiting)
      if (waiting.isOver) continue
      this.#take(waiting, own)
      batch.push(waiting)
    }
    this.#ready = this.#ready.slice(scanned)
    return batch
  }

  async #start(batch: readonly Job[], hold: ResourceHold): Promise<void> {
    this.#underWay++
    this.#waiting -= batch.length
    const open = new Set(batch)
    for (const waiting of batch) this.#unwatch(waiting)
    let current = hold
    const release = (settled: readonly Job[]) => {
      for (const waiting of settled) open.delete(waiting)
      current = this.#release(current, open)
    }
    let isUnderWay = true
    const leave = () => {
      if (isUnderWay) this.#underWay--
      isUnderWay = false
    }
    try {
      await this.#run(batch, (settled) => {
        leave()
        release(settled)
        this.#gather()
      })
    } finally {
      leave()
      release(batch)
      this.#gather()
    }
  }

  /** Frees the items of what is settled, for those who waited. What is still open keeps its own. */
  #release(hold: ResourceHold, open: ReadonlySet<Job>): ResourceHold {
    for (const id of hold.items) this.#holds.delete(id)
    const rest: ResourceHold = { items: new Set(), waiting: new Set() }
    for (const waiting of open) this.#take(waiting, rest)
    if (hold.waiting.size > 0) this.#makeReady(hold.waiting)
    hold.waiting.clear() // whoever goes on in parts still knows the hold
    return rest
  }

  /** Back into the order in which they came, among those who have come since. */
  #makeReady(waiting: Iterable<Job>): void {
    const queue = this.#ready.length === 0 ? waiting : new Set([...this.#ready, ...waiting])
    this.#ready = [...queue].filter(({ isOver }) => !isOver).sort((a, b) => a.arrival - b.arrival)
  }

  #watch(waiting: Job): void {
    const { signal } = waiting.request.deadline
    if (signal === undefined) return
    waiting.onAbort = () => this.#giveUp(waiting, signal.reason)
    signal.addEventListener('abort', waiting.onAbort, { once: true })
  }

  #unwatch(waiting: Job): void {
    if (waiting.onAbort) waiting.request.deadline.signal?.removeEventListener('abort', waiting.onAbort)
  }

  #giveUp(waiting: Job, reason: unknown): void {
    this.#unwatch(waiting)
    waiting.isOver = true
    this.#waiting--
    waiting.reject(reason)
  }

  /** One timer for all who wait: a hundred thousand of them are cheap then. */
  #sweepLater(): void {
    if (this.#stopSweeping !== undefined || this.#waiting === 0) return
    this.#stopSweeping = this.#clock.timer(SWEEP_INTERVAL, () => {
      this.#stopSweeping = undefined
      const queues = [this.#ready, ...Array.from(new Set(this.#holds.values()), (hold) => hold.waiting)]
      for (const queue of queues) for (const waiting of queue) this.#check(waiting)
      this.#sweepLater()
    })
  }

  #check(waiting: Job): void {
    const { deadline } = waiting.request
    if (waiting.isOver || !deadline.passed()) return
    this.#giveUp(waiting, new DeadlineExceededError(deadline.duration, 'other calls for the same items'))
  }
}
