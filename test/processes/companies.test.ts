import { randomInt, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import type { CompanyOrder, CompanyWork } from '../support/company-worker.js'
import type { EngineName } from '../support/engines.js'
import { startProcess } from '../support/process.js'
import type { StockItem } from '../support/stock-models.js'

const database = useDatabase()
const COMPANIES = [1, 2, 3]
const OPENING = 100_000

/** Items that each company has, with so much on hand, and a customer of each with so much credit. */
async function newCompanies(count: number) {
  const items = Array.from(
    { length: count },
    (): StockItem => ({ productId: randomInt(1, 2 ** 31), warehouse: 'main' }),
  )
  const customers = new Map(COMPANIES.map((companyId) => [companyId, randomUUID() as string]))
  for (const companyId of COMPANIES) {
    for (const { productId } of items) {
      await database.query(
        `WITH item AS (INSERT INTO "CompanyStock" ("companyId", "productId", warehouse, "onHand") VALUES ($1, $2, 'main', $3))
INSERT INTO "CompanyMovement" ("companyId", "transactionId", line, "productId", warehouse, quantity) VALUES ($1, $4, 0, $2, 'main', $3)`,
        [companyId, productId, OPENING, `opening of ${productId}`],
      )
    }
    await database.query(
      `WITH customer AS (INSERT INTO "CompanyCredit" ("companyId", "customerId", balance) VALUES ($1, $2, $3))
INSERT INTO "CompanyCreditEntry" ("companyId", "transactionId", line, "customerId", amount) VALUES ($1, $4, 0, $2, $3)`,
      [companyId, customers.get(companyId), OPENING, `opening of ${customers.get(companyId)}`],
    )
  }
  return { items, customers }
}

/** The sums of all quantities of a company, of the items and of the customer, as balances and as movements. */
async function sumsOf(companyId: number, items: readonly StockItem[], customer: string | undefined) {
  const [row] = await database.query(
    `SELECT (SELECT sum("onHand") FROM "CompanyStock" WHERE "companyId" = $1 AND "productId" = ANY($2))::int AS stock,
  (SELECT sum(quantity) FROM "CompanyMovement" WHERE "companyId" = $1 AND "productId" = ANY($2))::int AS moved,
  (SELECT balance FROM "CompanyCredit" WHERE "companyId" = $1 AND "customerId" = $3)::int AS credit,
  (SELECT sum(amount) FROM "CompanyCreditEntry" WHERE "companyId" = $1 AND "customerId" = $3)::int AS paid`,
    [companyId, items.map(({ productId }) => productId), customer],
  )
  return row
}

test.each([
  { what: 'of stock', isPaid: false, engines: ['prisma', 'pg'] },
  { what: 'of stock and credit in one transaction', isPaid: true, engines: ['pg', 'prisma'] },
] as const)(
  'a process is killed in the middle of orders $what of several companies, and others send all of them again: each is carried out once in its company',
  async ({ isPaid, engines }) => {
    const { items, customers } = await newCompanies(5)
    // The same transaction ids in every company.
    const orders = Array.from({ length: 150 }, (_, n) => ({ n, transactionId: randomUUID() as string })).flatMap(
      ({ n, transactionId }) =>
        COMPANIES.map((companyId): CompanyOrder => {
          const lines = [items[n % 5], items[(n * n + companyId) % 5]]
            .filter((item, i, all) => all.indexOf(item) === i)
            .map((item) => ({ item: item as StockItem, quantity: -companyId - (n % 3) }))
          const customer = customers.get(companyId)
          return { companyId, transactionId, lines, ...(isPaid && customer ? { customer } : {}) }
        }),
    )
    const start = (engine: EngineName, own: readonly CompanyOrder[], more: Partial<CompanyWork> = {}) =>
      startProcess('company-worker.ts', { engine, url: database.url, orders: own, ...more } satisfies CompanyWork)

    const [first, second] = engines
    const [doomed, other] = [start(first, orders, { reportsAt: 60 }), start(second, orders.toReversed())]
    await doomed.answer()
    doomed.kill()
    expect(await other.answer<string[]>()).toEqual([])
    expect(await start(first, orders).answer<string[]>()).toEqual([])

    for (const companyId of COMPANIES) {
      const own = orders.filter((order) => order.companyId === companyId)
      const moved = own.flatMap(({ lines }) => lines).reduce((sum, { quantity }) => sum + quantity, 0)
      const [stock, credit] = [items.length * OPENING + moved, OPENING + (isPaid ? moved : 0)]
      expect(await sumsOf(companyId, items, customers.get(companyId))).toEqual({
        stock,
        moved: stock,
        credit,
        paid: credit,
      })
    }
  },
  300_000,
)
