import { describe, expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { newId, usePallets } from '../support/pallets.js'
import { rejectionOf } from '../support/rejection.js'

const HOUR = 3_600_000

/** Parts, changes and maxima together with reversals, and with items that are chosen by the call. */
describeEngines((engine) => {
  const { db: open, newPallet, stateOf, movementsOf, reservationOf, expire, expectExact } = usePallets(engine)

  describe('a part that is reversed', () => {
    test('comes back on hand, and the reservation stays as it is', async () => {
      const db = await open()
      const item = await newPallet(10)
      const [of, part, back] = [newId(), newId(), newId()]
      await db.$stock.reserve({ transactionId: of, item, quantity: 6, expiresIn: null })
      const call = { transactionId: part, of, lines: [{ item, quantity: 4 }] }
      await db.$stock.fulfil(call)
      const before = await reservationOf(of)
      const undone = { transactionId: back, of: part }
      expect(await db.$stock.reverse(undone)).toEqual({ lines: [{ item, quantity: 4, balance: 10 }], replayed: false })
      expect(await reservationOf(of)).toEqual(before)
      expect(await stateOf(item)).toEqual({ onHand: 10, reserved: 2 })
      // Neither of them is carried out again.
      expect(await db.$stock.fulfil(call)).toMatchObject({ lines: [{ quantity: -4 }], replayed: true })
      expect(await db.$stock.reverse(undone)).toMatchObject({ lines: [{ quantity: 4 }], replayed: true })
      expect(await rejectionOf(db.$stock.fulfil({ transactionId: back, of }))).toMatchObject({
        code: 'IDEMPOTENCY_MISMATCH',
      })
      expect(await db.$stock.fulfil({ transactionId: newId(), of })).toMatchObject({ lines: [{ quantity: -2 }] })
      expect(await stateOf(item)).toEqual({ onHand: 8, reserved: 0 })
      await expectExact()
    })

    test('has an id of its own: the reservation is no movement', async () => {
      const db = await open()
      const item = await newPallet(10)
      const of = newId()
      await db.$stock.reserve({ transactionId: of, item, quantity: 6, expiresIn: null })
      await db.$stock.fulfil({ transactionId: newId(), of, lines: [{ item, quantity: 4 }] })
      expect(await rejectionOf(db.$stock.reverse({ transactionId: newId(), of }))).toMatchObject({
        code: 'REVERSAL',
        reason: 'missing',
      })
      await expectExact()
    })

    test('does not bring an item above its maximum', async () => {
      const db = await open()
      const item = await newPallet(10, { maximum: 10 })
      const [sold, transactionId] = [newId(), newId()]
      await db.$stock.move({ transactionId: sold, item, quantity: -4 })
      await db.$stock.move({ transactionId: newId(), item, quantity: 1 })
      const call = { transactionId, of: sold }
      expect(await rejectionOf(db.$stock.reverse(call))).toMatchObject({
        code: 'MAXIMUM_EXCEEDED',
        excesses: [{ item, requested: 4, room: 3 }],
      })
      expect(await movementsOf(transactionId)).toEqual([])
      const lines = [{ item, quantity: 3 }]
      expect(await db.$stock.reverse({ ...call, lines })).toMatchObject({ lines: [{ balance: 10 }] })
      await expectExact()
    })
  })

  describe('items that are chosen', () => {
    test('have free what is left of an expired reservation, and not what was fulfilled of it', async () => {
      const db = await open()
      const items = [await newPallet(10), await newPallet(10)]
      const [item = '', other = ''] = items
      const of = newId()
      await db.$stock.reserve({ transactionId: of, item, quantity: 6, expiresIn: HOUR })
      await db.$stock.fulfil({ transactionId: newId(), of, lines: [{ item, quantity: 4 }] })
      await expire(of)
      const lines = [{ from: { items, split: true, quantity: 8 } }]
      expect(await db.$stock.moveAll({ transactionId: newId(), lines })).toMatchObject({
        lines: [
          { item, quantity: -6, balance: 0 },
          { item: other, quantity: -2, balance: 8 },
        ],
      })
      expect(await reservationOf(of)).toMatchObject([{ state: 'expired' }])
      await expectExact()
    })

    test('are those of the first reserve, also once their quantities were changed', async () => {
      const [db, their] = [await open(), await open()]
      const items = [await newPallet(3), await newPallet(10)]
      const [item = '', other = ''] = items
      const transactionId = newId()
      const call = { transactionId, from: { items, split: true, quantity: 5 }, expiresIn: null }
      const reserved = [
        { item, quantity: 3 },
        { item: other, quantity: 2 },
      ]
      expect(await db.$stock.reserve(call)).toMatchObject({ lines: reserved, replayed: false })
      await db.$stock.change({ transactionId, lines: [{ item, quantity: 1 }] })
      const replay = { lines: reserved, state: 'active', replayed: true }
      expect(await their.$stock.reserve(call)).toMatchObject(replay)
      expect(await their.$transactionWithRetry((tx) => tx.$stock.reserve(call))).toMatchObject(replay)
      const more = { ...call, from: { ...call.from, quantity: 6 } }
      expect(await rejectionOf(their.$stock.reserve(more))).toMatchObject({
        code: 'IDEMPOTENCY_MISMATCH',
        fields: ['quantity'],
      })
      expect(await stateOf(item)).toEqual({ onHand: 3, reserved: 1 })
      await expectExact()
    })

    test.each(['of the call', 'of the item'])(
      'a maximum %s holds for the lines that add, and for no others',
      async (whose) => {
        const db = await open()
        const isOwn = whose === 'of the item'
        const maximum = isOwn ? {} : { maximum: 10 }
        const [item, to] = [await newPallet(20), await newPallet(7, isOwn ? { maximum: 10 } : {})]
        const transactionId = newId()
        const move = (quantity: number) => {
          const lines = [{ from: { item, quantity } }, { item: to, quantity }]
          return db.$stock.moveAll({ transactionId, lines, ...maximum })
        }
        expect(await rejectionOf(move(4))).toMatchObject({
          code: 'MAXIMUM_EXCEEDED',
          excesses: [{ item: to, requested: 4, room: 3 }],
        })
        expect(await movementsOf(transactionId)).toEqual([])
        expect(await move(3)).toMatchObject({
          lines: [
            { item, balance: 17 },
            { item: to, balance: 10 },
          ],
        })
        expect(await move(3)).toMatchObject({ replayed: true })
        await expectExact()
      },
    )

    test('cannot be given together with take', async () => {
      const db = await open()
      const item = await newPallet(3)
      const call = { transactionId: newId(), from: { item, quantity: 5 }, expiresIn: HOUR, take: 'available' } as const
      expect(await rejectionOf(db.$stock.reserve(call))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('take'),
      })
      const lines = [{ from: { item, quantity: 5 } }]
      const all = { transactionId: newId(), lines, take: 'available' } as const
      expect(await rejectionOf(db.$stock.moveAll(all))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('take'),
      })
      expect(await stateOf(item)).toEqual({ onHand: 3, reserved: 0 })
    })
  })
})
