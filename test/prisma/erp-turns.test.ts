import { expect, test } from 'vitest'
import { serials } from '../../src/serials/extension.js'
import { series } from '../../src/series/extension.js'
import { expectExact, newId, useStock } from '../support/stock.js'

const stock = useStock()

test('calls of stock, serials and series at once in one transaction do not undo one another', async () => {
  const { db: base } = stock.connect()
  const db = base.$extends(serials()).$extends(series())
  const item = await stock.newItem(10)

  const outcomes = await db.$transaction((tx) =>
    Promise.allSettled([
      tx.$serials.allocate({ transactionId: newId(), where: { productId: -1 }, count: 1 }), // refused, in a savepoint
      tx.$stock.move({ transactionId: newId(), item, quantity: -3 }),
      tx.$series.next('ticket'),
      tx.$serials.allocate({ transactionId: newId(), where: { productId: -1 }, count: 1 }),
      tx.$stock.move({ transactionId: newId(), item, quantity: -4 }),
      tx.$series.next('ticket'),
    ]),
  )

  expect(outcomes.map(({ status }) => status)).toEqual([
    'rejected',
    'fulfilled',
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
  ])
  expect(await stock.onHand(item)).toBe(3)
  expect((await db.series.findMany()).map(({ last }) => last)).toEqual([2n])
  await expectExact(stock.database)
})
