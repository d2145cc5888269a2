import { printMigration } from '../prisma/print-migration.js'
import { quoted } from '../sql/sql.js'

/** The names of the user's models, unless the options give others. */
export const DEFAULT_SERIAL_MODEL = 'Serial'
export const DEFAULT_ALLOCATION_MODEL = 'SerialAllocation'

/**
 * The models of the serials, for your `schema.prisma`: the owner of each one, and the allocations
 * and imports. Fields of your own may stand beside them, such as a warehouse. The index makes the
 * first free ones of a product cheap to find, and those that a transaction id has.
 *
 * @example
 * console.log(serialsSchema())
 */
export function serialsSchema(
  serial: string = DEFAULT_SERIAL_MODEL,
  allocation: string = DEFAULT_ALLOCATION_MODEL,
): string {
  return `/// The serial numbers, and who has each of them: none has a free one. Written by prisma-extension-concurrency.
model ${serial} {
  productId     Int
  number        String
  transactionId String?
  orderId       Int?

  @@id([productId, number])
  @@index([transactionId, productId, number])
}

/// What was allocated and imported, once per transaction id. Written by prisma-extension-concurrency.
model ${allocation} {
  transactionId String   @id
  request       String
  count         Int
  createdAt     DateTime @default(now()) @db.Timestamptz(3)
}
`
}

/**
 * The migration that makes the tables of `serials()`: the same SQL that Prisma makes of the models. Of a client it
 * is a promise: the printer is loaded then.
 *
 * @param of the name of the first model of `serialsSchema()`; or a client with `serials()`, whose models are printed
 *   as they are in your schema
 * @param allocation the name of the second model of `serialsSchema()`
 * @throws ConfigurationError if the client has no `serials()`, or a model has what is not printed here, such as an
 *   index of another type than the usual one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_serials/migration.sql', await serialsSql(db))
 */
export function serialsSql(of?: string, allocation?: string): string
export function serialsSql(of: object): Promise<string>
export function serialsSql(
  of: string | object = DEFAULT_SERIAL_MODEL,
  allocation = DEFAULT_ALLOCATION_MODEL,
): string | Promise<string> {
  if (typeof of === 'object') return printMigration(of, 'serials')
  return `-- CreateTable
CREATE TABLE ${quoted(of)} (
    "productId" INTEGER NOT NULL,
    "number" TEXT NOT NULL,
    "transactionId" TEXT,
    "orderId" INTEGER,

    CONSTRAINT ${quoted(`${of}_pkey`)} PRIMARY KEY ("productId","number")
);

-- CreateTable
CREATE TABLE ${quoted(allocation)} (
    "transactionId" TEXT NOT NULL,
    "request" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT ${quoted(`${allocation}_pkey`)} PRIMARY KEY ("transactionId")
);

-- CreateIndex
CREATE INDEX ${quoted(`${of}_transactionId_productId_number_idx`)} ON ${quoted(of)}("transactionId", "productId", "number");
`
}
