import { randomInt, randomUUID } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import { serials, series, stock } from '../src/erp/index.js'
import { concurrency } from '../src/index.js'
import { useDatabase } from './support/clients.js'
import { rejectionOf } from './support/rejection.js'
import { STOCK } from './support/stock-models.js'

const database = useDatabase()

function connect() {
  const made = database.connect()
  const db = made.client.$extends(concurrency()).$extends(stock(STOCK)).$extends(serials()).$extends(series())
  return { ...made, db }
}

type Db = ReturnType<typeof connect>['db']

interface Case {
  readonly what: string
  readonly table: string
  /** As they are in an index. */
  readonly columns: string
  readonly drop: string
  readonly restore: string
  readonly call: (db: Db, id: string) => PromiseLike<unknown>
}

const newItem = async () => {
  const productId = randomInt(1, 2 ** 31)
  await database.query(`INSERT INTO "Stock" ("productId", warehouse) VALUES ($1, 'main')`, [productId])
  return { productId, warehouse: 'main' }
}

const primaryKey = (table: string, columns: string) => ({
  table,
  columns,
  drop: `ALTER TABLE "${table}" DROP CONSTRAINT "${table}_pkey"`,
  restore: `ALTER TABLE "${table}" ADD CONSTRAINT "${table}_pkey" PRIMARY KEY (${columns})`,
})

const category = {
  table: 'Category',
  columns: '"name"',
  drop: 'DROP INDEX "Category_name_key"',
  restore: 'CREATE UNIQUE INDEX "Category_name_key" ON "Category" (name)',
}
const expiresIn = 60_000
const CASES: readonly Case[] = [
  {
    what: 'createIdempotent',
    ...category,
    call: (db, name) => db.category.createIdempotent({ where: { name }, data: {} }),
  },
  {
    what: 'createIdempotent, in a batch',
    ...category,
    call: (db, name) =>
      Promise.all([name, `${name} 2`].map((name) => db.category.createIdempotent({ where: { name }, data: {} }))),
  },
  {
    what: 'createIdempotent, with children',
    ...category,
    call: (db, name) =>
      db.category.createIdempotent({ where: { name }, data: { products: { create: { name: 'Chai' } } } }),
  },
  {
    what: '$stock.move',
    ...primaryKey('StockMovement', '"transactionId", "line"'),
    call: async (db, transactionId) => db.$stock.move({ transactionId, item: await newItem(), quantity: 1 }),
  },
  {
    what: '$stock.defer',
    ...primaryKey('StockMovement', '"transactionId", "line"'),
    call: async (db, transactionId) => db.$stock.defer({ transactionId, item: await newItem(), quantity: 1 }),
  },
  {
    what: '$stock.move, of which the items are not unique',
    ...primaryKey('Stock', '"productId", "warehouse"'),
    call: async (db, transactionId) => db.$stock.move({ transactionId, item: await newItem(), quantity: 1 }),
  },
  {
    what: '$stock.reserve',
    ...primaryKey('StockReservation', '"transactionId", "line"'),
    call: async (db, transactionId) =>
      db.$stock.reserve({ transactionId, item: await newItem(), quantity: 1, minimum: null, expiresIn }),
  },
  {
    what: '$serials.import',
    ...primaryKey('SerialAllocation', '"transactionId"'),
    call: (db, transactionId) =>
      db.$serials.import({ transactionId, data: { productId: 1 }, numbers: [transactionId] }),
  },
  {
    what: '$serials.import, of which the numbers are not unique',
    ...primaryKey('Serial', '"number", "productId"'),
    call: (db, transactionId) =>
      db.$serials.import({ transactionId, data: { productId: 1 }, numbers: [transactionId] }),
  },
  {
    what: '$series.next, of which the counter is not unique',
    ...primaryKey('Series', '"name", "period"'),
    call: (db, name) => db.$transaction((tx) => tx.$series.next(name)),
  },
  {
    what: '$series.next, of which the transaction ids are not unique',
    ...primaryKey('SeriesNumber', '"series", "transactionId"'),
    call: (db, transactionId) => db.$transaction((tx) => tx.$series.next('a', { transactionId })),
  },
  {
    what: '$idempotent',
    ...primaryKey('IdempotencyKey', '"scope", "key"'),
    call: (db, key) => db.$idempotent({ key, scope: 's' }, async () => 1),
  },
]

/** Takes the key away for as long as the test takes, and puts something else in its place. */
async function without({ drop, restore, table, columns }: Case, instead?: 'partial' | 'deferrable') {
  await database.query(drop)
  onTestFinished(async () => {
    await database.query(`DROP INDEX IF EXISTS partial`)
    await database.query(`ALTER TABLE "${table}" DROP CONSTRAINT IF EXISTS later`)
    await database.query(restore)
  })
  if (instead === 'partial')
    await database.query(
      `CREATE UNIQUE INDEX partial ON "${table}" (${columns}) WHERE ${columns.split(',')[0]}::text <> 'none'`,
    )
  if (instead === 'deferrable') {
    await database.query(
      `ALTER TABLE "${table}" ADD CONSTRAINT later UNIQUE (${columns}) DEFERRABLE INITIALLY DEFERRED`,
    )
  }
}

const missing = ({ table, columns }: Case) => ({
  code: 'CONFIGURATION',
  message: expect.stringMatching(
    new RegExp(
      `"public"\\."${table}" has no unique index .*CREATE UNIQUE INDEX .*ON "public"\\."${table}" \\(${columns}\\);`,
    ),
  ),
})

describe('a unique key that the database does not have', () => {
  test.each(CASES)('is named, with the SQL for it, and nothing is written: $what', async (missed) => {
    await without(missed)
    const { db } = connect()

    expect(await rejectionOf(missed.call(db, randomUUID()))).toMatchObject(missing(missed))
  })

  test.each(CASES)('is named also if it is there for some of the rows: $what', async (missed) => {
    await without(missed, 'partial')
    const { db } = connect()

    expect(await rejectionOf(missed.call(db, randomUUID()))).toMatchObject(missing(missed))
  })

  test.each(CASES)('is named also if it is only looked at when the transaction commits: $what', async (missed) => {
    await without(missed, 'deferrable')
    const { db } = connect()

    expect(await rejectionOf(missed.call(db, randomUUID()))).toMatchObject(missing(missed))
  })

  test.each(CASES.slice(0, 9))('does not end the transaction of the caller: $what', async (missed) => {
    await without(missed)
    const { db } = connect()
    const customer = randomUUID()
    const error = await db.$transaction(async (tx) => {
      await tx.order.create({ data: { customer } })
      return rejectionOf(missed.call(tx as unknown as Db, randomUUID()))
    })

    expect({ error, orders: await db.order.count({ where: { customer } }) }).toMatchObject({
      error: missing(missed),
      orders: 1,
    })
  })

  test('is found by the next call once it is there, without a new client', async () => {
    const [missed] = CASES as [Case]
    const { db } = connect()
    await database.query(missed.drop)
    const error = await rejectionOf(missed.call(db, randomUUID()))
    await database.query(missed.restore)

    expect([error, await missed.call(db, randomUUID())]).toMatchObject([missing(missed), { replayed: false }])
  })
})

test('the keys of a feature are looked for once, in one statement', async () => {
  const { db, statements } = connect()
  const item = await newItem()
  for (let i = 0; i < 3; i++) {
    await db.category.createIdempotent({ where: { name: randomUUID() }, data: {} })
    await db.$stock.move({ transactionId: randomUUID(), item, quantity: 1 })
    await db.$transaction((tx) => tx.$series.next('once'))
  }

  const looks = statements.filter((sql) => sql.includes('pg_index')).length
  expect(looks).toBe(3) // one for each feature
})

test('a model that is a view of one table has the keys of the table', async () => {
  await database.query('ALTER TABLE "Category" RENAME TO "All Categories"')
  await database.query('CREATE VIEW "Category" AS SELECT * FROM "All Categories" WHERE version >= 0')
  onTestFinished(async () => {
    await database.query('DROP VIEW "Category"')
    await database.query('ALTER TABLE "All Categories" RENAME TO "Category"')
  })
  const { db } = connect()
  const call = () => db.category.createIdempotent({ where: { name: 'by a view' }, data: {} })

  expect([await call(), await call()]).toMatchObject([{ replayed: false }, { replayed: true }])
})
