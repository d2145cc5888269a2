import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concurrency, type Numeric, type PgOptions, stock } from '../../src/pg.js'
import { useDatabase } from '../support/clients.js'
import { rejectionOf } from '../support/rejection.js'
import { MATERIAL, STOCK } from '../support/stock-models.js'

const database = useDatabase()
let pool: pg.Pool
beforeAll(() => {
  pool = new pg.Pool({ connectionString: database.url })
})
afterAll(() => pool.end())

const MODELS: PgOptions['models'] = {
  Material: {
    table: 'raw material',
    fields: { code: 'the code', onHand: 'on hand', opening: 'order', updatedAt: 'updated at' },
  },
  MaterialMovement: {
    table: 'raw material movement',
    fields: {
      reference: 'the reference',
      change: 'change of',
      isApplied: 'is applied',
      isRefused: 'is refused',
    },
  },
}

describe('models from the catalogue', () => {
  test('are called as the options say, so that the options of Prisma work', async () => {
    const db = (await concurrency(pool, { models: MODELS })).$extends(stock<string, Numeric>(MATERIAL))
    await database.query(
      `INSERT INTO "raw material" ("the code", "on hand", "order", "updated at") VALUES ('M-1', 1.5, 1.5, '2020-01-01')`,
    )
    const { balance } = await db.$stock.move({ transactionId: 'mapped', item: 'M-1', quantity: '-0.250' })
    expect([balance.toFixed(), String(balance)]).toEqual(['1.25', '1.25'])
    const [row] = await database.query(
      `SELECT "on hand"::text AS left, "updated at" > '2021-01-01' AS touched FROM "raw material"`,
    )
    expect(row).toEqual({ left: '1.250', touched: true })
  })

  test('that are not there are named, each with its path', async () => {
    const models = { Stock: { fields: { productId: 'product' } }, Nothing: { table: 'nowhere' } }
    expect(await rejectionOf(concurrency(pool, { models }))).toMatchObject({
      code: 'CONFIGURATION',
      issues: [
        { path: 'models.Stock.fields.productId', message: expect.stringContaining('no column product') },
        { path: 'models.Nothing', message: expect.stringContaining('no table nowhere') },
      ],
    })
  })

  test('are checked when an extension is applied, and every mistake is named', async () => {
    const db = await concurrency(pool)
    const wrong = stock({ item: { model: 'Stock', key: 'productId' }, movement: { model: 'Movements' } })
    expect(() => db.$extends(wrong)).toThrow('there is no model Movements')
    expect(() => db.$extends(wrong)).toThrow('Stock needs @@unique([productId])')
  })

  test('are written by one extension alone', async () => {
    const db = (await concurrency(pool)).$extends(stock(STOCK))
    const other = { ...stock(STOCK), apply: () => ({ name: '$other', models: ['Stock'], make: () => ({}) }) }
    expect(() => db.$extends(other)).toThrow('Stock is written by $stock already')
  })

  test('have the version column that is told by its default, or named', async () => {
    const db = (await concurrency(pool, { version: { models: { Stock: false } } })).$extends(stock(STOCK))
    await database.query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES (7, 'main', 5)`)
    await database.query(
      `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ('v', 0, 7, 'main', 5)`,
    )
    await db.$stock.move({ transactionId: 'no version', item: { productId: 7, warehouse: 'main' }, quantity: -1 })
    expect(await database.query('SELECT version FROM "Stock" WHERE "productId" = 7')).toEqual([{ version: '0' }])
  })

  test('of options that are no options are refused before the database is asked', async () => {
    const wrong = { model: {} } as PgOptions
    expect(await rejectionOf(concurrency(pool, wrong))).toMatchObject({ code: 'CONFIGURATION' })
  })
})
