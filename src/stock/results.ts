/** The outcome of one line. */
export interface MovedLine<Key, Q> {
  readonly item: Key
  /** As recorded, by the call that came first. */
  readonly quantity: Q
  /** The quantity on hand after it; for a replay, that of now. With slots, in the slot that it is of. */
  readonly balance: Q
}

export interface MoveResult<Q> {
  readonly quantity: Q
  readonly balance: Q
  /** Whether it had been carried out before, by another call under the same transaction id. */
  readonly replayed: boolean
}

export interface MoveAllResult<Key, Q> {
  /** One per item, in the order in which the items were first named. */
  readonly lines: readonly MovedLine<Key, Q>[]
  readonly replayed: boolean
}

/** So much of an item that was taken. */
export interface TakenLine<Key, Q> {
  readonly item: Key
  readonly quantity: Q
}

/** A movement out of an item. */
export interface TraceEntry<Q> {
  readonly transactionId: string
  readonly line: number
  /** As recorded, so it is negative. */
  readonly quantity: Q
}

/** `End` is `Date`, or `Date | null` where the column takes NULL. */
export interface ReserveResult<Key = unknown, Q = unknown, End = Date> {
  /**
   * Of a call with `from`: the items that were chosen, and all others of it. Of one with `take`: how much was reserved of
   * each line, 0 where there was nothing.
   */
  readonly lines?: readonly TakenLine<Key, Q>[]
  /** When the reservation ends by itself, by the database's clock; `null` is never. */
  readonly expiresAt: End
  /** `active`, unless this is a replay and it has ended meanwhile. */
  readonly state: 'active' | 'released' | 'fulfilled' | 'expired'
  readonly replayed: boolean
}

export interface ChangeResult<Key, Q> {
  /** `active`, unless nothing is left to be held back. */
  readonly state: 'active' | 'released' | 'fulfilled'
  /** All lines of the reservation, with the quantities that they have now. */
  readonly lines: readonly TakenLine<Key, Q>[]
}

export interface ExtendResult<End = Date> {
  /** When the reservation ends by itself now, by the database's clock; `null` is never. */
  readonly expiresAt: End
}

export interface ReleaseResult {
  /** Whether this call has released it. */
  readonly released: boolean
  readonly state: 'released' | 'fulfilled' | 'expired' | 'missing'
}

export interface SlotsResult {
  /** How many slots the item has. */
  readonly count: number
  /** How many it had before. */
  readonly before: number
}

export interface ProjectResult<Key> {
  /** How many movements were folded. */
  readonly folded: number
  /** The items of which nothing more could be folded, with the error of each. Left out where there is none. */
  readonly failed?: readonly { readonly item: Key; readonly error: unknown }[]
}

export interface CloseResult<Key> {
  /** How many items were closed. */
  readonly closed: number
  /** Items that stay open, for something of them stays deferred. Left out where there is none. */
  readonly open?: readonly Key[]
}

export interface PruneResult {
  /** How many rows of movements were deleted. */
  readonly movements: number
  /** How many rows of reservations were deleted. */
  readonly reservations: number
}

/**
 * An item whose balance is not what its movements, or whose reserved quantity is not what its
 * reservations add up to; or an item that is not there, though movements or active reservations
 * name it.
 */
export interface StockDiscrepancy<Key, Q> {
  readonly item: Key
  readonly balance: Q
  /** The opening balance and all applied movements. */
  readonly expected: Q
  readonly reserved: Q
  /** All active reservations. */
  readonly expectedReserved: Q
  /** Where there is no such item: it was deleted, or has another key now. Its balance is given as 0. */
  readonly missing?: true
  /**
   * The first number in the history of the item at which it does not add up: of a movement that is missing, or whose balance
   * is not that of the one before it and its own quantity. Left out where it does.
   */
  readonly brokenAt?: number
  /**
   * With slots, the one whose history that is. Of its balances nothing is said there: units go from slot to slot without a
   * movement.
   */
  readonly brokenSlot?: number
}
