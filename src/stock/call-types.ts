import type { Input } from '../mapping/input.js'

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

export interface Maximum<Q> {
  /** How much there may be on hand of each item that it adds to; `null` is no limit. Default: the item's own maximum. */
  maximum?: Input<Q> | null | undefined
}

export interface Taking {
  /**
   * `'available'`: as much as there is, where that is less, down to the minimum. The answer says how much. Where there is
   * nothing, it is refused.
   */
  take?: 'available' | undefined
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

/** The date of movements; `never` where their model has none. */
export interface DateArgument<Day> {
  /**
   * The business date, which must be later than the closed periods of the items. Of a Date it is the day in UTC, where the
   * column is a day. A call that comes again with a date must bring the same. Default: that of today, by the database's clock.
   */
  date?: Day | undefined
}

export interface Lasting<End> {
  /**
   * How long it lasts, in ms, by the database's clock. `null`: until it is fulfilled or released, which needs an
   * optional column for its end.
   */
  expiresIn: number | Extract<End, null>
}

/** Of which reservation, and how much of it. */
export type Fulfilment<Key, Q, Data> = {
  /** The transaction id of the reservation. Default: that of the call. */
  of?: string | undefined
  /** The quantity that is left stays reserved (`keep`, the default), or is given back (`release`). */
  rest?: 'keep' | 'release' | undefined
} & (
  | DataArgument<Data>
  | {
      /** How much is taken. Default: all that is left. */
      lines: readonly (StockLine<Key, Q> & DataArgument<Data>)[]
    }
)

/** One line, or several, of which an item may have more than one: they are added up, if they have the same data. */
export type OneOrMany<Key, Q, Data> =
  | (StockLine<Key, Q> & DataArgument<Data>)
  | { lines: readonly (StockLine<Key, Q> & DataArgument<Data>)[] }
