import { beforeAll, describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { stock } from '../../src/stock/extension.js'
import { rejectionOf } from '../support/rejection.js'
import { newId, useStock } from '../support/stock.js'

const { database, connect } = useStock()

const HOUR = 3_600_000

const SHELVES = {
  item: { model: 'Shelf', key: ['depotId', 'code'] },
  movement: { model: 'ShelfMovement', refused: 'refused' },
  reservation: { model: 'ShelfReservation' },
} as const

const clients = () => {
  const base = connect().client.$extends(concurrency())
  const db = base.$extends(stock(SHELVES))
  const products = base.$extends(
    stock({
      item: { model: 'Product', key: 'id', onHand: 'stock' },
      movement: { model: 'ProductMovement', item: 'productId' },
    }),
  )
  return { base, db, products }
}
type Db = ReturnType<typeof clients>['db']
type Products = ReturnType<typeof clients>['products']

let depotId: number
let otherDepotId: number
let receiptId: number
let productId: number
const code = 'A1'
const key = () => ({ depotId, code })
const movementKey = { transactionId: 'opening', line: 0 }
const basketKey = { transactionId: 'basket', line: 0 }
beforeAll(async () => {
  const { db, products } = clients()
  depotId = (await db.depot.create({ data: { name: 'Graz' } })).id
  otherDepotId = (await db.depot.create({ data: { name: 'Linz' } })).id
  receiptId = (await db.receipt.create({ data: {} })).id
  await db.shelf.create({ data: key() })
  await db.$stock.move({ transactionId: 'opening', item: key(), quantity: 10 })
  await db.$stock.reserve({ transactionId: 'basket', item: key(), quantity: 2, expiresIn: HOUR })
  productId = (await products.product.create({ data: { name: 'Chai' } })).id
  await products.$stock.move({ transactionId: 'opening', item: productId, quantity: 10 })
})

const movement = () => ({ transactionId: newId(), line: 0, ...key(), quantity: 5 })
const reservation = () => ({ ...movement(), state: 'active', expiresAt: new Date(Date.now() + HOUR) })

type Write = readonly [name: string, field: string, write: (db: Db) => PromiseLike<unknown>]

const ITEM: readonly Write[] = [
  ['delete', 'delete', (db) => db.shelf.delete({ where: { depotId_code: key() } })],
  ['deleteMany', 'deleteMany', (db) => db.shelf.deleteMany({ where: key() })],
  ['deleteVersioned', 'delete', (db) => db.shelf.deleteVersioned({ where: { depotId_code: key(), version: 2 } })],
  [
    'deleteVersioned with a relation',
    'delete',
    (db) => db.shelf.deleteVersioned({ where: { depotId_code: key(), version: 2 }, include: { depot: true } }),
  ],
  [
    'a nested delete',
    'data.shelves.delete',
    (db) => db.depot.update({ where: { id: depotId }, data: { shelves: { delete: { depotId_code: key() } } } }),
  ],
  [
    'a nested deleteMany',
    'data.shelves.deleteMany',
    (db) => db.depot.update({ where: { id: depotId }, data: { shelves: { deleteMany: {} } } }),
  ],
  [
    'a nested deleteMany of an upsert',
    'update.shelves.deleteMany',
    (db) =>
      db.depot.upsert({
        where: { id: depotId },
        create: { name: 'x' },
        update: { shelves: { deleteMany: [{ code }] } },
      }),
  ],
  [
    'a nested delete of updateVersioned',
    'data.shelves.delete',
    (db) =>
      db.depot.updateVersioned({
        where: { id: depotId },
        data: () => ({ shelves: { delete: { depotId_code: key() } } }),
      }),
  ],
  ['update of the key', 'data.code', (db) => db.shelf.update({ where: { depotId_code: key() }, data: { code: 'B' } })],
  [
    'update of the key by set',
    'data.code',
    (db) => db.shelf.update({ where: { depotId_code: key() }, data: { code: { set: 'B' } } }),
  ],
  [
    'updateMany of the key',
    'data.depotId',
    (db) => db.shelf.updateMany({ where: key(), data: { depotId: { increment: 1 } } }),
  ],
  [
    'updateManyAndReturn of the key',
    'data.code',
    (db) => db.shelf.updateManyAndReturn({ where: key(), data: { code: 'B' } }),
  ],
  [
    'upsert of the key',
    'update.code',
    (db) => db.shelf.upsert({ where: { depotId_code: key() }, create: key(), update: { code: 'B' } }),
  ],
  [
    'updateVersioned of the key',
    'data.code',
    (db) => db.shelf.updateVersioned({ where: { depotId_code: key() }, data: () => ({ code: 'B' }) }),
  ],
  [
    'tryUpdateVersioned of the key',
    'data.code',
    (db) => db.shelf.tryUpdateVersioned({ where: { depotId_code: key(), version: 2 }, data: { code: 'B' } }),
  ],
  [
    'updateManyVersioned of the key',
    '[0].data.code',
    (db) =>
      db.shelf.updateManyVersioned([{ where: { depotId_code: key(), version: 2 }, data: { code: 'B' } as never }]),
  ],
  [
    'connect of a relation that is part of the key',
    'data.depot.connect',
    (db) => db.shelf.update({ where: { depotId_code: key() }, data: { depot: { connect: { id: otherDepotId } } } }),
  ],
  [
    'create of a relation that is part of the key',
    'data.depot.create',
    (db) => db.shelf.update({ where: { depotId_code: key() }, data: { depot: { create: { name: 'x' } } } }),
  ],
  [
    'connectOrCreate of a relation that is part of the key',
    'data.depot.connectOrCreate',
    (db) =>
      db.shelf.update({
        where: { depotId_code: key() },
        data: { depot: { connectOrCreate: { where: { id: otherDepotId }, create: { name: 'x' } } } },
      }),
  ],
  [
    'connect from the other side',
    'data.shelves.connect',
    (db) => db.depot.update({ where: { id: otherDepotId }, data: { shelves: { connect: { depotId_code: key() } } } }),
  ],
  [
    'connect from a new record',
    'data.shelves.connect',
    (db) => db.depot.create({ data: { name: 'x', shelves: { connect: { depotId_code: key() } } } }),
  ],
  [
    'connectOrCreate from the other side',
    'data.shelves.connectOrCreate',
    (db) =>
      db.depot.update({
        where: { id: otherDepotId },
        data: { shelves: { connectOrCreate: { where: { depotId_code: key() }, create: { code } } } },
      }),
  ],
  [
    'a nested update of the key',
    'data.shelves.update.code',
    (db) =>
      db.depot.update({
        where: { id: depotId },
        data: { shelves: { update: { where: { depotId_code: key() }, data: { code: 'B' } } } },
      }),
  ],
  [
    'a nested updateMany of the key',
    'data.shelves.updateMany.code',
    (db) =>
      db.depot.update({
        where: { id: depotId },
        data: { shelves: { updateMany: { where: {}, data: { code: 'B' } } } },
      }),
  ],
  [
    'a nested upsert of the key',
    'data.shelves.upsert.code',
    (db) =>
      db.depot.update({
        where: { id: depotId },
        data: { shelves: { upsert: { where: { depotId_code: key() }, create: { code }, update: { code: 'B' } } } },
      }),
  ],
]

const MOVEMENTS: readonly Write[] = [
  ['create', 'data', (db) => db.shelfMovement.create({ data: movement() })],
  ['createMany', 'data[0]', (db) => db.shelfMovement.createMany({ data: [movement()] })],
  ['createManyAndReturn', 'data[0]', (db) => db.shelfMovement.createManyAndReturn({ data: [movement()] })],
  [
    'createIdempotent',
    'data[0]',
    (db) => {
      const { transactionId, line, ...data } = movement()
      return db.shelfMovement.createIdempotent({ where: { transactionId_line: { transactionId, line } }, data })
    },
  ],
  [
    'createIdempotent with a relation',
    'data[0]',
    (db) => {
      const { transactionId, line, ...data } = movement()
      return db.shelfMovement.createIdempotent({
        where: { transactionId_line: { transactionId, line } },
        data,
        include: { receipt: true },
      })
    },
  ],
  [
    'createIdempotent, two at once',
    'data[0]',
    (db) => {
      const insert = () => {
        const { transactionId, line, ...data } = movement()
        return db.shelfMovement.createIdempotent({ where: { transactionId_line: { transactionId, line } }, data })
      }
      return Promise.all([insert(), insert()])
    },
  ],
  [
    'upsert',
    'create',
    (db) => db.shelfMovement.upsert({ where: { transactionId_line: movementKey }, create: movement(), update: {} }),
  ],
  ...(['transactionId', 'code'] as const).map(
    (name): Write => [
      `update of ${name}`,
      `data.${name}`,
      (db) => db.shelfMovement.update({ where: { transactionId_line: movementKey }, data: { [name]: 'x' } }),
    ],
  ),
  ...(['line', 'depotId', 'quantity'] as const).map(
    (name): Write => [
      `updateMany of ${name}`,
      `data.${name}`,
      (db) => db.shelfMovement.updateMany({ where: movementKey, data: { [name]: { increment: 1 } } }),
    ],
  ),
  ...(['applied', 'refused'] as const).map(
    (name): Write => [
      `updateVersioned of ${name}`,
      `data.${name}`,
      (db) =>
        db.shelfMovement.updateVersioned({
          where: { transactionId_line: movementKey },
          data: () => ({ [name]: true }) as never,
        }),
    ],
  ),
  [
    'updateManyVersioned of the quantity',
    '[0].data.quantity',
    (db) =>
      db.shelfMovement.updateManyVersioned([
        { where: { transactionId_line: movementKey, version: 0 }, data: { quantity: { increment: 1 } } },
      ]),
  ],
  ['delete', 'delete', (db) => db.shelfMovement.delete({ where: { transactionId_line: movementKey } })],
  ['deleteMany', 'deleteMany', (db) => db.shelfMovement.deleteMany()],
  [
    'deleteVersioned',
    'delete',
    (db) => db.shelfMovement.deleteVersioned({ where: { transactionId_line: movementKey, version: 0 } }),
  ],
  [
    'a nested create',
    'data.movements.create',
    (db) => db.receipt.create({ data: { movements: { create: movement() } } }),
  ],
  [
    'a nested createMany',
    'data.movements.createMany[0]',
    (db) => db.receipt.create({ data: { movements: { createMany: { data: [movement()] } } } }),
  ],
  [
    'a nested connectOrCreate',
    'data.movements.connectOrCreate',
    (db) =>
      db.receipt.create({
        data: { movements: { connectOrCreate: { where: { transactionId_line: movementKey }, create: movement() } } },
      }),
  ],
  [
    'a nested upsert',
    'data.movements.upsert',
    (db) =>
      db.receipt.update({
        where: { id: receiptId },
        data: {
          movements: { upsert: { where: { transactionId_line: movementKey }, create: movement(), update: {} } },
        },
      }),
  ],
  [
    'a nested update',
    'data.movements.update.quantity',
    (db) =>
      db.receipt.update({
        where: { id: receiptId },
        data: { movements: { update: { where: { transactionId_line: movementKey }, data: { quantity: 1 } } } },
      }),
  ],
  [
    'a nested delete',
    'data.movements.delete',
    (db) =>
      db.receipt.update({
        where: { id: receiptId },
        data: { movements: { delete: [{ transactionId_line: movementKey }] } },
      }),
  ],
  [
    'a nested deleteMany',
    'data.movements.deleteMany',
    (db) => db.receipt.update({ where: { id: receiptId }, data: { movements: { deleteMany: [{}] } } }),
  ],
]

const RESERVATIONS: readonly Write[] = [
  ['create', 'data', (db) => db.shelfReservation.create({ data: reservation() })],
  [
    'update of the state',
    'data.state',
    (db) => db.shelfReservation.update({ where: { transactionId_line: basketKey }, data: { state: 'released' } }),
  ],
  ['updateMany of the quantity', 'data.quantity', (db) => db.shelfReservation.updateMany({ data: { quantity: 1 } })],
  ['delete', 'delete', (db) => db.shelfReservation.delete({ where: { transactionId_line: basketKey } })],
  ['deleteMany', 'deleteMany', (db) => db.shelfReservation.deleteMany({ where: { state: 'active' } })],
  [
    'a nested deleteMany',
    'data.reservations.deleteMany',
    (db) => db.receipt.update({ where: { id: receiptId }, data: { reservations: { deleteMany: {} } } }),
  ],
  [
    'a nested create',
    'data.reservations.create',
    (db) => db.receipt.update({ where: { id: receiptId }, data: { reservations: { create: [reservation()] } } }),
  ],
]

describe('$serials writes with SQL that no hook sees, so it shares no model with $stock,', () => {
  const shelves = serials({ serial: { model: 'Shelf', number: 'code', transactionId: 'owner' } })

  test.each<[string, (base: ReturnType<typeof clients>['base']) => unknown]>([
    ['whether it comes after stock()', (base) => base.$extends(stock(SHELVES)).$extends({}).$extends(shelves)],
    ['or before it', (base) => base.$extends(shelves).$extends({}).$extends(stock(SHELVES))],
  ])('%s', (_name, extend) => {
    const { base } = clients()

    expect(() => extend(base)).toThrow(
      expect.objectContaining({ code: 'CONFIGURATION', message: expect.stringContaining('Shelf') }),
    )
  })

  test('and on a client of its own it may have the model', () => {
    const { base } = clients()

    expect(() => base.$extends(shelves)).not.toThrow()
  })
})

const contents = async () =>
  Promise.all(
    ['Depot', 'Shelf', 'ShelfMovement', 'ShelfReservation', 'Receipt', 'Product', 'ProductMovement'].map((table) =>
      database.query(`SELECT * FROM "${table}" ORDER BY 1, 2`),
    ),
  )

describe.each([
  ['an item stays, and keeps its key', ITEM],
  ['movements are recorded by $stock alone', MOVEMENTS],
  ['reservations are kept by $stock alone', RESERVATIONS],
])('%s, so refused before any SQL are:', (_title, writes) => {
  test.each(writes)('%s', async (_name, field, write) => {
    const { db } = clients()
    const before = await contents()

    const error = await rejectionOf(write(db))

    expect(error).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field,
      message: expect.stringMatching(/\$stock|stock\(\)/),
    })
    expect(await contents()).toEqual(before)
  })

  test.each(writes)('%s inside a transaction', async (_name, field, write) => {
    const { db } = clients()

    const error = await rejectionOf(db.$transaction((tx) => Promise.resolve(write(tx as never))))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })
})

describe('where the foreign key of a movement is its item, refused is', () => {
  const WRITES: readonly [string, string, (db: Products) => PromiseLike<unknown>][] = [
    [
      'connect of the other item',
      'data.product.connect',
      (db) =>
        db.productMovement.update({
          where: { transactionId_line: movementKey },
          data: { product: { connect: { id: 1 } } },
        }),
    ],
    [
      'connect from the item',
      'data.movements.connect',
      (db) =>
        db.product.update({
          where: { id: productId },
          data: { movements: { connect: { transactionId_line: movementKey } } },
        }),
    ],
    [
      'set from the item',
      'data.movements.set',
      (db) =>
        db.product.update({
          where: { id: productId },
          data: { movements: { set: [{ transactionId_line: movementKey }] } },
        }),
    ],
    [
      'deletion of the item through its movement',
      'data.product.delete',
      (db) =>
        db.productMovement.update({
          where: { transactionId_line: movementKey },
          data: { product: { delete: true } as never },
        }),
    ],
    [
      'deletion of the item through a line of an order',
      'data.lines.update.product.delete',
      (db) =>
        db.order.update({
          where: { id: 1 },
          data: { lines: { update: { where: { id: 1 }, data: { product: { delete: true } as never } } } },
        }),
    ],
  ]

  test.each(WRITES)('%s', async (_name, field, write) => {
    const { products } = clients()
    const before = await contents()

    const error = await rejectionOf(write(products))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(await contents()).toEqual(before)
  })
})

describe('what is no part of a sum may be written:', () => {
  const PASSING: readonly [string, (db: Db) => PromiseLike<unknown>][] = [
    ['a new item', (db) => db.shelf.create({ data: { depotId, code: newId() } })],
    ['a new item with nothing on hand', (db) => db.shelf.create({ data: { depotId, code: newId(), onHand: 0 } })],
    [
      'a new item that is connected',
      (db) => db.shelf.create({ data: { depot: { connect: { id: depotId } }, code: newId() } }),
    ],
    ['a nested item', (db) => db.depot.create({ data: { name: 'x', shelves: { create: { code } } } })],
    ['the label of an item', (db) => db.shelf.update({ where: { depotId_code: key() }, data: { label: 'x' } })],
    [
      'the name of the depot through its item',
      (db) => db.shelf.update({ where: { depotId_code: key() }, data: { depot: { update: { name: 'Graz' } } } }),
    ],
    [
      'the note of a movement',
      (db) => db.shelfMovement.update({ where: { transactionId_line: movementKey }, data: { note: 'checked' } }),
    ],
    [
      'the receipt of a movement',
      (db) =>
        db.shelfMovement.update({
          where: { transactionId_line: movementKey },
          data: { receipt: { connect: { id: receiptId } } },
        }),
    ],
    [
      'the movements of a receipt',
      (db) =>
        db.receipt.update({
          where: { id: receiptId },
          data: { movements: { set: [{ transactionId_line: movementKey }] } },
        }),
    ],
    [
      'a movement by updateManyVersioned',
      async (db) => {
        const { version } = await db.shelfMovement.findUniqueOrThrow({ where: { transactionId_line: movementKey } })
        return db.shelfMovement.updateManyVersioned([
          { where: { transactionId_line: movementKey, version }, data: { note: 'again' } },
        ])
      },
    ],
    [
      'when a reservation expires',
      (db) =>
        db.shelfReservation.update({
          where: { transactionId_line: basketKey },
          data: { expiresAt: new Date(Date.now() + 2 * HOUR) },
        }),
    ],
    [
      'a depot without items',
      async (db) => db.depot.delete({ where: { id: (await db.depot.create({ data: { name: 'x' } })).id } }),
    ],
    [
      'nothing',
      (db) =>
        db.receipt.update({
          where: { id: receiptId },
          data: { movements: { delete: [], set: [{ transactionId_line: movementKey }] } },
        }),
    ],
  ]

  test.each(PASSING)('%s', async (_name, write) => {
    const { db } = clients()

    await write(db)
    await db.$transaction((tx) => Promise.resolve(write(tx as never)))

    expect(await db.$stock.audit()).toEqual([])
  })

  test('an item that never moved is deleted by the client that was extended', async () => {
    const { base, db } = clients()
    const item = { depotId, code: newId() }
    await db.shelf.create({ data: item })

    await base.shelf.delete({ where: { depotId_code: item } })

    expect(await db.$stock.audit()).toEqual([])
  })
})

describe('an item that is gone is found by the audit', () => {
  const newShelf = async (db: Db) => {
    const { id } = await db.depot.create({ data: { name: 'x' } })
    const item = { depotId: id, code }
    await db.shelf.create({ data: item })
    return item
  }
  const nothing = { balance: 0, expected: 0, reserved: 0, expectedReserved: 0 }
  const auditOf = async (db: Db, ids: readonly number[]) =>
    (await db.$stock.audit()).filter(({ item }) => ids.includes(item.depotId))

  test('where the database has deleted it with its depot, and no other item is', async () => {
    const { db } = clients()
    const [item, other] = [await newShelf(db), await newShelf(db)]
    for (const each of [item, other]) {
      await db.$stock.move({ transactionId: newId(), item: each, quantity: 7 })
      await db.$stock.reserve({ transactionId: newId(), item: each, quantity: 2, expiresIn: HOUR })
    }
    await db.depot.delete({ where: { id: item.depotId } })

    expect(await auditOf(db, [item.depotId, other.depotId])).toEqual([
      { ...nothing, item, expected: 7, expectedReserved: 2, missing: true },
    ])
  })

  test('where raw SQL has renamed it, under both of its keys', async () => {
    const { db } = clients()
    const item = await newShelf(db)
    await db.$stock.move({ transactionId: newId(), item, quantity: 7 })
    await database.query(`UPDATE "Shelf" SET code = 'Z9' WHERE "depotId" = $1`, [item.depotId])

    expect(await auditOf(db, [item.depotId])).toEqual([
      { ...nothing, item, expected: 7, missing: true },
      { ...nothing, item: { ...item, code: 'Z9' }, balance: 7 },
    ])
  })

  test.each<[string, (db: Db, item: { depotId: number; code: string }) => Promise<unknown>]>([
    [
      'only movements that add up to nothing',
      async (db, item) => {
        await db.$stock.move({ transactionId: newId(), item, quantity: 7 })
        await db.$stock.move({ transactionId: newId(), item, quantity: -7 })
      },
    ],
    ['only a deferred movement', (db, item) => db.$stock.defer({ transactionId: newId(), item, quantity: 7 })],
  ])('where it has %s', async (_name, write) => {
    const { db } = clients()
    const item = await newShelf(db)
    await write(db, item)
    await database.query('DELETE FROM "Shelf" WHERE "depotId" = $1', [item.depotId])

    expect(await auditOf(db, [item.depotId])).toEqual([{ ...nothing, item, missing: true }])
  })

  test('but not for a reservation that has ended, nor after its movements were archived', async () => {
    const { base, db } = clients()
    const item = await newShelf(db)
    const transactionId = newId()
    await db.$stock.move({ transactionId: newId(), item, quantity: 7 })
    await db.$stock.reserve({ transactionId, item, quantity: 2, expiresIn: HOUR })
    await db.$stock.release({ transactionId })
    await base.shelfMovement.deleteMany({ where: item })
    await base.shelf.delete({ where: { depotId_code: item } })

    expect(await auditOf(db, [item.depotId])).toEqual([])
  })
})
