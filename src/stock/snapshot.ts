import type { Item } from './item.js'
import type { LineData } from './line-data.js'
import type { Claimed, Line, Request } from './request.js'
import type { Reversals } from './reverse.js'

/** The numbers of an item, in the stock's smallest unit. */
export interface Balance {
  readonly onHand: bigint
  readonly reserved: bigint
  /** `null` is no limit. */
  readonly minimum: bigint | null
}

/** The lines that were recorded under a transaction id. Maps of them are by the names of requests. */
export interface RecordedMovement {
  readonly lines: readonly Line[]
  readonly isRefused: boolean
}

export type ReservationState = 'active' | 'released' | 'fulfilled' | 'expired'

export interface RecordedReservation {
  readonly lines: readonly Line[]
  readonly state: ReservationState
  readonly expiresAt: Date
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
}

export interface ReservationEntry extends Omit<MovementEntry, 'isRefused'> {
  readonly expiresAt: Date
}

export interface Ended extends Claimed {
  readonly state: ReservationState
}

/** The rows to be written for the requests that were granted. */
export interface WriteSet {
  readonly items: readonly { readonly item: Item; readonly known: Balance; readonly next: Balance }[]
  readonly movements: readonly MovementEntry[]
  readonly reservations: readonly ReservationEntry[]
  readonly ended: readonly Ended[]
}
