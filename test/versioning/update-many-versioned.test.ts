import { describe, expect, onTestFinished, test } from 'vitest'
import { Prisma } from '../../generated/prisma/client.js'
import {
  BatchVersionConflictError,
  concurrency,
  OutcomeUnknownError,
  VersionOverflowError,
  WriteSuppressedError,
} from '../../src/index.js'
import type { BatchOutcome, BatchWork } from '../support/batch-worker.js'
import { createClient } from '../support/clients.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { runInProcess } from '../support/process.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'
import { warm } from '../support/warm.js'

const { database, connect } = useExtended()

/** Products with the stocks 0, 1, 2, …, all at version 0. */
async function makeProducts(count: number): Promise<number[]> {
  const rows = await database.query(
    `INSERT INTO "Product" (name, stock, "updatedAt") SELECT 'Product ' || n, n, now() FROM generate_series(0, $1 - 1) AS n
RETURNING id`,
    [count],
  )
  return rows.map(({ id }) => id as number)
}

const productsOf = async (ids: readonly number[]) =>
  database.query(`SELECT name, stock, version FROM "Product" WHERE id = ANY($1) ORDER BY id`, [ids])

/** A client whose every session runs at this isolation level unless it says otherwise. */
function connectAt(level: 'serializable' | 'repeatable read') {
  const url = new URL(database.url)
  url.searchParams.set('options', `-c default_transaction_isolation=${level.replace(' ', '\\ ')}`)
  const { client } = createClient(url.href)
  onTestFinished(() => client.$disconnect())
  return client.$extends(concurrency())
}

describe('a batch of fresh rows', () => {
  test('writes every row its own data and tells each row its new version, in the order given', async () => {
    const { db } = connect()
    const [a, b, c] = await makeProducts(3)
    await database.query(`UPDATE "Product" SET version = 8 WHERE id = $1`, [b])
    const verdicts = await db.product.updateManyVersioned([
      { where: { id: c, version: 0 }, data: { name: 'C' } },
      { where: { id: b, version: 8 }, data: { stock: 20 } },
      { where: { id: a, version: 0 }, data: { name: 'A', stock: { increment: 5 } } },
    ])
    expect(verdicts).toEqual([
      { status: 'updated', version: 1 },
      { status: 'updated', version: 9 },
      { status: 'updated', version: 1 },
    ])
    expect(await productsOf([a, b, c])).toEqual([
      { name: 'A', stock: 5, version: 1 },
      { name: 'Product 1', stock: 20, version: 9 },
      { name: 'C', stock: 2, version: 1 },
    ])
  })

  test('is one statement, but for the primary key, which is asked once per model', async () => {
    const { db, statements } = connect({ countsLooks: true })
    const [id] = await makeProducts(1)
    const count = async (version: number) => {
      statements.length = 0
      await db.product.updateManyVersioned([{ where: { id, version }, data: { stock: 1 } }])
      return statements.length
    }
    expect([await count(0), await count(1), await count(2)]).toEqual([2, 1, 1])
  })

  test('writes a thousand rows', async () => {
    const { db } = connect()
    const ids = await makeProducts(1_000)
    const items = ids.map((id) => ({ where: { id, version: 0 }, data: { stock: { increment: 7 } } })).reverse()
    const verdicts = await db.product.updateManyVersioned(items)
    expect(verdicts).toEqual(ids.map(() => ({ status: 'updated', version: 1 })))
    expect(await productsOf(ids)).toEqual(ids.map((_, n) => ({ name: `Product ${n}`, stock: n + 7, version: 1 })))
  })

  test('without rows sends nothing', async () => {
    const { db, statements } = connect()
    expect(await db.product.updateManyVersioned([])).toEqual([])
    expect(statements).toEqual([])
  })

  test('bumps a row whose data is empty', async () => {
    const { db } = connect()
    const [a, b] = await makeProducts(2)
    await db.product.updateManyVersioned([
      { where: { id: a, version: 0 }, data: {} },
      { where: { id: b, version: 0 }, data: { stock: undefined } },
    ])
    expect(await productsOf([a, b])).toMatchObject([
      { stock: 0, version: 1 },
      { stock: 1, version: 1 },
    ])
  })

  test('sets @updatedAt, unless the data does', async () => {
    const { db } = connect()
    const [a, b] = await makeProducts(2)
    await database.query(`UPDATE "Product" SET "updatedAt" = '2000-01-01' WHERE id = ANY($1)`, [[a, b]])
    const before = new Date()
    const chosen = new Date('2011-11-11T11:11:11.111Z')
    await db.product.updateManyVersioned([
      { where: { id: a, version: 0 }, data: { stock: 1 } },
      { where: { id: b, version: 0 }, data: { updatedAt: chosen } },
    ])
    const [first, second] = await db.product.findMany({ where: { id: { in: [a, b] } }, orderBy: { id: 'asc' } })
    expect(first.updatedAt.getTime()).toBeGreaterThanOrEqual(before.getTime())
    expect(second.updatedAt).toEqual(chosen)
  })

  test('is not sent before it is awaited', async () => {
    const { db, statements } = connect()
    const [id] = await makeProducts(1)
    const call = db.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 1 } }])
    await db.product.count()
    const sent = statements.filter((sql) => sql.includes('WITH item'))
    await call
    expect(sent).toEqual([])
  })
})

describe('a batch with rows that are not fresh', () => {
  test('in mode all names every stale and missing row, and writes none', async () => {
    const { db } = connect()
    const ids = await makeProducts(10)
    await database.query(`UPDATE "Product" SET version = 5 WHERE id = $1`, [ids[3]])
    await database.query(`UPDATE "Product" SET version = 2 WHERE id = $1`, [ids[7]])
    const before = await productsOf(ids)
    const items = ids.map((id) => ({ where: { id, version: 0 }, data: { stock: 99 } }))
    const error = await rejectionOf(
      db.product.updateManyVersioned([...items, { where: { id: 999_999, version: 4 }, data: { stock: 99 } }]),
    )
    expect(error).toBeInstanceOf(BatchVersionConflictError)
    expect(error).toMatchObject({
      model: 'Product',
      attempts: 1,
      conflicts: [
        { index: 3, where: { id: ids[3] }, expected: 0, actual: 5 },
        { index: 7, where: { id: ids[7] }, expected: 0, actual: 2 },
        { index: 10, where: { id: 999_999 }, expected: 4, actual: undefined },
      ],
    })
    expect(await productsOf(ids)).toEqual(before)
  })

  test('in mode each writes the others, with a verdict per row', async () => {
    const { db } = connect()
    const [a, b] = await makeProducts(2)
    await database.query(`UPDATE "Product" SET version = 5 WHERE id = $1`, [a])
    const verdicts = await db.product.updateManyVersioned(
      [
        { where: { id: a, version: 0 }, data: { stock: 99 } },
        { where: { id: 999_999, version: 0 }, data: { stock: 99 } },
        { where: { id: b, version: 0 }, data: { stock: 99 } },
      ],
      { mode: 'each' },
    )
    expect(verdicts).toEqual([
      { status: 'stale', expected: 0, actual: 5 },
      { status: 'missing' },
      { status: 'updated', version: 1 },
    ])
    expect(await productsOf([a, b])).toMatchObject([
      { stock: 0, version: 5 },
      { stock: 99, version: 1 },
    ])
  })

  test('the same batch again is refused: its versions are used up', async () => {
    const { db } = connect()
    const ids = await makeProducts(2)
    const items = ids.map((id) => ({ where: { id, version: 0 }, data: { stock: { increment: 1 } } }))
    await db.product.updateManyVersioned(items)
    expect(await rejectionOf(db.product.updateManyVersioned(items))).toMatchObject({
      conflicts: [{ actual: 1 }, { actual: 1 }],
    })
  })

  test('a filter beside the key is looked at too', async () => {
    const { db } = connect()
    const [id] = await makeProducts(1)
    const verdicts = await db.product.updateManyVersioned(
      [{ where: { id, name: 'Another', version: 0 }, data: { stock: 99 } }],
      { mode: 'each' },
    )
    expect(verdicts).toEqual([{ status: 'missing' }])
  })
})

describe('keys', () => {
  test('rows are found by a compound key, and a BigInt version stays a bigint', async () => {
    const { db } = connect()
    await db.stock.createMany({
      data: [
        { productId: 1, warehouse: 'north', onHand: 10 },
        { productId: 1, warehouse: 'south', onHand: 20, version: 9_007_199_254_740_993n },
        { productId: 2, warehouse: 'north', onHand: 30, version: 7n },
      ],
    })
    const verdicts = await db.stock.updateManyVersioned(
      [
        {
          where: { productId_warehouse: { productId: 1, warehouse: 'south' }, version: 9_007_199_254_740_993n },
          data: { onHand: { decrement: 3 } },
        },
        { where: { productId_warehouse: { productId: 1, warehouse: 'north' }, version: 0n }, data: { onHand: 4 } },
        { where: { productId_warehouse: { productId: 2, warehouse: 'north' }, version: 6n }, data: { onHand: 4 } },
        { where: { productId_warehouse: { productId: 2, warehouse: 'south' }, version: 0n }, data: { onHand: 4 } },
      ],
      { mode: 'each' },
    )
    expect(verdicts).toEqual([
      { status: 'updated', version: 9_007_199_254_740_994n },
      { status: 'updated', version: 1n },
      { status: 'stale', expected: 6n, actual: 7n },
      { status: 'missing' },
    ])
    expect(await database.query(`SELECT "onHand" FROM "Stock" ORDER BY "productId", warehouse`)).toEqual([
      { onHand: 4 },
      { onHand: 17 },
      { onHand: 30 },
    ])
  })

  test('rows are found by a unique key other than the primary, even while it is being changed', async () => {
    const { db } = connect()
    await db.category.createMany({ data: [{ name: 'Tea' }, { name: 'Coffee' }] })
    const verdicts = await db.category.updateManyVersioned([
      { where: { name: 'Tea', version: 0 }, data: { name: 'Black tea' } },
      { where: { name: 'Coffee', version: 0 }, data: { name: 'Black coffee' } },
    ])
    expect(verdicts).toEqual([
      { status: 'updated', version: 1 },
      { status: 'updated', version: 1 },
    ])
    expect(
      await db.category.findMany({ where: { name: { startsWith: 'Black' } }, orderBy: { id: 'asc' } }),
    ).toMatchObject([{ name: 'Black tea' }, { name: 'Black coffee' }])
  })

  test('a model with a uuid key and a version column of another name is written too', async () => {
    const db = database
      .connect()
      .client.$extends(concurrency({ version: { models: { Document: { field: 'revision' } } } }))
    const { id } = await db.document.create({ data: { title: 'Draft', revision: 3 } })
    expect(await db.document.updateManyVersioned([{ where: { id, revision: 3 }, data: { title: 'Final' } }])).toEqual([
      { status: 'updated', version: 4 },
    ])
  })

  test('the same row twice is refused before any SQL', async () => {
    const { db, statements } = connect()
    const [id] = await makeProducts(1)
    const error = await rejectionOf(
      db.product.updateManyVersioned([
        { where: { id, version: 0 }, data: { stock: 1 } },
        { where: { id: id + 1, version: 0 }, data: { stock: 1 } },
        { where: { id, version: 1 }, data: { stock: 2 } },
      ]),
    )
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: '[2].where' })
    expect(statements).toEqual([])
  })

  test.each(['all', 'each'] as const)(
    'the same row under two spellings of its key is refused in mode %s, and not written',
    async (mode) => {
      const db = database
        .connect()
        .client.$extends(concurrency({ version: { models: { Document: { field: 'revision' } } } }))
      const { id } = await db.document.create({ data: { title: 'Draft' } })
      const other = await db.document.create({ data: { title: 'Draft' } })
      const error = await rejectionOf(
        db.document.updateManyVersioned(
          [
            { where: { id: other.id, revision: 0 }, data: { title: 'First' } },
            { where: { id, revision: 0 }, data: { title: 'Second' } },
            { where: { id: id.toUpperCase(), revision: 0 }, data: { title: 'Third' } },
          ],
          { mode },
        ),
      )
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: '[2].where' })
      expect(await db.document.findMany({ where: { id: { in: [id, other.id] } } })).toMatchObject([
        { title: 'Draft' },
        { title: 'Draft' },
      ])
    },
  )

  test('a key that is not unique is refused as soon as it names two rows, and none is written', async () => {
    const { db } = connect()
    const ids = await makeProducts(2)
    await database.query(`UPDATE "Product" SET name = 'Twins' WHERE id = ANY($1)`, [ids])
    const items = [{ where: { name: 'Twins', version: 0 }, data: { stock: 99 } }]
    const error = await rejectionOf(db.product.updateManyVersioned(items as never, { mode: 'each' }))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: '[0].where' })
    expect(await productsOf(ids)).toMatchObject([{ version: 0 }, { version: 0 }])
  })

  test('rows named by different keys are refused before any SQL', async () => {
    const { db, statements } = connect()
    const error = await rejectionOf(
      db.category.updateManyVersioned([
        { where: { id: 1, version: 0 }, data: { name: 'A' } },
        { where: { name: 'B', version: 0 }, data: { name: 'C' } },
      ]),
    )
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: '[1].where' })
    expect(statements).toEqual([])
  })
})

describe('what cannot be right is refused before any SQL, with the field named', () => {
  const where = { id: 1, version: 0 }
  const refusals: readonly [what: string, field: string, item: unknown][] = [
    ['an item that is no object', '[1]', null],
    ['a missing where', '[1].where', { data: {} }],
    ['a missing version', '[1].where.version', { where: { id: 1 }, data: {} }],
    ['a version of undefined', '[1].where.version', { where: { id: 1, version: undefined }, data: {} }],
    ['a version of null', '[1].where.version', { where: { id: 1, version: null }, data: {} }],
    ['a version of NaN', '[1].where.version', { where: { id: 1, version: Number.NaN }, data: {} }],
    ['a version with a fraction', '[1].where.version', { where: { id: 1, version: 1.5 }, data: {} }],
    ['a version that is a string', '[1].where.version', { where: { id: 1, version: '1' }, data: {} }],
    ['a version that is a filter', '[1].where.version', { where: { id: 1, version: { gte: 0 } }, data: {} }],
    ['a negative version', '[1].where.version', { where: { id: 1, version: -1 }, data: {} }],
    ['a version above the highest', '[1].where.version', { where: { id: 1, version: 2_147_483_648 }, data: {} }],
    ['a where that names no row', '[1].where', { where: { version: 0 }, data: {} }],
    ['a key of undefined', '[1].where', { where: { id: undefined, version: 0 }, data: {} }],
    ['a filter instead of a key', '[1].where.id', { where: { id: { gt: 0 }, version: 0 }, data: {} }],
    ['a filter beside the key', '[1].where.name', { where: { ...where, name: { startsWith: 'C' } }, data: {} }],
    ['a null beside the key', '[1].where.categoryId', { where: { ...where, categoryId: null }, data: {} }],
    ['a relation filter', '[1].where.lines', { where: { ...where, lines: { none: {} } }, data: {} }],
    ['a NOT', '[1].where.NOT', { where: { ...where, NOT: { name: 'Chai' } }, data: {} }],
    ['an OR', '[1].where.OR', { where: { ...where, OR: [{ name: 'Chai' }] }, data: {} }],
    ['an unknown field in where', '[1].where.sku', { where: { ...where, sku: 1 }, data: {} }],
    ['missing data', '[1].data', { where }],
    ['data that is a function', '[1].data', { where, data: () => ({ stock: 1 }) }],
    ['data that is an array', '[1].data', { where, data: [] }],
    ['the version in data', '[1].data.version', { where, data: { version: 3 } }],
    ['the version in data, as null', '[1].data.version', { where, data: { version: null } }],
    ['an unknown field', '[1].data.sku', { where, data: { sku: 1 } }],
    ['a relation', '[1].data.category', { where, data: { category: { connect: { id: 1 } } } }],
    ['NaN', '[1].data.stock', { where, data: { stock: Number.NaN } }],
    ['Infinity', '[1].data.stock', { where, data: { stock: Number.POSITIVE_INFINITY } }],
    ['NaN to add', '[1].data.stock.increment', { where, data: { stock: { increment: Number.NaN } } }],
    ['null to add', '[1].data.stock.increment', { where, data: { stock: { increment: null } } }],
    ['undefined to set', '[1].data.stock', { where, data: { stock: { set: undefined } } }],
    ['a Decimal that is NaN', '[1].data.price', { where, data: { price: new Prisma.Decimal(Number.NaN) } }],
    ['a function for a value', '[1].data.name', { where, data: { name: () => 'Chai' } }],
    ['a symbol for a value', '[1].data.name', { where, data: { name: Symbol('Chai') } }],
    ['an object for a value', '[1].data.name', { where, data: { name: { first: 'Chai' } } }],
    ['two operations', '[1].data.stock', { where, data: { stock: { increment: 1, decrement: 1 } } }],
    ['an operation it does not have', '[1].data.stock', { where, data: { stock: { multiply: 2 } } }],
    ['adding to a string', '[1].data.name.increment', { where, data: { name: { increment: 1 } } }],
    ['adding to a date', '[1].data.updatedAt.increment', { where, data: { updatedAt: { increment: 1 } } }],
    ['a list for a single value', '[1].data.name', { where, data: { name: ['Chai'] } }],
    ['an invalid date', '[1].data.updatedAt', { where, data: { updatedAt: new Date(Number.NaN) } }],
    ['a date without a time zone', '[1].data.updatedAt', { where, data: { updatedAt: '2026-01-01T10:00:00' } }],
    ['null where the column takes none', '[1].data.name', { where, data: { name: null } }],
  ]
  test.each(refusals)('%s', async (_what, field, item) => {
    const { db, statements } = connect()
    const items = [{ where: { id: 1_000_000, version: 0 }, data: { stock: 1 } }, item]
    const error = await rejectionOf(db.product.updateManyVersioned(items as never))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })

  test.each([
    ['something else than an array', 'updateManyVersioned', { where, data: {} }, undefined],
    ['an unknown mode', 'mode', [], { mode: 'some' }],
    ['an unknown option', 'mod', [], { mod: 'each' }],
    ['options that are no object', 'options', [], 'each'],
    ['a wrong retry option', 'retry.attempts', [], { retry: { attempts: 0 } }],
    ['a signal that is none', 'signal', [], { signal: {} }],
  ])('%s', async (_what, field, items, options) => {
    const { db } = connect()
    const error = await rejectionOf(db.product.updateManyVersioned(items as never, options as never))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })

  test('a model without a version column', async () => {
    const { db, statements } = connect()
    const note = db.note as unknown as typeof db.product
    const error = await rejectionOf(note.updateManyVersioned([{ where: { id: 1, version: 0 }, data: {} }]))
    expect(error).toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining("Note has no field 'version'"),
    })
    expect(statements).toEqual([])
  })

  test('an array transaction', async () => {
    const { client } = database.connect()
    const db = client.$extends(concurrency())
    const [id] = await makeProducts(1)
    const call = db.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 99 } }])
    const error = await rejectionOf((async () => client.$transaction([call as never]))())
    expect(error).toMatchObject({ code: 'BATCH_TRANSACTION', method: 'updateManyVersioned' })
    expect(await productsOf([id])).toMatchObject([{ stock: 0, version: 0 }])
  })
})

describe('a batch that has waited for another writer', () => {
  const held = async (sql: string, id: number) => {
    const other = await openTransaction(database.url, sql, [id])
    return {
      end: async (end: 'COMMIT' | 'ROLLBACK') => {
        await untilBlocked(database.url)
        await other.query(end)
      },
    }
  }
  const raise = `UPDATE "Product" SET stock = 100, version = version + 1 WHERE id = $1`

  test.each(['all', 'each'] as const)(
    'finds the row stale in mode %s, with the version just committed',
    async (mode) => {
      const { db } = connect()
      const [a, b] = await makeProducts(2)
      const other = await held(raise, b)
      const batch = db.product
        .updateManyVersioned(
          [a, b].map((id) => ({ where: { id, version: 0 }, data: { stock: 1 } })),
          { mode },
        )
        .then(
          (verdicts) => verdicts,
          (error: unknown) => error,
        )
      await other.end('COMMIT')
      if (mode === 'each') {
        expect(await batch).toEqual([
          { status: 'updated', version: 1 },
          { status: 'stale', expected: 0, actual: 1 },
        ])
      } else {
        expect(await batch).toMatchObject({ conflicts: [{ index: 1, expected: 0, actual: 1 }] })
      }
      expect(await productsOf([a, b])).toMatchObject([
        mode === 'each' ? { stock: 1, version: 1 } : { stock: 0, version: 0 },
        { stock: 100, version: 1 },
      ])
    },
  )

  test('writes the row if it expected the version just committed, and adds to the value just committed', async () => {
    const { db } = connect()
    const [id] = await makeProducts(1)
    const other = await held(raise, id)
    const batch = db.product.updateManyVersioned([{ where: { id, version: 1 }, data: { stock: { increment: 5 } } }])
    const done = batch.then((verdicts) => verdicts)
    await other.end('COMMIT')
    expect(await done).toEqual([{ status: 'updated', version: 2 }])
    expect(await productsOf([id])).toMatchObject([{ stock: 105, version: 2 }])
  })

  test('keeps what the other wrote into columns that the batch writes only for other rows', async () => {
    const { db } = connect()
    const [a, b] = await makeProducts(2)
    const other = await held(raise, b)
    const done = db.product
      .updateManyVersioned([
        { where: { id: a, version: 0 }, data: { stock: 7 } },
        { where: { id: b, version: 1 }, data: { name: 'B' } },
      ])
      .then((verdicts) => verdicts)
    await other.end('COMMIT')
    await done
    expect(await productsOf([a, b])).toMatchObject([{ stock: 7 }, { name: 'B', stock: 100 }])
  })

  test('writes the row if the other rolls back', async () => {
    const { db } = connect()
    const [id] = await makeProducts(1)
    const other = await held(raise, id)
    const done = db.product
      .updateManyVersioned([{ where: { id, version: 0 }, data: { stock: { increment: 5 } } }])
      .then((verdicts) => verdicts)
    await other.end('ROLLBACK')
    await done
    expect(await productsOf([id])).toMatchObject([{ stock: 5, version: 1 }])
  })

  test('finds the row missing if the other deletes it', async () => {
    const { db } = connect()
    const [id] = await makeProducts(1)
    const other = await held(`DELETE FROM "Product" WHERE id = $1`, id)
    const done = db.product
      .updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 1 } }], { mode: 'each' })
      .then((verdicts) => verdicts)
    await other.end('COMMIT')
    expect(await done).toEqual([{ status: 'missing' }])
  })

  test('does not write a row that the other gave another name, when it was named by it', async () => {
    const { db } = connect()
    const { id } = await db.category.create({ data: { name: 'Spices' } })
    const other = await held(`UPDATE "Category" SET name = 'Herbs' WHERE id = $1`, id)
    const done = db.category
      .updateManyVersioned([{ where: { name: 'Spices', version: 0 }, data: { name: 'Condiments' } }], { mode: 'each' })
      .then((verdicts) => verdicts)
    await other.end('COMMIT')
    expect(await done).toEqual([{ status: 'missing' }])
    expect(await db.category.findUnique({ where: { id } })).toMatchObject({ name: 'Herbs', version: 0 })
  })

  test.each(['serializable', 'repeatable read'] as const)(
    'tells the version just committed also where the database runs at %s',
    async (level) => {
      const db = connectAt(level)
      const [a, b] = await makeProducts(2)
      const other = await held(raise, b)
      const done = db.product
        .updateManyVersioned(
          [a, b].map((id) => ({ where: { id, version: 0 }, data: { stock: 1 } })),
          { mode: 'each' },
        )
        .then((verdicts) => verdicts)
      await other.end('COMMIT')
      expect(await done).toEqual([
        { status: 'updated', version: 1 },
        { status: 'stale', expected: 0, actual: 1 },
      ])
    },
  )
})

describe('row locks', () => {
  /** Products whose order on disk, and in any scan of the table, is the opposite of their key's. */
  async function makeReversed(count: number): Promise<number[]> {
    const [first] = await makeProducts(1)
    const ids = Array.from({ length: count }, (_, n) => first * 10_000 + n)
    for (const id of [...ids].reverse()) {
      await database.query(`INSERT INTO "Product" (id, name, "updatedAt") VALUES ($1, 'Reversed', now())`, [id])
    }
    return ids
  }

  test.each(['as given', 'reversed'])('are taken in the order of the primary key, with the rows %s', async (order) => {
    const { db } = connect()
    const ids = await makeReversed(5)
    const other = await openTransaction(database.url, `SELECT FROM "Product" WHERE id = $1 FOR UPDATE`, [ids[2]])
    const items = ids.map((id) => ({ where: { id, version: 0 }, data: { stock: 1 } }))
    const done = db.product.updateManyVersioned(order === 'reversed' ? items.reverse() : items).then((all) => all)
    await untilBlocked(database.url)
    const free = await database.query(
      `SELECT id FROM "Product" WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED`,
      [ids],
    )
    await other.query('COMMIT')
    await done
    expect(free).toEqual([{ id: ids[3] }, { id: ids[4] }])
  })

  test('are taken in the order of the primary key also when rows are named by another key', async () => {
    const { db } = connect()
    const names = ['z', 'y', 'x'].map((letter) => `ordered ${letter}`)
    for (const name of names) await db.category.create({ data: { name } })
    const other = await openTransaction(database.url, `SELECT FROM "Category" WHERE name = $1 FOR UPDATE`, [names[1]])
    const items = [names[2], names[0], names[1]].map((name) => ({ where: { name, version: 0 }, data: {} }))
    const done = db.category.updateManyVersioned(items).then((all) => all)
    await untilBlocked(database.url)
    const free = await database.query(`SELECT name FROM "Category" WHERE name = ANY($1) FOR UPDATE SKIP LOCKED`, [
      names,
    ])
    await other.query('COMMIT')
    await done
    expect(free).toEqual([{ name: names[2] }])
  })

  test('are taken in the order of the columns of a compound key', async () => {
    const { db } = connect()
    const keys = [
      { productId: 501, warehouse: 'south' },
      { productId: 502, warehouse: 'middle' },
      { productId: 503, warehouse: 'north' },
    ]
    await db.stock.createMany({ data: keys.map((key) => ({ ...key, onHand: 1 })) })
    const other = await openTransaction(database.url, `SELECT FROM "Stock" WHERE "productId" = 502 FOR UPDATE`)
    const done = db.stock
      .updateManyVersioned(keys.map((key) => ({ where: { productId_warehouse: key, version: 0n }, data: {} })))
      .then((all) => all)
    await untilBlocked(database.url)
    const free = await database.query(`SELECT "productId" FROM "Stock" WHERE "productId" > 500 FOR UPDATE SKIP LOCKED`)
    await other.query('COMMIT')
    await done
    expect(free).toEqual([{ productId: 503 }])
  })

  /** Coupons have a unique key, and no primary key. They lie on disk in the opposite order of the key's. */
  async function makeCoupons(name: string): Promise<string[]> {
    const codes = ['a', 'b', 'c', 'd'].map((letter) => `${name} ${letter}`)
    await database.query('INSERT INTO "Coupon" (code) SELECT unnest($1::text[])', [[...codes].reverse()])
    return codes
  }
  const useAll = (codes: readonly string[]) =>
    codes.map((code) => ({ where: { code, version: 0 }, data: { used: { increment: 1 } } }))

  test.each(['as given', 'reversed'])(
    'are taken in the order of a unique key where the table has no primary key, with the rows %s',
    async (order) => {
      const { db } = connect()
      const codes = await makeCoupons(order)
      const other = await openTransaction(database.url, 'SELECT FROM "Coupon" WHERE code = $1 FOR UPDATE', [codes[1]])
      const items = useAll(order === 'reversed' ? [...codes].reverse() : codes)
      const done = db.coupon.updateManyVersioned(items).then((all) => all)
      await untilBlocked(database.url)
      const free = await database.query(
        'SELECT code FROM "Coupon" WHERE code = ANY($1) ORDER BY code FOR UPDATE SKIP LOCKED',
        [codes],
      )
      await other.query('COMMIT')
      expect({ free, verdicts: await done }).toEqual({
        free: [{ code: codes[2] }, { code: codes[3] }],
        verdicts: codes.map(() => ({ status: 'updated', version: 1 })),
      })
    },
  )

  test('let one of two batches through that meet in opposite orders without a primary key, and neither deadlocks', async () => {
    const { db } = connect()
    const codes = await makeCoupons('meet')
    const other = await openTransaction(database.url, 'SELECT FROM "Coupon" WHERE code = $1 FOR UPDATE', [codes[0]])
    const batches = [codes, [...codes].reverse()].map((rows) =>
      db.coupon.updateManyVersioned(useAll(rows), { mode: 'each' }).then((verdicts) => verdicts.map((v) => v.status)),
    )
    await untilBlocked(database.url, 2)
    await other.query('COMMIT')
    const outcomes = await Promise.all(batches)

    expect(outcomes.sort()).toEqual([codes.map(() => 'stale'), codes.map(() => 'updated')])
  })

  test('have no order in a table without a key, which is an error that names what is missing', async () => {
    await database.query('DROP INDEX "Coupon_code_key"')
    onTestFinished(async () => void (await database.query('CREATE UNIQUE INDEX "Coupon_code_key" ON "Coupon" (code)')))
    const { db } = connect()
    const codes = await makeCoupons('none')
    const error = await rejectionOf(db.coupon.updateManyVersioned(useAll(codes)))
    const written = await database.query('SELECT code FROM "Coupon" WHERE code = ANY($1) AND used > 0', [codes])

    expect({ error, written }).toMatchObject({
      error: { code: 'CONFIGURATION', message: expect.stringContaining('"public"."Coupon"') },
      written: [],
    })
  })

  test('have no order by a key that may be NULL, which is an error', async () => {
    await database.query('ALTER TABLE "Coupon" ALTER code DROP NOT NULL')
    onTestFinished(async () => void (await database.query('ALTER TABLE "Coupon" ALTER code SET NOT NULL')))
    const { db } = connect()
    const codes = await makeCoupons('nullable')

    expect(await rejectionOf(db.coupon.updateManyVersioned(useAll(codes)))).toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringMatching(/"Coupon".* has no primary key, and no unique index of columns that are NOT NULL/),
    })
  })

  test('let a row that refers to a written one be inserted meanwhile', async () => {
    const { db } = connect()
    const { id } = await db.category.create({ data: { name: 'Referred to' } })
    await db.$transaction(async (tx) => {
      await tx.category.updateManyVersioned([{ where: { id, version: 0 }, data: {} }])
      await db.product.create({ data: { name: 'Inserted meanwhile', categoryId: id } })
    })
    expect(await db.category.findUnique({ where: { id }, include: { products: true } })).toMatchObject({
      version: 1,
      products: [{ name: 'Inserted meanwhile' }],
    })
  })

  test('never deadlock: overlapping batches in random orders, from two processes', async () => {
    const ids = await makeReversed(12)
    const work: BatchWork = { url: database.url, ids, callers: 6, batches: 40 }
    const outcomes = await Promise.all([
      runInProcess<BatchOutcome>('batch-worker.ts', work),
      runInProcess<BatchOutcome>('batch-worker.ts', work),
    ])
    expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
    const [{ stock, version }] = await database.query(
      `SELECT sum(stock)::int AS stock, sum(version)::int AS version FROM "Product" WHERE id = ANY($1)`,
      [ids],
    )
    const written = outcomes.reduce((sum, outcome) => sum + outcome.written, 0)
    expect({ stock, version }).toEqual({ stock: written, version: written })
  })

  test('of many batches for the same rows on warm connections, exactly one wins', async () => {
    const { db, pool } = connect({ poolSize: 30 })
    await warm(pool, 30)
    const ids = await makeProducts(5)
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, n) => {
        const rows = n % 2 === 0 ? ids : [...ids].reverse()
        return db.product.updateManyVersioned(
          rows.map((id) => ({ where: { id, version: 0 }, data: { stock: n + 100 } })),
        )
      }),
    )
    const winners = outcomes.flatMap(({ status }, n) => (status === 'fulfilled' ? [n] : []))
    expect(winners).toHaveLength(1)
    expect(await productsOf(ids)).toMatchObject(ids.map(() => ({ stock: winners[0] + 100, version: 1 })))
  })
})

describe('inside a transaction', () => {
  test('a batch commits and rolls back with it', async () => {
    const { db } = connect()
    const [a, b] = await makeProducts(2)
    const stop = new Error('stop')
    const write = (id: number, failure?: Error) =>
      db.$transaction(async (tx) => {
        await tx.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 50 } }])
        if (failure) throw failure
      })
    await write(a)
    expect(await rejectionOf(write(b, stop))).toBe(stop)
    expect(await productsOf([a, b])).toMatchObject([
      { stock: 50, version: 1 },
      { stock: 1, version: 0 },
    ])
  })

  test('a refused batch leaves the transaction usable', async () => {
    const { db } = connect()
    const [a, b] = await makeProducts(2)
    await db.$transaction(async (tx) => {
      await rejectionOf(tx.product.updateManyVersioned([{ where: { id: a, version: 3 }, data: { stock: 50 } }]))
      await tx.product.updateManyVersioned([{ where: { id: b, version: 0 }, data: { stock: 50 } }])
    })
    expect(await productsOf([a, b])).toMatchObject([
      { stock: 0, version: 0 },
      { stock: 50, version: 1 },
    ])
  })

  test('two batches in one transaction bump twice', async () => {
    const { db } = connect()
    const [id] = await makeProducts(1)
    await db.$transaction(async (tx) => {
      await tx.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: { increment: 1 } } }])
      await tx.product.updateManyVersioned([{ where: { id, version: 1 }, data: { stock: { increment: 1 } } }])
    })
    expect(await productsOf([id])).toMatchObject([{ stock: 2, version: 2 }])
  })

  test('a row that went on since a serializable snapshot ends the transaction with 40001', async () => {
    const { db } = connect()
    const [id] = await makeProducts(1)
    const error = await rejectionOf(
      db.$transaction(
        async (tx) => {
          await tx.product.findUnique({ where: { id } })
          await database.query(`UPDATE "Product" SET version = version + 1 WHERE id = $1`, [id])
          await tx.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 50 } }])
        },
        { isolationLevel: 'Serializable' },
      ),
    )
    expect(JSON.stringify(error)).toContain('40001')
  })

  test('with retry, a batch under versions read in the body gets through', async () => {
    const { db } = connect()
    const [id] = await makeProducts(1)
    let runs = 0
    await db.$transactionWithRetry(
      async (tx) => {
        const { version } = await tx.product.findUniqueOrThrow({ where: { id } })
        if (++runs === 1) await database.query(`UPDATE "Product" SET version = version + 1 WHERE id = $1`, [id])
        await tx.product.updateManyVersioned([{ where: { id, version }, data: { stock: 50 } }])
      },
      { isolationLevel: 'Serializable' },
    )
    expect(runs).toBe(2)
    expect(await productsOf([id])).toMatchObject([{ stock: 50, version: 2 }])
  })

  test('with retry, a batch under a version from outside the body is given up the second time', async () => {
    const { db } = connect()
    const [id] = await makeProducts(1)
    let runs = 0
    const error = await rejectionOf(
      db.$transactionWithRetry(async (tx) => {
        runs++
        await tx.product.updateManyVersioned([{ where: { id, version: 9 }, data: { stock: 50 } }])
      }),
    )
    expect(error).toMatchObject({ code: 'BATCH_VERSION_CONFLICT', attempts: 2 })
    expect(runs).toBe(2)
  })
})

describe('a trigger that suppresses the write of a row', () => {
  /** Categories called Frozen … cannot be written; those called Broken … divide by zero. */
  async function makeCategories(...names: string[]) {
    await database.query(`
CREATE OR REPLACE FUNCTION frost() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.name LIKE 'Frozen%' THEN RETURN NULL; END IF;
  IF OLD.name LIKE 'Broken%' THEN NEW.version := 1 / (NEW.version - NEW.version); END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER frost BEFORE UPDATE ON "Category" FOR EACH ROW EXECUTE FUNCTION frost();`)
    const { db } = connect()
    return db.category.createManyAndReturn({ data: names.map((name) => ({ name })) })
  }

  test('is a verdict of its own in mode each', async () => {
    const { db } = connect()
    const rows = await makeCategories('Free 1', 'Frozen 1', 'Free 2')
    const items = rows.map(({ id }) => ({ where: { id, version: 0 }, data: {} }))
    expect(await db.category.updateManyVersioned(items, { mode: 'each' })).toEqual([
      { status: 'updated', version: 1 },
      { status: 'suppressed' },
      { status: 'updated', version: 1 },
    ])
  })

  test('is an error in mode all that names the row, and nothing is written', async () => {
    const { db } = connect()
    const rows = await makeCategories('Free 3', 'Frozen 2', 'Free 4')
    const items = rows.map(({ id }) => ({ where: { id, version: 0 }, data: {} }))
    const error = await rejectionOf(db.category.updateManyVersioned(items))
    expect(error).toBeInstanceOf(WriteSuppressedError)
    expect(error).toMatchObject({ model: 'Category', where: { id: rows[1].id } })
    expect(await db.category.findMany({ where: { id: { in: rows.map(({ id }) => id) } } })).toMatchObject(
      rows.map(() => ({ version: 0 })),
    )
  })

  test('does not hide that another row is stale', async () => {
    const { db } = connect()
    const [free, frozen] = await makeCategories('Free 5', 'Frozen 3')
    const error = await rejectionOf(
      db.category.updateManyVersioned([
        { where: { id: free.id, version: 4 }, data: {} },
        { where: { id: frozen.id, version: 0 }, data: {} },
      ]),
    )
    expect(error).toMatchObject({ conflicts: [{ index: 0, expected: 4, actual: 0 }] })
  })

  test('is not what a division by zero in a trigger is taken for', async () => {
    const { db } = connect()
    const [{ id }] = await makeCategories('Broken 1')
    const error = await rejectionOf(db.category.updateManyVersioned([{ where: { id, version: 0 }, data: {} }]))
    expect(error).not.toBeInstanceOf(WriteSuppressedError)
    expect(String(error)).toContain('division by zero')
  })
})

describe('errors of the database', () => {
  test('a version at the highest number of its type is an error that says so', async () => {
    const { db } = connect()
    const ids = await makeProducts(2)
    await database.query(`UPDATE "Product" SET version = 2147483647 WHERE id = $1`, [ids[1]])
    const error = await rejectionOf(
      db.product.updateManyVersioned([
        { where: { id: ids[0], version: 0 }, data: { stock: 50 } },
        { where: { id: ids[1], version: 2_147_483_647 }, data: { stock: 50 } },
      ]),
    )
    expect(error).toBeInstanceOf(VersionOverflowError)
    expect(error).toMatchObject({ model: 'Product', field: 'version' })
    expect(await productsOf(ids)).toMatchObject([
      { stock: 0, version: 0 },
      { stock: 1, version: 2_147_483_647 },
    ])
  })

  test('a number that does not fit another column is no overflow of the version', async () => {
    const { db } = connect()
    const [, id] = await makeProducts(2)
    const error = await rejectionOf(
      db.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: { increment: 2_147_483_647 } } }]),
    )
    expect(error).toMatchObject({ code: 'P2020', meta: { modelName: 'Product' } })
  })

  test('a unique violation stays one, and nothing is written', async () => {
    const { db } = connect()
    const rows = await db.category.createManyAndReturn({ data: [{ name: 'Unique 1' }, { name: 'Unique 2' }] })
    const error = await rejectionOf(
      db.category.updateManyVersioned(
        rows.map(({ id }) => ({ where: { id, version: 0 }, data: { name: 'Unique 3' } })),
      ),
    )
    expect(JSON.stringify(error)).toContain('23505')
    expect(await db.category.count({ where: { name: 'Unique 3' } })).toBe(0)
  })

  describe('when the connection is lost while the batch waits', () => {
    async function lose(options: { retry?: { attempts: number } }) {
      const { db } = connect()
      const [id] = await makeProducts(1)
      const other = await openTransaction(database.url, `SELECT FROM "Product" WHERE id = $1 FOR UPDATE`, [id])
      const done = db.product
        .updateManyVersioned([{ where: { id, version: 0 }, data: { stock: { increment: 5 } } }], options)
        .then(
          (verdicts) => verdicts,
          (error: unknown) => error,
        )
      await untilBlocked(database.url)
      await other.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`,
      )
      await other.query('COMMIT')
      return { id, outcome: await done }
    }

    test('it is sent again under the same versions', async () => {
      const { id, outcome } = await lose({})
      expect(outcome).toEqual([{ status: 'updated', version: 1 }])
      expect(await productsOf([id])).toMatchObject([{ stock: 5, version: 1 }])
    })

    test('and it may not be sent again, the outcome is unknown', async () => {
      const { outcome } = await lose({ retry: { attempts: 1 } })
      expect(outcome).toBeInstanceOf(OutcomeUnknownError)
    })
  })

  test('a signal aborted before means that nothing is sent', async () => {
    const { db, statements } = connect()
    const [id] = await makeProducts(1)
    const reason = new Error('no longer wanted')
    const error = await rejectionOf(
      db.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 1 } }], {
        signal: AbortSignal.abort(reason),
      }),
    )
    expect(error).toBe(reason)
    expect(statements).toEqual([])
  })

  test('a signal aborted while the batch waits does not turn its success into an error', async () => {
    const { db } = connect()
    const [id] = await makeProducts(1)
    const other = await openTransaction(database.url, `SELECT FROM "Product" WHERE id = $1 FOR UPDATE`, [id])
    const abort = new AbortController()
    const done = db.product
      .updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 50 } }], { signal: abort.signal })
      .then((verdicts) => verdicts)
    await untilBlocked(database.url)
    abort.abort()
    await other.query('COMMIT')
    expect(await done).toEqual([{ status: 'updated', version: 1 }])
  })
})

test('a session that only reads is not kept waiting, nor does it see a batch before it is committed', async () => {
  const { db } = connect()
  const ids = await makeProducts(2)
  const reader = await openConnection(database.url)
  const seen = await db.$transaction(async (tx) => {
    await tx.product.updateManyVersioned(ids.map((id) => ({ where: { id, version: 0 }, data: { stock: 50 } })))
    return reader.query(`SELECT stock FROM "Product" WHERE id = ANY($1) ORDER BY id`, [ids])
  })
  expect(seen.rows).toEqual([{ stock: 0 }, { stock: 1 }])
})
