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
 * The migration that goes with `idempotencyKeySchema()`: the same SQL that Prisma makes of it.
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_idempotency_keys/migration.sql', idempotencyKeySql())
 */
export function idempotencyKeySql(model: string = DEFAULT_KEY_MODEL): string {
  return `-- CreateTable
CREATE TABLE ${quoted(model)} (
    "scope" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "request" TEXT NOT NULL,
    "answer" TEXT,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT ${quoted(`${model}_pkey`)} PRIMARY KEY ("scope","key")
);

-- CreateIndex
CREATE INDEX ${quoted(`${model}_createdAt_idx`)} ON ${quoted(model)}("createdAt");
`
}
