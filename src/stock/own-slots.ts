import type { Session } from '../engine/session.js'
import type { Events } from '../events/events.js'
import { readAgain } from '../retry/read-again.js'
import { systemClock } from '../sync/clock.js'
import type { RetryingRoot } from '../transactions/method.js'
import { scopeOf } from '../transactions/serialize.js'
import { StockExecutor } from './executor.js'
import type { Item } from './item.js'
import type { StockMap } from './mapping.js'
import type { Request } from './request.js'
import { SlotChanges } from './slot-changes.js'
import { SlotNeed, type Visit, type Wanted } from './slot-need.js'
import { readSlots } from './slot-rows.js'
import type { Observe } from './write.js'

/** Items whose number of slots is known at most. */
const MOST = 10_000
/** How long the number is relied on, in ms: a process learns as late of slots that were made. */
const KNOWN_FOR = 10_000

interface KnownItem {
  /** 0: there was no such item. */
  readonly count: number
  /** The key of the row that this process takes from. */
  readonly key: readonly string[]
  /** Where the number adapts. */
  readonly need: SlotNeed | undefined
  readAt: number
}

/**
 * Calls that are combined. All of them know one row of an item: a batch that had two rows of it would check what one of
 * them has, and write the other. When an item has another number of slots, the calls that come are another epoch.
 */
class Epoch {
  constructor(
    readonly executor: StockExecutor,
    readonly items: Map<string, KnownItem>,
  ) {}
}

/** A request whose items are the rows that this process takes from. */
export interface OwnRequest {
  readonly request: Request
  readonly executor: StockExecutor
}

/**
 * The slots of a process: it takes from one slot of each item, by a number that it has drawn. The number of slots is
 * read with the first call for an item, and now and then; it is a guess. A row that is not there is no row that is written.
 */
export class OwnSlots {
  readonly #number = Math.floor(systemClock.random() * 2 ** 31)
  readonly #root: RetryingRoot
  readonly #map: StockMap
  readonly #maxWaiting: number
  /** The reads that are under way, by the ids of their items: calls that come meanwhile wait for them. */
  readonly #reads = new Map<string, Promise<void>>()
  readonly #changes: SlotChanges
  /** The listeners of the client, once a call was made that has them. */
  #events: Events | undefined
  #epoch: Epoch

  /** @param map of the rows: see `rowsOf` */
  constructor(root: RetryingRoot, map: StockMap, maxWaiting: number) {
    this.#root = root
    const observe: Observe = (...statement) => this.#observe(...statement)
    this.#map = map.item.adapts ? { ...map, observe } : map
    this.#maxWaiting = maxWaiting
    this.#changes = new SlotChanges(root, map, (item, count) => this.learn(item, count))
    this.#epoch = this.#begin(new Map())
  }

  #begin(items: Map<string, KnownItem>): Epoch {
    return new Epoch(new StockExecutor(this.#root, this.#map, this.#maxWaiting), items)
  }

  /** Its own one of so many slots. */
  of(count: number): number {
    return this.#number % Math.max(count, 1)
  }

  learn({ id, key }: Item, count: number): void {
    const now = systemClock.now()
    const known = this.#epoch.items.get(id)
    known?.need?.found(count)
    if (known?.count === count) {
      known.readAt = now
      return
    }
    if (known) {
      const others = new Map(this.#epoch.items)
      others.delete(id)
      this.#epoch = this.#begin(others)
    } else if (this.#epoch.items.size >= MOST) this.#epoch = this.#begin(new Map())
    const { adapts } = this.#map.item
    const need = known?.need ?? (adapts && new SlotNeed(adapts, count))
    this.#epoch.items.set(id, { count, key: [...key, String(this.of(count))], need, readAt: now })
  }

  /** The request, with the own row of each of its items. A promise only where something is to be read: most calls do not wait. */
  request(session: Session, request: Request): OwnRequest | Promise<OwnRequest> {
    this.#events = request.deadline.events?.events
    if (session.inTransaction) for (const { item } of request.lines) this.#needOf(item)?.disturbed()
    const old = this.#old(request)
    if (old.length === 0) return this.#known(request)
    return this.#read(session, request, old).then(() => this.#known(request))
  }

  #known(request: Request): OwnRequest {
    // Those that a new epoch has forgotten are noted in it, before anything is sent.
    for (const { item } of request.lines) if (!this.#epoch.items.has(item.id)) this.learn(item, 0)
    const { executor, items } = this.#epoch
    const lines = request.lines.map((line) => {
      const { id, given, key } = line.item
      return { ...line, item: { id, given, key: items.get(id)?.key ?? [...key, '0'] } }
    })
    return { request: { ...request, lines }, executor }
  }

  /** The items whose number of slots is to be read. Of one that is known, one call reads it again. */
  #old({ lines }: Request): readonly Item[] {
    const now = systemClock.now()
    return lines.flatMap(({ item }) => {
      const known = this.#epoch.items.get(item.id)
      if (known?.count && known.readAt > now - KNOWN_FOR) return []
      if (known) known.readAt = now
      return item
    })
  }

  async #read(session: Session, request: Request, items: readonly Item[]): Promise<void> {
    if (session.inTransaction) return this.#readOnce(session, items)
    await readAgain(request, async () => {
      const missing = items.filter(({ id }) => !this.#reads.has(id))
      if (missing.length > 0) {
        const read = this.#readOnce(this.#root.until(request.deadline), missing).finally(() => {
          for (const { id } of missing) this.#reads.delete(id)
        })
        for (const { id } of missing) this.#reads.set(id, read)
      }
      await Promise.all(new Set(items.map(({ id }) => this.#reads.get(id))))
    })
  }

  async #readOnce(session: Session, items: readonly Item[]): Promise<void> {
    const { slots } = await readSlots(session, this.#map, items)
    for (const item of items) {
      const { count = 0, each } = slots.get(item.id) ?? {}
      this.learn(item, count)
      const need = this.#needOf(item)
      if (!each || !need) continue
      if (!session.inTransaction) this.#change(item, need.read(each))
      // A transaction sees what nobody else does, and a change would wait for the locks that it is about to take.
      else if (need.bounded()) scopeOf(session).effects.push(() => this.#change(item, need.bounded()))
    }
  }

  #needOf({ id }: Item): SlotNeed | undefined {
    return this.#epoch.items.get(id)?.need
  }

  /** A call in no transaction of a caller's has moved units of other slots to the own one. */
  borrowed(item: Item): void {
    this.#change(item, this.#needOf(item)?.borrowed())
  }

  /** Rows are locked one after the other, so each was waited for from the lock of the one before it on. */
  #observe(...[items, rows, took]: Parameters<Observe>): void {
    if (rows === 'ended') {
      this.#ended(items, took)
      return
    }
    let before = 0
    for (const { position, waited = 0, onHand, isWritten } of rows.toSorted(
      (a, b) => (a.waited ?? 0) - (b.waited ?? 0),
    )) {
      const own = waited - before
      before = waited
      const written = items[position - 1]
      if (written === undefined) continue
      const change = written.next.onHand - written.known.onHand
      const left = this.#map.quantities.parse(onHand) + (isWritten ? change : 0n)
      this.#visited(written.item, { took, waited: own, change, left })
    }
  }

  /** One of its rows was waited for. It is not known which. */
  #ended(items: Parameters<Observe>[0], took: number): void {
    const [only, ...others] = items
    if (only && others.length === 0) this.#visited(only.item, { took, waited: took, change: 0n, left: undefined })
  }

  #visited({ id, given, key }: Item, visit: Visit): void {
    const known = this.#epoch.items.get(id)
    // Not of a slot that was the own one before.
    if (known?.key.at(-1) !== key.at(-1)) return
    this.#change({ id, given, key: key.slice(0, -1) }, known?.need?.visited(visit))
  }

  #change(item: Item, wanted: Wanted | undefined): void {
    const need = this.#needOf(item)
    if (wanted && need) this.#changes.start({ item, need, wanted }, this.#events)
  }
}
