import { randomInt, randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import type { StockOptions } from '../../src/stock/options.js'
import { type CompanyScope, CREDIT } from '../support/company-stock.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { COMPANY_LOTS, LOTS, type LotItem, useLots } from '../support/lots.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { STOCK, type StockItem } from '../support/stock-models.js'

describeEngines((engine) => {
  const { database } = engine
  const { open, newProduct, expectExact } = useLots(engine)
  const newId = (): string => randomUUID()

  /** `$stock` with these options. */
  const openWith = async <Item, Scope extends object = never>(options: StockOptions) => {
    const { db, client } = await engine.connect()
    const onPg = () => db.$extends(stock<Item, number | string, Scope>(options as never))
    const onPrisma = () => client.$extends(concurrency()).$extends(prismaStock(options)) as unknown
    return engine.name === 'pg' ? onPg() : (onPrisma() as ReturnType<typeof onPg>)
  }

  describe('before any SQL it refuses', () => {
    const item = { productId: 1, warehouse: 'main' }
    const lot = { ...item, lot: 'a' }
    test.each<[string, unknown]>([
      ['from', 7],
      ['from', {}],
      ['from', { quantity: 1 }],
      ['from', { item, items: [item], quantity: 1 }],
      ['from.quantity', { item }],
      ['from.quantity', { item, quantity: 0 }],
      ['from.quantity', { item, quantity: -1 }],
      ['from.quantity', { item, quantity: 1.5 }],
      ['from.item', { item: 1, quantity: 1 }],
      ['from.item.warehouse', { item: { productId: 1 }, quantity: 1 }],
      ['from.item.warehouse', { item: { productId: 1, warehouse: undefined }, quantity: 1 }],
      ['from.item.lot', { item: lot, quantity: 1 }],
      ['from.items', { items: [], quantity: 1 }],
      ['from.items[1].productId', { items: [item, { ...item, productId: 'x' }], quantity: 1 }],
      ['from.by', { item, quantity: 1, by: 'lifo' }],
      ['from.split', { items: [item], quantity: 1, split: 'yes' }],
      ['from.lot', { item, quantity: 1, lot: 'a' }],
    ])('%s of %j', async (field, from) => {
      const proxy = await openProxy(database.url)
      const db = await open(undefined, { url: proxy.url })
      const sent = proxy.next(/Lot/, 'hold')
      let isSent = false
      void sent.happened.then(
        () => (isSent = true),
        () => {},
      )
      const transactionId = newId()
      const all = db.$stock.moveAll({ transactionId, lines: [{ from: from as never }] })
      expect(await rejectionOf(all)).toMatchObject({ code: 'INVALID_ARGUMENT', field: `lines[0].${field}` })
      const reserve = { transactionId, from: from as never, expiresIn: 1_000 }
      expect(await rejectionOf(db.$stock.reserve(reserve))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
      expect(isSent).toBe(false)
    })

    test('lines that it could not tell apart afterwards', async () => {
      const db = await open()
      const from = { item, quantity: 1 }
      const transactionId = newId()
      for (const lines of [
        [{ from }, { from }],
        [{ from: { items: [item, item], quantity: 1 } }],
        [{ from }, { item: lot, quantity: 1 }],
      ]) {
        expect(await rejectionOf(db.$stock.moveAll({ transactionId, lines: lines as never }))).toMatchObject({
          field: 'from',
        })
      }
    })

    test('from beside what it stands for, and where it has no meaning', async () => {
      const db = await open()
      const from = { item, quantity: 1 }
      const call = { transactionId: newId(), expiresIn: 1_000 }
      const fieldOf = async (call: Promise<unknown>) => (await rejectionOf(call)) as { field: string }
      expect(await fieldOf(db.$stock.reserve({ ...call, from, quantity: 1 } as never))).toMatchObject({ field: 'from' })
      expect(await fieldOf(db.$stock.reserve({ ...call, from, lines: [] } as never))).toMatchObject({ field: 'from' })
      const both = db.$stock.moveAll({ transactionId: newId(), lines: [{ from, quantity: 1 } as never] })
      expect(await fieldOf(both)).toMatchObject({ field: 'lines[0].quantity' })
      expect(await fieldOf(db.$stock.move({ transactionId: newId(), from } as never))).toMatchObject({ field: 'from' })
      expect(await fieldOf(db.$stock.defer({ transactionId: newId(), lines: [{ from }] } as never))).toMatchObject({
        field: 'lines[0].from',
      })
      const creating = db.$stock.moveAll({ transactionId: newId(), lines: [{ from }], createMissing: true })
      expect(await fieldOf(creating)).toMatchObject({ field: 'createMissing' })
    })
  })

  test('in a call the scope is that of its lots', async () => {
    const db = await openWith<LotItem, { companyId: number }>(COMPANY_LOTS)
    const productId = randomInt(1, 2 ** 31)
    await database.query(
      `INSERT INTO "CompanyLotStock" ("companyId", "productId", warehouse, lot) VALUES (1, $1, 'main', 'a'), (2, $1, 'main', 'a')`,
      [productId],
    )
    const [one, two] = [1, 2].map((companyId) => db.$stock.in({ companyId })) as [Company, Company]
    type Company = ReturnType<(typeof db)['$stock']['in']>
    const item = { productId, warehouse: 'main' }
    for (const [i, company] of [one, two].entries()) {
      await company.move({ transactionId: 'receipt', item: { ...item, lot: 'a' }, quantity: 5 + i })
    }
    const [transactionId, lot] = [newId(), { ...item, lot: 'a' }]
    const call = { transactionId, lines: [{ from: { item, quantity: 6 } }] }
    const [refused, done] = await Promise.allSettled([one.moveAll(call), two.moveAll(call)])
    expect(refused).toMatchObject({ reason: { shortages: [{ item, requested: 6, available: 5 }] } })
    expect(done).toMatchObject({ value: { lines: [{ item: lot, quantity: -6, balance: 0 }] } })
    expect(await two.moveAll(call)).toMatchObject({ replayed: true })
    const five = { ...call, lines: [{ from: { item, quantity: 5 } }] }
    expect(await one.moveAll(five)).toMatchObject({ replayed: false })
    expect([await one.trace({ item: lot }), await two.trace({ item: lot })]).toMatchObject([
      [{ quantity: -5 }],
      [{ quantity: -6 }],
    ])
    expect([await one.audit(), await two.audit()]).toEqual([[], []])
  })

  test('a key without a lot is a place of its own, also of exact decimals', async () => {
    const db = await openWith<string>({ item: { model: 'Barrel', key: 'code' }, movement: { model: 'BarrelMovement' } })
    const items = [newId(), newId()]
    for (const code of items) {
      await database.query(`INSERT INTO "Barrel" (id, code, label, "updatedAt") VALUES ($1, $1, 'tea', now())`, [code])
      await db.$stock.move({ transactionId: newId(), item: code, quantity: '1.25' })
    }
    const transactionId = newId()
    const call = { transactionId, lines: [{ from: { items, quantity: '2.125', split: true } }] }
    const { lines } = await db.$stock.moveAll(call)
    expect(lines.map(({ item, quantity, balance }) => [item, Number(quantity), Number(balance)])).toEqual([
      [items[0], -1.25, 0],
      [items[1], -0.875, 0.375],
    ])
    expect(await db.$stock.moveAll(call)).toMatchObject({ replayed: true })
    const error = await rejectionOf(db.$stock.moveAll({ ...call, transactionId: newId() }))
    expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK', shortages: [{ item: items[0] }, { item: items[1] }] })
  })

  test('the places of a stock without lots are its items', async () => {
    const db = await openWith<StockItem>(STOCK)
    const productId = randomInt(1, 2 ** 31)
    const items = ['main', 'Graz'].map((warehouse) => ({ productId, warehouse }))
    for (const [i, item] of items.entries()) {
      await db.$stock.move({ transactionId: newId(), item, quantity: i + 2, createMissing: true })
    }
    const one = { transactionId: newId(), lines: [{ from: { items, quantity: 3 } }] }
    expect(await db.$stock.moveAll(one)).toMatchObject({ lines: [{ item: items[1], balance: 0 }] })
    const last = { transactionId: newId(), from: { item: items[0] as StockItem, quantity: 2 }, expiresIn: 1_000 }
    expect(await db.$stock.reserve(last)).toMatchObject({ lines: [{ item: items[0], quantity: 2 }] })
  })

  test.each([
    ['item.lot', { ...LOTS, item: { ...LOTS.item, lot: 'minimum' } }],
    ['item.lot', { ...LOTS, item: { ...LOTS.item, lot: 'nothing' } }],
    ['item.expiresAt', { ...LOTS, item: { ...LOTS.item, expiresAt: 'lot' } }],
    ['item.receivedAt', { ...LOTS, item: { ...LOTS.item, receivedAt: 'nothing' } }],
  ])('a mapping with a mistake in %s is refused', async (path, options) => {
    const error = await rejectionOf((async () => openWith(options))())
    expect(error).toMatchObject({ code: 'CONFIGURATION', issues: [{ path }] })
  })

  test('by expiry, and remembered refusals, need a mapping that allows it', async () => {
    const db = await openWith<StockItem>(STOCK)
    const item = { productId: 1, warehouse: 'main' }
    const byExpiry = db.$stock.moveAll({ transactionId: newId(), lines: [{ from: { item, quantity: 1, by: 'fefo' } }] })
    expect(await rejectionOf(byExpiry)).toMatchObject({
      code: 'CONFIGURATION',
      issues: [{ path: 'item.expiresAt' }],
    })
    const remembering = await openWith<string, CompanyScope>(CREDIT)
    const lines = [{ from: { item: newId(), quantity: 1 } }]
    const call = remembering.$stock.moveAll({ scope: { companyId: 1 }, transactionId: newId(), lines })
    expect(await rejectionOf(call)).toMatchObject({ code: 'CONFIGURATION', issues: [{ path: 'rememberRefusals' }] })
  })

  test('the lots of a place are found by their key, by a plan for any place', async () => {
    const { db, statements } = await useLots(engine).openRecorded()
    const productId = await newProduct({ a: { onHand: 5, days: 3 }, b: { onHand: 5, warehouse: 'Graz' } })
    const items = ['main', 'Graz'].map((warehouse) => ({ productId, warehouse }))
    const take = (from: object) => db.$stock.moveAll({ transactionId: newId(), lines: [{ from: from as never }] })
    await take({ item: items[0], quantity: 1 })
    await take({ items, quantity: 1 })
    const reads = statements.filter((text) => text.includes('WINDOW turn'))
    const explainer = await openTransaction(
      database.url,
      `INSERT INTO "LotStock" ("productId", warehouse, lot, "onHand")
SELECT n % 1000, 'main', n, 1 FROM generate_series(1, 20000) AS n`,
    )
    await explainer.query('ANALYZE "LotStock"; SET LOCAL plan_cache_mode = force_generic_plan')
    for (const [i, values] of [
      "7, 'main', 1, true, NULL, 5",
      "'{7,8}', '{main,main}', '{1,2}', '{t,t}', '{0,0}', 5",
    ].entries()) {
      await explainer.query(`PREPARE lots${i} AS ${reads[i]}`)
      const { rows } = await explainer.query(`EXPLAIN EXECUTE lots${i}(${values})`)
      const plan = rows.map((row) => row['QUERY PLAN']).filter((line) => line.includes('on "LotStock"'))
      expect(plan).toEqual([expect.not.stringContaining('Seq Scan')])
    }
    await explainer.query('ROLLBACK')
    await expectExact()
  })
})
