import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { Prisma } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { connectStock } from '../support/connect-stock.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { startProcess } from '../support/process.js'
import { rejectionOf } from '../support/rejection.js'
import { useSilos } from '../support/silos.js'
import { started } from '../support/started.js'
import { STARTING_LINE } from '../support/starting-line.js'
import { expectExact, newId, type StockItem, useStock } from '../support/stock.js'
import type { MixOutcome, MixWork } from '../support/stock-mix-worker.js'
import { MATERIAL } from '../support/stock-models.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, newItem, stateOf, onHand, movementsOf } = useStock()
const HOUR = 3_600_000
const connect = () => connectStock(database.url)

/** The errors that one test makes on purpose must not reach the next one. */
afterEach(() =>
  database.query(
    'TRUNCATE "Stock", "StockMovement", "StockReservation", "raw material", "raw material movement", "Account", "AccountEntry"',
  ),
)

describe('count', () => {
  test.each([
    { counted: 7, quantity: -3 },
    { counted: 12, quantity: 2 },
    { counted: 0, quantity: -10 },
  ])('of $counted where there should be 10 is a movement of $quantity', async ({ counted, quantity }) => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()

    const answer = await db.$stock.count({ transactionId, item, counted })

    expect(answer).toEqual({ quantity, balance: counted, replayed: false })
    expect(await movementsOf(transactionId)).toEqual([quantity])
    expect(await stateOf(item)).toEqual({ onHand: counted, reserved: 0, version: 1 })
    await expectExact(database)
  })

  test('that finds what should be there is recorded too, and comes again as a replay', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const call = { transactionId: newId(), item, counted: 10 }

    expect(await db.$stock.count(call)).toEqual({ quantity: 0, balance: 10, replayed: false })
    await db.$stock.move({ transactionId: newId(), item, quantity: -4 })

    expect(await db.$stock.count(call)).toEqual({ quantity: 0, balance: 6, replayed: true })
    expect(await movementsOf(call.transactionId)).toEqual([0])
    expect(await onHand(item)).toBe(6)
  })

  test('that comes again is a replay, whatever has been moved, or is counted now', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const call = { transactionId: newId(), item, counted: 7 }
    await db.$stock.count(call)
    await db.$stock.move({ transactionId: newId(), item, quantity: 5 })

    expect(await connect().db.$stock.count(call)).toEqual({ quantity: -3, balance: 12, replayed: true })
    expect(await db.$transaction((tx) => tx.$stock.count({ ...call, counted: 1 }))).toMatchObject({ replayed: true })
    expect(await onHand(item)).toBe(12)
    await expectExact(database)
  })

  test('of another item under the same transaction id is a mismatch', async () => {
    const { db } = connect()
    const [item, other] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    await db.$stock.count({ transactionId, item, counted: 7 })

    const error = await rejectionOf(db.$stock.count({ transactionId, item: other, counted: 7 }))

    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['item'] })
    expect(await onHand(other)).toBe(10)
  })

  test('may find less than the minimum, and less than is reserved: it is a fact', async () => {
    const { db } = connect()
    const item = await newItem(10, { minimum: 5 })
    const transactionId = newId()
    await db.$stock.reserve({ transactionId, item, quantity: 4, expiresIn: HOUR })

    expect(await db.$stock.count({ transactionId: newId(), item, counted: 2 })).toMatchObject({ balance: 2 })

    expect(await stateOf(item)).toMatchObject({ onHand: 2, reserved: 4 })
    expect(await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -1 }))).toMatchObject({
      code: 'INSUFFICIENT_STOCK',
      available: 0,
    })
    expect(await db.$stock.release({ transactionId })).toMatchObject({ released: true })
    expect(await db.$stock.audit()).toEqual([])
  })

  test('is the difference to what is on hand when its turn comes', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()
    const rival = await openTransaction(
      database.url,
      `WITH moved AS (
  INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($2, 0, $1, 'main', -4)
)
UPDATE "Stock" SET "onHand" = "onHand" - 4 WHERE "productId" = $1`,
      [item.productId, newId()],
    )
    const counting = started(db.$stock.count({ transactionId, item, counted: 7 }))
    await untilBlocked(database.url)
    await rival.query('COMMIT')

    expect(await counting).toEqual({ quantity: 1, balance: 7, replayed: false })
    await expectExact(database)
  })

  test('and moves of one batch are carried out in the order in which they came', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const move = (quantity: number) => db.$stock.move({ transactionId: newId(), item, quantity })

    const answers = await Promise.all([
      move(-3),
      db.$stock.count({ transactionId: newId(), item, counted: 5 }),
      move(-4),
      db.$stock.count({ transactionId: newId(), item, counted: 9 }),
      move(1),
    ])

    expect(answers.map(({ quantity, balance }) => [quantity, balance])).toEqual([
      [-3, 7],
      [-2, 5],
      [-4, 1],
      [8, 9],
      [1, 10],
    ])
    await expectExact(database)
  })

  test('folds what is deferred of the item first, and nothing of others', async () => {
    const { db } = connect()
    const [item, other] = [await newItem(10), await newItem(10)]
    for (const each of [item, other]) await db.$stock.defer({ transactionId: newId(), item: each, quantity: 5 })

    // One batch, which locks both items.
    const [answer] = await Promise.all([
      db.$stock.count({ transactionId: newId(), item, counted: 7 }),
      db.$stock.reserve({ transactionId: newId(), item: other, quantity: 1, expiresIn: HOUR }),
    ])

    expect(answer).toEqual({ quantity: -8, balance: 7, replayed: false })
    expect(await onHand(other)).toBe(10)
    expect(await db.$stock.project()).toEqual({ folded: 1 })
    expect(await onHand(item)).toBe(7)
    await expectExact(database)
  })

  test('in a transaction folds what that has deferred, and leaves it deferred where that rolls back', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()
    await db.$stock.defer({ transactionId: newId(), item, quantity: 5 })

    await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.$stock.defer({ transactionId: newId(), item, quantity: 2 })
        expect(await tx.$stock.count({ transactionId, item, counted: 7 })).toMatchObject({ quantity: -10, balance: 7 })
        throw new Error('back')
      }),
    )

    expect(await movementsOf(transactionId)).toEqual([])
    expect(await db.$stock.project()).toEqual({ folded: 1 })
    expect(await onHand(item)).toBe(15)
    await expectExact(database)
  })

  test('that comes again, or is refused, folds nothing', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const call = { transactionId: newId(), item, counted: 7 }
    await db.$stock.count(call)
    await db.$stock.defer({ transactionId: newId(), item, quantity: 5 })

    expect(await db.$stock.count(call)).toEqual({ quantity: -3, balance: 7, replayed: true })
    expect(await onHand(item)).toBe(7)
    expect(await db.$stock.project()).toEqual({ folded: 1 })
  })

  test('takes into account what a fold waits with that has begun, and does not wait for it', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await db.$stock.defer({ transactionId: newId(), item, quantity: 5 })
    const folding = await openTransaction(database.url, 'SELECT FROM "StockMovement" WHERE NOT applied FOR UPDATE')

    const answer = await db.$stock.count({ transactionId: newId(), item, counted: 7 })
    await folding.query('COMMIT')

    expect(answer).toEqual({ quantity: -8, balance: 2, replayed: false })
    expect(await db.$stock.project()).toEqual({ folded: 1 })
    expect(await onHand(item)).toBe(7)
    await expectExact(database)
  })

  test('beside folds and what is deferred is exact: what was deferred before it is in what was counted', async () => {
    const { db } = connect()
    const other = connect().db
    const items = [await newItem(10), await newItem(10), await newItem(10)]

    for (let round = 0; round < 5; round++) {
      const deferring = items.flatMap((item) => [1, 2].map(() => ({ transactionId: newId(), item, quantity: 3 })))
      await Promise.all(deferring.map((call) => db.$stock.defer(call)))
      await Promise.all([
        ...items.map((item) => db.$stock.count({ transactionId: newId(), item, counted: 20 })),
        other.$stock.project(),
        db.$stock.project(),
        db.$transaction((tx) => tx.$stock.count({ transactionId: newId(), item: items[1] as StockItem, counted: 20 })),
      ])
      await db.$stock.project()
      for (const item of items) expect(await onHand(item)).toBe(20)
    }
    await expectExact(database)
  })

  test.each<[string, object, string]>([
    ['nothing', {}, 'counted'],
    ['half of one', { counted: 0.5 }, 'counted'],
    ['a quantity', { counted: 1, quantity: 1 }, 'quantity'],
    ['lines', { counted: 1, lines: [] }, 'lines'],
    ['a minimum', { counted: 1, minimum: 0 }, 'minimum'],
  ])('refuses %s', async (_, args, field) => {
    const { db, statements } = connect()
    const call = { transactionId: 'a', item: { productId: 1, warehouse: 'main' }, ...args }

    expect(await rejectionOf(db.$stock.count(call as never))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })

  test('of an item that does not exist says so', async () => {
    const { db } = connect()
    const item = { productId: -1, warehouse: 'main' }

    expect(await rejectionOf(db.$stock.count({ transactionId: newId(), item, counted: 1 }))).toMatchObject({
      code: 'ITEM_NOT_FOUND',
      item,
    })
  })
})

describe('audit', () => {
  test('finds nothing where everything went through $stock', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await db.$stock.move({ transactionId: newId(), item, quantity: -3 })
    await db.$stock.reserve({ transactionId: newId(), item, quantity: 2, expiresIn: HOUR })
    await db.$stock.defer({ transactionId: newId(), item, quantity: 2 })
    await db.$stock.count({ transactionId: newId(), item, counted: 3 })

    expect(await db.$stock.audit()).toEqual([])
  })

  test.each<[string, string, object]>([
    ['a balance that somebody has changed', 'UPDATE "Stock" SET "onHand" = 9 WHERE "productId" = $1', { balance: 9 }],
    [
      'a movement that somebody has deleted',
      'DELETE FROM "StockMovement" WHERE "productId" = $1 AND quantity = -3',
      { expected: 10 },
    ],
    [
      'a movement that somebody has added',
      `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
VALUES ('by hand', 0, $1, 'main', 5)`,
      { expected: 12 },
    ],
    [
      'a movement that was folded by hand',
      'UPDATE "StockMovement" SET applied = true WHERE "productId" = $1',
      { expected: 9 },
    ],
    ['what is reserved for nobody', 'UPDATE "Stock" SET reserved = 5 WHERE "productId" = $1', { reserved: 5 }],
    [
      'a reservation that somebody has deleted',
      'DELETE FROM "StockReservation" WHERE "productId" = $1',
      { expectedReserved: 0 },
    ],
    [
      'a reservation that somebody has ended',
      `UPDATE "StockReservation" SET state = 'released' WHERE "productId" = $1`,
      { expectedReserved: 0 },
    ],
  ])('finds %s, and no other item', async (_, sql, difference) => {
    const { db } = connect()
    const [item, other] = [await newItem(10), await newItem(10)]
    for (const each of [item, other]) {
      await db.$stock.move({ transactionId: newId(), item: each, quantity: -3 })
      await db.$stock.reserve({ transactionId: newId(), item: each, quantity: 2, expiresIn: HOUR })
      await db.$stock.defer({ transactionId: newId(), item: each, quantity: 2 })
    }
    await database.query(sql, [item.productId])

    expect(await db.$stock.audit()).toEqual([
      { item, balance: 7, expected: 7, reserved: 2, expectedReserved: 2, ...difference },
    ])
  })

  test('tells the warehouses of a product apart', async () => {
    const { db } = connect()
    const { productId } = await newItem(10)
    await database.query(
      `INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'b', 1), ($1, 'a', -1), ($1, 'c', 0)`,
      [productId],
    )
    const found = { expected: 0, reserved: 0, expectedReserved: 0 }

    expect(await db.$stock.audit()).toEqual([
      { ...found, item: { productId, warehouse: 'a' }, balance: -1 },
      { ...found, item: { productId, warehouse: 'b' }, balance: 1 },
    ])
  })

  test('is of one moment: what is committed while it runs is in it as a whole, or not at all', async () => {
    const { db } = connect()
    const [first, second] = [await newItem(10), await newItem(10)]
    // It has its snapshot, and waits for the table of the movements.
    const rival = await openTransaction(database.url, 'LOCK TABLE "StockMovement" IN ACCESS EXCLUSIVE MODE')
    const found = started(db.$stock.audit())
    await untilBlocked(database.url)
    await rival.query(
      `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
VALUES ('one', 0, $1, 'main', -4), ('one', 1, $2, 'main', 4)`,
      [first.productId, second.productId],
    )
    await rival.query('UPDATE "Stock" SET "onHand" = "onHand" - 4 WHERE "productId" = $1', [first.productId])
    await rival.query('UPDATE "Stock" SET "onHand" = "onHand" + 4 WHERE "productId" = $1', [second.productId])
    await rival.query('COMMIT')

    expect(await found).toEqual([])
  })

  test('in a transaction sees what that has done, and takes turns with it', async () => {
    const { db } = connect()
    const item = await newItem(10)

    const found = await db.$transaction(async (tx) => {
      const auditing = async () => {
        const audits = []
        for (let i = 0; i < 10; i++) audits.push(...(await tx.$stock.audit()))
        return audits
      }
      const move = tx.$stock.move({ transactionId: newId(), item, quantity: -3 })
      const [, whileMoving] = await Promise.all([move, auditing()])
      await tx.$executeRaw`UPDATE "Stock" SET "onHand" = 1 WHERE "productId" = ${item.productId}`
      return { whileMoving, afterwards: await tx.$stock.audit() }
    })

    expect(found).toEqual({ whileMoving: [], afterwards: [expect.objectContaining({ balance: 1, expected: 7 })] })
  })

  test('is one statement', async () => {
    const { db, statements } = connect()
    await db.$stock.audit()
    statements.length = 0

    await db.$stock.audit()

    expect(statements).toHaveLength(1)
  })
})

describe('a stock of decimals, with an opening balance and refusals that are remembered', () => {
  const connectMaterials = () =>
    connect()
      .client.$extends(concurrency())
      .$extends(
        stock({
          ...MATERIAL,
          rememberRefusals: true,
        }),
      )
  const newMaterial = async (opening: string) => {
    const code = randomUUID().slice(0, 20)
    await database.query(
      'INSERT INTO "raw material" ("the code", "on hand", "order", "updated at") VALUES ($1, $2, $2, now())',
      [code, opening],
    )
    return code
  }

  test('is counted, deferred, folded and audited exactly', async () => {
    const db = connectMaterials()
    const item = await newMaterial('99999999999.1')
    await db.$stock.defer({ transactionId: newId(), item, quantity: '0.001' })
    await db.$stock.defer({ transactionId: newId(), item, quantity: 0.2 })
    await db.$stock.project()
    const { quantity, balance } = await db.$stock.count({ transactionId: newId(), item, counted: '99999999999.3' })
    await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: '-99999999999.999' }))

    expect([quantity, balance].map(String)).toEqual(['-0.001', '99999999999.3'])
    expect(await db.$stock.audit()).toEqual([])
  })

  test('what is wrong is said in Decimals, and a refused movement does not count', async () => {
    const db = connectMaterials()
    const item = await newMaterial('0.3')
    await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -1 }))
    await db.$stock.move({ transactionId: newId(), item, quantity: '-0.1' })
    await database.query('UPDATE "raw material" SET "on hand" = 0.201 WHERE "the code" = $1', [item])

    const found = await connectMaterials().$stock.audit()

    const nothing = new Prisma.Decimal(0)
    expect(found).toEqual([
      {
        item,
        balance: new Prisma.Decimal('0.201'),
        expected: new Prisma.Decimal('0.2'),
        reserved: nothing,
        expectedReserved: nothing,
      },
    ])
  })

  test('a count under the transaction id of a move that was refused is no replay of it', async () => {
    const db = connectMaterials()
    const item = await newMaterial('1')
    const transactionId = newId()
    await rejectionOf(db.$stock.move({ transactionId, item, quantity: -2 }))

    const error = await rejectionOf(db.$stock.count({ transactionId, item, counted: 5 }))

    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
    expect(await db.$stock.audit()).toEqual([])
  })
})

test('a stock of bigints is counted, folded and audited to the last bit', async () => {
  const db = connect()
    .client.$extends(concurrency())
    .$extends(
      stock({
        item: { model: 'Account', key: 'id', onHand: 'balance' },
        movement: { model: 'AccountEntry', item: 'accountId', quantity: 'amount' },
      }),
    )
  const item = randomUUID()
  await database.query('INSERT INTO "Account" (id) VALUES ($1)', [item])
  await db.$stock.defer({ transactionId: newId(), item, quantity: 2n ** 62n })
  await db.$stock.defer({ transactionId: newId(), item, quantity: 2n ** 62n - 1n })
  await db.$stock.project()

  expect(await db.$stock.audit()).toEqual([])
  expect(await db.$stock.count({ transactionId: newId(), item, counted: 2n ** 63n - 3n })).toEqual({
    quantity: -2n,
    balance: 2n ** 63n - 3n,
    replayed: false,
  })
  await database.query('UPDATE "Account" SET balance = balance + 1')
  expect(await db.$stock.audit()).toEqual([
    { item, balance: 2n ** 63n - 2n, expected: 2n ** 63n - 3n, reserved: 0n, expectedReserved: 0n },
  ])
})

describe('everything at once, from two processes', () => {
  test('is exact at every moment, and nothing but refusals goes wrong', async () => {
    const items = await Promise.all([0, 1, 2, 3].map(() => newItem(30)))
    const outcomes = await fromTwoProcesses(items, 12, 40)

    expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
    await expectExact(database)
    const { db } = connect()
    await db.$stock.project()
    await expectExact(database)
    expect(await db.$stock.audit()).toEqual([])
    const [left] = await database.query('SELECT count(*)::int FROM "StockMovement" WHERE NOT applied')
    expect(left).toEqual({ count: 0 })
  })

  test('every request was carried out once, though both have sent it', async () => {
    const items = await Promise.all([0, 1].map(() => newItem(1_000)))
    const outcomes = await fromTwoProcesses(items, 6, 40)

    const sum = (kind: 'move' | 'moveAll' | 'defer') => outcomes.reduce((all, { done }) => all + (done[kind] ?? 0), 0)
    const recorded = async (kind: string) => {
      const rows = await database.query(
        'SELECT count(DISTINCT "transactionId")::int FROM "StockMovement" WHERE "transactionId" LIKE $1',
        [`storm ${kind} %`],
      )
      return rows[0]?.count
    }
    expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
    expect({ move: sum('move'), moveAll: sum('moveAll'), defer: sum('defer') }).toEqual({
      move: await recorded('move'),
      moveAll: await recorded('moveAll'),
      defer: await recorded('defer'),
    })
    await expectExact(database)
  })

  test('the same with a history: every movement has its number and its balance, and the looks are what a slow sum is', async () => {
    const silos = useSilos({ name: 'prisma', database })
    const codes = await Promise.all(Array.from({ length: 3 }, () => silos.newSilo()))
    const db = await silos.db()
    for (const item of codes) await db.$stock.move({ transactionId: newId(), item, quantity: 20 })
    const outcomes = await fromTwoProcesses(codes, 6, 20, true)

    expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
    await silos.expectNumbered()
    expect(await db.$stock.audit()).toEqual([])
    for (const { item, onHand, reserved, deferred } of await db.$stock.balances({ items: codes })) {
      const [sums] = await database.query(
        `SELECT (SELECT coalesce(sum(quantity) FILTER (WHERE applied), 0)::int FROM "SiloMovement" WHERE code = $1) AS "onHand",
  (SELECT coalesce(sum(quantity) FILTER (WHERE NOT applied), 0)::int FROM "SiloMovement" WHERE code = $1) AS deferred,
  (SELECT coalesce(sum(quantity - fulfilled), 0)::int FROM "SiloReservation"
   WHERE code = $1 AND state = 'active' AND "expiresAt" > clock_timestamp()) AS reserved`,
        [item],
      )
      expect({ onHand, reserved, deferred }).toEqual(sums)
      const history = await db.$stock.history({ item, limit: 10_000 })
      expect(history.at(-1)?.balance).toBe(onHand)
      expect(history.reduce((sum, { quantity }) => sum + quantity, 0)).toBe(onHand)
    }
  })

  /** Two processes with the same work, let go when both are ready. */
  async function fromTwoProcesses(
    items: MixWork['items'],
    callers: number,
    rounds: number,
    hasHistory = false,
  ): Promise<MixOutcome[]> {
    const referee = await openConnection(database.url)
    await referee.query('SELECT pg_advisory_lock($1)', [STARTING_LINE])
    const work = { url: database.url, items, callers, rounds, names: 'storm', hasHistory } satisfies MixWork
    const processes = [1, 2].map(() => startProcess('stock-mix-worker.ts', work))
    await untilBlocked(database.url, 2)
    await referee.query('SELECT pg_advisory_unlock($1)', [STARTING_LINE])
    return Promise.all(processes.map((child) => child.answer<MixOutcome>()))
  }
})
