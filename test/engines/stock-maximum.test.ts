import { describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { newId, usePallets } from '../support/pallets.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines((engine) => {
  const { database } = engine
  const pallets = usePallets(engine)
  const { db: open, newPallet, stateOf, movementsOf, expectExact } = pallets

  test.each(['on the client', 'in a transaction', 'on a client that knows the item'])(
    'a movement above the maximum is refused %s, with the room that there is, and one up to it is made',
    async (where) => {
      const db = await open()
      const item = await newPallet(7, { maximum: 10 })
      if (where.includes('knows')) await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
      if (where.includes('knows')) await db.$stock.move({ transactionId: newId(), item, quantity: 1 })
      const move = (transactionId: string, quantity: number) => {
        const call = { transactionId, item, quantity }
        return where === 'in a transaction'
          ? db.$transactionWithRetry((tx) => tx.$stock.move(call))
          : db.$stock.move(call)
      }
      const [refused, granted] = [newId(), newId()]
      expect(await rejectionOf(move(refused, 4))).toMatchObject({
        code: 'MAXIMUM_EXCEEDED',
        transactionId: refused,
        item,
        requested: 4,
        room: 3,
        excesses: [{ item, requested: 4, room: 3 }],
      })
      expect(await movementsOf(refused)).toEqual([])
      expect(await move(granted, 3)).toMatchObject({ balance: 10, replayed: false })
      expect(await move(granted, 3)).toMatchObject({ balance: 10, replayed: true })
      expect(await rejectionOf(move(newId(), 1))).toMatchObject({ room: 0 })
      await expectExact()
    },
  )

  test('what is above the maximum already may go down, and not up', async () => {
    const db = await open()
    const item = await newPallet(20, { maximum: 10 })
    expect(await db.$stock.move({ transactionId: newId(), item, quantity: -3 })).toMatchObject({ balance: 17 })
    const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: 1 }))
    expect(error).toMatchObject({ code: 'MAXIMUM_EXCEEDED', room: 0 })
  })

  test('each call may have a maximum of its own, or none', async () => {
    const db = await open()
    const [limited, free] = [await newPallet(5, { maximum: 10 }), await newPallet(5)]
    const move = (item: string, quantity: number, maximum?: number | null) =>
      db.$stock.move({ transactionId: newId(), item, quantity, maximum })
    expect(await rejectionOf(move(free, 4, 8))).toMatchObject({ code: 'MAXIMUM_EXCEEDED', room: 3 })
    expect(await move(free, 3, 8)).toMatchObject({ balance: 8 })
    expect(await rejectionOf(move(limited, 3, 7))).toMatchObject({ code: 'MAXIMUM_EXCEEDED', room: 2 })
    expect(await move(limited, 8, null)).toMatchObject({ balance: 13 })
    expect(await move(limited, 1, 14)).toMatchObject({ balance: 14 })
    expect(await move(free, -1, 0)).toMatchObject({ balance: 7 })
    await expectExact()
  })

  test.each([['x'], [1.5], [Number.NaN], [true], [10n ** 20n]])(
    'a maximum of %s is refused, and named',
    async (maximum) => {
      const db = await open()
      const call = { transactionId: newId(), item: 'x', quantity: 1, maximum: maximum as never }
      expect(await rejectionOf(db.$stock.move(call))).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'maximum' })
    },
  )

  test('a transfer is made as a whole or not at all; what is short is said before what has no room', async () => {
    const db = await open()
    const [from, to, full] = [
      await newPallet(5),
      await newPallet(8, { maximum: 10 }),
      await newPallet(10, { maximum: 10 }),
    ]
    const transfer = (quantity: number) =>
      db.$stock.moveAll({
        transactionId: newId(),
        lines: [
          { item: from, quantity: -2 * quantity },
          { item: to, quantity },
          { item: full, quantity },
        ],
      })
    expect(await rejectionOf(transfer(3))).toMatchObject({ code: 'INSUFFICIENT_STOCK', shortages: [{ item: from }] })
    expect(await rejectionOf(transfer(2))).toMatchObject({
      code: 'MAXIMUM_EXCEEDED',
      excesses: [{ item: full, room: 0 }],
    })
    expect(await Promise.all([from, to, full].map(stateOf))).toMatchObject([
      { onHand: 5 },
      { onHand: 8 },
      { onHand: 10 },
    ])
    await db.$stock.moveAll({
      transactionId: newId(),
      lines: [
        { item: from, quantity: -2 },
        { item: to, quantity: 2 },
      ],
    })
    await expectExact()
  })

  test('movements of one batch are decided one after the other', async () => {
    const db = await open()
    const item = await newPallet(9, { maximum: 10 })
    const move = (quantity: number) => db.$stock.move({ transactionId: newId(), item, quantity })
    for (let round = 0; round < 2; round++) {
      const outcomes = await Promise.allSettled([move(2), move(-1), move(2), move(1), move(-1)])
      expect(outcomes).toMatchObject([
        { reason: { code: 'MAXIMUM_EXCEEDED', room: 1 } },
        { value: { quantity: -1 } },
        { value: { quantity: 2 } },
        { reason: { code: 'MAXIMUM_EXCEEDED', room: 0 } },
        { value: { quantity: -1 } },
      ])
    }
    expect(await stateOf(item)).toMatchObject({ onHand: 9 })
    await expectExact()
  })

  test('movements of one batch that go up and down again stay below it at every step, where another client has filled it', async () => {
    const [db, their] = [await open(), await open()]
    const item = await newPallet(0, { maximum: 10 })
    await db.$stock.move({ transactionId: newId(), item, quantity: 1 })
    await their.$stock.move({ transactionId: newId(), item, quantity: 7 })
    const move = (quantity: number, maximum?: number) =>
      db.$stock.move({ transactionId: newId(), item, quantity, ...(maximum && { maximum }) })
    // By what it knows, all of them are granted, and by what is there, the last one has room only without the first one.
    expect(await Promise.allSettled([move(3), move(-3), move(1, 9), move(1)])).toMatchObject([
      { reason: { code: 'MAXIMUM_EXCEEDED', room: 2 } },
      { value: { balance: 5 } },
      { value: { balance: 6 } },
      { value: { balance: 7 } },
    ])
    expect(await stateOf(item)).toMatchObject({ onHand: 7 })
    await expectExact()
  })

  test('never more comes in than there is room for, from two clients at once that go in and out', async () => {
    const [db, their] = [await open(), await open()]
    const item = await newPallet(0, { maximum: 30 })
    const add = (each: typeof db) => each.$stock.move({ transactionId: newId(), item, quantity: 1 })
    const outcomes = await Promise.allSettled(Array.from({ length: 60 }, (_, i) => add(i % 2 === 0 ? db : their)))
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(30)
    expect(await stateOf(item)).toMatchObject({ onHand: 30 })
    const mixed = Array.from({ length: 60 }, (_, i) => {
      const quantity = i % 3 === 0 ? -2 : 1
      return (i % 2 === 0 ? db : their).$stock.move({ transactionId: newId(), item, quantity })
    })
    await Promise.allSettled(mixed)
    expect((await stateOf(item)).onHand).toBeLessThanOrEqual(30)
    await expectExact()
  })

  test('a movement that waits for the item is checked against what is there then, and against the maximum of then', async () => {
    const db = await open()
    const items = [await newPallet(0, { maximum: 10 }), await newPallet(0, { maximum: 10 })]
    for (const item of items) await db.$stock.move({ transactionId: newId(), item, quantity: 1 })
    const holders = await Promise.all([
      openTransaction(database.url, 'UPDATE "Pallet" SET maximum = 5 WHERE code = $1', [items[0]]),
      openTransaction(database.url, 'UPDATE "Pallet" SET maximum = NULL WHERE code = $1', [items[1]]),
    ])
    const calls = items.map((item, i) =>
      started(db.$stock.move({ transactionId: newId(), item, quantity: 5 + 10 * i })),
    )
    await untilBlocked(database.url)
    for (const holder of holders) await holder.query('COMMIT')
    expect(await Promise.allSettled(calls)).toMatchObject([
      { reason: { code: 'MAXIMUM_EXCEEDED', room: 4 } },
      { value: { balance: 16 } },
    ])
  })

  test('a refusal that is remembered stays, though there is room by now', async () => {
    const db = await open(undefined, { rememberRefusals: true })
    const item = await newPallet(10, { maximum: 10 })
    const call = { transactionId: newId(), item, quantity: 2 }
    expect(await rejectionOf(db.$stock.move(call))).toMatchObject({ code: 'MAXIMUM_EXCEEDED', room: 0 })
    await db.$stock.move({ transactionId: newId(), item, quantity: -3 })
    const again = { code: 'MAXIMUM_EXCEEDED', room: 3, message: expect.stringContaining('stays refused') }
    expect(await rejectionOf(db.$stock.move(call))).toMatchObject(again)
    await database.query('UPDATE "Pallet" SET maximum = NULL WHERE code = $1', [item])
    expect(await rejectionOf(db.$transactionWithRetry((tx) => tx.$stock.move(call)))).toMatchObject({
      code: 'MAXIMUM_EXCEEDED',
    })
    expect(await stateOf(item)).toMatchObject({ onHand: 7 })
    await expectExact()
  })

  describe('a lost answer', () => {
    test.each(['cut', 'drop'] as const)('of a movement up to the maximum is found again (%s)', async (fate) => {
      const proxy = await openProxy(database.url)
      const db = await open(proxy.url)
      const item = await newPallet(5, { maximum: 10 })
      await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
      proxy.next(/^WITH/, fate)
      const transactionId = newId()
      expect(await db.$stock.move({ transactionId, item, quantity: 6 })).toMatchObject({ balance: 10 })
      expect(await movementsOf(transactionId)).toEqual([6])
      await expectExact()
    })
  })

  test('a stocktake is a fact, also above the maximum; nothing is deferred that it may keep out', async () => {
    const db = await open()
    const [item, free] = [await newPallet(5, { maximum: 10 }), await newPallet(5)]
    expect(await db.$stock.count({ transactionId: newId(), item, counted: 12 })).toMatchObject({ balance: 12 })
    const error = await rejectionOf(db.$stock.defer({ transactionId: newId(), item, quantity: 1 }))
    expect(error).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'quantity',
      message: expect.stringContaining('maximum'),
    })
    expect(await db.$stock.defer({ transactionId: newId(), item: free, quantity: 1 })).toEqual({ replayed: false })
    await db.$stock.project()
    await expectExact()
  })

  test('each depot has its own, in decimals', async () => {
    const [one, two] = [await pallets.depot(1), await pallets.depot(2)]
    const item = await pallets.newDepotPallet(1, 1)
    await pallets.newDepotPallet(2, 1, item)
    await database.query('UPDATE "DepotPallet" SET "at most" = 2.5 WHERE "depotId" = 1 AND code = $1', [item])
    const call = { transactionId: newId(), item, quantity: '1.501' }
    const error = (await rejectionOf(one.move(call))) as { code: string; room: { toFixed(): string } }
    expect([error.code, error.room.toFixed()]).toEqual(['MAXIMUM_EXCEEDED', '1.5'])
    expect(String((await two.move(call)).balance)).toBe('2.501')
    expect(String((await one.move({ ...call, quantity: '1.500' })).balance)).toBe('2.5')
    expect([await one.audit(), await two.audit()]).toEqual([[], []])
  })

  test('a maximum of another type than the balance is a mistake of the mapping', async () => {
    const mapping = {
      item: { model: 'Pallet', key: 'code', maximum: 'version' },
      movement: { model: 'PalletMovement' },
      reservation: { model: 'PalletReservation' },
    }
    const error = await rejectionOf(open(undefined, { stock: mapping }))
    expect(error).toMatchObject({ code: 'CONFIGURATION', message: expect.stringContaining('item.maximum') })
  })
})
