import { describe, expect, test } from 'vitest'
import { connectStock } from '../support/connect-stock.js'
import { openTransaction } from '../support/connection.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { expectExact, newId, type StockItem, useStock } from '../support/stock.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect, newItem, movementsOf, stateOf } = useStock()

const HOUR = 3_600_000
type Db = ReturnType<typeof connect>['db']
type Stock = Db['$stock']
type Call = (stock: Stock, transactionId: string, item: StockItem) => PromiseLike<unknown>

const reserve: Call = ($stock, transactionId, item) =>
  $stock.reserve({ transactionId, item, quantity: 2, expiresIn: HOUR })
const move: Call = ($stock, transactionId, item) => $stock.move({ transactionId, item, quantity: -3 })
const MOVEMENTS: readonly [name: string, call: Call][] = [
  ['move', move],
  ['moveAll', ($stock, transactionId, item) => $stock.moveAll({ transactionId, lines: [{ item, quantity: 1 }] })],
  ['count', ($stock, transactionId, item) => $stock.count({ transactionId, item, counted: 4 })],
  ['defer', ($stock, transactionId, item) => $stock.defer({ transactionId, item, quantity: 1 })],
]
/** The client knows the item, so its next move is judged by a guess. */
const known = async (db: Db, item: StockItem) => {
  for (let i = 0; i < 2; i++) await db.$stock.move({ transactionId: newId(), item, quantity: 1 })
}
const code = (error: unknown) => (error as { code?: unknown }).code
const codeOf = (outcome: PromiseSettledResult<unknown>) =>
  outcome.status === 'fulfilled' ? 'DONE' : code(outcome.reason)

describe.each(MOVEMENTS)('%s under a transaction id that is reserved', (_name, call) => {
  test.each([
    ['of the same item', true],
    ['of another item', false],
  ])('%s is refused, on the client and in a transaction', async (_title, isSame) => {
    const [{ db }, { db: other }] = [connect(), connect()]
    const [first, second] = [await newItem(10), await newItem(10)]
    const item = isSame ? first : second
    const transactionId = newId()
    await known(other, item)
    await reserve(db.$stock, transactionId, first)

    const errors = [
      await rejectionOf(call(db.$stock, transactionId, item)),
      await rejectionOf(call(other.$stock, transactionId, item)),
      await rejectionOf(other.$transaction((tx) => Promise.resolve(call(tx.$stock, transactionId, item)))),
    ]

    expect(errors).toMatchObject(
      Array(3).fill({ code: 'RESERVATION_ACTIVE', transactionId, message: expect.stringContaining('Fulfil it') }),
    )
    expect(await movementsOf(transactionId)).toEqual([])
    await expectExact(database)
  })

  test('and released is refused too: the id stays taken', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()
    await reserve(db.$stock, transactionId, item)
    await db.$stock.release({ transactionId })
    await known(db, item)

    const error = await rejectionOf(call(db.$stock, transactionId, item))

    expect(error).toMatchObject({ code: 'RESERVATION_ENDED', state: 'released' })
    await expectExact(database)
  })

  test('and expired is refused too, by the time of the database', async () => {
    const { db } = connect()
    const [item, other] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    await reserve(db.$stock, transactionId, item)
    await database.query(
      `UPDATE "StockReservation" SET "expiresAt" = now() - interval '1 s' WHERE "transactionId" = $1`,
      [transactionId],
    )

    const errors = [
      await rejectionOf(call(db.$stock, transactionId, other)),
      await rejectionOf(call(db.$stock, transactionId, item)),
    ]

    expect(errors).toMatchObject(Array(2).fill({ code: 'RESERVATION_ENDED', state: 'expired' }))
  })

  test('does not come between the reservation and its fulfilment', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()
    await reserve(db.$stock, transactionId, item)
    await rejectionOf(call(db.$stock, transactionId, item))

    await db.$stock.fulfil({ transactionId })

    expect(await movementsOf(transactionId)).toEqual([-2])
    await expectExact(database)
  })

  test('keeps the id from being reserved when it came first', async () => {
    const { db } = connect()
    const [item, other] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    await call(db.$stock, transactionId, item)

    const errors = [
      await rejectionOf(reserve(db.$stock, transactionId, item)),
      await rejectionOf(reserve(connect().db.$stock, transactionId, other)),
      await rejectionOf(db.$transaction((tx) => Promise.resolve(reserve(tx.$stock, transactionId, other)))),
    ]

    expect(errors).toMatchObject(Array(3).fill({ code: 'IDEMPOTENCY_MISMATCH', fields: ['reservation'] }))
    expect(await stateOf(other)).toMatchObject({ reserved: 0 })
  })
})

describe('at once, from two processes,', () => {
  describe.each(MOVEMENTS)('%s and reserve under one transaction id', (_name, call) => {
    test.each([
      ['of the same item', true],
      ['of two items', false],
    ])('%s: the reservation that came first is kept', async (_title, isSame) => {
      const [{ db }, { db: other }] = [connect(), connect()]
      const [first, second] = [await newItem(10), await newItem(10)]
      const item = isSame ? first : second
      const transactionId = newId()
      await known(other, item)
      const [reserved, commit] = [gate(), gate()]
      const reserving = db.$transaction(async (tx) => {
        await reserve(tx.$stock, transactionId, first)
        reserved.open()
        await commit.opened
      })
      await reserved.opened
      const moving = started(Promise.resolve(call(other.$stock, transactionId, item)))
      await untilBlocked(database.url)
      commit.open()
      await reserving

      expect(await rejectionOf(moving)).toMatchObject({ code: 'RESERVATION_ACTIVE' })
      await expectExact(database)
    })

    test.each([
      ['of the same item', true],
      ['of two items', false],
    ])('%s: the movement that came first is kept', async (_title, isSame) => {
      const [{ db }, { db: other }] = [connect(), connect()]
      const [first, second] = [await newItem(10), await newItem(10)]
      const transactionId = newId()
      const [moved, commit] = [gate(), gate()]
      const moving = db.$transaction(async (tx) => {
        await call(tx.$stock, transactionId, first)
        moved.open()
        await commit.opened
      })
      await moved.opened
      const reserving = started(Promise.resolve(reserve(other.$stock, transactionId, isSame ? first : second)))
      await untilBlocked(database.url)
      commit.open()
      await moving

      expect(await rejectionOf(reserving)).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['reservation'] })
      await expectExact(database)
    })
  })

  test('a move that waits for its item, with a reservation of another item meanwhile: one of the two', async () => {
    const [{ db }, { db: other }] = [connect(), connect()]
    const [first, second] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    await known(other, second)
    await known(db, first) // both have looked for the keys
    const rival = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
      second.productId,
    ])
    const moving = started(Promise.resolve(move(other.$stock, transactionId, second)))
    await untilBlocked(database.url)
    const reserving = started(Promise.resolve(reserve(db.$stock, transactionId, first)))
    // The move gives its lock of the id back when it has waited for its row too long: the reservation may come first.
    await Promise.race([untilBlocked(database.url, 2), Promise.allSettled([reserving])])
    await rival.query('COMMIT')

    const outcomes = (await Promise.allSettled([moving, reserving])).map(codeOf)

    expect(outcomes.filter((outcome) => outcome === 'DONE')).toHaveLength(1)
    await expectExact(database)
  })

  test('a storm of both: of each id one, and no call fails in another way', async () => {
    const [{ db }, { db: other }] = [connect(), connect()]
    const items = await Promise.all(Array.from({ length: 6 }, () => newItem(1_000)))
    const ids = Array.from({ length: 60 }, newId)
    for (const item of items) await known(other, item)
    const item = (i: number) => items[i % items.length] as StockItem

    const outcomes = await Promise.all(
      ids.map((id, i) =>
        Promise.allSettled([
          reserve((i % 2 ? db : other).$stock, id, item(i)),
          move((i % 3 ? other : db).$stock, id, item(i + (i % 5))),
        ]),
      ),
    )

    for (const [reserving, moving] of outcomes) {
      expect([
        ['DONE', 'RESERVATION_ACTIVE'],
        ['IDEMPOTENCY_MISMATCH', 'DONE'],
      ]).toContainEqual([codeOf(reserving), codeOf(moving)])
    }
    await expectExact(database)
  })
})

describe('a reservation that is committed between the snapshot and the lock of a single statement under its id', () => {
  /** A number of no other lock: a call that waits for it has its snapshot, and has not asked for the lock of its id. */
  const PAUSE = 4_711
  /** A client, as in another process, whose statements wait there for the holder of PAUSE. */
  const connectPaused = async () => {
    await database.query(`CREATE SCHEMA IF NOT EXISTS paused;
CREATE OR REPLACE FUNCTION paused.pg_try_advisory_xact_lock_shared(key int8) RETURNS bool
LANGUAGE plpgsql SET lock_timeout = 0 AS $$
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock_shared(${PAUSE});
  RETURN pg_catalog.pg_try_advisory_xact_lock_shared(key);
END $$`)
    const url = new URL(database.url)
    url.searchParams.set('options', '-c search_path=paused,pg_catalog,public')
    return connectStock(url.href).db
  }
  const SINGLE: readonly [name: string, call: (stock: Stock, id: string, items: readonly StockItem[]) => unknown][] = [
    ['move', ($stock, transactionId, [item]) => $stock.move({ transactionId, item: item as StockItem, quantity: -1 })],
    [
      'moveAll of two items',
      ($stock, transactionId, items) =>
        $stock.moveAll({ transactionId, lines: items.map((item) => ({ item, quantity: -1 })) }),
    ],
    ['defer', ($stock, transactionId, [item]) => $stock.defer({ transactionId, item: item as StockItem, quantity: 1 })],
  ]

  test.each(SINGLE)('is not seen by %s of other items; it cannot be fulfilled then, but released', async (_, call) => {
    const [{ db }, paused] = [connect(), await connectPaused()]
    const [reserved, ...items] = [await newItem(10), await newItem(10), await newItem(10)]
    for (const item of items) await known(paused, item)
    await known(db, reserved)
    const transactionId = newId()
    const rival = await openTransaction(database.url, `SELECT pg_advisory_xact_lock(${PAUSE})`)
    const moving = started(Promise.resolve(call(paused.$stock, transactionId, items)))
    await untilBlocked(database.url)
    await reserve(db.$stock, transactionId, reserved)
    await rival.query('COMMIT')
    await moving

    expect(await rejectionOf(db.$stock.fulfil({ transactionId }))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
    expect(await db.$stock.release({ transactionId })).toMatchObject({ released: true })
    expect(await stateOf(reserved)).toMatchObject({ onHand: 12, reserved: 0 })
    await expectExact(database)
  })
})

describe('in one tick of one client', () => {
  test('the first of a reservation and a movement wins', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const [one, two] = [newId(), newId()]

    const outcomes = await Promise.allSettled([
      reserve(db.$stock, one, item),
      move(db.$stock, one, item),
      move(db.$stock, two, item),
      reserve(db.$stock, two, item),
    ])

    expect(outcomes.map(codeOf)).toEqual(['DONE', 'RESERVATION_ACTIVE', 'DONE', 'IDEMPOTENCY_MISMATCH'])
    await expectExact(database)
  })
})

test('a move with the lines of a fulfilled reservation is a replay: they were moved', async () => {
  const { db } = connect()
  const item = await newItem(10)
  const transactionId = newId()
  await reserve(db.$stock, transactionId, item)
  await db.$stock.fulfil({ transactionId })

  expect(await db.$stock.move({ transactionId, item, quantity: -2 })).toMatchObject({ replayed: true, balance: 8 })
  expect(await rejectionOf(move(db.$stock, transactionId, item))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
})

test('a move whose item is known is one statement', async () => {
  const { db, statements } = connect()
  const item = await newItem(10)
  await known(db, item)
  statements.length = 0

  await move(db.$stock, newId(), item)

  expect(statements).toHaveLength(1)
})
