import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import { COMPANIES, CREDIT, withLedgers } from '../support/company-models.js'
import { useCompanies } from '../support/company-stock.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines, rows } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import type { StockItem } from '../support/stock-models.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines((engine) => {
  const { database, connect, name, other } = engine
  const { newItem, onHand, expectExact } = useCompanies(engine)
  const newId = () => randomUUID()
  const scope = { companyId: 1 }

  const open = async (options?: Parameters<typeof connect>[1], on = name) =>
    withLedgers(on, await connect(on, options), options?.options)
  const newCustomer = async (balance: bigint) => {
    const customerId = randomUUID()
    await database.query(
      `WITH customer AS (INSERT INTO "CompanyCredit" ("companyId", "customerId", balance) VALUES (1, $1, $2))
INSERT INTO "CompanyCreditEntry" ("companyId", "transactionId", line, "customerId", amount) VALUES (1, $3, 0, $1, $2)`,
      [customerId, balance, `opening of ${customerId}`],
    )
    return customerId
  }
  const creditOf = async (customerId: string) =>
    (await database.query('SELECT balance::int FROM "CompanyCredit" WHERE "customerId" = $1', [customerId]))[0]?.balance
  const expectBoth = async (item: StockItem, customer: string, [stock, credit]: readonly [number, number]) => {
    expect([await onHand(item), await creditOf(customer)]).toEqual([{ 1: stock }, credit])
    await expectExact()
    const wrong = await database.query(`SELECT * FROM "CompanyCredit" AS c WHERE balance <> (
  SELECT coalesce(sum(amount), 0) FROM "CompanyCreditEntry" AS e
  WHERE (e."companyId", e."customerId") = (c."companyId", c."customerId") AND e."isApplied" AND NOT e."isRefused")`)
    expect(wrong).toEqual([])
  }
  type Db = Awaited<ReturnType<typeof open>>
  type Tx = Parameters<Parameters<Db['$transactionWithRetry']>[0]>[0]
  interface Order {
    readonly transactionId: string
    readonly item: StockItem
    readonly customer: string
  }
  /** Two pieces for 30 each. */
  const sell = async (tx: Tx, { transactionId, item, customer }: Order) => {
    const taken = await tx.$stock.moveAll({ scope, transactionId, lines: [{ item, quantity: -2 }] })
    const paid = await tx.$credit.moveAll({ scope, transactionId, lines: [{ item: customer, quantity: -60n }] })
    return [taken.replayed, paid.replayed]
  }

  test('each ledger has the calls, and balances and transaction ids of its own', async () => {
    const db = await open()
    const [item, customer, transactionId] = [await newItem({ 1: 10 }), await newCustomer(100n), newId()]
    expect(await db.$stock.move({ scope, transactionId, item, quantity: -3 })).toMatchObject({ balance: 7 })
    expect(await db.$credit.move({ scope, transactionId, item: customer, quantity: -30n })).toEqual({
      quantity: -30n,
      balance: 70n,
      replayed: false,
    })
    expect(await db.$credit.in(scope).move({ transactionId, item: customer, quantity: -30n })).toMatchObject({
      balance: 70n,
      replayed: true,
    })
    const tooMuch = db.$credit.in(scope).move({ transactionId: newId(), item: customer, quantity: -71n })
    expect(await rejectionOf(tooMuch)).toMatchObject({
      code: 'INSUFFICIENT_STOCK',
      shortages: [{ item: customer, requested: 71n, available: 70n }],
    })
    expect(
      await rejectionOf((async () => db.$credit.move({ scope, transactionId, item, quantity: 1 } as never))()),
    ).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'item' })
    await db.$credit.defer({ scope, transactionId: newId(), item: customer, quantity: 5n })
    expect(await db.$credit.project({ scope })).toEqual({ folded: 1 })
    expect([await db.$credit.audit({ scope }), await db.$stock.audit({ scope })]).toEqual([[], []])
    await expectBoth(item, customer, [7, 75])
  })

  test('a transaction over two ledgers is carried out as a whole, or not at all, and is replayed as a whole', async () => {
    const db = await open()
    const [item, customer] = [await newItem({ 1: 5 }), await newCustomer(100n)]
    const order = { transactionId: newId(), item, customer }
    expect(await db.$transactionWithRetry((tx) => sell(tx, order))).toEqual([false, false])
    const their = await open({}, other)
    expect(await their.$transactionWithRetry((tx) => sell(tx, order))).toEqual([true, true])
    // There is stock for another one, and no credit.
    const refused = db.$transactionWithRetry((tx) => sell(tx, { ...order, transactionId: newId() }))
    expect(await rejectionOf(refused)).toMatchObject({ code: 'INSUFFICIENT_STOCK', shortages: [{ item: customer }] })
    const undone = db.$transaction(async (tx) => {
      await sell(tx as Tx, { ...order, transactionId: newId(), customer: await newCustomer(60n) })
      throw new Error('rolled back')
    })
    expect(await rejectionOf(undone)).toMatchObject({ message: 'rolled back' })
    await expectBoth(item, customer, [3, 40])
  })

  test('in one transaction other lines under a known id are a mismatch, and nothing of it is there', async () => {
    const db = await open()
    const [item, customer] = [await newItem({ 1: 5 }), await newCustomer(100n)]
    const order = { transactionId: newId(), item, customer }
    await db.$credit.move({ scope, transactionId: order.transactionId, item: customer, quantity: -1n })
    expect(await rejectionOf(db.$transactionWithRetry((tx) => sell(tx, order)))).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
    })
    await expectBoth(item, customer, [5, 99])
  })

  test('two transactions that lock two ledgers in opposite orders deadlock, and both are carried out once', async () => {
    const [db, their] = [await open(), await open({}, other)]
    const [item, customer] = [await newItem({ 1: 10 }), await newCustomer(100n)]
    let runs = 0
    let arrived = 0
    let go = () => {}
    const bothHoldOne = new Promise<void>((resolve) => {
      go = resolve
    })
    const run = (on: Db, transactionId: string, isOpposite: boolean) =>
      on.$transactionWithRetry(
        async (tx, { attempt }) => {
          runs++
          const calls = [
            () => tx.$stock.move({ scope, transactionId, item, quantity: -1 }),
            () => tx.$credit.move({ scope, transactionId, item: customer, quantity: -1n }),
          ] as const
          const [first, second] = isOpposite ? [calls[1], calls[0]] : calls
          await first()
          if (attempt === 1 && ++arrived === 2) go()
          await bothHoldOne
          await second()
        },
        { retry: { deadline: 60_000 } },
      )
    await Promise.all([run(db, newId(), false), run(their, newId(), true)])
    expect(runs).toBeGreaterThan(2)
    await expectBoth(item, customer, [8, 98])
  })

  test.each(['ReadCommitted', 'RepeatableRead', 'Serializable'] as const)(
    'orders over two ledgers in both orders, each sent twice, from two engines, add up at %s',
    async (isolationLevel) => {
      const clients = [await open(), await open({}, other)]
      const [item, customer] = [await newItem({ 1: 100 }), await newCustomer(100n)]
      const order = (on: Db, i: number) =>
        on.$transactionWithRetry(
          async (tx) => {
            const transactionId = `${customer} ${i}`
            const calls = [
              () => tx.$stock.move({ scope, transactionId, item, quantity: -1 }),
              () => tx.$credit.move({ scope, transactionId, item: customer, quantity: -1n }),
            ]
            for (const call of i % 2 === 0 ? calls : calls.reverse()) await call()
          },
          { isolationLevel, retry: { deadline: 60_000, attempts: 100 } },
        )
      await Promise.all(Array.from({ length: 20 }, (_, i) => clients.map((on) => order(on, i))).flat())
      await expectBoth(item, customer, [80, 80])
    },
  )

  test('a COMMIT of two ledgers whose answer is lost is found', async () => {
    const proxy = await openProxy(database.url)
    const db = await open({ url: proxy.url })
    const [item, customer] = [await newItem({ 1: 10 }), await newCustomer(100n)]
    await db.$stock.audit({ scope })
    proxy.next(/^COMMIT/, 'drop')
    await db.$transactionWithRetry((tx) => sell(tx, { transactionId: newId(), item, customer }))
    await expectBoth(item, customer, [8, 40])
  })

  test('a connection that is killed between two ledgers leaves nothing, and the call that comes again is the first', async () => {
    const db = await open()
    const [item, customer] = [await newItem({ 1: 10 }), await newCustomer(100n)]
    const order = { transactionId: newId(), item, customer }
    const killed = db.$transactionWithRetry(async (tx, { attempt }) => {
      await tx.$stock.move({ scope, transactionId: order.transactionId, item, quantity: -2 })
      if (attempt > 1) throw new Error('run again')
      const [row] = await rows(tx, 'SELECT pg_backend_pid() AS pid')
      await database.query('SELECT pg_terminate_backend($1)', [row?.pid])
      await tx.$credit.move({ scope, transactionId: order.transactionId, item: customer, quantity: -60n })
    })
    await rejectionOf(killed)
    await expectBoth(item, customer, [10, 100])
    expect(await db.$transactionWithRetry((tx) => sell(tx, order))).toEqual([false, false])
    await expectBoth(item, customer, [8, 40])
  })

  test('calls of two ledgers at once, on one tx and on the client, do not mix', async () => {
    const db = await open()
    const [item, customer] = [await newItem({ 1: 10 }), await newCustomer(100n)]
    const both = (on: Db | Tx, transactionId: string) =>
      Promise.all([
        on.$stock.move({ scope, transactionId, item, quantity: -1 }),
        on.$credit.move({ scope, transactionId, item: customer, quantity: -1n }),
      ])
    expect(await both(db, newId())).toMatchObject([{ balance: 9 }, { balance: 99n }])
    expect(await db.$transactionWithRetry((tx) => both(tx, newId()))).toMatchObject([{ balance: 8 }, { balance: 98n }])
    await expectBoth(item, customer, [8, 98])
  })

  test('a ledger does not wait for the transaction ids of another', async () => {
    const db = await open()
    const [item, customer, transactionId] = [await newItem({ 1: 10 }), await newCustomer(100n), newId()]
    const holder = await openTransaction(
      database.url,
      `INSERT INTO "CompanyMovement" ("companyId", "transactionId", line, "productId", warehouse, quantity) VALUES (1, $1, 0, $2, 'main', -1)`,
      [transactionId, item.productId],
    )
    const waiting = started(db.$stock.move({ scope, transactionId, item, quantity: -1 }))
    await untilBlocked(database.url)
    expect(await db.$credit.move({ scope, transactionId, item: customer, quantity: -1n })).toMatchObject({
      replayed: false,
    })
    await holder.query('ROLLBACK')
    expect(await waiting).toMatchObject({ balance: 9 })
  })

  test('a name that is taken, or is no name, is a mistake in the options', async () => {
    const { db, client } = await connect()
    const { name: _, ...unnamed } = { name: '', ...CREDIT }
    const extended = (own: object) =>
      name === 'pg'
        ? () => db.$extends(stock(COMPANIES as never)).$extends(stock(own as never))
        : () =>
            client
              .$extends(concurrency())
              .$extends(prismaStock(COMPANIES))
              .$extends(prismaStock(own as never))
    const mistake = expect.objectContaining({
      code: 'CONFIGURATION',
      issues: [expect.objectContaining({ path: 'name' })],
    })
    expect(extended(unnamed)).toThrow(mistake)
    for (const taken of ['stock', 'transaction', 'extends', 'withAdvisoryLock', 'serials', 'series']) {
      expect(extended({ ...unnamed, name: taken }), taken).toThrow(mistake)
    }
    for (const wrong of ['', '1st', 'a b', 'a.b', '$credit', 7, null]) {
      expect(extended({ ...unnamed, name: wrong }), String(wrong)).toThrow(mistake)
    }
  })

  test('two ledgers on one model are a mistake in the options', async () => {
    const { db, client } = await connect()
    const second = { ...COMPANIES, name: 'other' } as const
    const extended =
      name === 'pg'
        ? () => db.$extends(stock(COMPANIES as never)).$extends(stock(second as never))
        : () => client.$extends(concurrency()).$extends(prismaStock(COMPANIES)).$extends(prismaStock(second))
    expect(extended).toThrow('CompanyStock is written by $stock already, and $other would')
  })

  test('events and findings say which ledger it is', async () => {
    const operations: string[] = []
    const db = await open({ options: { onEvent: ({ operation }) => operations.push(operation) } })
    const customer = await newCustomer(1n)
    const call = { scope, transactionId: newId(), item: customer, quantity: -1n }
    for (let i = 0; i < 2; i++) await db.$credit.move(call)
    expect([...new Set(operations)]).toEqual(['$credit.move'])
    await database.query('ALTER TABLE "CompanyCreditEntry" DROP CONSTRAINT "CompanyCreditEntry_pkey"')
    const findings = await db.$checkConcurrency()
    await database.query(
      'ALTER TABLE "CompanyCreditEntry" ADD CONSTRAINT "CompanyCreditEntry_pkey" PRIMARY KEY ("companyId", "transactionId", line)',
    )
    expect(findings.filter(({ code }) => code === 'KEY_MISSING')).toMatchObject([
      {
        where: expect.stringContaining('CompanyCreditEntry'),
        cost: expect.stringContaining('$credit refuses every write'),
        sql: expect.stringContaining('("companyId", "transactionId", "line")'),
      },
    ])
  })
})
