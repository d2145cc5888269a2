import { expect, test } from 'vitest'
import { serials } from '../../src/serials/extension.js'
import { series } from '../../src/series/extension.js'
import { newId, useStock } from '../support/stock.js'

const stock = useStock()

test('every namespace of a tx is one of its own, the same at each look, and in the tx', async () => {
  const { db: base } = stock.connect()
  const db = base.$extends(serials()).$extends(series())

  await db.$transaction(async (tx) => {
    expect(tx.$stock).toBe(tx.$stock)
    expect(tx.$stock).not.toBe(db.$stock)
    expect(['$stock', '$serials', '$series', 'order', '$nothing'].map((name) => name in tx)).toEqual([
      true,
      true,
      true,
      true,
      false,
    ])
  })
})

test('an extension between two layers that hands on a tx with a $stock of its own is not passed over', async () => {
  const { db: base } = stock.connect()
  type Body = (tx: object) => Promise<unknown>
  const refusing = base.$extends((client: typeof base) =>
    client.$extends({
      client: {
        $transaction(body: Body) {
          return client.$transaction((tx) => body(Object.create(tx, { $stock: { value: 'their own' } })))
        },
      },
    }),
  )
  const db = (refusing as unknown as typeof base).$extends(serials())

  const seen = await db.$transaction(async (tx) => [tx.$stock, typeof tx.$serials.allocate] as unknown[])

  expect(seen).toEqual(['their own', 'function'])
})

test('a property that is defined on a tx, as a spy is, is read there', async () => {
  const { db } = stock.connect()
  const item = await stock.newItem(1)

  await db.$transaction(async (tx) => {
    Object.defineProperty(tx, '$queryRaw', { value: () => 'spied', configurable: true })
    expect(tx.$queryRaw`SELECT 1`).toBe('spied')
    await tx.$stock.move({ transactionId: newId(), item, quantity: -1 })
  })

  expect(await stock.onHand(item)).toBe(0)
})
