import { beforeAll, describe, expect, test } from 'vitest'
import type { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

let client: PrismaClient
beforeAll(() => {
  client = connect().client
})

/** A row of every model, related to one another, all at version 5. */
async function makeRows() {
  const version = 5
  const unique = String(Math.random())
  const category = await client.category.create({ data: { name: unique, version } })
  const product = await client.product.create({ data: { name: 'Chai', stock: 10, version, categoryId: category.id } })
  const order = await client.order.create({ data: { customer: 'ALFKI', version } })
  const line = await client.orderLine.create({
    data: { quantity: 1, version, orderId: order.id, productId: product.id },
  })
  const invoice = await client.invoice.create({ data: { number: unique, version, orderId: order.id } })
  const customer = await client.customer.create({ data: { email: unique } })
  const payment = await client.payment.create({
    data: { transactionId: unique, amount: 1, version, customerId: customer.id },
  })
  const versions = async () => ({
    category: (await client.category.findUniqueOrThrow({ where: { id: category.id } })).version,
    product: (await client.product.findUniqueOrThrow({ where: { id: product.id } })).version,
    order: (await client.order.findUniqueOrThrow({ where: { id: order.id } })).version,
    line: (await client.orderLine.findUniqueOrThrow({ where: { id: line.id } })).version,
    invoice: (await client.invoice.findUniqueOrThrow({ where: { id: invoice.id } })).version,
    payment: (await client.payment.findUniqueOrThrow({ where: { id: payment.id } })).version,
  })
  return { category, product, order, line, invoice, customer, payment, versions }
}

const untouched = { category: 5, product: 5, order: 5, line: 5, invoice: 5, payment: 5 }

describe('a plain write at top level adds 1 to the version', () => {
  test('update', async () => {
    const { db } = connect()
    const { product, versions } = await makeRows()
    const record = await db.product.update({ where: { id: product.id }, data: { stock: 3 } })
    expect(record).toMatchObject({ stock: 3, version: 6 })
    expect(await versions()).toEqual({ ...untouched, product: 6 })
  })

  test('updateMany, of every row it writes', async () => {
    const { db } = connect()
    const [a, b] = [await makeRows(), await makeRows()]
    await db.product.updateMany({ where: { id: { in: [a.product.id, b.product.id] } }, data: { stock: 3 } })
    expect([(await a.versions()).product, (await b.versions()).product]).toEqual([6, 6])
  })

  test('updateManyAndReturn', async () => {
    const { db } = connect()
    const { product } = await makeRows()
    expect(
      await db.product.updateManyAndReturn({
        where: { id: product.id },
        data: { stock: 3 },
        select: { stock: true, version: true },
      }),
    ).toEqual([{ stock: 3, version: 6 }])
  })

  test('upsert that updates', async () => {
    const { db } = connect()
    const { category } = await makeRows()
    const record = await db.category.upsert({
      where: { name: category.name },
      create: { name: category.name },
      update: { name: `${category.name} again` },
    })
    expect(record.version).toBe(6)
  })

  test('in an array transaction, and in an interactive one', async () => {
    const { db } = connect()
    const { product, versions } = await makeRows()
    await db.$transaction([
      db.product.update({ where: { id: product.id }, data: { stock: 3 } }),
      db.product.updateMany({ where: { id: product.id }, data: { stock: 4 } }),
    ])
    await db.$transaction((tx) => tx.product.update({ where: { id: product.id }, data: { stock: 5 } }))
    expect((await versions()).product).toBe(8)
  })

  test('a decrement of another column bumps up too', async () => {
    const { db } = connect()
    const { product } = await makeRows()
    expect(await db.product.update({ where: { id: product.id }, data: { stock: { decrement: 4 } } })).toMatchObject({
      stock: 6,
      version: 6,
    })
  })

  test('a BigInt version, and one of another name', async () => {
    const db = database
      .connect()
      .client.$extends(concurrency({ version: { models: { Document: { field: 'revision' } } } }))
    const stock = { productId: 1, warehouse: 'bumped' }
    await db.stock.create({ data: { ...stock, onHand: 1, version: 9_007_199_254_740_993n } })
    const document = await db.document.create({ data: { title: 'Draft' } })
    expect(await db.stock.update({ where: { productId_warehouse: stock }, data: { onHand: 2 } })).toMatchObject({
      version: 9_007_199_254_740_994n,
    })
    expect(await db.document.update({ where: { id: document.id }, data: { title: 'Final' } })).toMatchObject({
      revision: 1,
    })
  })

  test('also when the version is not selected, or its column has another name', async () => {
    const { db } = connect()
    const { id } = await db.everything.create({ data: { code: 'plain' } })
    expect(await db.everything.update({ where: { id }, data: { int: 1 }, omit: { version: true } })).not.toHaveProperty(
      'version',
    )
    expect(await db.everything.findUnique({ where: { id } })).toMatchObject({ int: 1, version: 1 })
  })

  test('data that is an instance of a class', async () => {
    const { db } = connect()
    const { product, versions } = await makeRows()
    class StockTake {
      stock = 3
      name?: string
    }
    class Relabelled {
      category = { update: new Renamed() }
    }
    class Renamed {
      name = String(Math.random())
    }
    await db.product.update({ where: { id: product.id }, data: new StockTake() })
    await db.product.update({ where: { id: product.id }, data: new Relabelled() })
    expect(await versions()).toEqual({ ...untouched, product: 7, category: 6 })
  })

  test('a relation alone', async () => {
    const { db } = connect()
    const { product, versions } = await makeRows()
    await db.product.update({ where: { id: product.id }, data: { category: { disconnect: true } } })
    expect((await versions()).product).toBe(6)
  })
})

describe('it stays one statement', () => {
  test.each(['update', 'updateMany', 'updateManyAndReturn', 'upsert'] as const)('%s', async (operation) => {
    const { db, statements } = connect()
    const { category } = await makeRows()
    const where = { name: category.name }
    const data = { name: category.name }
    statements.length = 0
    if (operation === 'update') await db.category.update({ where, data })
    else if (operation === 'updateMany') await db.category.updateMany({ where, data })
    else if (operation === 'updateManyAndReturn') await db.category.updateManyAndReturn({ where, data })
    else await db.category.upsert({ where, create: data, update: data })
    expect(statements).toHaveLength(1)
    expect(statements[0]).toContain('"version" = ("public"."Category"."version" +')
  })
})

describe('a nested write adds 1 to the version of what it updates', () => {
  test('update in a list', async () => {
    const { db } = connect()
    const { order, line, versions } = await makeRows()
    await db.order.update({
      where: { id: order.id },
      data: { lines: { update: { where: { id: line.id }, data: { quantity: 2 } } } },
    })
    expect(await versions()).toEqual({ ...untouched, order: 6, line: 6 })
  })

  test('several updates in a list', async () => {
    const { db } = connect()
    const { order, line, product, versions } = await makeRows()
    const where = { orderId_productId: { orderId: order.id, productId: product.id } }
    await db.order.update({
      where: { id: order.id },
      data: {
        lines: {
          update: [
            { where: { id: line.id }, data: { quantity: 2 } },
            { where, data: { quantity: 3 } },
          ],
        },
      },
    })
    expect(await versions()).toEqual({ ...untouched, order: 6, line: 7 })
  })

  test('updateMany in a list, as one and as several', async () => {
    const { db } = connect()
    const { order, versions } = await makeRows()
    await db.order.update({
      where: { id: order.id },
      data: { lines: { updateMany: { where: {}, data: { quantity: 2 } } } },
    })
    await db.order.update({
      where: { id: order.id },
      data: { lines: { updateMany: [{ where: {}, data: { quantity: { decrement: 1 } } }] } },
    })
    expect(await versions()).toEqual({ ...untouched, order: 7, line: 7 })
  })

  test('upsert in a list, where it updates', async () => {
    const { db } = connect()
    const { order, line, product, versions } = await makeRows()
    await db.order.update({
      where: { id: order.id },
      data: {
        lines: {
          upsert: {
            where: { id: line.id },
            create: { quantity: 1, product: { connect: { id: product.id } } },
            update: { quantity: 2 },
          },
        },
      },
    })
    expect(await versions()).toEqual({ ...untouched, order: 6, line: 6 })
  })

  test('update of a single relation, as data', async () => {
    const { db } = connect()
    const { order, versions } = await makeRows()
    await db.order.update({
      where: { id: order.id },
      data: { invoice: { update: { number: String(Math.random()) } } },
    })
    expect(await versions()).toEqual({ ...untouched, order: 6, invoice: 6 })
  })

  test('update of a single relation, as { where, data }', async () => {
    const { db } = connect()
    const { order, invoice, versions } = await makeRows()
    await db.order.update({
      where: { id: order.id },
      data: { invoice: { update: { where: { number: invoice.number }, data: { data: { paid: true } } } } },
    })
    expect(await versions()).toEqual({ ...untouched, order: 6, invoice: 6 })
  })

  test('upsert of a single relation, where it updates', async () => {
    const { db } = connect()
    const { order, versions } = await makeRows()
    const number = String(Math.random())
    await db.order.update({
      where: { id: order.id },
      data: { invoice: { upsert: { create: { number }, update: { number } } } },
    })
    expect(await versions()).toEqual({ ...untouched, order: 6, invoice: 6 })
  })

  test('inside a parent that has no version', async () => {
    const { db } = connect()
    const { customer, payment, versions } = await makeRows()
    await db.customer.update({
      where: { id: customer.id },
      data: { payments: { update: { where: { id: payment.id }, data: { currency: 'USD' } } } },
    })
    expect(await versions()).toEqual({ ...untouched, payment: 6 })
  })

  test('inside a parent that is set not to be bumped', async () => {
    const db = database
      .connect()
      .client.$extends(concurrency({ version: { models: { Order: { bumpPlainWrites: false } } } }))
    const { order, versions } = await makeRows()
    await db.order.update({
      where: { id: order.id },
      data: { customer: 'VINET', lines: { updateMany: { where: {}, data: { quantity: 2 } } } },
    })
    expect(await versions()).toEqual({ ...untouched, line: 6 })
  })

  test('inside a parent whose data sets its version itself', async () => {
    const { db } = connect()
    const { order, versions } = await makeRows()
    await db.order.update({
      where: { id: order.id },
      data: { version: 40, lines: { updateMany: { where: {}, data: { quantity: 2 } } } },
    })
    expect(await versions()).toEqual({ ...untouched, order: 40, line: 6 })
  })

  test('inside an upsert at top level', async () => {
    const { db } = connect()
    const { order, versions } = await makeRows()
    await db.order.upsert({
      where: { id: order.id },
      create: { customer: 'VINET' },
      update: { lines: { updateMany: { where: {}, data: { quantity: 2 } } } },
    })
    expect(await versions()).toEqual({ ...untouched, order: 6, line: 6 })
  })

  test('inside a versioned write, whose own row is bumped once', async () => {
    const { db } = connect()
    const { order, line, versions } = await makeRows()
    await db.order.updateVersioned({
      where: { id: order.id, version: 5 },
      data: { lines: { update: { where: { id: line.id }, data: { quantity: 2 } } } },
    })
    expect(await versions()).toEqual({ ...untouched, order: 6, line: 6 })
  })

  test('five levels deep', async () => {
    const { db } = connect()
    const { category, product, line, versions } = await makeRows()
    const number = String(Math.random())
    await db.category.update({
      where: { id: category.id },
      data: {
        products: {
          update: {
            where: { id: product.id },
            data: {
              lines: {
                upsert: {
                  where: { id: line.id },
                  create: { quantity: 1, order: { create: { customer: 'VINET' } } },
                  update: { order: { update: { invoice: { upsert: { create: { number }, update: { number } } } } } },
                },
              },
            },
          },
        },
      },
    })
    expect(await versions()).toEqual({ ...untouched, category: 6, product: 6, line: 6, order: 6, invoice: 6 })
  })
})

describe('a field called `data` is not taken for the data of a nested update', () => {
  const write = async (update: object) => {
    const { db } = connect()
    const { order, invoice, versions } = await makeRows()
    await db.order.update({ where: { id: order.id }, data: { invoice: { update } } })
    const { data, number } = await db.invoice.findUniqueOrThrow({ where: { id: invoice.id } })
    return { data, isRenamed: number !== invoice.number, version: (await versions()).invoice }
  }

  test('JSON with keys that are no fields', async () => {
    expect(await write({ data: { paid: true } })).toEqual({ data: { paid: true }, isRenamed: false, version: 6 })
  })

  test('JSON that is no object', async () => {
    expect(await write({ data: [1, 2] })).toEqual({ data: [1, 2], isRenamed: false, version: 6 })
  })

  test('JSON beside another field', async () => {
    const written = await write({ data: { a: { id: 1 } }, number: String(Math.random()) })
    expect(written).toEqual({ data: { a: { id: 1 } }, isRenamed: true, version: 6 })
  })

  test('JSON that has a field of the model as a key, beside another field', async () => {
    const { data, ...others } = await write({ data: { number: 1 }, number: String(Math.random()) })
    expect(others).toEqual({ isRenamed: true, version: 6 })
    expect(data).not.toHaveProperty('version')
  })

  test('the data of the row, with its own field `data` in it', async () => {
    const written = await write({ data: { data: { paid: true }, number: String(Math.random()) } })
    expect(written).toEqual({ data: { paid: true }, isRenamed: true, version: 6 })
  })

  test('the data of the row, without it', async () => {
    expect(await write({ data: { number: String(Math.random()) } })).toEqual({ data: {}, isRenamed: true, version: 6 })
  })

  test('JSON that could be the data of the row, but for its types, is refused rather than mixed up', async () => {
    expect(await rejectionOf(write({ data: { number: 5 } }))).toMatchObject({ name: 'PrismaClientValidationError' })
  })
})

describe('what is left as it is', () => {
  test('data that sets the version itself', async () => {
    const { db } = connect()
    const { product, versions } = await makeRows()
    await db.product.update({ where: { id: product.id }, data: { stock: 1, version: 40 } })
    expect((await versions()).product).toBe(40)
  })

  test('opt-out of a call: version: { increment: 0 }, in all writes', async () => {
    const { db } = connect()
    const { category, product, versions } = await makeRows()
    const keep = { version: { increment: 0 } }
    await db.product.update({ where: { id: product.id }, data: { stock: 1, ...keep } })
    await db.product.updateMany({ where: { id: product.id }, data: { stock: 2, ...keep } })
    await db.product.updateManyAndReturn({ where: { id: product.id }, data: { stock: 3, ...keep } })
    await db.product.upsert({ where: { id: product.id }, create: { name: 'Chang' }, update: { stock: 4, ...keep } })
    await db.category.update({
      where: { id: category.id },
      data: { ...keep, products: { update: { where: { id: product.id }, data: { stock: 5, ...keep } } } },
    })
    expect(await versions()).toEqual(untouched)
    expect(await db.product.findUnique({ where: { id: product.id } })).toMatchObject({ stock: 5 })
  })

  test('a version of undefined is none: the write is bumped', async () => {
    const { db } = connect()
    const { product, versions } = await makeRows()
    await db.product.update({ where: { id: product.id }, data: { stock: 1, version: undefined } })
    expect((await versions()).product).toBe(6)
  })

  test('opt-out of a client', async () => {
    const db = database.connect().client.$extends(concurrency({ version: { bumpPlainWrites: false } }))
    const { order, versions } = await makeRows()
    await db.order.update({
      where: { id: order.id },
      data: { customer: 'VINET', lines: { updateMany: { where: {}, data: { quantity: 2 } } } },
    })
    expect(await versions()).toEqual(untouched)
  })

  test('opt-out of a client, with one model bumped all the same', async () => {
    const db = database
      .connect()
      .client.$extends(
        concurrency({ version: { bumpPlainWrites: false, models: { OrderLine: { bumpPlainWrites: true } } } }),
      )
    const { order, versions } = await makeRows()
    await db.order.update({
      where: { id: order.id },
      data: { customer: 'VINET', lines: { updateMany: { where: {}, data: { quantity: 2 } } } },
    })
    expect(await versions()).toEqual({ ...untouched, line: 6 })
  })

  test('opt-out of a model, and a model that is not versioned', async () => {
    const db = database
      .connect()
      .client.$extends(concurrency({ version: { models: { Product: { bumpPlainWrites: false }, Category: false } } }))
    const { category, product, order, versions } = await makeRows()
    await db.product.update({ where: { id: product.id }, data: { stock: 1 } })
    await db.category.update({ where: { id: category.id }, data: { name: String(Math.random()) } })
    await db.order.update({ where: { id: order.id }, data: { customer: 'VINET' } })
    expect(await versions()).toEqual({ ...untouched, order: 6 })
  })

  test('an update without data', async () => {
    const { db } = connect()
    const { product, order, versions } = await makeRows()
    await db.product.update({ where: { id: product.id }, data: {} })
    await db.product.update({ where: { id: product.id }, data: { stock: undefined } })
    await db.order.update({ where: { id: order.id }, data: { lines: undefined } })
    expect(await versions()).toEqual(untouched)
  })

  test('an upsert that gets or creates', async () => {
    const { db } = connect()
    const { category, versions } = await makeRows()
    const get = { where: { name: category.name }, create: { name: category.name }, update: {} }
    expect(await db.category.upsert(get)).toMatchObject({ id: category.id, version: 5 })
    expect(await versions()).toEqual(untouched)
  })

  test('an upsert that creates', async () => {
    const { db } = connect()
    const name = String(Math.random())
    const record = await db.category.upsert({
      where: { name },
      create: { name, version: 3 },
      update: { name: 'other' },
    })
    expect(record).toMatchObject({ name, version: 3 })
  })

  test('create, createMany and createManyAndReturn', async () => {
    const { db } = connect()
    const name = String(Math.random())
    const record = await db.category.create({
      data: { name, products: { create: { name } } },
      include: { products: true },
    })
    await db.category.createMany({ data: [{ name: `${name} 2` }] })
    const returned = await db.category.createManyAndReturn({ data: [{ name: `${name} 3`, version: 9 }] })
    expect(record).toMatchObject({ version: 0, products: [{ version: 0 }] })
    expect(returned).toMatchObject([{ version: 9 }])
    expect(await db.category.findMany({ where: { name: `${name} 2` } })).toMatchObject([{ version: 0 }])
  })

  test('what a nested write creates or finds', async () => {
    const { db } = connect()
    const { category, product } = await makeRows()
    const record = await db.category.update({
      where: { id: category.id },
      data: {
        products: {
          create: { name: 'Created' },
          connectOrCreate: { where: { id: product.id }, create: { name: 'Not created' } },
          upsert: { where: { id: 999_999 }, create: { name: 'Upserted' }, update: { name: 'Not updated' } },
        },
      },
      include: { products: { orderBy: { id: 'asc' } } },
    })
    expect(record.products.map(({ name, version }) => ({ name, version }))).toEqual([
      { name: 'Chai', version: 5 },
      { name: 'Created', version: 0 },
      { name: 'Upserted', version: 0 },
    ])
  })

  test('a model whose field named version is no version column, and one without such a field', async () => {
    const { db } = connect()
    const release = await db.release.create({ data: { version: '1.0' } })
    const note = await db.note.create({ data: { text: 'old' } })
    expect(await db.release.update({ where: { id: release.id }, data: { version: '1.1' } })).toEqual({
      id: release.id,
      version: '1.1',
    })
    expect(await db.note.update({ where: { id: note.id }, data: { text: 'new' } })).toEqual({
      id: note.id,
      text: 'new',
    })
  })

  test('the data object of the caller', async () => {
    const { db } = connect()
    const { order, line } = await makeRows()
    const data = { lines: { update: [{ where: { id: line.id }, data: { quantity: 2 } }] } }
    const copy = structuredClone(data)
    await db.order.update({ where: { id: order.id }, data })
    expect(data).toEqual(copy)
  })
})

describe('a versioned writer who read before a plain write', () => {
  const writes = {
    update: (db: Db, id: number) => db.product.update({ where: { id }, data: { name: 'Chang' } }),
    updateMany: (db: Db, id: number) => db.product.updateMany({ where: { id }, data: { name: 'Chang' } }),
    upsert: (db: Db, id: number) =>
      db.product.upsert({ where: { id }, create: { name: 'Chang' }, update: { name: 'Chang' } }),
    'a nested update': (db: Db, id: number, categoryId: number) =>
      db.category.update({
        where: { id: categoryId },
        data: { products: { update: { where: { id }, data: { name: 'Chang' } } } },
      }),
  }
  type Db = ReturnType<typeof connect>['db']

  test.each(Object.keys(writes) as (keyof typeof writes)[])('is refused after %s', async (write) => {
    const { db } = connect()
    const { category, product } = await makeRows()
    await writes[write](db, product.id, category.id)
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id: product.id, version: 5 }, data: { stock: 1 } }),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 5, actual: 6 })
  })

  test('reads again in the function form, and loses nothing', async () => {
    const { db } = connect()
    const { product } = await makeRows()
    const seen: number[] = []
    const record = await db.product.updateVersioned({
      where: { id: product.id },
      data: async ({ stock }, attempt) => {
        seen.push(stock)
        if (attempt === 1)
          await db.product.updateMany({ where: { id: product.id }, data: { stock: { increment: 100 } } })
        return { stock: stock + 1 }
      },
    })
    expect(seen).toEqual([10, 110])
    expect(record).toMatchObject({ stock: 111, version: 7 })
  })

  test('a plain write that waits for a versioned one bumps what that one left', async () => {
    const { db } = connect()
    const { product, versions } = await makeRows()
    const other = await openTransaction(
      database.url,
      `UPDATE "Product" SET stock = 50, version = version + 1 WHERE id = $1`,
      [product.id],
    )
    const done = db.product.update({ where: { id: product.id }, data: { stock: { increment: 1 } } }).then((all) => all)
    await untilBlocked(database.url)
    await other.query('COMMIT')
    expect(await done).toMatchObject({ stock: 51, version: 7 })
    expect((await versions()).product).toBe(7)
  })
})
