import { describe, expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { DEPOT, line, newId, type PalletDb, usePallets } from '../support/pallets.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const HOUR = 3_600_000

describeEngines((engine) => {
  const { connectErp, database } = engine
  const pallets = usePallets(engine)
  const { db: open, newPallet, hold, stateOf, movementsOf, reservationOf, expire, expectExact } = pallets
  const ordered = async () => {
    const { of: transactionId, ...rest } = await pallets.ordered()
    const change = (...lines: { item: string; quantity: number }[]) => rest.db.$stock.change({ transactionId, lines })
    return { ...rest, transactionId, change }
  }

  test('sets the quantities of its lines, up and down, and leaves the others as they are', async () => {
    const { a, b, transactionId, change } = await ordered()
    expect(await change(line(a, 7))).toEqual({ state: 'active', lines: [line(a, 7), line(b, 4)] })
    expect([await stateOf(a), await stateOf(b)]).toMatchObject([{ reserved: 7 }, { reserved: 4 }])
    expect(await change(line(b, 1), line(a, 6))).toEqual({ state: 'active', lines: [line(a, 6), line(b, 1)] })
    expect(await change(line(b, 1), line(a, 6))).toEqual({ state: 'active', lines: [line(a, 6), line(b, 1)] })
    expect([await stateOf(a), await stateOf(b)]).toMatchObject([{ reserved: 6 }, { reserved: 1 }])
    expect(await reservationOf(transactionId)).toMatchObject([
      { quantity: 6, original: 4 },
      { quantity: 1, original: 4 },
    ])
    await expectExact()
  })

  test('takes what it adds from what is available, and changes nothing where that is less', async () => {
    const { db, a, b, transactionId, change } = await ordered()
    await db.$stock.move({ transactionId: newId(), item: a, quantity: -4 })
    expect(await rejectionOf(change(line(b, 1), line(a, 7)))).toMatchObject({
      code: 'INSUFFICIENT_STOCK',
      transactionId,
      shortages: [{ item: a, requested: 3, available: 2 }],
    })
    expect([await stateOf(a), await stateOf(b)]).toMatchObject([{ reserved: 4 }, { reserved: 4 }])
    const lower = { transactionId, lines: [line(a, 7)], minimum: -1 }
    expect(await db.$stock.change(lower)).toMatchObject({ lines: [{ quantity: 7 }, { quantity: 4 }] })
    await expectExact()
  })

  test('is what a late reserve is not compared with: that is a replay, and of other lines a mismatch', async () => {
    const { a, order, change } = await ordered()
    await change(line(a, 1))
    const { db } = { db: await open() }
    expect(await db.$stock.reserve(order)).toEqual({ expiresAt: null, state: 'active', replayed: true })
    const lines = order.lines.map(({ item }) => line(item, item === a ? 1 : 4))
    const error = await rejectionOf(db.$stock.reserve({ ...order, lines }))
    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['quantity'] })
    expect(await stateOf(a)).toMatchObject({ reserved: 1 })
  })

  test('counts what was fulfilled already, and refuses less than that', async () => {
    const { db, a, b, transactionId, change } = await ordered()
    await db.$stock.fulfil({ transactionId: newId(), of: transactionId, lines: [line(a, 3)] })
    expect(await rejectionOf(change(line(a, 2)))).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'lines' })
    expect(await change(line(a, 5))).toMatchObject({ lines: [{ quantity: 5 }, { quantity: 4 }] })
    expect([await stateOf(a), await stateOf(b)]).toEqual([
      { onHand: 7, reserved: 2 },
      { onHand: 10, reserved: 4 },
    ])
    expect(await db.$stock.fulfil({ transactionId: newId(), of: transactionId })).toMatchObject({
      lines: [{ quantity: -2 }, { quantity: -4 }],
    })
    await expectExact()
  })

  test.each([false, true])('to nothing ends it (fulfilled in part before: %s)', async (isPart) => {
    const { db, a, b, transactionId, change } = await ordered()
    if (isPart) await db.$stock.fulfil({ transactionId: newId(), of: transactionId, lines: [line(a, 1)] })
    expect(await change(line(b, 0))).toMatchObject({ state: 'active' })
    const state = isPart ? 'fulfilled' : 'released'
    expect(await change(line(a, isPart ? 1 : 0))).toMatchObject({ state })
    expect(await rejectionOf(change(line(a, 5)))).toMatchObject({ code: 'RESERVATION_ENDED', state })
    expect([await stateOf(a), await stateOf(b)]).toMatchObject([{ reserved: 0 }, { reserved: 0 }])
    await expectExact()
  })

  test('of a line to nothing leaves it out of what is fulfilled', async () => {
    const { db, a, b, transactionId, change } = await ordered()
    await change(line(b, 0))
    const { lines } = await db.$stock.fulfil({ transactionId })
    expect(lines).toEqual([{ item: a, quantity: -4, balance: 6 }])
    expect(await db.$stock.fulfil({ transactionId })).toMatchObject({ lines: [{ item: a }], replayed: true })
    expect(await movementsOf(transactionId)).toEqual([-4])
    await expectExact()
    expect(await stateOf(b)).toEqual({ onHand: 10, reserved: 0 })
  })

  test('of a line to nothing leaves it out also where reservations are fulfilled as a whole', async () => {
    const { fulfilled: _, ...reservation } = DEPOT.reservation
    const { $stock } = await open(undefined, { stock: { ...DEPOT, reservation } })
    const depot = ($stock as unknown as { in(scope: object): typeof $stock }).in({ depotId: 1 })
    const [a, b] = [await pallets.newDepotPallet(1, 10), await pallets.newDepotPallet(1, 10)]
    const transactionId = newId()
    const lines = [line(a, 4), line(b, 4)].map((each) => ({ ...each, data: { taken: 0 } }))
    await depot.reserve({ transactionId, lines, expiresIn: HOUR } as never)
    await depot.change({ transactionId, lines: [line(b, 0)] })
    expect(await depot.fulfil({ transactionId })).toMatchObject({ lines: [{ item: a }], replayed: false })
    expect(await depot.fulfil({ transactionId })).toMatchObject({ lines: [{ item: a }], replayed: true })
    expect(await depot.audit()).toEqual([])
  })

  test.each(['released', 'fulfilled', 'expired', 'missing'] as const)('of one that is %s is refused', async (state) => {
    const { db, a, transactionId } = await ordered()
    if (state === 'released') await db.$stock.release({ transactionId })
    if (state === 'fulfilled') await db.$stock.fulfil({ transactionId })
    if (state === 'expired') await expire(transactionId)
    const id = state === 'missing' ? newId() : transactionId
    const error = await rejectionOf(db.$stock.change({ transactionId: id, lines: [line(a, 5)] }))
    expect(error).toMatchObject({ code: 'RESERVATION_ENDED', transactionId: id, state })
    await expectExact()
  })

  test.each<[string, unknown, string]>([
    ['no lines', undefined, 'lines'],
    ['an empty list', [], 'lines'],
    ['no object', [7], 'lines[0]'],
    ['a negative quantity', [line('x', -1)], 'lines[0].quantity'],
    ['half of one', [line('x', 0.5)], 'lines[0].quantity'],
    ['no quantity', [{ item: 'x' }], 'lines[0].quantity'],
    ['no item', [{ quantity: 1 }], 'lines[0].item'],
    ['an item twice', [line('x', 1), line('x', 2)], 'lines[1].item'],
    ['data', [{ ...line('x', 1), data: {} }], 'lines[0].data'],
  ])('refuses %s, and names it', async (_, lines, field) => {
    const db = await open()
    const call = db.$stock.change({ transactionId: newId(), lines: lines as never })
    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })

  test('refuses an item that is not reserved', async () => {
    const { a, change } = await ordered()
    const other = await newPallet(10)
    const error = await rejectionOf(change(line(a, 1), line(other, 1)))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'lines', message: expect.stringContaining(other) })
    expect(await stateOf(a)).toMatchObject({ reserved: 4 })
  })

  test('needs a column for the quantity of before', async () => {
    const { db } = await connectErp()
    const lines = [{ item: { productId: 1, warehouse: 'main' }, quantity: 1 }]
    const error = await rejectionOf(db.$stock.change({ transactionId: newId(), lines }))
    const message = expect.stringContaining('reservation.original: must name a field of StockReservation')
    expect(error).toMatchObject({ code: 'CONFIGURATION' })
    expect((error as Error).message).toEqual(message)
  })

  describe('at once', () => {
    const others: [string, (db: PalletDb, transactionId: string, a: string) => PromiseLike<unknown>][] = [
      ['another change', (db, transactionId, a) => db.$stock.change({ transactionId, lines: [line(a, 2)] })],
      ['a part', (db, of, a) => db.$stock.fulfil({ transactionId: newId(), of, lines: [line(a, 3)] })],
      ['a release', (db, transactionId) => db.$stock.release({ transactionId })],
      [
        'a movement of all that is available',
        (db, _, a) => db.$stock.move({ transactionId: newId(), item: a, quantity: -6 }),
      ],
    ]
    test.each(others)('with %s: one comes after the other', async (_, other) => {
      const { db, a, transactionId } = await ordered()
      const rival = await hold(a)
      const their = await open()
      const calls = [
        started<unknown>(db.$stock.change({ transactionId, lines: [line(a, 7)] })),
        started(other(their, transactionId, a)),
      ]
      await untilBlocked(database.url, 2)
      await rival.query('COMMIT')
      const outcomes = await Promise.allSettled(calls)
      const codes = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.code] : []))
      expect(['RESERVATION_ENDED', 'INSUFFICIENT_STOCK', undefined]).toContain(codes[0])
      expect(codes.length).toBeLessThan(2)
      await expectExact()
    })

    test('of two for the last of it, one is refused', async () => {
      const db = await open()
      const item = await newPallet(10)
      const ids = [newId(), newId()]
      for (const transactionId of ids) await db.$stock.reserve({ transactionId, item, quantity: 3, expiresIn: HOUR })
      const rival = await hold(item)
      const dbs = [db, await open()]
      const calls = ids.map((transactionId, i) =>
        started((dbs[i] as PalletDb).$stock.change({ transactionId, lines: [line(item, 6)] })),
      )
      await untilBlocked(database.url, 2)
      await rival.query('COMMIT')
      const outcomes = await Promise.allSettled(calls)
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
      expect(await stateOf(item)).toMatchObject({ reserved: 9 })
      await expectExact()
    })
  })

  test('each depot changes its own reservation of an id, in decimals', async () => {
    const [one, two] = [await pallets.depot(1), await pallets.depot(2)]
    const item = await pallets.newDepotPallet(1, 10)
    await pallets.newDepotPallet(2, 10, item)
    const transactionId = newId()
    const order = { transactionId, item, quantity: '1.5', expiresIn: null }
    for (const depot of [one, two]) await depot.reserve(order)
    await one.change({ transactionId, lines: [{ item, quantity: '2.125' }] })
    expect(await one.reserve(order)).toMatchObject({ replayed: true })
    const rows = await database.query(
      `SELECT quantity, "ordered at first" FROM "DepotPalletReservation" WHERE "transactionId" = $1 ORDER BY "depotId"`,
      [transactionId],
    )
    expect(rows).toEqual([
      { quantity: '2.125', 'ordered at first': '1.500' },
      { quantity: '1.500', 'ordered at first': null },
    ])
    expect([await one.audit(), await two.audit()]).toEqual([[], []])
  })
})
