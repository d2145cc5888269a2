import type { FieldOf, Scoped, ScopeOf } from '../mapping/types.js'
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

/** `db.$stock`. With a scope each call takes it, and `in` binds it. */
export type StockOf<C, O extends StockOptions> = [ScopeOf<C, Model<O>, O>] extends [never]
  ? Stock<ItemKey<C, O>, Quantity<C, O>>
  : Scoped<Stock<ItemKey<C, O>, Quantity<C, O>>, ScopeOf<C, Model<O>, O>>
