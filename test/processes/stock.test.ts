import { beforeAll, expect, test } from 'vitest'
import { readLines, readProducts } from '../../examples/northwind/orders.js'
import { connectStock } from '../support/connect-stock.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { startProcess } from '../support/process.js'
import { started } from '../support/started.js'
import { STARTING_LINE } from '../support/starting-line.js'
import { expectExact, newId, type StockItem, useStock } from '../support/stock.js'
import { WORKER } from '../support/stock-models.js'
import type { OrderVerdict, StockOrder, StockWork } from '../support/stock-worker.js'
import { untilBlocked } from '../support/until-blocked.js'
import { untilPatient } from '../support/until-patient.js'

const { database, newItem, onHand, movementsOf } = useStock()
const times = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index))

beforeAll(async () => {
  // Sooner than a batch gives up waiting: two that lock in opposite orders are found out.
  await database.query(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = %L', current_database(), '10ms'); END $$`,
  )
})

const work = (orders: readonly StockOrder[], more: Partial<StockWork> = {}): StockWork => ({
  url: database.url,
  orders,
  callers: 20,
  ...more,
})
const start = (orders: readonly StockOrder[], more?: Partial<StockWork>) =>
  startProcess('stock-worker.ts', work(orders, more))

/** Processes that are let go when all of them are ready. */
async function together(shares: readonly (readonly StockOrder[])[]): Promise<OrderVerdict[]> {
  const referee = await openConnection(database.url)
  await referee.query('SELECT pg_advisory_lock($1)', [STARTING_LINE])
  const processes = shares.map((orders) => start(orders, { waitsAtStart: true }))
  await untilBlocked(database.url, shares.length)
  await referee.query('SELECT pg_advisory_unlock($1)', [STARTING_LINE])
  return (await Promise.all(processes.map((child) => child.answer<OrderVerdict[]>()))).flat()
}

/** Each order goes to two of the processes, so that both send it at about the same time. */
const sharedOut = (orders: readonly StockOrder[], processes: number) =>
  times(processes, (own) => orders.filter((_, i) => i % processes === own || (i + 1) % processes === own))

function byOrder(verdicts: readonly OrderVerdict[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const { transactionId, verdict } of verdicts) {
    found.set(transactionId, [...(found.get(transactionId) ?? []), verdict].sort())
  }
  return found
}

/** The counts of a session are certain to be seen only once the session has ended. */
async function deadlocks(): Promise<number> {
  const workers = () => database.query(`SELECT FROM pg_stat_activity WHERE application_name = '${WORKER}'`)
  await expect.poll(workers, { timeout: 60_000 }).toEqual([])
  const [row] = await database.query('SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()')
  return row?.deadlocks as number
}

/** The quantities of all movements, by transaction id. */
async function allMovements(): Promise<Map<string, number[]>> {
  const rows = await database.query(
    'SELECT "transactionId" AS id, array_agg(quantity ORDER BY line) AS quantities FROM "StockMovement" GROUP BY 1',
  )
  return new Map(rows.map(({ id, quantities }) => [id as string, quantities as number[]]))
}

/** The real orders of a company, for what it really had in stock. */
async function northwind() {
  const [products, lines] = await Promise.all([readProducts(), readLines()])
  const items = new Map<number, StockItem>()
  for (const { id, stock } of products) items.set(id, await newItem(stock))
  const orders = new Map<number, { transactionId: string; lines: { item: StockItem; quantity: number }[] }>()
  for (const { orderId, productId, quantity } of lines) {
    const order = orders.get(orderId) ?? { transactionId: newId(), lines: [] }
    order.lines.push({ item: items.get(productId) as StockItem, quantity: -quantity })
    orders.set(orderId, order)
  }
  return { items: [...items.values()], orders: [...orders.values()] }
}

test('more demand than stock, from four processes, every order sent twice: each is carried out once, or refused whole', async () => {
  const { orders } = await northwind()
  const verdicts = byOrder(await together(sharedOut(orders, 4)))
  const outcomes = orders.map(({ transactionId }) => verdicts.get(transactionId)?.join(' '))
  const granted = orders.filter((_, i) => outcomes[i] === 'done replayed')

  expect([...new Set(outcomes)].sort()).toEqual(['INSUFFICIENT_STOCK INSUFFICIENT_STOCK', 'done replayed'])
  const movements = await allMovements()
  expect(orders.map(({ transactionId }) => movements.get(transactionId))).toEqual(
    orders.map((order) => (granted.includes(order) ? order.lines.map(({ quantity }) => quantity) : undefined)),
  )
  await expectExact(database)
  expect(await deadlocks()).toBe(0)
})

test('orders of the same products in opposite orders, from two processes and from transactions around them: no deadlock', async () => {
  const items = await Promise.all(times(4, () => newItem(100_000)))
  const ascending = [...items].sort((a, b) => a.productId - b.productId)
  const order = (lines: readonly StockItem[]) => ({
    transactionId: newId(),
    lines: lines.map((item) => ({ item, quantity: -1 })),
  })
  const shares = [ascending, ascending.toReversed()].map((lines) => times(300, () => order(lines)))
  const before = await deadlocks()
  const others = Array.from({ length: 2 }, async () => {
    const own = await openConnection(database.url)
    for (let n = 0; n < 100; n++) {
      await own.query('BEGIN')
      for (const { productId } of ascending) {
        await own.query('UPDATE "Stock" SET version = version + 1 WHERE "productId" = $1', [productId])
      }
      await own.query('COMMIT')
    }
    await own.end()
  })
  const verdicts = await together(shares)
  await Promise.all(others)

  expect(verdicts.filter(({ verdict }) => verdict !== 'done')).toEqual([])
  expect(await Promise.all(items.map(onHand))).toEqual(items.map(() => 99_400))
  await expectExact(database)
  expect(await deadlocks()).toBe(before)
})

test('a process is killed in the middle, and everything is sent again: the balances are as without the kill', async () => {
  const items = await Promise.all(times(6, () => newItem(10_000)))
  const orders = times(400, (n) => ({
    transactionId: newId(),
    lines: [items[n % 6], items[(n * n + 1) % 6]]
      .filter((item, i, all) => all.indexOf(item) === i)
      .map((item) => ({ item: item as StockItem, quantity: -(n % 7) - 1 })),
  }))
  const expected = items.map(
    (item) =>
      10_000 +
      orders
        .flatMap(({ lines }) => lines.filter((line) => line.item === item))
        .reduce((sum, { quantity }) => sum + quantity, 0),
  )
  const [doomed, other] = [start(orders, { reportsAt: 60 }), start([...orders].reverse().slice(0, 200))]
  await doomed.answer()
  doomed.kill()
  await other.answer()
  const verdicts = byOrder(await together(sharedOut(orders, 2)))

  expect([...verdicts.values()].flat().filter((verdict) => !['done', 'replayed'].includes(verdict))).toEqual([])
  expect(await Promise.all(items.map(onHand))).toEqual(expected)
  await expectExact(database)
})

test.each(
  [
    { what: 'its batch', untilWaits: untilBlocked },
    { what: 'a request by itself', untilWaits: untilPatient },
  ].flatMap((wait) => [
    { ...wait, isKnown: false },
    { ...wait, isKnown: true },
  ]),
)(
  'a process is killed while $what waits for a row: what it sent is carried out once, whoever sends it again (balance known: $isKnown)',
  async ({ untilWaits, isKnown }) => {
    const item = await newItem(100)
    const order = () => ({ transactionId: newId(), lines: [{ item, quantity: -1 }] })
    const orders = times(20, order)
    const referee = await openConnection(database.url)
    await referee.query('SELECT pg_advisory_lock($1)', [STARTING_LINE])
    const doomed = start(orders, { waitsAtStart: true, ...(isKnown ? { first: order() } : {}) })
    await untilBlocked(database.url)
    const owner = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
      item.productId,
    ])
    await referee.query('SELECT pg_advisory_unlock($1)', [STARTING_LINE])
    await untilWaits(database.url)
    doomed.kill()
    const { db } = connectStock(database.url)
    const calls = orders.map((each) => started(db.$stock.moveAll(each)))
    await owner.query('COMMIT')
    await Promise.all(calls)

    expect(await Promise.all(orders.map(({ transactionId }) => movementsOf(transactionId)))).toEqual(
      times(20, () => [-1]),
    )
    await expectExact(database)
  },
)
