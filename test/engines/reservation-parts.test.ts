import { describe, expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { line, newId, usePallets } from '../support/pallets.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const HOUR = 3_600_000

describeEngines((engine) => {
  const { connectErp, database } = engine
  const pallets = usePallets(engine)
  const { db: open, newPallet, hold, ordered, stateOf, movementsOf, reservationOf, expire, expectExact } = pallets

  test('an order is shipped in parts, each under an id of its own, until nothing is left', async () => {
    const { db, a, b, of, order } = await ordered()
    const [first, second, third] = [newId(), newId(), newId()]
    const parts = [
      { transactionId: first, of, lines: [line(b, 1), line(a, 3)] },
      { transactionId: second, of, lines: [line(a, 1)] },
      { transactionId: third, of },
    ]
    const answers = []
    for (const part of parts) answers.push(await db.$stock.fulfil(part))
    expect(answers.map(({ lines }) => lines)).toEqual([
      [
        { item: b, quantity: -1, balance: 9 },
        { item: a, quantity: -3, balance: 7 },
      ],
      [{ item: a, quantity: -1, balance: 6 }],
      [{ item: b, quantity: -3, balance: 6 }],
    ])
    expect(await reservationOf(of)).toMatchObject([
      { state: 'fulfilled', quantity: 4, fulfilled: 4 },
      { state: 'fulfilled', quantity: 4, fulfilled: 4 },
    ])
    expect([await stateOf(a), await stateOf(b)]).toEqual(Array(2).fill({ onHand: 6, reserved: 0 }))
    const their = await open()
    for (const [i, part] of parts.entries()) {
      const lines = answers[i]?.lines.map(({ item, quantity }) => ({ item, quantity, balance: 6 }))
      expect(await their.$stock.fulfil(part)).toEqual({ lines, replayed: true })
    }
    expect(await their.$stock.reserve(order)).toMatchObject({ state: 'fulfilled', replayed: true })
    expect(await rejectionOf(db.$stock.fulfil({ transactionId: newId(), of }))).toMatchObject({
      code: 'RESERVATION_ENDED',
      transactionId: of,
      state: 'fulfilled',
    })
    await expectExact()
  })

  test('the first part may have the id of the reservation; then that is no id for the rest', async () => {
    const { db, a, b, of } = await ordered()
    const part = { transactionId: of, lines: [line(a, 2)] }
    expect(await db.$stock.fulfil(part)).toMatchObject({ lines: [{ balance: 8 }], replayed: false })
    expect(await db.$stock.fulfil(part)).toMatchObject({ lines: [{ balance: 8 }], replayed: true })
    const mismatch = { code: 'IDEMPOTENCY_MISMATCH', fields: ['reservation'] }
    expect(await rejectionOf(db.$stock.fulfil({ transactionId: of }))).toMatchObject(mismatch)
    expect(await db.$stock.fulfil({ transactionId: newId(), of })).toMatchObject({
      lines: [
        { item: a, quantity: -2 },
        { item: b, quantity: -4 },
      ],
    })
    expect(await db.$stock.fulfil(part)).toMatchObject({ lines: [{ quantity: -2 }], replayed: true })
    await expectExact()
  })

  test('the rest is given back where it is said so, and what comes again is a replay', async () => {
    const { db, a, b, of } = await ordered()
    const part = { transactionId: newId(), of, lines: [line(a, 3)], rest: 'release' } as const
    await db.$stock.fulfil(part)
    expect(await reservationOf(of)).toMatchObject([
      { state: 'fulfilled', fulfilled: 3 },
      { state: 'fulfilled', fulfilled: 0 },
    ])
    expect([await stateOf(a), await stateOf(b)]).toEqual([
      { onHand: 7, reserved: 0 },
      { onHand: 10, reserved: 0 },
    ])
    expect(await db.$stock.fulfil(part)).toMatchObject({ lines: [{ quantity: -3 }], replayed: true })
    await expectExact()
  })

  test.each(['release', 'expiry'])(
    '%s gives back what is left of it, and a part of before is replayed',
    async (end) => {
      const { db, a, b, of } = await ordered()
      const part = { transactionId: newId(), of, lines: [line(a, 3)] }
      await db.$stock.fulfil(part)
      if (end === 'release') expect(await db.$stock.release({ transactionId: of })).toMatchObject({ released: true })
      else await expire(of)
      const all = [line(a, -7), line(b, -10)]
      expect(await db.$stock.moveAll({ transactionId: newId(), lines: all })).toMatchObject({ replayed: false })
      expect([await stateOf(a), await stateOf(b)]).toEqual(Array(2).fill({ onHand: 0, reserved: 0 }))
      expect(await db.$stock.fulfil(part)).toMatchObject({ lines: [{ quantity: -3, balance: 0 }], replayed: true })
      const state = end === 'release' ? 'released' : 'expired'
      expect(await rejectionOf(db.$stock.fulfil({ ...part, transactionId: newId() }))).toMatchObject({
        code: 'RESERVATION_ENDED',
        transactionId: of,
        state,
      })
      await expectExact()
    },
  )

  test('more than is left is refused, with each line, and so is what was not reserved', async () => {
    const { db, a, b, of } = await ordered()
    const other = await newPallet(10)
    await db.$stock.fulfil({ transactionId: newId(), of, lines: [line(a, 3)] })
    const transactionId = newId()
    const call = { transactionId, of, lines: [line(b, 4), line(a, 2), line(other, 1)] }
    expect(await rejectionOf(db.$stock.fulfil(call))).toMatchObject({
      code: 'RESERVATION_EXCEEDED',
      transactionId: of,
      item: a,
      requested: 2,
      left: 1,
      overruns: [
        { item: a, requested: 2, left: 1 },
        { item: other, requested: 1, left: 0 },
      ],
    })
    expect(await movementsOf(transactionId)).toEqual([])
    expect(await stateOf(b)).toEqual({ onHand: 10, reserved: 4 })
    await expectExact()
  })

  test('what a stocktake did not find is refused, and stays reserved', async () => {
    const { db, a, of } = await ordered()
    await db.$stock.count({ transactionId: newId(), item: a, counted: 2 })
    const call = { transactionId: newId(), of, lines: [line(a, 3)] }
    expect(await rejectionOf(db.$stock.fulfil(call))).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 2 })
    expect(await db.$stock.fulfil({ ...call, minimum: -1 })).toMatchObject({ lines: [{ balance: -1 }] })
    expect(await reservationOf(of)).toMatchObject([{ fulfilled: 3 }, { fulfilled: 0 }])
  })

  test('an id has one meaning: that of other lines, of a movement, of another reservation is refused', async () => {
    const { db, a, b, of } = await ordered()
    const [part, moved] = [newId(), newId()]
    await db.$stock.fulfil({ transactionId: part, of, lines: [line(a, 1)] })
    const fulfil = (transactionId: string, ...lines: ReturnType<typeof line>[]) =>
      rejectionOf(db.$stock.fulfil({ transactionId, of, lines }))
    expect(await fulfil(part, line(a, 2))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['quantity'] })
    expect(await fulfil(part, line(b, 1))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['item'] })
    await db.$stock.move({ transactionId: moved, item: a, quantity: -2 })
    expect(await fulfil(moved, line(a, 2))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['reservation'] })
    const other = await ordered()
    expect(await fulfil(other.of, line(a, 1))).toMatchObject({ code: 'RESERVATION_ACTIVE', transactionId: other.of })
    await db.$stock.release({ transactionId: other.of })
    expect(await fulfil(other.of, line(a, 1))).toMatchObject({ code: 'RESERVATION_ENDED', transactionId: other.of })
    expect(await db.$stock.move({ transactionId: part, item: a, quantity: -1 })).toMatchObject({ replayed: true })
    expect(await reservationOf(of)).toMatchObject([{ fulfilled: 1 }, { fulfilled: 0 }])
    await expectExact()
  })

  test.each<[string, object, string]>([
    ['no line', { lines: [] }, 'lines'],
    ['a line that gives back', { lines: [line('x', -1)] }, 'quantity'],
    ['a line of nothing', { lines: [line('x', 0)] }, 'lines[0].quantity'],
    ['no list', { lines: line('x', 1) }, 'lines'],
    ['an unknown rest', { rest: 'drop' }, 'rest'],
    ['an empty reservation', { of: '' }, 'of'],
    ['a reservation by number', { of: 7 }, 'of'],
    ['data of no line', { lines: [line('x', 1)], data: {} }, 'data'],
  ])('%s is refused, and named', async (_, wrong, field) => {
    const db = await open()
    const call = { transactionId: newId(), of: newId(), lines: [line('x', 1)], ...wrong }
    expect(await rejectionOf(db.$stock.fulfil(call as never))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })

  test('without a column for what was taken, parts are refused, and a reservation is fulfilled as a whole', async () => {
    const { db } = await connectErp()
    const transactionId = newId()
    const message = expect.stringContaining('reservation.fulfilled: must name a field of StockReservation')
    const lines = [{ item: { productId: 1, warehouse: 'main' }, quantity: 1 }]
    const errors = await Promise.all(
      [{ of: 'a' }, { lines }].map((part) => rejectionOf(db.$stock.fulfil({ transactionId, ...part }))),
    )
    for (const error of errors) expect(error).toMatchObject({ code: 'CONFIGURATION' })
    expect(errors.map((error) => (error as Error).message)).toEqual([message, message])
  })

  describe('at once', () => {
    test.each(['two clients', 'one client'])(
      'two parts that together are too much, from %s: one is shipped',
      async (from) => {
        const { db, a, of } = await ordered()
        const other = from === 'one client' ? db : await open()
        const rival = await hold(a)
        const calls = [db, other].map((each) =>
          started(each.$stock.fulfil({ transactionId: newId(), of, lines: [line(a, 3)] })),
        )
        await untilBlocked(database.url, from === 'one client' ? 1 : 2)
        await rival.query('COMMIT')
        const outcomes = await Promise.allSettled(calls)
        expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
          reason: { code: 'RESERVATION_EXCEEDED', left: 1 },
        })
        expect(await stateOf(a)).toEqual({ onHand: 7, reserved: 1 })
        await expectExact()
      },
    )

    test.each(['two clients', 'one client'])(
      'two parts of other items that take all, from %s: it is fulfilled',
      async (from) => {
        const { db, a, b, of } = await ordered()
        const other = from === 'one client' ? db : await open()
        const rival = await hold(a)
        const calls = [
          started(db.$stock.fulfil({ transactionId: newId(), of, lines: [line(a, 4)] })),
          started(other.$stock.fulfil({ transactionId: newId(), of, lines: [line(b, 4)] })),
        ]
        await untilBlocked(database.url, from === 'one client' ? 1 : 2)
        await rival.query('COMMIT')
        await Promise.all(calls)
        expect(await reservationOf(of)).toMatchObject([{ state: 'fulfilled' }, { state: 'fulfilled' }])
        await expectExact()
      },
    )

    test('one id of a part, from two clients: it is shipped once', async () => {
      const { db, a, of } = await ordered()
      const part = { transactionId: newId(), of, lines: [line(a, 3)] }
      const rival = await hold(a)
      const calls = [db, await open()].map((each) => started(each.$stock.fulfil(part)))
      await untilBlocked(database.url, 2)
      await rival.query('COMMIT')
      expect((await Promise.all(calls)).map(({ replayed }) => replayed).sort()).toEqual([false, true])
      expect(await movementsOf(part.transactionId)).toEqual([-3])
      await expectExact()
    })

    test('a part that waits while the time ends comes too late', async () => {
      const { db, a, b, of } = await ordered()
      const rival = await hold(a)
      const call = started(db.$stock.fulfil({ transactionId: newId(), of, lines: [line(a, 3)] }))
      await untilBlocked(database.url)
      await expire(of)
      await rival.query('COMMIT')
      expect(await rejectionOf(call)).toMatchObject({ code: 'RESERVATION_ENDED', transactionId: of, state: 'expired' })
      expect([await stateOf(a), await stateOf(b)]).toEqual(Array(2).fill({ onHand: 10, reserved: 0 }))
      await expectExact()
    })

    test('a part and a release: in either order nothing is given back twice', async () => {
      const { db, a, b, of } = await ordered()
      const rival = await hold(a)
      const releasing = started((await open()).$stock.release({ transactionId: of }))
      await untilBlocked(database.url)
      const taking = started(db.$stock.fulfil({ transactionId: newId(), of, lines: [line(a, 3)] }))
      await untilBlocked(database.url, 2)
      await rival.query('COMMIT')
      expect(await releasing).toEqual({ released: true, state: 'released' })
      const [taken] = await Promise.allSettled([taking])
      if (taken.status === 'rejected') expect(taken.reason).toMatchObject({ code: 'RESERVATION_ENDED' })
      expect([await stateOf(a), await stateOf(b)]).toMatchObject([
        { onHand: taken.status === 'rejected' ? 10 : 7, reserved: 0 },
        { onHand: 10, reserved: 0 },
      ])
      await expectExact()
    })
  })

  test('a reservation and parts of it are called together, in a transaction in their order, and on the client in any', async () => {
    const { db, a } = await ordered()
    const of = newId()
    const part = (quantity: number) => db.$stock.fulfil({ transactionId: newId(), of, lines: [line(a, quantity)] })
    const outcomes = await db.$transactionWithRetry((tx) =>
      Promise.all([
        tx.$stock.reserve({ transactionId: of, item: a, quantity: 5, expiresIn: HOUR }),
        tx.$stock.fulfil({ transactionId: newId(), of, lines: [line(a, 2)] }),
        tx.$stock.extend({ transactionId: of, expiresIn: null }),
      ]),
    )
    expect(outcomes).toMatchObject([{ state: 'active' }, { lines: [{ balance: 8 }] }, { expiresAt: null }])
    expect(await Promise.all([part(1), part(1), part(1)])).toHaveLength(3)
    expect(await reservationOf(of)).toMatchObject([{ state: 'fulfilled', fulfilled: 5, expiresAt: null }])
    await expectExact()
  })

  test('each part has data of its own, per line or for all that is left, which a replay must bring again', async () => {
    const { db, a, b, of } = await ordered()
    const noted = (note: string) => ({ transactionId: 'noted', of, lines: [{ ...line(a, 4), data: { note } }] })
    const rest = (note: string) => ({ transactionId: 'the rest', of, data: { note } })
    await db.$stock.fulfil(noted('x'))
    await db.$stock.fulfil(rest('y'))
    const notes = await database.query(
      `SELECT code, note FROM "PalletMovement" WHERE "transactionId" IN ('noted', 'the rest') ORDER BY "transactionId"`,
    )
    expect(notes).toEqual([
      { code: a, note: 'x' },
      { code: b, note: 'y' },
    ])
    expect(await db.$stock.fulfil(noted('x'))).toMatchObject({ replayed: true })
    expect(await db.$stock.fulfil(rest('y'))).toMatchObject({ replayed: true })
    for (const call of [noted('z'), rest('z')]) {
      expect(await rejectionOf(db.$stock.fulfil(call))).toMatchObject({
        code: 'IDEMPOTENCY_MISMATCH',
        fields: ['note'],
      })
    }
    await database.query(`DELETE FROM "PalletMovement" WHERE note IS NOT NULL`)
    await database.query(`DELETE FROM "PalletReservation" WHERE "transactionId" = $1`, [of])
    await database.query(`DELETE FROM "Pallet" WHERE code IN ($1, $2)`, [a, b])
  })

  test('each depot ships its own order of an id, in decimals', async () => {
    const [one, two] = [await pallets.depot(1), await pallets.depot(2)]
    const item = await pallets.newDepotPallet(1, 10)
    await pallets.newDepotPallet(2, 10, item)
    const of = newId()
    const part = { transactionId: newId(), of, lines: [{ item, quantity: '1.25' }] }
    for (const depot of [one, two]) await depot.reserve({ transactionId: of, item, quantity: '1.5', expiresIn: null })
    expect(String((await one.fulfil(part)).lines[0]?.balance)).toBe('8.75')
    expect(await two.release({ transactionId: of })).toMatchObject({ released: true })
    expect(await one.fulfil(part)).toMatchObject({ replayed: true })
    const error = await rejectionOf(one.fulfil({ ...part, transactionId: newId() }))
    expect(error).toMatchObject({ code: 'RESERVATION_EXCEEDED', item })
    expect(String((error as { left: unknown }).left)).toBe('0.25')
    expect(await rejectionOf(two.fulfil(part))).toMatchObject({ code: 'RESERVATION_ENDED', state: 'released' })
    expect([await one.audit(), await two.audit()]).toEqual([[], []])
  })
})
