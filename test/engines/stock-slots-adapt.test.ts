import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { SlotChanges } from '../../src/stock/slot-changes.js'
import { SlotNeed, type Visit } from '../../src/stock/slot-need.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { passingTime } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { started } from '../support/started.js'
import type { TicketDb } from '../support/ticket-models.js'
import { newId, useTickets } from '../support/tickets.js'
import { watchUnhandled } from '../support/unhandled.js'
import { untilBlocked } from '../support/until-blocked.js'

/** After so many ms a process looks again how many slots an item has. */
const LOOKS_AGAIN = 10_001
type Adapting = Awaited<ReturnType<ReturnType<typeof useTickets>['connectAdapting']>>
const GROWS = /^WITH gone AS/

describeEngines((engine) => {
  const { database } = engine
  const { connect, connectAdapting, newEvent, slotsOf, totalOf, expectExact } = useTickets(engine)
  const sell = (db: Pick<TicketDb, '$stock'>, item: string, quantity = 1) =>
    db.$stock.move({ transactionId: newId(), item, quantity: -quantity })
  /** A call that waits for a slot that another session holds, 20 ms at least. */
  const blocked = async (event: string, call: () => Promise<unknown>) => {
    const holder = await openTransaction(
      database.url,
      'SELECT FROM "Ticket" WHERE event = $1 AND slot = 0 FOR UPDATE',
      [event],
    )
    const waiting = started(call())
    await untilBlocked(database.url)
    await holder.query('SELECT pg_sleep(0.02)')
    await holder.query('COMMIT')
    await waiting
  }

  /** The calls of a method that everything of its class has. */
  const calls = (owner: object, method: string) => {
    const spy = vi.spyOn(owner as Record<string, () => unknown>, method)
    onTestFinished(() => spy.mockRestore())
    return spy.mock
  }
  /**
   * Makes a call again and again, eleven seconds apart, until it is so: a change gives way to whatever holds a row, which may
   * be long on a busy machine.
   */
  const until = async (isSo: () => boolean, { told }: Pick<Adapting, 'told'>, call: () => Promise<unknown>) => {
    const started = calls(SlotChanges.prototype, 'start')
    const pass = passingTime()
    for (;;) {
      await call()
      await told(started.calls.length)
      if (isSo()) return
      pass(11_000)
    }
  }
  const hasChanged =
    ({ events }: Adapting) =>
    () =>
      events.some((event) => !('error' in event))

  describe('how long a statement has waited for a row', () => {
    const watchVisits = () => {
      const visited = calls(SlotNeed.prototype, 'visited')
      return () => visited.calls.map(([visit]: unknown[]) => visit as Visit)
    }

    test.each([
      ['first', 0],
      ['second', 1],
    ])('is found behind the lock, for each row of its own: the %s', async (_, held) => {
      const { db } = await connect()
      const events = [await newEvent(9), await newEvent(9)].sort()
      const lines = events.map((item) => ({ item, quantity: -1 }))
      await db.$stock.moveAll({ transactionId: newId(), lines })
      const visits = watchVisits()

      const longest = () => Math.max(0, ...visits().map(({ waited }) => waited))
      const lastTwo = () => {
        const last = visits().slice(-2)
        return (held === 0 ? last : last.reverse()) as [Visit, Visit]
      }
      // A statement that is blocked for longer than its limit tells nothing of the rows, and one that a busy machine keeps
      // waiting at the other row, too, nothing of the locks.
      do await blocked(events[held] ?? '', () => db.$stock.moveAll({ transactionId: newId(), lines }))
      while (longest() < 20 || lastTwo()[0].waited <= lastTwo()[1].waited)

      const [blockedOne, other] = lastTwo()
      expect(blockedOne.waited).toBeGreaterThanOrEqual(20)
      expect(other.waited).toBeLessThan(blockedOne.waited)
      expect(other.took).toBe(blockedOne.took)
      expect(other.took).toBeGreaterThan(other.waited + blockedOne.waited)
    })

    test('does not count what the rest of the statement takes', async () => {
      const { db } = await connect()
      const event = await newEvent(9)
      await sell(db, event)
      const visits = watchVisits()
      await database.query(`
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON "TicketSale" FOR EACH ROW EXECUTE FUNCTION slow()`)

      await sell(db, event)

      await database.query('DROP FUNCTION slow CASCADE')
      const [{ took, waited }] = visits() as [Visit]
      expect(took - waited).toBeGreaterThanOrEqual(50)
    })

    test('comes with the quantity that was wanted, also where it was refused', async () => {
      const { db } = await connect()
      const event = await newEvent(3)
      await sell(db, event)
      const visits = watchVisits()

      await rejectionOf(sell(db, event, 5))
      await sell(db, event, 2)

      expect(visits()).toMatchObject([
        { change: -5n, left: 2n },
        { change: -2n, left: 0n },
      ])
    })

    test('is not asked for in a transaction of the caller', async () => {
      const { db } = await connect()
      const event = await newEvent(9)
      const visits = watchVisits()
      const disturbed = calls(SlotNeed.prototype, 'disturbed')
      await sell(db, event)

      await db.$transactionWithRetry((tx) => sell(tx, event))

      expect(visits()).toHaveLength(1)
      expect(disturbed.calls).toHaveLength(1)
    })
  })

  test('an item that calls wait for has twice as many slots then, and takes from them', async () => {
    const pass = passingTime()
    const { db, told } = await connectAdapting('slot')
    const event = await newEvent(1_000)
    const started = calls(SlotChanges.prototype, 'start')
    let sold = 0
    let isChanged = false
    while (!isChanged) {
      await blocked(event, () => sell(db, event))
      sold++
      pass(60)
      const events = await told(started.calls.length)
      isChanged = events.some(({ error }) => error === undefined)
    }

    const events = await told(1)

    expect(events.at(-1)).toMatchObject({ operation: '$stock.setSlots', before: 1, count: 2, why: 'waiting' })
    expect(sold).toBeGreaterThan(9)
    expect(await slotsOf(event)).toHaveLength(2)
    await sell(db, event)
    expect(await totalOf(event)).toBe(999 - sold)
    await expectExact()
  })

  test('of two processes that decide at once the second leaves what the first has made', async () => {
    const proxy = await openProxy(database.url)
    const pass = passingTime()
    const first = await connectAdapting({ field: 'slot', least: 4 })
    const second = await connectAdapting({ field: 'slot', least: 2 }, proxy.url)
    const decideBoth = async (event: string) => {
      const lock = proxy.next(/FOR UPDATE OF t/, 'hold')
      await sell(second.db, event)
      const failed = second.told(second.events.length + 1).then(() => 'failed')
      await Promise.race([lock.happened, failed])
      while ((await slotsOf(event)).length === 1) {
        const told = first.told(first.events.length + 1)
        await sell(first.db, event)
        if ((await told).at(-1)?.error !== undefined) pass(11_000)
      }
      const { length } = proxy.statements
      lock.release()
      const isCommitted = () => expect(proxy.statements.slice(length)).toContainEqual(expect.stringMatching(/^COMMIT/))
      return Promise.race([failed, vi.waitFor(isCommitted, { timeout: 100_000 })])
    }

    let event = await newEvent(80)
    // The second gives up where it has waited too long.
    while ((await decideBoth(event)) === 'failed') event = await newEvent(80)
    await sell(second.db, event)

    expect(first.events.at(-1)).toMatchObject({ before: 1, count: 4, why: 'bounds' })
    expect(second.events.filter((told) => !('error' in told))).toEqual([])
    expect(await slotsOf(event)).toHaveLength(4)
    await expectExact()
  })

  test('slots that nobody has used for a minute are merged', async () => {
    const client = await connectAdapting('slot')
    const event = await newEvent(...Array(8).fill(50))
    let sold = 0

    await until(hasChanged(client), client, async () => {
      await sell(client.db, event)
      sold++
    })

    expect(sold).toBeGreaterThan(6)
    expect(client.events.at(-1)).toMatchObject({ before: 8, count: 4, why: 'unused' })
    expect(await slotsOf(event)).toHaveLength(4)
    await expectExact()
  })

  test('where little is left, and calls borrow nearly each time, they are merged, and all of it is sold', async () => {
    const clients = [await connectAdapting('slot'), await connectAdapting('slot')]
    const event = await newEvent(...Array(31).fill(0), 220)
    for (let call = 0; call < 22; call++) await sell((clients[call % 2] as (typeof clients)[0]).db, event, 10)

    const [told] = await Promise.race(clients.map((client) => client.told(1)))

    expect(told).toMatchObject({ before: 32, count: 16, why: 'borrowing' })
    expect(await rejectionOf(sell((clients[0] as (typeof clients)[0]).db, event))).toMatchObject({ available: 0 })
    expect(await totalOf(event)).toBe(0)
    await expectExact()
  })

  describe('a change that fails', () => {
    const growing = { field: 'slot', least: 2 }

    test.each(['cut', 'drop', 'abandon'] as const)('since its connection ends (%s) comes again', async (fate) => {
      const proxy = await openProxy(database.url)
      const client = await connectAdapting(growing, proxy.url)
      const event = await newEvent(50)
      const ended = proxy.next(GROWS, fate)

      await until(hasChanged(client), client, () => sell(client.db, event))

      await ended.happened
      const [failed] = client.events
      expect(failed).toMatchObject({ before: 1, count: 2, why: 'bounds', error: expect.anything() })
      expect(client.events.at(-1)).toMatchObject({ before: 1, count: 2 })
      expect(await slotsOf(event)).toHaveLength(2)
      await expectExact()
    })

    test('for want of the right is told, and the calls go on', async () => {
      const unhandled = watchUnhandled()
      const url = await openRole(database)
      const client = await connectAdapting(growing, url)
      await database.query(`REVOKE INSERT ON "Ticket" FROM ${new URL(url).username}`)
      const event = await newEvent(50)
      const isDenied = () => client.events.some(({ error }) => /permission|42501/.test(String(error)))

      await until(isDenied, client, () => sell(client.db, event))
      const { length } = client.events
      await sell(client.db, event) // it is not tried again at once

      await client.close()
      expect(client.events).toHaveLength(length)
      expect(await slotsOf(event)).toHaveLength(1)
      expect(await unhandled.collected()).toEqual([])
    })

    test('since a transaction holds a slot gives way to it', async () => {
      const { db, told } = await connectAdapting(growing)
      const event = await newEvent(10)
      const holder = await openTransaction(database.url, 'SELECT FROM "Ticket" WHERE event = $1 FOR KEY SHARE', [event])

      await sell(db, event)

      expect(await told(1)).toMatchObject([{ why: 'bounds', error: expect.anything() }])
      await holder.query('COMMIT')
      expect(await slotsOf(event)).toEqual([9])
    })

    test('since the client is disconnected meanwhile disturbs nobody', async () => {
      const unhandled = watchUnhandled()
      const proxy = await openProxy(database.url)
      const client = await connectAdapting(growing, proxy.url)
      const event = await newEvent(50)
      const held = proxy.next(GROWS, 'hold')
      let isHeld = false
      void held.happened.then(() => {
        isHeld = true
      })
      const told = (count: number) => Promise.race([held.happened, client.told(count)])
      await until(
        () => isHeld,
        { told } as never,
        () => sell(client.db, event),
      )
      const closing = started(client.close())
      proxy.refuse()
      held.release()

      await closing

      expect(await unhandled.collected()).toEqual([])
      expect(await slotsOf(event)).toHaveLength(1)
      await expectExact()
    })
  })

  test('a pool of one connection is enough, also beside a transaction of the caller', async () => {
    const client = await connectAdapting({ field: 'slot', least: 2 }, database.url, 1)
    const [event, other] = [await newEvent(50), await newEvent(50)]
    const { db } = client
    const decided = calls(SlotChanges.prototype, 'start').calls
    const decidedWithin: number[] = []

    await until(hasChanged(client), client, () =>
      db.$transactionWithRetry(async (tx) => {
        const { length } = decided
        await sell(tx, event)
        await sell(tx, event, 2)
        decidedWithin.push(decided.length - length)
      }),
    )
    expect(new Set(decidedWithin)).toEqual(new Set([0]))
    await Promise.all([sell(db, other), db.$transactionWithRetry((tx) => sell(tx, other)), sell(db, other)])

    expect(await slotsOf(event)).toHaveLength(2)
    expect(await totalOf(other)).toBe(47)
    await expectExact()
  })

  describe('setSlots', () => {
    test.each(['cut', 'drop', 'abandon'] as const)('that is ended in the middle (%s) loses nothing', async (fate) => {
      const proxy = await openProxy(database.url)
      const { db } = await connectAdapting('slot', proxy.url)
      const event = await newEvent(5, 5)
      const interception = proxy.next(GROWS, fate)

      const outcome = await db.$stock.setSlots({ item: event, count: 4 }).then(
        ({ count }) => count,
        () => undefined,
      )
      await interception.happened

      expect(await slotsOf(event)).toHaveLength(outcome ?? 2)
      expect(await totalOf(event)).toBe(10)
      await expectExact()
    })

    test('takes numbers between the bounds alone, unless the number does not adapt', async () => {
      const adapting = await connectAdapting({ field: 'slot', least: 2, most: 4 })
      const fixed = await connectAdapting({ field: 'slot', adapt: false })
      const event = await newEvent(10)

      for (const count of [1, 5]) {
        const refused = await rejectionOf(adapting.db.$stock.setSlots({ item: event, count }))
        expect(refused).toMatchObject({
          code: 'INVALID_ARGUMENT',
          field: 'count',
          message: expect.stringMatching('from 2 to 4'),
        })
      }
      expect(await adapting.db.$stock.setSlots({ item: event, count: 4 })).toMatchObject({ count: 4 })
      expect(await fixed.db.$stock.setSlots({ item: event, count: 40 })).toMatchObject({ count: 40 })
    })
  })

  test('a number that does not adapt stays, and its statements ask for no time', async () => {
    const proxy = await openProxy(database.url)
    const pass = passingTime()
    const { db, events } = await connectAdapting({ field: 'slot', adapt: false }, proxy.url)
    const event = await newEvent(...Array(8).fill(50))

    for (let round = 1; round <= 8; round++) {
      await sell(db, event)
      pass(LOOKS_AGAIN)
    }

    expect(events).toEqual([])
    expect(proxy.statements.filter((statement) => /waited|array_agg/.test(statement))).toEqual([])
    expect(await slotsOf(event)).toHaveLength(8)
  })
})
