/** A part of an item's key, such as its warehouse; of a key of one field there is none. */
export type PartOf<Key> = Key extends object ? Partial<Key> : never

/** The quantities of an item, all of one moment. */
export interface StockBalance<Key, Q> {
  readonly item: Key
  readonly onHand: Q
  /** Held by reservations; one whose time is up holds nothing. */
  readonly reserved: Q
  /** The quantity that a call can take: of that on hand the part that is not reserved, down to the minimum. */
  readonly available: Q
  /** The quantity that is recorded by `defer`, and not folded yet. It is not in `onHand`. */
  readonly deferred: Q
}

/** A movement in the history of an item. */
export interface HistoryEntry<Q> {
  /** Its number in the history of the item, or of its slot: 1 for the first one, without gaps. */
  readonly sequence: number
  /** Only with slots: the one that it is of. */
  readonly slot?: number
  readonly transactionId: string
  readonly line: number
  readonly quantity: Q
  /**
   * The quantity on hand after it; with slots, in the slot that it is of. Units go from slot to slot without a movement, when a
   * call borrows or the number of slots changes: so the next movement of the slot may begin with another balance.
   */
  readonly balance: Q
  /** When it came into the balance, by the database's clock. */
  readonly at: Date
}

/** A line of a reservation. */
export interface ReservationEntry<Key, Q> {
  readonly transactionId: string
  readonly line: number
  readonly item: Key
  readonly quantity: Q
  /** How much of it is taken; 0 without a column for it. */
  readonly fulfilled: Q
  /** `expired` as soon as its time is up. */
  readonly state: ReservationEntryState
  /** `null` is never. */
  readonly expiresAt: Date | null
}

export type ReservationEntryState = 'active' | 'released' | 'fulfilled' | 'expired'

/** A movement under a transaction id. */
export interface StatementEntry<Key, Q> {
  readonly line: number
  readonly item: Key
  readonly quantity: Q
  /** Whether it is in the balance, will be when it is folded, or was refused and is remembered. */
  readonly state: 'applied' | 'deferred' | 'refused'
  /** The transaction id that it undoes; `null` for other movements. */
  readonly reverses: string | null
}

/** All that is recorded under a transaction id. */
export interface StockStatement<Key, Q> {
  readonly movements: readonly StatementEntry<Key, Q>[]
  readonly reservations: readonly ReservationEntry<Key, Q>[]
}

interface Page {
  /** At most so many. Default 1,000, at most 10,000. */
  limit?: number | undefined
}

/** The methods of `$stock` that look, and write nothing. Each sends one statement. */
export interface StockLooks<Key, Q> {
  /**
   * The quantities of an item: on hand, reserved, available and deferred.
   *
   * @throws ItemNotFoundError if there is no such item
   *
   * @example
   * const { onHand, available } = await db.$stock.balance({ item: 11 })
   */
  balance(args: { item: Key }): Promise<StockBalance<Key, Q>>

  /**
   * The same of many items: of all of them, of those with a part of the key such as a warehouse, or of these. They are in the
   * order of their keys. The next page begins behind the last item of this page. An item that is not there is left out.
   *
   * @example
   * const first = await db.$stock.balances({ limit: 100 })
   * const next = await db.$stock.balances({ limit: 100, after: first.at(-1)?.item })
   */
  balances(
    args?: Page & {
      /** The items. Default: all. */
      items?: readonly Key[] | undefined
      /** Only those with these fields of the key. */
      where?: PartOf<Key> | undefined
      /** The last item of the page before. */
      after?: Key | undefined
    },
  ): Promise<readonly StockBalance<Key, Q>[]>

  /**
   * The movements of an item that are in its balance, one behind the other, each with the balance after it.
   *
   * A movement has its number from the moment when it was written, with the item locked. So a page misses none: one that
   * is committed later has a higher number than all that a page has shown. A deferred movement has none before it is folded.
   * The numbers of an item begin at 1: a history whose first number is higher was pruned.
   *
   * An item with slots has numbers and balances in each slot: the movements of a slot come behind those of the slot before it.
   * To follow an item, ask for one slot after the other, by `slot`: a movement of a slot that a page over all of them has passed
   * is not on the next page.
   *
   * @throws ConfigurationError if the models have no columns for it
   * @throws InvalidArgumentError if the page after `after` was pruned, in both orders
   *
   * @example
   * const first = await db.$stock.history({ item: 11 })
   * const next = await db.$stock.history({ item: 11, after: first.at(-1) })
   * const latest = await db.$stock.history({ item: 11, order: 'desc', limit: 20 })
   */
  history(
    args: Page & {
      item: Key
      /** Only the movements of this slot, where the item has some. */
      slot?: number | undefined
      /** The last one of the page before. */
      after?: Pick<HistoryEntry<Q>, 'sequence' | 'slot'> | undefined
      /** `desc` begins with the last movement. Default `asc`. */
      order?: 'asc' | 'desc' | undefined
    },
  ): Promise<readonly HistoryEntry<Q>[]>

  /**
   * The quantity of an item that was on hand at a time, by the database's clock: after the last movement that had come into the
   * balance by then. A movement counts from when it was written, though it is seen once it is committed. So ask for a time
   * that is longer ago than your transactions last.
   *
   * @throws ItemNotFoundError if there is no such item
   * @throws InvalidArgumentError if the time is before the history of the item begins
   * @throws ConfigurationError if the models have no columns for it, or items have slots
   *
   * @example
   * const quantity = await db.$stock.balanceAt({ item: 11, at: new Date('2026-12-31T23:00:00Z') })
   */
  balanceAt(args: { item: Key; at: Date }): Promise<Q>

  /**
   * The lines of reservations, in the order of their transaction ids. The next page begins behind the last one of this page.
   *
   * @throws ConfigurationError if no model of reservations is mapped
   *
   * @example
   * const open = await db.$stock.reservations({ item: 11, state: 'active' })
   */
  reservations(
    args?: Page & {
      /** Only those of this item. */
      item?: Key | undefined
      /** Only those in this state. One whose time is up is `expired`, and not `active`. */
      state?: ReservationEntryState | undefined
      /** The last one of the page before. */
      after?: Pick<ReservationEntry<Key, Q>, 'transactionId' | 'line'> | undefined
    },
  ): Promise<readonly ReservationEntry<Key, Q>[]>

  /**
   * All movements and reservations under a transaction id. Where there is nothing, both lists are empty.
   *
   * @example
   * const { movements, reservations } = await db.$stock.statement({ transactionId: 'order 1' })
   */
  statement(args: { transactionId: string }): Promise<StockStatement<Key, Q>>
}
