import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { Prisma } from '../../generated/prisma/client.js'
import { serials } from '../../src/erp.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'

const { database, connect } = useExtended()

const newThings = (count: number) =>
  connect().client.everything.createManyAndReturn({
    data: Array.from({ length: count }, () => ({ code: randomUUID() })),
  })

describe('a batch refuses before any SQL what Prisma would refuse, or store as something else', () => {
  const hole: unknown[] = [1, 2, 3]
  delete hole[1]
  const refusals: readonly [what: string, field: string, data: object][] = [
    ['a hole in a list', 'numbers[1]', { numbers: hole }],
    ['undefined in a list', 'tags', { tags: ['a', undefined] }],
    ['a day that no month has', 'at', { at: '2024-02-30T00:00:00Z' }],
    ['the 29th of February of another year', 'at', { at: '2023-02-29T00:00:00Z' }],
    ['an hour that no day has', 'at', { at: '2024-02-28T24:00:00Z' }],
    ['a moment without a time zone', 'at', { at: '2024-02-28T00:00:00' }],
    ['an offset without minutes', 'at', { at: '2024-02-28T00:00:00+02' }],
    ['a year of five digits', 'at', { at: new Date('+010000-01-01T00:00:00Z') }],
    ['a year before Christ', 'day', { day: new Date('-000001-01-01T00:00:00Z') }],
    ['a Date that is none', 'at', { at: new Date(Number.NaN) }],
    ['a Decimal in hexadecimal', 'decimal', { decimal: '0x10' }],
    ['a Decimal with spaces', 'decimal', { decimal: ' 7 ' }],
    [
      'a Decimal look-alike that says something else',
      'decimal',
      { decimal: { d: [1], e: 0, s: 1, toFixed: () => '0x10' } },
    ],
    ['a bigint for a Decimal', 'decimal', { decimal: 5n }],
    ['a bigint for an Int', 'int', { int: 5n }],
    ['a bigint for a Float', 'float', { float: 5n }],
    ['more than an Int holds', 'int', { int: 2 ** 31 }],
    ['more than an Int holds, to be added', 'int.increment', { int: { increment: 2 ** 31 } }],
    ['more than a BigInt holds', 'big', { big: 2n ** 63n }],
    ['a number that is no longer exact', 'big', { big: 2 ** 60 }],
    ['NaN for an Int', 'int', { int: Number.NaN }],
    ['NaN for a Float', 'float', { float: Number.NaN }],
    ['a text with NUL', 'text', { text: 'a\0b' }],
    ['half of a surrogate pair', 'text', { text: 'a\ud800' }],
    ['half of a surrogate pair inside Json', 'json', { json: { a: ['\udfff'] } }],
    ['a key of Json that is no text', 'json', { json: { 'a\0': 1 } }],
    ['a hole inside Json', 'json[0][1]', { json: [hole] }],
    ['Json in a circle', 'json.self[0]', { json: circle() }],
    ['an object whose text is not its value', 'text', { text: { toString: () => 'x' } }],
    ['an enum value that every object has', 'kind', { kind: 'constructor' }],
    ['bytes as numbers', 'bytes', { bytes: [1, 2] }],
  ]
  test.each(refusals)('%s', async (_what, field, data) => {
    const { db, statements } = connect()
    const call = db.everything.updateManyVersioned([{ where: { id: 1, version: 0 }, data }])
    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', field: `[0].data.${field}` })
    expect(statements).toEqual([])
  })

  test.each(['0b11', '0x1', ' 1', 1n, 1.5, new Date(0), new Uint8Array([1])])('%s as an Int key', async (id) => {
    const { db, statements } = connect()
    const call = db.everything.updateManyVersioned([{ where: { id: id as never, version: 0 }, data: { int: 1 } }])
    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', field: '[0].where.id' })
    expect(statements).toEqual([])
  })
})

function circle(): object {
  const json: Record<string, unknown> = {}
  json.self = [json]
  return json
}

test('a batch stores a number in a Decimal with the digits that Prisma stores', async () => {
  const { db, client } = connect()
  for (const decimal of [
    0.1 + 0.2,
    1 / 3,
    4.35 * 100,
    1e-7,
    90_071_992_547,
    '-05.10',
    '1.5e2',
    new Prisma.Decimal('1e-6'),
  ]) {
    const [a, b] = await newThings(2)
    await client.everything.update({ where: { id: a.id }, data: { decimal } })
    await db.everything.updateManyVersioned([{ where: { id: b.id, version: 0 }, data: { decimal } }])
    const rows = await database.query('SELECT decimal::text FROM "every thing" WHERE id = ANY($1)', [[a.id, b.id]])
    expect(rows[1]).toEqual(rows[0])
  }
})

describe('a column of a domain that refuses NULL, which the statement does not name, disturbs no', () => {
  beforeAll(async () => {
    await database.query(`CREATE DOMAIN strict AS text NOT NULL`)
    for (const table of ['every thing', 'Product', 'Payment', 'Serial']) {
      await database.query(`ALTER TABLE "${table}" ADD COLUMN strict strict DEFAULT 'x'`)
    }
  })

  test('batch', async () => {
    const { db } = connect()
    const [{ id }] = await newThings(1)
    const verdicts = await db.everything.updateManyVersioned([{ where: { id, version: 0 }, data: { int: 1 } }])
    expect(verdicts).toEqual([{ status: 'updated', version: 1 }])
  })

  test('row lock of the third attempt', async () => {
    const { db, statements } = connect()
    const [{ id }] = await newThings(1)
    const record = await db.everything.updateVersioned({
      where: { id },
      data: async (_, attempt) => {
        if (attempt < 3)
          await database.query(`UPDATE "every thing" SET "row version" = $1 WHERE id = $2`, [attempt, id])
        return { int: attempt }
      },
      retry: { baseDelay: 0 },
    })
    expect(record).toMatchObject({ int: 3, version: 3 })
    expect(statements.filter((sql) => sql.includes('FOR NO KEY UPDATE'))).toHaveLength(1)
  })

  test('writes of one tick, of different rows and of one row', async () => {
    const { db, client, statements } = connect()
    const rows = await client.product.createManyAndReturn({ data: [{ name: 'A' }, { name: 'B' }] })
    const add = (id: number) =>
      db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
    await Promise.all(rows.flatMap(({ id }) => [add(id), add(id), add(id)]).map(started))
    statements.length = 0
    await Promise.all(
      rows.map(({ id }) => started(db.product.updateVersioned({ where: { id, version: 3 }, data: { stock: 7 } }))),
    )
    expect(statements.filter((sql) => sql.includes('UPDATE'))).toHaveLength(1)
    expect(await client.product.findMany({ where: { stock: 7, version: 4 } })).toHaveLength(2)
  })

  test('inserts of one tick', async () => {
    const { db, statements } = connect()
    const insert = () => db.payment.createIdempotent({ where: { transactionId: randomUUID() }, data: { amount: 5 } })
    const results = await Promise.all([insert(), insert(), insert()].map(started))
    expect(results.map(({ replayed }) => replayed)).toEqual([false, false, false])
    expect(statements.filter((sql) => sql.startsWith('INSERT'))).toHaveLength(1)
  })

  test('serials', async () => {
    const db = connect().db.$extends(serials())
    const data = { productId: 77 }
    await db.$serials.import({ transactionId: randomUUID(), data, range: { from: 1, to: 5, format: 'D-{000}' } })
    const { serials: taken } = await db.$serials.allocate({ transactionId: randomUUID(), where: data, count: 2 })
    expect(taken).toHaveLength(2)
  })
})

describe('what the database refuses is the error that a call of the model has', () => {
  const told = (error: unknown) => {
    expect(error).toBeInstanceOf(Prisma.PrismaClientKnownRequestError)
    const { code, meta, message } = error as Prisma.PrismaClientKnownRequestError
    return { code, meta, message: message.split('\n').at(-1) }
  }

  beforeAll(async () => {
    await database.query('ALTER TABLE "Product" ADD CONSTRAINT positive CHECK (stock >= 0)')
    await database.query('ALTER TABLE "Serial" ADD CONSTRAINT positive CHECK ("orderId" > 0)')
    await database.query('CREATE UNIQUE INDEX once ON "Category" (name)')
  })

  test.each([
    ['a foreign key', 'P2003', { categoryId: 9_999 }],
    ['a check', 'P2039', { stock: -5 }],
    ['a number that is too large', 'P2020', { price: '99999999999.99' }],
    ['a sum that is too large', 'P2020', { stock: { increment: 2_147_483_647 } }],
  ])('in a batch, and in a transaction: %s is %s', async (_what, code, data) => {
    const { db, client } = connect()
    const { id } = await client.product.create({ data: { name: 'x', stock: 1 } })
    const own = told(await rejectionOf(client.product.update({ where: { id }, data })))
    const entry = { where: { id, version: 0 }, data }
    const errors = [
      await rejectionOf(db.product.updateManyVersioned([entry])),
      await rejectionOf(db.$transaction((tx) => tx.product.updateManyVersioned([entry]))),
    ]
    expect(own.code).toBe(code)
    expect(errors.map(told)).toEqual(
      [own, own].map((error) => expect.objectContaining({ ...error, meta: withoutDetail(own) })),
    )
  })

  /** The detail of an error shows the row, which has another version. */
  function withoutDetail({ meta }: ReturnType<typeof told>) {
    const { driverAdapterError } = meta as { driverAdapterError: { cause: { originalCode: string; kind: string } } }
    const { originalCode, kind } = driverAdapterError.cause
    return expect.objectContaining({
      modelName: 'Product',
      driverAdapterError: expect.objectContaining({ cause: expect.objectContaining({ originalCode, kind }) }),
    })
  }

  test('in a batch: a unique key that is taken is P2002', async () => {
    const { db } = connect()
    const [a, b] = await db.category.createManyAndReturn({ data: [{ name: randomUUID() }, { name: randomUUID() }] })
    const data = { name: a.name }
    const own = await rejectionOf(db.category.updateVersioned({ where: { id: b.id, version: 0 }, data }))
    const error = await rejectionOf(db.category.updateManyVersioned([{ where: { id: b.id, version: 0 }, data }]))
    expect(told(error)).toEqual(told(own))
    expect(told(error)).toMatchObject({ code: 'P2002' })
  })

  test('in an allocation of serials', async () => {
    const db = connect().db.$extends(serials())
    const where = { productId: 78 }
    await db.$serials.import({ transactionId: randomUUID(), data: where, numbers: ['a'] })
    const call = db.$serials.allocate({ transactionId: randomUUID(), where, count: 1, data: { orderId: -1 } })
    expect(told(await rejectionOf(call))).toMatchObject({ code: 'P2039', meta: { modelName: 'Serial' } })
  })
})
