import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { type NewLot, TAKES, TAKING, useLots } from '../support/lots.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'

describeEngines((engine) => {
  const { database } = engine
  const { open, newProduct, onHand, movementsOf, expectExact } = useLots(engine)
  const newId = (): string => randomUUID()

  describe.each(TAKING)('%s', (method) => {
    const take = TAKES[method]

    test.each<[string, Record<string, NewLot>, object, Record<string, number>]>([
      ['the lot that expires first', { a: { onHand: 5, days: 9 }, b: { onHand: 5, days: 3 } }, {}, { b: 4 }],
      ['several of them, in that order', { a: { onHand: 3, days: 9 }, b: { onHand: 2, days: 3 } }, {}, { b: 2, a: 2 }],
      ['one that never expires last', { a: { onHand: 5 }, b: { onHand: 3, days: 3000 } }, {}, { b: 3, a: 1 }],
      ['none that has expired', { a: { onHand: 5, days: -0.0001 }, b: { onHand: 5, days: 3 } }, {}, { b: 4 }],
      [
        'of those that expire at once the one that came in first',
        {
          a: { onHand: 5, receivedAt: '2026-02-01' },
          b: { onHand: 3, receivedAt: '2026-01-15' },
        },
        { by: 'fefo' },
        { b: 3, a: 1 },
      ],
      [
        'by fifo the lot that came in first, and none that has expired',
        {
          a: { onHand: 5, days: 1, receivedAt: '2026-03-01' },
          b: { onHand: 3, days: 9, receivedAt: '2026-02-01' },
          c: { onHand: 3, days: -1, receivedAt: '2026-01-01' },
        },
        { by: 'fifo' },
        { b: 3, a: 1 },
      ],
      ['lots of one day in the order of their keys', { b: { onHand: 3 }, a: { onHand: 3 } }, {}, { a: 3, b: 1 }],
      ['no more than leaves the minimum', { a: { onHand: 5, minimum: 4 }, b: { onHand: 9 } }, {}, { a: 1, b: 3 }],
      ['nothing of a lot that is blocked', { a: { onHand: 5, minimum: 999 }, b: { onHand: 9 } }, {}, { b: 4 }],
      ['no more than there is', { a: { onHand: 3, minimum: null }, b: { onHand: 9, minimum: -5 } }, {}, { a: 3, b: 1 }],
    ])('takes %s', async (_, lots, by, expected) => {
      const db = await open()
      const productId = await newProduct(lots)
      const item = { productId, warehouse: 'main' }
      expect(await take(db, newId(), { item, quantity: 4, ...by })).toEqual({ taken: expected, replayed: false })
      await expectExact()
    })

    test('takes nothing that is reserved, but of a reservation that has expired', async () => {
      const db = await open()
      const productId = await newProduct({ a: { onHand: 5 }, b: { onHand: 5 } })
      const item = { productId, warehouse: 'main' }
      const [held, ended] = [newId(), newId()]
      await db.$stock.reserve({ transactionId: ended, item: { ...item, lot: 'a' }, quantity: 3, expiresIn: 600_000 })
      await db.$stock.reserve({ transactionId: held, item: { ...item, lot: 'a' }, quantity: 1, expiresIn: 600_000 })
      expect(await take(db, newId(), { item, quantity: 3 })).toMatchObject({ taken: { a: 1, b: 2 } })
      await database.query(`UPDATE "LotReservation" SET "expiresAt" = now() WHERE "transactionId" = $1`, [ended])
      expect(await take(db, newId(), { item, quantity: 4 })).toMatchObject({ taken: { a: 3, b: 1 } })
      await expectExact()
    })

    test('a shortage of all lots names the place, with what there is in sum, and nothing is written', async () => {
      const db = await open()
      const productId = await newProduct({
        a: { onHand: 3, days: 1 },
        b: { onHand: 4, minimum: 1 },
        c: { onHand: 9, days: -1 },
      })
      const item = { productId, warehouse: 'main' }
      const transactionId = newId()
      const call = () => rejectionOf(take(db, transactionId, { item, quantity: 7 }))
      const expected = { code: 'INSUFFICIENT_STOCK', shortages: [{ item, requested: 7, available: 6 }] }
      expect(await call()).toMatchObject(expected)
      expect(
        await rejectionOf(db.$transactionWithRetry((tx) => take(tx, transactionId, { item, quantity: 7 }))),
      ).toEqual(await call())
      expect([await onHand(productId), await movementsOf(transactionId)]).toEqual([{ a: 3, b: 4, c: 9 }, []])
      const nowhere = { productId, warehouse: 'nowhere' }
      expect(await rejectionOf(take(db, transactionId, { item: nowhere, quantity: 1 }))).toMatchObject({
        shortages: [{ item: nowhere, available: 0 }],
      })
      expect(await take(db, transactionId, { item, quantity: 6 })).toMatchObject({ replayed: false })
      await expectExact()
    })

    test('a call that comes again gets the lots of the first one, also where others would be chosen now', async () => {
      const [db, their] = [await open(), await open(engine.other)]
      const productId = await newProduct({ a: { onHand: 3, days: 5 }, b: { onHand: 9, days: 7 } })
      const item = { productId, warehouse: 'main' }
      const transactionId = newId()
      const first = await take(db, transactionId, { item, quantity: 4 })
      await database.query(
        `INSERT INTO "LotStock" ("productId", warehouse, lot, "expiresAt") VALUES ($1, 'main', 'c', now() + interval '1 day')`,
        [productId],
      )
      await db.$stock.move({ transactionId: newId(), item: { ...item, lot: 'c' }, quantity: 20 })
      const again = { taken: first.taken, replayed: true }
      expect(await take(db, transactionId, { item, quantity: 4 })).toEqual(again)
      expect(await take(their, transactionId, { item, quantity: 4, by: 'fifo' })).toEqual(again)
      expect(await db.$transactionWithRetry((tx) => take(tx, transactionId, { item, quantity: 4 }))).toEqual(again)
      // Too little is left for it.
      await take(db, newId(), { item, quantity: 26 })
      expect(await take(db, transactionId, { item, quantity: 4 })).toEqual(again)
      expect(await db.$transactionWithRetry((tx) => take(tx, transactionId, { item, quantity: 4 }))).toEqual(again)
      await expectExact()
    })

    test('another quantity or place under the id is a mismatch that names it', async () => {
      const db = await open()
      const productId = await newProduct({ a: { onHand: 9 }, b: { onHand: 9, warehouse: 'Graz' } })
      const item = { productId, warehouse: 'main' }
      const transactionId = newId()
      await take(db, transactionId, { item, quantity: 4 })
      const mismatch = (from: Parameters<typeof take>[2]) => rejectionOf(take(db, transactionId, from))
      const code = 'IDEMPOTENCY_MISMATCH'
      expect(await mismatch({ item, quantity: 5 })).toMatchObject({ code, fields: ['quantity'] })
      expect(await mismatch({ item, quantity: 500 })).toMatchObject({ code, fields: ['quantity'] })
      const other = { productId, warehouse: 'Graz' }
      expect(await mismatch({ item: other, quantity: 4 })).toMatchObject({ code, fields: ['item', 'quantity'] })
      expect(
        await rejectionOf(db.$stock.move({ transactionId, item: { ...item, lot: 'a' }, quantity: -5 })),
      ).toMatchObject({
        code: method === 'moveAll' ? code : 'RESERVATION_ACTIVE',
      })
      await expectExact()
    })

    test('of several places it takes the first one that has all of it, or splits it over them', async () => {
      const db = await open()
      const productId = await newProduct({
        a: { onHand: 3, days: 9 },
        b: { onHand: 4, days: 5, warehouse: 'Graz' },
        c: { onHand: 5, days: 3, warehouse: 'Graz' },
      })
      const items = ['main', 'Graz'].map((warehouse) => ({ productId, warehouse }))
      const [first, second, third] = [newId(), newId(), newId()]
      expect(await take(db, first, { items, quantity: 6 })).toEqual({ taken: { b: 1, c: 5 }, replayed: false })
      expect(await rejectionOf(take(db, second, { items, quantity: 5 }))).toMatchObject({
        shortages: [
          { item: items[0], requested: 5, available: 3 },
          { item: items[1], requested: 5, available: 3 },
        ],
      })
      expect(await take(db, third, { items, quantity: 5, split: true })).toEqual({
        taken: { a: 3, b: 2 },
        replayed: false,
      })
      expect(await take(db, third, { items, quantity: 5, split: true })).toMatchObject({ replayed: true })
      await expectExact()
    })

    test('what it has taken can be fulfilled, released and told', async () => {
      const db = await open()
      const productId = await newProduct({ a: { onHand: 3, days: 1 }, b: { onHand: 9 } })
      const transactionId = newId()
      await take(db, transactionId, { item: { productId, warehouse: 'main' }, quantity: 5 })
      if (method === 'reserve') {
        const { lines } = await db.$stock.fulfil({ transactionId })
        expect(lines).toMatchObject([
          { item: { lot: 'a' }, quantity: -3 },
          { item: { lot: 'b' }, quantity: -2 },
        ])
      }
      expect(await onHand(productId)).toEqual({ a: 0, b: 7 })
      const lot = { productId, warehouse: 'main', lot: 'a' }
      expect(await db.$stock.trace({ item: lot })).toEqual([{ transactionId, line: 0, quantity: -3 }])
      await expectExact()
    })
  })

  test('lines that name their items are moved with the others, and a short one of them is no reason to choose again', async () => {
    const db = await open()
    const productId = await newProduct({
      a: { onHand: 3, days: 1 },
      b: { onHand: 9 },
      c: { onHand: 1, warehouse: 'Graz' },
    })
    const c = { productId, warehouse: 'Graz', lot: 'c' }
    const from = { item: { productId, warehouse: 'main' }, quantity: 5 }
    const call = (quantity: number) => ({
      transactionId: `${productId}`,
      lines: [
        { item: c, quantity },
        { from, data: { orderId: 7 } },
      ],
    })
    const short = { code: 'INSUFFICIENT_STOCK', shortages: [{ item: c, requested: 2, available: 1 }] }
    expect(await rejectionOf(db.$stock.moveAll(call(-2)))).toMatchObject(short)
    expect(await db.$stock.moveAll(call(-1))).toMatchObject({
      lines: [
        { item: { lot: 'a' }, quantity: -3, balance: 0 },
        { item: { lot: 'b' }, quantity: -2, balance: 7 },
        { item: c, quantity: -1, balance: 0 },
      ],
    })
    expect(await movementsOf(`${productId}`)).toMatchObject([{ orderId: 7 }, { orderId: 7 }, { orderId: null }])
    expect(await db.$stock.moveAll(call(-1))).toMatchObject({ replayed: true })
    expect(await rejectionOf(db.$stock.moveAll(call(-3)))).toMatchObject({ fields: ['quantity'] })
    const [own, ...others] = call(-1).lines
    const other = { ...call(-1), lines: [own, { ...others[0], from, data: { orderId: 8 } }] }
    expect(await rejectionOf(db.$stock.moveAll(other as never))).toMatchObject({ fields: ['orderId'] })
    await expectExact()
  })

  test('a trace has pages of what went out of a lot, and a read that is cut is made again', async () => {
    const proxy = await openProxy(database.url)
    const db = await open()
    const productId = await newProduct({ a: { onHand: 100 }, b: { onHand: 100 } })
    const item = { productId, warehouse: 'main', lot: 'a' }
    const ids = Array.from({ length: 5 }, (_, i) => `${productId} ${i}`)
    for (const transactionId of ids) await db.$stock.move({ transactionId, item, quantity: -1 })
    await db.$stock.move({ transactionId: newId(), item, quantity: 10 })
    await db.$stock.move({ transactionId: newId(), item: { ...item, lot: 'b' }, quantity: -1 })
    const proxied = await open(undefined, { url: proxy.url })
    await proxied.$stock.trace({ item })
    proxy.next(/LIMIT/, 'cut')
    const first = await proxied.$stock.trace({ item, limit: 3 })
    const second = await db.$transactionWithRetry((tx) => tx.$stock.trace({ item, after: first.at(-1), limit: 3 }))
    expect([...first, ...second]).toEqual(ids.map((transactionId) => ({ transactionId, line: 0, quantity: -1 })))
    expect(await rejectionOf(db.$stock.trace({ item, limit: 0 }))).toMatchObject({ field: 'limit' })
    expect(await rejectionOf(db.$stock.trace({ item: { productId } as never }))).toMatchObject({
      field: 'item.warehouse',
    })
  })
})
