import type { Input } from '../mapping/input.js'
import type { CallOptions } from '../retry/call-options.js'
import type { FenceOption } from '../transactions/fence.js'
import type {
  ChosenLines,
  CreateMissing,
  DataArgument,
  DateArgument,
  Fulfilment,
  Lasting,
  Maximum,
  Minimum,
  Named,
  OneOrMany,
  PlaceOf,
  SourceLine,
  StockLine,
  Taking,
} from './call-types.js'
import type { StockLooks } from './look-types.js'
import type { StockPeriods } from './period-types.js'
import type {
  ChangeResult,
  ExtendResult,
  MoveAllResult,
  MoveResult,
  ProjectResult,
  ReleaseResult,
  ReserveResult,
  SlotsResult,
  StockDiscrepancy,
  TraceEntry,
} from './results.js'

/** The options of the calls that write. */
export interface WriteOptions extends CallOptions, FenceOption {}

export type * from './call-types.js'
export type * from './look-types.js'
export type * from './period-types.js'
export type * from './results.js'

/**
 * `db.$stock`, and `tx.$stock` inside a transaction, where everything is part of the transaction.
 *
 * `Key` is the type of an item's name (`ItemKey`), and `Q` that of the quantities (`Quantity`). `Data` and `Held` are the
 * other columns of the models of movements and of reservations, `Place` is a key without its lot, `New` the other
 * columns of an item, and `End` the type of a reservation's end.
 *
 * Every call takes `retry` and `signal`. A call that waits is ended by its signal at once; one that
 * has been sent is not undone, and resolves.
 */
export interface Stock<
  Key,
  Q,
  Data = object,
  Held = object,
  Place = PlaceOf<Key>,
  New = object,
  End = Date,
  Day = Date | string,
> extends StockLooks<Key, Q>,
    StockPeriods<Key> {
  /**
   * Moves stock of one item, once per transaction id, and never below the minimum nor above the maximum. A movement
   * out of the stock is not kept back by a maximum, nor one into it by a minimum. With `take: 'available'` it takes as
   * much as there is: a call that comes again gets what was recorded, and may ask for that or for more.
   *
   * Calls of one process are combined: those that come while a batch is under way are the next
   * batch, decided one after the other.
   *
   * @throws InsufficientStockError if less than that is available; nothing is moved
   * @throws MaximumExceededError if there is no room for it; nothing is moved
   * @throws IdempotencyMismatchError if the transaction id stands for something else
   * @throws ReservationActiveError if it is reserved: fulfil it; ReservationEndedError if it was
   * @throws ItemNotFoundError if there is no such item, unless `createMissing` is given for one that is added to
   * @throws OverloadedError if too many calls wait in this process
   *
   * @example
   * const { balance, replayed } = await db.$stock.move({ transactionId, item: 11, quantity: -3 })
   */
  move(
    args: Named &
      StockLine<Key, Q> &
      DataArgument<Data> &
      Minimum<Q> &
      Maximum<Q> &
      DateArgument<Day> &
      Taking &
      CreateMissing<New> &
      WriteOptions,
  ): Promise<MoveResult<Q>>

  /**
   * Moves all lines, or none: an order, or a transfer from one warehouse to another.
   *
   * A line with `from` takes its quantity of the lots of a place, or of several places. Which these are is chosen now, and
   * `lines` of the answer says it: those of each `from` come first. A call that comes again gets the same ones.
   *
   * @throws InsufficientStockError with every line that is short in `shortages`; of a `from` each place with what all of
   *   its lots have, before any other line is looked at
   * @throws MaximumExceededError, if none is short, with every line that there is no room for in `excesses`
   * @throws IdempotencyMismatchError if the transaction id stands for other lines: of a `from`, other places or another
   *   quantity
   *
   * @example
   * await db.$stock.moveAll({ transactionId, lines: [{ item: 11, quantity: -3 }, { item: 42, quantity: -1 }] })
   */
  moveAll(
    args: Named & { lines: ChosenLines<Key, Q, Place, Data> } & Minimum<Q> &
      Maximum<Q> &
      DateArgument<Day> &
      CreateMissing<New> &
      WriteOptions,
  ): Promise<MoveAllResult<Key, Q>>

  /**
   * Records what was counted in a stocktake: the movement is the difference to what was on hand.
   * It is a fact, so there is no minimum for it, and no maximum. Deferred movements of the item are folded first: the
   * number is compared with all that was recorded before. A movement that is deferred during the count came in after it.
   *
   * @returns `quantity` is the difference
   *
   * @example
   * const { quantity } = await db.$stock.count({ transactionId, item: 11, counted: 37 })
   */
  count(
    args: Named & { item: Key; counted: Input<Q> } & DataArgument<Data> & DateArgument<Day> & WriteOptions,
  ): Promise<MoveResult<Q>>

  /**
   * Records a movement now, and leaves the balance to `project()`: no lock of the item, so nobody
   * waits for anybody. Only for what comes in, unless the item has no minimum; and not for what comes in where it has
   * a maximum.
   *
   * @throws InvalidArgumentError for what goes out of an item that has a minimum, or into one that has a maximum
   *
   * @example
   * await db.$stock.defer({ transactionId, item: 11, quantity: 5 })
   */
  defer(
    args: Named & OneOrMany<Key, Q, Data> & DateArgument<Day> & WriteOptions,
  ): Promise<{ readonly replayed: boolean }>

  /**
   * Folds what is deferred into the balances: all of it that was recorded before the call, and that
   * nobody else is folding. May run on several machines at once, and be killed
   * at any point: each batch is one statement.
   *
   * An item that the database refuses to change (its column cannot hold the sum, a constraint or a
   * trigger of yours says no) stays as it is with all that is deferred of it, and is named in
   * `failed`; the others are folded. The next call tries it again.
   *
   * @returns how many movements were folded, and the items that could not be
   *
   * @example
   * const { folded, failed = [] } = await db.$stock.project()
   * for (const { item, error } of failed) report(item, error)
   */
  project(args?: {
    /** Movements per statement. Default 1,000. */
    batchSize?: number | undefined
    /** Ends it after the batch that is under way. */
    signal?: AbortSignal | undefined
  }): Promise<ProjectResult<Key>>

  /**
   * Holds stock back for a while, for a basket: reserved stock is not available to others. It
   * ends by `fulfil`, by `release`, or by itself, by the database's clock. A line with `from` is as that of `moveAll`. An order that is open until it is shipped
   * has no end of its own: `expiresIn: null`. With `take: 'available'` it reserves as much as there is of each line, and
   * nothing of a line of which there is nothing.
   *
   * @throws InsufficientStockError if less than that is available; nothing is reserved
   * @throws IdempotencyMismatchError if there is a movement under the transaction id already
   * @throws ConfigurationError for `expiresIn: null`, if the column of its end is required
   *
   * @example
   * await db.$stock.reserve({ transactionId: basketId, item: 11, quantity: 2, expiresIn: 15 * 60_000 })
   */
  reserve(
    args: Named &
      (
        | (StockLine<Key, Q> & DataArgument<Held>)
        | (SourceLine<Place, Q> & DataArgument<Held>)
        | { lines: ChosenLines<Key, Q, Place, Held> }
      ) &
      Lasting<End> &
      Minimum<Q> &
      Taking &
      WriteOptions,
  ): Promise<ReserveResult<Key, Q, End>>

  /**
   * Sets when a reservation ends by itself. The time counts from now, so the end may be earlier than before, too; a
   * call that comes again sets it anew.
   *
   * @throws ReservationEndedError if it has expired, was released or fulfilled, or never was
   * @throws ConfigurationError for `expiresIn: null`, if the column of its end is required
   *
   * @example
   * const { expiresAt } = await db.$stock.extend({ transactionId: basketId, expiresIn: 15 * 60_000 })
   */
  extend(args: Named & Lasting<End> & WriteOptions): Promise<ExtendResult<End>>

  /**
   * Gives back what is reserved. To release what has ended already is no error.
   *
   * @example
   * const { released, state } = await db.$stock.release({ transactionId: basketId })
   */
  release(args: Named & WriteOptions): Promise<ReleaseResult>

  /**
   * Takes what is reserved out of the stock, as movements under the transaction id of the call. `data` is for each
   * of these movements.
   * The minimum counts once more: a stocktake may have found less than is reserved. A caller that has
   * reserved with a lower minimum gives it here too.
   *
   * An order that is shipped in parts has a call for each of them, under a transaction id of its own: `of` names the
   * reservation, and `lines` how much is taken. The rest stays reserved, unless `rest` is `'release'`. Parts need the
   * column `fulfilled`.
   *
   * @throws ReservationEndedError if it has expired, was released or fulfilled, or never was
   * @throws ReservationExceededError if less is left of it; nothing is moved
   * @throws InsufficientStockError if it is no longer there; nothing is moved, and it stays reserved
   * @throws IdempotencyMismatchError if the transaction id stands for something else
   * @throws ConfigurationError for a part, if no column `fulfilled` is mapped
   *
   * @example
   * const { lines } = await db.$stock.fulfil({ transactionId: basketId })
   */
  fulfil(
    args: Named & Fulfilment<Key, Q, Data> & Minimum<Q> & DateArgument<Day> & WriteOptions,
  ): Promise<MoveAllResult<Key, Q>>

  /**
   * Sets the quantities of lines of a reservation: more is taken from what is available, and less is given back. Other
   * lines stay as they are. A quantity includes all that was fulfilled of it already. Where nothing is left to be
   * held back, the reservation ends.
   *
   * A call that comes again sets the same quantities. A late `reserve` of the same reservation is a replay all the same: it
   * is compared with the quantities that were reserved at first, in the column `original`.
   *
   * @throws InsufficientStockError if less than what is added is available; nothing is changed
   * @throws ReservationEndedError if it has expired, was released or fulfilled, or never was
   * @throws InvalidArgumentError for an item that is not reserved, or for less of one than was fulfilled
   * @throws ConfigurationError if no column `original` is mapped
   *
   * @example
   * await db.$stock.change({ transactionId: basketId, lines: [{ item: 11, quantity: 5 }] })
   */
  change(
    args: Named & { lines: readonly StockLine<Key, Q>[] } & Minimum<Q> & WriteOptions,
  ): Promise<ChangeResult<Key, Q>>

  /**
   * The movements that took something of an item, in the order of their transaction ids: where a lot went that is called
   * back. The next page begins behind the last one of this page.
   *
   * @example
   * const first = await db.$stock.trace({ item: 11 })
   * const next = await db.$stock.trace({ item: 11, after: first.at(-1) })
   */
  trace(args: {
    item: Key
    /** The last one of the page before. */
    after?: Pick<TraceEntry<Q>, 'transactionId' | 'line'> | undefined
    /** At most so many. Default 1,000, at most 10,000. */
    limit?: number | undefined
  }): Promise<readonly TraceEntry<Q>[]>

  /**
   * Spreads an item over so many rows, its slots, so that as many processes take from it at once. Its quantity is shared
   * evenly among them, and so it is by a call with the number that it has. With 1 it is one row again. It waits for the
   * movements of the item that are under way, and they for it. Unless the mapping has `adapt: false`, the number follows the
   * contention from there on.
   *
   * @returns how many slots it has now, and had before
   * @throws ItemNotFoundError if there is no row of the item with the slot 0
   * @throws InvalidArgumentError for a number that is not within the bounds of `item.slots`
   * @throws ConfigurationError if the model has no column for slots
   *
   * @example
   * const { count, before } = await db.$stock.setSlots({ item: 11, count: 8 })
   */
  setSlots(args: { item: Key; count: number } & CallOptions): Promise<SlotsResult>

  /**
   * Undoes a movement, as a whole or in part: the opposite movements, each with the transaction id of the original in its
   * column `reverses`. However many reversals there are, they never undo more than it has moved. The minimum counts: what
   * a receipt has brought may be sold. A reversal is a movement, so it can be undone as well.
   *
   * @returns the lines that this call has recorded; for a replay those of the call that came first
   * @throws ReversalError if there is no such movement (any more), it was refused, it is deferred and not folded, or less is left of it
   * @throws InsufficientStockError if less than that is available; nothing is moved
   * @throws IdempotencyMismatchError if the transaction id stands for something else
   * @throws ConfigurationError if the model of movements has no such column
   *
   * @example
   * await db.$stock.reverse({ transactionId, of: 'order 1', lines: [{ item: 11, quantity: 1 }] })
   */
  reverse(
    args: Named & {
      /** The transaction id of the movement. */
      of: string
      /** How much of which items is to be undone, as positive numbers. Default: all that is left. */
      lines?: readonly StockLine<Key, Q>[] | undefined
    } & DataArgument<Data> &
      Minimum<Q> &
      DateArgument<Day> &
      WriteOptions,
  ): Promise<MoveAllResult<Key, Q>>

  /**
   * The items whose balance is not what their movements add up to, and those that movements or
   * active reservations name although they are not there (`missing`); with a history also those whose numbers and balances
   * do not follow one another (`brokenAt`). None, unless somebody has
   * written around this package: with raw SQL, with another client, or by a cascade of the database.
   *
   * One statement for 10,000 items. An item and what names it are of one moment, and two items may be of two moments.
   *
   * @example
   * for (const { item, balance, expected, missing } of await db.$stock.audit()) report(item, balance, expected, missing)
   */
  audit(): Promise<StockDiscrepancy<Key, Q>[]>
}
