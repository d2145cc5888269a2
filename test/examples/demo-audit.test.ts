import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, beforeAll, expect, inject, onTestFinished, test, vi } from 'vitest'
import { type Audit, audit, FAULTS, isExact } from '../../examples/northwind/audit.js'
import { conclusion, table } from '../../examples/northwind/report.js'
import { openShop, type Purchase, WAREHOUSE } from '../../examples/northwind/shop.js'
import { createDatabase, type Database, databaseName } from '../support/database.js'

const SERIALISED = 11
const STOCK = { 1: 10, 2: 1, [SERIALISED]: 10 }

const line = (orderId: number, productId: number, quantity: number) => ({ orderId, productId, quantity })
const ORDERS: readonly Purchase[] = [
  { id: 1, customer: 'VINET', lines: [line(1, 1, 2), line(1, SERIALISED, 3)] },
  { id: 2, customer: 'TOMSP', lines: [line(2, 1, 1)] },
  { id: 3, customer: 'HANAR', lines: [line(3, 1, 1), line(3, 2, 5)] },
  { id: 4, customer: 'VICTE', lines: [line(4, 2, 1), line(4, 1, 1)] },
]

/** A small shop after its day's work: the third of its orders was refused. */
let shop: Database
beforeAll(async () => {
  shop = await createDatabase(inject('serverUrl'), inject('template'))
  const { db, sell } = openShop(new PrismaPg({ connectionString: shop.url }))
  const products = Object.entries(STOCK).map(([id, onHand]) => ({ id: Number(id), onHand }))
  await db.product.createMany({ data: products.map(({ id }) => ({ id, name: `Product ${id}` })) })
  await db.order.createMany({ data: ORDERS.map(({ id, customer }) => ({ id, customer })) })
  await db.orderLine.createMany({ data: ORDERS.flatMap(({ lines }) => lines) })
  await db.stock.createMany({ data: products.map(({ id }) => ({ productId: id, warehouse: WAREHOUSE })) })
  await db.$stock.moveAll({
    transactionId: 'opening',
    lines: products.map(({ id, onHand }) => ({ item: { productId: id, warehouse: WAREHOUSE }, quantity: onHand })),
  })
  await db.$serials.import({
    transactionId: 'opening',
    data: { productId: SERIALISED },
    range: { from: 1, to: 10, format: 'S-{00}' },
  })
  for (const order of ORDERS) await sell(order)
  await db.$disconnect() // a database that somebody uses cannot be copied
})
afterAll(() => shop?.drop())

/** The audit of a copy of the shop after these statements. */
async function auditAfter(sql = ''): Promise<Audit> {
  const copy = await createDatabase(inject('serverUrl'), databaseName(shop.url))
  onTestFinished(() => copy.drop())
  if (sql !== '') await copy.query(sql)
  return audit(copy, [SERIALISED])
}

const EXACT = {
  ordersSold: 3,
  ordersRefused: 1,
  unitsAsked: 14,
  unitsSold: 8,
  openingStock: 21,
  stockLeft: 13,
  wrongBalances: 0,
  negativeBalances: 0,
  halfSold: 0,
  soldTwice: 0,
  invoices: 3,
  invoiceGaps: 0,
  invoicesAmiss: 0,
  serialsSold: 3,
  serialsAmiss: 0,
}

test('the audit finds a shop exact in which nothing is wrong, and adds up what was sold', async () => {
  const result = await auditAfter()

  expect(result).toEqual(EXACT)
  expect(isExact(result)).toBe(true)
})

const FAULTY: readonly [what: string, fault: (typeof FAULTS)[number], sql: string][] = [
  [
    'an order of which one line was not sold',
    'halfSold',
    `DELETE FROM "StockMovement" WHERE "transactionId" = 'order 4' AND "productId" = 2;
UPDATE "Stock" SET "onHand" = "onHand" + 1 WHERE "productId" = 2`,
  ],
  [
    'an order of which one line was sold in part',
    'halfSold',
    `UPDATE "StockMovement" SET quantity = -1 WHERE "transactionId" = 'order 1' AND "productId" = 1;
UPDATE "Stock" SET "onHand" = "onHand" + 1 WHERE "productId" = 1`,
  ],
  [
    'a line that was sold twice',
    'soldTwice',
    `INSERT INTO "StockMovement" VALUES ('order 2', 9, 1, '${WAREHOUSE}', -1);
UPDATE "Stock" SET "onHand" = "onHand" - 1 WHERE "productId" = 1`,
  ],
  ['an invoice number that is missing at the beginning', 'invoiceGaps', 'DELETE FROM "SeriesNumber" WHERE value = 1'],
  ['an invoice number that is missing in between', 'invoiceGaps', 'DELETE FROM "SeriesNumber" WHERE value = 2'],
  ['an invoice number that is missing at the end', 'invoiceGaps', 'DELETE FROM "SeriesNumber" WHERE value = 3'],
  ['an order that was sold without an invoice', 'invoicesAmiss', 'DELETE FROM "Invoice" WHERE "orderId" = 2'],
  [
    'an invoice of an order that was refused',
    'invoicesAmiss',
    `INSERT INTO "Invoice" (number, "orderId") VALUES ('INV-1', 3)`,
  ],
  [
    'a serial number too many',
    'serialsAmiss',
    `UPDATE "Serial" SET "transactionId" = 'order 1', "orderId" = 1 WHERE number = 'S-10'`,
  ],
  [
    'a serial number too few',
    'serialsAmiss',
    `UPDATE "Serial" SET "transactionId" = NULL, "orderId" = NULL WHERE number = 'S-01'`,
  ],
  [
    'a serial number of an order that did not ask for its product',
    'serialsAmiss',
    `UPDATE "Serial" SET "transactionId" = 'order 2', "orderId" = 2 WHERE number = 'S-10'`,
  ],
  [
    'a serial number that was taken for no order',
    'serialsAmiss',
    `UPDATE "Serial" SET "transactionId" = 'order 2' WHERE number = 'S-10'`,
  ],
  [
    'a balance that is not the sum of its movements',
    'wrongBalances',
    `UPDATE "Stock" SET "onHand" = "onHand" - 1 WHERE "productId" = 1`,
  ],
  [
    'a balance below zero',
    'negativeBalances',
    `INSERT INTO "StockMovement" VALUES ('theft', 0, 2, '${WAREHOUSE}', -1);
UPDATE "Stock" SET "onHand" = -1 WHERE "productId" = 2`,
  ],
]

test.each(FAULTY)('the audit finds %s, as %s and as nothing else', async (_, fault, sql) => {
  const result = await auditAfter(sql)

  expect(FAULTS.filter((name) => result[name] !== 0)).toEqual([fault])
  expect(result[fault]).toBe(1)
  expect(isExact(result)).toBe(false)
})

test('the report says that it is not exact if anything is not, and shows what in red on a terminal', () => {
  vi.stubEnv('FORCE_COLOR', '1') // Node itself looks at it, too
  onTestFinished(() => void vi.unstubAllEnvs())
  const faulty = { ...EXACT, soldTwice: 2 }
  const replay = { answers: 8, killed: 1 }

  expect(conclusion(faulty)).toContain('It is not exact.')
  expect(conclusion(EXACT)).not.toContain('not exact')
  const red = (audit: Audit) => table(audit, replay, true).split('\x1b[31m').length - 1
  expect([red(EXACT), red(faulty)]).toEqual([0, 1])
  expect(table(faulty, replay, false)).not.toContain('\x1b')
})
