import type { Input } from '../mapping/input.js'
import type { CallOptions } from '../retry/call-options.js'
import type {
  MoveAllResult,
  MoveResult,
  ProjectResult,
  ReleaseResult,
  ReserveResult,
  StockDiscrepancy,
  TraceEntry,
} from './results.js'

export type * from './results.js'

/**
 * The member that a ledger with these options is: `$stock`, or `$credit` with the name `credit`. A name that only the
 * running program knows is none to the types.
 */
export type LedgerName<O> = O extends { readonly name: infer N extends string }
  ? string extends N
    ? never
    : `$${N}`
  : '$stock'

/** So much of one item. */
export interface StockLine<Key, Q> {
  item: Key
  /** Positive for what comes in, negative for what goes out. */
  quantity: Input<Q>
}

/** The name of a place: the key of an item without its lot. On `/pg` it is a part of the key. */
export type PlaceOf<Key> = Key extends object ? Partial<Key> : Key

/** So much of the lots of one place, or of several places. */
export type StockSource<Place, Q> = {
  /** How much is taken, so it is positive. */
  quantity: Input<Q>
  /**
   * The order in which the lots of a place are taken: those that expire first, or those that came in first. Lots that
   * have expired, by the database's clock, are never taken. Default: `fefo`, where the items have an `expiresAt`.
   */
  by?: 'fefo' | 'fifo' | undefined
} & (
  | { item: Place; items?: never; split?: never }
  | {
      /** The places in the order in which they are asked. */
      items: readonly Place[]
      item?: never
      /** Whether it may be taken from several of them. Default false: from the first one that has all of it. */
      split?: boolean | undefined
    }
)

/** A line whose items are chosen when the call is carried out. */
export interface SourceLine<Place, Q> {
  from: StockSource<Place, Q>
  item?: never
  quantity?: never
}

/** Lines that name their items, or from where these are to be taken. */
export type ChosenLines<Key, Q, Place, Data> = readonly ((StockLine<Key, Q> | SourceLine<Place, Q>) &
  DataArgument<Data>)[]

/** Whether the items that the call adds to are created, where there are none. */
export type CreateMissing<New> =
  Record<never, never> extends New
    ? {
        /** Creates the items that the call adds to, where they are missing: with the defaults, or with these values of their other columns. */
        createMissing?: boolean | New | undefined
      }
    : {
        /** Creates the items that the call adds to, where they are missing, with these values of their other columns. */
        createMissing?: false | New | undefined
      }

export interface Minimum<Q> {
  /** How much must stay on hand of each item; `null` is no limit. Default: the item's own minimum, or that of the options. */
  minimum?: Input<Q> | null | undefined
}

export interface Named {
  /** Names the request. However often it arrives, it is carried out once. */
  transactionId: string
}

/** Values of the columns that a model of yours has besides those of this package. */
export type DataArgument<Data> =
  Record<never, never> extends Data
    ? {
        /** The values of its other columns. A call that comes again must bring the same. */
        data?: Data | undefined
      }
    : {
        /** The values of its other columns. A call that comes again must bring the same. */
        data: Data
      }

/** One line, or several, of which an item may have more than one: they are added up, if they have the same data. */
export type OneOrMany<Key, Q, Data> =
  | (StockLine<Key, Q> & DataArgument<Data>)
  | { lines: readonly (StockLine<Key, Q> & DataArgument<Data>)[] }

/**
 * `db.$stock`, and `tx.$stock` inside a transaction, where everything is part of the transaction.
 *
 * `Key` is the type of an item's name (`ItemKey`), and `Q` that of the quantities (`Quantity`). `Data` and `Held` are the
 * other columns of the models of movements and of reservations, `Place` is a key without its lot, and `New` the other
 * columns of an item.
 *
 * Every call takes `retry` and `signal`. A call that waits is ended by its signal at once; one that
 * has been sent is not undone, and resolves.
 */
export interface Stock<Key, Q, Data = object, Held = object, Place = PlaceOf<Key>, New = object> {
  /**
   * Moves stock of one item, once per transaction id, and never below the minimum.
   *
   * Calls of one process are combined: those that come while a batch is under way are the next
   * batch, decided one after the other.
   *
   * @throws InsufficientStockError if less than that is available; nothing is moved
   * @throws IdempotencyMismatchError if the transaction id stands for something else
   * @throws ReservationActiveError if it is reserved: fulfil it; ReservationEndedError if it was
   * @throws ItemNotFoundError if there is no such item, unless `createMissing` is given for one that is added to
   * @throws OverloadedError if too many calls wait in this process
   *
   * @example
   * const { balance, replayed } = await db.$stock.move({ transactionId, item: 11, quantity: -3 })
   */
  move(
    args: Named & StockLine<Key, Q> & DataArgument<Data> & Minimum<Q> & CreateMissing<New> & CallOptions,
  ): Promise<MoveResult<Q>>

  /**
   * Moves all lines, or none: an order, or a transfer from one warehouse to another.
   *
   * A line with `from` takes its quantity of the lots of a place, or of several places. Which these are is chosen now, and
   * `lines` of the answer says it: those of each `from` come first. A call that comes again gets the same ones.
   *
   * @throws InsufficientStockError with every line that is short in `shortages`; of a `from` each place with what all of
   *   its lots have, before any other line is looked at
   * @throws IdempotencyMismatchError if the transaction id stands for other lines: of a `from`, other places or another
   *   quantity
   *
   * @example
   * await db.$stock.moveAll({ transactionId, lines: [{ item: 11, quantity: -3 }, { item: 42, quantity: -1 }] })
   */
  moveAll(
    args: Named & { lines: ChosenLines<Key, Q, Place, Data> } & Minimum<Q> & CreateMissing<New> & CallOptions,
  ): Promise<MoveAllResult<Key, Q>>

  /**
   * Records what was counted in a stocktake: the movement is the difference to what was on hand.
   * It is a fact, so there is no minimum for it.
   *
   * @returns `quantity` is the difference
   *
   * @example
   * const { quantity } = await db.$stock.count({ transactionId, item: 11, counted: 37 })
   */
  count(args: Named & { item: Key; counted: Input<Q> } & DataArgument<Data> & CallOptions): Promise<MoveResult<Q>>

  /**
   * Records a movement now, and leaves the balance to `project()`: no lock of the item, so nobody
   * waits for anybody. Only for what comes in, unless the item has no minimum.
   *
   * @throws InvalidArgumentError for what goes out of an item that has a minimum
   *
   * @example
   * await db.$stock.defer({ transactionId, item: 11, quantity: 5 })
   */
  defer(args: Named & OneOrMany<Key, Q, Data> & CallOptions): Promise<{ readonly replayed: boolean }>

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
   * ends by `fulfil`, by `release`, or by itself, by the database's clock. A line with `from` is as that of `moveAll`.
   *
   * @throws InsufficientStockError if less than that is available; nothing is reserved
   * @throws IdempotencyMismatchError if there is a movement under the transaction id already
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
      Minimum<Q> &
      CallOptions & {
        /** How long it lasts, in ms. */
        expiresIn: number
      },
  ): Promise<ReserveResult<Key, Q>>

  /**
   * Gives back what is reserved. To release what has ended already is no error.
   *
   * @example
   * const { released, state } = await db.$stock.release({ transactionId: basketId })
   */
  release(args: Named & CallOptions): Promise<ReleaseResult>

  /**
   * Takes what is reserved out of the stock, as movements under the reservation's transaction id. `data` is for each
   * of these movements.
   * The minimum counts once more: a stocktake may have found less than is reserved. A caller that has
   * reserved with a lower minimum gives it here too.
   *
   * @throws ReservationEndedError if it has expired, was released, or never was
   * @throws InsufficientStockError if it is no longer there; nothing is moved, and it stays reserved
   *
   * @example
   * const { lines } = await db.$stock.fulfil({ transactionId: basketId })
   */
  fulfil(args: Named & DataArgument<Data> & Minimum<Q> & CallOptions): Promise<MoveAllResult<Key, Q>>

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
   * Undoes a movement, as a whole or in part: the opposite movements, each with the transaction id of the original in its
   * column `reverses`. However many reversals there are, they never undo more than it has moved. The minimum counts: what
   * a receipt has brought may be sold. A reversal is a movement, so it can be undone as well.
   *
   * @returns the lines that this call has recorded; for a replay those of the call that came first
   * @throws ReversalError if there is no such movement, it was refused, it is deferred and not folded, or less is left of it
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
      CallOptions,
  ): Promise<MoveAllResult<Key, Q>>

  /**
   * The items whose balance is not what their movements add up to, and those that movements or
   * active reservations name although they are not there (`missing`). None, unless somebody has
   * written around this package: with raw SQL, with another client, or by a cascade of the database.
   *
   * One statement for 10,000 items. An item and what names it are of one moment, and two items may be of two moments.
   *
   * @example
   * for (const { item, balance, expected, missing } of await db.$stock.audit()) report(item, balance, expected, missing)
   */
  audit(): Promise<StockDiscrepancy<Key, Q>[]>
}
