import { randomBytes, randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { PrismaClient } from '../../generated/prisma/client.js'
import { serials, series, stock } from '../../src/erp.js'
import { concurrency } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { generateClient } from '../support/generate-client.js'
import { rejectionOf } from '../support/rejection.js'
import { STOCK } from '../support/stock-models.js'

const database = useDatabase()

function connect() {
  const made = database.connect()
  const db = made.client
    .$extends(concurrency())
    .$extends(stock(STOCK))
    .$extends(serials())
    .$extends(series({ series: { ticket: { blocks: 10 } } }))
  return { ...made, db }
}

type Db = ReturnType<typeof connect>['db']

const LONG = 'x'.repeat(1_001)
const item = { productId: 1, warehouse: 'main' }

/** Texts that every feature must refuse as a key or a part of one, each with the reason. */
const BAD_TEXTS: readonly (readonly [string, string])[] = [
  ['a NUL character', 'A\0'],
  ['the first half of a surrogate pair', 'A\ud800'],
  ['the second half of a surrogate pair', 'A\udfff'],
  ['two halves in the wrong order', 'A\udfff\ud800'],
]
const WRITES: readonly (readonly [string, string, (db: Db, text: string) => PromiseLike<unknown>])[] = [
  ['createIdempotent', 'where.name', (db, name) => db.category.createIdempotent({ where: { name }, data: {} })],
  ['$idempotent, the key', 'key', (db, key) => db.$idempotent({ key, scope: 's' }, async () => 1)],
  ['$idempotent, the scope', 'scope', (db, scope) => db.$idempotent({ key: 'k', scope }, async () => 1)],
  ['$oncePer, the job', 'job', (db, job) => db.$oncePer({ job, period: 'p' }, async () => 1)],
  ['$stock.move', 'transactionId', (db, transactionId) => db.$stock.move({ transactionId, item, quantity: 1 })],
  [
    '$stock.moveAll, an item',
    'lines[0].item.warehouse',
    (db, warehouse) =>
      db.$stock.moveAll({ transactionId: 't', lines: [{ item: { ...item, warehouse }, quantity: 1 }] }),
  ],
  ['$stock.count', 'transactionId', (db, transactionId) => db.$stock.count({ transactionId, item, counted: 1 })],
  ['$stock.defer', 'transactionId', (db, transactionId) => db.$stock.defer({ transactionId, item, quantity: 1 })],
  [
    '$stock.reserve',
    'transactionId',
    (db, transactionId) => db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 1_000 }),
  ],
  ['$stock.release', 'transactionId', (db, transactionId) => db.$stock.release({ transactionId })],
  ['$stock.fulfil', 'transactionId', (db, transactionId) => db.$stock.fulfil({ transactionId })],
  [
    '$serials.allocate',
    'transactionId',
    (db, transactionId) => db.$serials.allocate({ transactionId, where: { productId: 1 }, count: 1 }),
  ],
  ['$serials.release', 'transactionId', (db, transactionId) => db.$serials.release({ transactionId })],
  [
    '$serials.import',
    'numbers.0',
    (db, number) => db.$serials.import({ transactionId: 't', data: { productId: 1 }, numbers: [number] }),
  ],
  ['$series.next, the series', 'series', (db, name) => db.$transaction((tx) => tx.$series.next(name))],
  [
    '$series.next, the transaction id',
    'transactionId',
    (db, transactionId) => db.$series.next('ticket', { transactionId }),
  ],
  ['$series.gaps, the series', 'series', (db, name) => db.$series.gaps(name)],
]
const READS: readonly (readonly [string, string, (db: Db, text: string) => PromiseLike<unknown>])[] = [
  [
    'updateVersioned',
    'where.name',
    (db, name) => db.category.updateVersioned({ where: { name, version: 0 }, data: { name: 'b' } }),
  ],
  [
    'updateVersioned with a function',
    'where.name',
    (db, name) => db.category.updateVersioned({ where: { name }, data: () => ({ name: 'b' }) }),
  ],
  [
    'tryUpdateVersioned',
    'where.name',
    (db, name) => db.category.tryUpdateVersioned({ where: { name, version: 0 }, data: { name: 'b' } }),
  ],
  ['deleteVersioned', 'where.name', (db, name) => db.category.deleteVersioned({ where: { name, version: 0 } })],
  [
    'deleteVersioned, in a filter beside the key',
    'where.OR[0].name.equals',
    (db, name) => db.category.deleteVersioned({ where: { id: 1, version: 0, OR: [{ name: { equals: name } }] } }),
  ],
  [
    'updateVersioned, in a compound key',
    'where.productId_warehouse.warehouse',
    (db, warehouse) =>
      db.stock.updateVersioned({
        where: { productId_warehouse: { productId: 1, warehouse }, version: 0n },
        data: { minimum: 1 },
      }),
  ],
  [
    'updateManyVersioned',
    '[0].where.name',
    (db, name) => db.category.updateManyVersioned([{ where: { name, version: 0 }, data: { name: 'b' } }]),
  ],
  [
    'createIdempotent, in a record to connect',
    'data.category.connect.name',
    (db, name) =>
      db.product.createIdempotent({ where: { id: 1 }, data: { name: 'a', category: { connect: { name } } } }),
  ],
  ['$series.gaps, the period', 'period', (db, period) => db.$series.gaps('a', { period })],
]

describe.each(BAD_TEXTS)('a key with %s is refused before any SQL', (_, text) => {
  test.each([...WRITES, ...READS])('by %s', async (_method, field, call) => {
    const { db, statements } = connect()
    const error = await rejectionOf(call(db, text))

    const sent = statements.filter((sql) => !/^(?:BEGIN|ROLLBACK)/.test(sql))
    expect({ error, sent }).toMatchObject({ error: { code: 'INVALID_ARGUMENT', field }, sent: [] })
  })
})

describe('a key that is too long for an index is refused before any SQL', () => {
  test.each(WRITES)('by %s', async (_method, field, call) => {
    const { db, statements } = connect()
    const error = await rejectionOf(call(db, LONG))

    const sent = statements.filter((sql) => !/^(?:BEGIN|ROLLBACK)/.test(sql))
    expect({ error, sent }).toMatchObject({ error: { code: 'INVALID_ARGUMENT', field }, sent: [] })
  })

  test('by $serials.import also as one that a range makes', async () => {
    const { db, statements } = connect()
    const range = { from: 1, to: 10 ** 15, format: `${'x'.repeat(990)}{0}` }
    const call = db.$serials.import({
      transactionId: 't',
      data: { productId: 1 },
      range: { ...range, from: range.to - 1 },
    })

    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'range.format' })
    expect(statements).toEqual([])
  })
})

test('the longest transaction id there may be, of random text, fits the indexes of every feature', async () => {
  const { db } = connect()
  const transactionId = randomBytes(750).toString('base64')
  await database.query(`INSERT INTO "Stock" ("productId", warehouse) VALUES (77, 'main')`)

  const moved = await db.$stock.move({ transactionId, item: { ...item, productId: 77 }, quantity: 1 })
  const imported = await db.$serials.import({
    transactionId,
    data: { productId: 77 },
    numbers: [randomBytes(750).toString('base64')],
  })
  const number = await db.$series.next('ticket', { transactionId })
  const created = await db.category.createIdempotent({ where: { name: transactionId }, data: {} })

  expect({ moved, imported, number, created }).toMatchObject({
    moved: { replayed: false },
    imported: { imported: 1 },
    number: { replayed: false },
    created: { replayed: false },
  })
})

describe('a where that is refused in a transaction', () => {
  test('leaves the transaction as it was', async () => {
    const { db } = connect()
    const name = randomUUID()
    await db.$transaction(async (tx) => {
      await tx.category.create({ data: { name } })
      await rejectionOf(tx.category.createIdempotent({ where: { name: 'A\0' }, data: {} }))
      await rejectionOf(tx.$stock.move({ transactionId: LONG, item, quantity: 1 }))
      await rejectionOf(tx.$series.gaps('a', { period: '\0' }))
    })

    expect(await db.category.findUnique({ where: { name } })).toMatchObject({ name })
  })
})

const KEPT: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'a VarChar that fits to the last character': { code: 'ä'.repeat(5) },
  'a Char that is filled up with spaces': { mark: 'a' },
  'a uuid in capitals': { guid: 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11' },
  'a uuid in braces': { guid: '{b0eebc999c0b4ef8bb6d6bb9bd380a11}' },
  'a Decimal with all its places': { amount: '123456.78' },
  'a Decimal in another form': { amount: '1e2' },
  'a moment in whole seconds': { moment: new Date('2026-11-29T02:00:00.000Z') },
  'a day, whatever the hour': { day: new Date('2026-11-29T13:14:15.161Z') },
  'a real': { ratio: 0.5 },
  bytes: { hash: new Uint8Array([0, 255]) },
  'a small number': { small: -32_768 },
}

test('createIdempotent replays a duplicate by keys of every type', async () => {
  const { create } = await connectWide()
  const outcomes: Record<string, unknown> = {}
  for (const [what, where] of Object.entries(KEPT)) {
    const first = await create({ where, data: {} })
    const second = await create({ where, data: {} })
    outcomes[what] = [first.replayed, second.replayed, first.record.id === second.record.id]
  }
  const guid = randomUUID()
  const spellings = await Promise.all(
    [guid, guid.toUpperCase(), `{${guid}}`].map((guid) => create({ where: { guid }, data: {} })),
  )

  expect({ ...outcomes, 'three spellings of a uuid': new Set(spellings.map(({ record }) => record.id)).size }).toEqual({
    ...Object.fromEntries(Object.keys(KEPT).map((what) => [what, [false, true, true]])),
    'three spellings of a uuid': 1,
  })
})

const NOT_KEPT: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'a VarChar that is too long': { code: 'abcdef' },
  'a VarChar whose spaces at the end the column would cut off': { code: 'abc    ' },
  'a Char that is too long': { mark: 'abcde' },
  'a text that is no uuid': { guid: 'a0eebc99' },
  'a Decimal that would be rounded': { amount: '1.005' },
  'a Decimal that does not fit': { amount: '1234567' },
  'a moment that would be rounded to a second': { moment: new Date('2026-11-29T02:00:00.500Z') },
  'a real that would be rounded': { ratio: 0.1 },
  'more bytes than an index takes': { hash: randomBytes(1_001) },
  'a small number that is too large': { small: 32_768 },
  'three texts that do not fit together': { a_b_c: { a: 'x'.repeat(999), b: 'x'.repeat(999), c: 'x'.repeat(999) } },
}

test('createIdempotent refuses a key that its column would not keep as it is, before any SQL', async () => {
  const { create, statements } = await connectWide()
  const refusals: Record<string, unknown> = {}
  for (const [what, where] of Object.entries(NOT_KEPT)) {
    const error = await rejectionOf(create({ where, data: {} }))
    refusals[what] = { code: (error as { code?: string }).code, field: (error as { field?: string }).field }
  }

  const refused = (where: object) => ({ code: 'INVALID_ARGUMENT', field: `where.${Object.keys(where)[0]}` })
  expect({ refusals, statements }).toEqual({
    refusals: Object.fromEntries(Object.entries(NOT_KEPT).map(([what, where]) => [what, refused(where)])),
    statements: [],
  })
})

/** A client of a schema with a model that has a key of every type. */
async function connectWide() {
  const { PrismaClient: Client } = await generateClient(`
model Wide {
  id     Int       @id @default(autoincrement())
  code   String?   @unique @db.VarChar(5)
  mark   String?   @unique @db.Char(4)
  guid   String?   @unique @db.Uuid
  amount Decimal?  @unique @db.Decimal(8, 2)
  moment DateTime? @unique @db.Timestamptz(0)
  day    DateTime? @unique @db.Date
  ratio  Float?    @unique @db.Real
  hash   Bytes?    @unique
  small  Int?      @unique @db.SmallInt
  a      String?
  b      String?
  c      String?

  @@unique([a, b, c])
}
`)
  await database.query(`CREATE TABLE IF NOT EXISTS "Wide" (
  id serial PRIMARY KEY, code varchar(5) UNIQUE, mark char(4) UNIQUE, guid uuid UNIQUE, amount numeric(8, 2) UNIQUE,
  moment timestamptz(0) UNIQUE, day date UNIQUE, ratio real UNIQUE, hash bytea UNIQUE, small int2 UNIQUE,
  a text, b text, c text, UNIQUE (a, b, c)
)`)
  const statements: string[] = []
  const adapter = new PrismaPg({ connectionString: database.url })
  const client = new Client({ adapter, log: [{ emit: 'event', level: 'query' }] }) as PrismaClient
  ;(client as unknown as { $on: (event: string, listen: (event: { query: string }) => void) => void }).$on(
    'query',
    ({ query }) => void statements.push(query),
  )
  onTestFinished(() => client.$disconnect())
  const db = client.$extends(concurrency()) as unknown as {
    wide: {
      createIdempotent(args: object): Promise<{ record: { id: number }; replayed: boolean }>
    }
  }
  return { statements, create: (args: object) => db.wide.createIdempotent(args) }
}
