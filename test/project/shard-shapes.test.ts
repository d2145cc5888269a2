import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { checksOf } from '../../src/cli/audit.js'
import { setupOf } from '../../src/engine/setup.js'
import { concurrency, isConcurrencyError } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { series } from '../../src/series/extension.js'
import { stock } from '../../src/stock/extension.js'
import { useDatabase } from '../support/clients.js'
import { COMPANIES } from '../support/company-models.js'
import { COMPANY_SERIALS } from '../support/company-serials.js'
import { DEPOT } from '../support/depot.js'
import { COMPANY_LOTS } from '../support/lots.js'
import { DEPOT as PALLETS } from '../support/pallets.js'
import { SCOPED } from '../support/scoped-series.js'
import { unfitShapes } from '../support/shard-shapes.js'
import { sayShards } from '../support/shards.js'
import { DEPOT_SILO } from '../support/silos.js'

const DISTRIBUTION = { Stock: 'company', Movement: 'company', Other: 'other' }

describe('of statements that Citus refuses, the parser finds', () => {
  const shapesOf = (sql: string) => unfitShapes(sql, DISTRIBUTION)
  const insert = 'claim AS (INSERT INTO "Movement" SELECT 1 RETURNING 1)'

  test.each([
    ['of rows by another column', 'SELECT FROM "Stock" AS t WHERE t.code = $1 FOR UPDATE'],
    ['that joins a list', 'SELECT FROM unnest($1::int[]) AS i(k) JOIN "Stock" AS t ON t.company = i.k FOR UPDATE OF t'],
    [
      'of a company that is one of several',
      'SELECT FROM "Stock" AS t WHERE t.company = $1 OR t.company = $2 FOR UPDATE',
    ],
    ['in a CTE', `WITH l AS (SELECT FROM "Stock" AS t FOR UPDATE), ${insert} SELECT FROM l, claim`],
    ['in a sub-select', 'SELECT FROM "Other" JOIN (SELECT code FROM "Stock" FOR UPDATE) AS s USING (code)'],
    [
      'of a lateral sub-select',
      `WITH ${insert} SELECT FROM unnest($1::int[]) AS i(k), LATERAL (SELECT FROM "Stock" AS s WHERE s.company = i.k FOR UPDATE) AS s`,
    ],
    [
      'beside a look at rows of any shard',
      'SELECT FROM "Stock" AS t WHERE t.company = $1 AND NOT EXISTS (SELECT FROM "Movement" AS m WHERE m.id = $2) FOR UPDATE',
    ],
  ])('a row lock %s', async (_, sql) => {
    expect(await shapesOf(sql)).toContain('locks rows of no certain shard')
  })

  test('a row lock beside other rows at the top of a CTE', async () => {
    const locked = (lock: string) => `WITH l AS (${lock}), ${insert} SELECT count(*) FROM l, claim`
    const lock = 'SELECT i.k FROM unnest($1::int[]) AS i(k) JOIN "Stock" AS t ON t.company = $2 FOR UPDATE OF t'
    expect(await shapesOf(locked(lock))).toEqual(['locks rows beside others at the top of a CTE'])
    expect(await shapesOf(locked(`SELECT * FROM (${lock}) AS l`))).toEqual([])
  })

  test.each([
    ['a CTE', 'FROM given AS g'],
    ['a list', 'FROM unnest($1::int[]) AS g(k)'],
  ])('a sub-select that is correlated with %s', async (_, from) => {
    const sql = `WITH given AS MATERIALIZED (SELECT $1::int AS k), ${insert} SELECT (SELECT count(*) FROM "Stock" AS t WHERE t.company = g.k) ${from}`
    expect(await shapesOf(sql)).toEqual(['correlated with rows of no table'])
  })

  test('a join of local and distributed tables, a key that no shard can keep, and an UPDATE by the clock', async () => {
    expect(await shapesOf('SELECT FROM "Stock" AS t JOIN "Local" AS l USING (code)')).toEqual([
      'joins local and distributed tables',
    ])
    expect(await shapesOf('INSERT INTO "Movement" VALUES ($1) ON CONFLICT (id, line) DO NOTHING')).toEqual([
      'conflicts on a key without the distribution column',
    ])
    expect(await shapesOf('UPDATE "Stock" SET at = clock_timestamp() WHERE company = $1')).toEqual([
      'changes rows by a volatile function',
    ])
  })

  test('rows of a CTE that are sorted by a row', async () => {
    const sorted = (order: string) =>
      `WITH page AS (SELECT company, code FROM "Stock" ORDER BY ${order}) SELECT FROM page`
    expect(await shapesOf(sorted('(company, code) DESC'))).toEqual(['sorts rows of a CTE by a row'])
    expect(await shapesOf(sorted('company DESC, code DESC'))).toEqual([])
  })

  test('an advisory lock on the coordinator', async () => {
    const lock = 'SELECT bool_and(pg_try_advisory_xact_lock(i.k)) FROM unnest($1::int[]) AS i(k)'
    const claim = (condition: string) =>
      `WITH claim AS (INSERT INTO "Movement" SELECT $1 WHERE ${condition} RETURNING 1) SELECT count(*) FROM claim`
    const stock = 'SELECT count(*) FROM "Stock" AS t WHERE t.company = $2'
    for (const sql of [lock, claim(`(${lock})`), `WITH ${insert} SELECT (${lock}) FROM claim`]) {
      expect(await shapesOf(sql)).toEqual(['takes an advisory lock on no shard'])
    }
    for (const sql of [`${stock} AND (${lock})`, claim(`(${lock}) AND (${stock}) = 1`)]) {
      expect(await shapesOf(sql)).toEqual([])
    }
  })

  test.each([
    ['a lock of rows of one company', 'SELECT FROM "Stock" AS t WHERE t.company = $1 AND t.code = ANY($2) FOR UPDATE'],
    [
      'one whose company is a column of a list of one',
      'SELECT FROM (SELECT $1::int, u.* FROM unnest($2::text[]) AS u) AS i(k, code) JOIN "Stock" AS t ON t.company = i.k FOR UPDATE OF t',
    ],
    ['one in a CTE', `WITH l AS (SELECT FROM "Stock" WHERE company = $1 FOR UPDATE), ${insert} SELECT FROM l, claim`],
    ['any form on local tables', 'SELECT (SELECT count(*) FROM "Local" AS l WHERE l.k = g.k) FROM unnest($1) AS g(k)'],
    [
      'any form on one shard',
      'SELECT (SELECT count(*) FROM "Stock" AS t WHERE t.company = $1 AND t.k = g.k) FROM unnest($2) AS g(k)',
    ],
  ])('nothing in %s', async (_, sql) => {
    expect(await shapesOf(sql)).toEqual([])
  })
})

const database = useDatabase()

const TRANSITIONS = { Document: { field: 'title', from: { open: ['closed'] } } } as const

function open() {
  const { client, statements } = database.connect()
  const db = client
    .$extends(concurrency({ transitions: TRANSITIONS, version: { models: { Document: { field: 'revision' } } } }))
    .$extends(stock(COMPANIES))
    .$extends(stock({ ...DEPOT, name: 'depot' }))
    .$extends(stock({ ...COMPANY_LOTS, name: 'lots' }))
    .$extends(stock({ ...DEPOT_SILO, name: 'silos' }))
    .$extends(stock({ ...PALLETS, name: 'pallets' }))
    .$extends(serials({ ...COMPANY_SERIALS, history: { model: 'CompanySerialHistory' } }))
    .$extends(series(SCOPED))
  return { db, statements }
}

type Client = ReturnType<typeof open>['db']
type Tx = Parameters<Parameters<Client['$transaction']>[0]>[0]
type Db = Client | Tx

const companyId = 1
const item = { productId: 1, warehouse: 'main' }
const other = { productId: 2, warehouse: 'main' }
const where = { companyId_productId_warehouse: { companyId, ...item } }
const stockOf = (db: Db) => db.$stock.in({ companyId })
const serialsOf = (db: Db) => db.$serials.in({ companyId })
const seriesOf = (db: Db) => db.$series.in({ companyId })
const depotOf = (db: Db) => db.$depot.in({ companyId })
const lotsOf = (db: Db) => db.$lots.in({ companyId })
const silosOf = (db: Db) => db.$silos.in({ depotId: 1 })
const palletsOf = (db: Db) => db.$pallets.in({ depotId: 1 })
const silo = { code: 'silo', lot: 'a' }
const place = { productId: 1, warehouse: 'main' }
const YESTERDAY = new Date(Date.now() - 86_400_000)
const versionOf = async () => {
  const [row] = await database.query(
    'SELECT version FROM "CompanyStock" WHERE "companyId" = 1 AND "productId" = 1 AND warehouse = $1',
    [item.warehouse],
  )
  return BigInt(String(row?.version))
}

const newDocument = async () => {
  const [row] = await database.query(
    `INSERT INTO "Document" (id, title) VALUES (gen_random_uuid(), 'open') RETURNING id`,
  )
  return String(row?.id)
}

/** Sends all that the command `audit` does, for all companies. */
async function audited(db: Db): Promise<void> {
  const setup = setupOf(db)
  for (const feature of setup?.features ?? []) {
    for (const check of setup ? checksOf(setup.session, feature) : []) for await (const _ of check()) return
  }
}

/** Calls of one company, each under a transaction id of its own, in their order. */
const CALLS: Readonly<Record<string, (db: Db, transactionId: string) => Promise<unknown>>> = {
  updateVersioned: async (db) =>
    db.companyStock.updateVersioned({ where: { ...where, version: await versionOf() }, data: { minimum: 0 } }),
  'updateVersioned with a function': (db) => db.companyStock.updateVersioned({ where, data: () => ({ minimum: 0 }) }),
  updateManyVersioned: async (db) =>
    db.companyStock.updateManyVersioned([{ where: { ...where, version: await versionOf() }, data: { minimum: 0 } }]),
  deleteVersioned: async (db) => {
    const id = await newDocument()
    return db.document.deleteVersioned({ where: { id, revision: 0 } })
  },
  'deleteVersioned of a stale version': async (db) => {
    const id = await newDocument()
    return refused('VERSION_CONFLICT', db.document.deleteVersioned({ where: { id, revision: 5 } }))
  },
  transition: async (db) => {
    const id = await newDocument()
    return db.document.transition({ where: { id }, to: 'closed' })
  },
  createIdempotent: (db, transactionId) =>
    db.companyBill.createIdempotent({
      where: { companyId_transactionId: { companyId, transactionId } },
      data: { number: transactionId },
      match: ['number'],
    }),
  'createIdempotent, two at once': (db, transactionId) =>
    Promise.all(
      ['a', 'b'].map((each) => {
        const key = { companyId, transactionId: `${transactionId} ${each}` }
        const number = `${transactionId} ${each}`
        return db.companyBill.createIdempotent({ where: { companyId_transactionId: key }, data: { number } })
      }),
    ),
  'createIdempotent of another': (db, transactionId) => {
    const key = { companyId, transactionId: transactionId.replace(' of another', '') }
    const data = { number: 'another' }
    return refused(
      'IDEMPOTENCY_MISMATCH',
      db.companyBill.createIdempotent({ where: { companyId_transactionId: key }, data, match: ['number'] }),
    )
  },
  $idempotent: (db, key) =>
    db.$idempotent({ scope: 'shards', key }, (tx) => tx.companyStock.count({ where: { companyId } })),
  '$stock.move': (db, transactionId) => stockOf(db).move({ transactionId, item, quantity: 1 }),
  '$stock.move, two at once': (db, transactionId) =>
    Promise.all(
      [item, other].map((each) =>
        stockOf(db).move({ transactionId: `${transactionId} ${each.productId}`, item: each, quantity: 1 }),
      ),
    ),
  '$stock.moveAll': (db, transactionId) =>
    stockOf(db).moveAll({ transactionId, lines: [item, other].map((each) => ({ item: each, quantity: 1 })) }),
  '$stock.move that creates its item': (db, warehouse) =>
    stockOf(db).move({
      transactionId: warehouse,
      item: { productId: 1, warehouse },
      quantity: 1,
      createMissing: { minimum: null },
    }),
  '$stock.move of as much as there is': (db, transactionId) =>
    stockOf(db).move({ transactionId, item, quantity: -1, take: 'available' }),
  '$stock.count': (db, transactionId) => stockOf(db).count({ transactionId, item, counted: 500 }),
  '$stock.defer': (db, transactionId) => stockOf(db).defer({ transactionId, item, quantity: 1 }),
  '$stock.project': (db) => stockOf(db).project(),
  '$stock.reserve': (db, transactionId) =>
    stockOf(db).reserve({ transactionId, item: other, quantity: 1, expiresIn: 60_000 }),
  '$stock.extend': (db, transactionId) =>
    stockOf(db).extend({ transactionId: transactionId.replace('extend', 'reserve'), expiresIn: 60_000 }),
  '$stock.fulfil': (db, transactionId) =>
    stockOf(db).fulfil({ transactionId: transactionId.replace('fulfil', 'reserve') }),
  '$stock.release': (db, transactionId) => stockOf(db).release({ transactionId }),
  '$stock.reserve to release': (db, transactionId) =>
    stockOf(db).reserve({ transactionId, item: other, quantity: 1, expiresIn: 60_000 }),
  '$stock.release of one that is active': (db, transactionId) =>
    stockOf(db).release({
      transactionId: transactionId.replace('release of one that is active', 'reserve to release'),
    }),
  '$stock.fulfil of one that has ended': (db, transactionId) => {
    const id = transactionId.replace('fulfil of one that has ended', 'reserve to release')
    return refused('RESERVATION_ENDED', stockOf(db).fulfil({ transactionId: id }))
  },
  '$stock.move of too much': (db, transactionId) =>
    refused('INSUFFICIENT_STOCK', stockOf(db).move({ transactionId, item, quantity: -1_000_000 })),
  '$stock.moveAll of too much': (db, transactionId) => {
    const lines = [item, other].map((each) => ({ item: each, quantity: -1_000_000 }))
    return refused('INSUFFICIENT_STOCK', stockOf(db).moveAll({ transactionId, lines }))
  },
  '$stock.reserve of too much': (db, transactionId) =>
    refused('INSUFFICIENT_STOCK', stockOf(db).reserve({ transactionId, item, quantity: 1_000_000, expiresIn: 60_000 })),
  '$stock.reverse': (db, transactionId) =>
    stockOf(db).reverse({ transactionId, of: transactionId.replace('reverse', 'move') }),
  '$stock.trace': (db) => stockOf(db).trace({ item }),
  '$stock.balance': (db) => stockOf(db).balance({ item }),
  '$stock.balances': (db) => stockOf(db).balances({ where: { warehouse: 'main' } }),
  '$stock.balances of the next page': (db) =>
    stockOf(db).balances({ where: { warehouse: 'main' }, after: item, limit: 1 }),
  '$stock.reservations': (db) => stockOf(db).reservations({ item, state: 'active' }),
  '$stock.reservations of the next page': (db) =>
    stockOf(db).reservations({ after: { transactionId: 'a', line: 0 }, limit: 1 }),
  '$stock.statement': (db, transactionId) => stockOf(db).statement({ transactionId }),
  '$stock.audit': (db) => stockOf(db).audit(),
  '$stock.move under a date': (db, transactionId) =>
    depotOf(db).move({ transactionId, item: 'code', quantity: 1, date: new Date() }),
  '$stock.defer under a date': (db, transactionId) =>
    depotOf(db).defer({ transactionId, item: 'code', quantity: 1, date: new Date() }),
  '$stock.close': (db) => depotOf(db).close({ until: YESTERDAY }),
  '$stock.prune': (db) => depotOf(db).prune({ forgetBefore: YESTERDAY }),
  '$stock.moveAll from lots': (db, transactionId) => {
    const from = { items: [place, { ...place, warehouse: 'other' }], quantity: 2, split: true }
    return lotsOf(db).moveAll({ transactionId, lines: [{ from }] })
  },
  '$stock.reserve from lots': (db, transactionId) =>
    lotsOf(db).reserve({ transactionId, from: { item: place, quantity: 1 }, expiresIn: 60_000 }),
  '$stock.move in a history': (db, transactionId) => silosOf(db).move({ transactionId, item: silo, quantity: '1.5' }),
  '$stock.moveAll in a history': (db, transactionId) =>
    silosOf(db).moveAll({
      transactionId,
      lines: [silo, { ...silo, lot: 'b' }].map((item) => ({ item, quantity: '1' })),
    }),
  '$stock.defer in a history': (db, transactionId) => silosOf(db).defer({ transactionId, item: silo, quantity: '1' }),
  '$stock.project in a history': (db) => silosOf(db).project(),
  '$stock.history': (db) => silosOf(db).history({ item: silo }),
  '$stock.history of the next page': (db) =>
    silosOf(db).history({ item: silo, after: { sequence: 1 }, order: 'desc', limit: 1 }),
  '$stock.balanceAt': (db) => silosOf(db).balanceAt({ item: silo, at: new Date() }),
  '$stock.reserve of two': (db, transactionId) => {
    const lines = ['a', 'b'].map((item) => ({ item, quantity: '3' }))
    return palletsOf(db).reserve({ transactionId, lines, expiresIn: null })
  },
  '$stock.change': (db, transactionId) =>
    palletsOf(db).change({
      transactionId: transactionId.replace('change', 'reserve of two'),
      lines: [{ item: 'a', quantity: '2.5' }],
    }),
  '$stock.fulfil in part': (db, transactionId) =>
    palletsOf(db).fulfil({
      transactionId,
      of: transactionId.replace('fulfil in part', 'reserve of two'),
      lines: [{ item: 'a', quantity: '1' }],
    }),
  '$serials.import': (db, transactionId) =>
    serialsOf(db).import({ transactionId, data: { productId: 1 }, numbers: ['a', 'b'].map((n) => transactionId + n) }),
  '$serials.allocate': (db, transactionId) =>
    serialsOf(db).allocate({ transactionId, where: { productId: 1 }, count: 1 }),
  '$serials.allocate by numbers': (db, transactionId) => {
    const numbers = [`${transactionId.replace('allocate by numbers', 'import')}b`]
    return serialsOf(db).allocate({ transactionId, where: { productId: 1 }, numbers })
  },
  '$serials.allocate of too many': (db, transactionId) =>
    refused('INSUFFICIENT_SERIALS', serialsOf(db).allocate({ transactionId, where: { productId: 1 }, count: 1_000 })),
  '$serials.allocate by numbers that are not there': (db, transactionId) =>
    refused('SERIALS_UNAVAILABLE', serialsOf(db).allocate({ transactionId, where: { productId: 1 }, numbers: ['no'] })),
  '$serials.release': (db, transactionId) =>
    serialsOf(db).release({ transactionId: transactionId.replace('release', 'allocate') }),
  '$serials.free': (db) => serialsOf(db).free({ productId: 1 }),
  '$serials.history': (db) => serialsOf(db).history({ productId: 1, number: 'client $serials.importa' }),
  '$serials.history of the next page': (db) =>
    serialsOf(db).history({ productId: 1, number: 'client $serials.importa' }, { after: 1, limit: 1 }),
  '$serials.prune': (db) => serialsOf(db).prune({ forgetBefore: YESTERDAY, changesBefore: YESTERDAY }),
  'the audit of all companies': (db) => audited(db),
  '$series.next in blocks': (db) => seriesOf(db).next('ticket'),
  '$series.create': (db, transactionId) => seriesOf(db).create('bill', { transactionId, record: { amount: 1 } }),
  '$series.gaps': (db) => seriesOf(db).gaps('invoice'),
  '$series.peek': (db) => seriesOf(db).peek('invoice'),
  '$series.void': async (db) => {
    await database.query(`
INSERT INTO "CompanySeries" ("companyId", name, last) VALUES (1, 'order', 99) ON CONFLICT ("companyId", name, period) DO UPDATE SET last = 99`)
    return seriesOf(db).void('order', { value: 99, reason: 'torn' })
  },
  '$series.void of a number that nobody has taken': (db) =>
    refused('SERIES_NUMBER', seriesOf(db).void('order', { value: 10_000, reason: 'torn' })),
  '$series.closePeriod': (db) => seriesOf(db).closePeriod('order', { reason: 'closed' }),
}

/** The call must be refused. */
function refused(code: string, call: Promise<unknown>): Promise<void> {
  return expect(call).rejects.toMatchObject({ code })
}

const ON_A_TX_ALONE: typeof CALLS = {
  findManyForUpdate: (tx) => (tx as Tx).companyStock.findManyForUpdate({ where: { companyId }, take: 1 }),
  findUniqueForUpdate: (tx) => (tx as Tx).companyStock.findUniqueForUpdate({ where }),
  '$series.next': (tx, transactionId) => seriesOf(tx).next('invoice', { transactionId }),
  '$series.next in parallel': (tx, transactionId) => seriesOf(tx).next('order', { transactionId }),
}

/** Calls that send a statement which Citus refuses. This list may only get shorter. The guide says that these are not possible. */
const NOT_ON_CITUS: Readonly<Record<string, readonly string[]>> = {}

test('calls of one company send no statement that Citus refuses', async () => {
  await database.query(`
INSERT INTO "CompanyStock" ("companyId", "productId", warehouse, "onHand") SELECT 1, n, 'main', 1000 FROM generate_series(1, 2) AS n;
INSERT INTO "CompanyMovement" ("companyId", "transactionId", line, "productId", warehouse, quantity)
SELECT 1, 'opening', n, n, 'main', 1000 FROM generate_series(1, 2) AS n;
INSERT INTO "DepotStock" ("companyId", code) VALUES (1, 'code');
INSERT INTO "DepotMovement" ("companyId", "transactionId", line, code, quantity, date) VALUES (1, 'old', 0, 'code', 1, now() - interval '9 days');
INSERT INTO "CompanyLotStock" ("companyId", "productId", warehouse, lot, "onHand") VALUES (1, 1, 'main', 'a', 1000), (1, 1, 'other', 'b', 1000);
INSERT INTO "DepotSilo" ("depotId", code, lot) VALUES (1, 'silo', 'a'), (1, 'silo', 'b');
INSERT INTO "DepotPallet" ("depotId", code, "onHand") VALUES (1, 'a', 1000), (1, 'b', 1000)`)
  const tables = await database.query(`
SELECT table_name AS name, column_name AS key FROM information_schema.columns
WHERE table_schema = 'public' AND column_name IN ('companyId', 'depotId')`)
  const distribution = {
    ...Object.fromEntries(tables.map(({ name, key }) => [String(name), String(key)])),
    IdempotencyKey: 'key',
    Document: 'id',
  }
  await sayShards(database, distribution)
  const { db, statements } = open()
  const unfit: Record<string, readonly string[]> = {}
  const look = async (name: string, call: () => Promise<unknown>) => {
    statements.length = 0
    await call().catch((error: unknown) => {
      // That of a reservation which was fulfilled the first time.
      if (!isConcurrencyError(error, 'RESERVATION_ENDED')) throw error
    })
    const found = await Promise.all(statements.map((sql) => unfitShapes(sql, distribution)))
    const all = new Set([...(unfit[name] ?? []), ...found.flat()])
    if (all.size > 0) unfit[name] = [...all].sort()
  }
  // A call that is sent again reads what was recorded.
  for (const round of ['new', 'again']) {
    for (const [name, call] of Object.entries(CALLS)) {
      await look(round === 'new' ? name : `${name}, a replay`, () => call(db, `client ${name}`))
    }
    for (const [name, call] of Object.entries({ ...CALLS, ...ON_A_TX_ALONE })) {
      await look(round === 'new' ? name : `${name}, a replay`, () => db.$transaction((tx) => call(tx, `tx ${name}`)))
    }
  }

  expect(unfit).toEqual(NOT_ON_CITUS)
  const guide = await readFile(new URL('../../docs/guide/citus.md', import.meta.url), 'utf8')
  const [, notPossible = ''] = guide.split('## What does not work')
  const named = Object.keys(NOT_ON_CITUS).map((name) => name.replace(/,? .*/, ''))
  expect(named.filter((name) => !notPossible.includes(`\`${name}\``))).toEqual([])
})
