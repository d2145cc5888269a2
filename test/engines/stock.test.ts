import { randomInt, randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { expectExact } from '../support/stock.js'
import type { StockItem } from '../support/stock-models.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines(({ connectErp, database, other }) => {
  const newId = () => randomUUID()
  const newItem = async (onHand = 0): Promise<StockItem> => {
    const item = { productId: randomInt(1, 2 ** 31), warehouse: 'main' }
    await database.query(
      `WITH item AS (INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, $2, $3))
INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
SELECT $4, 0, $1, $2, $3 WHERE $3 <> 0`,
      [item.productId, item.warehouse, onHand, `opening of ${item.productId}`],
    )
    return item
  }
  const stateOf = async ({ productId, warehouse }: StockItem) =>
    (
      await database.query(
        'SELECT "onHand", reserved, version::int FROM "Stock" WHERE "productId" = $1 AND warehouse = $2',
        [productId, warehouse],
      )
    )[0]

  describe('move', () => {
    test('takes from the stock, bumps the version, and says what is left', async () => {
      const { db } = await connectErp()
      const item = await newItem(10)
      const result = await db.$stock.move({ transactionId: newId(), item, quantity: -3 })
      expect(result).toEqual({ quantity: -3, balance: 7, replayed: false })
      expect(await stateOf(item)).toEqual({ onHand: 7, reserved: 0, version: 1 })
      await expectExact(database)
    })

    test('is carried out once for each transaction id, whichever engine it comes by', async () => {
      const { db } = await connectErp()
      const { db: their } = await connectErp(other)
      const item = await newItem(10)
      const call = { transactionId: newId(), item, quantity: -3 }
      expect(await db.$stock.move(call)).toMatchObject({ balance: 7, replayed: false })
      expect(await their.$stock.move(call)).toMatchObject({ balance: 7, replayed: true })
      expect(await rejectionOf(their.$stock.move({ ...call, quantity: -4 }))).toMatchObject({
        code: 'IDEMPOTENCY_MISMATCH',
      })
    })

    test('refuses what is not there, with what could be had', async () => {
      const { db } = await connectErp()
      const item = await newItem(2)
      const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -3 }))
      expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK', shortages: [{ item, requested: 3, available: 2 }] })
      expect(await stateOf(item)).toMatchObject({ onHand: 2 })
    })

    test('never sells more than there is to callers of both engines at once', async () => {
      const { db } = await connectErp()
      const { db: their } = await connectErp(other)
      const item = await newItem(30)
      const sell = (each: typeof db) => each.$stock.move({ transactionId: newId(), item, quantity: -1 })
      const outcomes = await Promise.allSettled(Array.from({ length: 40 }, (_, i) => sell(i % 2 === 0 ? db : their)))
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(30)
      expect(await stateOf(item)).toMatchObject({ onHand: 0 })
      await expectExact(database)
    })

    test('waits for somebody who holds the item, and goes on from what that has left', async () => {
      const { db } = await connectErp()
      const item = await newItem(10)
      const holder = await openTransaction(database.url, `UPDATE "Stock" SET "onHand" = 10 WHERE "productId" = $1`, [
        item.productId,
      ])
      const work = started(db.$stock.move({ transactionId: newId(), item, quantity: -4 }))
      await untilBlocked(database.url)
      await holder.query('COMMIT')
      expect(await work).toMatchObject({ balance: 6 })
    })

    test('is part of the transaction that it is called in', async () => {
      const { db } = await connectErp()
      const item = await newItem(10)
      const transactionId = newId()
      const work = db.$transactionWithRetry(async (tx) => {
        expect(await tx.$stock.move({ transactionId, item, quantity: -3 })).toMatchObject({ balance: 7 })
        throw new Error('rolled back')
      })
      await rejectionOf(work)
      expect(await stateOf(item)).toMatchObject({ onHand: 10 })
    })

    test('is of unknown outcome, and not refused, while a statement that was lost may still come', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await connectErp(undefined, { url: proxy.url })
      const { db: their } = await connectErp(other)
      const item = await newItem(2)
      const transactionId = newId()
      const late = proxy.next(/^WITH locked/, 'late')
      const error = await rejectionOf(db.$stock.move({ transactionId, item, quantity: -4 }))
      expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { code: 'INSUFFICIENT_STOCK' } })

      await their.$stock.move({ transactionId: newId(), item, quantity: 10 })
      late.release()
      await expect.poll(() => stateOf(item), { timeout: 60_000 }).toMatchObject({ onHand: 8 })
      expect(await their.$stock.move({ transactionId, item, quantity: -4 })).toMatchObject({ replayed: true })
    })

    test('finds its own movement when the answer was lost', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await connectErp(undefined, { url: proxy.url })
      const item = await newItem(10)
      await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
      proxy.next(/^COMMIT|^WITH/, 'drop')
      expect(await db.$stock.move({ transactionId: newId(), item, quantity: -1 })).toMatchObject({ balance: 8 })
      await expectExact(database)
    })
  })

  test('moveAll moves all lines, or none', async () => {
    const { db } = await connectErp()
    const [a, b] = [await newItem(5), await newItem(0)]
    const lines = [
      { item: a, quantity: -2 },
      { item: b, quantity: -1 },
    ]
    expect(await rejectionOf(db.$stock.moveAll({ transactionId: newId(), lines }))).toMatchObject({
      code: 'INSUFFICIENT_STOCK',
    })
    const transfer = [
      { item: a, quantity: -2 },
      { item: b, quantity: 2 },
    ]
    expect(await db.$stock.moveAll({ transactionId: newId(), lines: transfer })).toEqual({
      lines: [
        { item: a, quantity: -2, balance: 3 },
        { item: b, quantity: 2, balance: 2 },
      ],
      replayed: false,
    })
    await expectExact(database)
  })

  test('count records the difference to what was on hand', async () => {
    const { db } = await connectErp()
    const item = await newItem(10)
    expect(await db.$stock.count({ transactionId: newId(), item, counted: 7 })).toEqual({
      quantity: -3,
      balance: 7,
      replayed: false,
    })
  })

  test('what is deferred is folded into the balance by project', async () => {
    const { db } = await connectErp()
    const item = await newItem(1)
    const transactionId = newId()
    expect(await db.$stock.defer({ transactionId, item, quantity: 5 })).toEqual({ replayed: false })
    expect(await db.$stock.defer({ transactionId, item, quantity: 5 })).toEqual({ replayed: true })
    expect(await stateOf(item)).toMatchObject({ onHand: 1 })
    expect(await db.$stock.project()).toEqual({ folded: 1 })
    expect(await stateOf(item)).toMatchObject({ onHand: 6 })
  })

  test('a reservation is released, or fulfilled, once', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const item = await newItem(10)
    const [kept, given] = [newId(), newId()]
    const reserve = (transactionId: string) =>
      db.$stock.reserve({ transactionId, item, quantity: 4, expiresIn: 60_000 })
    expect(await reserve(kept)).toEqual({ expiresAt: expect.any(Date), state: 'active', replayed: false })
    await reserve(given)
    expect(await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -3 }))).toMatchObject({
      shortages: [{ available: 2 }],
    })
    expect(await their.$stock.release({ transactionId: given })).toEqual({ released: true, state: 'released' })
    expect(await their.$stock.fulfil({ transactionId: kept })).toMatchObject({ lines: [{ balance: 6 }] })
    expect(await db.$stock.fulfil({ transactionId: kept })).toMatchObject({ replayed: true })
    expect(await stateOf(item)).toMatchObject({ onHand: 6, reserved: 0 })
  })

  test('audit finds the item whose balance is not what its movements add up to', async () => {
    const { db } = await connectErp()
    const item = await newItem(10)
    await database.query('UPDATE "Stock" SET "onHand" = 12 WHERE "productId" = $1', [item.productId])
    const found = (await db.$stock.audit()).filter((each) => each.item.productId === item.productId)
    expect(found).toEqual([{ item, balance: 12, expected: 10, reserved: 0, expectedReserved: 0 }])
    await database.query('UPDATE "Stock" SET "onHand" = 10 WHERE "productId" = $1', [item.productId])
  })

  describe('audit of more items than a page has', () => {
    const PRODUCTS = 8_334
    /** 25,002 items, three of each product, in front of all others: a page of 10,000 ends between two of a product. */
    const fill = async () => {
      await database.query('DELETE FROM "Stock" WHERE "productId" < 0')
      await database.query('DELETE FROM "StockMovement" WHERE "productId" < 0')
      await database.query(`WITH item AS (
  INSERT INTO "Stock" ("productId", warehouse, "onHand")
  SELECT n, warehouse, 2 FROM generate_series(-${PRODUCTS}, -1) AS n, unnest('{a,b,c}'::text[]) AS warehouse RETURNING *
)
INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
SELECT 'of ' || "productId" || warehouse || line, line, "productId", warehouse, 1 FROM item, generate_series(0, 1) AS line`)
    }
    /** The place of an item among all of them, from 1 on. */
    const at = (place: number): StockItem => ({
      productId: Math.floor((place - 1) / 3) - PRODUCTS,
      warehouse: 'abc'[(place - 1) % 3] as string,
    })
    const ours = <R extends { readonly item: StockItem }>(found: readonly R[]) =>
      found.filter(({ item }) => item.productId < 0)
    afterAll(() => database.query('DELETE FROM "Stock" WHERE "productId" < 0'))

    test('finds what is wrong, and what is gone, at the ends of pages and between them, once, in order', async () => {
      const { db } = await connectErp()
      await fill()
      // With five gone, the pages end at the places 10,001 and 20,004.
      const wrong = [1, 10_000, 10_001, 10_003, 20_003, 20_004, 20_005, 25_002].map(at)
      const gone = [2, 10_002, 15_000, 20_002, 25_001].map(at)
      for (const { productId, warehouse } of wrong) {
        const own = [productId, warehouse]
        await database.query('UPDATE "Stock" SET "onHand" = 3 WHERE "productId" = $1 AND warehouse = $2', own)
      }
      for (const { productId, warehouse } of gone) {
        const own = [productId, warehouse]
        await database.query('DELETE FROM "Stock" WHERE "productId" = $1 AND warehouse = $2', own)
      }

      const found = ours(await db.$stock.audit())

      const nothing = { expected: 2, reserved: 0, expectedReserved: 0 }
      const expected = [
        ...wrong.map((item) => ({ ...nothing, item, balance: 3 })),
        ...gone.map((item) => ({ ...nothing, item, balance: 0, missing: true })),
      ]
      const place = ({ item: { productId, warehouse } }: { readonly item: StockItem }) =>
        `${100_000 + productId}${warehouse}`
      expect(found).toEqual(expected.sort((a, b) => (place(a) < place(b) ? -1 : 1)))
    })

    test('finds nothing, though between any two statements items of all pages are moved, made and deleted', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await connectErp(undefined, { url: proxy.url })
      const { db: their } = await connectErp(other)
      await fill()
      const holds = [1, 2, 3, 4].map(() => proxy.next(/OFFSET 9999/, 'hold'))
      const auditing = started(db.$stock.audit())

      for (const [i, { happened, release }] of holds.entries()) {
        await happened
        const lines = [1, 10_000, 10_001, 20_000, 20_001, 25_002].map((place) => ({ item: at(place), quantity: 1 }))
        await their.$stock.moveAll({ transactionId: newId(), lines })
        const made = [1, 12_000, 25_002].map((place) => ({ ...at(place), warehouse: `c${i}` }))
        for (const item of made) {
          await database.query('INSERT INTO "Stock" ("productId", warehouse) VALUES ($1, $2)', [
            item.productId,
            item.warehouse,
          ])
          await their.$stock.move({ transactionId: newId(), item, quantity: 5 })
        }
        const { productId, warehouse } = at(9_000 + i)
        await database.query(
          `WITH gone AS (DELETE FROM "Stock" WHERE "productId" = $1 AND warehouse = $2)
DELETE FROM "StockMovement" WHERE "productId" = $1 AND warehouse = $2`,
          [productId, warehouse],
        )
        release()
      }

      expect(ours(await auditing)).toEqual([])
    })
  })

  test('an item that is not there is an error that names it', async () => {
    const { db } = await connectErp()
    const item = { productId: 1, warehouse: 'nowhere' }
    const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: 1 }))
    expect(error).toMatchObject({ code: 'ITEM_NOT_FOUND', item })
  })
})
