import { describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { expectExact, newId, type StockItem, useStock } from '../support/stock.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect, newItem, stateOf, onHand, movementsOf } = useStock()
type Db = ReturnType<typeof connect>['db']

const HOUR = 3_600_000
const holding = ({ productId }: StockItem) =>
  openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [productId])
/** A movement by somebody else, on a connection of their own. */
const MOVE = `WITH m AS (
  INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($2, 0, $1, 'main', $3)
)
UPDATE "Stock" SET "onHand" = "onHand" + $3, version = version + 1 WHERE "productId" = $1`
const move = (db: Pick<Db, '$stock'>, item: StockItem, quantity: number, more = {}) =>
  db.$stock.move({ transactionId: newId(), item, quantity, ...more })
const outcomesOf = async (calls: readonly PromiseLike<{ balance: number }>[]) =>
  (await Promise.allSettled(calls)).map((each) =>
    each.status === 'fulfilled' ? each.value.balance : (each.reason.available ?? each.reason.code),
  )

describe('movements that are likely to be granted are one statement', () => {
  test('from the first one on, and also where another process writes the item in between', async () => {
    const [own, other] = [connect(), connect()]
    const item = await newItem(100)
    await move(own.db, await newItem(1), 1) // the keys have been looked up
    await move(other.db, await newItem(1), 1)
    own.statements.length = 0
    other.statements.length = 0

    const balances = []
    for (let turn = 0; turn < 3; turn++) {
      balances.push((await move(own.db, item, -1)).balance, (await move(other.db, item, -2)).balance)
    }

    expect(balances).toEqual([99, 97, 96, 94, 93, 91])
    expect([own.statements.length, other.statements.length]).toEqual([3, 3])
    await expectExact(database)
  })

  test('that finds what was written while it waited for the item', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await move(db, item, -1)
    const rival = await holding(item)
    const calls = [-2, -3].map((quantity) => started(move(db, item, quantity)))
    await untilBlocked(database.url)
    await rival.query(MOVE, [item.productId, newId(), -4])
    await rival.query('COMMIT')

    expect(await outcomesOf(calls)).toEqual([3, 0])
    await expectExact(database)
  })

  test('that writes nothing of a batch when another process has taken what one of it needs, and then each is judged', async () => {
    const { db } = connect()
    const [item, other] = [await newItem(10), await newItem(10)]
    await move(db, item, -1)
    const rival = await holding(item)
    const calls = [move(db, item, -5), move(db, item, -4), move(db, other, -1)].map(started)
    await untilBlocked(database.url)
    await rival.query(MOVE, [item.productId, newId(), -5])
    await rival.query('COMMIT')

    expect(await outcomesOf(calls)).toEqual([4, 0, 9])
    await expectExact(database)
  })

  test('with replays among them, of which only the first costs a connection', async () => {
    const { db, pool, statements } = connect()
    const item = await newItem(100)
    const transactionId = newId()
    const replay = () => db.$stock.move({ transactionId, item, quantity: -1 })
    await replay()
    let removals = 0
    pool.on('remove', () => removals++)
    const outcomes = []
    for (let turn = 0; turn < 4; turn++) {
      if (turn === 1) statements.length = 0
      outcomes.push((await Promise.all([replay(), move(db, item, -1)])).map(({ replayed }) => replayed))
    }

    expect(outcomes).toEqual(Array(4).fill([true, false]))
    expect(removals).toBeLessThanOrEqual(1)
    expect(statements).toHaveLength(9)
    await expectExact(database)
  })

  test('of an order of a hundred lines, too', async () => {
    const { db, statements } = connect()
    const items = await Promise.all(Array.from({ length: 100 }, () => newItem(10)))
    await move(db, await newItem(1), 1)
    statements.length = 0
    const lines = items.map((item, i) => ({ item, quantity: i % 2 ? 1 : -1 }))
    const transactionId = newId()

    const { lines: moved } = await db.$stock.moveAll({ transactionId, lines })

    expect(moved.map(({ balance }) => balance)).toEqual(lines.map(({ quantity }) => 10 + quantity))
    expect(statements).toHaveLength(1)
    expect(await movementsOf(transactionId)).toHaveLength(100)
    await expectExact(database)
  })

  test('in a transaction of the caller, besides BEGIN and COMMIT', async () => {
    const { db, statements } = connect()
    const item = await newItem(10)
    await move(db, await newItem(1), 1)
    statements.length = 0

    await db.$transaction((tx) => move(tx, item, -1))

    expect(statements).toHaveLength(3)
  })
})

describe('a refusal', () => {
  test('does not pull its batch down: the others are one statement, and one look-up confirms it', async () => {
    const { db, statements } = connect()
    const item = await newItem(10)
    await move(db, item, -1)
    statements.length = 0

    expect(await outcomesOf([-4, -20, -5, -3].map((quantity) => move(db, item, quantity)))).toEqual([5, 5, 0, 0])
    expect(statements).toHaveLength(2)
    await expectExact(database)
  })

  test('that was expected, and is none: another process has brought more meanwhile', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await move(db, item, -1)
    await move(connect().db, item, 100)

    expect(await outcomesOf([-4, -50, -1].map((quantity) => move(db, item, quantity)))).toEqual([105, 55, 54])
    await expectExact(database)
  })

  test('is not certain while something is reserved: that may have expired', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()
    await db.$stock.reserve({ transactionId, item, quantity: 8, expiresIn: HOUR })
    await database.query(
      `UPDATE "StockReservation" SET "expiresAt" = now() - interval '1 s' WHERE "transactionId" = $1`,
      [transactionId],
    )

    expect(await outcomesOf([move(db, item, -1), move(db, item, -6)])).toEqual([9, 3])
    expect(await stateOf(item)).toMatchObject({ reserved: 0 })
    await expectExact(database)
  })

  test('of an id that another process has recorded meanwhile is a replay', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await move(db, item, -1)
    const rival = await holding(item)
    const transactionId = newId()
    const calls = [
      started(move(db, item, -2)),
      started(db.$stock.move({ transactionId, item, quantity: -20 })), // refused, if it were not recorded
    ]
    await untilBlocked(database.url)
    await rival.query(MOVE, [item.productId, newId(), 50])
    await rival.query(MOVE, [item.productId, transactionId, -20])
    await rival.query('COMMIT')

    expect(await Promise.all(calls)).toMatchObject([
      { balance: 37, replayed: false },
      { balance: 37, replayed: true },
    ])
    await expectExact(database)
  })

  test('of an item that is sold out writes nothing, and locks no transaction', async () => {
    const { db, statements } = connect()
    const item = await newItem(1)
    await move(db, item, -1)
    statements.length = 0

    expect(await rejectionOf(move(db, item, -1))).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 0 })
    expect(statements.some((statement) => statement.startsWith('BEGIN'))).toBe(false)
    expect(await stateOf(item)).toMatchObject({ version: 1 })
  })
})

describe('the lowest that the balance gets in a batch counts', () => {
  test.each([
    ['a receipt before the issue that needs it', [5, -8], [8, 0]],
    ['an issue before the receipt that it would need', [-8, 5], [3, 8]],
    ['up and down', [-3, 3, -3, 3, -3], [0, 3, 0, 3, 0]],
  ])('%s', async (_title, quantities, expected) => {
    const { db } = connect()
    const item = await newItem(3)
    const other = connect()
    await move(other.db, item, 1) // so that this process does not know it
    await move(other.db, item, -1)

    expect(await outcomesOf(quantities.map((quantity) => move(db, item, quantity)))).toEqual(expected)
    await expectExact(database)
  })

  test.each<[string, number | null, object, (number | string)[]]>([
    ['the minimum of the item', 2, {}, [3, 'refused']],
    ['no minimum', null, {}, [3, -1]],
    ['a minimum of the call below that of the item', 4, { minimum: -1 }, [3, -1]],
    ['a minimum of the call above that of the item', 0, { minimum: 3 }, [3, 'refused']],
    ['no minimum for the call', 4, { minimum: null }, [3, -1]],
  ])('with %s', async (_title, minimum, more, expected) => {
    for (const isKnown of [false, true]) {
      const { db } = connect()
      const item = await newItem(5, { minimum })
      if (isKnown) await move(db, item, 1)
      if (isKnown) await move(db, item, -1)
      const calls = [move(db, item, -2, more), move(db, item, -4, more)]

      const outcomes = await Promise.allSettled(calls)

      const balances = outcomes.map((each) => (each.status === 'fulfilled' ? each.value.balance : 'refused'))
      expect(balances).toEqual(expected)
      // Or the others would find it below its minimum.
      await database.query('UPDATE "Stock" SET minimum = NULL WHERE "productId" = $1', [item.productId])
    }
  })
})

test('a balance near the end of its column is judged exactly, and nothing overflows', async () => {
  const { db } = connect()
  const item = await newItem(2_147_483_640)

  expect(await outcomesOf([move(db, item, 5), move(db, item, 5), move(db, item, -2_000_000_000)])).toEqual([
    2_147_483_645,
    'INVALID_ARGUMENT',
    147_483_645,
  ])
  await expectExact(database)
})

test('movements that come together with a reservation of another item do not wait for its locks', async () => {
  const { db } = connect()
  const [reserved, item] = [await newItem(10), await newItem(10)]
  await move(db, item, -1)
  const rival = await holding(reserved)
  const reserving = started(db.$stock.reserve({ transactionId: newId(), item: reserved, quantity: 1, expiresIn: HOUR }))
  const moving = move(db, item, -1)

  expect((await moving).balance).toBe(8)
  await rival.query('COMMIT')
  expect(await reserving).toMatchObject({ state: 'active' })
  await expectExact(database)
})

test('any batch, with another process between: each verdict is that of one call after the other', async () => {
  const own = connect()
  const other = connect()
  const items = await Promise.all(Array.from({ length: 4 }, () => newItem(20)))
  const balances = new Map(items.map((item) => [item, 20]))
  let seed = 7
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor((seed / 2 ** 31) * below)
  }
  /** The right answer of the call, of which it takes note. */
  const expected = (lines: readonly { item: StockItem; quantity: number }[]) => {
    const isShort = lines.some(({ item, quantity }) => quantity < 0 && (balances.get(item) ?? 0) + quantity < 0)
    if (isShort) return 'refused'
    return lines.map(({ item, quantity }) => {
      const balance = (balances.get(item) ?? 0) + quantity
      balances.set(item, balance)
      return balance
    })
  }
  for (let round = 0; round < 40; round++) {
    const orders = Array.from({ length: 1 + random(8) }, () => {
      const first = random(4)
      const chosen = random(3) === 0 ? [first, (first + 1) % 4] : [first]
      return chosen.map((i) => ({ item: items[i] as StockItem, quantity: (random(9) - 5) * 2 - 1 }))
    })
    const outcomes = await Promise.allSettled(
      orders.map((lines) => own.db.$stock.moveAll({ transactionId: newId(), lines })),
    )
    const verdicts = outcomes.map((each) =>
      each.status === 'fulfilled' ? each.value.lines.map(({ balance }) => balance) : 'refused',
    )
    expect(verdicts, `round ${round}`).toEqual(orders.map(expected))
    const item = items[random(4)] as StockItem
    const quantity = 1 + random(6)
    await move(other.db, item, quantity)
    balances.set(item, (balances.get(item) ?? 0) + quantity)
  }
  expect(await Promise.all(items.map(onHand))).toEqual([...balances.values()])
  await expectExact(database)
})
