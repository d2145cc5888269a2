import { ConcurrencyError, describe } from './concurrency-error.js'

/** What names an item: the value of its key, or an object with a value for each field of the key. */
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
  /** How much could have been had: what is on hand, less what is reserved, down to the minimum. */
  readonly available: StockQuantity
}

/** There is not enough on hand. Nothing was written, of no line. */
export class InsufficientStockError extends ConcurrencyError {
  readonly code = 'INSUFFICIENT_STOCK'
  readonly transactionId: string
  /** The first item that is short. */
  readonly item: ItemName
  readonly requested: StockQuantity
  readonly available: StockQuantity
  /** Every line that is short. */
  readonly shortages: readonly Shortage[]

  constructor(transactionId: string, shortages: readonly [Shortage, ...Shortage[]], isRemembered = false) {
    const list = shortages
      .map(({ item, requested, available }) => `${itemText(item)}: ${requested} asked for, ${available} available`)
      .join('; ')
    const next = isRemembered
      ? 'It stays refused: ask again under a new transaction id.'
      : 'Ask for less, or send it again under the same transaction id once there is more.'
    super(`There is not enough stock for ${JSON.stringify(transactionId)}: ${list}. Nothing was moved. ${next}`)
    this.transactionId = transactionId
    this.item = shortages[0].item
    this.requested = shortages[0].requested
    this.available = shortages[0].available
    this.shortages = shortages
  }
}

/** An item of the request does not exist. Nothing was written. */
export class ItemNotFoundError extends ConcurrencyError {
  readonly code = 'ITEM_NOT_FOUND'
  /** The Prisma model, such as `Stock`. */
  readonly model: string
  readonly item: ItemName

  constructor(model: string, item: ItemName) {
    super(`There is no ${model} ${itemText(item)}. Nothing was written. Create it first, with nothing on hand.`)
    this.model = model
    this.item = item
  }
}

/** Too many calls wait in this process already. Nothing was done. */
export class OverloadedError extends ConcurrencyError {
  readonly code = 'OVERLOADED'
  /** How many calls may wait at once. */
  readonly limit: number

  constructor(limit: number) {
    super(`${limit} calls wait in this process already. Nothing was done. Try again later, or turn work away sooner.`)
    this.limit = limit
  }
}

/** The transaction id holds a reservation, so nothing else can be recorded under it. Nothing was written. */
export class ReservationActiveError extends ConcurrencyError {
  readonly code = 'RESERVATION_ACTIVE'
  readonly transactionId: string
  /** When the reservation ends by itself, by the database's clock. */
  readonly expiresAt: Date

  constructor(transactionId: string, expiresAt: Date) {
    super(
      `${JSON.stringify(transactionId)} holds a reservation until ${expiresAt.toISOString()}. Nothing was written. ` +
        `Fulfil it with $stock.fulfil, or give the movement another transaction id.`,
    )
    this.transactionId = transactionId
    this.expiresAt = expiresAt
  }
}

/**
 * The reservation cannot be fulfilled: it has ended in another way, or there is none. Or a movement
 * was to be recorded under the transaction id of a reservation that has ended. Nothing was written.
 */
export class ReservationEndedError extends ConcurrencyError {
  readonly code = 'RESERVATION_ENDED'
  readonly transactionId: string
  /** What became of it. */
  readonly state: 'expired' | 'released' | 'fulfilled' | 'missing'

  constructor(transactionId: string, state: ReservationEndedError['state']) {
    const what = state === 'missing' ? 'does not exist' : state === 'expired' ? 'has expired' : `was ${state}`
    super(
      `The reservation ${JSON.stringify(transactionId)} ${what}. Nothing was written. ` +
        `Reserve again, or move the stock without a reservation, under a new transaction id.`,
    )
    this.transactionId = transactionId
    this.state = state
  }
}

/** There are too few free serials. None was taken. */
export class InsufficientSerialsError extends ConcurrencyError {
  readonly code = 'INSUFFICIENT_SERIALS'
  readonly transactionId: string
  readonly requested: number
  /** How many were free when it was looked. */
  readonly free: number

  constructor(transactionId: string, requested: number, free: number) {
    super(
      `${requested} serials were asked for by ${JSON.stringify(transactionId)}, and ${free} are free. None was taken. ` +
        `Import more, or allow \`partial\`.`,
    )
    this.transactionId = transactionId
    this.requested = requested
    this.free = free
  }
}

/** Serials that were to be imported are there already. None was imported. */
export class DuplicateSerialsError extends ConcurrencyError {
  readonly code = 'DUPLICATE_SERIALS'
  readonly transactionId: string
  /** Some of the numbers that are there. */
  readonly numbers: readonly string[]

  constructor(transactionId: string, numbers: readonly string[]) {
    super(
      `Some of the serials that ${JSON.stringify(transactionId)} would import are there already: ${numbers.join(', ')}. ` +
        `None was imported. Leave out those that are there, or find out who imported them.`,
    )
    this.transactionId = transactionId
    this.numbers = numbers
  }
}

/** The series has given its last number, or its format has no room for the next one. No number was used up. */
export class SeriesOverflowError extends ConcurrencyError {
  readonly code = 'SERIES_OVERFLOW'
  readonly series: string
  /** The highest number that there can be. */
  readonly highest: bigint

  constructor(series: string, highest: bigint, options?: ErrorOptions) {
    super(
      `The series ${JSON.stringify(series)} ends at ${highest}, and the next number would be beyond it. ` +
        `No number was used up. Give the format more digits, or begin another series.`,
      options,
    )
    this.series = series
    this.highest = highest
  }
}

function itemText(item: ItemName): string {
  return typeof item === 'object' ? describe(item) : String(item)
}
