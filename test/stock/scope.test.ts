import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { modelsOf } from '../../src/cli/prisma-schema.js'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { mapStock } from '../../src/stock/mapping.js'
import { checkStockOptions, type StockOptions } from '../../src/stock/options.js'
import { stockSchema, stockSql } from '../../src/stock/schema.js'
import { useDatabase } from '../support/clients.js'
import { COMPANIES, CREDIT } from '../support/company-models.js'
import { createDatabase } from '../support/database.js'
import { rejectionOf } from '../support/rejection.js'
import { factsOfDatabase } from '../support/schema-facts.js'
import { STOCK } from '../support/stock-models.js'

const database = useDatabase()
const OPTIONS = { ...STOCK, scope: ['companyId'] } as const
const PRINTED = stockSchema({ scope: ['companyId'] })

describe('printed with a scope', () => {
  test('the models are those of the schema of these tests, but for their names and comments', async () => {
    const schema = await readFile('prisma/schema.prisma', 'utf8')
    for (const [, name = '', body] of PRINTED.matchAll(/^model (\w+) (\{[^}]*\})/gm)) {
      expect(schema).toContain(`model Company${name.replace(/^Stock(?=\w)/, '')} ${body}`)
    }
  })

  test('the SQL makes tables, keys and indexes that begin with it', async () => {
    const empty = await createDatabase(inject('serverUrl'), 'template1')
    try {
      await empty.query(await stockSql({ scope: ['companyId'] }))
      const { tables: made } = await factsOfDatabase(empty.query)
      const { tables: wanted } = await factsOfDatabase(database.query)
      const { CompanyStock, CompanyMovement, CompanyReservation } = wanted
      expect(made).toEqual({
        Stock: CompanyStock,
        StockMovement: CompanyMovement,
        StockReservation: CompanyReservation,
      })
    } finally {
      await empty.drop()
    }
  })

  test('they fit the options, with several fields as well', async () => {
    const scope = ['companyId', 'site']
    const models = await modelsOf(schemaOf(stockSchema({ scope })))
    const { item, movement, reservation, keys } = mapStock(models, { ...STOCK, scope })
    expect([item.scope, movement.scope, reservation?.scope].map((all) => all?.map(({ name }) => name))).toEqual([
      scope,
      scope,
      scope,
    ])
    expect(keys.all.map(({ fields }) => fields.map(({ name }) => name).slice(0, 2))).toEqual([scope, scope, scope])
  })

  test('with lots as well, they are in all keys, and are found by their names', async () => {
    const schema = stockSchema({ scope: ['companyId'], lots: true })
    const { item, movement, reservation } = mapStock(await modelsOf(schemaOf(schema)), {
      ...OPTIONS,
      item: { ...OPTIONS.item, key: ['productId', 'warehouse', 'lot'] },
    })
    const names = ['companyId', 'productId', 'warehouse', 'lot']
    const keys = [item.key, movement.item, reservation?.item]
    expect(keys.map((key) => key?.map(({ name }) => name))).toEqual([names, names, names])
    expect([item.lot, item.expiresAt, item.receivedAt].map((field) => field?.name)).toEqual([
      'lot',
      'expiresAt',
      'receivedAt',
    ])
    expect(await stockSql({ lots: true })).toContain('"StockMovement"("productId", "warehouse", "lot")')
  })

  test('with a maximum, orders and refusals they are found by their names, but for `refused`, which is named', async () => {
    const models = await modelsOf(schemaOf(stockSchema({ maximum: true, orders: true, refusals: true })))
    const { scope: _, ...options } = OPTIONS
    const { item, movement, reservation } = mapStock(models, {
      ...options,
      movement: { ...options.movement, refused: 'refused' },
      rememberRefusals: true,
    })
    const found = [item.maximum, movement.refused, movement.reverses, reservation?.fulfilled, reservation?.original]
    expect(found.map((field) => field?.name)).toEqual(['maximum', 'refused', 'reverses', 'fulfilled', 'original'])
    expect(reservation?.expiresAt.isOptional).toBe(true)
  })

  test('with slots they number the rows of an item, and there are no reservations', async () => {
    const schema = stockSchema({ scope: ['companyId'], slots: true, history: true })
    const { reservation: _, ...options } = OPTIONS
    const { item } = mapStock(await modelsOf(schemaOf(schema)), {
      ...options,
      item: { ...options.item, slots: 'slot' },
    })

    expect(item.rowKey.map(({ name }) => name)).toEqual(['companyId', 'productId', 'warehouse', 'slot'])
    expect(schema.match(/^model \w+/gm)).toEqual(['model Stock', 'model StockMovement'])
    expect(await stockSql({ slots: true })).toContain('PRIMARY KEY ("productId","warehouse","slot")')
  })

  test('of a client with several ledgers, the SQL has the tables of all of them', async () => {
    const db = database
      .connect()
      .client.$extends(concurrency())
      .$extends(stock(COMPANIES))
      .$extends(stock({ ...CREDIT, name: 'credit' }))
    const tables = Array.from((await stockSql(db)).matchAll(/^CREATE TABLE "(\w+)"/gm), ([, table]) => table)
    expect(tables).toEqual([
      'CompanyStock',
      'CompanyMovement',
      'CompanyReservation',
      'CompanyCredit',
      'CompanyCreditEntry',
    ])
  })
})

describe('mistakes in the mapping of a scope', () => {
  const [item = '', movement = '', reservation = ''] = PRINTED.split(/\n(?=\/\/\/)/)
  const models = (...texts: readonly string[]) => texts.join('\n')
  const withoutScope = (model: string) => model.replace(/ {2}companyId.*\n/, '').replaceAll('companyId, ', '')

  test.each<[what: string, schema: string, options: object, mistakes: readonly string[]]>([
    [
      'a model without the field',
      models(item, withoutScope(movement), reservation),
      OPTIONS,
      ['scope[0]: StockMovement has no field companyId'],
    ],
    [
      'no model with it',
      stockSchema(),
      OPTIONS,
      ['Stock', 'StockMovement', 'StockReservation'].map((name) => `scope[0]: ${name} has no field companyId`),
    ],
    [
      'a field of another type in one of them',
      models(item, movement, reservation.replace(/companyId +Int/, 'companyId String')),
      OPTIONS,
      ['reservation.item: StockReservation.companyId must be of the type of Stock.companyId'],
    ],
    [
      'a field that may be empty',
      models(item.replaceAll('companyId, ', '').replace('Int\n', 'Int?\n'), movement, reservation),
      OPTIONS,
      ['scope[0]: Stock.companyId must not be optional'],
    ],
    [
      'a field of a type that no key may have',
      models(...[item, movement, reservation].map((model) => model.replace(/companyId +Int/, 'companyId DateTime'))),
      OPTIONS,
      ['Stock', 'StockMovement', 'StockReservation'].map(
        (name) => `scope[0]: ${name}.companyId must be Int or BigInt or String, and is DateTime`,
      ),
    ],
    [
      'keys without it',
      PRINTED.replaceAll('@@id([companyId, ', '@@id(['),
      OPTIONS,
      [
        'item.key: Stock needs @@unique([companyId, productId, warehouse]), or an @@id of them',
        'movement.model: StockMovement needs @@unique([companyId, transactionId, line]), or an @@id of them',
        'reservation.model: StockReservation needs @@unique([companyId, transactionId, line]), or an @@id of them',
      ],
    ],
    [
      'a field in the key of the item as well',
      PRINTED,
      { ...OPTIONS, item: { model: 'Stock', key: ['companyId', 'productId', 'warehouse'] } },
      ['item.key: Stock needs @@unique([companyId, companyId, productId, warehouse]), or an @@id of them'],
    ],
    ['none of its fields', PRINTED, { ...OPTIONS, scope: [] }, ['scope: must not be empty']],
    ['a field twice', PRINTED, { ...OPTIONS, scope: ['companyId', 'companyId'] }, ['scope: must name each field once']],
    ['a field that is no name', PRINTED, { ...OPTIONS, scope: [7] }, ['scope.0: must be the name of a field']],
  ])('%s', async (_, schema, options, mistakes) => {
    const dataModel = await modelsOf(schemaOf(schema))
    const found = rejectionOf((async () => mapStock(dataModel, checkStockOptions(options as StockOptions)))())
    const { issues } = (await found) as { issues: readonly { path: string; message: string }[] }
    expect(issues.map(({ path, message }) => `${path}: ${message}`)).toEqual(mistakes)
  })
})

describe('on a client with a scope, and two ledgers', () => {
  const db = () =>
    database
      .connect()
      .client.$extends(concurrency())
      .$extends(stock(COMPANIES))
      .$extends(stock({ ...CREDIT, name: 'credit' }))
  const item = { companyId: 1, productId: 1, warehouse: 'main' }
  const key = { companyId_productId_warehouse: item }
  const customer = { companyId: 1, customerId: 'f0e41a0e-9d53-4e2a-8f4f-0ad4e4c2a7ed' }
  const row = { companyId: 1, transactionId: 'a', line: 0 }

  beforeAll(async () => {
    await database.query(`INSERT INTO "CompanyStock" ("companyId", "productId", warehouse) VALUES (1, 1, 'main');
INSERT INTO "CompanyCredit" ("companyId", "customerId") VALUES (1, '${customer.customerId}');
INSERT INTO "CompanyMovement" ("companyId", "transactionId", line, "productId", warehouse, quantity, applied) VALUES (1, 'a', 0, 1, 'main', 1, false)`)
  })

  type Db = ReturnType<typeof db>
  test.each<[field: string, ledger: string, write: (db: Db) => PromiseLike<unknown>]>([
    ['data.onHand', '$stock', (db) => db.companyStock.update({ where: key, data: { onHand: 5 } })],
    ['data.reserved', '$stock', (db) => db.companyStock.updateMany({ data: { reserved: 1 } })],
    ['data.companyId', '$stock', (db) => db.companyStock.update({ where: key, data: { companyId: 2 } })],
    ['data.onHand', '$stock', (db) => db.companyStock.create({ data: { ...item, productId: 2, onHand: 5 } })],
    ['delete', '', (db) => db.companyStock.delete({ where: key })],
    [
      'data',
      '$stock',
      (db) => db.companyMovement.create({ data: { ...item, ...row, transactionId: 'b', quantity: 1 } }),
    ],
    ['data.companyId', '$stock', (db) => db.companyMovement.updateMany({ where: row, data: { companyId: 2 } })],
    ['deleteMany', '$stock', (db) => db.companyMovement.deleteMany()],
    ['data.companyId', '$stock', (db) => db.companyReservation.updateMany({ data: { companyId: 2 } })],
    ['data.balance', '$credit', (db) => db.companyCredit.updateMany({ data: { balance: 5n } })],
    ['data.companyId', '$credit', (db) => db.companyCredit.updateMany({ data: { companyId: 2 } })],
    ['data', '$credit', (db) => db.companyCreditEntry.create({ data: { ...customer, ...row, amount: 1n } })],
    ['deleteMany', '$credit', (db) => db.companyCreditEntry.deleteMany()],
  ])('a plain write of %s is refused, and names %s', async (field, ledger, write) => {
    const refusal = { code: 'INVALID_ARGUMENT', field, message: expect.stringContaining(ledger) }
    expect(await rejectionOf(write(db()))).toMatchObject(refusal)
    expect(await rejectionOf(db().$transaction((tx) => Promise.resolve(write(tx as Db))))).toMatchObject(refusal)
  })

  test('a ledger with a name sends the statements of one without', async () => {
    const sent = async (isNamed: boolean) => {
      const { client, statements } = database.connect()
      const base = client.$extends(concurrency())
      const ledger = isNamed
        ? base.$extends(stock(COMPANIES)).$extends(stock({ ...CREDIT, name: 'credit' })).$credit
        : base.$extends(stock(CREDIT)).$stock
      const calls = ledger.in({ companyId: 1 })
      const entry = { transactionId: `named: ${isNamed}`, item: customer.customerId, quantity: 5n }
      await calls.move(entry)
      await calls.move(entry)
      await calls.audit()
      return statements
    }
    expect(await sent(true)).toEqual(await sent(false))
  })

  test('writes of other columns are left alone', async () => {
    await db().companyStock.update({ where: key, data: { minimum: 0 } })
    await db().companyStock.create({ data: { ...item, productId: 3 } })
    await db().companyCredit.create({ data: { ...customer, companyId: 2 } })
  })
})

function schemaOf(models: string) {
  const text = `datasource db {\n  provider = "postgresql"\n}\n\n${models}`
  return { files: [['schema.prisma', text]] as const }
}
