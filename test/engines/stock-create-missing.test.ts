import { randomInt, randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import { withLedgers } from '../support/company-models.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { COMPANY_LOTS, type LotItem } from '../support/lots.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { STOCK, type StockItem } from '../support/stock-models.js'
import { untilBlocked } from '../support/until-blocked.js'

/** Items with a required column, exact decimals and an opening balance. */
const BARRELS = {
  item: { model: 'Barrel', key: 'code', opening: 'opening' },
  movement: { model: 'BarrelMovement' },
} as const

describeEngines((engine) => {
  const { database } = engine
  const newId = (): string => randomUUID()
  const open = async (...args: Parameters<typeof engine.connect>) => {
    const [name = engine.name] = args
    const { db, client } = await engine.connect(...args)
    const onPg = () => db.$extends(stock<StockItem, number>(STOCK))
    const onPrisma = () => client.$extends(concurrency()).$extends(prismaStock(STOCK)) as unknown
    return name === 'pg' ? onPg() : (onPrisma() as ReturnType<typeof onPg>)
  }
  const openBarrels = async () => {
    const { db, client } = await engine.connect()
    const onPg = () => db.$extends(stock<string, string>(BARRELS))
    const onPrisma = () => client.$extends(concurrency()).$extends(prismaStock(BARRELS)) as unknown
    return engine.name === 'pg' ? onPg() : (onPrisma() as ReturnType<typeof onPg>)
  }
  /** Without Prisma nobody makes these two but the caller. */
  const made = () => (engine.name === 'pg' ? { id: newId(), updatedAt: new Date() } : {})
  const newItem = () => ({ productId: randomInt(1, 2 ** 31), warehouse: 'main' })
  const rowOf = async ({ productId }: StockItem) => {
    const rows = await database.query(
      `SELECT s."onHand", (SELECT count(*)::int FROM "StockMovement" AS m WHERE m."productId" = $1) AS movements
FROM (SELECT 1) AS one LEFT JOIN "Stock" AS s ON s."productId" = $1`,
      [productId],
    )
    expect(rows).toHaveLength(1)
    return rows[0]
  }
  const NOTHING = { onHand: null, movements: 0 }
  const receipt = (item: StockItem, quantity = 5) => ({
    transactionId: newId(),
    item,
    quantity,
    createMissing: true as const,
  })

  test('a receipt of an item that is not there creates it, and a replay does not again', async () => {
    const [db, their] = [await open(), await open(engine.other)]
    const item = newItem()
    const call = receipt(item)
    expect(await db.$stock.move(call)).toEqual({ quantity: 5, balance: 5, replayed: false })
    expect(await db.$stock.move(call)).toEqual({ quantity: 5, balance: 5, replayed: true })
    expect(await their.$stock.move(call)).toMatchObject({ replayed: true })
    expect(await db.$stock.move(receipt(item, 2))).toMatchObject({ balance: 7 })
    expect(await rejectionOf(db.$stock.move({ ...call, quantity: 6 }))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
    expect(await rowOf(item)).toEqual({ onHand: 7, movements: 2 })
  })

  test('without it, with false, and for what goes out, the item is not found', async () => {
    const db = await open()
    const item = newItem()
    const { createMissing: _, ...call } = receipt(item)
    for (const wrong of [call, { ...call, createMissing: false }, { ...receipt(item), quantity: -1 }]) {
      expect(await rejectionOf(db.$stock.move(wrong))).toMatchObject({ code: 'ITEM_NOT_FOUND', item })
    }
    expect(await rowOf(item)).toEqual(NOTHING)
  })

  test('moveAll creates the items of all lines that add, of a transfer', async () => {
    const db = await open()
    const [from, to, other] = [newItem(), newItem(), newItem()]
    await db.$stock.move(receipt(from))
    const lines = [
      { item: to, quantity: 3 },
      { item: from, quantity: -4 },
      { item: other, quantity: 1 },
    ]
    expect(await db.$stock.moveAll({ transactionId: newId(), lines, createMissing: true })).toMatchObject({
      lines: [{ balance: 3 }, { balance: 1 }, { balance: 1 }],
    })
    expect([await rowOf(to), await rowOf(from), await rowOf(other)]).toMatchObject([
      { onHand: 3 },
      { onHand: 1 },
      { onHand: 1 },
    ])
  })

  test.each([false, true])('a movement that is refused leaves no row (in a transaction: %s)', async (isInside) => {
    const db = await open()
    const [from, to] = [newItem(), newItem()]
    await db.$stock.move(receipt(from, 3))
    const lines = [
      { item: to, quantity: 4 },
      { item: from, quantity: -4 },
    ]
    const call = { transactionId: newId(), lines, createMissing: true as const }
    if (isInside) {
      await db.$transactionWithRetry(async (tx) => {
        expect(await rejectionOf(tx.$stock.moveAll(call))).toMatchObject({ code: 'INSUFFICIENT_STOCK' })
        // The transaction goes on.
        await tx.$stock.move({ transactionId: newId(), item: from, quantity: -1 })
      })
    } else {
      expect(await rejectionOf(db.$stock.moveAll(call))).toMatchObject({
        code: 'INSUFFICIENT_STOCK',
        shortages: [{ item: from, requested: 4, available: 3 }],
      })
    }
    expect(await rowOf(to)).toEqual(NOTHING)
    expect(await rowOf(from)).toMatchObject({ onHand: isInside ? 2 : 3 })
  })

  test.each([false, true])(
    'a refusal that is remembered stays, with its items (in a transaction: %s)',
    async (isInside) => {
      const db = withLedgers(engine.name, await engine.connect())
      const [from, to] = [newId(), newId()]
      const scope = { companyId: 1 }
      await db.$credit.move({ scope, transactionId: newId(), item: from, quantity: 3n, createMissing: true })
      const lines = [
        { item: to, quantity: 4n },
        { item: from, quantity: -4n },
      ]
      const call = { scope, transactionId: newId(), lines, createMissing: true as const }
      const refused = { code: 'INSUFFICIENT_STOCK', message: expect.stringContaining('It stays refused') }
      const inside = () =>
        db.$transactionWithRetry(async (tx) =>
          expect(await rejectionOf(tx.$credit.moveAll(call))).toMatchObject(refused),
        )
      if (isInside) await inside()
      else expect(await rejectionOf(db.$credit.moveAll(call))).toMatchObject(refused)
      await db.$credit.move({ scope, transactionId: newId(), item: from, quantity: 3n })
      expect(await rejectionOf(db.$credit.moveAll(call))).toMatchObject(refused)
      const rows = await database.query('SELECT balance::int FROM "CompanyCredit" WHERE "customerId" IN ($1, $2)', [
        from,
        to,
      ])
      expect(rows.map(({ balance }) => balance).sort()).toEqual([0, 6])
      expect(await db.$credit.audit({ scope })).toEqual([])
    },
  )

  test('two receipts at once create one row, also with one id', async () => {
    const [db, their] = [await open(), await open(engine.other)]
    const item = newItem()
    // Somebody else is creating it, and has not committed: both have seen that it is not there.
    const holder = await openTransaction(
      database.url,
      `INSERT INTO "Stock" ("productId", warehouse) VALUES ($1, 'main')`,
      [item.productId],
    )
    const call = receipt(item)
    const calls = [
      started(db.$stock.move(call)),
      started(their.$stock.move(call)),
      started(their.$stock.move(receipt(item))),
    ]
    await untilBlocked(database.url, 2)
    await holder.query('ROLLBACK')
    const answers = await Promise.all(calls)
    expect(
      answers
        .slice(0, 2)
        .map(({ replayed }) => replayed)
        .sort(),
    ).toEqual([false, true])
    expect(await rowOf(item)).toEqual({ onHand: 10, movements: 2 })
  })

  test('in a transaction it is part of it, at every isolation level', async () => {
    const db = await open()
    const item = newItem()
    const back = db.$transactionWithRetry(async (tx) => {
      expect(await tx.$stock.move(receipt(item))).toMatchObject({ balance: 5 })
      throw new Error('rolled back')
    })
    expect(await rejectionOf(back)).toMatchObject({ message: 'rolled back' })
    expect(await rowOf(item)).toEqual(NOTHING)
    for (const isolationLevel of ['ReadCommitted', 'RepeatableRead', 'Serializable'] as const) {
      const own = newItem()
      const calls = [1, 2].map(() => db.$transactionWithRetry((tx) => tx.$stock.move(receipt(own)), { isolationLevel }))
      await Promise.all(calls)
      expect(await rowOf(own)).toEqual({ onHand: 10, movements: 2 })
    }
  })

  test.each([
    ['drop', /^COMMIT/],
    ['cut', /INSERT INTO "public"\."Stock" /],
    ['drop', /INSERT INTO "public"\."Stock" /],
  ] as const)('an answer that is lost (%s of %s) is found again', async (loss, statement) => {
    const proxy = await openProxy(database.url)
    const db = await open(undefined, { url: proxy.url })
    await db.$stock.move(receipt(newItem()))
    const item = newItem()
    const lost = proxy.next(statement, loss)
    expect(await db.$stock.move(receipt(item))).toMatchObject({ balance: 5 })
    await lost.happened
    expect(await rowOf(item)).toEqual({ onHand: 5, movements: 1 })
  })

  test('a backend that is killed in the middle leaves no row, and the receipt is made once', async () => {
    const db = await open()
    const item = newItem()
    const insert = `INSERT INTO "Stock" ("productId", warehouse) VALUES ($1, 'main')`
    const holder = await openTransaction(database.url, insert, [item.productId])
    const call = started(db.$stock.move(receipt(item)))
    await untilBlocked(database.url)
    await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'`)
    await holder.query('ROLLBACK')
    expect(await call).toMatchObject({ balance: 5 })
    expect(await rowOf(item)).toEqual({ onHand: 5, movements: 1 })
  })

  describe('the other columns of an item', () => {
    const receive = (more: object) => ({ transactionId: newId(), item: newId(), quantity: '1.5', ...more })
    const find = (code: string) => database.query('SELECT * FROM "Barrel" WHERE code = $1', [code])

    test('are given, or have their defaults', async () => {
      const db = await openBarrels()
      const call = receive({ createMissing: { label: 'tea', minimum: '0.5', ...made() } })
      expect(String((await db.$stock.move(call)).balance)).toMatch(/^1\.50?0?$/)
      expect(await find(call.item)).toMatchObject([
        {
          id: expect.stringMatching(/^[0-9a-f-]{36}$/),
          label: 'tea',
          onHand: '1.500',
          minimum: '0.500',
          opening: '0.000',
          updatedAt: expect.any(Date),
        },
      ])
      const items = [newId(), newId()]
      const lines = items.map((item) => ({ item, quantity: 2 as never }))
      if (engine.name === 'prisma') {
        await db.$stock.moveAll({ transactionId: newId(), lines, createMissing: { label: 'tea' } })
        const ids = await Promise.all(items.map(async (code) => (await find(code))[0]?.id))
        expect(new Set(ids).size).toBe(2)
      }
      expect(await db.$stock.audit()).toEqual([])
    })

    test.each<[unknown, string]>([
      [true, 'createMissing.label'],
      [{}, 'createMissing.label'],
      [{ label: undefined }, 'createMissing.label'],
      [{ label: 7 }, 'createMissing.label'],
      [{ label: 'tea', onHand: 5 }, 'createMissing.onHand'],
      [{ label: 'tea', opening: 5 }, 'createMissing.opening'],
      [{ label: 'tea', code: 'x' }, 'createMissing.code'],
      [{ label: 'tea', colour: 'red' }, 'createMissing.colour'],
      ['yes', 'createMissing'],
      [null, 'createMissing'],
    ])('%j is refused before any SQL, and named', async (createMissing, field) => {
      const db = await openBarrels()
      const given = typeof createMissing === 'object' && createMissing ? { ...made(), ...createMissing } : createMissing
      const call = receive({ createMissing: given })
      const error = await rejectionOf(db.$stock.move(call as never))
      const first = engine.name === 'pg' && createMissing === true ? 'createMissing.id' : field
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: first })
      expect(await find(call.item)).toEqual([])
    })
  })

  test('with a scope the row is of it', async () => {
    const { db, client } = await engine.connect()
    const onPg = () => db.$extends(stock<LotItem, number, { companyId: number }>(COMPANY_LOTS))
    const onPrisma = () => client.$extends(concurrency()).$extends(prismaStock(COMPANY_LOTS)) as unknown
    const lots = engine.name === 'pg' ? onPg() : (onPrisma() as ReturnType<typeof onPg>)
    const item = { ...newItem(), lot: 'a' }
    const expiresAt = new Date('2030-01-01')
    const call = { transactionId: newId(), item, quantity: 5, createMissing: { expiresAt } }
    expect(await lots.$stock.move({ ...call, scope: { companyId: 7 } })).toMatchObject({ balance: 5 })
    expect(await lots.$stock.in({ companyId: 8 }).move({ ...call, quantity: 6 })).toMatchObject({ balance: 6 })
    const rows = await database.query('SELECT * FROM "CompanyLotStock" WHERE "productId" = $1 ORDER BY "companyId"', [
      item.productId,
    ])
    expect(rows).toMatchObject([
      { companyId: 7, onHand: 5, expiresAt },
      { companyId: 8, onHand: 6, expiresAt },
    ])
  })

  test('a storm of receipts, sales and transfers of a few new items, from two clients, adds up', async () => {
    const [db, their] = [await open(), await open(engine.other)]
    const items = [newItem(), newItem(), newItem(), newItem()]
    const work = Array.from({ length: 60 }, newId).flatMap((transactionId, i) =>
      [db, their].map(async (each) => {
        const [item, to] = [items[i % 4], items[(i + 1) % 4]]
        if (!item || !to) return
        if (i % 3 < 2) await each.$stock.move({ transactionId, item, quantity: 5, createMissing: true })
        else {
          const lines = [
            { item: to, quantity: 2 },
            { item, quantity: -2 },
          ]
          await each.$stock.moveAll({ transactionId, lines, createMissing: true })
        }
      }),
    )
    const outcomes = await Promise.allSettled(work)
    const codes = new Set(outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : [])))
    codes.delete('INSUFFICIENT_STOCK')
    codes.delete('ITEM_NOT_FOUND') // taken from before the first receipt
    expect([...codes]).toEqual([])
    expect(
      (await db.$stock.audit()).filter(({ item }) => items.some((own) => own.productId === item.productId)),
    ).toEqual([])
  })

  test.runIf(engine.name === 'prisma')('it is refused under an extension that changes what is created', async () => {
    const { client } = await engine.connect()
    const watched = client
      .$extends(concurrency())
      .$extends(prismaStock(STOCK))
      .$extends({ query: { stock: { create: ({ args, query }) => query(args) } } })
    const item = newItem()
    expect(await rejectionOf(watched.$stock.move(receipt(item)))).toMatchObject({ code: 'FOREIGN_EXTENSION' })
    const { createMissing: _, ...plain } = receipt(item)
    expect(await rejectionOf(watched.$stock.move(plain))).toMatchObject({ code: 'ITEM_NOT_FOUND' })
  })
})
