import { migrationOf } from '../sql/migration.js'
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
  return migrationOf(idempotencyKeySchema(model))
}
