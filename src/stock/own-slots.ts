import type { Session } from '../engine/session.js'
import { readAgain } from '../retry/read-again.js'
import { systemClock } from '../sync/clock.js'
import type { RetryingRoot } from '../transactions/method.js'
import { StockExecutor } from './executor.js'
import type { Item } from './item.js'
import type { StockMap } from './mapping.js'
import type { Request } from './request.js'
import { readSlots } from './slot-rows.js'

/** Items whose number of slots is known at most. */
const MOST = 10_000
/** How long the number is relied on, in ms: a process learns as late of slots that were made. */
const KNOWN_FOR = 10_000

interface KnownItem {
  /** 0: there was no such item. */
  readonly count: number
  /** The key of the row that this process takes from. */
  readonly key: readonly string[]
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
  #epoch: Epoch

  /** @param map of the rows: see `rowsOf` */
  constructor(root: RetryingRoot, map: StockMap, maxWaiting: number) {
    this.#root = root
    this.#map = map
    this.#maxWaiting = maxWaiting
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
    if (known?.count === count) {
      known.readAt = now
      return
    }
    if (known) {
      const others = new Map(this.#epoch.items)
      others.delete(id)
      this.#epoch = this.#begin(others)
    } else if (this.#epoch.items.size >= MOST) this.#epoch = this.#begin(new Map())
    this.#epoch.items.set(id, { count, key: [...key, String(this.of(count))], readAt: now })
  }

  /** The request, with the own row of each of its items. A promise only where something is to be read: most calls do not wait. */
  request(session: Session, request: Request): OwnRequest | Promise<OwnRequest> {
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
    for (const item of items) this.learn(item, slots.get(item.id)?.count ?? 0)
  }
}
