import { describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { rejectionOf } from '../support/rejection.js'
import { newId, useSerials } from '../support/serials.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect, newProduct, owners, isNoted } = useSerials()

const patient = { retry: { deadline: 100_000 } }
const numbers = async (productId: number) => Object.keys(await owners(productId))

describe('a range', () => {
  test('is imported from its first number to its last, each padded as the format says', async () => {
    const { db } = connect()
    const productId = await newProduct(0)
    const range = { from: 8, to: 11, format: 'SN-{0000}/A' }

    const outcome = await db.$serials.import({ transactionId: newId(), data: { productId, orderId: 3 }, range })

    expect(outcome).toEqual({ imported: 4, replayed: false })
    expect(await db.serial.findMany({ where: { productId }, orderBy: { number: 'asc' } })).toEqual(
      ['SN-0008/A', 'SN-0009/A', 'SN-0010/A', 'SN-0011/A'].map((number) => ({
        productId,
        number,
        transactionId: null,
        orderId: 3,
      })),
    )
  })

  test.each([
    ['{0}', ['9', '10']],
    ['{{x}}{00}', ['{x}09', '{x}10']],
    ['{{{00}}}', ['{09}', '{10}']],
    [`'"$1\\%s{00}`, [`'"$1\\%s09`, `'"$1\\%s10`]],
    ['Gerät 🔑 {000}', ['Gerät 🔑 009', 'Gerät 🔑 010']],
  ])('of the format %s makes %s', async (format, made) => {
    const { db } = connect()
    const productId = await newProduct(0)

    await db.$serials.import({ transactionId: newId(), data: { productId }, range: { from: 9n, to: 10, format } })

    expect((await numbers(productId)).sort()).toEqual([...made].sort())
  })

  test('ends exactly where its format ends', async () => {
    const { db } = connect()
    const productId = await newProduct(0)

    await db.$serials.import({
      transactionId: newId(),
      data: { productId },
      range: { from: 98, to: 99, format: '{00}' },
    })

    expect(await numbers(productId)).toEqual(['98', '99'])
  })

  test('may have the highest numbers that there are', async () => {
    const { db } = connect()
    const productId = await newProduct(0)
    const to = 2n ** 63n - 1n

    await db.$serials.import({
      transactionId: newId(),
      data: { productId },
      range: { from: to - 1n, to, format: '{0}' },
    })

    expect(await numbers(productId)).toEqual([String(to - 1n), String(to)])
  })

  test('of more than two chunks is complete, without gaps and without doubles', async () => {
    const { db, statements } = connect()
    const productId = await newProduct(0)
    const range = { from: 1, to: 45_001, format: '{00000}' }
    statements.length = 0

    const outcome = await db.$serials.import({ transactionId: newId(), data: { productId }, range, timeout: 100_000 })

    expect(outcome).toEqual({ imported: 45_001, replayed: false })
    const [row] = await database.query(
      `SELECT count(*)::int, min(number), max(number) FROM "Serial" WHERE "productId" = $1`,
      [productId],
    )
    expect(row).toEqual({ count: 45_001, min: '00001', max: '45001' })
    expect(statements.filter((sql) => sql.startsWith('WITH entry'))).toHaveLength(3)
    expect(statements.filter((sql) => sql.startsWith('BEGIN'))).toHaveLength(1)
  })
})

describe('numbers', () => {
  test('are imported as they are, in chunks if they are many', async () => {
    const { db } = connect()
    const productId = await newProduct(0)
    const given = Array.from({ length: 20_003 }, (_, i) => `n${i} '"`)

    const outcome = await db.$serials.import({
      transactionId: newId(),
      data: { productId },
      numbers: given,
      ...patient,
    })

    expect(outcome).toEqual({ imported: 20_003, replayed: false })
    expect((await numbers(productId)).sort()).toEqual([...given].sort())
  })

  test('in another order are the same import', async () => {
    const { db } = connect()
    const productId = await newProduct(0)
    const transactionId = newId()
    await db.$serials.import({ transactionId, data: { productId }, numbers: ['a', 'b'] })

    const outcome = await db.$serials.import({ transactionId, data: { productId }, numbers: ['b', 'a'] })

    expect(outcome).toEqual({ imported: 2, replayed: true })
  })
})

describe('an import', () => {
  test('happens once per transaction id, also after the serials were taken', async () => {
    const { db } = connect()
    const productId = await newProduct(0)
    const request = { transactionId: newId(), data: { productId }, range: { from: 1, to: 3, format: 'S-{0}' } }
    await db.$serials.import(request)
    const owner = newId()
    await db.$serials.allocate({ transactionId: owner, where: { productId }, count: 3 })

    expect(await db.$serials.import(request)).toEqual({ imported: 3, replayed: true })
    expect(await owners(productId)).toEqual({ 'S-1': owner, 'S-2': owner, 'S-3': owner })
  })

  test('asked for by many at once happens once', async () => {
    const { db } = connect()
    const productId = await newProduct(0)
    const request = {
      transactionId: newId(),
      data: { productId },
      range: { from: 1, to: 50, format: '{00}' },
      ...patient,
    }

    const outcomes = await Promise.all(Array.from({ length: 10 }, () => db.$serials.import(request)))

    expect(outcomes.filter(({ replayed }) => !replayed)).toEqual([{ imported: 50, replayed: false }])
    expect(outcomes.filter(({ imported }) => imported === 50)).toHaveLength(10)
    expect(await db.$serials.free({ productId })).toBe(50)
  })

  test.each([
    [['to'], { range: { from: 1, to: 4, format: '{00}' } }],
    [['format'], { range: { from: 1, to: 3, format: '{000}' } }],
    [['data.orderId'], { data: { orderId: 1 } }],
    [['from', 'to', 'format', 'numbers'], { range: undefined, numbers: ['01'] }],
  ])('with other %s under the same transaction id is refused', async (fields, other) => {
    const { db } = connect()
    const productId = await newProduct(0)
    const request = { transactionId: newId(), data: { productId }, range: { from: 1, to: 3, format: '{00}' } }
    await db.$serials.import(request)

    const data = { productId, ...(other as { data?: object }).data }
    const error = await rejectionOf(db.$serials.import({ ...request, ...other, data } as typeof request))

    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: expect.arrayContaining(fields) })
    expect((error as { fields: string[] }).fields).toHaveLength(fields.length)
    expect(await db.$serials.free({ productId })).toBe(3)
  })

  test.each([
    { what: 'a range', source: { range: { from: 1, to: 9, format: 'S-{0}' } } },
    { what: 'numbers', source: { numbers: ['S-9', 'S-8', 'S-3', 'S-2', 'S-1'] } },
  ])('of $what of which some are there is refused, names them, and imports nothing', async ({ source }) => {
    const { db } = connect()
    const productId = await newProduct(3)
    const transactionId = newId()

    const error = await rejectionOf(db.$serials.import({ transactionId, data: { productId }, ...source }))

    expect(error).toMatchObject({
      code: 'DUPLICATE_SERIALS',
      transactionId,
      numbers: ['S-1', 'S-2', 'S-3'],
      message: expect.stringContaining('S-1, S-2, S-3'),
    })
    expect(await numbers(productId)).toEqual(['S-1', 'S-2', 'S-3'])
    expect(await isNoted(transactionId)).toBe(false)
  })

  test('that meets a number in its last chunk imports none of the chunks before, and names five at most', async () => {
    const { db } = connect()
    const productId = await newProduct(0)
    const there = { from: 40_001, to: 40_009, format: '{00000}' }
    await db.$serials.import({ transactionId: newId(), data: { productId }, range: there })

    const range = { from: 1, to: 41_000, format: '{00000}' }
    const error = await rejectionOf(
      db.$serials.import({ transactionId: newId(), data: { productId }, range, timeout: 100_000 }),
    )

    expect(error).toMatchObject({ code: 'DUPLICATE_SERIALS', numbers: expect.arrayContaining([]) })
    expect((error as { numbers: string[] }).numbers).toHaveLength(5)
    expect(await db.$serials.free({ productId })).toBe(9)
  })

  test('of numbers that another product has is none of its business', async () => {
    const { db } = connect()
    await newProduct(3)
    const productId = await newProduct(0)

    expect(await db.$serials.import({ transactionId: newId(), data: { productId }, numbers: ['S-1'] })).toEqual({
      imported: 1,
      replayed: false,
    })
  })

  test.each([
    { end: 'COMMIT', becomes: 'refused when those are committed' },
    { end: 'ROLLBACK', becomes: 'done when those are not' },
  ])('that meets numbers which somebody else is about to add waits, and is $becomes', async ({ end }) => {
    const { db } = connect()
    const productId = await newProduct(0)
    const insert = 'INSERT INTO "Serial" ("productId", number) VALUES ($1, $2)'
    const other = await openTransaction(database.url, insert, [productId, 'S-2'])

    const range = { from: 1, to: 3, format: 'S-{0}' }
    const call = db.$serials.import({ transactionId: newId(), data: { productId }, range, ...patient })
    const outcome = call.catch((error) => error.code)
    await untilBlocked(database.url)
    await other.query(end)

    expect(await outcome).toEqual(end === 'COMMIT' ? 'DUPLICATE_SERIALS' : { imported: 3, replayed: false })
  })
})

test.each<[field: string, args: object]>([
  ['transactionId', { transactionId: 7 }],
  ['range', {}],
  ['range', { numbers: ['a'], range: { from: 1, to: 2, format: '{0}' } }],
  ['range', { range: [1, 2] }],
  ['range.from', { range: { from: -1, to: 2, format: '{0}' } }],
  ['range.from', { range: { from: 1.5, to: 2, format: '{0}' } }],
  ['range.from', { range: { from: '1', to: 2, format: '{0}' } }],
  ['range.to', { range: { from: 1, to: 2n ** 63n, format: '{0}' } }],
  ['range.to', { range: { from: 3, to: 2, format: '{0}' } }],
  ['range.to', { range: { from: 1, to: 100, format: '{00}' } }],
  ['range', { range: { from: 0, to: 2 ** 31 - 1, format: '{0}' } }],
  ['range.step', { range: { from: 1, to: 2, format: '{0}', step: 2 } }],
  ['range.format', { range: { from: 1, to: 2, format: 'SN' } }],
  ['range.format', { range: { from: 1, to: 2, format: '{0}{0}' } }],
  ['range.format', { range: { from: 1, to: 2, format: '{yyyy}-{0}' } }],
  ['range.format', { range: { from: 1, to: 2, format: '{0' } }],
  ['range.format', { range: { from: 1, to: 2, format: '{00}}' } }],
  ['range.format', { range: { from: 1, to: 2, format: '\0{0}' } }],
  ['numbers', { numbers: [] }],
  ['numbers', { numbers: ['a', 'b', 'a'] }],
  ['numbers.1', { numbers: ['a', ''] }],
  ['numbers.0', { numbers: ['x'.repeat(1_001)] }],
  ['data.productId', { numbers: ['a'], data: {} }],
  ['data.productId', { numbers: ['a'], data: { productId: '7' } }],
  ['data.number', { numbers: ['a'], data: { productId: 7, number: 'b' } }],
  ['data.transactionId', { numbers: ['a'], data: { productId: 7, transactionId: 'b' } }],
  ['data.colour', { numbers: ['a'], data: { productId: 7, colour: 'red' } }],
  ['timeout', { numbers: ['a'], timeout: 0 }],
])('an import with a wrong %s is refused, and nothing is sent', async (field, args) => {
  const { db, statements } = connect()

  const call = db.$serials.import({ transactionId: newId(), data: { productId: 7 }, ...args } as never)

  expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  expect(statements).toEqual([])
})
