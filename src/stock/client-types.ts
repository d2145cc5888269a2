import type { FieldOf, RowInputOf, ScalarsOf, Scoped, ScopeOf } from '../mapping/types.js'
import type { StockOptions } from './options.js'
import type { Stock } from './types.js'

type Model<O extends StockOptions> = O['item']['model']

/** The name of an item: the value of its key, or an object with a value for each field of the key. */
export type ItemKey<C, O extends StockOptions> = O['item']['key'] extends readonly (infer F extends string)[]
  ? { [K in F]: FieldOf<C, Model<O>, K> }
  : FieldOf<C, Model<O>, O['item']['key']>

/** The type of the field that holds what is on hand: `number`, `bigint`, or Prisma's `Decimal`. */
export type Quantity<C, O extends StockOptions> = FieldOf<
  C,
  Model<O>,
  O['item'] extends { readonly onHand: infer F extends string } ? F : 'onHand'
>

/** The name that a mapping gives a field, or its default. */
type Named<M, K extends string, Default> = M extends { readonly [P in K]: infer N extends string } ? N : Default

/** One name, or each of a list. */
type EachOf<N> = N extends readonly (infer F)[] ? F : N

/** The fields of lines that `$stock` writes itself. */
type OwnField<O extends StockOptions, M> =
  | Named<M, 'transactionId', 'transactionId'>
  | Named<M, 'line', 'line'>
  | Named<M, 'quantity', 'quantity'>
  | (O extends { readonly scope: infer F } ? EachOf<F> : never)
  | EachOf<M extends { readonly item: infer N } ? N : O['item']['key']>

/*
 * A row of the client's model is inferred first. Without that, a program's declarations name these types with all of C,
 * which is the client, and are too long for the compiler to write.
 */
type Others<C, M, Own> = M extends { readonly model: infer N extends string }
  ? RowInputOf<C, N> extends infer R
    ? { [K in keyof R as K extends Own ? never : K]: R[K] }
    : never
  : Record<never, never>

/** The fields of the history: of an item, and of a movement; with slots one more. They are fields like others, unless all of them are there. */
type OfItem<O extends StockOptions> = Named<O['item'], 'sequence', 'sequence'>
type OfMovement<O extends StockOptions> =
  | Named<O['movement'], 'sequence', 'sequence'>
  | Named<O['movement'], 'balance', 'balance'>
  | Named<O['movement'], 'at', 'at'>
  | (O['item'] extends { readonly slots: string | object } ? Named<O['movement'], 'slot', 'slot'> : never)

type IfHistory<C, O extends StockOptions, F> = [OfItem<O>] extends [keyof ScalarsOf<C, Model<O>>]
  ? [OfMovement<O>] extends [keyof ScalarsOf<C, O['movement']['model']>]
    ? F
    : never
  : never

/** The field of the date, where it is one: a field of that name is only meant where it is a moment. */
type DateName<C, O extends StockOptions> = [DayOf<C, O>] extends [never] ? never : Named<O['movement'], 'date', 'date'>

/** The other columns of a movement, which the calls fill in by `data`. */
export type MovementData<C, O extends StockOptions> = Others<
  C,
  O['movement'],
  | OwnField<O, O['movement']>
  | Named<O['movement'], 'applied', 'applied'>
  | Named<O['movement'], 'refused', never>
  | Named<O['movement'], 'reverses', 'reverses'>
  | IfHistory<C, O, OfMovement<O>>
  | DateName<C, O>
>

/** The same of a reservation. */
export type ReservationData<C, O extends StockOptions> = Others<
  C,
  O['reservation'],
  | OwnField<O, O['reservation']>
  | Named<O['reservation'], 'state', 'state'>
  | Named<O['reservation'], 'expiresAt', 'expiresAt'>
  | Named<O['reservation'], 'fulfilled', 'fulfilled'>
  | Named<O['reservation'], 'original', 'original'>
>

/** The end of a reservation: `Date`, or `Date | null` where its column takes NULL. */
export type ReservationEnd<C, O extends StockOptions> = O['reservation'] extends { readonly model: infer N }
  ? FieldOf<C, N, Named<O['reservation'], 'expiresAt', 'expiresAt'>>
  : Date

/** The name of a place: the key of an item without its lot. */
export type PlaceKey<C, O extends StockOptions> =
  ItemKey<C, O> extends infer K ? (K extends object ? Omit<K, Named<O['item'], 'lot', 'lot'>> : K) : never

/** The other columns of an item, with which `createMissing` creates it. */
export type NewItem<C, O extends StockOptions> = Others<
  C,
  O['item'],
  | Named<O['item'], 'onHand', 'onHand'>
  | Named<O['item'], 'reserved', 'reserved'>
  | Named<O['item'], 'opening', never>
  | Named<O['item'], 'version', 'version'>
  | IfHistory<C, O, OfItem<O>>
  | (O extends { readonly scope: infer F } ? EachOf<F> : never)
  | EachOf<O['item']['key']>
>

/** How a call gives the date of its movements: `never` where their model has none. */
type DayOf<C, O extends StockOptions> =
  Date extends NonNullable<FieldOf<C, O['movement']['model'], Named<O['movement'], 'date', 'date'>>>
    ? [FieldOf<C, O['movement']['model'], Named<O['movement'], 'date', 'date'>>] extends [never]
      ? never
      : Date | string
    : never

type OwnStock<C, O extends StockOptions> = Stock<
  ItemKey<C, O>,
  Quantity<C, O>,
  MovementData<C, O>,
  ReservationData<C, O>,
  PlaceKey<C, O>,
  NewItem<C, O>,
  ReservationEnd<C, O>,
  DayOf<C, O>
>

/** `db.$stock`. With a scope each call takes it, and `in` binds it. */
export type StockOf<C, O extends StockOptions> = [ScopeOf<C, Model<O>, O>] extends [never]
  ? OwnStock<C, O>
  : Scoped<OwnStock<C, O>, ScopeOf<C, Model<O>, O>>
