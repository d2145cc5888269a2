import type { TransactionSession } from '../engine/session.js'
import type { CallEvents } from '../events/call-events.js'
import { type Events, observed } from '../events/events.js'
import { systemClock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import { partOf, type RetryingRoot } from '../transactions/method.js'
import type { Body } from '../transactions/with-retry.js'
import type { Item } from './item.js'
import type { StockMap } from './mapping.js'
import { setSlots } from './set-slots.js'
import type { SlotNeed, Wanted } from './slot-need.js'
import { readSlots } from './slot-rows.js'

/** How long a change may take, in ms, with the wait for a connection; and how many times its limit for one lock, once it has that. */
const PATIENCE = 2_000
const LOCKS = 8

/** A change of an item's number of slots that was found to be good. */
interface Due {
  readonly item: Item
  readonly need: SlotNeed
  readonly wanted: Wanted
}

/**
 * Changes numbers of slots by themselves: beside the calls, none of which waits for the outcome. One at a time, so that it
 * takes one connection of the pool. It is no promise of the caller's: a failure is an event, and is tried again later.
 *
 * A change that cannot have its locks gives way soon: it holds the head and some slots while it waits for the next, and a
 * transaction of a caller's that has that one may want those.
 */
export class SlotChanges {
  readonly #root: RetryingRoot
  readonly #map: StockMap
  readonly #learn: (item: Item, count: number) => void
  #isUnderWay = false

  /** @param map of the rows */
  constructor(root: RetryingRoot, map: StockMap, learn: (item: Item, count: number) => void) {
    this.#root = root
    this.#map = map
    this.#learn = learn
  }

  start(due: Due, events: Events | undefined): void {
    if (this.#isUnderWay) return
    this.#isUnderWay = true
    void observed(events, `${this.#map.name}.setSlots`, undefined, (call) => this.#change(due, call))
  }

  /** It does not reject. */
  async #change({ item, need, wanted }: Due, events: CallEvents | undefined): Promise<void> {
    const { before, count, why } = wanted
    const deadline = new Deadline(PATIENCE, undefined, systemClock)
    events?.begin(deadline, item.id)
    try {
      const found = await this.#setFrom(item, wanted, { deadline, lockTimeout: need.lockTimeout })
      this.#learn(item, found === before ? count : found)
      if (found === before) events?.tell({ type: 'slots', before, count, why })
    } catch (error) {
      need.failed()
      events?.tell({ type: 'slots', before, count, why, error })
    } finally {
      this.#isUnderWay = false
    }
  }

  /** Resolves to the number that it had. If that is another one than was looked at, somebody else was quicker, and it stays. */
  async #setFrom(item: Item, { before, count }: Wanted, limits: { deadline: Deadline; lockTimeout: number }) {
    const { deadline, lockTimeout } = limits
    // Nobody is locked out to find out what another process has done.
    const { slots } = await readSlots(this.#root.until(deadline), this.#map, [item])
    const found = slots.get(item.id)?.count ?? 0
    if (found !== before) return found
    const retry = { attempts: 1, deadline: Math.max(1, deadline.left()) }
    const timeout = LOCKS * lockTimeout
    const options = partOf(deadline.events, { isolationLevel: 'ReadCommitted', retry, timeout } as const)
    return deadline.committed(
      (body: Body<number>) => this.#root.transactionWithRetry(body, options),
      (tx: TransactionSession) => setSlots(tx, this.#map, item, { count, lockTimeout, onlyFrom: before }),
    )
  }
}
