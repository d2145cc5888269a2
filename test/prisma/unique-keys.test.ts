import { randomInt, randomUUID } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import { serials, series, stock } from '../../src/erp.js'
import { concurrency } from '../../src/index.js'
import { type ClientOptions, useDatabase } from '../support/clients.js'
import { rejectionOf } from '../support/rejection.js'
import { STOCK } from '../support/stock-models.js'

const database = useDatabase()

function connect(options?: ClientOptions) {
  const made = database.connect(options)
  const db = made.client.$extends(concurrency()).$extends(stock(STOCK)).$extends(serials()).$extends(series())
  return { ...made, db }
}

type Db = ReturnType<typeof connect>['db']

interface Key {
  readonly table: string
  /** As they are in an index. */
  readonly columns: string
  readonly drop: string
  readonly restore: string
}

interface Case extends Key {
  readonly what: string
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
async function without({ drop, restore, table, columns }: Key, instead?: 'partial' | 'deferrable') {
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

const missing = ({ table, columns }: Key) => ({
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

/** Writes of the row that `where` names, each under the version 0. */
const WRITES: Readonly<Record<string, (model: Db['coupon'], where: { code: string }) => PromiseLike<unknown>>> = {
  updateVersioned: (model, where) => model.updateVersioned({ where: { ...where, version: 0 }, data: { used: 9 } }),
  'updateVersioned by a function': (model, where) => model.updateVersioned({ where, data: () => ({ used: 9 }) }),
  tryUpdateVersioned: (model, where) =>
    model.tryUpdateVersioned({ where: { ...where, version: 0 }, data: { used: 9 } }),
  deleteVersioned: (model, where) => model.deleteVersioned({ where: { ...where, version: 0 } }),
  updateManyVersioned: (model, where) =>
    model.updateManyVersioned([{ where: { ...where, version: 0 }, data: { used: 9 } }]),
}
const writes = Object.keys(WRITES)
const write = (what: string, db: unknown, code: string) =>
  (WRITES[what] as (typeof WRITES)[string])((db as Db).coupon, { code })

const couponKey = {
  table: 'Coupon',
  columns: '"code"',
  drop: 'DROP INDEX "Coupon_code_key"',
  restore: 'CREATE UNIQUE INDEX "Coupon_code_key" ON "Coupon" (code)',
}

/** Two coupons of one code, which has no unique index as long as the test takes. */
async function newTwins(instead?: 'partial' | 'deferrable'): Promise<string> {
  const code = instead ? 'none' : randomUUID()
  await without(couponKey, instead)
  onTestFinished(async () => void (await database.query('DELETE FROM "Coupon" WHERE code = $1', [code])))
  const count = instead === 'deferrable' ? 1 : 2
  await database.query('INSERT INTO "Coupon" (code) SELECT $1 FROM generate_series(1, $2)', [code, count])
  return code
}

const changed = () => database.query('SELECT * FROM "Coupon" WHERE used <> 0 OR version <> 0')

describe('a versioned write by a key that the database does not have', () => {
  test.each(writes)('is refused, and neither of two rows of that key is written: %s', async (what) => {
    const code = await newTwins()
    const { db } = connect()

    const error = await rejectionOf(write(what, db, code))
    const rows = await database.query('SELECT used, version FROM "Coupon" WHERE code = $1', [code])
    expect({ error, rows }).toMatchObject({ error: missing(couponKey), rows: [{ used: 0 }, { used: 0 }] })
  })

  test.each(writes)('is refused also if the index is partial: %s', async (what) => {
    const code = await newTwins('partial')
    const { db } = connect()

    expect([await rejectionOf(write(what, db, code)), await changed()]).toMatchObject([missing(couponKey), []])
  })

  test.each(writes)('is refused also if the index is deferrable: %s', async (what) => {
    const code = await newTwins('deferrable')
    const { db } = connect()

    expect([await rejectionOf(write(what, db, code)), await changed()]).toMatchObject([missing(couponKey), []])
  })

  test.each(writes)('does not end the transaction of the caller: %s', async (what) => {
    const code = await newTwins()
    const { db } = connect()
    const customer = randomUUID()
    const error = await db.$transaction(async (tx) => {
      await tx.order.create({ data: { customer } })
      return rejectionOf(write(what, tx, code))
    })

    expect([error, await db.order.count({ where: { customer } })]).toMatchObject([missing(couponKey), 1])
  })

  test('is refused also by way of another extension, row by row', async () => {
    const code = await newTwins()
    const { client } = connect()
    const audited = client
      .$extends({ query: { coupon: { update: ({ args, query }) => query(args) } } })
      .$extends(concurrency())

    expect([await rejectionOf(write('updateManyVersioned', audited, code)), await changed()]).toMatchObject([
      missing(couponKey),
      [],
    ])
  })

  test('is refused by the primary key as well', async () => {
    const key = primaryKey('Stock', '"productId", "warehouse"')
    await without(key)
    const { db } = connect()
    const productId_warehouse = await newItem()
    const update = db.stock.updateVersioned({ where: { productId_warehouse, version: 0n }, data: { minimum: 1 } })

    expect(await rejectionOf(update)).toMatchObject(missing(key))
  })

  test('is done once the key is there, without a new client', async () => {
    const code = randomUUID()
    await database.query('INSERT INTO "Coupon" (code) VALUES ($1)', [code])
    const { db } = connect()
    await database.query(couponKey.drop)
    const error = await rejectionOf(write('updateVersioned', db, code))
    await database.query(couponKey.restore)

    expect([error, await write('updateVersioned', db, code)]).toMatchObject([missing(couponKey), { version: 1 }])
  })

  test('is done if another key in `where` is there', async () => {
    await without(category)
    const { db } = connect()
    const { id, name } = await db.category.create({ data: { name: randomUUID() } })

    expect(await db.category.updateVersioned({ where: { id, name, version: 0 }, data: {} })).toMatchObject({
      version: 1,
    })
  })
})

test('the first versioned writes of one tick look for the key once, together', async () => {
  const { db, statements } = connect({ countsLooks: true })
  const codes = [randomUUID(), randomUUID(), randomUUID()]
  await database.query('INSERT INTO "Coupon" (code) SELECT unnest($1::text[])', [codes])
  await Promise.all(codes.map((code) => write('updateVersioned', db, code)))

  expect(statements.filter((sql) => sql.startsWith('WITH RECURSIVE relation'))).toHaveLength(1)
})

test('a versioned write of a view of several tables, of which no index is known, is left to the database', async () => {
  const id = randomInt(1, 2 ** 31)
  await database.query('ALTER TABLE "Coupon" RENAME TO "All Coupons"')
  await database.query(`CREATE VIEW "Coupon" AS SELECT c.*
FROM "All Coupons" AS c LEFT JOIN (SELECT 1 FROM "Category" LIMIT 0) AS none ON true`)
  await database.query(`CREATE FUNCTION write_coupon() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE "All Coupons" SET used = new.used, version = new.version WHERE code = old.code;
  RETURN new;
END $$`)
  await database.query(
    'CREATE TRIGGER write_coupon INSTEAD OF UPDATE ON "Coupon" FOR EACH ROW EXECUTE FUNCTION write_coupon()',
  )
  onTestFinished(async () => {
    await database.query('DROP VIEW "Coupon"')
    await database.query('DROP FUNCTION write_coupon')
    await database.query('ALTER TABLE "All Coupons" RENAME TO "Coupon"')
  })
  await database.query('INSERT INTO "All Coupons" (code) VALUES ($1)', [String(id)])
  const { db } = connect()

  expect(await write('updateVersioned', db, String(id))).toMatchObject({ used: 9, version: 1 })
})

test('the keys of a feature are looked for once, in one statement', async () => {
  const { db, statements } = connect({ countsLooks: true })
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
