import { expect, test } from 'vitest'
import { openConnection, openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import type { HoldWork } from '../support/hold-worker.js'
import type { IncrementOutcome, IncrementWork } from '../support/increment-worker.js'
import { runInProcess, startProcess } from '../support/process.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

test('25 callers in four processes add 40 each to one row: it is exactly 1,000, and no caller fails', async () => {
  const { db } = connect()
  const { id } = await db.product.create({ data: { name: 'Chai' } })
  const start = await db.category.create({ data: { name: 'Start' } })
  const starter = await openTransaction(database.url, 'SELECT FROM "Category" WHERE id = $1 FOR UPDATE', [start.id])
  const racing = Promise.all(
    [7, 6, 6, 6].map((callers) =>
      runInProcess<IncrementOutcome>('increment-worker.ts', {
        url: database.url,
        id,
        start: start.id,
        callers,
        increments: 40,
      } satisfies IncrementWork),
    ),
  )
  await untilBlocked(database.url, 4)
  await starter.query('COMMIT')
  const outcomes = await racing
  expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
  expect(Math.max(...outcomes.map(({ attempts }) => attempts))).toBeGreaterThan(1)
  // Every stock from 1 to 1,000 was left by exactly one call.
  const stocks = outcomes.flatMap(({ stocks }) => stocks).sort((a, b) => a - b)
  expect(stocks).toEqual(Array.from({ length: 1000 }, (_, i) => i + 1))
  expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 1000, version: 1000 })
})

test('a process that is killed while it holds the row lets the others through, having written nothing', async () => {
  const { db } = connect()
  const { id } = await db.product.create({ data: { name: 'Chai' } })
  const holder = startProcess('hold-worker.ts', { url: database.url, id } satisfies HoldWork)
  await holder.answer()
  const other = await openConnection(database.url)
  const blocked = other.query('UPDATE "Product" SET stock = stock + 1, version = version + 1 WHERE id = $1', [id])
  await untilBlocked(database.url)
  holder.kill()
  await blocked
  const written = await db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
  expect(written).toMatchObject({ stock: 2, version: 4 })
})
