import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { openBalancer } from '../support/balancer.js'
import { type Page, startChromium, whyNoChromium } from '../support/chromium.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { sendTo } from '../support/http.js'
import { startProcess } from '../support/process.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()
const PATIENT = { timeout: 60_000, interval: 10 }

beforeAll(async () => {
  await database.query(await readFile(new URL('../../examples/erp/board.sql', import.meta.url), 'utf8'))
  await database.query(
    `INSERT INTO "Product" (id, name, price, "updatedAt") VALUES (1, 'Chai', 18, now()), (2, '<b>Chang</b>', 19, now());
INSERT INTO "Stock" ("productId", warehouse) VALUES (1, 'main'), (2, 'main')`,
  )
})

/** A machine in a process of its own. */
async function startMachine() {
  const machine = startProcess('./erp-worker.ts', { url: database.url })
  return { ...machine, url: await machine.answer<string>() }
}

const post = (url: string, path: string, body: object) => sendTo(url, { method: 'POST', path, key: randomUUID(), body })
const order = (productId: number, quantity: number) => ({ customer: 'VINET', lines: [{ productId, quantity }] })

/** The text of each cell, row by row. */
const cellsOf = (page: Page, table: 'items' | 'movements') =>
  page.evaluate<string[][]>(
    `[...document.querySelectorAll('#${table} tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))`,
  )
const textOf = (page: Page, id: string) => page.evaluate<string>(`document.getElementById('${id}').textContent`)

/** The figures of the tables, as a page shows them. */
async function inTheTables() {
  const rows = await database.query(
    `SELECT s."productId"::text, name, warehouse, "onHand"::text, reserved::text, ("onHand" - reserved)::text AS available, (
  SELECT coalesce(sum(quantity), 0)::text FROM "StockMovement" AS m WHERE NOT applied AND m."productId" = s."productId"
) AS arriving
FROM "Stock" AS s JOIN "Product" AS p ON p.id = s."productId" ORDER BY s."productId"`,
  )
  return rows.map((row) => Object.values(row))
}

/** Waits until a page shows what the tables have, when nothing is under way any more. */
const untilRight = (page: Page) =>
  vi.waitFor(async () => expect(await cellsOf(page, 'items')).toEqual(await inTheTables()), PATIENT)

const title =
  'the boards of two machines show what both do; one is killed, and its page catches up at the other one, with the figures of the tables'
test(`${title}${whyNoChromium ? ` (skipped: ${whyNoChromium})` : ''}`, async (context) => {
  context.skip(whyNoChromium !== undefined)
  const [victim, survivor] = [await startMachine(), await startMachine()]
  const balancer = await openBalancer([victim.url, survivor.url])
  const browser = await startChromium()
  onTestFinished(() => browser.stop())
  const pages = [await browser.open(`${balancer.url}/board`, 1280), await browser.open(`${survivor.url}/board`, 390)]
  const [moved, other] = pages

  // Both machines receive, sell and reserve, at the same time.
  const machines = [victim, survivor]
  await Promise.all(machines.map(({ url }) => post(url, '/stock/1/receipts', { quantity: 20 })))
  await vi.waitFor(async () => expect((await cellsOf(other, 'items'))[0][3]).toBe('40'), PATIENT)
  const answers = await Promise.all(
    machines.flatMap(({ url }) => [
      post(url, '/orders', order(1, 3)),
      post(url, '/baskets', { lines: order(1, 2).lines }),
      post(url, '/stock/2/counts', { counted: 9 }),
    ]),
  )
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201, 201])
  for (const page of pages) await untilRight(page)
  expect((await cellsOf(moved, 'items'))[0]).toEqual(['1', 'Chai', 'main', '34', '4', '30', '0'])
  expect((await cellsOf(moved, 'movements')).length).toBe(6)
  for (const page of pages) {
    await vi.waitFor(async () => expect(await textOf(page, 'lag')).toMatch(/^[1-9]\d* ms at most$/), PATIENT)
    expect([await textOf(page, 'state'), page.errors]).toEqual(['live', []])
    const width = '[document.documentElement.scrollWidth <= document.documentElement.clientWidth]'
    expect(await page.evaluate(width)).toEqual([true])
  }

  // One is killed in the middle of an order, and its page finds no machine.
  balancer.shut()
  const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = 2 FOR UPDATE')
  const lost = post(victim.url, '/orders', order(2, 1)).catch((error: Error) => error)
  await untilBlocked(database.url)
  victim.kill()
  expect(await lost).toBeInstanceOf(Error)
  await holder.query('COMMIT')
  await vi.waitUntil(() => balancer.refusals() > 0, PATIENT)
  await vi.waitFor(async () => expect(await textOf(moved, 'state')).toBe('not live: connecting'), PATIENT)

  // The page of the other one goes on.
  const asKilled = await cellsOf(moved, 'items')
  expect((await post(survivor.url, '/orders', order(1, 5))).status).toBe(201)
  await vi.waitFor(async () => expect((await cellsOf(other, 'items'))[0][3]).toBe('29'), PATIENT)
  await untilRight(other)
  expect(await cellsOf(moved, 'items')).toEqual(asKilled)

  // The one of the killed machine catches up, and then both go on.
  balancer.open()
  await untilRight(moved)
  expect((await post(survivor.url, '/orders', order(2, 4))).status).toBe(201)
  await vi.waitFor(async () => expect((await cellsOf(moved, 'items'))[1][3]).toBe('5'), PATIENT)
  for (const page of pages) await untilRight(page)
  expect(await cellsOf(moved, 'items')).toEqual(await cellsOf(other, 'items'))
  expect(await cellsOf(moved, 'movements')).toEqual(await cellsOf(other, 'movements'))
  expect(await textOf(moved, 'state')).toBe('live')
  const { text } = await sendTo(survivor.url, { method: 'GET', path: '/audit' })
  expect(JSON.parse(text)).toEqual({ isExact: true, stock: [], missingInvoices: [], ordersWithoutInvoice: [] })
})
