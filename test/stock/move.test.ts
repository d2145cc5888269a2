import { describe, expect, test } from 'vitest'
import { rejectionOf } from '../support/rejection.js'
import { expectExact, newId, type StockItem, useStock } from '../support/stock.js'

const { database, connect, newItem, stateOf, onHand, movementsOf } = useStock()

/** Arguments that the types would refuse. */
const wrong = (args: object) => args as never

describe('move', () => {
  test('takes from the stock, and says what is on hand after it', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()

    const result = await db.$stock.move({ transactionId, item, quantity: -3 })

    expect(result).toEqual({ quantity: -3, balance: 7, replayed: false })
    expect([await onHand(item), await movementsOf(transactionId)]).toEqual([7, [-3]])
    await expectExact(database)
  })

  test('adds to the stock', async () => {
    const { db } = connect()
    const item = await newItem()

    expect(await db.$stock.move({ transactionId: newId(), item, quantity: 4 })).toMatchObject({ balance: 4 })
    expect(await onHand(item)).toBe(4)
  })

  test('is right move after move, with other writers between them', async () => {
    const { db } = connect()
    const other = connect().db
    const item = await newItem(100)
    const balances = []

    for (const client of [db, db, other, db, other, other, db, db]) {
      balances.push((await client.$stock.move({ transactionId: newId(), item, quantity: -7 })).balance)
    }

    expect(balances).toEqual([93, 86, 79, 72, 65, 58, 51, 44])
    await expectExact(database)
  })

  test('can take all that there is, and not one more', async () => {
    const { db } = connect()
    const item = await newItem(3)
    await db.$stock.move({ transactionId: newId(), item, quantity: -3 })

    const error = await rejectionOf(db.$stock.move({ transactionId: 'one more', item, quantity: -1 }))

    const shortage = { item, requested: 1, available: 0 }
    expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK', transactionId: 'one more', ...shortage })
    expect(error).toMatchObject({ shortages: [shortage] })
    expect([await onHand(item), await movementsOf('one more')]).toEqual([0, []])
  })

  test('says how much could have been had', async () => {
    const { db } = connect()
    const item = await newItem(3)

    const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -5 }))

    expect(error).toMatchObject({
      requested: 5,
      available: 3,
      message: expect.stringContaining(
        `{ productId: ${item.productId}, warehouse: "main" }: 5 asked for, 3 available. Nothing was moved.`,
      ),
    })
  })

  test('of an item that does not exist is refused, with its key', async () => {
    const { db } = connect()
    const item = { productId: -1, warehouse: 'nowhere' }
    const transactionId = newId()

    const error = await rejectionOf(db.$stock.move({ transactionId, item, quantity: 1 }))

    expect(error).toMatchObject({ code: 'ITEM_NOT_FOUND', model: 'Stock', item })
    expect(await movementsOf(transactionId)).toEqual([])
  })

  test('of an item that was created since it was found missing is carried out', async () => {
    const { db } = connect()
    const item = { ...(await newItem()), warehouse: 'new' }
    const move = { transactionId: newId(), item, quantity: 2 }
    await rejectionOf(db.$stock.move(move))
    await db.stock.create({ data: item })

    expect(await db.$stock.move(move)).toMatchObject({ balance: 2, replayed: false })
  })

  test('of an item that was deleted since it was moved says so', async () => {
    const { db } = connect()
    const item = await newItem(5)
    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
    await database.query('DELETE FROM "Stock" WHERE "productId" = $1 AND warehouse = $2', [
      item.productId,
      item.warehouse,
    ])

    const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: 1 }))

    expect(error).toMatchObject({ code: 'ITEM_NOT_FOUND' })
  })

  test('leaves the same product in another warehouse alone', async () => {
    const { db } = connect()
    const item = await newItem(5)
    const other = { ...item, warehouse: 'other' }
    await db.stock.create({ data: other })

    await db.$stock.move({ transactionId: newId(), item, quantity: -2 })

    expect([await onHand(item), await onHand(other)]).toEqual([3, 0])
  })
})

describe('a call that comes again', () => {
  test('is a replay: what was recorded, and the balance of now', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const move = { transactionId: newId(), item, quantity: -3 }
    await db.$stock.move(move)
    await db.$stock.move({ transactionId: newId(), item, quantity: -2 })

    expect(await db.$stock.move(move)).toEqual({ quantity: -3, balance: 5, replayed: true })
    expect([await onHand(item), await movementsOf(move.transactionId)]).toEqual([5, [-3]])
  })

  test('is one in every process', async () => {
    const item = await newItem(10)
    const move = { transactionId: newId(), item, quantity: -3 }
    const replayed = []

    for (const { db } of [connect(), connect(), connect()]) replayed.push((await db.$stock.move(move)).replayed)

    expect(replayed).toEqual([false, true, true])
    expect(await onHand(item)).toBe(7)
  })

  test('is one though there would not be enough for it any more', async () => {
    const { db } = connect()
    const item = await newItem(3)
    const move = { transactionId: newId(), item, quantity: -3 }
    await db.$stock.move(move)

    expect(await db.$stock.move(move)).toEqual({ quantity: -3, balance: 0, replayed: true })
  })

  test('does not bump the version, nor write anything', async () => {
    const { db } = connect()
    const item = await newItem(3)
    const move = { transactionId: newId(), item, quantity: -3 }
    await db.$stock.move(move)
    const before = await stateOf(item)

    await db.$stock.move(move)

    expect(await stateOf(item)).toEqual(before)
  })

  test.each([
    ['another quantity', { quantity: -4 }, ['quantity']],
    ['the opposite quantity', { quantity: 3 }, ['quantity']],
    ['another item', { item: 'other' }, ['item']],
    ['another item and quantity', { item: 'other', quantity: 1 }, ['item']],
  ])('with %s is a mismatch that names what differs', async (_what, change, fields) => {
    const { db } = connect()
    const [item, other] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    await db.$stock.move({ transactionId, item, quantity: -3 })

    const again = { transactionId, quantity: -3, ...change, item: 'item' in change ? other : item }
    const error = await rejectionOf(db.$stock.move(again))

    expect(error).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
      model: 'StockMovement',
      where: { transactionId },
      fields,
    })
    expect([await onHand(item), await onHand(other)]).toEqual([7, 10])
    await expectExact(database)
  })

  test.each([
    ['one field differs', { quantity: -4, isOther: false }, 'quantity differs.'],
    ['two fields differ', { quantity: -4, isOther: true }, 'item and quantity differ.'],
  ])('says in grammatical English that %s', async (_what, { quantity, isOther }, words) => {
    const { db } = connect()
    const [item, second, other] = [await newItem(10), await newItem(10), await newItem(10)]
    const transactionId = newId()
    const move = (quantity: number, item2: typeof item) =>
      db.$stock.moveAll({
        transactionId,
        lines: [
          { item, quantity },
          { item: item2, quantity: -1 },
        ],
      })
    await move(-3, second)

    const error = await rejectionOf(move(quantity, isOther ? other : second))

    expect(error).toHaveProperty('message', expect.stringContaining(`another payload: ${words}`))
  })

  test('with other lines is a mismatch: fewer, more, or others', async () => {
    const { db } = connect()
    const [a, b, c] = [await newItem(10), await newItem(10), await newItem(10)]
    const transactionId = newId()
    const line = (item: StockItem) => ({ item, quantity: -1 })
    await db.$stock.moveAll({ transactionId, lines: [line(a), line(b)] })

    for (const lines of [[line(a)], [line(b)], [line(a), line(b), line(c)], [line(a), line(c)], [line(c), line(b)]]) {
      const error = await rejectionOf(db.$stock.moveAll({ transactionId, lines }))
      expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['item'] })
    }
    const error = await rejectionOf(db.$stock.moveAll({ transactionId, lines: [line(a), { item: b, quantity: -2 }] }))
    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['quantity'] })
    expect([await onHand(a), await onHand(b), await onHand(c)]).toEqual([9, 9, 10])
  })

  test('with its lines in another order, or split, is a replay', async () => {
    const { db } = connect()
    const [a, b] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    const lines = [
      { item: a, quantity: -3 },
      { item: b, quantity: -2 },
    ]
    await db.$stock.moveAll({ transactionId, lines })

    const again = [
      { item: b, quantity: -1 },
      { item: a, quantity: -3 },
      { item: b, quantity: -1 },
    ]
    const { lines: moved, replayed } = await db.$stock.moveAll({ transactionId, lines: again })

    expect([moved, replayed]).toEqual([
      [
        { item: b, quantity: -2, balance: 8 },
        { item: a, quantity: -3, balance: 7 },
      ],
      true,
    ])
  })

  test('as moveAll of one line is the same as move', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()
    await db.$stock.move({ transactionId, item, quantity: -3 })

    const { replayed } = await db.$stock.moveAll({ transactionId, lines: [{ item, quantity: -3 }] })

    expect(replayed).toBe(true)
    expect(await onHand(item)).toBe(7)
  })

  test('after a refusal is carried out, once there is more', async () => {
    const { db } = connect()
    const item = await newItem(2)
    const move = { transactionId: newId(), item, quantity: -3 }
    await rejectionOf(db.$stock.move(move))
    await db.$stock.move({ transactionId: newId(), item, quantity: 5 })

    expect(await db.$stock.move(move)).toEqual({ quantity: -3, balance: 4, replayed: false })
  })
})

describe('moveAll', () => {
  test('moves every line, and answers in the order in which the items were first named', async () => {
    const { db } = connect()
    const items = [await newItem(10), await newItem(10), await newItem(10)]
    const transactionId = newId()
    const lines = items.toReversed().map((item, i) => ({ item, quantity: -1 - i }))

    const result = await db.$stock.moveAll({ transactionId, lines })

    expect(result).toEqual({
      lines: lines.map(({ item, quantity }) => ({ item, quantity, balance: 10 + quantity })),
      replayed: false,
    })
    expect(await movementsOf(transactionId)).toEqual([-1, -2, -3])
    await expectExact(database)
  })

  test('adds up the lines of one item', async () => {
    const { db } = connect()
    const [a, b] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    const lines = [
      { item: a, quantity: -3 },
      { item: b, quantity: -1 },
      { item: { warehouse: a.warehouse, productId: a.productId }, quantity: -4 },
      { item: a, quantity: 2 },
    ]

    const result = await db.$stock.moveAll({ transactionId, lines })

    expect(result.lines).toEqual([
      { item: a, quantity: -5, balance: 5 },
      { item: b, quantity: -1, balance: 9 },
    ])
    expect(await movementsOf(transactionId)).toEqual([-5, -1])
  })

  test('judges the sum of an item, not its lines one by one', async () => {
    const { db } = connect()
    const item = await newItem(3)
    const halves = (quantity: number) => ({
      transactionId: newId(),
      lines: [
        { item, quantity },
        { item, quantity },
      ],
    })

    const error = await rejectionOf(db.$stock.moveAll(halves(-2)))

    expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK', shortages: [{ item, requested: 4, available: 3 }] })
    expect(await onHand(item)).toBe(3)
  })

  test('is a transfer: what leaves one warehouse is in the other', async () => {
    const { db } = connect()
    const from = await newItem(10)
    const to = { ...from, warehouse: 'other' }
    await db.stock.create({ data: to })
    const transfer = (quantity: number) => ({
      transactionId: newId(),
      lines: [
        { item: from, quantity: -quantity },
        { item: to, quantity },
      ],
    })

    await db.$stock.moveAll(transfer(4))
    const error = await rejectionOf(db.$stock.moveAll(transfer(7)))

    expect(error).toMatchObject({ shortages: [{ item: from, requested: 7, available: 6 }] })
    expect([await onHand(from), await onHand(to)]).toEqual([6, 4])
    await expectExact(database)
  })

  test('is refused whole, with every line that is short', async () => {
    const { db } = connect()
    const [short, enough, empty, added] = [await newItem(2), await newItem(9), await newItem(0), await newItem(0)]
    const transactionId = newId()
    const lines = [
      { item: enough, quantity: -1 },
      { item: short, quantity: -5 },
      { item: added, quantity: 5 },
      { item: empty, quantity: -1 },
    ]

    const error = await rejectionOf(db.$stock.moveAll({ transactionId, lines }))

    expect(error).toMatchObject({
      code: 'INSUFFICIENT_STOCK',
      item: short,
      requested: 5,
      available: 2,
      shortages: [
        { item: short, requested: 5, available: 2 },
        { item: empty, requested: 1, available: 0 },
      ],
    })
    const states = await Promise.all([short, enough, empty, added].map(stateOf))
    expect(states.map(({ onHand, version }) => [onHand, version])).toEqual([
      [2, 0],
      [9, 0],
      [0, 0],
      [0, 0],
    ])
    expect(await movementsOf(transactionId)).toEqual([])
  })

  test('is refused whole if one of its items does not exist', async () => {
    const { db } = connect()
    const item = await newItem(2)
    const missing = { ...item, warehouse: 'nowhere' }
    const lines = [item, missing].map((item) => ({ item, quantity: 1 }))

    const error = await rejectionOf(db.$stock.moveAll({ transactionId: newId(), lines }))

    expect(error).toMatchObject({ code: 'ITEM_NOT_FOUND', item: missing })
    expect(await stateOf(item)).toMatchObject({ onHand: 2, version: 0 })
  })

  test('moves a thousand items at once', async () => {
    const { db } = connect()
    const { productId } = await newItem()
    await database.query(
      `INSERT INTO "Stock" ("productId", warehouse) SELECT $1, 'W-' || n FROM generate_series(1, 1000) AS n`,
      [productId],
    )
    const lines = Array.from({ length: 1_000 }, (_, i) => ({
      item: { productId, warehouse: `W-${i + 1}` },
      quantity: i + 1,
    }))

    const result = await db.$stock.moveAll({ transactionId: newId(), lines })

    expect(result.lines.map(({ balance }) => balance)).toEqual(lines.map(({ quantity }) => quantity))
    await expectExact(database)
  })
})

test('a reservation that cannot be fulfilled, since the balance would leave its column, stays as it was', async () => {
  const { db } = connect()
  const item = await newItem(-(2 ** 31) + 8, { minimum: null })
  const transactionId = newId()
  await db.$stock.reserve({ transactionId, item, quantity: 10, expiresIn: 3_600_000 })

  const error = await rejectionOf(db.$stock.fulfil({ transactionId }))

  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'quantity' })
  expect(await stateOf(item)).toMatchObject({ reserved: 10 })
  await expectExact(database)
})

describe('the minimum', () => {
  test('is 0 for an item that has none of its own, by its column’s default', async () => {
    const { db } = connect()
    const item = await newItem(1)

    expect(await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -2 }))).toMatchObject({
      available: 1,
    })
  })

  test('of an item stays on hand', async () => {
    const { db } = connect()
    const item = await newItem(10, { minimum: 4 })
    await db.$stock.move({ transactionId: newId(), item, quantity: -6 })

    const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -1 }))

    expect(error).toMatchObject({ requested: 1, available: 0 })
    expect(await onHand(item)).toBe(4)
  })

  test('of an item may be NULL, and then there is no limit', async () => {
    const { db } = connect()
    const item = await newItem(0, { minimum: null })

    expect(await db.$stock.move({ transactionId: newId(), item, quantity: -5 })).toMatchObject({ balance: -5 })
  })

  test('of an item may be negative', async () => {
    const { db } = connect()
    const item = await newItem(0, { minimum: -3 })

    expect(await db.$stock.move({ transactionId: newId(), item, quantity: -3 })).toMatchObject({ balance: -3 })
    expect(await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -1 }))).toMatchObject({
      available: 0,
    })
  })

  test('that somebody changes counts at once, also where this process knows the item', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
    await database.query('UPDATE "Stock" SET minimum = 9 WHERE "productId" = $1', [item.productId])

    const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -1 }))

    expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 0 })
    await database.query('UPDATE "Stock" SET minimum = NULL WHERE "productId" = $1', [item.productId])
    expect(await db.$stock.move({ transactionId: newId(), item, quantity: -19 })).toMatchObject({ balance: -10 })
  })

  test('of a call counts instead of the item’s', async () => {
    const { db } = connect()
    const item = await newItem(10, { minimum: 4 })
    const move = (quantity: number, minimum: number | null) =>
      db.$stock.move({ transactionId: newId(), item, quantity, minimum })

    expect(await rejectionOf(move(-1, 10))).toMatchObject({ available: 0 })
    expect(await move(-8, 2)).toMatchObject({ balance: 2 })
    expect(await move(-4, -2)).toMatchObject({ balance: -2 })
    expect(await move(-8, null)).toMatchObject({ balance: -10 })
  })

  test('that is undefined in a call is the item’s', async () => {
    const { db } = connect()
    const item = await newItem(4, { minimum: 4 })
    const move = { transactionId: newId(), item, quantity: -1, minimum: undefined }

    expect(await rejectionOf(db.$stock.move(move))).toMatchObject({ available: 0 })
  })

  test('does not keep anything from coming in, though the balance stays below it', async () => {
    const { db } = connect()
    const item = await newItem(0, { minimum: 100 })

    expect(await db.$stock.move({ transactionId: newId(), item, quantity: 5 })).toMatchObject({ balance: 5 })
  })

  test('of a moveAll counts for every line', async () => {
    const { db } = connect()
    const [a, b] = [await newItem(5), await newItem(5)]
    const lines = [a, b].map((item) => ({ item, quantity: -3 }))

    const error = await rejectionOf(db.$stock.moveAll({ transactionId: newId(), lines, minimum: 3 }))

    expect(error).toMatchObject({ shortages: [{ available: 2 }, { available: 2 }] })
    expect(await db.$stock.moveAll({ transactionId: newId(), lines, minimum: null })).toMatchObject({ replayed: false })
  })
})

const item = { productId: 1, warehouse: 'main' }
const good = { transactionId: 'never', item, quantity: -1 }

describe('an argument that cannot be right is refused before any SQL, and named:', () => {
  test.each<[string, unknown, string]>([
    ['no arguments', undefined, 'item'],
    ['null', null, 'args'],
    ['a list', [good], 'args'],
    ['a text', 'never', 'args'],
    ['an unknown name', { ...good, qty: 1 }, 'qty'],
    ['lines', { ...good, lines: [] }, 'lines'],
    ['no transaction id', { ...good, transactionId: undefined }, 'transactionId'],
    ['a transaction id of null', { ...good, transactionId: null }, 'transactionId'],
    ['an empty transaction id', { ...good, transactionId: '' }, 'transactionId'],
    ['a transaction id that is a number', { ...good, transactionId: 7 }, 'transactionId'],
    ['a transaction id with a NUL', { ...good, transactionId: 'a\0b' }, 'transactionId'],
    ['a transaction id with half a character', { ...good, transactionId: 'a\ud800' }, 'transactionId'],
    ['no item', { ...good, item: undefined }, 'item'],
    ['an item of null', { ...good, item: null }, 'item'],
    ['an item that is only one of its fields', { ...good, item: 1 }, 'item'],
    ['an item without a field', { ...good, item: { productId: 1 } }, 'item.warehouse'],
    ['an item with a field too many', { ...good, item: { ...item, shelf: 1 } }, 'item.shelf'],
    ['a key of NaN', { ...good, item: { ...item, productId: Number.NaN } }, 'item.productId'],
    ['a key of a fraction', { ...good, item: { ...item, productId: 1.5 } }, 'item.productId'],
    ['a key that is a text', { ...good, item: { ...item, productId: '1' } }, 'item.productId'],
    ['a key that is a bigint', { ...good, item: { ...item, productId: 0n } }, 'item.productId'],
    ['a key of null', { ...good, item: { ...item, productId: null } }, 'item.productId'],
    ['a key beyond its column', { ...good, item: { ...item, productId: 2 ** 31 } }, 'item.productId'],
    ['a key far below its column', { ...good, item: { ...item, productId: -(2 ** 31) - 1 } }, 'item.productId'],
    ['a key that should be a text', { ...good, item: { ...item, warehouse: 7 } }, 'item.warehouse'],
    ['an empty key', { ...good, item: { ...item, warehouse: '' } }, 'item.warehouse'],
    ['no quantity', { ...good, quantity: undefined }, 'quantity'],
    ['a quantity of null', { ...good, quantity: null }, 'quantity'],
    ['a quantity of 0', { ...good, quantity: 0 }, 'quantity'],
    ['a quantity of -0', { ...good, quantity: -0 }, 'quantity'],
    ['a quantity of NaN', { ...good, quantity: Number.NaN }, 'quantity'],
    ['a quantity of Infinity', { ...good, quantity: Number.POSITIVE_INFINITY }, 'quantity'],
    ['a quantity of a fraction', { ...good, quantity: 1.5 }, 'quantity'],
    ['a quantity that is a text', { ...good, quantity: '1' }, 'quantity'],
    ['a quantity that is a bigint', { ...good, quantity: 1n }, 'quantity'],
    ['a quantity that is an object', { ...good, quantity: { increment: 1 } }, 'quantity'],
    ['a quantity that is true', { ...good, quantity: true }, 'quantity'],
    ['a quantity beyond its column', { ...good, quantity: 2 ** 31 }, 'quantity'],
    ['a minimum of NaN', { ...good, minimum: Number.NaN }, 'minimum'],
    ['a minimum of a fraction', { ...good, minimum: 0.5 }, 'minimum'],
    ['a minimum that is a text', { ...good, minimum: '0' }, 'minimum'],
    ['a minimum beyond its column', { ...good, minimum: -(2 ** 31) - 1 }, 'minimum'],
    ['a policy that is no object', { ...good, retry: 5 }, 'retry'],
    ['a policy with no attempts', { ...good, retry: { attempts: 0 } }, 'retry.attempts'],
    ['a policy with an unknown name', { ...good, retry: { tries: 5 } }, 'retry.tries'],
    ['a signal that is none', { ...good, signal: {} }, 'signal'],
  ])('%s', async (_what, args, field) => {
    const { db, statements } = connect()

    const error = await rejectionOf(db.$stock.move(args as never))

    expect(error).toMatchObject({ name: 'InvalidArgumentError', code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })

  test.each<[string, object, string]>([
    ['no lines', {}, 'lines'],
    ['lines that are no list', { lines: { item, quantity: 1 } }, 'lines'],
    ['an empty list of lines', { lines: [] }, 'lines'],
    ['a line of null', { lines: [null] }, 'lines[0]'],
    ['a line that is a number', { lines: [good, 7] }, 'lines[0].transactionId'],
    ['the second line', { lines: [{ item, quantity: 1 }, 7] }, 'lines[1]'],
    ['a line with an unknown name', { lines: [{ item, quantity: 1, qty: 1 }] }, 'lines[0].qty'],
    ['a line without an item', { lines: [{ quantity: 1 }] }, 'lines[0].item'],
    ['a line without a quantity', { lines: [{ item, quantity: 1 }, { item }] }, 'lines[1].quantity'],
    ['a line of 0', { lines: [{ item, quantity: 0 }] }, 'lines[0].quantity'],
    [
      'a line with a bad key',
      { lines: [{ item: { ...item, productId: 0.5 }, quantity: 1 }] },
      'lines[0].item.productId',
    ],
    ['an item besides the lines', { lines: [{ item, quantity: 1 }], item }, 'item'],
    [
      'lines that add up to nothing',
      {
        lines: [
          { item, quantity: 1 },
          { item, quantity: -1 },
        ],
      },
      'lines',
    ],
    [
      'lines that add up to more than the column holds',
      {
        lines: [
          { item, quantity: 2 ** 31 - 1 },
          { item, quantity: 1 },
        ],
      },
      'lines',
    ],
  ])('of moveAll %s', async (_what, args, field) => {
    const { db, statements } = connect()

    const error = await rejectionOf(db.$stock.moveAll(wrong({ transactionId: 'never', ...args })))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })
})

describe('a call', () => {
  test('sends nothing before it is awaited, and is carried out once however often that is', async () => {
    const { db, statements } = connect()
    const item = await newItem(5)
    const call = db.$stock.move({ transactionId: newId(), item, quantity: -1 })
    await new Promise((resolve) => setImmediate(resolve))
    expect(statements).toEqual([])

    const results = await Promise.all([call, call, call.then((result) => result)])

    expect(new Set(results).size).toBe(1)
    expect(await onHand(item)).toBe(4)
  })

  test('that is never awaited is never carried out', async () => {
    const { db, statements } = connect()
    void db.$stock.moveAll({ transactionId: newId(), lines: [] })

    await new Promise((resolve) => setImmediate(resolve))

    expect(statements).toEqual([])
  })

  test.each(['move', 'moveAll'] as const)(
    'of %s in an array $transaction writes nothing, and says why',
    async (method) => {
      const { db } = connect()
      const item = await newItem(5)
      const transactionId = newId()
      const call =
        method === 'move'
          ? db.$stock.move({ transactionId, item, quantity: -1 })
          : db.$stock.moveAll({ transactionId, lines: [{ item, quantity: -1 }] })

      const array = [db.note.create({ data: { text: transactionId } }), call]
      const error = await rejectionOf((async () => db.$transaction(array as never))())

      expect(error).toMatchObject({ code: 'BATCH_TRANSACTION', method: `$stock.${method}` })
      expect([await onHand(item), await movementsOf(transactionId)]).toEqual([5, []])
      expect(await db.note.count({ where: { text: transactionId } })).toBe(0)
    },
  )

  test('keeps what it was given: what the caller changes later does not count', async () => {
    const { db } = connect()
    const item = await newItem(5)
    const transactionId = newId()
    const line = { item: { ...item }, quantity: -1 }
    const call = db.$stock.moveAll({ transactionId, lines: [line] })
    const result = call.then((result) => result)
    line.quantity = -5
    line.item.warehouse = 'nowhere'

    expect((await result).lines).toMatchObject([{ quantity: -1, balance: 4 }])
  })

  test('of one caller alone is one statement, once the item is known', async () => {
    const { db, statements } = connect()
    const item = await newItem(5)
    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
    statements.length = 0

    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })

    expect(statements).toHaveLength(1)
  })
})
