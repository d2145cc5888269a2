import { beforeAll, describe, expect, test } from 'vitest'
import { Prisma, type PrismaClient } from '../../generated/prisma/client.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

// Far from UTC, and with summer time: a value that goes through the session's zone otherwise than Prisma's do shows.
beforeAll(async () => {
  await database.query(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''America/New_York''', current_database()); END $$`,
  )
})

let plain: PrismaClient
beforeAll(() => {
  plain = connect().client
})

let made = 0
function makeThing(data: Partial<Prisma.EverythingCreateInput> = {}) {
  return plain.everything.create({ data: { code: `thing "${++made}"`, ...data } })
}

/** The row as the database sees it, without the columns that tell one row from another. */
async function storedIn(table: string, id: number) {
  const [{ row }] = await database.query(
    `SELECT to_jsonb(t) - 'id' - 'the code' - 'row version' - 'version' - 'name' AS row FROM "${table}" AS t WHERE id = $1`,
    [id],
  )
  return row
}

const start = {
  int: 40,
  big: 9_007_199_254_740_993n,
  float: 0.5,
  decimal: new Prisma.Decimal('10.000001'),
  // The two that default to now would tell the rows apart.
  at: new Date('2001-02-03T04:05:06.789Z'),
  day: new Date('2001-02-03'),
} satisfies Partial<Prisma.EverythingCreateInput>

const values: readonly [kind: string, data: Prisma.EverythingUpdateInput][] = [
  ['text', { text: `O'Brien said "\\x41" – $1, 100 %; 😀\n\t` }],
  ['an empty text', { text: '' }],
  ['text that looks like NULL', { text: 'null' }],
  ['null', { text: null }],
  ['null by set', { text: { set: null } }],
  ['a boolean', { flag: true }],
  ['the lowest Int', { int: -2_147_483_648 }],
  ['an Int by set', { int: { set: 7 } }],
  ['a BigInt that no number can hold', { big: 9_223_372_036_854_775_807n }],
  ['a BigInt given as a number', { big: 12 }],
  ['a Float', { float: 0.1 + 0.2 }],
  ['a Float near the highest', { float: 1.5e308 }],
  ['the smallest Float', { float: Number.MIN_VALUE }],
  ['a Decimal', { decimal: new Prisma.Decimal('-12345678901234.567891') }],
  ['a Decimal with an exponent', { decimal: new Prisma.Decimal('1e-6') }],
  ['a Decimal given as text', { decimal: '0.100000' }],
  ['a Decimal given as a number', { decimal: 1.25 }],
  ['a Json object', { json: { a: [1, null, { b: 'x' }], ü: true, n: null } }],
  ['a Json object that looks like an operation', { json: { set: 5 } }],
  ['a Json list', { json: [1, [2], null] }],
  ['a Json text', { json: 'text' }],
  ['a Json number', { json: -0.5 }],
  ['a Json boolean', { json: false }],
  ['bytes', { bytes: new Uint8Array([0, 255, 16, 92, 39]) }],
  ['a Buffer', { bytes: Buffer.from('latin\\') }],
  ['no bytes', { bytes: new Uint8Array() }],
  ['a DateTime', { at: new Date('2026-03-08T07:30:00.123Z') }],
  ['a DateTime by set', { at: { set: new Date('1969-12-31T23:59:59.999Z') } }],
  ['a DateTime given as text with an offset', { at: '2026-11-01T01:30:00.123+05:30' }],
  ['a Date', { day: new Date('2024-02-29') }],
  ['an enum value', { kind: 'PLAIN' }],
  ['an enum value with another name in the database', { kind: 'SPECIAL' }],
  ['an enum value by set', { kind: { set: 'SPECIAL' } }],
  ['a list of texts', { tags: ['a,b', '{"c"}', 'NULL', '', `d'e\\f`] }],
  ['a list by set', { tags: { set: ['x'] } }],
  ['an empty list', { tags: [] }],
  ['a list of numbers', { numbers: [1, -2, 2_147_483_647] }],
  ['a list of enum values', { kinds: ['SPECIAL', 'PLAIN', 'SPECIAL'] }],
  [
    'several at once',
    { text: 'both', kind: 'SPECIAL', tags: ['t'], decimal: { increment: '0.5' }, int: { decrement: 1 } },
  ],
]

const sums: readonly [kind: string, data: Prisma.EverythingUpdateInput][] = [
  ['an Int', { int: { increment: 2 } }],
  ['an Int, down', { int: { decrement: 50 } }],
  ['a BigInt', { big: { increment: 9n } }],
  ['a BigInt, down', { big: { decrement: 9_007_199_254_740_994n } }],
  ['a BigInt, by a number', { big: { increment: 1 } }],
  ['a Float', { float: { increment: 0.1 } }],
  ['a Float, down', { float: { decrement: 1e-9 } }],
  ['a Decimal', { decimal: { increment: new Prisma.Decimal('0.000009') } }],
  ['a Decimal, down', { decimal: { decrement: '10.5' } }],
]

describe.each([
  ['set', values],
  ['added to', sums],
] as const)('a batch leaves in the table what an update of Prisma would, when it has', (operation, cases) => {
  test.each(cases)(`${operation}: %s`, async (_kind, data) => {
    const { db } = connect()
    const oracle = await makeThing(start)
    const thing = await makeThing(start)
    await plain.everything.update({ where: { id: oracle.id }, data })
    await db.everything.updateManyVersioned([{ where: { id: thing.id, version: 0 }, data: data as never }])
    expect(await storedIn('every thing', thing.id)).toEqual(await storedIn('every thing', oracle.id))
  })
})

test('a batch stores a text with an offset in a column without a time zone as Prisma does', async () => {
  const { db } = connect()
  const [a, b] = await plain.product.createManyAndReturn({ data: [{ name: 'A' }, { name: 'B' }] })
  const data = { updatedAt: '2026-07-01T00:30:00.250+05:30' }
  await plain.product.update({ where: { id: a.id }, data })
  await db.product.updateManyVersioned([{ where: { id: b.id, version: 0 }, data }])
  expect(await storedIn('Product', b.id)).toEqual(await storedIn('Product', a.id))
})

test('a batch writes different columns of different rows, and leaves the others as they are', async () => {
  const { db } = connect()
  const things = [await makeThing(start), await makeThing(start), await makeThing(start)]
  await db.everything.updateManyVersioned([
    { where: { id: things[0].id, version: 0 }, data: { int: 1, text: 'one' } },
    { where: { id: things[1].id, version: 0 }, data: { int: { increment: 1 }, kind: 'SPECIAL' } },
    { where: { id: things[2].id, version: 0 }, data: { int: { decrement: 1 }, tags: ['three'] } },
  ])
  const rows = await db.everything.findMany({
    where: { id: { in: things.map(({ id }) => id) } },
    orderBy: { id: 'asc' },
  })
  expect(rows.map(({ int, text, kind, tags, version }) => ({ int, text, kind, tags, version }))).toEqual([
    { int: 1, text: 'one', kind: 'PLAIN', tags: [], version: 1 },
    { int: 41, text: null, kind: 'SPECIAL', tags: [], version: 1 },
    { int: 39, text: null, kind: 'PLAIN', tags: ['three'], version: 1 },
  ])
})

test('a batch finds its rows by a unique column of another name, whatever is in it', async () => {
  const { db } = connect()
  const codes = [`O'Brien`, 'a "quoted" \\ code', '$1', 'ünï–😀', '']
  await db.everything.createMany({ data: codes.map((code) => ({ code })) })
  const verdicts = await db.everything.updateManyVersioned(
    codes.map((code, int) => ({ where: { code, version: 0 }, data: { int } })),
  )
  expect(verdicts).toEqual(codes.map(() => ({ status: 'updated', version: 1 })))
  const rows = await db.everything.findMany({ where: { code: { in: codes } }, orderBy: { int: 'asc' } })
  expect(rows.map(({ code }) => code)).toEqual(codes)
})

test('a batch stores an instance of a class inside Json as Prisma does, by its own fields', async () => {
  class Point {
    x = 1
  }
  const { db } = connect()
  const [inBatch, byPrisma] = [await makeThing(), await makeThing()].map(({ id }) => id) as [number, number]
  const json = { a: new Point() } as never

  await db.everything.updateManyVersioned([{ where: { id: inBatch, version: 0 }, data: { json } }])
  await db.everything.update({ where: { id: byPrisma }, data: { json } })

  const rows = await db.everything.findMany({ where: { id: { in: [inBatch, byPrisma] } } })
  expect(rows.map((row) => row.json)).toEqual([{ a: { x: 1 } }, { a: { x: 1 } }])
})

describe('a batch refuses by name, before any SQL', () => {
  const refusals: readonly [what: string, field: string, data: unknown][] = [
    ['JsonNull', 'json', { json: Prisma.JsonNull }],
    ['DbNull', 'json', { json: Prisma.DbNull }],
    ['null, which could be either of them', 'json', { json: null }],
    ['a function as Json', 'json', { json: () => 1 }],
    ['a function inside Json', 'json', { json: { a: [() => 1] } }],
    ['NaN inside Json', 'json', { json: { a: Number.NaN } }],
    ['a bigint inside Json', 'json', { json: { a: 1n } }],
    ['a Map as Json', 'json', { json: new Map() }],
    ['an enum value that there is not', 'kind', { kind: 'ODD' }],
    ['an enum value by its name in the database', 'kind', { kind: 'very special' }],
    ['a wrong value in a list', 'numbers', { numbers: [1, '2'] }],
    ['null in a list', 'tags', { tags: ['a', null] }],
    ['null for a list', 'tags', { tags: null }],
    ['a single value for a list', 'tags', { tags: 'a' }],
    ['push', 'tags', { tags: { push: 'a' } }],
    ['adding to a list', 'numbers.increment', { numbers: { increment: 1 } }],
    ['adding to a boolean', 'flag.increment', { flag: { increment: 1 } }],
    ['a text for a number', 'int', { int: '5' }],
    ['a fraction for an Int', 'int', { int: 1.5 }],
    ['a fraction for a BigInt', 'big', { big: 1.5 }],
    ['a number for a text', 'text', { text: 5 }],
    ['a number for a boolean', 'flag', { flag: 1 }],
    ['a text for bytes', 'bytes', { bytes: 'abc' }],
    ['a day without a time', 'day', { day: '2024-02-29' }],
    ['NaN as a Decimal', 'decimal', { decimal: 'NaN' }],
    ['Infinity as a Decimal', 'decimal', { decimal: new Prisma.Decimal(Number.POSITIVE_INFINITY) }],
  ]
  test.each(refusals)('%s', async (_what, field, data) => {
    const { db, statements } = connect()
    const error = await rejectionOf(
      db.everything.updateManyVersioned([{ where: { id: 1, version: 0 }, data: data as never }]),
    )
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: `[0].data.${field}` })
    expect(statements).toEqual([])
  })
})

describe('updateVersioned', () => {
  const all = {
    text: 'new',
    flag: true,
    int: { increment: 2 },
    big: { decrement: 1n },
    float: 0.25,
    decimal: { increment: '0.5' },
    json: { a: null },
    bytes: new Uint8Array([1, 2]),
    at: new Date('2026-03-08T07:30:00.123Z'),
    day: new Date('2024-02-29'),
    kind: 'SPECIAL',
    tags: { push: 'tag' },
    numbers: [3],
    kinds: ['SPECIAL'],
  } satisfies Prisma.EverythingUpdateInput

  test.each(['id', 'code'] as const)('writes every kind of column, with the row found by its %s', async (key) => {
    const { db } = connect()
    const oracle = await makeThing(start)
    const { id, code } = await makeThing(start)
    await plain.everything.update({ where: { id: oracle.id }, data: all })
    const where = key === 'id' ? { id, version: 0 } : { code, version: 0 }
    const record = await db.everything.updateVersioned({ where, data: all })
    expect(record.version).toBe(1)
    expect(await storedIn('every thing', id)).toEqual(await storedIn('every thing', oracle.id))
  })

  test.each(['id', 'code'] as const)(
    'locks the row by its %s for the third attempt, and gives the function every kind of column',
    async (key) => {
      const { db, statements } = connect()
      const oracle = await makeThing(start)
      const { id, code } = await makeThing(start)
      const seen: object[] = []
      await plain.everything.update({ where: { id: oracle.id }, data: all })
      statements.length = 0
      await db.everything.updateVersioned({
        where: key === 'id' ? { id } : { code },
        data: async (current, attempt) => {
          seen.push(current)
          if (attempt < 3)
            await database.query(`UPDATE "every thing" SET "row version" = $1 WHERE id = $2`, [attempt, id])
          return all
        },
        retry: { baseDelay: 0 },
      })
      expect(statements.filter((sql) => sql.includes('FOR NO KEY UPDATE'))).toHaveLength(1)
      expect(seen).toEqual([0, 1, 2].map((version) => expect.objectContaining({ ...start, id, code, version })))
      expect(await storedIn('every thing', id)).toEqual(await storedIn('every thing', oracle.id))
    },
  )

  test('locks a row with a compound key for the third attempt', async () => {
    const { db, statements } = connect()
    const key = { productId: 1, warehouse: `north's "side"` }
    await db.stock.create({ data: { ...key, onHand: 10 } })
    const record = await db.stock.updateVersioned({
      where: { productId_warehouse: key },
      data: async ({ onHand }, attempt) => {
        if (attempt < 3) await database.query(`UPDATE "Stock" SET version = version + 1 WHERE "productId" = 1`)
        return { onHand: onHand - 1 }
      },
      retry: { baseDelay: 0 },
    })
    expect(statements.filter((sql) => sql.includes('FOR NO KEY UPDATE'))).toHaveLength(1)
    expect(record).toMatchObject({ ...key, onHand: 9, version: 3n })
  })

  test('locks the row also when filters stand beside its key', async () => {
    const { db, statements } = connect()
    const { id, code } = await makeThing({ text: 'found' })
    const isLocked: boolean[] = []
    await db.everything.updateVersioned({
      where: { code, NOT: { text: 'lost' }, OR: [{ flag: false }, { int: 0 }] },
      data: async (_current, attempt) => {
        if (attempt < 3)
          await database.query(`UPDATE "every thing" SET "row version" = $1 WHERE id = $2`, [attempt, id])
        const rows = await database.query(`SELECT FROM "every thing" WHERE id = $1 FOR UPDATE SKIP LOCKED`, [id])
        isLocked.push(rows.length === 0)
        return { int: 5 }
      },
      retry: { baseDelay: 0 },
    })
    expect(isLocked).toEqual([false, false, true])
    expect(statements.filter((sql) => sql.includes('FOR NO KEY UPDATE'))).toHaveLength(1)
  })
})

test('deleteVersioned checks a version whose column has another name', async () => {
  const { db } = connect()
  const { id, code } = await makeThing()
  expect(await rejectionOf(db.everything.deleteVersioned({ where: { code, version: 1 } }))).toMatchObject({
    code: 'VERSION_CONFLICT',
    actual: 0,
  })
  await db.everything.deleteVersioned({ where: { code, version: 0 } })
  expect(await db.everything.findUnique({ where: { id } })).toBeNull()
})
