import { describe, expect, test } from 'vitest'
import { ConfigurationError, type ConfigurationIssue, concurrency } from '../../src/index.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

/** The mistakes that are named when a client is extended with these options. */
function issuesOf(options: unknown): readonly ConfigurationIssue[] {
  const { client } = database.connect()
  try {
    client.$extends(concurrency(options as never))
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError)
    return (error as ConfigurationError).issues
  }
  return []
}

const versions = (version: unknown) => issuesOf({ version })
const models = (models: unknown) => issuesOf({ version: { models } })

describe('options that are right', () => {
  test.each([
    ['none', undefined],
    ['empty ones', {}],
    ['undefined ones', { version: undefined, retry: undefined }],
    ['a field for one model', { version: { models: { Document: { field: 'revision' } } } }],
    ['the same field for all models that have it', { version: { field: 'revision' } }],
    ['a model that is not versioned', { version: { field: 'version', models: { Release: false } } }],
    ['every retry option', { retry: { attempts: 1, baseDelay: 0, maxDelay: 0, deadline: 1, retryOn: () => true } }],
  ])('%s', (_what, options) => {
    expect(issuesOf(options)).toEqual([])
  })
})

describe('options that are wrong are named with their path when the client is extended', () => {
  test.each<[string, unknown, string, string]>([
    ['an unknown option', { versions: {} }, 'versions', 'is not an option'],
    ['an unknown version option', { version: { feild: 'x' } }, 'version.feild', 'is not an option'],
    ['an unknown retry option', { retry: { atempts: 3 } }, 'retry.atempts', 'is not an option'],
    ['a version that is no object', { version: 'revision' }, 'version', 'object'],
    ['a field that is no string', { version: { field: 5 } }, 'version.field', 'must be the name of a field'],
    ['an empty field', { version: { field: '' } }, 'version.field', 'must not be empty'],
    ['a bump that is no boolean', { version: { bumpPlainWrites: 'no' } }, 'version.bumpPlainWrites', 'true or false'],
    ['no attempts', { retry: { attempts: 0 } }, 'retry.attempts', 'at least 1'],
    ['attempts with a fraction', { retry: { attempts: 1.5 } }, 'retry.attempts', 'whole number'],
    ['attempts without end', { retry: { attempts: Number.POSITIVE_INFINITY } }, 'retry.attempts', 'whole number'],
    ['a negative base delay', { retry: { baseDelay: -1 } }, 'retry.baseDelay', 'negative'],
    ['a negative longest delay', { retry: { maxDelay: -1 } }, 'retry.maxDelay', 'negative'],
    ['a base delay of NaN', { retry: { baseDelay: Number.NaN } }, 'retry.baseDelay', 'number of ms'],
    ['a deadline of 0', { retry: { deadline: 0 } }, 'retry.deadline', 'at least 1 ms'],
    ['a deadline that no timer can wait for', { retry: { deadline: 2 ** 31 } }, 'retry.deadline', '2147483647'],
    ['a deadline that is a string', { retry: { deadline: '5s' } }, 'retry.deadline', 'number of ms'],
    ['a retryOn that is no function', { retry: { retryOn: 'P2002' } }, 'retry.retryOn', 'function'],
  ])('%s', (_what, options, path, message) => {
    expect(issuesOf(options)).toEqual([{ path, message: expect.stringContaining(message) }])
  })

  test('options that are no object', () => {
    expect(issuesOf('version')).toEqual([{ path: '', message: expect.stringContaining('object') }])
  })

  test.each<[string, unknown, string, string]>([
    ['an unknown model', { Produkt: {} }, 'version.models.Produkt', 'is not a model. The models are Category, Product'],
    ['a model in lower case', { product: false }, 'version.models.product', 'Do you mean Product?'],
    ['a model set to true', { Product: true }, 'version.models.Product', 'must be an object of options, or false'],
    ['an unknown option of a model', { Product: { feild: 'x' } }, 'version.models.Product.feild', 'is not an option'],
    [
      'a field of a model that is no string',
      { Product: { field: 1 } },
      'version.models.Product.field',
      'name of a field',
    ],
    [
      'a bump of a model that is no boolean',
      { Product: { bumpPlainWrites: 1 } },
      'version.models.Product.bumpPlainWrites',
      'true or false',
    ],
    [
      'a field that there is not',
      { Product: { field: 'nope' } },
      'version.models.Product.field',
      "has no field 'nope'",
    ],
    ['a field of another type', { Product: { field: 'name' } }, 'version.models.Product.field', 'of type String'],
    ['a field that is an enum', { Everything: { field: 'kind' } }, 'version.models.Everything.field', 'of type Kind'],
    [
      'a field that is a relation',
      { Product: { field: 'category' } },
      'version.models.Product.field',
      'of type Category',
    ],
    ['a field that is nullable', { Product: { field: 'categoryId' } }, 'version.models.Product.field', 'nullable'],
    ['a field that is a list', { Everything: { field: 'numbers' } }, 'version.models.Everything.field', 'a list'],
    ['a field that is a Float', { Everything: { field: 'float' } }, 'version.models.Everything.field', 'of type Float'],
    [
      'an option of a model that has no version column',
      { Note: { bumpPlainWrites: false } },
      'version.models.Note',
      "Note has no field 'version'",
    ],
    ['a model whose field has another type', { Release: {} }, 'version.models.Release', 'of type String'],
  ])('%s', (_what, options, path, message) => {
    expect(models(options)).toEqual([{ path, message: expect.stringContaining(message) }])
  })

  test('a field for all models that no model has', () => {
    expect(versions({ field: 'nope' })).toEqual([{ path: 'version.field', message: expect.stringContaining("'nope'") }])
  })

  test('a field for all models that is of another type in one of them', () => {
    expect(versions({ field: 'version' })).toEqual([
      { path: 'version.field', message: expect.stringContaining('Release has a field') },
    ])
  })

  test('all of the form, in one error', () => {
    const options = {
      lok: 1,
      version: { field: '', models: { Product: { feild: 'x', bumpPlainWrites: 1 }, Order: true } },
      retry: { attempts: 0, baseDelay: -1, once: true },
    }
    expect(
      issuesOf(options)
        .map(({ path }) => path)
        .sort(),
    ).toEqual([
      'lok',
      'retry.attempts',
      'retry.baseDelay',
      'retry.once',
      'version.field',
      'version.models.Order',
      'version.models.Product.bumpPlainWrites',
      'version.models.Product.feild',
    ])
  })

  test('all that does not fit the schema, in one error, whose message has every line', () => {
    const { client } = database.connect()
    const extension = concurrency({
      version: { models: { Produkt: {}, Product: { field: 'nope' }, Everything: { field: 'numbers' } } },
    } as never)
    expect(() => client.$extends(extension)).toThrow(
      /^version\.models\.Produkt: .*\nversion\.models\.Product\.field: .*\nversion\.models\.Everything\.field: .*$/,
    )
  })

  test('before any SQL', () => {
    const { client, statements } = database.connect()
    expect(() => client.$extends(concurrency({ retry: { attempts: 0 } }))).toThrow(ConfigurationError)
    expect(statements).toEqual([])
  })
})

describe('a model that is not versioned is refused with the reason', () => {
  const refusal = (options: unknown, model: 'note' | 'release' | 'product' | 'document') => {
    const db = database.connect().client.$extends(concurrency(options as never))
    const delegate = db[model] as unknown as ReturnType<typeof connect>['db']['product']
    return rejectionOf(delegate.updateVersioned({ where: { id: 1, version: 0 }, data: {} }))
  }

  test.each<[string, unknown, Parameters<typeof refusal>[1], string]>([
    ['no field', {}, 'note', "Note has no field 'version'"],
    ['a field of another type', {}, 'release', 'of type String'],
    ['a column of another name', {}, 'document', "Document has no field 'version'"],
    ['set to false', { version: { models: { Product: false } } }, 'product', 'Product is set to `false`'],
  ])('%s', async (_what, options, model, message) => {
    expect(await refusal(options, model)).toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining(message),
    })
  })
})

describe('the retry options of a call', () => {
  const wrong: readonly [string, object, string][] = [
    ['no attempts', { retry: { attempts: 0 } }, 'retry.attempts'],
    ['a negative delay', { retry: { baseDelay: -1 } }, 'retry.baseDelay'],
    ['an unknown option', { retry: { atempts: 3 } }, 'retry.atempts'],
    ['no object', { retry: 3 }, 'retry'],
    ['a signal that is none', { signal: 'stop' }, 'signal'],
  ]

  test.each(wrong)('are checked before any SQL: %s', async (_what, options, field) => {
    const { db, statements } = connect()
    const where = { id: 1, version: 0 }
    const calls = [
      db.product.updateVersioned({ where, data: {}, ...(options as object) }),
      db.product.updateVersioned({ where: { id: 1 }, data: () => ({}), ...(options as object) }),
      db.product.tryUpdateVersioned({ where, data: {}, ...(options as object) }),
      db.product.deleteVersioned({ where, ...(options as object) }),
      db.product.updateManyVersioned([{ where, data: {} }], options as object),
      db.$transactionWithRetry(async () => {}, options as object),
    ]
    for (const call of calls) expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })

  test('go over those of the client, one by one', async () => {
    const db = database.connect().client.$extends(concurrency({ retry: { attempts: 2, baseDelay: 0 } }))
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    let runs = 0
    const lose = (retry: object) =>
      rejectionOf(
        db.product.updateVersioned({
          where: { id },
          data: async ({ stock }) => {
            runs++
            await database.query(`UPDATE "Product" SET version = version + 1 WHERE id = $1`, [id])
            return { stock: stock + 1 }
          },
          retry,
        }),
      )
    await lose({ maxDelay: 1 })
    const byClient = runs
    await lose({ attempts: 1 })
    expect([byClient, runs - byClient]).toEqual([2, 1])
  })
})
