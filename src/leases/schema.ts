import { modelText } from '../prisma/model-text.js'
import { printMigration } from '../prisma/print-migration.js'
import { quoted } from '../sql/sql.js'
import { DEFAULT_LEASE_MODEL } from './names.js'

/**
 * The model of the leases, for your `schema.prisma`: a row for each name, which stays, since its token must never go back.
 * The token is part of a unique key, so that a new holder waits for the transactions that `$assertLease` fences.
 *
 * @example
 * console.log(leaseSchema())
 */
export function leaseSchema(name: string = DEFAULT_LEASE_MODEL): string {
  return modelText({
    doc: 'Who holds each lease, and until when. Written',
    name,
    scope: [],
    fields: [
      ['name', 'String', '@id'],
      ['token', 'BigInt'],
      ['holder', 'String?'],
      ['expiresAt', 'DateTime?', '@db.Timestamptz(6)'],
      ['progress', 'Json?'],
      ['waiting', 'Json', '@default("[]")'],
    ],
    keys: ['@@unique([name, token])'],
  })
}

/**
 * The migration that makes the table of `leases()`: the same SQL that Prisma makes of the model. Of a client it is a
 * promise: the printer is loaded then.
 *
 * @param of the name of the model of `leaseSchema()`; or a client with `leases()`, whose model is printed as it is in your
 *   schema
 * @throws ConfigurationError if the client has no `leases()`
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_leases/migration.sql', await leaseSql(db))
 */
export function leaseSql(of?: string): string
export function leaseSql(of: object): Promise<string>
export function leaseSql(of: string | object = DEFAULT_LEASE_MODEL): string | Promise<string> {
  if (typeof of === 'object') return printMigration(of, 'leases')
  return `-- CreateTable
CREATE TABLE ${quoted(of)} (
    "name" TEXT NOT NULL,
    "token" BIGINT NOT NULL,
    "holder" TEXT,
    "expiresAt" TIMESTAMPTZ(6),
    "progress" JSONB,
    "waiting" JSONB NOT NULL DEFAULT '[]',

    CONSTRAINT ${quoted(`${of}_pkey`)} PRIMARY KEY ("name")
);

-- CreateIndex
CREATE UNIQUE INDEX ${quoted(`${of}_name_token_key`)} ON ${quoted(of)}("name", "token");
`
}
