import { randomInt } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { rejectionOf } from '../support/rejection.js'
import { SILO } from '../support/silos.js'
import { newId, STOCK, useStock } from '../support/stock.js'
import { MATERIAL } from '../support/stock-models.js'

const { database, connect } = useStock()

const clients = () => {
  const { client, statements } = connect()
  const base = client.$extends(concurrency())
  const products = base.$extends(
    stock({
      item: { model: 'Product', key: 'id', onHand: 'stock' },
      movement: { model: 'ProductMovement', item: 'productId' },
    }),
  )
  return { statements, base, products, stocks: base.$extends(stock(STOCK)), materials: base.$extends(stock(MATERIAL)) }
}
type Clients = ReturnType<typeof clients>
type Products = Clients['products']

let id: number
let orderId: number
beforeAll(async () => {
  const { products } = clients()
  id = (await products.product.create({ data: { name: 'Chai' } })).id
  orderId = (await products.order.create({ data: { customer: 'x' } })).id
})

const changed = { stock: 5 }
/** Every way in which Prisma, or this package, writes a product. */
const WRITES: readonly [name: string, field: string, write: (db: Products) => PromiseLike<unknown>][] = [
  ['create', 'data.stock', (db) => db.product.create({ data: { name: 'x', stock: 5 } })],
  ['create of a negative', 'data.stock', (db) => db.product.create({ data: { name: 'x', stock: -1 } })],
  ['createMany', 'data[1].stock', (db) => db.product.createMany({ data: [{ name: 'x' }, { name: 'x', stock: 5 }] })],
  ['createMany of one', 'data.stock', (db) => db.product.createMany({ data: { name: 'x', stock: 5 } })],
  ['createManyAndReturn', 'data[0].stock', (db) => db.product.createManyAndReturn({ data: [{ name: 'x', stock: 5 }] })],
  ['update', 'data.stock', (db) => db.product.update({ where: { id }, data: changed })],
  ['update to 0', 'data.stock', (db) => db.product.update({ where: { id }, data: { stock: 0 } })],
  ['update by set', 'data.stock', (db) => db.product.update({ where: { id }, data: { stock: { set: 5 } } })],
  ['increment', 'data.stock', (db) => db.product.update({ where: { id }, data: { stock: { increment: 1 } } })],
  ['updateMany', 'data.stock', (db) => db.product.updateMany({ where: { id }, data: changed })],
  ['updateManyAndReturn', 'data.stock', (db) => db.product.updateManyAndReturn({ where: { id }, data: changed })],
  [
    'upsert, when it creates',
    'create.stock',
    (db) => db.product.upsert({ where: { id: -1 }, create: { name: 'x', stock: 5 }, update: {} }),
  ],
  [
    'upsert, when it updates',
    'update.stock',
    (db) => db.product.upsert({ where: { id }, create: { name: 'x' }, update: changed }),
  ],
  ['updateVersioned', 'data.stock', (db) => db.product.updateVersioned({ where: { id, version: 0 }, data: changed })],
  [
    'updateVersioned with a function',
    'data.stock',
    (db) => db.product.updateVersioned({ where: { id }, data: () => changed }),
  ],
  [
    'tryUpdateVersioned',
    'data.stock',
    (db) => db.product.tryUpdateVersioned({ where: { id, version: 0 }, data: changed }),
  ],
  [
    'updateManyVersioned',
    '[1].data.stock',
    (db) =>
      db.product.updateManyVersioned([
        { where: { id, version: 0 }, data: { name: 'x' } },
        { where: { id: -1, version: 0 }, data: { stock: { increment: 1 } } },
      ]),
  ],
  [
    'createIdempotent',
    'data[0].stock',
    (db) => db.product.createIdempotent({ where: { id: -1 }, data: { name: 'x', stock: 5 } }),
  ],
  [
    'a nested create',
    'data.products.create.stock',
    (db) => db.category.create({ data: { name: newId(), products: { create: [{ name: 'x', stock: 5 }] } } }),
  ],
  [
    'a nested createMany',
    'data.products.createMany[0].stock',
    (db) =>
      db.category.create({ data: { name: newId(), products: { createMany: { data: [{ name: 'x', stock: 5 }] } } } }),
  ],
  [
    'a nested connectOrCreate',
    'data.products.connectOrCreate.stock',
    (db) =>
      db.category.create({
        data: { name: newId(), products: { connectOrCreate: { where: { id }, create: { name: 'x', stock: 5 } } } },
      }),
  ],
  [
    'a nested upsert, when it creates',
    'data.products.upsert.stock',
    (db) =>
      db.category.update({
        where: { id: 1 },
        data: { products: { upsert: { where: { id }, create: { name: 'x', stock: 5 }, update: {} } } },
      }),
  ],
  [
    'a nested upsert, when it updates',
    'data.products.upsert.stock',
    (db) =>
      db.category.update({
        where: { id: 1 },
        data: { products: { upsert: { where: { id }, create: { name: 'x' }, update: changed } } },
      }),
  ],
  [
    'a nested update',
    'data.products.update.stock',
    (db) => db.category.update({ where: { id: 1 }, data: { products: { update: { where: { id }, data: changed } } } }),
  ],
  [
    'a nested updateMany',
    'data.products.updateMany.stock',
    (db) => db.category.update({ where: { id: 1 }, data: { products: { updateMany: { where: {}, data: changed } } } }),
  ],
  [
    'a nested update of a single relation',
    'data.product.update.stock',
    (db) => db.orderLine.update({ where: { id: 1 }, data: { product: { update: changed } } }),
  ],
  [
    'a nested update of a single relation, with a condition',
    'data.product.update.stock',
    (db) => db.orderLine.update({ where: { id: 1 }, data: { product: { update: { where: { id }, data: changed } } } }),
  ],
  [
    'an update two relations away',
    'data.lines.update.product.update.stock',
    (db) =>
      db.order.update({
        where: { id: orderId },
        data: { lines: { update: { where: { id: 1 }, data: { product: { update: changed } } } } },
      }),
  ],
  [
    'a nested create of a versioned update',
    'data.products.create.stock',
    (db) =>
      db.category.updateVersioned({
        where: { id: 1, version: 0 },
        data: { products: { create: { name: 'x', stock: 5 } } },
      }),
  ],
  [
    'a create from the movements',
    'data.product.create.stock',
    (db) =>
      db.productMovement.create({
        data: { transactionId: newId(), line: 0, quantity: 5, product: { create: { name: 'x', stock: 5 } } },
      }),
  ],
]

describe('the balance cannot be written past $stock:', () => {
  test.each(WRITES)('%s', async (_name, field, write) => {
    const { products } = clients()
    const before = await database.query('SELECT * FROM "Product" ORDER BY id')

    const error = await rejectionOf(write(products))

    expect(error).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field,
      message: expect.stringContaining('Use $stock.move, or $stock.count for a stocktake.'),
    })
    expect(await database.query('SELECT * FROM "Product" ORDER BY id')).toEqual(before)
  })

  test.each(WRITES)('%s inside a transaction', async (_name, field, write) => {
    const { products } = clients()

    const error = await rejectionOf(products.$transaction((tx) => Promise.resolve(write(tx as never))))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })

  test('an array $transaction', async () => {
    const { products } = clients()
    const text = newId()

    const error = await rejectionOf(
      products.$transaction([
        products.note.create({ data: { text } }),
        products.product.update({ where: { id }, data: changed }),
      ]),
    )

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'data.stock' })
    expect(await products.note.count({ where: { text } })).toBe(0)
  })

  test('what is reserved, neither', async () => {
    const { stocks } = clients()
    const item = { productId: randomInt(2 ** 30), warehouse: 'main' }
    await stocks.stock.create({ data: item })

    const errors = [
      await rejectionOf(stocks.stock.create({ data: { ...item, warehouse: 'x', reserved: 1 } })),
      await rejectionOf(stocks.stock.update({ where: { productId_warehouse: item }, data: { reserved: 0 } })),
      await rejectionOf(stocks.stock.update({ where: { productId_warehouse: item }, data: { onHand: 7 } })),
    ]

    expect(errors.map((error) => (error as { field: unknown }).field)).toEqual([
      'data.reserved',
      'data.reserved',
      'data.onHand',
    ])
  })

  test('a client that is extended further', async () => {
    const further = clients().products.$extends({ client: { $whoami: () => 'me' } })

    const errors = [
      await rejectionOf(further.product.update({ where: { id }, data: changed })),
      await rejectionOf(further.product.updateManyVersioned([{ where: { id, version: 0 }, data: changed }])),
      await rejectionOf(further.$transaction((tx) => tx.product.update({ where: { id }, data: changed }))),
    ]

    expect(errors).toMatchObject(Array(3).fill({ code: 'INVALID_ARGUMENT' }))
  })
})

describe('an item begins', () => {
  test.each<[string, object]>([
    ['with nothing', {}],
    ['with nothing, said plainly', { stock: 0 }],
    ['with undefined, which Prisma leaves out', { stock: undefined }],
  ])('%s', async (_name, data) => {
    const { products } = clients()

    const { stock } = await products.product.create({ data: { name: 'x', ...data } })

    expect(stock).toBe(0)
  })

  test.each<[string, object]>([
    ['the same as on hand', { opening: '2.5', onHand: 2.5 }],
    ['nothing', {}],
  ])('with its opening balance: %s', async (_name, data) => {
    const { materials } = clients()
    const code = newId().slice(0, 20)

    await materials.material.create({ data: { code, ...data } })

    expect((await materials.$stock.audit()).filter(({ item }) => item === code)).toEqual([])
  })

  test.each<[string, object, string]>([
    ['another than is on hand', { opening: 2, onHand: 3 }, 'data.onHand'],
    ['none, and something on hand', { onHand: 3 }, 'data.onHand'],
    ['one, and nothing on hand', { opening: 2 }, 'data.onHand'],
    ['one, and 0 on hand', { opening: 2, onHand: 0 }, 'data.onHand'],
  ])('not with an opening balance that is %s', async (_name, data, field) => {
    const { materials } = clients()
    const code = newId().slice(0, 20)

    const errors = [
      await rejectionOf(materials.material.create({ data: { code, ...data } })),
      await rejectionOf(materials.material.upsert({ where: { code }, create: { code, ...data }, update: {} })),
    ]

    expect(errors).toMatchObject([
      { code: 'INVALID_ARGUMENT', field },
      { code: 'INVALID_ARGUMENT', field: field.replace('data', 'create') },
    ])
    expect(await materials.material.count({ where: { code } })).toBe(0)
  })

  test('with an opening balance that stays as it is, since the balance rests on it', async () => {
    const { materials } = clients()
    const code = newId().slice(0, 20)
    await materials.material.create({ data: { code, opening: 2, onHand: 2 } })

    const errors = [
      await rejectionOf(materials.material.update({ where: { code }, data: { opening: 3 } })),
      await rejectionOf(materials.material.updateMany({ where: { code }, data: { opening: { increment: 1 } } })),
    ]

    expect(errors).toMatchObject(Array(2).fill({ code: 'INVALID_ARGUMENT', field: 'data.opening' }))
  })
})

describe('other writes pass untouched:', () => {
  const PASSING: readonly [name: string, write: (db: Products) => PromiseLike<unknown>][] = [
    ['update', (db) => db.product.update({ where: { id }, data: { name: 'Chang', stock: undefined } })],
    ['updateMany', (db) => db.product.updateMany({ where: { id }, data: { name: 'Chang' } })],
    ['upsert', (db) => db.product.upsert({ where: { id }, create: { name: 'x' }, update: { name: 'Chang' } })],
    ['createIdempotent', (db) => db.product.createIdempotent({ where: { id }, data: { name: 'Chang' } })],
    ['updateVersioned', (db) => db.product.updateVersioned({ where: { id }, data: () => ({ name: 'Chang' }) })],
    [
      'updateManyVersioned',
      async (db) => {
        const { version } = await db.product.findUniqueOrThrow({ where: { id } })
        const verdicts = await db.product.updateManyVersioned([{ where: { id, version }, data: { name: 'Chang' } }])
        expect(verdicts).toMatchObject([{ status: 'updated' }])
      },
    ],
    ['connect', (db) => db.category.create({ data: { name: newId(), products: { connect: { id } } } })],
    [
      'a nested create',
      (db) => db.category.create({ data: { name: newId(), products: { create: { name: 'x', stock: 0 } } } }),
    ],
    ['a read', (db) => db.product.findMany({ where: { stock: 5 }, orderBy: { stock: 'asc' } })],
    [
      'a filter by the balance',
      (db) => db.product.updateMany({ where: { stock: { gte: 0 } }, data: { price: { increment: 1 } } }),
    ],
  ]

  test.each(PASSING)('%s', async (_name, write) => {
    const { products } = clients()

    await write(products)
    await products.$transaction((tx) => Promise.resolve(write(tx as never)))

    expect(await products.product.findUniqueOrThrow({ where: { id } })).toMatchObject({ stock: 0 })
  })

  test('fields of the same name in other models', async () => {
    const { materials } = clients()
    const item = { productId: randomInt(2 ** 30), warehouse: 'main' }

    expect(await materials.stock.create({ data: { ...item, onHand: 5, reserved: 1 } })).toMatchObject({ onHand: 5 })
  })

  test('a plain update bumps the version as ever, and the next move is right', async () => {
    const { products } = clients()
    const product = await products.product.create({ data: { name: 'x' } })
    await products.$stock.move({ transactionId: newId(), item: product.id, quantity: 5 })
    await products.product.update({ where: { id: product.id }, data: { name: 'y' } })

    const { balance } = await products.$stock.move({ transactionId: newId(), item: product.id, quantity: -2 })

    expect(balance).toBe(3)
    expect(await products.product.findUniqueOrThrow({ where: { id: product.id } })).toMatchObject({ version: 3 })
  })

  test('the client that was extended may still write what it likes', async () => {
    const { base } = clients()
    const { id } = await base.product.create({ data: { name: 'x', stock: 5 } })

    expect(await base.product.update({ where: { id }, data: { stock: 6 } })).toMatchObject({ stock: 6 })
  })
})

test('the numbers of a history are written by $stock alone', async () => {
  const { client } = connect()
  const db = client.$extends(concurrency()).$extends(stock(SILO))
  const code = newId()
  await db.silo.create({ data: { code, sequence: 0n } })
  await db.$stock.move({ transactionId: code, item: code, quantity: 1 })
  const id = { transactionId: code, line: 0 }
  const writes: readonly [string, () => PromiseLike<unknown>][] = [
    ['data.sequence', () => db.silo.create({ data: { code: newId(), sequence: 1n } })],
    ['data.sequence', () => db.silo.update({ where: { code }, data: { sequence: { increment: 1 } } })],
    ['data.sequence', () => db.siloMovement.update({ where: { transactionId_line: id }, data: { sequence: 2n } })],
    ['data.balance', () => db.siloMovement.update({ where: { transactionId_line: id }, data: { balance: 2 } })],
    ['data.at', () => db.siloMovement.updateMany({ data: { at: new Date() } })],
  ]
  for (const [field, write] of writes) {
    expect(await rejectionOf((async () => write())())).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  }
})
