import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, inject, test } from 'vitest'
import { serialsSql, stockSchema } from '../../src/erp.js'
import { versionTriggerSql } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { appFolder, examplesOf, runCommand } from '../support/command.js'
import { createDatabase } from '../support/database.js'
import { useExtended } from '../support/extended.js'
import { factsOfDatabase } from '../support/schema-facts.js'

const database = useDatabase()
const { connect } = useExtended()
const CLIENT = ['--client', 'test/support/command-client.ts']
const env = () => ({ DATABASE_URL: database.url })

const SCHEMA = `datasource db {
  provider = "postgresql"
}

model Serial {
  id     Int     @id @default(autoincrement()) @map("the id")
  number String  @unique @db.VarChar(40)
  owner  String? @map("owned by")

  @@map("serial numbers")
}

model Grant {
  id      String @id
  request String
  count   Int
}
`
const CONFIG = `{
  "serials": {
    "serial": { "transactionId": "owner" },
    "allocation": { "model": "Grant", "transactionId": "id" }
  }
}`

describe('sql', () => {
  test('prints the tables of all that the client of the application has, as they are', async () => {
    const { code, stdout, stderr } = await runCommand(['sql', ...CLIENT], { env: env() })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const empty = await createDatabase(inject('serverUrl'), 'template1')
    try {
      await empty.query(stdout)
      const { tables: made } = await factsOfDatabase(empty.query)
      const { tables: wanted } = await factsOfDatabase(database.query)
      const names = [
        'IdempotencyKey',
        'Serial',
        'SerialAllocation',
        'Series',
        'SeriesNumber',
        'Stock',
        'StockMovement',
        'StockReservation',
      ]
      expect(Object.keys(made).sort()).toEqual(names)
      expect(made).toEqual(Object.fromEntries(names.map((name) => [name, wanted[name]])))
    } finally {
      await empty.drop()
    }
  })

  test('prints the parts that are named, and triggers only then', async () => {
    const { stdout } = await runCommand(['sql', 'triggers', 'serials', ...CLIENT], { env: env() })

    expect(stdout.startsWith(serialsSql())).toBe(true)
    expect(stdout).toContain(versionTriggerSql(connect().db, 'Product'))
    expect(stdout.match(/^CREATE OR REPLACE TRIGGER /gm)?.length).toBeGreaterThan(5)
  })

  test('prints models of own names from a config file and the schema, without a database, as the page shows it', async () => {
    const cwd = await appFolder({ 'schema.prisma': SCHEMA, 'concurrency.config.json': CONFIG })

    const { code, stdout, stderr } = await runCommand(['sql'], { cwd })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect([stdout]).toEqual(await examplesOf('sql'))
  })

  test('prints the tables of every ledger of a config file, with their scope', async () => {
    const models = stockSchema({ scope: ['companyId'] })
    const credit = models.replaceAll(/^model Stock(\w*)/gm, 'model Credit$1')
    const stock = {
      scope: ['companyId'],
      item: { model: 'Stock', key: ['productId', 'warehouse'] },
      movement: { model: 'StockMovement' },
    }
    const named = {
      ...stock,
      name: 'credit',
      item: { ...stock.item, model: 'Credit' },
      movement: { model: 'CreditMovement' },
    }
    const cwd = await appFolder({
      'schema.prisma': `datasource db {\n  provider = "postgresql"\n}\n\n${models}\n${credit}`,
      'concurrency.config.json': JSON.stringify({ stock: [stock, named] }),
    })

    const { code, stdout, stderr } = await runCommand(['sql', 'stock'], { cwd })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const tables = Array.from(stdout.matchAll(/^CREATE TABLE "(\w+)"/gm), ([, table]) => table)
    expect(tables.sort()).toEqual(['Credit', 'CreditMovement', 'Stock', 'StockMovement'])
    expect(stdout.match(/PRIMARY KEY \("companyId",/g)).toHaveLength(4)
  })

  test('writes a migration with --migration, and says where', async () => {
    const cwd = await appFolder({ 'schema.prisma': SCHEMA, 'concurrency.config.json': CONFIG })
    const { stdout: sql } = await runCommand(['sql'], { cwd })

    const { code, stdout } = await runCommand(['sql', '--migration', 'serials'], { cwd })

    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^Written:\n {2}migrations\/migration_lock\.toml\n {2}migrations\/\d{14}_serials\/migration\.sql\n$/,
    )
    const [folder = ''] = (await readdir(join(cwd, 'migrations'))).filter((name) => name.endsWith('_serials'))
    expect(readFileSync(join(cwd, 'migrations', folder, 'migration.sql'), 'utf8')).toBe(sql)
  })

  test.each([
    [['stok'], /stok is none of stock, serials, series, leases, jobs, outbox, inbox, steps, idempotency, triggers/],
    [['stock'], /the client has no stock/],
    [['triggers'], /no model has a version column/],
    [['--migration', '..'], /\.\. is no name of a migration/],
    [['--schema', 'nowhere.prisma'], /there is no Prisma schema at /],
  ])('called with %j ends with 2 and a message', async (args, message) => {
    const cwd = await appFolder({ 'schema.prisma': SCHEMA, 'concurrency.config.json': CONFIG })

    const { code, stdout, stderr } = await runCommand(['sql', ...args], { cwd })

    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
  })

  test('says so where there is neither a client nor a schema', async () => {
    const { code, stderr } = await runCommand(['sql'], { cwd: await appFolder({}) })

    expect(code).toBe(2)
    expect(stderr).toContain('there is no client and no Prisma schema here: give --client, or --schema')
  })
})
