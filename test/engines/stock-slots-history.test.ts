import { beforeEach, expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { rejectionOf } from '../support/rejection.js'
import { useSeats } from '../support/seats.js'
import { useSilos } from '../support/silos.js'
import { newId, useTickets } from '../support/tickets.js'

const site = { companyId: 1, site: 2 }

describeEngines((engine) => {
  const { at, fill, slotsOf, connectAt, clear, expectExact } = useSeats(engine, 'two fields')
  const { database } = engine
  beforeEach(() => clear())
  /** Two clients, each with a slot of its own. */
  const open = async () => {
    const [first, second] = [await connectAt(0), await connectAt(1)]
    return { db: first, first: at(first, site), second: at(second, site) }
  }
  type Entries = Awaited<ReturnType<ReturnType<typeof at>['history']>>
  const brief = (entries: Entries) =>
    entries.map(({ slot, sequence, quantity, balance }) => [slot, sequence, quantity, balance])

  test('each slot numbers its movements, those of several lines and of a transaction too, and has its own balances', async () => {
    const { db, first, second } = await open()
    await fill(site, 'a', 10, 10)
    await fill(site, 'b', 5, 5)

    await first.move('a', -1)
    await second.moveAll({ a: -2, b: -1 })
    await db.$transactionWithRetry(async (tx) => {
      await at(tx as never, site).move('a', -3)
      await at(tx as never, site).move('a', 4)
    })

    expect(brief(await first.history('a'))).toEqual([
      [0, 1, -1, 9],
      [0, 2, -3, 6],
      [0, 3, 4, 10],
      [1, 1, -2, 8],
    ])
    expect(brief(await first.history('b'))).toEqual([[1, 1, -1, 4]])
    await expectExact(db, [site])
  })

  test('pages go on behind the last movement of a slot, in both orders; and are of one slot, where it is asked for', async () => {
    const { first, second } = await open()
    await fill(site, 'a', 10, 10)
    for (const seats of [first, second, first, second]) await seats.move('a', -1)
    const pages = async (page: object) => {
      const found: unknown[] = []
      for (let after: Entries[number] | undefined; ; ) {
        const entries = await first.history('a', { limit: 1, ...page, after })
        if (entries.length === 0) return found
        found.push(...entries.map(({ slot, sequence }) => [slot, sequence]))
        after = entries.at(-1)
      }
    }
    const all = [
      [0, 1],
      [0, 2],
      [1, 1],
      [1, 2],
    ]

    expect(await pages({})).toEqual(all)
    expect(await pages({ order: 'desc' })).toEqual(all.toReversed())
    expect(await pages({ slot: 1 })).toEqual(all.slice(2))
    expect(await pages({ slot: 1, order: 'desc' })).toEqual(all.slice(2).toReversed())
    expect(brief(await first.history('a', { slot: 1, after: { sequence: 1 } }))).toEqual([[1, 2, -1, 8]])
  })

  test('a movement that borrows, and a count, have the balance that they leave in their own slot', async () => {
    const { db, first, second } = await open()
    await fill(site, 'a', 3, 10)

    await first.move('a', -5)
    await second.move('a', -1)
    await first.count('a', 5)

    expect(brief(await first.history('a'))).toEqual([
      [0, 1, -5, 8],
      [0, 2, -2, 1],
      [1, 1, -1, 4],
    ])
    expect(await slotsOf(site, 'a')).toEqual([1, 4])
    await expectExact(db, [site])
  })

  test('a slot that is merged, and made again, goes on with its numbers', async () => {
    const { db, first, second } = await open()
    await fill(site, 'a', 4, 4)
    await second.move('a', -1)
    await second.move('a', 1)

    await first.setSlots('a', 1)
    const merged = await first.history('a')
    await first.setSlots('a', 2)
    await second.move('a', -1)
    await first.move('a', -1)

    expect(brief(merged)).toEqual([
      [1, 1, -1, 3],
      [1, 2, 1, 4],
    ])
    expect(brief(await first.history('a'))).toEqual([
      [0, 1, -1, 3],
      [1, 1, -1, 3],
      [1, 2, 1, 4],
      [1, 3, -1, 3],
    ])
    await expectExact(db, [site])
  })

  test('a call that comes again has one number, whichever slot it comes to', async () => {
    const { first, second } = await open()
    await fill(site, 'a', 4, 4)
    const transactionId = newId()

    await first.move('a', -1, transactionId)
    await second.move('a', -1, transactionId)

    expect(brief(await first.history('a'))).toEqual([[0, 1, -1, 3]])
  })

  test.each([
    ['a movement is missing', 'DELETE FROM "SeatSale" WHERE slot = 1 AND sequence = 2', 2],
    ['the last one is missing', 'DELETE FROM "SeatSale" WHERE slot = 1 AND sequence = 3', 3],
    ['the slot has another last number', 'UPDATE "Seat" SET sequence = 9 WHERE slot = 1', 4],
  ])('an audit says in which slot, and where, %s', async (_, sql, brokenAt) => {
    const { first, second } = await open()
    await fill(site, 'a', 9, 9)
    await fill(site, 'b', 9, 9)
    for (const seats of [first, second, second, second]) await seats.move('a', -1)
    await second.move('b', -1)
    const whole = await first.audit()
    await database.query(`${sql} AND event = 'a'`)

    expect(whole).toEqual([])
    expect(await first.audit()).toMatchObject([{ item: 'a', brokenAt, brokenSlot: 1 }])
  })

  test('a storm of movements, while slots are made and merged, leaves every number once, and in its order', async () => {
    const { db, first, second } = await open()
    await fill(site, 'a', 20, 20)
    const moves = [first, second].flatMap((seats) =>
      Array.from({ length: 25 }, () =>
        seats.move('a', -1).then(
          () => 'sold',
          (error) => error.code,
        ),
      ),
    )
    const changes = (async () => {
      for (const count of [3, 1, 2]) await first.setSlots('a', count)
    })()

    const outcomes = await Promise.all(moves)
    await changes

    expect(outcomes.filter((outcome) => outcome === 'sold')).toHaveLength(40)
    const wrong = await database.query(`SELECT slot, sequence FROM (
  SELECT slot, sequence, at, row_number() OVER own AS place, max(at) OVER own AS latest FROM "SeatSale" WINDOW own AS (PARTITION BY slot ORDER BY sequence)
) AS s WHERE sequence IS DISTINCT FROM place OR at IS DISTINCT FROM latest`)
    expect(wrong).toEqual([])
    expect(await first.history('a')).toHaveLength(40)
    await expectExact(db, [site])
  })

  test('what there is no answer for is refused before any SQL, and says what to do', async () => {
    const { first } = await open()
    const silos = await useSilos(engine).db()
    const tickets = await useTickets(engine).connect()

    expect(await rejectionOf(first.history('a', { after: { sequence: 1 } }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'after.slot',
    })
    expect(await rejectionOf(first.history('a', { slot: 1, after: { slot: 0, sequence: 1 } }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'after.slot',
    })
    expect(await rejectionOf(silos.$stock.history({ item: 'a', slot: 0 }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'slot',
    })
    expect(await rejectionOf(first.balanceAt('a'))).toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining('units go from slot to slot without a movement'),
    })
    const issues = ['item.sequence', 'movement.sequence', 'movement.balance', 'movement.at', 'movement.slot']
    expect(await rejectionOf(tickets.db.$stock.history({ item: 'a' }))).toMatchObject({
      code: 'CONFIGURATION',
      issues: issues.map((path) => ({ path })),
    })
  })
})
