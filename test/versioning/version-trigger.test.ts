import { beforeAll, describe, expect, test } from 'vitest'
import { Prisma } from '../../generated/prisma/client.js'
import { ConfigurationError, VersionOverflowError, versionTriggerSql } from '../../src/index.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

/** Every versioned model, and how a program that knows nothing of Prisma makes, writes and reads a row of it. */
const models: Record<string, { field?: string; table: string; column: string; insert: string; set: string }> = {
  Category: { table: 'Category', column: 'version', insert: `(name) VALUES ('raw')`, set: `name = 'raw 2'` },
  Product: {
    table: 'Product',
    column: 'version',
    insert: `(name, "updatedAt") VALUES ('raw', now())`,
    set: 'stock = 3',
  },
  Order: { table: 'Order', column: 'version', insert: `(customer) VALUES ('raw')`, set: `customer = 'raw 2'` },
  OrderLine: {
    table: 'OrderLine',
    column: 'version',
    insert: `(quantity, "orderId", "productId") SELECT 1, o.id, p.id FROM "Order" AS o, "Product" AS p LIMIT 1`,
    set: 'quantity = 2',
  },
  Invoice: {
    table: 'Invoice',
    column: 'version',
    insert: `(number, "orderId") SELECT 'raw', o.id FROM "Order" AS o LIMIT 1`,
    set: `data = '{"a":1}'`,
  },
  Stock: {
    table: 'Stock',
    column: 'version',
    insert: `("productId", warehouse, "onHand") VALUES (0, 'raw', 1)`,
    set: '"onHand" = 0',
  },
  CompanyStock: {
    table: 'CompanyStock',
    column: 'version',
    insert: `("companyId", "productId", warehouse, "onHand") VALUES (1, 0, 'raw', 1)`,
    set: '"onHand" = 0',
  },
  Document: {
    field: 'revision',
    table: 'Document',
    column: 'revision',
    insert: `(id, title) VALUES (gen_random_uuid(), 'raw')`,
    set: `title = 'raw 2'`,
  },
  Everything: {
    table: 'every thing',
    column: 'row version',
    insert: `("the code") VALUES ('raw')`,
    set: '"Flag" = true',
  },
  Parcel: { table: 'Parcel', column: 'version', insert: `(code) VALUES ('raw')`, set: `note = 'raw 2'` },
  Depot: { table: 'Depot', column: 'version', insert: `(name) VALUES ('raw')`, set: `name = 'raw 2'` },
  Shelf: {
    table: 'Shelf',
    column: 'version',
    insert: `("depotId", code) SELECT id, 'raw' FROM "Depot" LIMIT 1`,
    set: `label = 'raw 2'`,
  },
  Receipt: { table: 'Receipt', column: 'version', insert: '(id) VALUES (7)', set: 'id = 8' },
  ShelfMovement: {
    table: 'ShelfMovement',
    column: 'version',
    insert: `("transactionId", line, "depotId", code, quantity) VALUES ('raw', 0, 1, 'raw', 1)`,
    set: `note = 'raw 2'`,
  },
  ShelfReservation: {
    table: 'ShelfReservation',
    column: 'version',
    insert: `("transactionId", line, "depotId", code, quantity, state, "expiresAt") VALUES ('raw', 0, 1, 'raw', 1, 'active', now())`,
    set: `state = 'released'`,
  },
  Coupon: { table: 'Coupon', column: 'version', insert: `(code) VALUES ('raw')`, set: 'used = 1' },
  Crate: { table: 'Crate', column: 'version', insert: `(code) VALUES ('raw')`, set: 'reserved = 1' },
  Pallet: { table: 'Pallet', column: 'version', insert: `(code) VALUES ('raw')`, set: 'reserved = 1' },
  Payment: {
    table: 'Payment',
    column: 'version',
    insert: `("transactionId", amount) VALUES ('raw', 1)`,
    set: 'amount = 2',
  },
}

const sqlOf = (model: string) => versionTriggerSql(connect().client, model, { field: models[model].field })

beforeAll(async () => {
  // Twice: a migration that is run again must do no harm, least of all bump twice.
  for (const model of [...Object.keys(models), ...Object.keys(models)]) await database.query(sqlOf(model))
})

const versionOf = async (model: 'Product' | 'Category', id: number) =>
  (await database.query(`SELECT version FROM "${model}" WHERE id = $1`, [id]))[0].version

test('every versioned model of the schema is among those tested here', () => {
  const { client } = connect()
  const isVersioned = (model: string) => {
    try {
      return versionTriggerSql(client, model, { field: models[model]?.field }) !== ''
    } catch {
      return false
    }
  }
  expect(Object.keys(Prisma.ModelName).filter(isVersioned).sort()).toEqual(Object.keys(models).sort())
})

describe.each(Object.entries(models))('with the trigger on %s', (_model, { table, column, insert, set }) => {
  const versions = async () =>
    (await database.query(`SELECT "${column}"::int AS version FROM "${table}" AS t`)).map(({ version }) => version)

  test('an INSERT leaves the version, and each UPDATE in raw SQL adds 1 to it, or takes what is higher', async () => {
    await database.query(`INSERT INTO "${table}" ${insert}`)
    const inserted = await versions()
    await database.query(`UPDATE "${table}" SET ${set}`)
    const updated = await versions()
    await database.query(`UPDATE "${table}" SET ${set}, "${column}" = 0`)
    const setBack = await versions()
    await database.query(`UPDATE "${table}" SET ${set}, "${column}" = "${column}" + 1`)
    const bumped = await versions()
    await database.query(`UPDATE "${table}" SET ${set}, "${column}" = 40`)
    const raised = await versions()
    expect([inserted, updated, setBack, bumped, raised]).toEqual([[0], [1], [2], [3], [40]])
  })
})

describe('with the trigger, what no other part of this package sees bumps the version', () => {
  test('an UPDATE that changes nothing', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    await database.query(`UPDATE "Product" SET name = name WHERE id = $1`, [id])
    expect(await versionOf('Product', id)).toBe(1)
  })

  test('INSERT … ON CONFLICT DO UPDATE', async () => {
    const { db } = connect()
    const { id } = await db.category.create({ data: { name: 'Upserted' } })
    await database.query(
      `INSERT INTO "Category" (name, version) VALUES ('Upserted', 0) ON CONFLICT (name) DO UPDATE SET version = excluded.version`,
    )
    expect(await versionOf('Category', id)).toBe(1)
  })

  test('ON DELETE SET NULL', async () => {
    const { db } = connect()
    const category = await db.category.create({
      data: { name: 'Deleted', products: { create: { name: 'Chai' } } },
      include: { products: true },
    })
    await db.category.delete({ where: { id: category.id } })
    expect(await db.product.findUnique({ where: { id: category.products[0].id } })).toMatchObject({
      categoryId: null,
      version: 1,
    })
  })

  test('ON UPDATE CASCADE', async () => {
    const { db } = connect()
    const category = await db.category.create({
      data: { name: 'Renumbered', products: { create: { name: 'Chai' } } },
      include: { products: true },
    })
    await database.query(`UPDATE "Category" SET id = id + 100000 WHERE id = $1`, [category.id])
    expect(await versionOf('Product', category.products[0].id)).toBe(1)
  })

  test('connect, disconnect and set from the other side of a relation', async () => {
    const { db } = connect()
    const category = await db.category.create({ data: { name: 'Connected' } })
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const link = (products: Prisma.ProductUpdateManyWithoutCategoryNestedInput) =>
      db.category.update({ where: { id: category.id }, data: { products } })
    await link({ connect: { id } })
    const connected = await versionOf('Product', id)
    await link({ disconnect: { id } })
    const disconnected = await versionOf('Product', id)
    await link({ set: [{ id }] })
    expect([connected, disconnected, await versionOf('Product', id)]).toEqual([1, 2, 3])
  })

  test('a program that saves all columns with the old version it has read', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const [old] = await database.query(`SELECT * FROM "Product" WHERE id = $1`, [id])
    const holder = await db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 5 } })
    await database.query(
      `UPDATE "Product" SET name = $2, stock = $3, price = $4, "updatedAt" = $5, version = $6, "categoryId" = $7 WHERE id = $1`,
      [id, 'Saved', old.stock, old.price, old.updatedAt, old.version, old.categoryId],
    )
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id, version: holder.version }, data: { stock: 6 } }),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 1, actual: 2 })
  })

  test('a writer in the function form reads again after raw SQL, and loses nothing', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const record = await db.product.updateVersioned({
      where: { id },
      data: async ({ stock }, attempt) => {
        if (attempt === 1) await database.query(`UPDATE "Product" SET stock = stock + 100 WHERE id = $1`, [id])
        return { stock: stock + 1 }
      },
    })
    expect(record).toMatchObject({ stock: 101, version: 2 })
  })

  test('a write that opts out with version: { increment: 0 } is bumped all the same', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    await db.product.update({ where: { id }, data: { stock: 1, version: { increment: 0 } } })
    expect(await versionOf('Product', id)).toBe(1)
  })
})

describe('with the trigger, writes of this package bump once, not twice', () => {
  const make = async () => {
    const { db } = connect()
    const category = await db.category.create({
      data: { name: String(Math.random()), products: { create: { name: 'Chai' } } },
      include: { products: true },
    })
    return { db, category, id: category.products[0].id }
  }

  test('updateVersioned with a held version, and its result says so', async () => {
    const { db, id } = await make()
    const record = await db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })
    expect([record.version, await versionOf('Product', id)]).toEqual([1, 1])
  })

  test('updateVersioned with a function', async () => {
    const { db, id } = await make()
    await db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
    expect(await versionOf('Product', id)).toBe(1)
  })

  test('updateVersioned that locks the row: the lock is no write', async () => {
    const { db, id } = await make()
    const record = await db.product.updateVersioned({
      where: { id },
      data: async ({ stock }, attempt) => {
        if (attempt < 3) await database.query(`UPDATE "Product" SET stock = 0 WHERE id = $1`, [id])
        return { stock: stock + 1 }
      },
      retry: { baseDelay: 0 },
    })
    expect(record.version).toBe(3)
  })

  test('updateManyVersioned', async () => {
    const { db, id } = await make()
    const other = await make()
    const verdicts = await db.product.updateManyVersioned(
      [id, other.id].map((id) => ({ where: { id, version: 0 }, data: { stock: 1 } })),
    )
    expect(verdicts).toEqual([
      { status: 'updated', version: 1 },
      { status: 'updated', version: 1 },
    ])
    expect(await versionOf('Product', id)).toBe(1)
  })

  test('plain writes, nested ones among them', async () => {
    const { db, id, category } = await make()
    const where = { id }
    await db.product.update({ where, data: { stock: 1 } })
    await db.product.updateMany({ where, data: { stock: 2 } })
    await db.product.updateManyAndReturn({ where, data: { stock: 3 } })
    await db.product.upsert({ where, create: { name: 'Chang' }, update: { stock: 4 } })
    await db.category.update({
      where: { id: category.id },
      data: { name: `${category.name}!`, products: { update: { where, data: { stock: 5 } } } },
    })
    expect([await versionOf('Product', id), await versionOf('Category', category.id)]).toEqual([5, 1])
  })
})

describe('with the trigger, a version at the highest number of its type', () => {
  const full = async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 2_147_483_647 } })
    return { db, id }
  }

  test('is an error in raw SQL, and does not wrap', async () => {
    const { id } = await full()
    const error = await rejectionOf(database.query(`UPDATE "Product" SET stock = 1 WHERE id = $1`, [id]))
    expect(error).toMatchObject({ code: '22003' })
    expect(await database.query(`SELECT stock, version FROM "Product" WHERE id = $1`, [id])).toEqual([
      { stock: 0, version: 2_147_483_647 },
    ])
  })

  test('is an error in a plain update', async () => {
    const { db, id } = await full()
    await rejectionOf(db.product.update({ where: { id }, data: { stock: 1 } }))
    expect(await versionOf('Product', id)).toBe(2_147_483_647)
  })

  test('is a VersionOverflowError in a versioned one', async () => {
    const { db, id } = await full()
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id, version: 2_147_483_647 }, data: { stock: 1 } }),
    )
    expect(error).toBeInstanceOf(VersionOverflowError)
  })
})

describe('versionTriggerSql', () => {
  test('names table, schema and column as they are in the database', () => {
    const sql = sqlOf('Everything')
    expect(sql).toContain('BEFORE UPDATE ON "public"."every thing"')
    expect(sql).toContain('NEW."row version" := OLD."row version" + 1')
  })

  test('is the same of an extended client, of a transaction, and of a plain client', async () => {
    const { client, db } = connect()
    const plain = versionTriggerSql(client, 'Product')
    const inside = await db.$transaction(async (tx) => versionTriggerSql(tx, 'Product'))
    expect([versionTriggerSql(db, 'Product'), inside]).toEqual([plain, plain])
  })

  test.each([
    ['a model without a version column', 'Note', {}, "Note has no field 'version'"],
    ['a model whose field is no version column', 'Release', {}, 'of type String'],
    ['a model whose version column has another name', 'Document', {}, "Document has no field 'version'"],
    ['a field that there is not', 'Product', { field: 'revision' }, "Product has no field 'revision'"],
    ['a field of another type', 'Product', { field: 'name' }, 'of type String'],
    ['a model that there is not', 'product', {}, 'product is not a model'],
    ['a model that there is not, with a field', 'product', { field: 'version' }, 'Do you mean Product?'],
  ])('refuses %s', (_what, model, options, message) => {
    const { client } = connect()
    const write = () => versionTriggerSql(client, model, options)
    expect(write).toThrow(ConfigurationError)
    expect(write).toThrow(message)
  })
})
