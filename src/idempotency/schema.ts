import { printMigration } from '../prisma/print-migration.js'
import { quoted } from '../sql/sql.js'
import { DEFAULT_KEY_MODEL } from './key-store.js'

/**
 * The model in which `$idempotent` and `$oncePer` note what was done, for your `schema.prisma`.
 *
 * @example
 * console.log(idempotencyKeySchema())
 */
export function idempotencyKeySchema(model: string = DEFAULT_KEY_MODEL): string {
  return `/// What was done once, and its answer. Written by prisma-extension-concurrency.
model ${model} {
  scope     String
  key       String
  request   String
  answer    String?
  createdAt DateTime @default(now()) @db.Timestamptz(3)

  @@id([scope, key])
  @@index([createdAt])
}
`
}

/**
 * The migration that makes the table of `$idempotent` and `$oncePer`: the same SQL that Prisma makes of the model.
 * Of a client it is a promise: the printer is loaded then.
 *
 * @param of the name of the model of `idempotencyKeySchema()`; or a client with `concurrency()`, whose model is
 *   printed as it is in your schema
 * @throws ConfigurationError if the client has no `concurrency()` or no such model, or the model has what is not
 *   printed here, such as an index of another type than the usual one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_idempotency_keys/migration.sql', await idempotencyKeySql(db))
 */
export function idempotencyKeySql(of?: string): string
export function idempotencyKeySql(of: object): Promise<string>
export function idempotencyKeySql(of: string | object = DEFAULT_KEY_MODEL): string | Promise<string> {
  if (typeof of === 'object') return printMigration(of, 'concurrency')
  return `-- CreateTable
CREATE TABLE ${quoted(of)} (
    "scope" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "request" TEXT NOT NULL,
    "answer" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT ${quoted(`${of}_pkey`)} PRIMARY KEY ("scope","key")
);

-- CreateIndex
CREATE INDEX ${quoted(`${of}_createdAt_idx`)} ON ${quoted(of)}("createdAt");
`
}
