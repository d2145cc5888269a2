import { type RetryPolicy, retryPolicySchema } from '../retry/policy.js'
import { scopeSchema } from '../sql/scope.js'
import * as s from '../values/schema.js'
import { checkConfiguration, mappingSchema, nameSchema } from '../values/validation.js'
import { MOST_SLOTS } from './slot-bounds.js'

/** The model with a row per item, and its fields. */
export interface ItemMapping {
  /** The model's name, such as `Stock`. */
  readonly model: string
  /** The field, or the fields, that name an item: a unique key of the model. */
  readonly key: string | readonly string[]
  /** The quantity on hand. Default `onHand`. */
  readonly onHand?: string
  /** The reserved quantity of it; only with reservations. Default `reserved`, if there is such a field. */
  readonly reserved?: string
  /** How much must stay on hand; NULL is no limit. Default `minimum`, if there is such a field. */
  readonly minimum?: string
  /** How much there may be on hand at most; NULL is no limit. Default `maximum`, if there is such a field. */
  readonly maximum?: string
  /** The quantity before the first movement. Without it, that is a movement too. */
  readonly opening?: string
  /**
   * The last date of the closed periods, which `close` sets: no movement with a date up to it is recorded. It is optional,
   * and of the type of `movement.date`. Default `closedUntil`, if there is such a DateTime, and movements have a date.
   */
  readonly closedUntil?: string
  /**
   * The field that numbers the slots of an item: so many rows, over which its quantity is spread, so that several processes
   * do not wait for one row. It is an Int with the default 0, and the key of the model is `key` and this field. It goes with a
   * `minimum` of 0 alone, and without a maximum, reservations and dates.
   *
   * How many there are follows the contention, from 1 to 32; `{ field, least, most }` sets other bounds, and with
   * `adapt: false` it is what `setSlots` makes it.
   */
  readonly slots?: string | SlotsMapping
  /** The field of the key that names a lot. Default `lot`, if the key has such a field among others. */
  readonly lot?: string
  /** When a lot expires; NULL is never. `from` takes nothing of a lot that has. Default `expiresAt`, if there is such a DateTime. */
  readonly expiresAt?: string
  /** When a lot came in, for `by: 'fifo'`. Default `receivedAt`, if there is such a DateTime; without one, lots are in the order of their keys. */
  readonly receivedAt?: string
  /**
   * How many of its movements are in the history; for `history` and `balanceAt`, with `sequence`, `balance` and `at` of the
   * movement. Default `sequence`, if all four of them are there.
   */
  readonly sequence?: string
  /** The version column. Default: the one that `concurrency()` has for the model. */
  readonly version?: string
  /** Whether a movement bumps the version. Default true. */
  readonly bumpVersion?: boolean
}

/** The field that numbers the slots, and how their number is found. */
export interface SlotsMapping {
  /** The Int with the default 0 that numbers the slots. */
  readonly field: string
  /** How many an item has at least: soon after its first movement it has them. Default 1. */
  readonly least?: number
  /** How many it has at most; 1,000 is the limit. Default 32, or `least` if that is more. */
  readonly most?: number
  /** Whether the number follows the contention; otherwise it is what `setSlots` makes it. Default true. */
  readonly adapt?: boolean
}

/** The model with a row per movement and item. */
export interface MovementMapping {
  readonly model: string
  /** Default `transactionId`. */
  readonly transactionId?: string
  /** The number of the line in its transaction; unique together with the transaction id. Default `line`. */
  readonly line?: string
  /** The fields that hold the item's key, in its order. Default: the names that they have in the item. */
  readonly item?: string | readonly string[]
  /** Default `quantity`. */
  readonly quantity?: string
  /** Whether the movement is in the balance already; for `defer`. Default `applied`, if there is such a field. */
  readonly applied?: string
  /** Whether the line was refused; for `rememberRefusals`. */
  readonly refused?: string
  /** The transaction id that the movement undoes; for `reverse`. It is optional, and has an index. Default `reverses`, if there is such a field. */
  readonly reverses?: string
  /** Its number in the history of its item. It is optional, and has an index behind the item's key. Default `sequence`. */
  readonly sequence?: string
  /** The quantity on hand after it. It is optional. Default `balance`. */
  readonly balance?: string
  /** When it came into the balance, by the database's clock. It is optional. Default `at`. */
  readonly at?: string
  /** Of items with slots: the number of the one that it is of, for the history. It is an Int with the default 0. Default `slot`. */
  readonly slot?: string
  /** The business date, which a call may give; else that of today. Default `date`, if there is such a DateTime. */
  readonly date?: string
}

/** The model with a row per reservation and item. */
export interface ReservationMapping {
  readonly model: string
  /** Default `transactionId`. */
  readonly transactionId?: string
  /** Default `line`. */
  readonly line?: string
  /** Default: the names that they have in the item. */
  readonly item?: string | readonly string[]
  /** Default `quantity`. */
  readonly quantity?: string
  /** A text: `active`, `released`, `fulfilled` or `expired`. Default `state`. */
  readonly state?: string
  /** When it ends by itself. NULL is never, where the field is optional. Default `expiresAt`. */
  readonly expiresAt?: string
  /** How much of the line was taken, for `fulfil` in part. Default `fulfilled`, if there is such a field. */
  readonly fulfilled?: string
  /**
   * The quantity that the line was reserved with, for `change`: NULL until that. Default `original`, if there is such a
   * field.
   */
  readonly original?: string
}

export interface StockOptions {
  /**
   * The name of the ledger, where a client has several: with `credit` it is `db.$credit`. Default `stock`. Each ledger has
   * models of its own.
   */
  readonly name?: string
  /**
   * The fields that keep companies or tenants apart, such as `['companyId']`. They have the same names in all models,
   * and are part of every key: of the item beside its `key`, of movements and reservations beside the transaction id.
   * Every call then names its scope. A transaction id in two scopes is two requests.
   */
  readonly scope?: readonly string[]
  /** The model with a row per item, which holds its balance. */
  readonly item: ItemMapping
  /** The model with a row per movement. */
  readonly movement: MovementMapping
  /** For `reserve`, `release`, `fulfil`, `extend` and `change`. */
  readonly reservation?: ReservationMapping
  /** How much must stay of every item that has no minimum of its own; `null` is no limit. Default 0. */
  readonly minimum?: number | bigint | string | null
  /** Whether a request that was refused stays refused when it comes again. Default false. */
  readonly rememberRefusals?: boolean
  /** How many calls may wait in this process; the next one is an OverloadedError. Default 10,000. */
  readonly maxWaiting?: number
  /**
   * The retry policy of every call, unless the call brings its own values. Default: the package's own;
   * `concurrency({ retry })` does not count here.
   */
  readonly retry?: RetryPolicy
}

const model = nameSchema('a model')
const names = s.union(
  [nameSchema('a field'), s.array(nameSchema('a field')).check(s.minLength(1, 'must not be empty'))],
  'must be the name of a field, or a list of them',
)
const flag = s.optional(s.boolean())
const lines = { model, item: s.optional(names) }

const numberOfSlots = s.optional(
  s.whole().check(s.gte(1), s.lte(MOST_SLOTS, `must be at most ${MOST_SLOTS.toLocaleString('en')}`)),
)
const slots = s.strictObject({
  field: nameSchema('a field'),
  least: numberOfSlots,
  most: numberOfSlots,
  adapt: flag,
})

function areBounds(given: SlotsMapping): string | undefined {
  if (given.adapt === false) {
    const isBound = given.least !== undefined || given.most !== undefined
    return isBound ? 'has bounds, which are for a number that adapts: leave out least and most, or adapt' : undefined
  }
  const { least = 1, most = least } = given
  return least <= most ? undefined : `must not have least (${least}) above most (${most})`
}

const ledgerName = s
  .string()
  .check((name) =>
    /^(?!serials$|series$)[A-Za-z]\w*$/.test(name)
      ? undefined
      : 'must be as that of a variable, and not serials or series',
  )

const stockOptions = s.strictObject({
  name: s.optional(ledgerName),
  scope: scopeSchema,
  item: mappingSchema(
    [
      'onHand',
      'reserved',
      'minimum',
      'maximum',
      'opening',
      'closedUntil',
      'lot',
      'expiresAt',
      'receivedAt',
      'sequence',
      'version',
    ],
    {
      model,
      key: names,
      bumpVersion: flag,
      slots: s.optional(
        s.union(
          [nameSchema('a field'), slots.check(areBounds)],
          'must be the name of a field, or { field, least, most }',
        ),
      ),
    },
    'must be the mapping of the items',
  ),
  movement: mappingSchema(
    [
      'transactionId',
      'line',
      'quantity',
      'applied',
      'refused',
      'reverses',
      'sequence',
      'balance',
      'at',
      'slot',
      'date',
    ],
    lines,
    'must be the mapping of the movements',
  ),
  reservation: s.optional(
    mappingSchema(['transactionId', 'line', 'quantity', 'state', 'expiresAt', 'fulfilled', 'original'], lines),
  ),
  minimum: s.optional(s.union([s.number(), s.bigint(), s.string(), s.literal(null)], 'must be a number, or null')),
  rememberRefusals: flag,
  maxWaiting: s.optional(s.whole().check(s.gte(1))),
  retry: s.optional(retryPolicySchema),
})

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkStockOptions(options: StockOptions): StockOptions {
  return checkConfiguration(stockOptions, options)
}
