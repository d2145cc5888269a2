import { describe, expect, onTestFinished, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { serials as prismaSerials } from '../../src/serials/extension.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import { breakableDatabase } from '../support/broken.js'
import { createClient } from '../support/clients.js'
import { COMPANIES } from '../support/company-models.js'
import { COMPANY_SERIALS } from '../support/company-serials.js'
import { rejectionOf } from '../support/rejection.js'
import { sayShards } from '../support/shards.js'

/** A database whose catalogue says of tables what that of Citus says. */
async function open(shards: Readonly<Record<string, string>>) {
  const database = await breakableDatabase()
  await sayShards(database, shards)
  await database.query(`
INSERT INTO "CompanyStock" ("companyId", "productId", warehouse, "onHand") SELECT c, n, 'main', 9 FROM generate_series(1, 2) AS c, generate_series(1, 2) AS n;
INSERT INTO "CompanySerial" ("companyId", "productId", number) VALUES (1, 1, 'a')`)
  const { client, statements } = createClient(database.url)
  onTestFinished(() => client.$disconnect())
  const db = client.$extends(concurrency()).$extends(prismaStock(COMPANIES)).$extends(prismaSerials(COMPANY_SERIALS))
  return { db, database, statements }
}

const OF_COMPANIES = {
  CompanyStock: 'companyId',
  CompanyMovement: 'companyId',
  CompanyReservation: 'companyId',
  CompanySerial: 'companyId',
  CompanySerialAllocation: 'companyId',
}
const item = { productId: 1, warehouse: 'main' }
const move = { scope: { companyId: 1 }, transactionId: 'a', item, quantity: 1 }

describe('where tables are on shards of Citus', () => {
  test('those of a company that are on one shard are written', async () => {
    const { db } = await open(OF_COMPANIES)

    expect(await db.$stock.move(move)).toMatchObject({ balance: 10 })
    const { scope, transactionId } = move
    const taken = await db.$serials.allocate({ scope, transactionId, where: { productId: 1 }, count: 1 })
    expect(taken.serials).toMatchObject([{ number: 'a' }])
    expect((await db.$checkConcurrency()).filter(({ code }) => code === 'SHARDS')).toEqual([])
  })

  test.each([
    ['another table is on none', { CompanyStock: 'companyId' }, ['CompanyMovement', 'CompanyReservation']],
    ['one is distributed by another column', { ...OF_COMPANIES, CompanyStock: 'productId' }, ['CompanyStock']],
  ])('$stock writes nothing while %s, and says what to do', async (_, shards, wrong) => {
    const { db, database } = await open(shards)
    const expected = { code: 'CONFIGURATION', message: expect.stringContaining("create_distributed_table('") }

    expect(await rejectionOf(db.$stock.move(move))).toMatchObject(expected)
    expect(await rejectionOf(db.$transactionWithRetry((tx) => tx.$stock.move(move)))).toMatchObject(expected)
    expect(await database.query('SELECT 1 FROM "CompanyMovement"')).toEqual([])
    const found = (await db.$checkConcurrency()).filter(({ code, where }) => code === 'SHARDS' && !/Serial/.test(where))
    expect(found.map(({ where }) => where)).toEqual(wrong.map((table) => `"public"."${table}"`))
  })

  test('a job with a pause does not run, and is told why; with other periods its claim is limited on the shard of its key', async () => {
    const { db, database, statements } = await open({ IdempotencyKey: 'key' })
    // As Citus does.
    await database.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'functions used in the WHERE clause must be marked IMMUTABLE' USING ERRCODE = '0A000'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON "IdempotencyKey" FOR EACH ROW WHEN (NEW.key = 'last success') EXECUTE FUNCTION refuse()`)
    const ran: string[] = []
    const job = (period: { every: string } | { atLeast: string }) =>
      db.$oncePer({ job: 'a', period }, async () => void ran.push(Object.keys(period).join()))

    expect(await rejectionOf(job({ atLeast: '1h' }))).toMatchObject({
      code: 'CONFIGURATION',
      issues: [{ path: 'period.atLeast', message: expect.stringContaining('undistribute_table') }],
    })
    statements.length = 0
    await job({ every: '1d' })
    expect(ran).toEqual(['every'])
    const limits = statements.filter((sql) => /lock_timeout[\s\S]*FROM "public"."IdempotencyKey"/.test(sql))
    expect(limits).toHaveLength(2)
  })

  test('a batch of versioned writes is one statement for one shard, and goes one by one over several', async () => {
    const { db, statements } = await open(OF_COMPANIES)
    const write = (companyId: number, productId: number) => ({
      where: { companyId_productId_warehouse: { companyId, productId, warehouse: 'main' }, version: 0n },
      data: { minimum: null },
    })
    await db.companyStock.updateManyVersioned([write(1, 1), write(1, 2)])
    const [together = ''] = statements.filter((sql) => sql.includes('verdict'))
    expect(together.match(/t\."companyId" = \$\d::integer/g)).toHaveLength(3)

    statements.length = 0
    await db.companyStock.updateManyVersioned([
      write(2, 1),
      { ...write(1, 1), where: { ...write(1, 1).where, version: 1n } },
    ])
    expect(statements.filter((sql) => sql.startsWith('UPDATE'))).toHaveLength(2)
  })

  test('a key that no shard can keep is said to be one', async () => {
    const { db, database } = await open({ Transfer: 'id' })
    await database.query('DROP INDEX "Transfer_tenantId_transactionId_key"')
    const where = { tenantId_transactionId: { tenantId: 1, transactionId: 'a' } }
    const error = await rejectionOf(db.transfer.createIdempotent({ where, data: { amount: 1n } }))

    expect(error).toMatchObject({ code: 'CONFIGURATION', message: expect.stringContaining('by "id"') })
    expect((await db.$checkConcurrency()).find(({ where }) => where.includes('Transfer'))).toMatchObject({
      code: 'KEY_MISSING',
      what: expect.stringContaining('add it to the key'),
    })
  })
})
