import pg from 'pg'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { openShop } from '../../examples/pg/shop.js'
import { TABLES } from '../../examples/pg/tables.js'
import { type ConcurrencyOptions, concurrency, type Finding, versionTriggerSql } from '../../src/index.js'
import { concurrency as onPool } from '../../src/pg.js'
import { breakableDatabase } from '../support/broken.js'
import { createClient } from '../support/clients.js'
import { createDatabase, type Database, databaseName } from '../support/database.js'
import { type EngineName, openErp } from '../support/engines.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'

/** The findings about a database, by a client with every feature that is opened for this check alone. */
async function check(url: string, { engine = 'prisma', ...options }: { engine?: EngineName; poolSize?: number } = {}) {
  const { db, close } = await openErp(engine, { url, ...options })
  try {
    return await db.$checkConcurrency()
  } finally {
    await close()
  }
}

/** The same by a client with these options of `concurrency()`. */
async function checkWith(url: string, options: ConcurrencyOptions, triggers: readonly string[] = []) {
  const { client } = createClient(url)
  try {
    return await client.$extends(concurrency(options)).$checkConcurrency({ triggers })
  } finally {
    await client.$disconnect()
  }
}

const brief = (findings: readonly Finding[]) => findings.map(({ severity, code, where }) => [severity, code, where])

/** Runs the SQL of all findings, each as it is. */
async function mend(database: Database, findings: readonly Finding[]): Promise<void> {
  for (const { sql } of findings) if (sql !== undefined) await database.query(sql)
}

/** Ways to break a database, and the findings about it. Their SQL must mend it. */
const BROKEN: Readonly<Record<string, readonly [sql: string, ...found: readonly [string, string, string][]]>> = {
  'a unique index was dropped': [
    'DROP INDEX "Payment_transactionId_key"',
    ['error', 'KEY_MISSING', '"public"."Payment" ("transactionId")'],
  ],
  'the unique index is a partial one': [
    'DROP INDEX "Payment_transactionId_key"; CREATE UNIQUE INDEX "Payment_transactionId_key" ON "Payment" ("transactionId") WHERE amount > 0',
    ['error', 'KEY_MISSING', '"public"."Payment" ("transactionId")'],
  ],
  'the key of the ledger is gone': [
    'ALTER TABLE "StockMovement" DROP CONSTRAINT "StockMovement_pkey"',
    ['error', 'KEY_MISSING', '"public"."StockMovement" ("transactionId", "line")'],
  ],
  'the key of operations is gone': [
    'ALTER TABLE "IdempotencyKey" DROP CONSTRAINT "IdempotencyKey_pkey"',
    ['error', 'KEY_MISSING', '"public"."IdempotencyKey" ("scope", "key")'],
  ],
  'the key of the counters is gone': [
    'ALTER TABLE "Series" DROP CONSTRAINT "Series_pkey"',
    ['error', 'KEY_MISSING', '"public"."Series" ("name", "period")'],
  ],
  'a version column takes NULL': [
    'ALTER TABLE "Product" ALTER COLUMN version DROP NOT NULL; INSERT INTO "Product" (name, "updatedAt", version) VALUES (\'x\', now(), NULL)',
    ['error', 'VERSION_NULLABLE', '"public"."Product"."version"'],
  ],
  'a version column has no default': [
    'ALTER TABLE "Product" ALTER COLUMN version DROP DEFAULT',
    ['warning', 'VERSION_DEFAULT', '"public"."Product"."version"'],
  ],
  'a version column was forgotten': [
    'ALTER TABLE "Product" DROP COLUMN version',
    ['error', 'COLUMN_MISSING', '"public"."Product"."version"'],
  ],
  'a foreign key is of the wrong type': [
    'ALTER TABLE "OrderLine" ALTER COLUMN "productId" TYPE bigint',
    ['error', 'COLUMN_TYPE', '"public"."OrderLine"."productId"'],
  ],
  'a column of the ledger is of the wrong type': [
    'ALTER TABLE "StockMovement" ALTER COLUMN quantity TYPE bigint',
    ['error', 'COLUMN_TYPE', '"public"."StockMovement"."quantity"'],
  ],
  'a moment has no time zone': [
    'ALTER TABLE "StockReservation" ALTER COLUMN "expiresAt" TYPE timestamp(3)',
    ['error', 'COLUMN_TYPE', '"public"."StockReservation"."expiresAt"'],
  ],
  'a column of a key was forgotten': [
    'ALTER TABLE "Payment" DROP COLUMN "transactionId"',
    ['error', 'COLUMN_MISSING', '"public"."Payment"."transactionId"'],
    ['error', 'KEY_MISSING', '"public"."Payment" ("transactionId")'],
  ],
  'tables were forgotten that refer to one another': [
    'DROP TABLE "OrderLine", "Order", "Product", "Category" CASCADE',
    ['error', 'TABLE_MISSING', '"public"."Category"'],
    ['error', 'TABLE_MISSING', '"public"."Product"'],
    ['error', 'TABLE_MISSING', '"public"."Order"'],
    ['error', 'TABLE_MISSING', '"public"."OrderLine"'],
    ['warning', 'FOREIGN_KEY_MISSING', '"public"."Product" ("categoryId")'],
    ['warning', 'FOREIGN_KEY_MISSING', '"public"."OrderLine" ("orderId")'],
    ['warning', 'FOREIGN_KEY_MISSING', '"public"."OrderLine" ("productId")'],
    ['warning', 'FOREIGN_KEY_MISSING', '"public"."Invoice" ("orderId")'],
    ['warning', 'FOREIGN_KEY_MISSING', '"public"."ProductMovement" ("productId")'],
  ],
  'a table and a column were forgotten, with the enum of both': [
    'DROP TABLE "every thing"; DROP TYPE "kind of thing" CASCADE',
    ['error', 'TABLE_MISSING', '"public"."every thing"'],
    ['error', 'COLUMN_MISSING', '"public"."soft licence"."order"'],
  ],
  'a foreign key was dropped': [
    'ALTER TABLE "OrderLine" DROP CONSTRAINT "OrderLine_orderId_fkey"',
    ['warning', 'FOREIGN_KEY_MISSING', '"public"."OrderLine" ("orderId")'],
  ],
  'a column that no call relies on is of another type': [
    'ALTER TABLE "Payment" ALTER COLUMN amount TYPE double precision',
    ['warning', 'COLUMN_TYPE', '"public"."Payment"."amount"'],
  ],
}

describe('$checkConcurrency finds, and its SQL mends', () => {
  test.each(Object.entries(BROKEN))('that %s', async (_, [sql, ...found]) => {
    const database = await breakableDatabase()
    await database.query(sql)

    const findings = await check(database.url)
    await mend(database, findings)

    expect(brief(findings)).toEqual(found)
    expect(await check(database.url)).toEqual([])
  })

  test('that a trigger is missing, disabled, or not of this version', async () => {
    const database = await breakableDatabase()
    const { client } = createClient(database.url)
    onTestFinished(() => client.$disconnect())
    const look = () => checkWith(database.url, { version: { models: { Product: { bumpPlainWrites: false } } } })
    const where = '"public"."Product", trigger "concurrency_bump_version"'

    const missing = await look()
    await mend(database, missing)
    const mended = await look()
    await database.query('ALTER TABLE "Product" DISABLE TRIGGER concurrency_bump_version')
    const disabled = await look()
    await mend(database, disabled)
    const sql = versionTriggerSql(client.$extends(concurrency()), 'Product')
    await database.query(sql.replace('+ 1', '+ 2'))
    const outdated = await look()
    await mend(database, outdated)

    expect([missing, mended, disabled, outdated, await look()].map(brief)).toEqual([
      [['error', 'TRIGGER_MISSING', where]],
      [],
      [['error', 'TRIGGER_DISABLED', where]],
      [['warning', 'TRIGGER_OUTDATED', where]],
      [],
    ])
  })

  test('that a trigger is missing which the caller asks for', async () => {
    const database = await breakableDatabase()

    const findings = await checkWith(database.url, {}, ['Product'])

    expect(findings).toMatchObject([
      { code: 'TRIGGER_MISSING', sql: expect.stringContaining('CREATE OR REPLACE TRIGGER') },
    ])
    expect(await rejectionOf(checkWith(database.url, {}, ['Note']))).toMatchObject({ code: 'CONFIGURATION' })
  })

  test.each([
    ['default_transaction_isolation', 'serializable', 'error', 'ISOLATION_DEFAULT'],
    ['default_transaction_isolation', "'repeatable read'", 'error', 'ISOLATION_DEFAULT'],
    ['default_transaction_read_only', 'on', 'error', 'READ_ONLY'],
    ['statement_timeout', "'2s'", 'warning', 'TIMEOUT_SHORT'],
    ['lock_timeout', '500', 'warning', 'TIMEOUT_SHORT'],
    ['idle_in_transaction_session_timeout', "'1s'", 'warning', 'TIMEOUT_SHORT'],
  ])('that %s is %s', async (name, value, severity, code) => {
    const database = await breakableDatabase()
    await database.query(`ALTER DATABASE ${databaseName(database.url)} SET ${name} = ${value}`)

    const findings = (await check(database.url)).filter((finding) => finding.where === name)
    if (code !== 'READ_ONLY') await mend(database, findings)

    expect(brief(findings)).toEqual([[severity, code, name]])
    expect(findings[0]?.sql).toMatch(new RegExp(`^ALTER DATABASE "\\w+" SET ${name} = `))
    if (code !== 'READ_ONLY') expect(await check(database.url)).toEqual([])
  })
})

describe('$checkConcurrency finds', () => {
  test('that a migration was forgotten', async () => {
    const database = await breakableDatabase()
    await database.query('DROP TABLE "SerialAllocation"; ALTER TABLE "Order" DROP COLUMN customer')

    expect(brief(await check(database.url))).toEqual([
      ['error', 'COLUMN_MISSING', '"public"."Order"."customer"'],
      ['error', 'TABLE_MISSING', '"public"."SerialAllocation"'],
    ])
  })

  test('that a role has not all the privileges that calls need, and says which', async () => {
    const database = await breakableDatabase()
    const url = await openRole(database)
    const role = new URL(url).username
    await database.query(`REVOKE UPDATE ON "Stock" FROM ${role}; REVOKE DELETE ON "IdempotencyKey" FROM ${role}`)

    const findings = await check(url)

    expect(findings.map(({ code, sql }) => [code, sql])).toEqual([
      ['PRIVILEGE_MISSING', `GRANT UPDATE ON "public"."Stock" TO "${role}";`],
      ['PRIVILEGE_MISSING', `GRANT DELETE ON "public"."IdempotencyKey" TO "${role}";`],
    ])
  })

  test.each([
    [1, 'error'],
    [5, 'error'],
    [9, 'warning'],
  ])('that a pool of %i is too small for five that may wait for locks', async (poolSize, severity) => {
    const database = await breakableDatabase()
    const findings = (await check(database.url, { poolSize })).filter(({ code }) => code === 'POOL_TOO_SMALL')

    expect(brief(findings)).toEqual([[severity, 'POOL_TOO_SMALL', 'the pool of the client']])
  })

  test('that advisory locks exclude nobody, and that the outcome of a transaction cannot be had', async () => {
    const database = await breakableDatabase()
    await database.query(`
CREATE FUNCTION public.pg_try_advisory_xact_lock(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION public.pg_xact_status(xid8) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
ALTER DATABASE ${databaseName(database.url)} SET search_path = public, pg_catalog`)

    const findings = await check(database.url)

    expect(findings.map(({ code, what }) => [code, what])).toEqual([
      ['CAPABILITY_MISSING', 'Advisory locks do not keep a second transaction out'],
      ['CAPABILITY_MISSING', 'The server does not tell what became of a transaction (pg_xact_status)'],
    ])
  })

  test('with `throw`, that there are errors, and throws them', async () => {
    const database = await breakableDatabase()
    await database.query('DROP INDEX "Payment_transactionId_key"')
    const { client } = createClient(database.url)
    onTestFinished(() => client.$disconnect())
    const db = client.$extends(concurrency())

    expect(await rejectionOf(db.$checkConcurrency({ throw: true }))).toMatchObject({
      code: 'CHECK_FAILED',
      findings: [{ code: 'KEY_MISSING' }],
      message: expect.stringMatching(/^KEY_MISSING: "public"."Payment" \("transactionId"\): .*createIdempotent/),
    })
  })

  test('nothing on a `tx`: it refuses to look there', async () => {
    const database = await breakableDatabase()
    const { client } = createClient(database.url)
    onTestFinished(() => client.$disconnect())
    const call = client.$extends(concurrency()).$transaction((tx) => tx.$checkConcurrency())

    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('$checkConcurrency finds nothing', () => {
  test.each(['prisma', 'pg'] as const)('in a database that is as it should be, on %s', async (engine) => {
    const database = await breakableDatabase()

    expect(await check(database.url, { engine })).toEqual([])
  })

  test('for a role that may read and write the tables, and create nothing', async () => {
    const database = await breakableDatabase()

    expect(await check(await openRole(database))).toEqual([])
  })

  test('in the database of the example without Prisma', async () => {
    const database = await createDatabase(inject('serverUrl'), 'template1')
    onTestFinished(() => database.drop())
    await database.query(TABLES)
    const pool = new pg.Pool({ connectionString: database.url })
    onTestFinished(() => pool.end())
    const { db } = await openShop(pool)

    expect(await db.$checkConcurrency()).toEqual([])
  })

  test('and leaves nothing behind', async () => {
    const database = await breakableDatabase()
    const tables = () => database.query("SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY 1")
    const before = await tables()
    await check(database.url)

    expect(await tables()).toEqual(before)
    const locks = `
      SELECT 1
      FROM pg_locks
      JOIN pg_database ON pg_database.oid = pg_locks.database
      WHERE locktype = 'advisory' AND datname = current_database()`
    expect(await database.query(locks)).toEqual([])
  })
})

describe('on node-postgres $checkConcurrency finds', () => {
  test('that a trigger is disabled, and that it may not write the stock', async () => {
    const database = await breakableDatabase()
    const url = await openRole(database)
    const pool = new pg.Pool({ connectionString: url })
    onTestFinished(() => pool.end())
    const db = await onPool(pool)
    const missing = await db.$checkConcurrency({ triggers: ['Product'] })
    await mend(database, missing)
    await database.query('ALTER TABLE "Product" DISABLE TRIGGER concurrency_bump_version')
    await database.query(`REVOKE INSERT ON "IdempotencyKey" FROM ${new URL(url).username}`)

    const findings = await db.$checkConcurrency()

    expect(findings.map(({ code }) => code)).toEqual(['TRIGGER_DISABLED', 'PRIVILEGE_MISSING'])
  })
})
