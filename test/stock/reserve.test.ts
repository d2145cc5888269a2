import { describe, expect, test } from 'vitest'
import { connectStock } from '../support/connect-stock.js'
import { openTransaction } from '../support/connection.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { expectExact, newId, type StockItem, useStock } from '../support/stock.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, newItem, stateOf, movementsOf } = useStock()

const HOUR = 3_600_000
const connect = () => connectStock(database.url)

/** The states of a reservation's lines in the database, in their order. */
const statesOf = async (transactionId: string) =>
  (
    await database.query('SELECT state FROM "StockReservation" WHERE "transactionId" = $1 ORDER BY line', [
      transactionId,
    ])
  ).map(({ state }) => state)

/** Lets the reservation's time be over, by the database's clock. */
const expire = (transactionId: string) =>
  database.query(`UPDATE "StockReservation" SET "expiresAt" = now() - interval '1 second' WHERE "transactionId" = $1`, [
    transactionId,
  ])

const LOCK = 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE'

/** An item that somebody else has locked until the transaction ends. */
const hold = ({ productId }: StockItem) => openTransaction(database.url, LOCK, [productId])

/** A reservation of one item that nobody else uses. */
async function reserved({ onHand = 10, quantity = 4 } = {}) {
  const { db } = connect()
  const item = await newItem(onHand)
  const transactionId = newId()
  await db.$stock.reserve({ transactionId, item, quantity, expiresIn: HOUR })
  return { db, item, transactionId }
}

describe('reserve', () => {
  test('holds stock back: it stays on hand, and is not available to others', async () => {
    const { db } = connect()
    const item = await newItem(10)

    const answer = await db.$stock.reserve({ transactionId: newId(), item, quantity: 4, expiresIn: HOUR })

    expect(answer).toEqual({ expiresAt: expect.any(Date), state: 'active', replayed: false })
    expect(await stateOf(item)).toEqual({ onHand: 10, reserved: 4, version: 1 })
    expect(await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -7 }))).toMatchObject({
      code: 'INSUFFICIENT_STOCK',
      requested: 7,
      available: 6,
    })
    expect((await db.$stock.move({ transactionId: newId(), item, quantity: -6 })).balance).toBe(4)
    await expectExact(database)
  })

  test('can have what is on hand, less what is reserved, down to the minimum', async () => {
    const { db } = connect()
    const item = await newItem(10, { minimum: 3 })
    await db.$stock.reserve({ transactionId: newId(), item, quantity: 2, expiresIn: HOUR })

    const refused = await rejectionOf(db.$stock.reserve({ transactionId: newId(), item, quantity: 6, expiresIn: HOUR }))

    expect(refused).toMatchObject({ code: 'INSUFFICIENT_STOCK', item, requested: 6, available: 5 })
    await db.$stock.reserve({ transactionId: newId(), item, quantity: 5, expiresIn: HOUR })
    expect(await stateOf(item)).toMatchObject({ onHand: 10, reserved: 7 })
  })

  test('has a minimum per call', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const ask = (minimum: number | null) =>
      db.$stock.reserve({ transactionId: newId(), item, quantity: 8, expiresIn: HOUR, minimum })

    expect(await rejectionOf(ask(3))).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 7 })
    await ask(2)
    await ask(null)

    expect(await stateOf(item)).toMatchObject({ onHand: 10, reserved: 16 })
    await expectExact(database)
  })

  test('of several lines is refused whole, with every line that is short', async () => {
    const { db } = connect()
    const [plenty, few, none] = [await newItem(10), await newItem(1), await newItem(0)]
    const lines = [plenty, few, none].map((item) => ({ item, quantity: 2 }))

    const refused = await rejectionOf(db.$stock.reserve({ transactionId: newId(), lines, expiresIn: HOUR }))

    expect(refused).toMatchObject({
      shortages: [
        { item: few, requested: 2, available: 1 },
        { item: none, requested: 2, available: 0 },
      ],
    })
    expect(await stateOf(plenty)).toEqual({ onHand: 10, reserved: 0, version: 0 })
  })

  test('lasts as long as it was told, by the database’s clock and not by that of this process', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()
    const now = Date.now
    Date.now = () => now() + 1_000 * HOUR
    const { expiresAt } = await Promise.resolve(
      db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: HOUR }),
    ).finally(() => {
      Date.now = now
    })

    const [row] = await database.query(
      `SELECT "expiresAt", "expiresAt" BETWEEN now() AND now() + interval '1 hour' AS "isRight"
FROM "StockReservation" WHERE "transactionId" = $1`,
      [transactionId],
    )
    expect(row).toEqual({ expiresAt, isRight: true })
  })

  test('begins to last when it has its items, not when it was called', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const rival = await hold(item)
    const transactionId = newId()
    const call = started(db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 1 }))
    await untilBlocked(database.url)
    const { rows } = await rival.query('SELECT clock_timestamp() AS at')
    await rival.query('COMMIT')

    expect((await call).expiresAt.getTime()).toBeGreaterThanOrEqual(rows[0].at.getTime())
  })

  test('adds up the lines of one item', async () => {
    const { db } = connect()
    const [first, second] = [await newItem(10), await newItem(10)]
    const transactionId = newId()

    await db.$stock.reserve({
      transactionId,
      lines: [
        { item: first, quantity: 2 },
        { item: second, quantity: 1 },
        { item: first, quantity: 3 },
      ],
      expiresIn: HOUR,
    })

    expect(await stateOf(first)).toMatchObject({ reserved: 5 })
    expect(await statesOf(transactionId)).toEqual(['active', 'active'])
    await expectExact(database)
  })

  test.each<[string, object, string]>([
    ['no time', {}, 'expiresIn'],
    ['no time at all', { expiresIn: 0 }, 'expiresIn'],
    ['a time that is none', { expiresIn: Number.NaN }, 'expiresIn'],
    ['an endless time', { expiresIn: Number.POSITIVE_INFINITY }, 'expiresIn'],
    ['a text for the time', { expiresIn: '15m' }, 'expiresIn'],
    ['what would be given back', { expiresIn: HOUR, quantity: -1 }, 'quantity'],
    ['nothing', { expiresIn: HOUR, quantity: 0 }, 'quantity'],
    ['half of one', { expiresIn: HOUR, quantity: 0.5 }, 'quantity'],
    ['lines and a line', { expiresIn: HOUR, lines: [] }, 'lines'],
    ['what is no argument', { expiresIn: HOUR, expiresAt: new Date() }, 'expiresAt'],
  ])('refuses %s before anything is sent', async (_, args, field) => {
    const { db, statements } = connect()
    const call = { transactionId: 'a', item: { productId: 1, warehouse: 'main' }, quantity: 1, ...args }

    const error = await rejectionOf(db.$stock.reserve(call as never))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })

  test('of an item that does not exist says so', async () => {
    const { db } = connect()
    const item = { productId: -1, warehouse: 'main' }

    const error = await rejectionOf(db.$stock.reserve({ transactionId: newId(), item, quantity: 1, expiresIn: HOUR }))

    expect(error).toMatchObject({ code: 'ITEM_NOT_FOUND', item })
  })
})

describe('a process that knows the item', () => {
  test.each([1, 2])('minds what another one has reserved since, with %d items in a move', async (count) => {
    const { db, statements } = connect()
    const items = await Promise.all(Array.from({ length: count }, () => newItem(12)))
    const move = (quantity: number) =>
      db.$stock.moveAll({ transactionId: newId(), lines: items.map((item) => ({ item, quantity })) })
    await move(-1)
    await move(-1)
    expect(statements.at(-1)).not.toBe('COMMIT') // by now it is a single statement
    const lines = items.map((item) => ({ item, quantity: 8 }))
    await connect().db.$stock.reserve({ transactionId: newId(), lines, expiresIn: HOUR })

    const error = await rejectionOf(move(-5))

    expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 2 })
    await move(-2)
    expect(await Promise.all(items.map(stateOf))).toMatchObject(items.map(() => ({ onHand: 8, reserved: 8 })))
    await expectExact(database)
  })
})

describe('fulfil', () => {
  test('takes what is reserved out of the stock, as movements under the same transaction id', async () => {
    const { db, item, transactionId } = await reserved()

    const answer = await db.$stock.fulfil({ transactionId })

    expect(answer).toEqual({ lines: [{ item, quantity: -4, balance: 6 }], replayed: false })
    expect(await stateOf(item)).toEqual({ onHand: 6, reserved: 0, version: 2 })
    expect(await movementsOf(transactionId)).toEqual([-4])
    expect(await statesOf(transactionId)).toEqual(['fulfilled'])
    await expectExact(database)
  })

  test('a second time is a replay', async () => {
    const { db, item, transactionId } = await reserved()
    await db.$stock.fulfil({ transactionId })
    await db.$stock.move({ transactionId: newId(), item, quantity: 1 })

    const answer = await connect().db.$stock.fulfil({ transactionId })

    expect(answer).toEqual({ lines: [{ item, quantity: -4, balance: 7 }], replayed: true })
    expect(await movementsOf(transactionId)).toEqual([-4])
  })

  test('is possible though everything else was sold meanwhile', async () => {
    const { db, item, transactionId } = await reserved()
    await db.$stock.move({ transactionId: newId(), item, quantity: -6 })

    await db.$stock.fulfil({ transactionId })

    expect(await stateOf(item)).toMatchObject({ onHand: 0, reserved: 0 })
    await expectExact(database)
  })

  test.each([
    { state: 'released', end: (db: Db, transactionId: string) => db.$stock.release({ transactionId }) },
    { state: 'expired', end: (_: Db, transactionId: string) => expire(transactionId) },
  ])('is refused once the reservation is $state', async ({ state, end }) => {
    const { db, item, transactionId } = await reserved()
    await end(db, transactionId)

    const error = await rejectionOf(db.$stock.fulfil({ transactionId }))

    expect(error).toMatchObject({ code: 'RESERVATION_ENDED', transactionId, state })
    expect(await stateOf(item)).toMatchObject({ onHand: 10, reserved: 0 })
    expect(await movementsOf(transactionId)).toEqual([])
    await expectExact(database)
  })

  test('of what was never reserved is refused', async () => {
    const { db } = connect()

    expect(await rejectionOf(db.$stock.fulfil({ transactionId: newId() }))).toMatchObject({
      code: 'RESERVATION_ENDED',
      state: 'missing',
    })
  })

  test('never takes the stock below its minimum, and is possible as soon as there is enough again', async () => {
    const { db, item, transactionId } = await reserved({ onHand: 5, quantity: 5 })
    await db.$stock.count({ transactionId: newId(), item, counted: 3 })

    const error = await rejectionOf(db.$stock.fulfil({ transactionId }))

    expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK', transactionId, item, requested: 5, available: 3 })
    expect(await stateOf(item)).toMatchObject({ onHand: 3, reserved: 5 })
    await db.$stock.move({ transactionId: newId(), item, quantity: 2 })
    expect((await db.$stock.fulfil({ transactionId })).lines).toEqual([{ item, quantity: -5, balance: 0 }])
    await expectExact(database)
  })

  test('takes a minimum of its own, for what was reserved beyond the stock', async () => {
    const { db } = connect()
    const item = await newItem(2)
    const transactionId = newId()
    await db.$stock.reserve({ transactionId, item, quantity: 5, expiresIn: HOUR, minimum: null })

    expect(await rejectionOf(db.$stock.fulfil({ transactionId }))).toMatchObject({ code: 'INSUFFICIENT_STOCK' })
    const { lines } = await db.$stock.fulfil({ transactionId, minimum: -3 })

    expect(lines).toEqual([{ item, quantity: -5, balance: -3 }])
    await db.$stock.move({ transactionId: newId(), item, quantity: 3 })
    await expectExact(database)
  })
})

type Db = ReturnType<typeof connect>['db']
type Reserve = { transactionId: string; item: StockItem; quantity: number; expiresIn: number }
const LONG = { timeout: 100_000 }

describe('release', () => {
  test('gives back what is reserved, once', async () => {
    const { db, item, transactionId } = await reserved()

    expect(await db.$stock.release({ transactionId })).toEqual({ released: true, state: 'released' })
    expect(await db.$stock.release({ transactionId })).toEqual({ released: false, state: 'released' })

    expect(await stateOf(item)).toEqual({ onHand: 10, reserved: 0, version: 2 })
    await expectExact(database)
  })

  test('of what has ended already is no error, and says how', async () => {
    const { db, transactionId } = await reserved()
    const other = await reserved()
    await db.$stock.fulfil({ transactionId })
    await expire(other.transactionId)

    expect(await db.$stock.release({ transactionId })).toEqual({ released: false, state: 'fulfilled' })
    expect(await db.$stock.release({ transactionId: other.transactionId })).toEqual({
      released: false,
      state: 'expired',
    })
    expect(await db.$stock.release({ transactionId: newId() })).toEqual({ released: false, state: 'missing' })
    expect(await stateOf(other.item)).toMatchObject({ reserved: 0 })
    await expectExact(database)
  })
})

describe('a reserve that comes again', () => {
  test.each<[string, (db: Db, transactionId: string) => PromiseLike<unknown>]>([
    ['active', async () => {}],
    ['released', (db, transactionId) => db.$stock.release({ transactionId })],
    ['fulfilled', (db, transactionId) => db.$stock.fulfil({ transactionId })],
    ['expired', (_, transactionId) => expire(transactionId)],
  ])('is a replay when it is %s, and reserves nothing', async (state, end) => {
    const { db } = connect()
    const item = await newItem(10)
    const call = { transactionId: newId(), item, quantity: 4, expiresIn: HOUR }
    await db.$stock.reserve(call)
    await end(db, call.transactionId)

    const answer = await connect().db.$stock.reserve({ ...call, expiresIn: 1 })

    const [row] = await database.query('SELECT "expiresAt" FROM "StockReservation" WHERE "transactionId" = $1', [
      call.transactionId,
    ])
    expect(answer).toEqual({ expiresAt: row?.expiresAt, state, replayed: true })
    expect(await stateOf(item)).toMatchObject({ reserved: state === 'active' ? 4 : 0 })
    await expectExact(database)
  })

  test('with another item or another quantity is a mismatch', async () => {
    const { db, item, transactionId } = await reserved()
    const again = { transactionId, expiresIn: HOUR }
    const other = await newItem(10)

    expect(await rejectionOf(db.$stock.reserve({ ...again, item, quantity: 5 }))).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
      fields: ['quantity'],
    })
    expect(await rejectionOf(db.$stock.reserve({ ...again, item: other, quantity: 4 }))).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
      fields: ['item'],
    })
    expect(await stateOf(other)).toMatchObject({ reserved: 0 })
  })

  test('is a replay in the same batch too', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const call = { transactionId: newId(), item, quantity: 4, expiresIn: HOUR }

    const answers = await Promise.all([db.$stock.reserve(call), db.$stock.reserve(call)])

    expect(answers.map(({ replayed }) => replayed)).toEqual([false, true])
    expect(await stateOf(item)).toMatchObject({ reserved: 4 })
  })

  test('after it was refused is carried out, once there is more', async () => {
    const { db } = connect()
    const item = await newItem(0)
    const call = { transactionId: newId(), item, quantity: 4, expiresIn: HOUR }
    await rejectionOf(db.$stock.reserve(call))
    await db.$stock.move({ transactionId: newId(), item, quantity: 4 })

    expect(await db.$stock.reserve(call)).toMatchObject({ replayed: false, state: 'active' })
  })
})

describe('a transaction id of a reservation and of a move', () => {
  test('a movement that got under a reserved id past this package keeps it: it can only be released', async () => {
    const { db, item, transactionId } = await reserved()
    await database.query(
      `WITH moved AS (
  INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($1, 0, $2, 'main', -4)
)
UPDATE "Stock" SET "onHand" = "onHand" - 4 WHERE "productId" = $2`,
      [transactionId, item.productId],
    )
    const error = await rejectionOf(db.$stock.fulfil({ transactionId }))

    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['reservation'] })
    expect(await stateOf(item)).toMatchObject({ onHand: 6, reserved: 4 })
    expect(await db.$stock.release({ transactionId })).toEqual({ released: true, state: 'released' })
    await expectExact(database)
  })

  test('a move under the id of a reservation that is fulfilled moves nothing', async () => {
    const { db, item, transactionId } = await reserved()
    await db.$stock.fulfil({ transactionId })

    const other = await rejectionOf(db.$stock.move({ transactionId, item, quantity: -3 }))

    expect(other).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['quantity'] })
    expect(await movementsOf(transactionId)).toEqual([-4])
    expect(await stateOf(item)).toMatchObject({ onHand: 6, reserved: 0 })
  })

  test('fulfil of a mere move is a mismatch', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()
    await db.$stock.move({ transactionId, item, quantity: -4 })

    expect(await rejectionOf(db.$stock.fulfil({ transactionId }))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
  })
})

describe('a reservation whose time is up', () => {
  test.each<[string, (db: Db, item: StockItem) => Promise<unknown>]>([
    ['move', (db, item) => db.$stock.move({ transactionId: newId(), item, quantity: -10 })],
    ['reserve', (db, item) => db.$stock.reserve({ transactionId: newId(), item, quantity: 10, expiresIn: HOUR })],
    [
      'move in a transaction',
      (db, item) => db.$transaction((tx) => tx.$stock.move({ transactionId: newId(), item, quantity: -10 })),
    ],
  ])('is free for the next %s that needs it', async (_, need) => {
    const { db, item, transactionId } = await reserved()
    await expire(transactionId)

    await need(db, item)

    expect(await statesOf(transactionId)).toEqual(['expired'])
    await expectExact(database)
  })

  test('is free though the next one is refused all the same', async () => {
    const { db, item, transactionId } = await reserved()
    await expire(transactionId)

    const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -11 }))

    expect(error).toMatchObject({ available: 10 })
    expect(await stateOf(item)).toMatchObject({ reserved: 0 })
    await expectExact(database)
  })

  test('of several items gives back each of them when that is needed', async () => {
    const { db } = connect()
    const [first, second] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    const lines = [first, second].map((item) => ({ item, quantity: 10 }))
    await db.$stock.reserve({ transactionId, lines, expiresIn: HOUR })
    await expire(transactionId)

    await db.$stock.move({ transactionId: newId(), item: second, quantity: -10 })

    expect(await statesOf(transactionId)).toEqual(['active', 'expired'])
    expect(await stateOf(first)).toMatchObject({ reserved: 10 })
    await expectExact(database)
    await db.$stock.move({ transactionId: newId(), item: first, quantity: -10 })
    expect(await statesOf(transactionId)).toEqual(['expired', 'expired'])
    await expectExact(database)
  })

  test.each([0, 1].flatMap((line) => (['fulfil', 'release', 'reserve'] as const).map((method) => ({ line, method }))))(
    'and of which line $line is free already has ended as a whole: $method',
    async ({ line, method }) => {
      const { db } = connect()
      const items = [await newItem(10), await newItem(10)]
      const transactionId = newId()
      const lines = items.map((item) => ({ item, quantity: 10 }))
      await db.$stock.reserve({ transactionId, lines, expiresIn: HOUR })
      await expire(transactionId)
      await db.$stock.move({ transactionId: newId(), item: items[line] as StockItem, quantity: -10 })
      // The clock of the database is set back: by it, the other line has not expired.
      await database.query(
        `UPDATE "StockReservation" SET "expiresAt" = now() + interval '1 hour' WHERE "transactionId" = $1`,
        [transactionId],
      )

      const call =
        method === 'reserve'
          ? db.$stock.reserve({ transactionId, lines, expiresIn: HOUR })
          : db.$stock[method]({ transactionId })
      const outcome = await Promise.resolve<unknown>(call).catch((error: unknown) => error)

      expect(outcome).toMatchObject({ state: 'expired' })
      expect(await movementsOf(transactionId)).toEqual([])
      await expectExact(database)
    },
  )

  test('of two, only that one whose time is up is free', async () => {
    const { db, item, transactionId } = await reserved()
    const other = newId()
    await db.$stock.reserve({ transactionId: other, item, quantity: 3, expiresIn: HOUR })
    await expire(transactionId)

    const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -8 }))

    expect(error).toMatchObject({ available: 7 })
    expect(await db.$stock.fulfil({ transactionId: other })).toMatchObject({ replayed: false })
    await expectExact(database)
  })

  test('stays free when the transaction id of the call that freed it is taken by somebody else meanwhile', async () => {
    const { db, item, transactionId } = await reserved()
    await expire(transactionId)
    const taken = newId()
    const rival = await openTransaction(
      database.url,
      `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity, applied)
VALUES ($1, 0, $2, $3, -1, false)`,
      [taken, item.productId, item.warehouse],
    )

    const call = started(db.$transaction((tx) => tx.$stock.move({ transactionId: taken, item, quantity: -1 })))
    await untilBlocked(database.url)
    await rival.query('COMMIT')

    expect(await call).toMatchObject({ replayed: true })
    expect(await stateOf(item)).toMatchObject({ onHand: 10, reserved: 0 })
    await expectExact(database)
    await database.query('DELETE FROM "StockMovement" WHERE "transactionId" = $1', [taken])
  })

  test('is judged when the item is there: one that expires while a fulfil waits is not fulfilled', async () => {
    const { db, item, transactionId } = await reserved()
    const rival = await hold(item)
    const call = started(db.$stock.fulfil({ transactionId }))
    await untilBlocked(database.url)
    await expire(transactionId)
    await rival.query('COMMIT')

    expect(await rejectionOf(call)).toMatchObject({ code: 'RESERVATION_ENDED', state: 'expired' })
    expect(await stateOf(item)).toMatchObject({ onHand: 10, reserved: 0 })
    await expectExact(database)
  })
})

describe('at the same time', () => {
  test.each([
    ['fulfil', 'release'],
    ['release', 'fulfil'],
    ['fulfil', 'fulfil'],
    ['release', 'release'],
  ] as const)('%s and %s of one reservation, from two clients: the first one counts', async (one, other) => {
    const { item, transactionId } = await reserved()
    const rival = await hold(item)
    const first = started<object>(connect().db.$stock[one]({ transactionId }))
    await untilBlocked(database.url)
    const second = started<object>(connect().db.$stock[other]({ transactionId }))
    await untilBlocked(database.url, 2)
    await rival.query('COMMIT')
    const outcomes = await Promise.allSettled([first, second])

    const [state] = (await statesOf(transactionId)) as [string]
    expect(outcomes.filter(isEffective)).toHaveLength(1)
    expect(await stateOf(item)).toMatchObject({ onHand: state === 'fulfilled' ? 6 : 10, reserved: 0 })
    await expectExact(database)
  })

  test.each([
    ['two clients', 1],
    ['one client', 0],
  ])('two reserves for the last unit, from %s: one has it', async (_, clients) => {
    const item = await newItem(1)
    const dbs = [connect().db, connect().db]
    const rival = await hold(item)
    const calls = [0, 1].map((i) =>
      started((dbs[i * clients] as Db).$stock.reserve({ transactionId: newId(), item, quantity: 1, expiresIn: HOUR })),
    )
    await untilBlocked(database.url, 1 + clients)
    await rival.query('COMMIT')
    const outcomes = await Promise.allSettled(calls)

    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await stateOf(item)).toMatchObject({ onHand: 1, reserved: 1 })
    await expectExact(database)
  })

  test.each([
    ['two clients', (db: Db, call: Reserve) => db.$stock.reserve(call)],
    ['two transactions', (db: Db, call: Reserve) => db.$transaction((tx) => tx.$stock.reserve(call), LONG)],
  ])('one transaction id for different items, from %s: one reservation', async (_, reserve) => {
    const [first, second] = [await newItem(5), await newItem(5)]
    const transactionId = newId()
    const rival = await openTransaction(
      database.url,
      `INSERT INTO "StockReservation" ("transactionId", line, "productId", warehouse, quantity, "expiresAt")
VALUES ($1, 0, $2, 'main', 1, now())`,
      [transactionId, first.productId],
    )
    const calls = [first, second].map((item) =>
      started(reserve(connect().db, { transactionId, item, quantity: 2, expiresIn: HOUR })),
    )
    await untilBlocked(database.url, 2)
    await rival.query('ROLLBACK')
    const outcomes = await Promise.allSettled(calls)

    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'IDEMPOTENCY_MISMATCH', fields: ['item'] },
    })
    expect(await statesOf(transactionId)).toEqual(['active'])
    await expectExact(database)
  })

  test('a reservation and moves of one batch are judged in the order in which they came', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const move = (quantity: number) => db.$stock.move({ transactionId: newId(), item, quantity })
    const outcomes = await Promise.allSettled([
      move(-3),
      db.$stock.reserve({ transactionId: newId(), item, quantity: 5, expiresIn: HOUR }),
      move(-3),
      move(-2),
      db.$stock.reserve({ transactionId: newId(), item, quantity: 1, expiresIn: HOUR }),
    ])

    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
    ])
    expect(await stateOf(item)).toEqual({ onHand: 5, reserved: 5, version: 1 })
    await expectExact(database)
  })

  test('a fulfil, a release and moves of one batch: each has its own verdict', async () => {
    const { db, item, transactionId } = await reserved()
    const other = newId()
    await db.$stock.reserve({ transactionId: other, item, quantity: 6, expiresIn: HOUR })
    const [fulfilled, released] = [db.$stock.fulfil({ transactionId }), db.$stock.release({ transactionId: other })]
    const refused = db.$stock.move({ transactionId: newId(), item, quantity: -7 })

    const outcomes = await Promise.allSettled([fulfilled, released, refused])

    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    expect(await stateOf(item)).toMatchObject({ onHand: 6, reserved: 0 })
    await expectExact(database)
  })
})

describe('inside a transaction', () => {
  test('it is reserved and fulfilled by two calls that begin together, in their order', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()
    const [, { lines }] = await db.$transaction((tx) =>
      Promise.all([
        tx.$stock.reserve({ transactionId, item, quantity: 4, expiresIn: HOUR }),
        tx.$stock.fulfil({ transactionId }),
      ]),
    )
    expect(lines.map(({ balance }) => balance)).toEqual([6])
    expect(await stateOf(item)).toMatchObject({ onHand: 6, reserved: 0 })
    await expectExact(database)
  })

  test('a rollback takes the reservation with it', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const call = { transactionId: newId(), item, quantity: 4, expiresIn: HOUR }

    await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.$stock.reserve(call)
        throw new Error('rolled back')
      }),
    )

    expect(await stateOf(item)).toEqual({ onHand: 10, reserved: 0, version: 0 })
    expect(await statesOf(call.transactionId)).toEqual([])
    expect(await db.$stock.reserve(call)).toMatchObject({ replayed: false })
  })

  test('a rollback takes back what was fulfilled, released and freed', async () => {
    const { db, item, transactionId } = await reserved({ quantity: 3 })
    const [released, expired] = [newId(), newId()]
    await db.$stock.reserve({ transactionId: released, item, quantity: 2, expiresIn: HOUR })
    await db.$stock.reserve({ transactionId: expired, item, quantity: 1, expiresIn: HOUR })
    await expire(expired)

    await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.$stock.fulfil({ transactionId })
        await tx.$stock.release({ transactionId: released })
        expect(await tx.$queryRaw`SELECT reserved FROM "Stock" WHERE "productId" = ${item.productId}`).toEqual([
          { reserved: 0 },
        ])
        throw new Error('rolled back')
      }),
    )

    expect(await stateOf(item)).toMatchObject({ onHand: 10, reserved: 6 })
    expect(await movementsOf(transactionId)).toEqual([])
    await expectExact(database)
  })

  test('reserve and fulfil are one, and a refusal of another leaves the transaction going', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()

    const error = await db.$transaction(async (tx) => {
      await tx.$stock.reserve({ transactionId, item, quantity: 4, expiresIn: HOUR })
      const refused = await rejectionOf(
        tx.$stock.reserve({ transactionId: newId(), item, quantity: 7, expiresIn: HOUR }),
      )
      await tx.$stock.fulfil({ transactionId })
      return refused
    })

    expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 6 })
    expect(await stateOf(item)).toMatchObject({ onHand: 6, reserved: 0 })
    await expectExact(database)
  })

  test('a fulfil waits for a transaction that releases, and finds what that left', async () => {
    const { db, item, transactionId } = await reserved()
    const released = gate()
    const end = gate()
    const other = started(
      db.$transaction(
        async (tx) => {
          await tx.$stock.release({ transactionId })
          released.open()
          await end.opened
        },
        { timeout: 100_000 },
      ),
    )
    await released.opened
    const call = started(connect().db.$stock.fulfil({ transactionId }))
    await untilBlocked(database.url)
    end.open()

    expect(await rejectionOf(call)).toMatchObject({ code: 'RESERVATION_ENDED', state: 'released' })
    await other
    expect(await stateOf(item)).toMatchObject({ onHand: 10, reserved: 0 })
    await expectExact(database)
  })
})

describe('an item of a reservation that was deleted', () => {
  test.each(['release', 'fulfil'] as const)('%s says so, and leaves the other items as they are', async (method) => {
    const { db } = connect()
    const [first, second] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    const lines = [first, second].map((item) => ({ item, quantity: 4 }))
    await db.$stock.reserve({ transactionId, lines, expiresIn: HOUR })
    await database.query('DELETE FROM "Stock" WHERE "productId" = $1', [second.productId])

    const error = await rejectionOf(db.$stock[method]({ transactionId }))

    expect(error).toMatchObject({ code: 'ITEM_NOT_FOUND', item: second })
    expect(await stateOf(first)).toMatchObject({ onHand: 10, reserved: 4 })
    await expectExact(database)
  })
})

/** Whether the call did something: no replay, and no release of what had ended. */
function isEffective(outcome: PromiseSettledResult<object>): boolean {
  if (outcome.status === 'rejected') return false
  return 'released' in outcome.value
    ? outcome.value.released === true
    : !('replayed' in outcome.value && outcome.value.replayed)
}
