import { randomInt } from 'node:crypto'
import { expect } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import { COMPANIES } from './company-models.js'
import type { describeEngines } from './engines.js'
import type { StockItem } from './stock-models.js'

export { COMPANIES, type CompanyScope, CREDIT } from './company-models.js'

type Engine = Parameters<Parameters<typeof describeEngines>[0]>[0]

/** Clients of an engine with the stock of several companies, and items that nobody else uses. */
export function useCompanies({ connect, name, database }: Engine) {
  const openRecorded = async (...[engine = name, options]: Partial<Parameters<typeof connect>>) => {
    const { db, client, pool } = await connect(engine, options)
    const statements: string[] = []
    const known = new WeakSet<object>()
    pool.on('acquire', (connection) => {
      if (known.has(connection)) return
      known.add(connection)
      const { query } = connection
      connection.query = (...args: [string | { text: string }]) => {
        statements.push(typeof args[0] === 'string' ? args[0] : args[0].text)
        return Reflect.apply(query, connection, args)
      }
    })
    const own = engine === 'pg' ? db.$extends(stock<StockItem, number, { companyId: number }>(COMPANIES)) : undefined
    const prisma = () => client.$extends(concurrency(options?.options)).$extends(prismaStock(COMPANIES))
    return { db: own ?? (prisma() as unknown as NonNullable<typeof own>), statements }
  }
  const open = async (...args: Parameters<typeof openRecorded>) => (await openRecorded(...args)).db
  /** The same item in each of the companies, with so much on hand there. */
  const newItem = async (onHand: Readonly<Record<number, number>>): Promise<StockItem> => {
    const item = { productId: randomInt(1, 2 ** 31), warehouse: 'main' }
    for (const [company, quantity] of Object.entries(onHand)) {
      await database.query(
        `WITH item AS (INSERT INTO "CompanyStock" ("companyId", "productId", warehouse, "onHand") VALUES ($1, $2, $3, $4))
INSERT INTO "CompanyMovement" ("companyId", "transactionId", line, "productId", warehouse, quantity)
SELECT $1, $5, 0, $2, $3, $4 WHERE $4 <> 0`,
        [company, item.productId, item.warehouse, quantity, `opening of ${item.productId}`],
      )
    }
    return item
  }
  /** The quantity on hand of the item in each company. */
  const onHand = async ({ productId, warehouse }: StockItem): Promise<Record<number, number>> => {
    const rows = await database.query(
      'SELECT "companyId", "onHand" FROM "CompanyStock" WHERE "productId" = $1 AND warehouse = $2',
      [productId, warehouse],
    )
    return Object.fromEntries(rows.map(({ companyId, onHand }) => [companyId, onHand]))
  }
  /** Every balance is the sum that the movements and reservations of its own company add up to. */
  const expectExact = async () => {
    const wrong = await database.query(`
SELECT i.* FROM "CompanyStock" AS i
WHERE "onHand" <> (
  SELECT coalesce(sum(quantity), 0) FROM "CompanyMovement" AS m
  WHERE (m."companyId", m."productId", m.warehouse) = (i."companyId", i."productId", i.warehouse) AND m.applied
) OR reserved <> (
  SELECT coalesce(sum(quantity), 0) FROM "CompanyReservation" AS r
  WHERE (r."companyId", r."productId", r.warehouse) = (i."companyId", i."productId", i.warehouse) AND r.state = 'active'
) OR "onHand" < minimum`)
    expect(wrong).toEqual([])
  }
  return { open, openRecorded, newItem, onHand, expectExact }
}
