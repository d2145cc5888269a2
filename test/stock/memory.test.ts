import { expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { startProcess } from '../support/process.js'
import { expectExact, useStock } from '../support/stock.js'
import type { MemoryReport, MemoryWork } from '../support/stock-memory-worker.js'

const { database, newItem, onHand } = useStock()
const CALLS = 25_000
/** In bytes: of each, and of the code that runs for the first time. */
const MOST = CALLS * 1_000 + 5_000_000

test('moves that wait cost less than 1 kB each, however many they are, and all of them are carried out', async () => {
  const item = await newItem(0)
  const owner = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
    item.productId,
  ])
  const work: MemoryWork = { url: database.url, item, calls: CALLS }
  const { cost, ended } = await startProcess('stock-memory-worker.ts', work).answer<MemoryReport>()
  expect(ended).toBe(0)
  expect(cost).toBeLessThan(MOST)
  await owner.query('COMMIT')

  await expect.poll(() => onHand(item), { timeout: 110_000, interval: 100 }).toBe(CALLS)
  await expectExact(database)
})
