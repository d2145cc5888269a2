import { describe, expect, test } from 'vitest'
import { concurrency, InvalidArgumentError } from '../../src/index.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

/** A call that the compiler refuses, and JavaScript does not. */
type Loose = (args: unknown) => Promise<unknown>
type Method = 'updateVersioned' | 'tryUpdateVersioned' | 'deleteVersioned'

/** A client that has sent nothing yet, and a product that it could write. */
async function arrange() {
  const { db, statements } = connect()
  const { id } = await db.product.create({ data: { name: 'Chai' } })
  statements.length = 0
  const call = (method: Method, args: unknown) => (db.product[method] as Loose).call(db.product, args)
  return { db, id, statements, call }
}

const BAD_VERSIONS = [
  ['undefined', undefined],
  ['null', null],
  ['NaN', Number.NaN],
  ['a fraction', 0.5],
  ['infinite', Number.POSITIVE_INFINITY],
  ['a string', '0'],
  ['a boolean', true],
  ['an array', [0]],
  ['a filter', { equals: 0 }],
  ['an empty filter', {}],
  ['negative', -1],
  ['a negative bigint', -1n],
  ['too large for an Int', 2_147_483_648],
  ['too large for any column', 2n ** 64n],
] as const

describe.each(BAD_VERSIONS)('a version in `where` that is %s is refused before any SQL', (_, version) => {
  test.each(['updateVersioned', 'tryUpdateVersioned'] as const)('by %s with an object', async (method) => {
    const { id, statements, call } = await arrange()
    const error = await rejectionOf(call(method, { where: { id, version }, data: { stock: 1 } }))
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'where.version' })
    expect(statements).toEqual([])
  })

  test.each(['updateVersioned', 'tryUpdateVersioned'] as const)('by %s with a function', async (method) => {
    const { id, statements, call } = await arrange()
    const error = await rejectionOf(call(method, { where: { id, version }, data: () => ({ stock: 1 }) }))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'where.version' })
    expect(statements).toEqual([])
  })

  test('by deleteVersioned', async () => {
    const { id, statements, call } = await arrange()
    const error = await rejectionOf(call('deleteVersioned', { where: { id, version } }))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'where.version' })
    expect(statements).toEqual([])
  })
})

describe('the version in `where`', () => {
  test('may be left out beside a function', async () => {
    const { id, call } = await arrange()
    expect(await call('updateVersioned', { where: { id }, data: () => ({ stock: 1 }) })).toMatchObject({ version: 1 })
  })

  test.each(['updateVersioned', 'tryUpdateVersioned'] as const)(
    'may not be left out of %s with an object',
    async (method) => {
      const { id, statements, call } = await arrange()
      const error = await rejectionOf(call(method, { where: { id }, data: { stock: 1 } }))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'where.version' })
      expect(statements).toEqual([])
    },
  )

  test('may not be left out of deleteVersioned', async () => {
    const { id, statements, call } = await arrange()
    const error = await rejectionOf(call('deleteVersioned', { where: { id } }))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'where.version' })
    expect(statements).toEqual([])
  })

  test('does not count when it is hidden in an AND', async () => {
    const { id, statements, call } = await arrange()
    const error = await rejectionOf(
      call('updateVersioned', { where: { id, AND: [{ version: 0 }] }, data: { stock: 1 } }),
    )
    expect(error).toMatchObject({ field: 'where.version' })
    expect(statements).toEqual([])
  })

  test('of a record that was read without it is refused with a hint to select it', async () => {
    const { db, id, statements, call } = await arrange()
    const read = (await db.product.findUniqueOrThrow({ where: { id }, select: { id: true } })) as { version?: number }
    statements.length = 0
    const error = await rejectionOf(
      call('updateVersioned', { where: { id, version: read.version }, data: { stock: 1 } }),
    )
    expect((error as Error).message).toContain('Select `version`')
    expect(statements).toEqual([])
  })

  test('may be a bigint for an Int column, and is the same version', async () => {
    const { id, call } = await arrange()
    expect(await call('updateVersioned', { where: { id, version: 0n }, data: { stock: 1 } })).toMatchObject({
      version: 1,
    })
    const error = await rejectionOf(call('updateVersioned', { where: { id, version: 0n }, data: { stock: 1 } }))
    expect(error).toMatchObject({ expected: 0, actual: 1 })
  })

  test.each([
    ['a number that a double cannot hold exactly', 2 ** 53],
    ['too large for a BigInt column', 2n ** 63n],
    ['a negative bigint', -1n],
  ])('of a BigInt column may not be %s', async (_, version) => {
    const { db, statements } = connect()
    await db.$queryRaw`SELECT 1`
    statements.length = 0
    const where = { productId_warehouse: { productId: 1, warehouse: 'Graz' }, version }
    const error = await rejectionOf((db.stock.updateVersioned as Loose).call(db.stock, { where, data: { onHand: 1 } }))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'where.version' })
    expect(statements).toEqual([])
  })

  test('has the name that the model gives it in the error', async () => {
    const db = database.connect().client.$extends(concurrency({ version: { field: 'revision' } }))
    const error = await rejectionOf(
      (db.document.updateVersioned as Loose).call(db.document, { where: { id: 'x', version: 1 }, data: {} }),
    )
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'where.revision' })
  })
})

describe('`where`', () => {
  test.each([[undefined], [null], [7], ['7'], [[{ id: 1, version: 0 }]]])('may not be %j', async (where) => {
    const { statements, call } = await arrange()
    const errors = [
      await rejectionOf(call('updateVersioned', { where, data: { stock: 1 } })),
      await rejectionOf(call('updateVersioned', { where, data: () => ({ stock: 1 }) })),
      await rejectionOf(call('deleteVersioned', { where })),
    ]
    expect(errors.map((error) => (error as InvalidArgumentError).field)).toEqual(['where', 'where', 'where'])
    expect(statements).toEqual([])
  })

  test.each([[{}], [{ id: undefined }], [{ name: 'Chai' }]])(
    'that names no single record, such as %j, writes nothing',
    async (row) => {
      const { statements, call } = await arrange()
      const errors = [
        await rejectionOf(call('updateVersioned', { where: { ...row, version: 0 }, data: { stock: 1 } })),
        await rejectionOf(call('updateVersioned', { where: row, data: () => ({ stock: 1 }) })),
        await rejectionOf(call('deleteVersioned', { where: { ...row, version: 0 } })),
      ]
      expect(errors.map((error) => (error as Error).name)).toEqual(Array(3).fill('PrismaClientValidationError'))
      expect(statements).toEqual([])
    },
  )
})

describe('`data`', () => {
  test.each([[0], [1], [null], [{ set: 1 }], [{ increment: 1 }], [{ increment: 0 }]])(
    'may not set the version to %j, and nothing is sent',
    async (version) => {
      const { id, statements, call } = await arrange()
      const error = await rejectionOf(
        call('updateVersioned', { where: { id, version: 0 }, data: { stock: 1, version } }),
      )
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'data.version' })
      expect(statements).toEqual([])
    },
  )

  test('that a function returns may not set the version either, and nothing is written', async () => {
    const { db, id, statements, call } = await arrange()
    let runs = 0
    const error = await rejectionOf(
      call('updateVersioned', { where: { id }, data: () => ({ stock: ++runs, version: 1 }) }),
    )
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'data.version' })
    expect(runs).toBe(1)
    expect(statements.some((sql) => sql.startsWith('UPDATE'))).toBe(false)
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 0, version: 0 })
  })

  test('may have a version that is undefined, as Prisma’s own may', async () => {
    const { id, call } = await arrange()
    const written = await call('updateVersioned', { where: { id, version: 0 }, data: { stock: 1, version: undefined } })
    expect(written).toMatchObject({ stock: 1, version: 1 })
  })

  test.each([[undefined], [null], [7], ['stock'], [[{ stock: 1 }]]])(
    'may not be %j, and nothing is sent',
    async (data) => {
      const { id, statements, call } = await arrange()
      const error = await rejectionOf(call('updateVersioned', { where: { id, version: 0 }, data }))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'data' })
      expect(statements).toEqual([])
    },
  )

  test.each([[null], [7], ['stock'], [[{ stock: 1 }]]])('that a function returns may not be %j', async (data) => {
    const { id, statements, call } = await arrange()
    const error = await rejectionOf(call('updateVersioned', { where: { id }, data: () => data }))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'data' })
    expect(statements.some((sql) => sql.startsWith('UPDATE'))).toBe(false)
  })

  test('with a field that the model does not have is Prisma’s own validation error', async () => {
    const { id, statements, call } = await arrange()
    const error = await rejectionOf(call('updateVersioned', { where: { id, version: 0 }, data: { stok: 1 } }))
    expect(error).toMatchObject({ name: 'PrismaClientValidationError' })
    expect(statements).toEqual([])
  })
})

describe('the arguments', () => {
  test.each([[undefined], [null], [7]])('may not be %j', async (args) => {
    const { statements, call } = await arrange()
    expect(await rejectionOf(call('updateVersioned', args))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(await rejectionOf(call('deleteVersioned', args))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(statements).toEqual([])
  })

  test.each([
    ['retry.attempts', { retry: { attempts: 0 } }],
    ['retry.attempts', { retry: { attempts: 1.5 } }],
    ['retry.deadline', { retry: { deadline: -1 } }],
    ['retry.baseDelay', { retry: { baseDelay: Number.NaN } }],
    ['retry.retryOn', { retry: { retryOn: 'always' } }],
    ['retry.retries', { retry: { retries: 3 } }],
    ['signal', { signal: new AbortController() }],
  ])('%s must make sense, or nothing is sent', async (field, options) => {
    const { id, statements, call } = await arrange()
    const errors = [
      await rejectionOf(call('updateVersioned', { where: { id, version: 0 }, data: { stock: 1 }, ...options })),
      await rejectionOf(call('updateVersioned', { where: { id }, data: () => ({ stock: 1 }), ...options })),
      await rejectionOf(call('deleteVersioned', { where: { id, version: 0 }, ...options })),
    ]
    expect(errors.map((error) => (error as InvalidArgumentError).field)).toEqual([field, field, field])
    expect(statements).toEqual([])
  })
})

describe('a model without a version column', () => {
  test.each([
    ['note', "Note has no field 'version'"],
    ['release', "Release has a field 'version' that is of type String"],
    ['document', "Document has no field 'version'"],
  ] as const)('%s is a ConfigurationError that says what it lacks', async (model, message) => {
    const { db, statements } = connect()
    await db.$queryRaw`SELECT 1`
    statements.length = 0
    const delegate = db[model] as unknown as Record<Method, Loose>
    const where = { id: 1, version: 0 }
    for (const method of ['updateVersioned', 'tryUpdateVersioned', 'deleteVersioned'] as const) {
      const error = await rejectionOf(delegate[method](method === 'deleteVersioned' ? { where } : { where, data: {} }))
      expect(error).toMatchObject({ code: 'CONFIGURATION', message: expect.stringContaining(message) })
    }
    expect(statements).toEqual([])
  })

  test('is one that the options say is none', async () => {
    const db = database.connect().client.$extends(concurrency({ version: { models: { Product: false } } }))
    const error = await rejectionOf(
      (db.product.updateVersioned as unknown as Loose).call(db.product, { where: { id: 1, version: 0 }, data: {} }),
    )
    expect(error).toMatchObject({ code: 'CONFIGURATION', message: expect.stringContaining('Product') })
  })
})
