import { readFile } from 'node:fs/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import type { StockOptions } from '../../src/stock/options.js'
import { stockSchema, stockSql } from '../../src/stock/schema.js'
import { generateClient } from '../support/generate-client.js'
import { rejectionOf } from '../support/rejection.js'
import { newId, STOCK, useStock } from '../support/stock.js'
import { MATERIAL } from '../support/stock-models.js'

const { database, connect, newItem, onHand, movementsOf } = useStock()

test('the printed models and SQL are those of the schema and the migration of these tests', async () => {
  const schema = await readFile(new URL('../../prisma/schema.prisma', import.meta.url), 'utf8')
  const file = new URL('../../prisma/migrations/20261124000002_stock/migration.sql', import.meta.url)

  expect(schema).toContain(stockSchema())
  expect(await readFile(file, 'utf8')).toContain(stockSql())
})

test('the printed models need no more than their names', async () => {
  const item = await newItem(5)

  const db = connect().client.$extends(concurrency()).$extends(stock(STOCK))

  expect(await db.$stock.move({ transactionId: newId(), item, quantity: -1 })).toMatchObject({ balance: 4 })
})

/** The mistakes that the options are refused with, as `path: message`. */
function mistakesOf(work: () => unknown): string[] {
  try {
    work()
  } catch (error) {
    const { code, issues } = error as { code: unknown; issues: { path: string; message: string }[] }
    expect(code).toBe('CONFIGURATION')
    return issues.map(({ path, message }) => `${path}: ${message}`)
  }
  return []
}

describe('options', () => {
  const { item, movement, reservation } = STOCK

  test.each<[object | undefined, string]>([
    [{ movement }, 'item: must be the mapping of the items'],
    [{ item }, 'movement: must be the mapping of the movements'],
    [{ item, movement, itme: 1 }, 'itme: is not an option'],
    [{ item: { ...item, onhand: 'x' }, movement }, 'item.onhand: is not an option'],
    [{ item: { ...item, model: 7 }, movement }, 'item.model: must be the name of a model'],
    [{ item: { ...item, model: '' }, movement }, 'item.model: must not be empty'],
    [{ item: { model: 'Stock' }, movement }, 'item.key: must be the name of a field, or a list of them'],
    [{ item: { ...item, key: [] }, movement }, 'item.key: must not be empty'],
    [{ item: { ...item, onHand: 7 }, movement }, 'item.onHand: must be the name of a field'],
    [{ item: { ...item, bumpVersion: 'no' }, movement }, 'item.bumpVersion: must be true or false'],
    [{ item, movement: { ...movement, line: '' } }, 'movement.line: must not be empty'],
    [{ item, movement, reservation: { ...reservation, state: 1 } }, 'reservation.state: must be the name of a field'],
    [{ item, movement, minimum: true }, 'minimum: must be a number, or null'],
    [{ item, movement, rememberRefusals: 1 }, 'rememberRefusals: must be true or false'],
    [{ item, movement, maxWaiting: 0 }, 'maxWaiting: must be at least 1'],
    [{ item, movement, maxWaiting: 1.5 }, 'maxWaiting: must be a whole number'],
    [{ item, movement, retry: { attempts: 0 } }, 'retry.attempts: must be at least 1: the first run counts'],
  ])('that are none are refused when they are given: %j', (options, mistake) => {
    expect(mistakesOf(() => stock(options as StockOptions))).toEqual([mistake])
  })

  test('with several mistakes are refused with all of them', () => {
    const options = { item: { ...item, model: 7, version: '' }, movement: { ...movement, applied: 1 }, maxWaiting: -1 }

    expect(mistakesOf(() => stock(options as never))).toEqual([
      'item.model: must be the name of a model',
      'item.version: must not be empty',
      'movement.applied: must be the name of a field',
      'maxWaiting: must be at least 1',
    ])
  })

  /** The test schema with one thing changed. */
  const mapped = (change: {
    item?: object
    movement?: object
    reservation?: object
    minimum?: unknown
    rememberRefusals?: boolean
  }) => {
    const options = {
      ...change,
      item: { ...item, ...change.item },
      movement: { ...movement, ...change.movement },
      ...(change.reservation ? { reservation: { ...reservation, ...change.reservation } } : {}),
    }
    return mistakesOf(() =>
      connect()
        .client.$extends(concurrency())
        .$extends(stock(options as StockOptions) as never),
    )
  }

  test.each<[Parameters<typeof mapped>[0], string]>([
    [{ item: { key: 'product' } }, 'item.key: Stock has no field product'],
    [{ item: { key: ['productId', 'shelf'] } }, 'item.key[1]: Stock has no field shelf'],
    [
      { item: { key: 'productId' }, movement: { item: 'productId' } },
      'item.key: Stock needs @@unique([productId]), or an @@id of them',
    ],
    [{ item: { onHand: 'stock' } }, 'item.onHand: Stock has no field stock'],
    [{ item: { onHand: 'warehouse' } }, 'item.onHand: Stock.warehouse must be Int or BigInt or Decimal, and is String'],
    [{ item: { onHand: 'minimum' } }, 'item.onHand: Stock.minimum must not be optional'],
    [{ item: { reserved: 'held' } }, 'item.reserved: Stock has no field held'],
    [
      { item: { reserved: 'version' } },
      'item.reserved: version must be of the type of onHand, with the same decimals and no fewer digits',
    ],
    [{ item: { minimum: 'least' } }, 'item.minimum: Stock has no field least'],
    [{ item: { opening: 'first' } }, 'item.opening: Stock has no field first'],
    [
      { item: { version: 'warehouse' } },
      'item.version: must be version, the version column that concurrency() has for Stock; leave it out',
    ],
    [{ movement: { transactionId: 'id' } }, 'movement.transactionId: StockMovement has no field id'],
    [
      { movement: { transactionId: 'quantity' } },
      'movement.transactionId: StockMovement.quantity must be String, and is Int',
    ],
    [{ movement: { line: 'warehouse' } }, 'movement.line: StockMovement.warehouse must be Int, and is String'],
    [
      { movement: { item: ['productId', 'createdAt'] } },
      'movement.item[1]: StockMovement.createdAt must be Int or BigInt or String, and is DateTime',
    ],
    [
      { movement: { item: ['warehouse', 'productId'] } },
      'movement.item: StockMovement.warehouse must be of the type of Stock.productId',
    ],
    [
      { movement: { quantity: 'applied' } },
      'movement.quantity: StockMovement.applied must be Int or BigInt or Decimal, and is Boolean',
    ],
    [{ movement: { applied: 'done' } }, 'movement.applied: StockMovement has no field done'],
    [{ movement: { applied: 'line' } }, 'movement.applied: StockMovement.line must be Boolean, and is Int'],
    [{ movement: { refused: 'no' } }, 'movement.refused: StockMovement has no field no'],
    [{ rememberRefusals: true }, 'movement.refused: must name a Boolean field, for refusals to be remembered in'],
    [{ minimum: 'none' }, 'minimum: must be a whole number.'],
    [{ minimum: 0.5 }, 'minimum: must be a whole number.'],
    [{ minimum: 2 ** 31 }, 'minimum: is beyond what a column of type Int holds.'],
    [
      { reservation: { expiresAt: 'state' } },
      'reservation.expiresAt: StockReservation.state must be DateTime, and is String',
    ],
    [{ reservation: { state: 'line' } }, 'reservation.state: StockReservation.line must be String, and is Int'],
  ])('that do not fit the schema are refused when the client is extended: %j', (change, mistake) => {
    expect(mapped(change)).toContain(mistake)
  })

  test('that name no model say which there are', () => {
    const [message] = mapped({ item: { model: 'Stok' } })

    expect(message).toMatch(/^item\.model: there is no model Stok in the schema; there are Category, .*Stock, /)
  })

  test('that do not fit the schema are refused with every mistake at once', () => {
    const options = {
      item: { model: 'Product', key: 'name', onHand: 'price', version: 'updatedAt' },
      movement: { model: 'OrderLine', transactionId: 'id', item: ['productId', 'orderId'] },
      reservation: { model: 'Release' },
      minimum: 'many',
      rememberRefusals: true,
    } as const

    const mistakes = mistakesOf(() =>
      connect()
        .client.$extends(concurrency())
        .$extends(stock(options) as never),
    )

    expect(mistakes).toEqual(
      [
        'item.key: Product needs @@unique([name]), or an @@id of them',
        'item.version: must be version, the version column that concurrency() has for Product; leave it out',
        'movement.item: must name 1 fields, one for each of the item’s key',
        'movement.item: OrderLine.productId must be of the type of Product.name',
        'movement.transactionId: OrderLine.id must be String, and is Int',
        'movement.line: OrderLine has no field line',
        'movement.quantity: quantity must be of the type of price, with the same decimals and no fewer digits',
        'reservation.item: Release has no field name',
        'reservation.transactionId: Release has no field transactionId',
        'reservation.line: Release has no field line',
        'reservation.quantity: Release has no field quantity',
        'reservation.state: Release has no field state',
        'reservation.expiresAt: Release has no field expiresAt',
        'item.reserved: must name a field of Product for what is reserved',
        'minimum: must be a number, a Decimal or its text, with at most 2 decimals.',
        'movement.refused: must name a Boolean field, for refusals to be remembered in',
      ].map((text) => text.replace('’', "'")),
    )
  })

  test('that name columns which could not be written exactly, or at all, are refused', async () => {
    const { PrismaClient } = await generateClient(`
model Wide {
  id       String  @id @db.Char(8)
  onHand   Decimal @db.Money
  reserved Int     @db.SmallInt
  minimum  Decimal @db.Decimal(10, 2)
  note     String
}
model Narrow {
  id            Int     @db.Oid
  transactionId String  @db.Citext
  line          Int
  quantity      Int     @db.SmallInt
  reason        String
  @@unique([transactionId, line])
}
model Count {
  id     Int @id
  onHand Int @default(0)
  small  Int @db.SmallInt
}
`)
    const client = new PrismaClient({ adapter: new PrismaPg({ connectionString: database.url }) })
    const base = client.$extends(concurrency())
    const mistakes = (options: object) => mistakesOf(() => base.$extends(stock(options as StockOptions) as never))

    expect(mistakes({ item: { model: 'Wide', key: 'id' }, movement: { model: 'Narrow' } })).toEqual([
      'item.key: Wide.id must not be @db.Char(8): its values are compared in a way of their own',
      'item.onHand: Wide.onHand must not be @db.Money',
      'movement.item: Narrow.id must not be @db.Oid: its values are compared in a way of their own',
      'movement.transactionId: Narrow.transactionId must not be @db.Citext: its values are compared in a way of their own',
    ])
    const narrow = { model: 'Narrow', item: 'line', transactionId: 'reason' }
    expect(mistakes({ item: { model: 'Count', key: 'id', minimum: 'small' }, movement: narrow })).toEqual([
      'item.minimum: small must be of the type of onHand, with the same decimals and no fewer digits',
      'movement.quantity: quantity must be of the type of onHand, with the same decimals and no fewer digits',
      'movement.model: Narrow needs @@unique([reason, line]), or an @@id of them',
    ])
  })
})

describe('the columns of a history', () => {
  const clientOf = async (item: string, movement: string) => {
    const { PrismaClient } = await generateClient(`
model Bay {
  id     Int @id
  onHand Int @default(0)
  ${item}
}
model BayMovement {
  transactionId String
  line          Int
  id            Int
  quantity      Int
  ${movement}
  @@id([transactionId, line])
}
`)
    return new PrismaClient({ adapter: new PrismaPg({ connectionString: database.url }) }).$extends(concurrency())
  }
  const options = { item: { model: 'Bay', key: 'id' }, movement: { model: 'BayMovement' } }

  test('are fields like others where not all of them are there, unless one of them is named', async () => {
    const base = await clientOf('sequence Int @default(0)', 'at DateTime\n  balance Decimal @db.Money')
    const mistakes = (more: object) =>
      mistakesOf(() =>
        base.$extends(stock({ ...options, movement: { ...options.movement, ...more } } as never) as never),
      )

    expect(mistakes({})).toEqual([])
    expect(mistakes({ at: 'at' })).toEqual(
      expect.arrayContaining(['movement.sequence: must name a field of BayMovement, for the history']),
    )
  })

  test('that do not fit are refused with every mistake', async () => {
    const base = await clientOf('sequence String', 'sequence BigInt\n  balance BigInt?\n  at String?')

    expect(mistakesOf(() => base.$extends(stock(options as never) as never))).toEqual([
      'item.sequence: Bay.sequence must be Int or BigInt, and is String',
      'movement.sequence: sequence must be optional',
      'movement.balance: balance must be of the type of onHand, with the same decimals and no fewer digits',
      'movement.at: BayMovement.at must be DateTime, and is String',
    ])
  })
})

describe('the minimum of the options', () => {
  const newMaterial = async (opening: string) => {
    const code = newId().slice(0, 20)
    await database.query(
      `INSERT INTO "raw material" ("the code", "on hand", "order", "updated at") VALUES ($1, $2, $2, now())`,
      [code, opening],
    )
    return code
  }

  test.each<[string | number | bigint | null | undefined, string, string]>([
    [undefined, '-1', '-1.001'],
    ['0.250', '-0.75', '-0.751'],
    [0.5, '-0.5', '-0.501'],
    [-2n, '-3', '-3.001'],
  ])('of %s is what stays of items that have none of their own', async (minimum, most, tooMuch) => {
    const db = connect()
      .client.$extends(concurrency())
      .$extends(stock({ ...MATERIAL, minimum: minimum as never }))
    const item = await newMaterial('1')

    const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: tooMuch }))
    await db.$stock.move({ transactionId: newId(), item, quantity: most })

    expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK' })
    expect(await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: '-0.001' }))).toMatchObject({
      code: 'INSUFFICIENT_STOCK',
    })
  })

  test('of null is no limit, but for a call that has one', async () => {
    const db = connect()
      .client.$extends(concurrency())
      .$extends(stock({ ...MATERIAL, minimum: null }))
    const item = await newMaterial('1')
    const move = () => ({ transactionId: newId(), item, quantity: -5 })

    expect(await rejectionOf(db.$stock.move({ ...move(), minimum: 0 }))).toMatchObject({ code: 'INSUFFICIENT_STOCK' })
    expect(`${(await db.$stock.move(move())).balance}`).toBe('-4')
  })

  test('gives way to the item’s own, where there is a column for it', async () => {
    const db = connect()
      .client.$extends(concurrency())
      .$extends(stock({ ...STOCK, minimum: 5 }))
    const [own, none] = [await newItem(5, { minimum: 2 }), await newItem(5, { minimum: null })]

    expect(await db.$stock.move({ transactionId: newId(), item: own, quantity: -3 })).toMatchObject({ balance: 2 })
    expect(await db.$stock.move({ transactionId: newId(), item: none, quantity: -9 })).toMatchObject({ balance: -4 })
  })
})

describe('with rememberRefusals', () => {
  const remembering = () => {
    const db = connect()
      .client.$extends(concurrency())
      .$extends(stock({ ...MATERIAL, rememberRefusals: true }))
    const newMaterial = async (opening: number) => {
      const code = newId().slice(0, 20)
      await db.material.create({ data: { code, opening, onHand: opening } })
      return code
    }
    const onHandOf = async (code: string) => Number((await db.material.findUniqueOrThrow({ where: { code } })).onHand)
    const discrepancies = async (code: string) => (await db.$stock.audit()).filter(({ item }) => item === code)
    return { db, newMaterial, onHandOf, discrepancies }
  }

  test('what was refused stays refused, though there is enough by now', async () => {
    const { db, newMaterial, onHandOf, discrepancies } = remembering()
    const item = await newMaterial(2)
    const move = { transactionId: newId(), item, quantity: -3 }
    await rejectionOf(db.$stock.move(move))
    await db.$stock.move({ transactionId: newId(), item, quantity: 8 })

    const again = [
      await rejectionOf(db.$stock.move(move)),
      await rejectionOf(db.$stock.move(move)),
      await rejectionOf(db.$transaction((tx) => tx.$stock.move(move))),
    ]

    expect(again).toMatchObject(Array(3).fill({ code: 'INSUFFICIENT_STOCK', transactionId: move.transactionId, item }))
    expect([await onHandOf(item), await discrepancies(item)]).toEqual([10, []])
  })

  test('the error does not send anybody to try again under the same transaction id', async () => {
    const { db, newMaterial } = remembering()
    const item = await newMaterial(2)
    const move = { transactionId: newId(), item, quantity: -3 }

    for (const error of [await rejectionOf(db.$stock.move(move)), await rejectionOf(db.$stock.move(move))]) {
      expect((error as Error).message).toMatch(/It stays refused: ask again under a new transaction id\.$/)
    }
  })

  test('another request under the refused transaction id is a mismatch', async () => {
    const { db, newMaterial } = remembering()
    const item = await newMaterial(2)
    const transactionId = newId()
    await rejectionOf(db.$stock.move({ transactionId, item, quantity: -3 }))

    const error = await rejectionOf(db.$stock.move({ transactionId, item, quantity: -2 }))

    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['quantity'] })
  })

  test('a stocktake under the refused transaction id is a mismatch, not a replay', async () => {
    const { db, newMaterial, onHandOf } = remembering()
    const item = await newMaterial(2)
    const transactionId = newId()
    await rejectionOf(db.$stock.move({ transactionId, item, quantity: -3 }))

    const error = await rejectionOf(db.$stock.count({ transactionId, item, counted: 1 }))

    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['quantity'] })
    expect(await onHandOf(item)).toBe(2)
  })

  test('a refusal takes nothing from those who come at the same time', async () => {
    const { db, newMaterial, onHandOf, discrepancies } = remembering()
    const item = await newMaterial(10)
    const ids = Array.from({ length: 4 }, newId)
    const move = (i: number, quantity: number) => db.$stock.move({ transactionId: ids[i], item, quantity })

    const results = await Promise.allSettled([move(0, -4), move(1, -9), move(2, -6), move(1, -9)])
    const again = await Promise.allSettled([move(3, 20), move(1, -9)])

    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected'])
    expect(again.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect([await onHandOf(item), await discrepancies(item)]).toEqual([20, []])
  })

  test('a moveAll is remembered whole', async () => {
    const { db, newMaterial, onHandOf } = remembering()
    const [enough, short] = [await newMaterial(5), await newMaterial(0)]
    const transactionId = newId()
    const lines = [enough, short].map((item) => ({ item, quantity: -1 }))
    await rejectionOf(db.$stock.moveAll({ transactionId, lines }))
    await db.$stock.move({ transactionId: newId(), item: short, quantity: 5 })

    const error = await rejectionOf(db.$stock.moveAll({ transactionId, lines }))

    expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK' })
    expect([await onHandOf(enough), await onHandOf(short)]).toEqual([5, 5])
  })

  test('other refusals are not remembered: an item may be created, and a mistake mended', async () => {
    const { db } = remembering()
    const code = newId().slice(0, 20)
    const move = { transactionId: newId(), item: code, quantity: 1 }
    await rejectionOf(db.$stock.move(move))
    await db.material.create({ data: { code } })

    expect(await db.$stock.move(move)).toMatchObject({ replayed: false })
  })

  test('in a transaction the refusal is remembered if that commits, and only then', async () => {
    const { db, newMaterial } = remembering()
    const item = await newMaterial(2)
    const [committed, undone] = [newId(), newId()]
    const move = (transactionId: string) => ({ transactionId, item, quantity: -3 })
    await db.$transaction(async (tx) => void (await rejectionOf(tx.$stock.move(move(committed)))))
    await rejectionOf(db.$transaction((tx) => tx.$stock.move(move(undone))))
    await db.$stock.move({ transactionId: newId(), item, quantity: 8 })

    expect(await rejectionOf(db.$stock.move(move(committed)))).toMatchObject({ code: 'INSUFFICIENT_STOCK' })
    expect(await db.$stock.move(move(undone))).toMatchObject({ replayed: false })
  })

  test('without it, a refusal is no row at all', async () => {
    const { db } = connect()
    const item = await newItem(2)
    const transactionId = newId()

    await rejectionOf(db.$stock.move({ transactionId, item, quantity: -3 }))

    expect([await onHand(item), await movementsOf(transactionId)]).toEqual([2, []])
  })
})

describe('what is not set up', () => {
  const bare = () =>
    connect()
      .client.$extends(concurrency())
      .$extends(
        stock({
          item: { model: 'Product', key: 'id', onHand: 'stock' },
          movement: { model: 'ProductMovement', item: 'productId' },
        }),
      )

  test.each(['defer', 'project'] as const)('%s says that it needs a field for what is applied', async (method) => {
    const args = { transactionId: newId(), item: 1, quantity: 1 }
    const error = await rejectionOf(method === 'defer' ? bare().$stock.defer(args) : bare().$stock.project())

    expect(error).toMatchObject({
      code: 'CONFIGURATION',
      issues: [
        {
          path: 'movement.applied',
          message: 'must name a Boolean field of ProductMovement, for movements to be deferred',
        },
      ],
    })
  })

  test.each(['reserve', 'release', 'fulfil'] as const)(
    '%s says that it needs a model of reservations',
    async (method) => {
      const { $stock } = bare()
      const transactionId = newId()
      const call = {
        reserve: () => $stock.reserve({ transactionId, item: 1, quantity: 1, expiresIn: 1_000 }),
        release: () => $stock.release({ transactionId }),
        fulfil: () => $stock.fulfil({ transactionId }),
      }[method]

      expect(await rejectionOf(call())).toMatchObject({
        code: 'CONFIGURATION',
        issues: [{ path: 'reservation', message: 'must be mapped to a model, for stock to be reserved' }],
      })
    },
  )
})
