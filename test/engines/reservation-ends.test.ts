import { describe, expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { newId, usePallets } from '../support/pallets.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const HOUR = 3_600_000

describeEngines((engine) => {
  const { connectErp, database } = engine
  const pallets = usePallets(engine)
  const { db: open, newPallet, hold, stateOf, movementsOf, reservationOf, expire, expectExact } = pallets
  /** A reservation of 4 of a pallet that has 10. */
  const reserved = async (expiresIn: number | null = HOUR) => {
    const db = await open()
    const [item, transactionId] = [await newPallet(10), newId()]
    const { expiresAt } = await db.$stock.reserve({ transactionId, item, quantity: 4, expiresIn })
    return { db, item, transactionId, expiresAt }
  }
  /** How far the end of the reservation is from now, in ms, by the database's clock; `null` is none. */
  const timeLeft = async (transactionId: string) =>
    (
      await database.query(
        `SELECT (extract(epoch FROM "expiresAt" - now()) * 1000)::float8 AS ms FROM "PalletReservation" WHERE "transactionId" = $1`,
        [transactionId],
      )
    )[0]?.ms as number | null

  describe('an open reservation', () => {
    test('has no end, and stays until it is fulfilled or released', async () => {
      const { db, item, transactionId } = await reserved(null)
      const released = newId()
      expect(await db.$stock.reserve({ transactionId: released, item, quantity: 1, expiresIn: null })).toEqual({
        expiresAt: null,
        state: 'active',
        replayed: false,
      })
      expect(await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -6 }))).toMatchObject({
        available: 5,
      })
      expect(await db.$stock.fulfil({ transactionId })).toMatchObject({ lines: [{ quantity: -4, balance: 6 }] })
      expect(await db.$stock.release({ transactionId: released })).toEqual({ released: true, state: 'released' })
      expect(await stateOf(item)).toEqual({ onHand: 6, reserved: 0 })
      await expectExact()
    })

    test('is replayed without an end, and keeps its id from movements', async () => {
      const { db, item, transactionId } = await reserved(null)
      const again = { transactionId, item, quantity: 4 }
      expect(await db.$stock.reserve({ ...again, expiresIn: HOUR })).toEqual({
        expiresAt: null,
        state: 'active',
        replayed: true,
      })
      const error = await rejectionOf(db.$stock.move({ ...again, quantity: -4 }))
      expect(error).toMatchObject({ code: 'RESERVATION_ACTIVE', expiresAt: null })
    })

    test('is refused by a model whose end is required, and so is extend without one', async () => {
      const { db } = await connectErp()
      const call = { transactionId: newId(), expiresIn: null }
      const errors = [
        await rejectionOf(db.$stock.reserve({ ...call, item: { productId: 1, warehouse: 'main' }, quantity: 1 })),
        await rejectionOf(db.$stock.extend(call)),
      ]
      const message = expect.stringContaining('reservation.expiresAt: must name an optional field of StockReservation')
      expect(errors).toMatchObject([
        { code: 'CONFIGURATION', message },
        { code: 'CONFIGURATION', message },
      ])
    })
  })

  describe('extend', () => {
    test('sets an end that counts from now, by the database’s clock: later, earlier, or none', async () => {
      const { db, item, transactionId } = await reserved()
      for (const expiresIn of [2 * HOUR, HOUR / 2]) {
        const { expiresAt } = await db.$stock.extend({ transactionId, expiresIn })
        const [row] = await reservationOf(transactionId)
        expect(row).toMatchObject({ state: 'active', expiresAt })
        expect(Math.abs(expiresIn - ((await timeLeft(transactionId)) ?? 0))).toBeLessThan(HOUR / 4)
      }
      expect(await db.$stock.extend({ transactionId, expiresIn: null })).toEqual({ expiresAt: null })
      expect(await timeLeft(transactionId)).toBeNull()
      expect(await stateOf(item)).toEqual({ onHand: 10, reserved: 4 })
      await expectExact()
    })

    test('gives an open reservation an end', async () => {
      const { db, item, transactionId } = await reserved(null)
      await db.$stock.extend({ transactionId, expiresIn: 1 })
      const all = { transactionId: newId(), item, quantity: -10 }
      await expect.poll(() => db.$stock.move(all).catch(({ code }) => code)).toMatchObject({ balance: 0 })
      expect(await reservationOf(transactionId)).toMatchObject([{ state: 'expired' }])
    })

    test.each<[string, object, string]>([
      ['no time', { expiresIn: undefined }, 'expiresIn'],
      ['no time at all', { expiresIn: 0 }, 'expiresIn'],
      ['a text', { expiresIn: '15m' }, 'expiresIn'],
      ['no transaction id', { transactionId: '' }, 'transactionId'],
      ['what is no argument', { item: 'x' }, 'item'],
    ])('refuses %s, and names it', async (_, wrong, field) => {
      const db = await open()
      const call = { transactionId: newId(), expiresIn: HOUR, ...wrong }
      expect(await rejectionOf(db.$stock.extend(call as never))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    })

    test.each(['released', 'fulfilled', 'expired', 'missing'] as const)(
      'of one that is %s is refused',
      async (state) => {
        const { db, item, transactionId } = await reserved()
        if (state === 'released') await db.$stock.release({ transactionId })
        if (state === 'fulfilled') await db.$stock.fulfil({ transactionId })
        if (state === 'expired') await expire(transactionId)
        const id = state === 'missing' ? newId() : transactionId
        const error = await rejectionOf(db.$stock.extend({ transactionId: id, expiresIn: HOUR }))
        expect(error).toMatchObject({ code: 'RESERVATION_ENDED', transactionId: id, state })
        expect(await stateOf(item)).toMatchObject({ reserved: state === 'missing' ? 4 : 0 })
        await expectExact()
      },
    )

    test('of which one line is free already has ended as a whole', async () => {
      const db = await open()
      const items = [await newPallet(10), await newPallet(10)]
      const transactionId = newId()
      await db.$stock.reserve({ transactionId, lines: items.map((item) => ({ item, quantity: 10 })), expiresIn: HOUR })
      await expire(transactionId)
      await db.$stock.move({ transactionId: newId(), item: items[1] as string, quantity: -10 })
      const error = await rejectionOf(db.$stock.extend({ transactionId, expiresIn: HOUR }))
      expect(error).toMatchObject({ code: 'RESERVATION_ENDED', state: 'expired' })
      expect(await reservationOf(transactionId)).toMatchObject([{ state: 'expired' }, { state: 'expired' }])
      await expectExact()
    })

    test('that waits while the time ends comes too late', async () => {
      const { db, item, transactionId } = await reserved()
      const rival = await hold(item)
      const call = started(db.$stock.extend({ transactionId, expiresIn: HOUR }))
      await untilBlocked(database.url)
      await expire(transactionId)
      await rival.query('COMMIT')
      expect(await rejectionOf(call)).toMatchObject({ code: 'RESERVATION_ENDED', state: 'expired' })
      expect(await stateOf(item)).toMatchObject({ reserved: 0 })
      await expectExact()
    })

    test('that is in time counts, though a call that needs the stock has waited past the old end', async () => {
      const { db, item, transactionId } = await reserved()
      const other = await open()
      await other.$stock.balance({ item })
      const extendIn = async (seconds: number) => {
        const [extended, end] = [gate(), gate()]
        await database.query(
          `UPDATE "PalletReservation" SET "expiresAt" = now() + $2 * interval '1 s' WHERE "transactionId" = $1`,
          [transactionId, seconds],
        )
        const done = started(
          db.$transactionWithRetry(async (tx) => {
            await tx.$stock.extend({ transactionId, expiresIn: HOUR })
            extended.open()
            await end.opened
          }),
        )
        await Promise.race([extended.opened, done])
        return { end, done }
      }
      // A busy machine may need more time for it than it has at first.
      const { end, done: extending } = await extendIn(2).catch(() => extendIn(20))
      const needed = started(
        other.$stock.move({ transactionId: newId(), item, quantity: -10, retry: { deadline: 60_000 } }),
      )
      await untilBlocked(database.url)
      await expect.poll(() => timeLeft(transactionId), { timeout: 30_000 }).toBeLessThan(0)
      end.open()
      await extending
      expect(await rejectionOf(needed)).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 6 })
      await expectExact()
    })

    test.each(['two clients', 'one client'])(
      'twice at once, from %s: the end is that of the last one',
      async (clients) => {
        const { db, item, transactionId } = await reserved()
        const other = clients === 'one client' ? db : await open()
        const rival = await hold(item)
        const calls = [db, other].map((each) => started(each.$stock.extend({ transactionId, expiresIn: 2 * HOUR })))
        await untilBlocked(database.url, clients === 'one client' ? 1 : 2)
        await rival.query('COMMIT')
        const ends = (await Promise.all(calls)).map(({ expiresAt }) => expiresAt?.getTime() ?? 0)
        const [row] = await reservationOf(transactionId)
        expect(row).toMatchObject({ expiresAt: new Date(Math.max(...ends)) })
      },
    )

    test.each(['release', 'fulfil'] as const)(
      'and %s at once: in either order the reservation ends once',
      async (end) => {
        const { db, item, transactionId } = await reserved()
        const other = await open()
        const rival = await hold(item)
        const ending = started<object>(other.$stock[end]({ transactionId }))
        await untilBlocked(database.url)
        const extending = started(db.$stock.extend({ transactionId, expiresIn: HOUR }))
        await untilBlocked(database.url, 2)
        await rival.query('COMMIT')
        expect(await ending).toBeDefined()
        const [extended] = await Promise.allSettled([extending])
        if (extended.status === 'rejected') expect(extended.reason).toMatchObject({ code: 'RESERVATION_ENDED' })
        expect(await stateOf(item)).toEqual({ onHand: end === 'fulfil' ? 6 : 10, reserved: 0 })
        expect(await movementsOf(transactionId)).toEqual(end === 'fulfil' ? [-4] : [])
        await expectExact()
      },
    )
  })

  test('each depot extends its own reservation of an id', async () => {
    const [one, two] = [await pallets.depot(1), await pallets.depot(2)]
    const item = await pallets.newDepotPallet(1, 10)
    await pallets.newDepotPallet(2, 10, item)
    const transactionId = newId()
    for (const depot of [one, two]) await depot.reserve({ transactionId, item, quantity: '1.5', expiresIn: HOUR })
    await one.extend({ transactionId, expiresIn: null })
    const until = await database.query(
      `SELECT "depotId", until > (now() AT TIME ZONE 'UTC') AS "isAhead" FROM "DepotPalletReservation" WHERE "transactionId" = $1 ORDER BY 1`,
      [transactionId],
    )
    expect(until).toEqual([
      { depotId: 1, isAhead: null },
      { depotId: 2, isAhead: true },
    ])
    expect([await one.audit(), await two.audit()]).toEqual([[], []])
  })
})
