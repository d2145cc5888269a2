import { describe, expect, test } from 'vitest'
import { ConfigurationError } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { describeEngines } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { TICKETS } from '../support/ticket-models.js'
import { newId, useTickets } from '../support/tickets.js'

describeEngines((engine) => {
  const { connect, connectAt, newEvent, slotsOf, movementsOf, expectExact } = useTickets(engine)
  const sell = (db: Awaited<ReturnType<typeof connect>>['db'], item: string, quantity: number, more = {}) =>
    db.$stock.move({ transactionId: newId(), item, quantity: -quantity, ...more })

  describe('a movement', () => {
    test('is of the own slot of the process, whose balance is answered', async () => {
      const [first, third] = [await connectAt(0, 4), await connectAt(2, 4)]
      const event = await newEvent(10, 10, 10, 10)

      const answers = [await sell(first.db, event, 1), await sell(third.db, event, 2), await sell(first.db, event, 3)]

      expect(answers.map(({ balance }) => balance)).toEqual([9, 8, 6])
      expect(await slotsOf(event)).toEqual([6, 10, 8, 10])
      await expectExact()
    })

    test('takes what its slot lacks from the others, and each has an even share then', async () => {
      const { db } = await connectAt(1, 4)
      const event = await newEvent(20, 2, 9, 13)

      const { balance, quantity } = await sell(db, event, 4)

      expect([quantity, balance]).toEqual([-4, 10])
      expect(await slotsOf(event)).toEqual([10, 10, 10, 10])
      await expectExact()
    })

    test('leaves what is left in its slot, where a share would not be enough for another call like it', async () => {
      const { db } = await connectAt(1, 2)
      const event = await newEvent(8, 1)

      await sell(db, event, 4)

      expect(await slotsOf(event)).toEqual([0, 5])
      await expectExact()
    })

    test('takes the last unit, and then is refused with what all slots have', async () => {
      const { db } = await connectAt(2, 3)
      const event = await newEvent(1, 1, 0)

      const refused = await rejectionOf(sell(db, event, 3))
      await sell(db, event, 2)

      expect(refused).toMatchObject({ code: 'INSUFFICIENT_STOCK', requested: 3, available: 2, item: event })
      expect(await slotsOf(event)).toEqual([0, 0, 0])
      expect(await rejectionOf(sell(db, event, 1))).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 0 })
      await expectExact()
    })

    test('of an item that is not there is refused as ever', async () => {
      const { db } = await connect()

      expect(await rejectionOf(sell(db, 'nothing', 1))).toMatchObject({ code: 'ITEM_NOT_FOUND', item: 'nothing' })
    })

    test('of several items is made as a whole, each from its slots, or not at all', async () => {
      const { db } = await connectAt(0, 2)
      const [a, b] = [await newEvent(1, 9), await newEvent(0, 5)]
      const order = (first: number, second: number) => ({
        transactionId: newId(),
        lines: [
          { item: a, quantity: -first },
          { item: b, quantity: -second },
        ],
      })

      const refused = await rejectionOf(db.$stock.moveAll(order(2, 6)))
      const { lines } = await db.$stock.moveAll(order(2, 5))

      expect(refused).toMatchObject({ shortages: [{ item: b, requested: 6, available: 5 }] })
      expect(lines.map(({ quantity }) => quantity)).toEqual([-2, -5])
      expect([await slotsOf(a), await slotsOf(b)]).toEqual([
        [4, 4],
        [0, 0],
      ])
      await expectExact()
    })

    test('is one statement, like that of an item with one row', async () => {
      const proxy = await openProxy(engine.database.url)
      const { db } = await connect(proxy.url)
      const event = await newEvent(10, 10)
      await sell(db, event, 1)
      const before = proxy.statements.length

      await sell(db, event, 1)

      expect(proxy.statements.slice(before)).toEqual([expect.stringMatching(/^WITH locked AS/)])
    })
  })

  describe('a call that comes again', () => {
    test('is known to a process with another slot, also when nothing is left', async () => {
      const [first, second] = [await connectAt(0, 2), await connectAt(1, 2)]
      const event = await newEvent(3, 0)
      const order = { transactionId: newId(), item: event, quantity: -3 }
      await first.db.$stock.move(order)

      const [again, other] = [await second.db.$stock.move(order), await first.db.$stock.move(order)]

      expect([again, other].map(({ replayed, quantity }) => [replayed, quantity])).toEqual([
        [true, -3],
        [true, -3],
      ])
      expect(await movementsOf(order.transactionId)).toEqual([-3])
      await expectExact()
    })

    test('with another quantity, or another item, is a mismatch', async () => {
      const [first, second] = [await connectAt(0, 2), await connectAt(1, 2)]
      const [event, other] = [await newEvent(3, 0), await newEvent(0, 0)]
      const transactionId = newId()
      await first.db.$stock.move({ transactionId, item: event, quantity: -1 })
      const again = (item: string, quantity: number) =>
        rejectionOf(second.db.$stock.move({ transactionId, item, quantity }))

      expect(await again(event, -2)).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['quantity'] })
      expect(await again(other, -1)).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['item'] })
    })

    test('after its answer was lost, of the own slot or of all, is not made twice', async () => {
      const proxy = await openProxy(engine.database.url)
      const { db } = await connectAt(0, 2, proxy.url)
      const event = await newEvent(5, 5)
      await sell(db, event, 1)
      const lost = [proxy.next(/^WITH locked AS/, 'drop'), proxy.next(/^COMMIT/, 'drop')]

      const own = await sell(db, event, 1)
      const all = await sell(db, event, 7)
      await Promise.all(lost.map(({ happened }) => happened))

      expect([own.quantity, all.quantity]).toEqual([-1, -7])
      expect((await slotsOf(event)).reduce((sum, each) => sum + each)).toBe(1)
      await expectExact()
    })
  })

  describe('in a transaction of the caller', () => {
    test('it is of the own slot, or of all, and rolled back with it', async () => {
      const { db } = await connectAt(0, 2)
      const event = await newEvent(2, 8)
      const body = async (tx: Pick<typeof db, '$stock'>) => {
        await sell(tx as typeof db, event, 1)
        await sell(tx as typeof db, event, 5)
      }

      const failed = await rejectionOf(
        db.$transactionWithRetry(async (tx) => {
          await body(tx)
          throw new Error('no')
        }),
      )
      const untouched = await slotsOf(event)
      await db.$transactionWithRetry(body)

      expect(failed).toMatchObject({ message: 'no' })
      expect(untouched).toEqual([2, 8])
      expect((await slotsOf(event)).reduce((sum, each) => sum + each)).toBe(4)
      await expectExact()
    })

    test('a refusal leaves nothing and no lock, and the transaction goes on', async () => {
      const { db } = await connectAt(0, 2)
      const [event, other] = [await newEvent(2, 2), await newEvent(5, 5)]

      await db.$transactionWithRetry(async (tx) => {
        const refused = await rejectionOf(tx.$stock.move({ transactionId: newId(), item: event, quantity: -5 }))
        expect(refused).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 4 })
        await engine.database.query('SELECT FROM "Ticket" WHERE event = $1 FOR UPDATE NOWAIT', [event])
        await tx.$stock.move({ transactionId: newId(), item: other, quantity: -1 })
      })

      expect([await slotsOf(event), await slotsOf(other)]).toEqual([
        [2, 2],
        [4, 5],
      ])
    })
  })

  describe('setSlots', () => {
    test('spreads an item evenly, copies the other columns, and merges it again', async () => {
      const { db } = await connect()
      const event = await newEvent(11)
      const set = (count: number) => db.$stock.setSlots({ item: event, count })

      const answers = [await set(4), await slotsOf(event), await set(2), await slotsOf(event), await set(1)]

      expect(answers).toEqual([
        { count: 4, before: 1 },
        [5, 2, 2, 2],
        { count: 2, before: 4 },
        [6, 5],
        { count: 1, before: 2 },
      ])
      expect(await slotsOf(event)).toEqual([11])
      await set(3)
      expect(await engine.database.query('SELECT DISTINCT price FROM "Ticket" WHERE event = $1', [event])).toEqual([
        { price: 7 },
      ])
      await expectExact()
    })

    test('keeps the opening balance', async () => {
      const { db } = await connect()
      const event = `event ${newId()}`
      await engine.database.query(
        'INSERT INTO "Ticket" (event, slot, "onHand", opening) VALUES ($1, 0, 5, 5), ($1, 1, 2, 2)',
        [event],
      )

      await db.$stock.setSlots({ item: event, count: 1 })
      await db.$stock.setSlots({ item: event, count: 3 })

      expect(await slotsOf(event)).toEqual([3, 2, 2])
      await expectExact()
    })

    test('is known to a process that knew more slots, at its next call', async () => {
      const [first, second] = [await connectAt(1, 2), await connectAt(0, 2)]
      const event = await newEvent(5, 5)
      await sell(first.db, event, 1)
      await second.db.$stock.setSlots({ item: event, count: 1 })

      await Promise.all(Array.from({ length: 9 }, () => sell(first.db, event, 1)))

      expect(await slotsOf(event)).toEqual([0])
      expect(await rejectionOf(sell(first.db, event, 1))).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 0 })
      await expectExact()
    })

    test('of no item, and with a number that is none, is refused', async () => {
      const { db } = await connect()
      const refused = (count: number) => rejectionOf(db.$stock.setSlots({ item: 'nothing', count }))

      expect(await refused(2)).toMatchObject({ code: 'ITEM_NOT_FOUND' })
      for (const count of [0, 1.5, 1_001, Number.NaN]) {
        expect(await refused(count)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'count' })
      }
    })

    test('in a transaction is rolled back with it', async () => {
      const { db } = await connect()
      const event = await newEvent(4)
      await rejectionOf(
        db.$transactionWithRetry(async (tx) => {
          await tx.$stock.setSlots({ item: event, count: 2 })
          await tx.$stock.move({ transactionId: newId(), item: event, quantity: -1 })
          throw new Error('no')
        }),
      )

      await sell(db, event, 4)

      expect(await slotsOf(event)).toEqual([0])
      await expectExact()
    })
  })

  describe('the other calls', () => {
    test('balances are sums, in pages and by items, and a statement and a trace name the item', async () => {
      const { db } = await connect()
      const [a, b] = [await newEvent(3, 4), await newEvent(3, 4)].sort() as [string, string]
      const found = (rows: readonly { item: string; onHand: number; available: number }[]) =>
        rows.map(({ item, onHand, available }) => [item, onHand, available])
      const transactionId = newId()
      await db.$stock.move({ transactionId, item: a, quantity: -1 })

      const one = await db.$stock.balance({ item: a })
      const both = await db.$stock.balances({ items: [b, a] })
      const behind = await db.$stock.balances({ after: a, limit: 1_000 })
      const { movements } = await db.$stock.statement({ transactionId })

      expect(found([one, ...both])).toEqual([
        [a, 6, 6],
        [a, 6, 6],
        [b, 7, 7],
      ])
      expect(behind.map(({ item }) => item)).toEqual(expect.arrayContaining([b]))
      expect(behind.map(({ item }) => item)).not.toContain(a)
      expect(movements).toMatchObject([{ item: a, quantity: -1 }])
      expect(await db.$stock.trace({ item: a })).toMatchObject([{ transactionId, quantity: -1 }])
    })

    test('a count is of all slots, and comes again', async () => {
      const { db } = await connectAt(1, 3)
      const event = await newEvent(3, 4, 5)
      const [more, fewer] = [newId(), newId()]
      const count = (transactionId: string, counted: number) => db.$stock.count({ transactionId, item: event, counted })

      const answers = [await count(more, 14), await count(fewer, 2), await count(more, 14)]

      expect(answers.map(({ quantity, replayed }) => [quantity, replayed])).toEqual([
        [2, false],
        [-12, false],
        [2, true],
      ])
      expect((await slotsOf(event)).reduce((sum, each) => sum + each)).toBe(2)
      await expectExact()
    })

    test('a reversal undoes no more than was moved, by whatever slots', async () => {
      const [first, second] = [await connectAt(0, 2), await connectAt(1, 2)]
      const event = await newEvent(5, 5)
      const of = newId()
      await first.db.$stock.move({ transactionId: of, item: event, quantity: -4 })
      const reverse = ({ db }: typeof first, quantity: number) =>
        db.$stock.reverse({ transactionId: newId(), of, lines: [{ item: event, quantity }] })

      await Promise.all([reverse(first, 2), reverse(second, 1)])

      expect(await rejectionOf(reverse(second, 2))).toMatchObject({ code: 'REVERSAL' })
      await reverse(first, 1)
      expect((await slotsOf(event)).reduce((sum, each) => sum + each)).toBe(10)
      await expectExact()
    })

    test('take gives as much as all slots have', async () => {
      const { db } = await connectAt(1, 2)
      const event = await newEvent(3, 1)

      const { quantity } = await db.$stock.move({
        transactionId: newId(),
        item: event,
        quantity: -9,
        take: 'available',
      })

      expect(quantity).toBe(-4)
      await expectExact()
    })

    test('an audit finds an item whose slots do not add up', async () => {
      const { db } = await connect()
      const event = await newEvent(3, 4)
      await engine.database.query('UPDATE "Ticket" SET "onHand" = 9 WHERE event = $1 AND slot = 1', [event])

      expect(await db.$stock.audit()).toMatchObject([{ item: event, balance: 12, expected: 7 }])
      await engine.database.query('UPDATE "Ticket" SET "onHand" = 4 WHERE event = $1 AND slot = 1', [event])
    })
  })

  describe('what goes not together with slots is refused before any SQL', () => {
    test.each([
      ['minimum', { minimum: -5 }],
      ['maximum', { maximum: 5 }],
      ['createMissing', { createMissing: true }],
    ])('%s', async (field, more) => {
      const { db } = await connect()

      expect(await rejectionOf(sell(db, 'any', 1, more))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    })

    test('from, and calls that defer, close, prune, reserve, or look at a day, each with a way out', async () => {
      const proxy = await openProxy(engine.database.url)
      const { db } = await connect(proxy.url)
      const { transactionId, item, quantity } = { transactionId: newId(), item: 'any', quantity: 1 }
      const lines = [{ from: { item, quantity } }] as never
      const before = proxy.statements.length
      const refused: Record<string, () => Promise<unknown>> = {
        'call move': () => db.$stock.defer({ transactionId, item, quantity }),
        'nothing is deferred': () => db.$stock.project(),
        'keep items whose movements are pruned in a ledger': () => db.$stock.prune({ forgetBefore: new Date() }),
        'keep items whose periods are closed in a ledger': () => db.$stock.close({ until: '2026-01-31' }),
        'add the quantities': () => db.$stock.balanceAt({ item, at: new Date() }),
        'for stock to be reserved': () => db.$stock.reserve({ transactionId, item, quantity, expiresIn: 1_000 }),
        ' for stock to be reserved': () => db.$stock.release({ transactionId }),
        'stock to be reserved': () => db.$stock.fulfil({ transactionId }),
        ' stock to be reserved': () => db.$stock.extend({ transactionId, expiresIn: 1_000 }),
        'to be reserved': () => db.$stock.change({ transactionId, lines: [{ item, quantity }] }),
        'for reservations to be listed': () => db.$stock.reservations(),
      }

      for (const [wayOut, call] of Object.entries(refused)) {
        expect(await rejectionOf(call())).toMatchObject({
          code: 'CONFIGURATION',
          message: expect.stringContaining(wayOut),
        })
      }
      expect(await rejectionOf(db.$stock.moveAll({ transactionId, lines }))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        field: 'lines',
      })
      expect(proxy.statements.slice(before)).toEqual([])
    })

    test('options, when the client is extended', async () => {
      const { db } = await engine.connect('pg')
      const extended = (more: object, item = {}) => {
        try {
          return db.$extends(stock({ ...TICKETS, ...more, item: { ...TICKETS.item, ...item } }))
        } catch (error) {
          return (error as ConfigurationError).issues.map(({ path }) => path)
        }
      }

      expect(extended({ minimum: null })).toEqual(['minimum'])
      expect(extended({ minimum: 1 })).toEqual(['minimum'])
      expect(extended({ rememberRefusals: true, movement: { model: 'TicketSale', refused: 'applied' } })).toEqual(
        expect.arrayContaining(['rememberRefusals']),
      )
      expect(extended({ reservation: { model: 'TicketSale' } })).toEqual(expect.arrayContaining(['reservation']))
      expect(extended({ movement: { model: 'SiloMovement', date: 'at', item: 'code' } })).toEqual(
        expect.arrayContaining(['movement.date']),
      )
      expect(extended({}, { maximum: 'price' })).toEqual(['item.maximum'])
      expect(extended({}, { minimum: 'price' })).toEqual(['minimum'])
      expect(extended({}, { slots: 'price' })).toEqual(['item.key'])
      expect(extended({}, { slots: 'nothing' })).toEqual(['item.slots'])
      expect(extended({ movement: { model: 'TicketSale', slot: 'line' } })).toEqual([
        'item.sequence',
        'movement.sequence',
        'movement.balance',
        'movement.at',
      ])
      expect(
        extended({ movement: { model: 'TicketSale', slot: 'line' } }, { slots: undefined, key: ['event', 'slot'] }),
      ).toEqual(expect.arrayContaining(['movement.slot']))
      expect(extended({}, { slots: { field: 'nothing' } })).toEqual(['item.slots'])
      const slotsOf = (more: object) => extended({}, { slots: { field: 'slot', ...more } })
      expect(slotsOf({ least: 5, most: 4 })).toEqual(['item.slots'])
      expect(slotsOf({ least: 0 })).toEqual(['item.slots.least'])
      expect(slotsOf({ most: 1_001 })).toEqual(['item.slots.most'])
      expect(slotsOf({ adapt: false, most: 4 })).toEqual(['item.slots'])
      expect(slotsOf({ adapts: true })).toEqual(['item.slots.adapts'])
      expect(extended({}, { slots: 4 })).toEqual(['item.slots'])
    })

    test('setSlots, where the ledger has none', async () => {
      const { db } = await engine.connectErp()
      const call = db.$stock.setSlots({ item: { productId: 1, warehouse: 'a' }, count: 2 })

      expect(await rejectionOf(call)).toBeInstanceOf(ConfigurationError)
    })
  })
})
