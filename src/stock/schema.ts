import { migrationFor, migrationOf } from '../prisma/migration.js'

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
 * The migration that makes the tables of `stock()`: the same SQL that Prisma makes of the models.
 *
 * @param client a client with `stock()`, whose models are printed as they are in your schema. Default: those of
 *   `stockSchema()`
 * @throws ConfigurationError if the client has no `stock()`, or a model has what is not printed here, such as an
 *   index of another type than the usual one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_stock/migration.sql', stockSql(db))
 */
export function stockSql(client?: object): string {
  return client ? migrationFor(client, 'stock') : migrationOf(stockSchema())
}
