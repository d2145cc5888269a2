import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { serialsSchema, serialsSql } from '../../src/serials/schema.js'
import { createClient } from '../support/clients.js'
import { openConnection } from '../support/connection.js'
import { rejectionOf } from '../support/rejection.js'
import { newId, numbersOf, useSerials } from '../support/serials.js'

const { database, connect, newProduct, owners, isNoted } = useSerials()

test('the printed models and SQL are those of the schema and the migration of these tests', async () => {
  const schema = await readFile(new URL('../../prisma/schema.prisma', import.meta.url), 'utf8')
  const folder = '../../prisma/migrations/20261124000003_serials/migration.sql'
  const migration = await readFile(new URL(folder, import.meta.url), 'utf8')

  expect(schema).toContain(serialsSchema())
  expect(migration).toContain(serialsSql())
})

const COMPANY = { serial: 'CompanySerial', allocation: 'CompanySerialAllocation', history: 'CompanySerialHistory' }
const DEVICE = { serial: 'Device', allocation: 'DeviceAllocation', history: 'DeviceHistory', state: true }

test('printed with a scope, a history and states, they are those of the schema and the migration of these tests', async () => {
  const schema = await readFile(new URL('../../prisma/schema.prisma', import.meta.url), 'utf8')
  const folder = '../../prisma/migrations/20261129600000_company_serials/migration.sql'
  const migration = await readFile(new URL(folder, import.meta.url), 'utf8')
  const printed = serialsSchema({ scope: ['tenant', 'site'], serial: 'Key', allocation: 'Grant' })

  expect(printed).toMatch(/@@id\(\[tenant, site, productId, number\]\)[\s\S]*@@id\(\[tenant, site, transactionId\]\)/)
  expect(schema).toContain(`  @@id([companyId, productId, number])
  @@index([companyId, transactionId, productId, number])`)
  expect(schema).toContain(serialsSchema({ ...COMPANY, scope: ['companyId'] }))
  expect(schema).toContain(serialsSchema(DEVICE))
  expect(migration).toBe(`${await serialsSql({ ...COMPANY, scope: ['companyId'] })}\n${await serialsSql(DEVICE)}\n`)
  expect(await serialsSql({ scope: ['companyId'] })).toContain('PRIMARY KEY ("companyId","transactionId")')
})

test('models of other names are printed by those names throughout', () => {
  expect(serialsSchema('Device', 'DeviceGrant')).toMatch(/^model Device \{[\s\S]*^model DeviceGrant \{/m)
  expect(serialsSql('Device', 'DeviceGrant')).not.toMatch(/Serial/)
})

describe('allocate', () => {
  test('takes the first free serials, sets what is to be set, and returns the whole records', async () => {
    const { db } = connect()
    const productId = await newProduct(5)
    const transactionId = newId()

    const outcome = await db.$serials.allocate({ transactionId, where: { productId }, count: 2, data: { orderId: 9 } })

    const taken = { productId, transactionId, orderId: 9 }
    expect(outcome).toEqual({
      serials: [
        { ...taken, number: 'S-1' },
        { ...taken, number: 'S-2' },
      ],
      replayed: false,
    })
    expect(await db.serial.findMany({ where: { transactionId }, orderBy: { number: 'asc' } })).toEqual(outcome.serials)
    expect(await db.$serials.free({ productId })).toBe(3)
  })

  test('gives a duplicate the same serials, and takes no others', async () => {
    const { db } = connect()
    const productId = await newProduct(5)
    const request = { transactionId: newId(), where: { productId }, count: 2, data: { orderId: 9 } }
    const { serials } = await db.$serials.allocate(request)

    expect(await db.$serials.allocate(request)).toEqual({ serials, replayed: true })
    expect(await db.$serials.free({ productId })).toBe(3)
  })

  test.each([
    ['count', { count: 3 }],
    ['where.number', { where: { number: 'S-4' } }],
    ['data.orderId', { data: { orderId: 10 } }],
    ['partial', { partial: true }],
  ])('refuses a transaction id that came with another %s before', async (field, other) => {
    const { db } = connect()
    const productId = await newProduct(5)
    const request = { transactionId: newId(), where: { productId }, count: 1, data: { orderId: 9 } }
    await db.$serials.allocate(request)

    const where = { productId, ...(other as { where?: object }).where }
    const error = await rejectionOf(db.$serials.allocate({ ...request, ...other, where }))

    expect(error).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
      model: 'SerialAllocation',
      where: { transactionId: request.transactionId },
      fields: [field],
    })
    expect(await db.$serials.free({ productId })).toBe(4)
  })

  test('refuses a transaction id that was imported under', async () => {
    const { db } = connect()
    const productId = await newProduct(1)
    const transactionId = newId()
    await db.$serials.import({ transactionId, data: { productId }, numbers: ['T-1'] })

    const error = await rejectionOf(db.$serials.allocate({ transactionId, where: { productId }, count: 1 }))

    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['operation'] })
  })

  test('takes one particular serial, or none', async () => {
    const { db } = connect()
    const productId = await newProduct(3)
    const particular = { where: { productId, number: 'S-2' }, count: 1 }

    expect(numbersOf(await db.$serials.allocate({ transactionId: newId(), ...particular }))).toEqual(['S-2'])
    expect(await rejectionOf(db.$serials.allocate({ transactionId: newId(), ...particular }))).toMatchObject({
      free: 0,
    })
  })

  test('takes a serial by a value that is null, too', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    await database.query('UPDATE "Serial" SET "orderId" = 1 WHERE "productId" = $1 AND number = $2', [productId, 'S-1'])

    const outcome = await db.$serials.allocate({
      transactionId: newId(),
      where: { productId, orderId: null },
      count: 1,
    })

    expect(numbersOf(outcome)).toEqual(['S-2'])
  })

  test('takes any serial where it is not said which', async () => {
    const { db } = connect()
    await newProduct(1)

    expect((await db.$serials.allocate({ transactionId: newId(), where: {}, count: 1 })).serials).toHaveLength(1)
  })

  test('refuses all where there are too few, says how many are free, and leaves nothing', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    const request = { transactionId: newId(), where: { productId }, count: 3 }

    const error = await rejectionOf(db.$serials.allocate(request))

    expect(error).toMatchObject({
      code: 'INSUFFICIENT_SERIALS',
      transactionId: request.transactionId,
      requested: 3,
      free: 2,
    })
    expect(await owners(productId)).toEqual({ 'S-1': null, 'S-2': null })
    expect(await isNoted(request.transactionId)).toBe(false)
  })

  test('that was refused succeeds under the same transaction id when there are enough', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    const request = { transactionId: newId(), where: { productId }, count: 3 }
    await rejectionOf(db.$serials.allocate(request))
    await db.$serials.import({ transactionId: newId(), data: { productId }, numbers: ['S-3'] })

    expect(await db.$serials.allocate(request)).toMatchObject({ replayed: false, serials: [{}, {}, {}] })
  })

  test('takes as many as there are where fewer will do, and a duplicate gets no more after an import', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    const request = { transactionId: newId(), where: { productId }, count: 3, partial: true }

    const first = await db.$serials.allocate(request)
    await db.$serials.import({ transactionId: newId(), data: { productId }, numbers: ['S-3'] })
    const second = await db.$serials.allocate(request)

    expect(numbersOf(first)).toEqual(['S-1', 'S-2'])
    expect(second).toEqual({ serials: first.serials, replayed: true })
    expect(
      await database.query('SELECT count FROM "SerialAllocation" WHERE "transactionId" = $1', [request.transactionId]),
    ).toEqual([{ count: 2 }])
  })

  test('takes all that was asked for, and no more, where fewer would do', async () => {
    const { db } = connect()
    const productId = await newProduct(3)

    const outcome = await db.$serials.allocate({
      transactionId: newId(),
      where: { productId },
      count: 2,
      partial: true,
    })

    expect(numbersOf(outcome)).toEqual(['S-1', 'S-2'])
  })

  test('answers with none where there is none and fewer will do, and remembers it', async () => {
    const { db } = connect()
    const productId = await newProduct(0)
    const request = { transactionId: newId(), where: { productId }, count: 3, partial: true }

    expect(await db.$serials.allocate(request)).toEqual({ serials: [], replayed: false })
    expect(await db.$serials.allocate(request)).toEqual({ serials: [], replayed: true })
  })

  test('is one statement where there are enough, and three for a duplicate', async () => {
    const { db, statements } = connect()
    const productId = await newProduct(4)
    await db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 1 }) // looks into the catalogue
    const request = { transactionId: newId(), where: { productId }, count: 2 }
    statements.length = 0

    await db.$serials.allocate(request)
    expect(statements).toHaveLength(1)

    await db.$serials.allocate(request)
    expect(statements).toHaveLength(4)
  })

  test('finds the first free serials of fifty thousand by the index, since the import has told the planner of them', async () => {
    const { db, statements } = connect()
    const productId = await newProduct(0)
    const range = { from: 1, to: 50_000, format: 'N-{000000}' }
    await db.$serials.import({ transactionId: newId(), data: { productId }, range, timeout: 60_000 })
    statements.length = 0
    await db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 3 })

    const explainer = await openConnection(database.url)
    const sql = statements.find((statement) => statement.startsWith('WITH '))
    await explainer.query('SET plan_cache_mode = force_generic_plan') // which is kept for every product and every count
    await explainer.query(`PREPARE allocate AS ${sql}`)
    const { rows } = await explainer.query(`EXPLAIN EXECUTE allocate('[]', '[]')`)
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')

    const [{ known }] = await database.query(`SELECT reltuples AS known FROM pg_class WHERE oid = '"Serial"'::regclass`)
    expect(known).toBeGreaterThanOrEqual(50_000)
    expect(plan).toMatch(/LockRows[^\n]*\n[^\n]*Index Scan using "Serial_transactionId/)
    expect(plan).toMatch(/Index Scan using "Serial_pkey"/)
    expect(plan).not.toMatch(/Seq Scan/)
    // From 100,000 on, PostgreSQL compiles a plan before it runs it, which would take longer than all of it.
    expect(Number(/cost=[\d.]+\.\.(\d+)/.exec(plan)?.[1])).toBeLessThan(100_000)
  })
})

describe('release', () => {
  test('frees all serials of a transaction id, for others to take', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    const transactionId = newId()
    await db.$serials.allocate({ transactionId, where: { productId }, count: 2 })

    expect(await db.$serials.release({ transactionId })).toEqual({ released: 2 })
    const next = await db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 2 })
    expect(numbersOf(next)).toEqual(['S-1', 'S-2'])
  })

  test('frees those that are named, and a duplicate of the allocation gets the rest', async () => {
    const { db } = connect()
    const productId = await newProduct(3)
    const request = { transactionId: newId(), where: { productId }, count: 3 }
    await db.$serials.allocate(request)

    const outcome = await db.$serials.release({ transactionId: request.transactionId, numbers: ['S-2', 'S-9'] })

    expect(outcome).toEqual({ released: 1 })
    const again = await db.$serials.allocate(request)
    expect({ numbers: numbersOf(again), replayed: again.replayed }).toEqual({ numbers: ['S-1', 'S-3'], replayed: true })
  })

  test('frees none where none is named', async () => {
    const { db } = connect()
    const productId = await newProduct(1)
    const transactionId = newId()
    await db.$serials.allocate({ transactionId, where: { productId }, count: 1 })

    expect(await db.$serials.release({ transactionId, numbers: [] })).toEqual({ released: 0 })
  })

  test('a second time frees nothing, also when somebody else has the serials by then', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    const [mine, theirs] = [newId(), newId()]
    await db.$serials.allocate({ transactionId: mine, where: { productId }, count: 2 })
    await db.$serials.release({ transactionId: mine })
    await db.$serials.allocate({ transactionId: theirs, where: { productId }, count: 2 })

    expect(await db.$serials.release({ transactionId: mine })).toEqual({ released: 0 })
    expect(await db.$serials.release({ transactionId: mine, numbers: ['S-1'] })).toEqual({ released: 0 })
    expect(await owners(productId)).toEqual({ 'S-1': theirs, 'S-2': theirs })
  })

  test('makes a late duplicate of the allocation take nothing', async () => {
    const { db } = connect()
    const productId = await newProduct(3)
    const request = { transactionId: newId(), where: { productId }, count: 3 }
    await db.$serials.allocate(request)
    await db.$serials.release({ transactionId: request.transactionId })

    expect(await db.$serials.allocate(request)).toEqual({ serials: [], replayed: true })
    expect(await db.$serials.free({ productId })).toBe(3)
  })

  test('takes back what the allocation had set, and nothing else', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    const [one, other] = [newId(), newId()]
    await db.$serials.allocate({ transactionId: one, where: { productId }, count: 1, data: { orderId: 9 } })
    await db.$serials.allocate({ transactionId: other, where: { productId }, count: 1 })
    await db.serial.updateMany({ where: { transactionId: other }, data: { orderId: 10 } })

    await db.$serials.release({ transactionId: one })
    await db.$serials.release({ transactionId: other })

    expect(await db.serial.findMany({ where: { productId }, orderBy: { number: 'asc' } })).toEqual([
      { productId, number: 'S-1', transactionId: null, orderId: null },
      { productId, number: 'S-2', transactionId: null, orderId: 10 },
    ])
  })

  test('of an unknown transaction id frees nothing and leaves nothing, so that it can be allocated for later', async () => {
    const { db } = connect()
    const productId = await newProduct(1)
    const transactionId = newId()

    expect(await db.$serials.release({ transactionId })).toEqual({ released: 0 })
    expect(await isNoted(transactionId)).toBe(false)
    expect(await db.$serials.allocate({ transactionId, where: { productId }, count: 1 })).toMatchObject({
      replayed: false,
    })
  })
})

test('free counts what is free of what is asked about', async () => {
  const { db } = connect()
  const productId = await newProduct(4)
  await db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 1 })

  expect(await db.$serials.free({ productId })).toBe(3)
  expect(await db.$serials.free({ productId, number: 'S-1' })).toBe(0)
  expect(await db.$serials.free({ productId, number: 'S-2' })).toBe(1)
})

describe('nothing is sent', () => {
  const id = 'some id'
  const where = { productId: 1 }
  const methods: Record<string, (db: ReturnType<typeof connect>['db'], args: never) => Promise<unknown>> = {
    allocate: (db, args) => db.$serials.allocate(args),
    release: (db, args) => db.$serials.release(args),
    import: (db, args) => db.$serials.import(args),
    free: (db, args) => db.$serials.free(args),
  }

  test.each<[method: string, field: string, args: unknown]>([
    ['allocate', 'options', undefined],
    ['allocate', 'transactionId', { where, count: 1 }],
    ['allocate', 'transactionId', { transactionId: '', where, count: 1 }],
    ['allocate', 'transactionId', { transactionId: 'a\0', where, count: 1 }],
    ['allocate', 'transactionId', { transactionId: '\ud800', where, count: 1 }],
    ['allocate', 'transactionId', { transactionId: 'ä'.repeat(501), where, count: 1 }],
    ['allocate', 'count', { transactionId: id, where }],
    ['allocate', 'count', { transactionId: id, where, count: 0 }],
    ['allocate', 'count', { transactionId: id, where, count: 1.5 }],
    ['allocate', 'count', { transactionId: id, where, count: Number.NaN }],
    ['allocate', 'count', { transactionId: id, where, count: '3' }],
    ['allocate', 'count', { transactionId: id, where, count: 2 ** 31 }],
    ['allocate', 'partial', { transactionId: id, where, count: 1, partial: 'yes' }],
    ['allocate', 'cuont', { transactionId: id, where, count: 1, cuont: 1 }],
    ['allocate', 'where', { transactionId: id, count: 1 }],
    ['allocate', 'where', { transactionId: id, where: [], count: 1 }],
    ['allocate', 'where.productId', { transactionId: id, where: { productId: undefined }, count: 1 }],
    ['allocate', 'where.productId', { transactionId: id, where: { productId: null }, count: 1 }],
    ['allocate', 'where.productId', { transactionId: id, where: { productId: { gt: 1 } }, count: 1 }],
    ['allocate', 'where.productId', { transactionId: id, where: { productId: 2 ** 31 }, count: 1 }],
    ['allocate', 'where.number', { transactionId: id, where: { number: 'a\0' }, count: 1 }],
    ['allocate', 'where.nubmer', { transactionId: id, where: { nubmer: 'a' }, count: 1 }],
    ['allocate', 'where.transactionId', { transactionId: id, where: { transactionId: null }, count: 1 }],
    ['allocate', 'data', { transactionId: id, where, count: 1, data: 7 }],
    ['allocate', 'data.orderId', { transactionId: id, where, count: 1, data: { orderId: 'a' } }],
    ['allocate', 'data.orderId', { transactionId: id, where, count: 1, data: { orderId: { increment: 1 } } }],
    ['allocate', 'data.productId', { transactionId: id, where, count: 1, data: { productId: 2 } }],
    ['allocate', 'data.number', { transactionId: id, where, count: 1, data: { number: 'x' } }],
    ['allocate', 'data.transactionId', { transactionId: id, where, count: 1, data: { transactionId: 'x' } }],
    ['allocate', 'retry.attempts', { transactionId: id, where, count: 1, retry: { attempts: 0 } }],
    ['release', 'transactionId', {}],
    ['release', 'numbers', { transactionId: id, numbers: 'S-1' }],
    ['release', 'numbers.0', { transactionId: id, numbers: [1] }],
    ['release', 'where', { transactionId: id, where }],
    ['free', 'where', undefined],
    ['free', 'where.productId', { productId: '1' }],
  ])('by %s with a wrong %s', async (method, field, args) => {
    const { db, statements } = connect()

    const error = await rejectionOf(methods[method](db, args as never))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })

  test('before the call is awaited', async () => {
    const { db, statements } = connect()
    const productId = await newProduct(1)
    statements.length = 0

    const call = db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 1 })
    await new Promise(setImmediate)

    expect(statements).toEqual([])
    await call
    expect(statements).not.toEqual([])
  })

  test('by a call whose signal is aborted already', async () => {
    const { db, statements } = connect()
    const reason = new Error('no longer wanted')

    const call = db.$serials.allocate({
      transactionId: newId(),
      where: {},
      count: 1,
      signal: AbortSignal.abort(reason),
    })

    expect(await rejectionOf(call)).toBe(reason)
    expect(statements).toEqual([])
  })

  test('from an array $transaction, which is told why', async () => {
    const { db } = connect()
    const productId = await newProduct(1)

    const call = db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 1 })
    const error = await rejectionOf((async () => db.$transaction([call as never]))())

    expect(error).toMatchObject({ code: 'BATCH_TRANSACTION', method: '$serials.allocate' })
    expect(await db.$serials.free({ productId })).toBe(1)
  })
})

test('an UPDATE that the database suppresses is reported, and leaves nothing', async () => {
  const { db } = connect()
  const productId = await newProduct(2)
  await database.query(`CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE UPDATE ON "Serial" FOR EACH ROW WHEN (OLD."productId" = ${productId}) EXECUTE FUNCTION suppress()`)

  const transactionId = newId()
  const error = await rejectionOf(db.$serials.allocate({ transactionId, where: { productId }, count: 1 }))

  expect(error).toMatchObject({ code: 'WRITE_SUPPRESSED', model: 'Serial' })
  expect(await isNoted(transactionId)).toBe(false)
})

test('a claim that the database suppresses is reported, and nothing is taken', async () => {
  const { db } = connect()
  const productId = await newProduct(2)
  const transactionId = newId()
  await database.query(`CREATE FUNCTION unclaim() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER unclaim BEFORE INSERT ON "SerialAllocation" FOR EACH ROW WHEN (NEW."transactionId" = '${transactionId}') EXECUTE FUNCTION unclaim()`)

  const error = await rejectionOf(db.$serials.allocate({ transactionId, where: { productId }, count: 1 }))

  expect(error).toMatchObject({ code: 'WRITE_SUPPRESSED', model: 'SerialAllocation' })
  expect(await db.$serials.free({ productId })).toBe(2)
})

test('a database whose default is SERIALIZABLE changes nothing', async () => {
  const url = new URL(database.url)
  url.searchParams.set('options', '-c default_transaction_isolation=serializable')
  const { client } = createClient(url.href)
  const { serials } = await import('../../src/serials/extension.js')
  const db = client.$extends(concurrency({ retry: { attempts: 1, deadline: 60_000 } })).$extends(serials())
  const productId = await newProduct(30)

  const calls = Array.from({ length: 10 }, () =>
    db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 3 }),
  )
  const outcomes = await Promise.allSettled(calls)
  await client.$disconnect()

  expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([])
  expect(Object.values(await owners(productId))).not.toContain(null)
})
