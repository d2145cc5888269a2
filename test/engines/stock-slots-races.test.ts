import { describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import type { TicketDb } from '../support/ticket-models.js'
import { newId, useTickets } from '../support/tickets.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines((engine) => {
  const { database } = engine
  const { connectAt, newEvent, slotsOf, totalOf, expectExact } = useTickets(engine)
  const sell = (db: Pick<TicketDb, '$stock'>, item: string, quantity: number) =>
    db.$stock.move({ transactionId: newId(), item, quantity: -quantity })
  /** A transaction with a movement that is held open until it is let go. */
  const holding = (db: TicketDb, item: string, quantity: number) => {
    const [held, let_go] = [gate(), gate()]
    const done = started(
      db.$transactionWithRetry(async (tx) => {
        await sell(tx, item, quantity)
        held.open()
        await let_go.opened
      }),
    )
    return { held: held.opened, letGo: () => let_go.open(), done }
  }

  describe('while a movement of another slot is open', () => {
    test('the own slot does not wait for it', async () => {
      const [first, second] = [await connectAt(0, 2), await connectAt(1, 2)]
      const event = await newEvent(5, 5)
      const open = holding(first.db, event, 1)
      await open.held

      await sell(second.db, event, 5)

      open.letGo()
      await open.done
      expect(await slotsOf(event)).toEqual([4, 0])
    })

    test.each([
      ['commits', 0],
      ['rolls back', 3],
    ])('whoever needs its units waits, and is exact when it %s', async (end, left) => {
      const { db } = await connectAt(1, 2)
      const event = await newEvent(3, 1)
      const open = await openTransaction(
        database.url,
        'UPDATE "Ticket" SET "onHand" = "onHand" - 3 WHERE event = $1 AND slot = 0',
        [event],
      )
      const call = started(sell(db, event, 4))
      await untilBlocked(database.url)
      await open.query(`INSERT INTO "TicketSale" VALUES ($1, 0, $2, -3)`, [newId(), event])
      await open.query(end === 'commits' ? 'COMMIT' : 'ROLLBACK')

      const outcome = left === 0 ? await rejectionOf(call) : await call

      expect(outcome).toMatchObject(left === 0 ? { code: 'INSUFFICIENT_STOCK', available: 1 } : { quantity: -4 })
      await expectExact()
    })

    test('setSlots waits for it, and it for setSlots', async () => {
      const [first, second] = [await connectAt(1, 2), await connectAt(0, 2)]
      const event = await newEvent(5, 5)
      const open = holding(first.db, event, 4)
      await open.held
      const grow = started(second.db.$stock.setSlots({ item: event, count: 3 }))
      await untilBlocked(database.url)
      open.letGo()
      await open.done
      await grow
      const afterwards = await slotsOf(event)
      const merge = await openTransaction(database.url, 'SELECT FROM "Ticket" WHERE event = $1 FOR UPDATE', [event])
      const call = started(sell(first.db, event, 5))
      await untilBlocked(database.url)
      await merge.query('UPDATE "Ticket" SET "onHand" = 6 WHERE event = $1 AND slot = 0', [event])
      await merge.query('DELETE FROM "Ticket" WHERE event = $1 AND slot > 0', [event])
      await merge.query('COMMIT')

      expect(afterwards).toEqual([2, 2, 2])
      await call
      expect(await slotsOf(event)).toEqual([1])
      await expectExact()
    })
  })

  test('a slot that is made while somebody is about to say too few is found', async () => {
    const { db } = await connectAt(0, 2)
    const event = await newEvent(2, 2)
    const grow = await openTransaction(database.url, 'SELECT FROM "Ticket" WHERE event = $1 AND slot = 0 FOR UPDATE', [
      event,
    ])
    const call = started(db.$stock.count({ transactionId: newId(), item: event, counted: 1 }))
    await untilBlocked(database.url)
    await grow.query('UPDATE "Ticket" SET "onHand" = 1 WHERE event = $1 AND slot = 0', [event])
    await grow.query('INSERT INTO "Ticket" (event, slot, "onHand") VALUES ($1, 2, 1)', [event])
    await grow.query('COMMIT')

    expect(await call).toMatchObject({ quantity: -3 })
    expect(await totalOf(event)).toBe(1)
    await expectExact()
  })

  test('two that borrow of the same items in opposite orders do not deadlock', async () => {
    const [first, second] = [await connectAt(0, 3), await connectAt(1, 3)]
    const [a, b] = [await newEvent(0, 0, 40), await newEvent(0, 0, 40)]
    const order = (db: TicketDb, items: readonly string[]) =>
      db.$stock.moveAll({ transactionId: newId(), lines: items.map((item) => ({ item, quantity: -1 })) })
    for (const { told } of [first, second]) told.length = 0
    const rounds = Array.from({ length: 10 }, async () => {
      await Promise.all([order(first.db, [a, b]), order(second.db, [b, a])])
    })

    await Promise.all(rounds)

    expect([await totalOf(a), await totalOf(b)]).toEqual([20, 20])
    for (const { told } of [first, second]) expect(told).not.toContain('deadlock')
    await expectExact()
  })

  test('two transactions that are short at once do not hold their own slots against each other', async () => {
    const [first, second] = [await connectAt(0, 3), await connectAt(1, 3)]
    const event = await newEvent(1, 1, 8)
    const other = await openTransaction(database.url, 'SELECT FROM "Ticket" WHERE event = $1 AND slot = 2 FOR UPDATE', [
      event,
    ])
    let runs = 0
    const calls = [first, second].map(({ db }) =>
      started(
        db.$transactionWithRetry(async (tx) => {
          runs++
          return sell(tx, event, 3)
        }),
      ),
    )
    await untilBlocked(database.url, 2)
    await other.query('COMMIT')
    await Promise.all(calls)

    expect(runs).toBe(2)
    expect(await totalOf(event)).toBe(4)
    await expectExact()
  })

  test('the same id at once from two slots is moved once', async () => {
    const [first, second] = [await connectAt(0, 2), await connectAt(1, 2)]
    const event = await newEvent(5, 5)
    const transactionId = newId()
    const order = { transactionId, item: event, quantity: -2 }
    const open = await openTransaction(database.url, 'SELECT FROM "Ticket" WHERE event = $1 AND slot = 0 FOR UPDATE', [
      event,
    ])
    const waiting = started(first.db.$stock.move(order))
    await untilBlocked(database.url)
    const done = await second.db.$stock.move(order)
    await open.query('COMMIT')

    expect([done.replayed, (await waiting).replayed]).toEqual([false, true])
    expect(await totalOf(event)).toBe(8)
    await expectExact()
  })

  test('a call that another process makes before the sum is read is replayed, though nothing is left', async () => {
    const proxy = await openProxy(database.url)
    const [first, second] = [await connectAt(0, 2, proxy.url), await connectAt(1, 2)]
    const event = await newEvent(0, 2)
    const order = { transactionId: newId(), item: event, quantity: -2 }
    const sum = proxy.next(/EXISTS \(SELECT FROM "public"."TicketSale"/, 'hold')
    const call = started(first.db.$stock.move(order))
    await sum.happened
    await second.db.$stock.move(order)
    sum.release()

    expect(await call).toMatchObject({ quantity: -2, replayed: true })
    await expectExact()
  })

  test('slots are made and merged in a storm of movements, and nothing is lost', async () => {
    const clients = [await connectAt(0, 3), await connectAt(1, 3), await connectAt(2, 3)]
    const event = await newEvent(60)
    const sales = clients.flatMap(({ db }) =>
      Array.from({ length: 30 }, async () =>
        sell(db, event, 1).then(
          () => 'sold',
          (error) => error.code,
        ),
      ),
    )
    const changes = (async () => {
      for (const count of [4, 2, 5, 1]) await clients[0]?.db.$stock.setSlots({ item: event, count })
    })()

    const outcomes = await Promise.all(sales)
    await changes

    expect(outcomes.filter((outcome) => outcome === 'sold')).toHaveLength(60)
    expect(outcomes.filter((outcome) => outcome === 'INSUFFICIENT_STOCK')).toHaveLength(30)
    expect(await slotsOf(event)).toEqual([0])
    await expectExact()
  })
})
