import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { SERIALISED } from '../../examples/erp/goods.js'
import { readProducts } from '../../examples/northwind/orders.js'
import { readPurchases } from '../../examples/northwind/purchases.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import type { HttpAnswer } from '../support/http.js'
import { Machine } from '../support/machine.js'

import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()
const numberOf = async (sql: string) => (await database.query(sql))[0].count as number

/** Orders that are on their way at a time, each to both machines. */
const IN_HAND = 8

/** Products, with their opening stock as receipts over HTTP. */
async function fill(machine: Machine): Promise<void> {
  const products = await readProducts()
  for (const { id, name, price } of products) {
    await database.query('INSERT INTO "Product" (id, name, price, "updatedAt") VALUES ($1, $2, $3, now())', [
      id,
      name,
      price,
    ])
  }
  await database.query(`INSERT INTO "Stock" ("productId", warehouse) SELECT id, 'main' FROM "Product"`)
  const received = products
    .filter(({ stock }) => stock > 0)
    .map(({ id, stock: quantity }) => {
      const serials = SERIALISED.has(id) ? Array.from({ length: quantity }, (_, i) => `P${id}-${i + 1}`) : undefined
      const body = { quantity, serials }
      return machine.send({ method: 'POST', path: `/stock/${id}/receipts`, key: `opening ${id}`, body })
    })
  expect(new Set((await Promise.all(received)).map(({ status }) => status))).toEqual(new Set([202]))
  while ((await numberOf('SELECT count(*)::int FROM "StockMovement" WHERE NOT applied')) > 0) await sleep(5)
}

/** Kills a machine for certain in the middle of requests: nobody gets an invoice number before it is dead. */
async function killInTheMiddle(victim: Machine): Promise<void> {
  const holder = await openTransaction(database.url, 'SELECT FROM "Series" FOR UPDATE')
  // One more than a machine has in hand, so each of the two has one at least.
  await untilBlocked(database.url, IN_HAND + 1)
  victim.restart()
  await holder.query('COMMIT')
}

/** Sends every order to both machines at the same time, and kills one of them on the way. */
async function replay(machines: readonly Machine[], victim: Machine): Promise<Map<number, HttpAnswer[]>> {
  const purchases = (await readPurchases()).values()
  const answers = new Map<number, HttpAnswer[]>()
  let killing: Promise<void> | undefined
  async function sendOrders() {
    for (const { id, customer, lines } of purchases) {
      const body = { customer, lines: lines.map(({ productId, quantity }) => ({ productId, quantity })) }
      const order = { method: 'POST', path: '/orders', key: String(id), body }
      answers.set(id, await Promise.all(machines.map((machine) => machine.send(order))))
      if (answers.size >= 20) killing ??= killInTheMiddle(victim)
    }
  }
  await Promise.all(Array.from({ length: IN_HAND }, sendOrders))
  await killing
  return answers
}

test('the Northwind orders, each sent to two machines at once, one of which is killed, are each sold whole, once, or not at all', async () => {
  const machines = [0, 1].map(() => new Machine('./erp-worker.ts', { url: database.url }))
  const [survivor, victim] = machines
  await fill(survivor)

  const answers = await replay(machines, victim)

  const purchases = await readPurchases()
  const audit = await victim.send({ method: 'GET', path: '/audit' })
  expect(victim.sentAgain).toBeGreaterThan(0)
  expect(JSON.parse(audit.text)).toEqual({ isExact: true, stock: [], missingInvoices: [], ordersWithoutInvoice: [] })

  // Both sendings of an order have the same answer. The quantity available of a short item may change between them.
  const sameAnswer = ([a, b]: HttpAnswer[]) =>
    a.status === 201 ? b.status === 201 && a.text === b.text : a.status === 409 && b.status === 409
  expect(answers.size).toBe(830)
  expect([...answers].filter(([, both]) => !sameAnswer(both))).toEqual([])

  // The ledger has exactly the orders that are sold by their answers, and nothing of those that were refused.
  const sold = purchases.filter(({ id }) => answers.get(id)?.[0].status === 201)
  const soldLines = sold.flatMap(({ id, lines }) => lines.map((line) => `${id}: ${line.productId} ${-line.quantity}`))
  const movements = await database.query(
    `SELECT substr("transactionId", 7) || ': ' || "productId" || ' ' || quantity AS text, applied
FROM "StockMovement" WHERE "transactionId" LIKE 'order %'`,
  )
  expect(sold.length).toBeGreaterThan(50)
  expect(sold.length).toBeLessThan(830)
  expect(movements.map(({ text }) => text).sort()).toEqual(soldLines.sort())
  expect(movements.filter(({ applied }) => !applied)).toEqual([])

  // The balances are what is left, and nothing is below zero.
  const wrong = await database.query(
    `SELECT * FROM "Stock" AS s
WHERE "onHand" < 0 OR reserved <> 0
  OR "onHand" <> (SELECT coalesce(sum(quantity), 0) FROM "StockMovement" AS m WHERE m."productId" = s."productId")`,
  )
  expect(wrong).toEqual([])
  expect(await numberOf('SELECT sum(quantity)::int AS count FROM "StockMovement" WHERE quantity > 0')).toBe(3_119)

  // The invoices are numbered from 1 on without a gap, one per order that was sold, and each order has its lines.
  const numbers = sold.map(({ id }) => JSON.parse(answers.get(id)?.[0].text ?? '').number)
  const expected = sold.map((_, i) => `INV-${String(i + 1).padStart(6, '0')}`)
  const invoices = await database.query(
    'SELECT number FROM "Invoice" JOIN "Order" AS o ON o.id = "orderId" ORDER BY number',
  )
  expect(numbers.sort()).toEqual(expected)
  expect(invoices.map(({ number }) => number)).toEqual(expected)
  expect(await numberOf('SELECT count(*)::int FROM "Order"')).toBe(sold.length)
  expect(await numberOf('SELECT count(*)::int FROM "OrderLine"')).toBe(soldLines.length)

  // Every unit of a serialised product has a serial number of its own: that of its invoice, and of its order.
  const onInvoices = sold.flatMap(({ id }) => {
    const { order, lines } = JSON.parse(answers.get(id)?.[0].text ?? '')
    return lines.flatMap(
      ({ productId, quantity, serials }: { productId: number; quantity: number; serials: string[] }) => {
        expect(serials).toHaveLength(SERIALISED.has(productId) ? quantity : 0)
        return serials.map((number) => `${order}: ${productId} ${number}`)
      },
    )
  })
  const serials = await database.query(
    `SELECT "orderId" || ': ' || "productId" || ' ' || number AS text FROM "Serial" WHERE "transactionId" IS NOT NULL`,
  )
  expect(onInvoices.length).toBeGreaterThan(0)
  expect(serials.map(({ text }) => text).sort()).toEqual(onInvoices.sort())
}, 300_000)
