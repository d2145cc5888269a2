import { printMigration } from '../prisma/print-migration.js'

/**
 * Models for stock, its movements and its reservations, for your `schema.prisma`: a row per product
 * and warehouse. Change the names, the key and the types of the numbers as you like.
 *
 * @example
 * console.log(stockSchema())
 */
export function stockSchema(): string {
  return `/// What is on hand, a row per product and warehouse. \`onHand\` and \`reserved\` are written by prisma-extension-concurrency.
model Stock {
  productId Int
  warehouse String
  onHand    Int    @default(0)
  reserved  Int    @default(0)
  minimum   Int?   @default(0)
  version   BigInt @default(0)

  @@id([productId, warehouse])
}

/// The ledger of the stock: never changed, only added to. Written by prisma-extension-concurrency.
model StockMovement {
  transactionId String
  line          Int
  productId     Int
  warehouse     String
  quantity      Int
  applied       Boolean  @default(true)
  createdAt     DateTime @default(now()) @db.Timestamptz(3)

  @@id([transactionId, line])
  @@index([productId, warehouse])
  @@index([applied])
}

/// What baskets hold back of the stock. Written by prisma-extension-concurrency.
model StockReservation {
  transactionId String
  line          Int
  productId     Int
  warehouse     String
  quantity      Int
  state         String   @default("active")
  expiresAt     DateTime @db.Timestamptz(3)

  @@id([transactionId, line])
  @@index([productId, warehouse, state])
}
`
}

/**
 * The migration that makes the tables of `stock()`: the same SQL that Prisma makes of the models. Of a client it is
 * a promise: the printer is loaded then.
 *
 * @param client a client with `stock()`, whose models are printed as they are in your schema. Default: those of
 *   `stockSchema()`
 * @throws ConfigurationError if the client has no `stock()`, or a model has what is not printed here, such as an
 *   index of another type than the usual one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_stock/migration.sql', await stockSql(db))
 */
export function stockSql(): string
export function stockSql(client: object): Promise<string>
export function stockSql(client?: object): string | Promise<string> {
  if (client) return printMigration(client, 'stock')
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
CREATE INDEX "StockReservation_productId_warehouse_state_idx" ON "StockReservation"("productId", "warehouse", "state");
`
}
