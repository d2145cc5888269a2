import { sqlOfModels } from '../prisma/model-sql.js'
import { type FieldLine, modelText } from '../prisma/model-text.js'
import { printMigration, printSchema } from '../prisma/print-migration.js'

/** The options of `stock()` that ask for more fields. */
export interface StockSchemaOptions {
  /** The fields that keep companies or tenants apart, as in the options of `stock()`: each an Int, unless you change it. */
  readonly scope?: readonly string[]
  /** Whether the stock is kept by lots: `lot` is in the keys, and items have `expiresAt` and `receivedAt`. Default false. */
  readonly lots?: boolean
  /** Whether movements have numbers and balances, for `history` and `balanceAt`, and the looks have all indexes. Default false. */
  readonly history?: boolean
  /** Whether items have a `maximum`. Default false. */
  readonly maximum?: boolean
  /**
   * Whether reservations can be open orders: without an end (`expiresAt` is optional), shipped in part (`fulfilled`) and
   * changed (`original`). Default false.
   */
  readonly orders?: boolean
  /** Whether movements have `refused`, for `rememberRefusals`. Default false. */
  readonly refusals?: boolean
  /**
   * Whether periods can be closed and pruned: items have `closedUntil` and `opening`, which `stock({ item: { opening } })`
   * names, and movements a `date`. Default false.
   */
  readonly periods?: boolean
  /**
   * Whether an item has rows of its own for several processes, its slots: see `setSlots`. Of the other options it goes with
   * `scope` and `history` alone, and there are no reservations. Default false.
   */
  readonly slots?: boolean
}

const ON_HAND: FieldLine = ['onHand', 'Int', '@default(0)']
const SLOT: FieldLine = ['slot', 'Int', '@default(0)']
const OF_SLOTS: readonly FieldLine[] = [SLOT, ON_HAND]
const BALANCE: readonly FieldLine[] = [ON_HAND, ['reserved', 'Int', '@default(0)'], ['minimum', 'Int?', '@default(0)']]
const OF_LOTS: readonly FieldLine[] = [
  ['expiresAt', 'DateTime?', '@db.Timestamptz(3)'],
  ['receivedAt', 'DateTime', '@default(now()) @db.Timestamptz(3)'],
]
const OF_HISTORY: readonly FieldLine[] = [
  ['sequence', 'BigInt?'],
  ['balance', 'Int?'],
  ['at', 'DateTime?', '@db.Timestamptz(3)'],
]
const OF_ORDERS: readonly FieldLine[] = [
  ['fulfilled', 'Int', '@default(0)'],
  ['original', 'Int?'],
]
const QUANTITY: FieldLine = ['quantity', 'Int']
const ID: readonly FieldLine[] = [
  ['transactionId', 'String'],
  ['line', 'Int'],
]
const OF_PERIODS: readonly FieldLine[] = [
  ['opening', 'Int', '@default(0)'],
  ['closedUntil', 'DateTime?', '@db.Date'],
]

/**
 * Models for stock, its movements and its reservations, for your `schema.prisma`: a row per product
 * and warehouse. Change the names, the key and the types of the numbers as you like.
 *
 * @example
 * console.log(stockSchema({ scope: ['companyId'] }))
 */
export function stockSchema(options: StockSchemaOptions = {}): string {
  const { scope = [], slots, history } = options
  const { lots, maximum, orders, refusals, periods }: StockSchemaOptions = slots ? {} : options
  const item: readonly FieldLine[] = [
    ['productId', 'Int'],
    ['warehouse', 'String'],
    ...(lots ? [['lot', 'String'] as const] : []),
  ]
  const key = item.map(([name]) => name).join(', ')
  const models = [
    modelText({
      doc: 'What is on hand, a row per product and warehouse. `onHand` and `reserved` are written',
      name: 'Stock',
      scope,
      fields: [
        ...item,
        ...(slots ? OF_SLOTS : BALANCE),
        ...(maximum ? [['maximum', 'Int?'] as const] : []),
        ...(periods ? OF_PERIODS : []),
        ...(lots ? OF_LOTS : []),
        ...(history ? [['sequence', 'BigInt', '@default(0)'] as const] : []),
        ['version', 'BigInt', '@default(0)'],
      ],
      keys: [`@@id([${key}${slots ? ', slot' : ''}])`],
    }),
    modelText({
      doc: 'The ledger of the stock: never changed, only added to. Written',
      name: 'StockMovement',
      scope,
      fields: [
        ...ID,
        ...item,
        QUANTITY,
        ['applied', 'Boolean', '@default(true)'],
        ...(refusals ? [['refused', 'Boolean', '@default(false)'] as const] : []),
        ['reverses', 'String?'],
        ...(history ? [...OF_HISTORY, ...(slots ? [SLOT] : [])] : []),
        ...(periods ? [['date', 'DateTime', '@default(now()) @db.Date'] as const] : []),
        ['createdAt', 'DateTime', '@default(now()) @db.Timestamptz(3)'],
      ],
      keys: [
        '@@id([transactionId, line])',
        history && slots ? `@@unique([${key}, slot, sequence])` : `@@index([${key}${history ? ', sequence' : ''}])`,
        '@@index([applied])',
        '@@index([reverses])',
        ...(periods ? ['@@index([date])'] : []),
      ],
    }),
    modelText({
      doc: 'What baskets hold back of the stock. Written',
      name: 'StockReservation',
      scope,
      fields: [
        ...ID,
        ...item,
        QUANTITY,
        ['state', 'String', '@default("active")'],
        ['expiresAt', orders ? 'DateTime?' : 'DateTime', '@db.Timestamptz(3)'],
        ...(orders ? OF_ORDERS : []),
        ...(periods ? [['updatedAt', 'DateTime', '@updatedAt @db.Timestamptz(3)'] as const] : []),
      ],
      keys: [
        '@@id([transactionId, line])',
        `@@index([${key}, state])`,
        ...(history ? ['@@index([state, transactionId, line])'] : []),
      ],
    }),
  ]
  return models.slice(0, slots ? 2 : 3).join('\n')
}

/**
 * The migration that makes the tables of `stock()`: the same SQL that Prisma makes of the models. Of a client or
 * of options it is a promise: the printer is loaded then.
 *
 * @param of a client with `stock()`, whose models are printed as they are in your schema, those of all of its ledgers; or
 *   the options of `stockSchema()`. Default: the models of `stockSchema()`
 * @throws ConfigurationError if the client has no `stock()`, or a model has what is not printed here, such as an
 *   index of another type than the usual one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_stock/migration.sql', await stockSql(db))
 */
export function stockSql(): string
export function stockSql(of: object): Promise<string>
export function stockSql(of?: object): string | Promise<string> {
  if (of) return '$extends' in of ? printMigration(of, 'stock') : printSchema(stockSchema(of))
  return sqlOfModels(stockSchema())
}
