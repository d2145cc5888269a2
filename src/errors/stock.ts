import { ConcurrencyError, describe } from './concurrency-error.js'

/** The name of an item: the value of its key, or an object with a value for each field of the key. */
export type ItemName = ItemKeyValue | Readonly<Record<string, ItemKeyValue>>

/** The value of one field of an item's key. */
export type ItemKeyValue = number | bigint | string

/** A number of the type that Prisma gives the column: Int, BigInt, or Decimal. */
export type StockQuantity = number | bigint | DecimalLike

/** A Decimal as Prisma gives it, whichever copy of its class that is. `toFixed()` gives all digits. */
export interface DecimalLike {
  toFixed(): string
  toString(): string
}

/** A line of a request for which there is not enough. */
export interface Shortage {
  /** The item's key, as the call named it. */
  readonly item: ItemName
  /** How much was asked for. */
  readonly requested: StockQuantity
  /** How much could have been had: the quantity on hand, less the reserved one, down to the minimum. */
  readonly available: StockQuantity
}

/** There is not enough on hand. Nothing was written, of no line. */
export class InsufficientStockError extends ConcurrencyError {
  readonly code = 'INSUFFICIENT_STOCK'
  /** The first item that is short. */
  readonly item: ItemName
  readonly requested: StockQuantity
  readonly available: StockQuantity
  /** Every line that is short. */
  readonly shortages: readonly Shortage[]

  constructor(
    readonly transactionId: string,
    shortages: readonly [Shortage, ...Shortage[]],
    isRemembered = false,
  ) {
    const list = shortages
      .map(({ item, requested, available }) => `${itemText(item)}: ${requested} asked for, ${available} available`)
      .join('; ')
    const next = isRemembered
      ? STAYS_REFUSED
      : 'Ask for less, or send it again under the same transaction id once there is more.'
    super(`There is not enough stock for ${JSON.stringify(transactionId)}: ${list}. Nothing was moved. ${next}`)
    this.item = shortages[0].item
    this.requested = shortages[0].requested
    this.available = shortages[0].available
    this.shortages = shortages
  }
}

/** A line of a request for which there is no room. */
export interface Excess {
  /** The item's key, as the call named it. */
  readonly item: ItemName
  /** How much was to be added. */
  readonly requested: StockQuantity
  /** How much could have been added: up to the maximum, from the quantity on hand. */
  readonly room: StockQuantity
}

/** There would be more on hand than the maximum. Nothing was written, of no line. */
export class MaximumExceededError extends ConcurrencyError {
  readonly code = 'MAXIMUM_EXCEEDED'
  /** The first item that there is no room for. */
  readonly item: ItemName
  readonly requested: StockQuantity
  readonly room: StockQuantity
  /** Every line that there is no room for. */
  readonly excesses: readonly Excess[]

  constructor(
    readonly transactionId: string,
    excesses: readonly [Excess, ...Excess[]],
    isRemembered = false,
  ) {
    const list = excesses
      .map(({ item, requested, room }) => `${itemText(item)}: ${requested} to be added, room for ${room}`)
      .join('; ')
    const next = isRemembered
      ? STAYS_REFUSED
      : 'Add less, or send it again under the same transaction id once there is room.'
    super(`There is no room for ${JSON.stringify(transactionId)}: ${list}. Nothing was moved. ${next}`)
    this.item = excesses[0].item
    this.requested = excesses[0].requested
    this.room = excesses[0].room
    this.excesses = excesses
  }
}

const STAYS_REFUSED = 'It stays refused: ask again under a new transaction id.'

/** An item of the request does not exist. Nothing was written. */
export class ItemNotFoundError extends ConcurrencyError {
  readonly code = 'ITEM_NOT_FOUND'

  constructor(
    /** The Prisma model, such as `Stock`. */
    readonly model: string,
    readonly item: ItemName,
  ) {
    super(`There is no ${model} ${itemText(item)}. Nothing was written. Create it first, with nothing on hand.`)
  }
}

/** The transaction id holds a reservation, so nothing else can be recorded under it. Nothing was written. */
export class ReservationActiveError extends ConcurrencyError {
  readonly code = 'RESERVATION_ACTIVE'

  constructor(
    readonly transactionId: string,
    /** When the reservation ends by itself, by the database's clock; `null` is never. */
    readonly expiresAt: Date | null,
  ) {
    super(
      `${JSON.stringify(transactionId)} holds a reservation${expiresAt ? ` until ${expiresAt.toISOString()}` : ''}. Nothing was written. ` +
        `Fulfil it, or give the movement another transaction id.`,
    )
  }
}

/**
 * The reservation cannot be fulfilled or extended: it has ended in another way, or there is none. Or a movement
 * was to be recorded under the transaction id of a reservation that has ended. Nothing was written.
 */
export class ReservationEndedError extends ConcurrencyError {
  readonly code = 'RESERVATION_ENDED'

  constructor(
    readonly transactionId: string,
    /** How the reservation ended; `missing` if there is none. */
    readonly state: 'expired' | 'released' | 'fulfilled' | 'missing',
  ) {
    const what = state === 'missing' ? 'does not exist' : state === 'expired' ? 'has expired' : `was ${state}`
    super(
      `The reservation ${JSON.stringify(transactionId)} ${what}. Nothing was written. ` +
        `Reserve again, or move the stock without a reservation, under a new transaction id.`,
    )
  }
}

/** The date of the movement is in a closed period of one of its items. Nothing was written, of no line. */
export class PeriodClosedError extends ConcurrencyError {
  readonly code = 'PERIOD_CLOSED'
  /** The argument of the call. */
  readonly field = 'date'
  /** The date that the movement was to have. */
  readonly date: Date
  /** The last date of the closed periods of the item. */
  readonly closedUntil: Date

  constructor(
    readonly transactionId: string,
    /** The first item whose period is closed. */
    readonly item: ItemName,
    { date, closedUntil }: { readonly date: Date; readonly closedUntil: Date },
  ) {
    super(
      `The movement ${JSON.stringify(transactionId)} has the date ${date.toISOString()}, and ${itemText(item)} is closed until ${closedUntil.toISOString()}. Nothing was written. Give a later date.`,
    )
    this.date = date
    this.closedUntil = closedUntil
  }
}

/** A line of a reversal that asks for more than is left of the movement. */
export interface ReversalExcess {
  /** The item's key, as the call named it. */
  readonly item: ItemName
  /** How much of it was to be undone. */
  readonly requested: StockQuantity
  /** How much of it the movement has moved that is not undone. */
  readonly left: StockQuantity
}

/** The movement cannot be undone. Nothing was written. */
export class ReversalError extends ConcurrencyError {
  readonly code = 'REVERSAL'

  constructor(
    readonly transactionId: string,
    /** The transaction id of the movement that was to be undone. */
    readonly of: string,
    /**
     * `missing`: there is no movement under that id. `missing-or-pruned`: the same, in a ledger that can be pruned, of which
     * nobody can tell whether it ever had one. `refused`: it was refused, so it has moved nothing. `deferred`: it is
     * not in the balance yet. `reversed`: it is undone, or less is left of it than is asked for.
     */
    readonly reason: 'missing' | 'missing-or-pruned' | 'refused' | 'deferred' | 'reversed',
    /** Every line that asks for too much. */
    readonly excesses: readonly ReversalExcess[] = [],
  ) {
    const list = excesses.map(({ item, requested, left }) => `${itemText(item)}: ${requested} asked for, ${left} left`)
    const why = {
      missing: 'does not exist. A reservation is given back by $stock.release.',
      'missing-or-pruned': 'does not exist, or was pruned.',
      refused: 'was refused, and has moved nothing.',
      deferred: 'is not in the balance yet. Fold it with $stock.project first.',
      reversed: list.length > 0 ? `has less left to undo (${list.join('; ')}).` : 'is undone already.',
    }
    super(
      `The movement ${JSON.stringify(of)} cannot be undone by ${JSON.stringify(transactionId)}: it ${why[reason]} Nothing was written.`,
    )
  }
}

/** A line that takes more than is left of its reservation. */
export interface Overrun {
  /** The item's key, as the call named it. */
  readonly item: ItemName
  /** How much was to be taken. */
  readonly requested: StockQuantity
  /** How much is left of it in the reservation; 0 where it is none of its items. */
  readonly left: StockQuantity
}

/** More was to be taken of a reservation than is left of it. Nothing was written, of no line. */
export class ReservationExceededError extends ConcurrencyError {
  readonly code = 'RESERVATION_EXCEEDED'
  /** The first item of which less is left. */
  readonly item: ItemName
  readonly requested: StockQuantity
  readonly left: StockQuantity

  constructor(
    /** That of the reservation. */
    readonly transactionId: string,
    /** Every line that takes more than is left. */
    readonly overruns: readonly [Overrun, ...Overrun[]],
  ) {
    const list = overruns.map(({ item, requested, left }) => `${itemText(item)}: ${requested} asked for, ${left} left`)
    super(
      `The reservation ${JSON.stringify(transactionId)} has less left: ${list.join('; ')}. Nothing was written. ` +
        `Take less, or move the rest without the reservation.`,
    )
    this.item = overruns[0].item
    this.requested = overruns[0].requested
    this.left = overruns[0].left
  }
}

function itemText(item: ItemName): string {
  return typeof item === 'object' ? describe(item) : String(item)
}
