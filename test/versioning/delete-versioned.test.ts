import { describe, expect, test } from 'vitest'
import { concurrency, VersionConflictError, WriteSuppressedError } from '../../src/index.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'
import { warm } from '../support/warm.js'

const { database, connect } = useExtended()

test('a guarded delete is one DELETE, and returns the record that it deleted', async () => {
  const { db, statements } = connect()
  const record = await db.product.create({ data: { name: 'Chai', version: 7 } })
  statements.length = 0
  const deleted = await db.product.deleteVersioned({ where: { id: record.id, version: 7 } })
  expect(statements).toEqual([expect.stringMatching(/^DELETE FROM "public"."Product" WHERE .*"version" = \$\d+/)])
  expect(deleted).toEqual(record)
  expect(await db.product.count({ where: { id: record.id } })).toBe(0)
})

test('a stale delete is a VersionConflictError, and the row stays', async () => {
  const { db } = connect()
  const { id } = await db.product.create({ data: { name: 'Chai', version: 8 } })
  const error = await rejectionOf(db.product.deleteVersioned({ where: { id, version: 7 } }))
  expect(error).toBeInstanceOf(VersionConflictError)
  expect(error).toMatchObject({ model: 'Product', where: { id }, expected: 7, actual: 8, attempts: 1 })
  expect(await db.product.count({ where: { id } })).toBe(1)
})

test('version 0 is compared like any other', async () => {
  const { db } = connect()
  const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
  const error = await rejectionOf(db.product.deleteVersioned({ where: { id, version: 0 } }))
  expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1 })
})

test("a row that is not there is Prisma's own P2025", async () => {
  const { db } = connect()
  const error = await rejectionOf(db.product.deleteVersioned({ where: { id: -1, version: 0 } }))
  expect(error).toMatchObject({ code: 'P2025', name: 'PrismaClientKnownRequestError' })
})

test('of two guarded deletes one wins, and the other finds the row missing', async () => {
  const { db, pool } = connect()
  await warm(pool, 4)
  const { id } = await db.product.create({ data: { name: 'Chai' } })
  const starter = await openTransaction(database.url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
  const deletes = Promise.allSettled([1, 2].map(() => db.product.deleteVersioned({ where: { id, version: 0 } })))
  await untilBlocked(database.url, 2)
  await starter.query('COMMIT')
  const results = await deletes
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'P2025' } })
})

test('a delete that had to wait for a writer reports the version that the writer left', async () => {
  const { db } = connect()
  const { id } = await db.product.create({ data: { name: 'Chai' } })
  const other = await openTransaction(database.url, 'UPDATE "Product" SET version = 41 WHERE id = $1', [id])
  const refused = rejectionOf(db.product.deleteVersioned({ where: { id, version: 0 } }))
  await untilBlocked(database.url)
  await other.query('COMMIT')
  expect(await refused).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 41 })
})

test('a BigInt version under a compound key guards a delete too', async () => {
  const { db } = connect()
  const key = { productId: 1, warehouse: 'Graz' }
  await db.stock.create({ data: { ...key, onHand: 1, version: 9_007_199_254_740_993n } })
  const stale = await rejectionOf(
    db.stock.deleteVersioned({ where: { productId_warehouse: key, version: 9_007_199_254_740_992n } }),
  )
  expect(stale).toMatchObject({ actual: 9_007_199_254_740_993n })
  await db.stock.deleteVersioned({ where: { productId_warehouse: key, version: 9_007_199_254_740_993n } })
  expect(await db.stock.count({ where: key })).toBe(0)
})

test('a version in a field of another name guards a delete too', async () => {
  const db = database.connect().client.$extends(concurrency({ version: { field: 'revision' } }))
  const { id } = await db.document.create({ data: { title: 'Offer', revision: 2 } })
  expect(await rejectionOf(db.document.deleteVersioned({ where: { id, revision: 1 } }))).toMatchObject({ actual: 2 })
  expect(await db.document.deleteVersioned({ where: { id, revision: 2 } })).toMatchObject({ title: 'Offer' })
})

test('a delete that a trigger suppresses is an error of its own, and the row stays', async () => {
  const { db } = connect()
  const { id } = await db.category.create({ data: { name: 'Suppressed' } })
  await database.query(`CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE DELETE ON "Category" FOR EACH ROW WHEN (OLD.name = 'Suppressed') EXECUTE FUNCTION suppress()`)
  const error = await rejectionOf(db.category.deleteVersioned({ where: { id, version: 0 } }))
  expect(error).toBeInstanceOf(WriteSuppressedError)
  expect(await db.category.count({ where: { id } })).toBe(1)
})

test('a foreign key that forbids the delete is the error that Prisma has for it', async () => {
  const { db } = connect()
  const product = await db.product.create({ data: { name: 'Chai' } })
  await db.order.create({ data: { customer: 'ALFKI', lines: { create: { productId: product.id, quantity: 1 } } } })
  const error = await rejectionOf(db.product.deleteVersioned({ where: { id: product.id, version: 0 } }))
  expect(error).toMatchObject({ code: 'P2003' })
})

test('an aborted signal keeps a delete from being sent', async () => {
  const { db, statements } = connect()
  const { id } = await db.product.create({ data: { name: 'Chai' } })
  statements.length = 0
  const reason = new Error('changed my mind')
  const error = await rejectionOf(
    db.product.deleteVersioned({ where: { id, version: 0 }, signal: AbortSignal.abort(reason) }),
  )
  expect(error).toBe(reason)
  expect(statements).toEqual([])
})

describe('what comes back', () => {
  test('follows `select`, in one statement', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    statements.length = 0
    expect(await db.product.deleteVersioned({ where: { id, version: 0 }, select: { name: true } })).toEqual({
      name: 'Chai',
    })
    expect(statements).toHaveLength(1)
  })

  test('follows `omit`', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    expect(await db.order.deleteVersioned({ where: { id, version: 0 }, omit: { version: true } })).toEqual({
      id,
      customer: 'ALFKI',
    })
  })

  test('follows `include`, of children that are deleted with their parent too', async () => {
    const { db } = connect()
    const product = await db.product.create({ data: { name: 'Chai' } })
    const { id } = await db.order.create({
      data: { customer: 'ALFKI', lines: { create: { productId: product.id, quantity: 2 } } },
    })
    const deleted = await db.order.deleteVersioned({ where: { id, version: 0 }, include: { lines: true } })
    expect(deleted).toMatchObject({ customer: 'ALFKI', lines: [{ quantity: 2 }] })
    expect(await db.orderLine.count({ where: { orderId: id } })).toBe(0)
  })
})

describe('with relations, for which Prisma reads before it deletes', () => {
  test('a stale delete is refused, and the row stays', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const error = await rejectionOf(
      db.product.deleteVersioned({ where: { id, version: 0 }, include: { category: true } }),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1 })
    expect(await db.product.count({ where: { id } })).toBe(1)
  })

  test('a row that is not there is P2025', async () => {
    const { db } = connect()
    const error = await rejectionOf(
      db.product.deleteVersioned({ where: { id: -1, version: 0 }, include: { category: true } }),
    )
    expect(error).toMatchObject({ code: 'P2025' })
  })

  test('a writer in flight is waited for before the row is read, so that no fresh version is deleted', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const other = await openTransaction(database.url, 'UPDATE "Product" SET version = 41 WHERE id = $1', [id])
    const refused = rejectionOf(db.product.deleteVersioned({ where: { id, version: 0 }, include: { category: true } }))
    await untilBlocked(database.url)
    await other.query('COMMIT')
    expect(await refused).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 41 })
    expect(await db.product.count({ where: { id } })).toBe(1)
  })

  test('of two guarded deletes one wins, and the other finds the row missing', async () => {
    const { db, pool } = connect()
    await warm(pool, 4)
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const starter = await openTransaction(database.url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
    const deletes = Promise.allSettled(
      [1, 2].map(() => db.product.deleteVersioned({ where: { id, version: 0 }, include: { category: true } })),
    )
    await untilBlocked(database.url, 2)
    await starter.query('COMMIT')
    const results = await deletes
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'P2025' } })
  })

  test('a child that is being added is waited for, so that what comes back is all that was deleted', async () => {
    const { db } = connect()
    const product = await db.product.create({ data: { name: 'Chai' } })
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const other = await openTransaction(
      database.url,
      'INSERT INTO "OrderLine" (quantity, "orderId", "productId") VALUES (7, $1, $2)',
      [id, product.id],
    )
    const deleted = db.order
      .deleteVersioned({ where: { id, version: 0 }, include: { lines: true } })
      .then((record) => record)
    await untilBlocked(database.url)
    await other.query('COMMIT')
    expect(await deleted).toMatchObject({ lines: [{ quantity: 7 }] })
    expect(await db.orderLine.count({ where: { orderId: id } })).toBe(0)
  })

  test("the caller's transaction does the same", async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const other = await openTransaction(database.url, 'UPDATE "Product" SET version = 41 WHERE id = $1', [id])
    const refused = rejectionOf(
      db.$transaction((tx) => tx.product.deleteVersioned({ where: { id, version: 0 }, select: { category: true } })),
    )
    await untilBlocked(database.url)
    await other.query('COMMIT')
    expect(await refused).toMatchObject({ code: 'VERSION_CONFLICT', actual: 41 })
  })

  test('a suppressed delete is an error of its own', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'Suppressed' } })
    await database.query(`CREATE FUNCTION suppress_order() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE DELETE ON "Order" FOR EACH ROW WHEN (OLD.customer = 'Suppressed') EXECUTE FUNCTION suppress_order()`)
    const error = await rejectionOf(db.order.deleteVersioned({ where: { id, version: 0 }, include: { lines: true } }))
    expect(error).toBeInstanceOf(WriteSuppressedError)
    expect(await db.order.count({ where: { id } })).toBe(1)
  })
})
