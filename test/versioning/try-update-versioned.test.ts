import { describe, expect, test } from 'vitest'
import { concurrency, WriteSuppressedError } from '../../src/index.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

describe('with an object', () => {
  test('a fresh write is `updated`, with the record, in one statement', async () => {
    const { db, statements } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    statements.length = 0
    const result = await db.order.tryUpdateVersioned({ where: { id, version: 0 }, data: { customer: 'ANATR' } })
    expect(result).toEqual({ status: 'updated', record: { id, customer: 'ANATR', version: 1 } })
    expect(statements).toHaveLength(1)
  })

  test('a stale write is `stale`, with both versions and the record as it is now', async () => {
    const { db } = connect()
    const current = await db.order.create({ data: { customer: 'ALFKI', version: 3 } })
    const result = await db.order.tryUpdateVersioned({
      where: { id: current.id, version: 2 },
      data: { customer: 'ANATR' },
    })
    expect(result).toEqual({ status: 'stale', expected: 2, actual: 3, current })
  })

  test('the current record of a stale write follows `select`, without the version', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI', version: 3 } })
    const result = await db.order.tryUpdateVersioned({
      where: { id, version: 2 },
      data: { customer: 'ANATR' },
      select: { customer: true },
    })
    expect(result).toEqual({ status: 'stale', expected: 2, actual: 3, current: { customer: 'ALFKI' } })
  })

  test('the current record of a stale write follows `include`', async () => {
    const { db } = connect()
    const { id } = await db.product.create({
      data: { name: 'Chai', version: 3, category: { create: { name: 'Beverages' } } },
    })
    const result = await db.product.tryUpdateVersioned({
      where: { id, version: 2 },
      data: { stock: 1 },
      include: { category: true },
    })
    expect(result).toMatchObject({ status: 'stale', current: { version: 3, category: { name: 'Beverages' } } })
  })

  test('the current record of a stale write follows `omit`', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI', version: 3 } })
    const result = await db.order.tryUpdateVersioned({
      where: { id, version: 2 },
      data: { customer: 'ANATR' },
      omit: { version: true },
    })
    expect(result).toEqual({ status: 'stale', expected: 2, actual: 3, current: { id, customer: 'ALFKI' } })
  })

  test('the current record of a stale write follows what the client omits', async () => {
    const db = database.connect({ omit: { order: { version: true } } }).client.$extends(concurrency())
    const { id } = await db.order.create({ data: { customer: 'ALFKI', version: 3 } })
    const result = await db.order.tryUpdateVersioned({ where: { id, version: 2 }, data: { customer: 'ANATR' } })
    expect(result).toEqual({ status: 'stale', expected: 2, actual: 3, current: { id, customer: 'ALFKI' } })
  })

  test('`actual` and `current` are those of a writer who was in flight', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const other = await openTransaction(
      database.url,
      `UPDATE "Order" SET customer = 'OTHER', version = 41 WHERE id = $1`,
      [id],
    )
    const result = db.order
      .tryUpdateVersioned({ where: { id, version: 0 }, data: { customer: 'ANATR' } })
      .then((outcome) => outcome)
    await untilBlocked(database.url)
    await other.query('COMMIT')
    expect(await result).toEqual({
      status: 'stale',
      expected: 0,
      actual: 41,
      current: { id, customer: 'OTHER', version: 41 },
    })
  })

  test('a BigInt version is reported as a bigint', async () => {
    const { db } = connect()
    const key = { productId: 1, warehouse: 'Graz' }
    await db.stock.create({ data: { ...key, onHand: 1, version: 9_007_199_254_740_993n } })
    const result = await db.stock.tryUpdateVersioned({
      where: { productId_warehouse: key, version: 9_007_199_254_740_992n },
      data: { onHand: 0 },
    })
    expect(result).toMatchObject({ expected: 9_007_199_254_740_992n, actual: 9_007_199_254_740_993n })
  })

  test('a row that is not there is `missing`, and that is all', async () => {
    const { db } = connect()
    const result = await db.order.tryUpdateVersioned({ where: { id: -1, version: 0 }, data: { customer: 'ANATR' } })
    expect(result).toEqual({ status: 'missing' })
  })

  test('a nested connect of a record that is not there still throws', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const error = await rejectionOf(
      db.product.tryUpdateVersioned({ where: { id, version: 0 }, data: { category: { connect: { id: -1 } } } }),
    )
    expect(error).toMatchObject({ code: 'P2025' })
  })

  test('a nested connect of a record that is not there in a row that is not there is `missing`', async () => {
    const { db } = connect()
    const result = await db.product.tryUpdateVersioned({
      where: { id: -1, version: 0 },
      data: { category: { connect: { id: -1 } } },
    })
    expect(result).toEqual({ status: 'missing' })
  })

  test('a suppressed write still throws', async () => {
    const { db } = connect()
    const { id } = await db.category.create({ data: { name: 'Suppressed' } })
    await database.query(`CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE UPDATE ON "Category" FOR EACH ROW WHEN (OLD.name = 'Suppressed') EXECUTE FUNCTION suppress()`)
    const error = await rejectionOf(
      db.category.tryUpdateVersioned({ where: { id, version: 0 }, data: { name: 'New' } }),
    )
    expect(error).toBeInstanceOf(WriteSuppressedError)
  })
})

describe('with a function', () => {
  test('a write that wins in the end is `updated`', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'A' } })
    const result = await db.order.tryUpdateVersioned({
      where: { id },
      data: async ({ customer }, attempt) => {
        if (attempt === 1) await database.query(`UPDATE "Order" SET customer = 'B', version = 1 WHERE id = $1`, [id])
        return { customer: `${customer}!` }
      },
    })
    expect(result).toEqual({ status: 'updated', record: { id, customer: 'B!', version: 2 } })
  })

  test('a function that returns undefined is `unchanged`, with the record as selected', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const result = await db.order.tryUpdateVersioned({
      where: { id },
      data: () => undefined,
      select: { customer: true },
    })
    expect(result).toEqual({ status: 'unchanged', record: { customer: 'ALFKI' } })
  })

  test('a given version that does not match is `stale`, and the function does not run', async () => {
    const { db } = connect()
    const current = await db.order.create({ data: { customer: 'ALFKI', version: 3 } })
    let runs = 0
    const result = await db.order.tryUpdateVersioned({
      where: { id: current.id, version: 2 },
      data: () => ({ customer: String(++runs) }),
    })
    expect(result).toEqual({ status: 'stale', expected: 2, actual: 3, current })
    expect(runs).toBe(0)
  })

  test('attempts that run out are `stale`, with what was found last', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'A' } })
    const result = await db.order.tryUpdateVersioned({
      where: { id },
      data: async ({ version }) => {
        await database.query(`UPDATE "Order" SET customer = $2, version = version + 1 WHERE id = $1`, [
          id,
          `B${version}`,
        ])
        return { customer: 'mine' }
      },
      retry: { attempts: 2 },
    })
    expect(result).toEqual({ status: 'stale', expected: 1, actual: 2, current: { id, customer: 'B1', version: 2 } })
  })

  test('a row that is not there is `missing`', async () => {
    const { db } = connect()
    const result = await db.order.tryUpdateVersioned({ where: { id: -1 }, data: () => ({ customer: 'ANATR' }) })
    expect(result).toEqual({ status: 'missing' })
  })

  test('a row that is deleted between read and write is `missing`', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const result = await db.order.tryUpdateVersioned({
      where: { id },
      data: async () => {
        await database.query('DELETE FROM "Order" WHERE id = $1', [id])
        return { customer: 'ANATR' }
      },
    })
    expect(result).toEqual({ status: 'missing' })
  })

  test('a row that is deleted between two attempts is `missing`, though the first attempt was stale', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const result = await db.order.tryUpdateVersioned({
      where: { id },
      data: async (_, attempt) => {
        if (attempt === 1) await database.query('UPDATE "Order" SET version = version + 1 WHERE id = $1', [id])
        else await database.query('DELETE FROM "Order" WHERE id = $1', [id])
        return { customer: 'ANATR' }
      },
    })
    expect(result).toEqual({ status: 'missing' })
  })

  test('a P2025 that the function itself throws is not taken for a missing row', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const p2025 = await rejectionOf(database.connect().client.note.findUniqueOrThrow({ where: { id: -1 } }))
    const thrown = await rejectionOf(db.order.tryUpdateVersioned({ where: { id }, data: () => Promise.reject(p2025) }))
    expect(thrown).toBe(p2025)
  })

  test('a conflict that the function itself throws is not taken for one of this call', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const foreign = await rejectionOf(
      db.order.updateVersioned({ where: { id, version: 9 }, data: { customer: 'ANATR' } }),
    )
    let runs = 0
    const thrown = await rejectionOf(
      db.order.tryUpdateVersioned({
        where: { id },
        data: () => {
          runs++
          throw foreign
        },
      }),
    )
    expect(thrown).toBe(foreign)
    expect(runs).toBe(1)
  })

  test('a nested connect of a record that is not there still throws', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const error = await rejectionOf(
      db.product.tryUpdateVersioned({ where: { id }, data: () => ({ category: { connect: { id: -1 } } }) }),
    )
    expect(error).toMatchObject({ code: 'P2025' })
  })
})
