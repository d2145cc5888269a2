import type { Session } from '../engine/session.js'
import { DeadlineExceededError, isConcurrencyError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { patienceOf } from '../retry/call-options.js'
import { retry } from '../retry/loop.js'
import { DEFAULT_POLICY } from '../retry/policy.js'
import { columnOf } from '../sql/sql.js'
import { sql } from '../sql/statement.js'
import { type Clock, systemClock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import { SingleFlight } from '../sync/single-flight.js'
import type { RetryingRoot } from '../transactions/method.js'
import { ownStatements } from '../transactions/own-statements.js'
import type { Unit } from './format.js'
import type { Series, SeriesMap } from './mapping.js'
import type { Wanted } from './statements.js'
import { type GivenNumber, given, isPeriod, MOST_TRIES, overflow, type SeriesStore, type Taken } from './store.js'

/** Numbers of one period that this process has taken and not given out yet. */
interface Block extends Taken {
  next: bigint
  /** When its period begins and ends, by this process's clock. */
  readonly since: number
  readonly until: number
}

const WAITED_FOR = 'a block of numbers'

/** How many blocks of one series are kept: of other periods than the current one, for calls with an `at`. */
const MOST_BLOCKS = 50

/**
 * Gives numbers out of blocks. A call that comes while a block is fetched waits for that fetch. It runs
 * on the root client, in a transaction of its own, so that no caller's transaction holds the counter.
 */
export class BlockAllocator {
  readonly #store: SeriesStore
  readonly #root: RetryingRoot
  readonly #clock: Clock
  readonly #blocks = new Map<string, Block[]>()
  readonly #fetches: SingleFlight<void>

  constructor(store: SeriesStore, root: RetryingRoot, clock: Clock = systemClock) {
    this.#store = store
    this.#root = root
    this.#clock = clock
    this.#fetches = new SingleFlight(clock)
  }

  /**
   * The next number. With a `patience` in ms, counted from when a block was asked for, it resolves to `undefined` if that
   * takes longer.
   *
   * @throws SeriesOverflowError
   */
  take(wanted: Wanted, deadline: Deadline, patience: number): Promise<GivenNumber | undefined>
  take(wanted: Wanted, deadline: Deadline): Promise<GivenNumber>
  async take(wanted: Wanted, deadline: Deadline, patience?: number): Promise<GivenNumber | undefined> {
    const { series, at } = wanted
    for (;;) {
      const number = this.#fromMemory(wanted)
      if (number !== undefined) return number
      const key = JSON.stringify([series.id, momentOf(series, at)])
      const fetch = this.#fetches.join(key, () => this.#fetch(wanted, deadline.events))
      const left = patience === undefined ? deadline.left() : fetch.startedAt + patience - this.#clock.now()
      try {
        await new Deadline(left, deadline.signal, this.#clock, deadline.duration).race(fetch.done, WAITED_FOR)
      } catch (error) {
        if (patience !== undefined && isConcurrencyError(error, 'DEADLINE_EXCEEDED')) return undefined
        throw error
      }
    }
  }

  #fromMemory({ series, at }: Wanted): GivenNumber | undefined {
    const blocks = this.#blocks.get(series.id) ?? []
    const block = blocks.find((block) => this.#covers(block, at))
    if (block === undefined) return undefined
    const value = block.next++
    if (block.next > block.last) blocks.splice(blocks.indexOf(block), 1)
    return given(block, value)
  }

  #covers(block: Block, at: Date | undefined): boolean {
    if (at !== undefined) return block.begins <= at.getTime() && at.getTime() < block.ends
    const now = this.#clock.now()
    return block.since <= now && now < block.until
  }

  async #fetch(wanted: Wanted, events: CallEvents | undefined): Promise<void> {
    const takeBlock = async (tx: Session): Promise<Block> => {
      const sent = this.#clock.now()
      const taken = await numbersOf(this.#store, tx, wanted)
      return {
        ...taken,
        next: taken.first,
        // It begins and ends a little too soon or too late, such that the database is asked once more.
        since: this.#clock.now() + (taken.begins - taken.now),
        until: sent + (taken.ends - taken.now),
      }
    }
    const { policy, deadline } = patienceOf(DEFAULT_POLICY, {})
    deadline.events = events
    const fetch = () => ownStatements(this.#root, { policy, deadline, waitedFor: WAITED_FOR }, takeBlock)
    // A block that was perhaps taken is a gap: nobody has a number of it.
    const isGap = (error: unknown) => isConcurrencyError(error, 'OUTCOME_UNKNOWN') && 'uncounted'
    const block = await retry(fetch, policy, deadline, isGap).catch((error: unknown) => {
      throw isGap(error) ? new DeadlineExceededError(deadline.duration, WAITED_FOR, { cause: error }) : error
    })
    const blocks = this.#blocks.get(wanted.series.id) ?? []
    this.#blocks.set(wanted.series.id, [...blocks, block].slice(-MOST_BLOCKS))
  }
}

/** Takes a block of numbers, or what is left of them. @throws SeriesOverflowError */
async function numbersOf(store: SeriesStore, tx: Session, wanted: Wanted): Promise<Taken> {
  const { series } = wanted
  let size = smaller(series.blocks ?? 1n, series.highest - series.start + 1n)
  for (let attempt = 1; attempt <= MOST_TRIES && size > 0n; attempt++) {
    const taken = await store.takeMany(tx, wanted, size)
    if ('last' in taken) return taken
    size = smaller(size, series.highest - (await lastOf(store.map, tx, series, taken.period)))
  }
  throw overflow(series)
}

/** How far the series is in a period. */
async function lastOf(map: SeriesMap, tx: Session, series: Series, period: string): Promise<bigint> {
  const { table, last } = map.counter
  const [row] = await tx.rows<{ last: bigint }>(sql`SELECT ${columnOf(last)}::int8 AS last FROM ${table}
WHERE ${isPeriod(map, series, period)}`)
  return row?.last ?? series.start - 1n
}

const smaller = (a: bigint, b: bigint) => (a < b ? a : b)

const LENGTHS: Readonly<Record<Unit, number>> = { year: 4, month: 7, day: 10 }

/** The key of calls that may share a fetch: roughly, since in UTC; each looks whether the block is for it. */
export function momentOf({ format: { unit } }: Series, at: Date | undefined): string {
  return unit === undefined || at === undefined ? 'now' : at.toISOString().slice(0, LENGTHS[unit])
}
