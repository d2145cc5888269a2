import { describe, expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { newId, usePallets } from '../support/pallets.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const HOUR = 3_600_000

describeEngines((engine) => {
  const { database } = engine
  const pallets = usePallets(engine)
  const { db: open, newPallet, hold, stateOf, movementsOf, reservationOf, expectExact } = pallets
  const available = { take: 'available' } as const

  describe('move with take', () => {
    test('takes as much as there is, down to the minimum and what is reserved, and says how much', async () => {
      const db = await open()
      const item = await newPallet(10, { minimum: 2 })
      await db.$stock.reserve({ transactionId: newId(), item, quantity: 3, expiresIn: HOUR })
      const call = { transactionId: newId(), item, quantity: -7, ...available }
      expect(await db.$stock.move(call)).toEqual({ quantity: -5, balance: 5, replayed: false })
      expect(await movementsOf(call.transactionId)).toEqual([-5])
      expect(await stateOf(item)).toEqual({ onHand: 5, reserved: 3 })
      await expectExact()
    })

    test('takes all that was asked for where there is enough, and with no minimum all of it', async () => {
      const db = await open()
      const [item, endless] = [await newPallet(10), await newPallet(1, { minimum: null })]
      const move = (item: string, more: object = {}) =>
        db.$stock.move({ transactionId: newId(), item, quantity: -7, ...available, ...more })
      expect(await move(item)).toMatchObject({ quantity: -7, balance: 3 })
      expect(await move(endless)).toMatchObject({ quantity: -7, balance: -6 })
      expect(await move(item, { minimum: 1 })).toMatchObject({ quantity: -2, balance: 1 })
      expect(await move(item, { minimum: null })).toMatchObject({ quantity: -7, balance: -6 })
    })

    test('of which there is nothing is refused, leaves nothing, and takes what is there when it comes again', async () => {
      const db = await open()
      const item = await newPallet(0)
      const call = { transactionId: newId(), item, quantity: -7, ...available }
      const refused = { code: 'INSUFFICIENT_STOCK', shortages: [{ item, requested: 7, available: 0 }] }
      expect(await rejectionOf(db.$stock.move(call))).toMatchObject(refused)
      expect(await movementsOf(call.transactionId)).toEqual([])
      await db.$stock.move({ transactionId: newId(), item, quantity: 3 })
      expect(await db.$stock.move(call)).toMatchObject({ quantity: -3, replayed: false })
      await expectExact()
    })

    test('that comes again gets what was recorded, and may ask for more, but not for less or of another item', async () => {
      const [db, their] = [await open(), await open()]
      const [item, other] = [await newPallet(3), await newPallet(3)]
      const call = { transactionId: newId(), item, quantity: -7, ...available }
      await db.$stock.move(call)
      await db.$stock.move({ transactionId: newId(), item, quantity: 10 })
      const replayed = { quantity: -3, balance: 10, replayed: true }
      expect(await their.$stock.move(call)).toEqual(replayed)
      expect(await their.$transactionWithRetry((tx) => tx.$stock.move({ ...call, quantity: -9 }))).toEqual(replayed)
      expect(await their.$stock.move({ ...call, quantity: -3 })).toEqual(replayed)
      expect(await their.$stock.move({ ...call, quantity: -3, take: undefined })).toEqual(replayed)
      const mismatch = (fields: string[]) => ({ code: 'IDEMPOTENCY_MISMATCH', fields })
      const again = (more: object) => rejectionOf(their.$stock.move({ ...call, ...more }))
      expect(await again({ quantity: -2 })).toMatchObject(mismatch(['quantity']))
      expect(await again({ item: other })).toMatchObject(mismatch(['item']))
      expect(await again({ take: undefined })).toMatchObject(mismatch(['quantity']))
      const receipt = { transactionId: newId(), item, quantity: 2 }
      await db.$stock.move(receipt)
      expect(await again({ transactionId: receipt.transactionId })).toMatchObject(mismatch(['quantity']))
      await expectExact()
    })

    test('of a reserved id is refused', async () => {
      const db = await open()
      const call = { transactionId: newId(), item: await newPallet(3), quantity: -7, ...available }
      await db.$stock.reserve({ ...call, quantity: 1, expiresIn: HOUR })
      expect(await rejectionOf(db.$stock.move(call))).toMatchObject({ code: 'RESERVATION_ACTIVE' })
    })

    test('that is refused stays refused where refusals are remembered', async () => {
      const db = await open(undefined, { rememberRefusals: true })
      const item = await newPallet(0)
      const call = { transactionId: newId(), item, quantity: -7, ...available }
      await rejectionOf(db.$stock.move(call))
      await db.$stock.move({ transactionId: newId(), item, quantity: 10 })
      expect(await rejectionOf(db.$stock.move(call))).toMatchObject({ code: 'INSUFFICIENT_STOCK', requested: 7 })
      expect(await stateOf(item)).toMatchObject({ onHand: 10 })
      await expectExact()
    })

    test('of an item that is not there says so', async () => {
      const db = await open()
      const call = { transactionId: newId(), item: newId(), quantity: -7, ...available }
      expect(await rejectionOf(db.$stock.move(call))).toMatchObject({ code: 'ITEM_NOT_FOUND' })
    })

    test.each<[string, object, string]>([
      ['what comes in', { quantity: 7 }, 'quantity'],
      ['nothing', { quantity: 0 }, 'quantity'],
      ['another word', { take: 'all' }, 'take'],
      ['a flag', { take: true }, 'take'],
    ])('refuses %s', async (_, wrong, field) => {
      const db = await open()
      const call = { transactionId: newId(), item: 'x', quantity: -7, ...available, ...wrong }
      expect(await rejectionOf(db.$stock.move(call as never))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    })

    test.each(['two clients', 'one client'])(
      'twice at once, from %s: the second one has what the first has left',
      async (from) => {
        const db = await open()
        const other = from === 'one client' ? db : await open()
        const item = await newPallet(10)
        const rival = await hold(item)
        const calls = [db, other].map((each) =>
          started(each.$stock.move({ transactionId: newId(), item, quantity: -8, ...available })),
        )
        await untilBlocked(database.url, from === 'one client' ? 1 : 2)
        await rival.query('COMMIT')
        const taken = (await Promise.all(calls)).map(({ quantity }) => quantity)
        expect(taken.sort()).toEqual([-2, -8])
        expect(await stateOf(item)).toMatchObject({ onHand: 0 })
        await expectExact()
      },
    )

    test('beside other movements of one batch, and of another client, takes all that there is and no more', async () => {
      const [db, their] = [await open(), await open()]
      const item = await newPallet(50)
      const ids = Array.from({ length: 60 }, newId)
      const calls = ids.map((transactionId, i) => {
        const { $stock } = i % 2 === 0 ? db : their
        return i % 3 === 0
          ? $stock.move({ transactionId, item, quantity: -4, ...available })
          : $stock.move({ transactionId, item, quantity: i % 3 === 1 ? -1 : 1 })
      })
      const outcomes = await Promise.allSettled([
        ...calls,
        db.$stock.move({ transactionId: ids[0] as string, item, quantity: -4, ...available }),
      ])
      const failed = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.code] : []))
      expect([...new Set(failed)].filter((code) => code !== 'INSUFFICIENT_STOCK')).toEqual([])
      expect(await movementsOf(ids[0] as string)).toHaveLength(1)
      await expectExact()
    })
  })

  describe('reserve with take', () => {
    const lineUp = async (...onHand: number[]) => Promise.all(onHand.map((quantity) => newPallet(quantity)))

    test('reserves as much as there is of each line, nothing of some, and says how much', async () => {
      const db = await open()
      const [plenty, few, none] = await lineUp(10, 2, 0)
      const lines = [none, plenty, few].map((item) => ({ item: item as string, quantity: 4 }))
      const call = { transactionId: newId(), lines, expiresIn: HOUR, ...available }
      const taken = [
        { item: none, quantity: 0 },
        { item: plenty, quantity: 4 },
        { item: few, quantity: 2 },
      ]
      expect(await db.$stock.reserve(call)).toEqual({
        expiresAt: expect.any(Date),
        state: 'active',
        replayed: false,
        lines: taken,
      })
      expect(await (await open()).$stock.reserve(call)).toMatchObject({ replayed: true, lines: taken })
      expect(await reservationOf(call.transactionId)).toMatchObject([{ quantity: 4 }, { quantity: 2 }])
      expect((await db.$stock.fulfil({ transactionId: call.transactionId })).lines).toEqual([
        { item: plenty, quantity: -4, balance: 6 },
        { item: few, quantity: -2, balance: 0 },
      ])
      expect(await db.$stock.reserve(call)).toMatchObject({ state: 'fulfilled', replayed: true, lines: taken })
      await expectExact()
    })

    test('of which there is nothing at all is refused, with each line', async () => {
      const db = await open()
      const lines = (await lineUp(0, 0)).map((item) => ({ item, quantity: 4 }))
      const call = { transactionId: newId(), lines, expiresIn: HOUR, ...available }
      expect(await rejectionOf(db.$stock.reserve(call))).toMatchObject({
        code: 'INSUFFICIENT_STOCK',
        shortages: lines.map(({ item }) => ({ item, requested: 4, available: 0 })),
      })
      expect(await reservationOf(call.transactionId)).toEqual([])
    })

    test('that comes again for less, or of other items, is a mismatch', async () => {
      const db = await open()
      const [item, other] = (await lineUp(3, 3)) as [string, string]
      const call = { transactionId: newId(), item, quantity: 4, expiresIn: HOUR, ...available }
      await db.$stock.reserve(call)
      const again = (more: object) => rejectionOf(db.$stock.reserve({ ...call, ...more }))
      expect(await again({ quantity: 2 })).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['quantity'] })
      expect(await again({ item: other })).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['item'] })
      expect(await again({ take: undefined })).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['quantity'] })
      expect(await again({ take: 'all' })).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'take' })
    })

    test('compares the data of the lines that were reserved, and of no others', async () => {
      const db = await open()
      const [plenty, none] = (await lineUp(10, 0)) as [string, string]
      const reserve = (note: string) =>
        db.$stock.reserve({
          transactionId: 'with data',
          lines: [plenty, none].map((item) => ({ item, quantity: 4, data: { note: `${note} ${item}` } })),
          expiresIn: HOUR,
          ...available,
        })
      await reserve('a')
      expect(await reserve('a')).toMatchObject({ replayed: true, lines: [{ quantity: 4 }, { quantity: 0 }] })
      expect(await rejectionOf(reserve('b'))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['note'] })
    })
  })

  test('each depot takes as much as it has, in decimals', async () => {
    const [one, two] = [await pallets.depot(1), await pallets.depot(2)]
    const item = await pallets.newDepotPallet(1, 1.125)
    await pallets.newDepotPallet(2, 5, item)
    const call = { transactionId: newId(), item, quantity: '-2.5', ...available }
    expect([(await one.move(call)).quantity, (await two.move(call)).quantity].map(String)).toEqual(['-1.125', '-2.5'])
    expect(await one.move(call)).toMatchObject({ replayed: true })
    const reserved = await two.reserve({ transactionId: newId(), item, quantity: 4, expiresIn: null, ...available })
    expect(String(reserved.lines?.[0]?.quantity)).toBe('2.5')
    expect([await one.audit(), await two.audit()]).toEqual([[], []])
  })
})
