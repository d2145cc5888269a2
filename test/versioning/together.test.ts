import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import type { PrismaClientLike } from '../../src/prisma/client.js'
import { readDataModel } from '../../src/prisma/data-model.js'
import { returning, toRecord } from '../../src/sql/raw-record.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()
type Db = ReturnType<typeof connect>['db']

const TOGETHER = /^WITH free/
const together = (statements: readonly string[]) => statements.filter((sql) => TOGETHER.test(sql))
const alone = (statements: readonly string[]) => statements.filter((sql) => sql.startsWith('UPDATE'))

async function newProducts(count: number): Promise<number[]> {
  const rows = await database.query(
    `INSERT INTO "Product" (name, "updatedAt") SELECT 'p', 'epoch' FROM generate_series(1, $1) RETURNING id`,
    [count],
  )
  return rows.map(({ id }) => id as number)
}

const stocksOf = async (ids: readonly number[]) =>
  (await database.query('SELECT stock, version FROM "Product" WHERE id = ANY($1) ORDER BY id', [ids])).map(
    ({ stock, version }) => [stock, version],
  )

const raiseAll = (db: Db, ids: readonly number[]) =>
  ids.map((id, i) => started(db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: i + 1 } })))

describe('versioned writes of one tick', () => {
  test('of different rows are one statement, and each caller gets its own record', async () => {
    const { db, statements } = connect()
    const ids = await newProducts(20)
    const records = await Promise.all(raiseAll(db, ids))
    expect([together(statements).length, alone(statements).length]).toEqual([1, 0])
    expect(records).toEqual(await db.product.findMany({ where: { id: { in: ids } }, orderBy: { id: 'asc' } }))
    expect(records.map(({ stock, version }) => [stock, version])).toEqual(ids.map((_, i) => [i + 1, 1]))
  })

  test('by functions are one read and one write', async () => {
    const { db, statements } = connect()
    const ids = await newProducts(20)
    await Promise.all(raiseAll(db, await newProducts(2))) // asks the catalogue
    statements.length = 0
    await Promise.all(
      ids.map((id) => db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })),
    )
    expect(statements.map((sql) => sql.split(' ')[0])).toEqual(['SELECT', 'WITH'])
    expect(await stocksOf(ids)).toEqual(ids.map(() => [1, 1]))
  })

  test('of one caller alone are a plain UPDATE', async () => {
    const { db, statements } = connect()
    const ids = await newProducts(1)
    await Promise.all(raiseAll(db, ids))
    expect(statements.map((sql) => sql.split(' ')[0])).toEqual(['UPDATE'])
  })

  test('set the time of the write in `@updatedAt`', async () => {
    const { db } = connect()
    const [{ updatedAt }] = await Promise.all(raiseAll(db, await newProducts(2)))
    expect(Math.abs(updatedAt.getTime() - Date.now())).toBeLessThan(3_600_000)
  })

  test('write what Prisma would write in texts, decimals, times, big numbers and nulls', async () => {
    const { db, statements } = connect()
    const ids = await newProducts(3)
    const data = { name: `it's "ü" \\ 1`, price: '12345.675', stock: { decrement: 3 }, updatedAt: new Date(1e12) }
    const [one, two] = await Promise.all(
      ids.slice(0, 2).map((id) => db.product.updateVersioned({ where: { id, version: 0 }, data })),
    )
    const alone = await db.product.updateVersioned({ where: { id: ids[2], version: 0 }, data })
    expect(together(statements)).toHaveLength(1)
    expect([one, two]).toEqual([
      { ...alone, id: ids[0] },
      { ...alone, id: ids[1] },
    ])
  })

  test('by one version of one row have one winner', async () => {
    const { db } = connect()
    const [id] = await newProducts(1)
    const outcomes = await Promise.allSettled(raiseAll(db, [id, id, id]))
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { expected: 0, actual: 1 } })
    expect((await stocksOf([id]))[0][1]).toBe(1)
  })

  test('one of which is stale, and one missing: the others are written', async () => {
    const { db } = connect()
    const ids = await newProducts(4)
    await database.query('UPDATE "Product" SET version = 7 WHERE id = $1', [ids[1]])
    await database.query('DELETE FROM "Product" WHERE id = $1', [ids[2]])
    const outcomes = await Promise.allSettled(raiseAll(db, ids))
    expect(outcomes).toMatchObject([
      { value: { version: 1 } },
      { reason: { code: 'VERSION_CONFLICT', expected: 0, actual: 7 } },
      { reason: { code: 'P2025' } },
      { value: { version: 1 } },
    ])
  })

  test('one of which has bad data: it fails alone, with Prisma’s own error', async () => {
    const { db } = connect()
    const ids = await newProducts(3)
    await database.query('UPDATE "Product" SET stock = 2147483647 WHERE id = $1', [ids[1]])
    const outcomes = await Promise.allSettled(
      ids.map((id) => db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: { increment: 1 } } })),
    )
    expect(outcomes).toMatchObject([{ value: { stock: 1 } }, { reason: { code: 'P2020' } }, { value: { stock: 1 } }])
  })

  test('do not wait for a row that somebody has locked', async () => {
    const { db } = connect()
    const ids = await newProducts(3)
    const holder = await openTransaction(database.url, 'UPDATE "Product" SET price = 1 WHERE id = $1', [ids[1]])
    const calls = raiseAll(db, ids)
    expect(await Promise.all([calls[0], calls[2]])).toMatchObject([{ version: 1 }, { version: 1 }])
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    expect(await calls[1]).toMatchObject({ stock: 2, version: 1, price: expect.objectContaining({ d: [1] }) })
  })

  test('do not share a statement where a unique or a foreign key would make them wait for strangers', async () => {
    const { db, statements } = connect()
    const names = ['a', 'b'].map((name) => `${name} ${Math.random()}`)
    const categories = await Promise.all(names.map((name) => db.category.create({ data: { name } })))
    const products = await newProducts(2)
    statements.length = 0
    await Promise.all([
      ...categories.map(({ id, name }) =>
        db.category.updateVersioned({ where: { id, version: 0 }, data: { name: `${name}!` } }),
      ),
      ...products.map((id) =>
        db.product.updateVersioned({ where: { id, version: 0 }, data: { categoryId: categories[0].id } as never }),
      ),
    ])
    expect([together(statements).length, alone(statements).length]).toEqual([0, 4])
  })

  test('are seen one by one by an extension that takes part in updates', async () => {
    const { client } = database.connect()
    const seen: unknown[] = []
    const watched = client.$extends({
      query: {
        product: {
          update({ args, query }) {
            seen.push(args.where.id)
            return query(args)
          },
        },
      },
    })
    const ids = await newProducts(3)
    await Promise.all(raiseAll(watched.$extends(concurrency()) as unknown as Db, ids))
    expect(seen).toEqual(ids)
  })

  test('keep a key of another type for Prisma to refuse', async () => {
    const { db } = connect()
    const [id, other] = await newProducts(2)
    const outcomes = await Promise.allSettled(
      [String(id), other].map((key) =>
        db.product.updateVersioned({ where: { id: key as number, version: 0 }, data: { stock: 1 } }),
      ),
    )
    expect(outcomes).toMatchObject([{ reason: { name: 'PrismaClientValidationError' } }, { value: { version: 1 } }])
  })

  test('meet those of other clients without a deadlock, and nothing is lost', async () => {
    const ids = await newProducts(12)
    const clients = [connect(), connect(), connect()]
    const upAndDown = [ids, [...ids].reverse(), ids]
    for (let round = 0; round < 5; round++) {
      await Promise.all(
        clients.flatMap(({ db }, c) =>
          upAndDown[c].map((id) =>
            db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) }),
          ),
        ),
      )
    }
    expect(await stocksOf(ids)).toEqual(ids.map(() => [15, 15]))
  })
})

describe('a batch whose answer is lost', () => {
  test('before the server has seen it is written all the same, once', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url, { retry: { baseDelay: 1 } })
    const ids = await newProducts(3)
    proxy.next(TOGETHER, 'cut')
    await Promise.all(raiseAll(db as Db, ids))
    expect(await stocksOf(ids)).toEqual([1, 2, 3].map((stock) => [stock, 1]))
  })

  test('when it was done is an unknown outcome for each, and nothing is done twice', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url, { retry: { baseDelay: 1 } })
    const ids = await newProducts(3)
    proxy.next(TOGETHER, 'drop')
    const outcomes = await Promise.allSettled(raiseAll(db as Db, ids))
    expect(outcomes).toMatchObject(Array(3).fill({ reason: { code: 'OUTCOME_UNKNOWN' } }))
    expect(await stocksOf(ids)).toEqual([1, 2, 3].map((stock) => [stock, 1]))
  })
})

test('writes that come while a statement is under way do not hang with it', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const [a, b, c, d] = await newProducts(4)
  const held = proxy.next(TOGETHER, 'hold')
  const first = raiseAll(db as Db, [a, b])
  await held.happened
  expect(await Promise.all(raiseAll(db as Db, [c, d]))).toMatchObject([{ version: 1 }, { version: 1 }])
  held.release()
  expect(await Promise.all(first)).toMatchObject([{ version: 1 }, { version: 1 }])
})

test('raw SQL gives every kind of column as Prisma does', async () => {
  const { db, client } = connect()
  const { id } = await db.everything.create({
    data: {
      code: 'alike',
      text: null,
      flag: true,
      big: 9_007_199_254_740_993n,
      float: 0.1,
      decimal: '12345678901234.123456',
      json: { a: [1, null, 'x'] },
      bytes: new Uint8Array([0, 255, 92]),
      at: new Date('2026-11-24T18:27:19.123Z'),
      day: new Date('2026-11-24'),
      kind: 'SPECIAL',
    },
  })
  const model = readDataModel(client as unknown as PrismaClientLike).get('Everything')
  const fields = [...(model?.fields.values() ?? [])].filter(({ isList }) => !isList)
  const select = Object.fromEntries(fields.map(({ name }) => [name, true]))
  const [row] = await client.$queryRawUnsafe<Record<string, unknown>[]>(
    `SELECT ${returning(fields, 't')} FROM "every thing" AS t WHERE id = $1`,
    id,
  )
  expect(toRecord(row, fields)).toEqual(await client.everything.findUnique({ where: { id }, select }))
})

test('a Float that the database keeps as a numeric is a number, as in a model call', async () => {
  const { client } = connect()
  const fields = readDataModel(client as unknown as PrismaClientLike).get('Everything')?.fields
  const float = [...(fields?.values() ?? [])].filter(({ name }) => name === 'float')
  const undone = client.$transaction(async (tx) => {
    await tx.$executeRaw`ALTER TABLE "every thing" ALTER float TYPE numeric`
    const { id, ...record } = await tx.everything.create({
      data: { code: 'numeric', float: 1.5 },
      select: { id: true, float: true },
    })
    const sql = `SELECT ${returning(float, 't')} FROM "every thing" AS t WHERE id = $1`
    const [row] = await tx.$queryRawUnsafe<Record<string, unknown>[]>(sql, id)
    expect(toRecord(row, float)).toEqual(record)
    throw new Error('undone')
  })
  await expect(undone).rejects.toThrow('undone')
})

test('a row that is not there is missing, whoever else is in the statement', async () => {
  const { db } = connect()
  const [id] = await newProducts(1)
  const missing = rejectionOf(db.product.updateVersioned({ where: { id: -1, version: 0 }, data: { stock: 1 } }))
  const [written] = raiseAll(db, [id])
  expect(await missing).toMatchObject({ code: 'P2025' })
  expect(await written).toMatchObject({ version: 1 })
})
