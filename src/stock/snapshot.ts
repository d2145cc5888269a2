import type { Item } from './item.js'
import type { LineData } from './line-data.js'
import type { Claimed, Line, Request } from './request.js'
import type { ReservationWrites } from './reservation-writes.js'
import type { Reversals } from './reverse.js'

/** The numbers of an item, in the stock's smallest unit. */
export interface Balance {
  readonly onHand: bigint
  readonly reserved: bigint
  /** `null` is no limit. */
  readonly minimum: bigint | null
  readonly maximum: bigint | null
  /** The number of its last movement; 0 without a history. */
  readonly sequence: bigint
  /** The last date of its closed periods, and that of today, in ms since 1970. Only where periods can be closed. */
  readonly closedUntil?: number | null
  readonly today?: number
}

/** The lines that were recorded under a transaction id. Maps of them are by the names of requests. */
export interface RecordedMovement {
  readonly lines: readonly Line[]
  readonly isRefused: boolean
  /** The business date, in ms since 1970; of one that has just been recorded, `undefined` is today. */
  readonly date?: unknown
}

export type ReservationState = 'active' | 'released' | 'fulfilled' | 'expired'

/** A line of a reservation, with the quantity that it has now. */
export interface ReservedLine extends Line {
  /** How much of it was taken. */
  readonly fulfilled: bigint
  /** The quantity that it was reserved with. */
  readonly original: bigint
}

export interface RecordedReservation {
  readonly lines: readonly ReservedLine[]
  readonly state: ReservationState
  /** `null`: only by a call. */
  readonly expiresAt: Date | null
}

/** The state of the database in which requests are decided. Their items are locked, or will be checked. */
export interface Snapshot {
  readonly balances: ReadonlyMap<string, Balance>
  readonly movements: ReadonlyMap<string, RecordedMovement>
  readonly reservations: ReadonlyMap<string, RecordedReservation>
  /** How much of `reserved` is free again, for its reservation has expired. */
  readonly expired: ReadonlyMap<string, bigint>
  /** Of requests with data whose transaction id is recorded: the fields that are recorded with another value. */
  readonly differing: ReadonlyMap<Request, readonly string[]>
  /** How much is still deferred of items that are counted, and is folded later. */
  readonly deferred?: ReadonlyMap<string, bigint> | undefined
  /** Where there is a reversal among the requests. */
  readonly reversals?: Reversals | undefined
  /** The time, by the database's clock. */
  readonly now: Date
}

export interface MovementEntry extends Claimed {
  readonly line: number
  readonly item: Item
  readonly quantity: bigint
  readonly data?: LineData
  readonly reverses?: string
  readonly isRefused: boolean
  /** Of the item, once it is moved. */
  readonly sequence: bigint
  readonly balance: bigint
  /** The business date, in ms since 1970; `undefined` is today. */
  readonly date?: number | undefined
}

/** The rows to be written for the requests that were granted. */
export interface WriteSet {
  readonly items: readonly { readonly item: Item; readonly known: Balance; readonly next: Balance }[]
  readonly movements: readonly MovementEntry[]
  readonly reservations: ReservationWrites | undefined
}
