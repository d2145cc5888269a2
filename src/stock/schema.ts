import { type FieldLine, modelText } from '../prisma/model-text.js'
import { printMigration, printSchema } from '../prisma/print-migration.js'

/** The options of `stock()` that ask for more fields. */
export interface StockSchemaOptions {
  /** The fields that keep companies or tenants apart, as in the options of `stock()`: each an Int, unless you change it. */
  readonly scope?: readonly string[]
  /** Whether the stock is kept by lots: `lot` is in the keys, and items have `expiresAt` and `receivedAt`. Default false. */
  readonly lots?: boolean
}

/**
 * Models for stock, its movements and its reservations, for your `schema.prisma`: a row per product
 * and warehouse. Change the names, the key and the types of the numbers as you like.
 *
 * @example
 * console.log(stockSchema({ scope: ['companyId'] }))
 */
export function stockSchema({ scope = [], lots = false }: StockSchemaOptions = {}): string {
  const id: readonly FieldLine[] = [
    ['transactionId', 'String'],
    ['line', 'Int'],
  ]
  const item: readonly FieldLine[] = [
    ['productId', 'Int'],
    ['warehouse', 'String'],
    ...(lots ? [['lot', 'String'] as const] : []),
  ]
  const moments: readonly FieldLine[] = [
    ['expiresAt', 'DateTime?', '@db.Timestamptz(3)'],
    ['receivedAt', 'DateTime', '@default(now()) @db.Timestamptz(3)'],
  ]
  const key = item.map(([name]) => name).join(', ')
  const quantity: FieldLine = ['quantity', 'Int']
  return [
    modelText({
      doc: 'What is on hand, a row per product and warehouse. `onHand` and `reserved` are written',
      name: 'Stock',
      scope,
      fields: [
        ...item,
        ['onHand', 'Int', '@default(0)'],
        ['reserved', 'Int', '@default(0)'],
        ['minimum', 'Int?', '@default(0)'],
        ...(lots ? moments : []),
        ['version', 'BigInt', '@default(0)'],
      ],
      keys: [`@@id([${key}])`],
    }),
    modelText({
      doc: 'The ledger of the stock: never changed, only added to. Written',
      name: 'StockMovement',
      scope,
      fields: [
        ...id,
        ...item,
        quantity,
        ['applied', 'Boolean', '@default(true)'],
        ['reverses', 'String?'],
        ['createdAt', 'DateTime', '@default(now()) @db.Timestamptz(3)'],
      ],
      keys: ['@@id([transactionId, line])', `@@index([${key}])`, '@@index([applied])', '@@index([reverses])'],
    }),
    modelText({
      doc: 'What baskets hold back of the stock. Written',
      name: 'StockReservation',
      scope,
      fields: [
        ...id,
        ...item,
        quantity,
        ['state', 'String', '@default("active")'],
        ['expiresAt', 'DateTime', '@db.Timestamptz(3)'],
      ],
      keys: ['@@id([transactionId, line])', `@@index([${key}, state])`],
    }),
  ].join('\n')
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
  return `-- CreateTable
CREATE TABLE "Stock" (
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "onHand" INTEGER NOT NULL DEFAULT 0,
    "reserved" INTEGER NOT NULL DEFAULT 0,
    "minimum" INTEGER DEFAULT 0,
    "version" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "Stock_pkey" PRIMARY KEY ("productId","warehouse")
);

-- CreateTable
CREATE TABLE "StockMovement" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "applied" BOOLEAN NOT NULL DEFAULT true,
    "reverses" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "StockMovement_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateTable
CREATE TABLE "StockReservation" (
    "transactionId" TEXT NOT NULL,
    "line" INTEGER NOT NULL,
    "productId" INTEGER NOT NULL,
    "warehouse" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'active',
    "expiresAt" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "StockReservation_pkey" PRIMARY KEY ("transactionId","line")
);

-- CreateIndex
CREATE INDEX "StockMovement_productId_warehouse_idx" ON "StockMovement"("productId", "warehouse");

-- CreateIndex
CREATE INDEX "StockMovement_applied_idx" ON "StockMovement"("applied");

-- CreateIndex
CREATE INDEX "StockMovement_reverses_idx" ON "StockMovement"("reverses");

-- CreateIndex
CREATE INDEX "StockReservation_productId_warehouse_state_idx" ON "StockReservation"("productId", "warehouse", "state");
`
}
