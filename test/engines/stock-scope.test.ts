import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import { type CompanyScope, CREDIT, useCompanies } from '../support/company-stock.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { skipOnCitus } from '../support/on-citus.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import type { StockItem } from '../support/stock-models.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines((engine) => {
  const { database, other } = engine
  const { open, openRecorded, newItem, onHand, expectExact } = useCompanies(engine)
  const newId = () => randomUUID()

  describe('a transaction id in two companies is two requests', () => {
    test('for move, and each of them is replayed in its own company', async () => {
      const db = await open()
      const item = await newItem({ 1: 10, 2: 10 })
      const call = { transactionId: newId(), item }
      const one = { ...call, scope: { companyId: 1 }, quantity: -3 }
      const two = { ...call, scope: { companyId: 2 }, quantity: -4 }
      expect(await Promise.all([db.$stock.move(one), db.$stock.move(two)])).toEqual([
        { quantity: -3, balance: 7, replayed: false },
        { quantity: -4, balance: 6, replayed: false },
      ])
      const their = await open(other)
      expect(await Promise.all([their.$stock.move(one), their.$stock.move(two)])).toEqual([
        { quantity: -3, balance: 7, replayed: true },
        { quantity: -4, balance: 6, replayed: true },
      ])
      expect(await rejectionOf(db.$stock.move({ ...one, quantity: -4 }))).toMatchObject({
        code: 'IDEMPOTENCY_MISMATCH',
        fields: ['quantity'],
      })
      expect(await onHand(item)).toEqual({ 1: 7, 2: 6 })
      await expectExact()
    })

    test('for moveAll, whose answers and errors name items without the company', async () => {
      const db = await open()
      const [a, b] = [await newItem({ 1: 5, 2: 1 }), await newItem({ 1: 5, 2: 5 })]
      const lines = [
        { item: a, quantity: -2 },
        { item: b, quantity: -3 },
      ]
      const call = { transactionId: newId(), lines }
      const [done, refused] = await Promise.allSettled([
        db.$stock.moveAll({ ...call, scope: { companyId: 1 } }),
        db.$stock.moveAll({ ...call, scope: { companyId: 2 } }),
      ])
      expect(done).toMatchObject({
        value: {
          lines: [
            { item: a, quantity: -2, balance: 3 },
            { item: b, quantity: -3, balance: 2 },
          ],
        },
      })
      expect(refused).toMatchObject({
        reason: { code: 'INSUFFICIENT_STOCK', shortages: [{ item: a, requested: 2, available: 1 }] },
      })
      expect(await db.$stock.in({ companyId: 1 }).moveAll(call)).toMatchObject({ replayed: true })
      expect(await onHand(a)).toEqual({ 1: 3, 2: 1 })
      await expectExact()
    })

    test('for count', async () => {
      const db = await open()
      const item = await newItem({ 1: 10, 2: 20 })
      const call = { transactionId: newId(), item, counted: 15 }
      const counted = [1, 2].map((companyId) => db.$stock.count({ ...call, scope: { companyId } }))
      expect(await Promise.all(counted)).toMatchObject([{ quantity: 5 }, { quantity: -5 }])
      expect(await db.$stock.count({ ...call, scope: { companyId: 2 } })).toMatchObject({
        quantity: -5,
        replayed: true,
      })
    })

    test('for reserve, fulfil and release', async () => {
      const db = await open()
      const item = await newItem({ 1: 10, 2: 10, 3: 10 })
      const transactionId = newId()
      const [one, two, three] = [1, 2, 3].map((companyId) => db.$stock.in({ companyId }))
      if (!one || !two || !three) return
      const reserve = (company: typeof one, quantity: number) =>
        company.reserve({ transactionId, item, quantity, expiresIn: 60_000 })
      expect(await Promise.all([reserve(one, 2), reserve(two, 3)])).toMatchObject([
        { state: 'active', replayed: false },
        { state: 'active', replayed: false },
      ])
      expect(await reserve(two, 3)).toMatchObject({ replayed: true })
      // Nothing is reserved under it in the third company.
      expect(await three.move({ transactionId, item, quantity: -1 })).toMatchObject({ balance: 9, replayed: false })
      expect(await rejectionOf(one.move({ transactionId, item, quantity: -1 }))).toMatchObject({
        code: 'RESERVATION_ACTIVE',
      })
      expect(await three.release({ transactionId })).toEqual({ released: false, state: 'missing' })
      expect(await one.release({ transactionId })).toEqual({ released: true, state: 'released' })
      expect(await two.fulfil({ transactionId })).toMatchObject({ lines: [{ item, quantity: -3, balance: 7 }] })
      expect(await two.fulfil({ transactionId })).toMatchObject({ replayed: true })
      expect(await rejectionOf(one.fulfil({ transactionId }))).toMatchObject({ code: 'RESERVATION_ENDED' })
      expect(await onHand(item)).toEqual({ 1: 10, 2: 7, 3: 9 })
      await expectExact()
    })

    test('for defer and project, which folds what is of its company', async () => {
      const db = await open()
      const item = await newItem({ 1: 0, 2: 0 })
      const transactionId = newId()
      const [one, two] = [db.$stock.in({ companyId: 1 }), db.$stock.in({ companyId: 2 })]
      expect(await one.defer({ transactionId, item, quantity: 5 })).toEqual({ replayed: false })
      expect(await two.defer({ transactionId, item, quantity: 6 })).toEqual({ replayed: false })
      expect(await two.defer({ transactionId, item, quantity: 6 })).toEqual({ replayed: true })
      expect(await rejectionOf(one.defer({ transactionId, item, quantity: 6 }))).toMatchObject({
        code: 'IDEMPOTENCY_MISMATCH',
      })
      expect(await one.project()).toEqual({ folded: 1 })
      expect(await onHand(item)).toEqual({ 1: 5, 2: 0 })
      expect(await db.$stock.project({ scope: { companyId: 2 }, batchSize: 1 })).toEqual({ folded: 1 })
      expect(await onHand(item)).toEqual({ 1: 5, 2: 6 })
      await expectExact()
    })

    test('for an item that cannot be folded, which another company can', async () => {
      const db = await open()
      const item = await newItem({ 1: 2_147_483_647, 2: 0 })
      for (const companyId of [1, 2]) {
        await db.$stock.in({ companyId }).defer({ transactionId: 'too much', item, quantity: 1 })
      }
      expect(await db.$stock.in({ companyId: 2 }).project()).toEqual({ folded: 1 })
      expect(await db.$stock.in({ companyId: 1 }).project()).toMatchObject({ folded: 0, failed: [{ item }] })
      await database.query(`DELETE FROM "CompanyMovement" WHERE "transactionId" = 'too much' AND "companyId" = 1`)
    })
  })

  test('a ledger with one field in its key keeps the refusals of each company', async () => {
    const { db, client } = await engine.connect()
    const onPg = () => db.$extends(stock<string, bigint, CompanyScope>(CREDIT))
    const onPrisma = () => client.$extends(concurrency()).$extends(prismaStock(CREDIT)) as unknown
    const credit = engine.name === 'pg' ? onPg() : (onPrisma() as ReturnType<typeof onPg>)
    const [customerId, transactionId] = [newId(), newId()]
    await database.query('INSERT INTO "CompanyCredit" ("companyId", "customerId") VALUES (1, $1), (2, $1)', [
      customerId,
    ])
    const [one, two] = [1, 2].map((companyId) => credit.$stock.in({ companyId })) as [Company, Company]
    type Company = ReturnType<(typeof credit)['$stock']['in']>
    const take = { transactionId, item: customerId.toUpperCase(), quantity: -3n }
    await two.move({ transactionId: 'payment', item: customerId, quantity: 5n })
    const refused = { code: 'INSUFFICIENT_STOCK' }
    expect(await rejectionOf(one.move(take))).toMatchObject(refused)
    expect(await two.move(take)).toEqual({ quantity: -3n, balance: 2n, replayed: false })
    await one.move({ transactionId: 'payment', item: customerId, quantity: 5n })
    expect(await rejectionOf(one.move(take))).toMatchObject(refused)
    expect(await two.move(take)).toEqual({ quantity: -3n, balance: 2n, replayed: true })
    expect([await one.audit(), await two.audit()]).toEqual([[], []])
  })

  test('audit looks at one company, and names items without it', async () => {
    const db = await open()
    const item = await newItem({ 4: 10, 5: 10 })
    const set = (onHand: number) =>
      database.query('UPDATE "CompanyStock" SET "onHand" = $1 WHERE "companyId" = 5 AND "productId" = $2', [
        onHand,
        item.productId,
      ])
    await set(12)
    expect(await db.$stock.in({ companyId: 4 }).audit()).toEqual([])
    const wrong = { item, balance: 12, expected: 10, reserved: 0, expectedReserved: 0 }
    expect(await db.$stock.audit({ scope: { companyId: 5 } })).toEqual([wrong])
    expect(await db.$transactionWithRetry((tx) => tx.$stock.in({ companyId: 5 }).audit())).toEqual([wrong])
    await set(10)
  })

  describe('without its scope', () => {
    const call = { transactionId: 'x', item: { productId: 1, warehouse: 'main' }, quantity: 1 }
    const methodsOf = (stock: object) =>
      Object.keys(stock)
        .filter((name) => name !== 'in')
        .sort()

    test('no method sends a statement', async () => {
      const proxy = await openProxy(database.url)
      const db = await open(undefined, { url: proxy.url })
      const stock = db.$stock as unknown as Record<string, (args?: object) => Promise<unknown>>
      const { item: _, quantity: __, ...id } = call
      const calls = {
        move: call,
        moveAll: { ...id, lines: [{ item: call.item, quantity: 1 }] },
        count: { ...id, item: call.item, counted: 1 },
        defer: call,
        reserve: { ...call, expiresIn: 1_000 },
        release: id,
        fulfil: id,
        extend: { ...id, expiresIn: 1_000 },
        change: { ...id, lines: [{ item: call.item, quantity: 1 }] },
        reverse: { ...id, of: 'y' },
        project: undefined,
        close: { until: '2026-01-31' },
        prune: { forgetBefore: '2026-01-31' },
        setSlots: { item: call.item, count: 2 },
        trace: { item: call.item },
        audit: undefined,
        balance: { item: call.item },
        balances: undefined,
        history: { item: call.item },
        balanceAt: { item: call.item, at: new Date() },
        reservations: undefined,
        statement: id,
      }
      expect(Object.keys(calls).sort()).toEqual(methodsOf(db.$stock))
      const sent = proxy.next(/Company/, 'hold')
      let isSent = false
      sent.happened.then(
        () => (isSent = true),
        () => {},
      )
      for (const [method, args] of Object.entries(calls)) {
        for (const given of [args, { ...args, scope: {} }, { ...args, scope: { companyId: null } }]) {
          expect(await rejectionOf((async () => stock[method]?.(given))())).toMatchObject({
            code: 'INVALID_ARGUMENT',
            field: 'scope.companyId',
          })
        }
      }
      expect(isSent).toBe(false)
    })

    test('it says what is wrong with one that is given', async () => {
      const db = await open()
      const move = (scope: object) => rejectionOf((async () => db.$stock.move({ ...call, scope } as never))())
      expect(await move({ companyId: '1' })).toMatchObject({ field: 'scope.companyId' })
      expect(await move({ companyId: 2 ** 31 })).toMatchObject({ field: 'scope.companyId' })
      expect(await move({ companyId: 1, tenant: 2 })).toMatchObject({ field: 'scope.tenant' })
      expect(() => db.$stock.in({} as never)).toThrow(expect.objectContaining({ field: 'scope.companyId' }))
      const bound = db.$stock.in({ companyId: 1 })
      expect(
        await rejectionOf((async () => bound.move({ ...call, scope: { companyId: 1 } } as never))()),
      ).toMatchObject({
        field: 'scope',
      })
      // The item has no company of its own.
      const item = { ...call.item, companyId: 1 }
      expect(await rejectionOf((async () => bound.move({ ...call, item } as never))())).toMatchObject({
        field: 'item.companyId',
      })
    })

    test('a stock without one has neither in nor scope', async () => {
      const { db } = await engine.connectErp()
      expect(db.$stock).not.toHaveProperty('in')
      expect(await rejectionOf((async () => db.$stock.move({ ...call, scope: {} } as never))())).toMatchObject({
        code: 'INVALID_ARGUMENT',
        field: 'scope',
      })
    })
  })

  describe('calls of several companies', () => {
    test('that come at once are one batch, which no other company is refused by', async (test) => {
      skipOnCitus(test, 'batches')
      const { db, statements } = await openRecorded()
      const item = await newItem({ 1: 5, 2: 5, 3: 5 })
      await db.$stock.in({ companyId: 1 }).move({ transactionId: newId(), item, quantity: -1 })
      statements.length = 0
      const transactionId = newId()
      const calls = [1, 2, 3, 1, 2, 3].map((companyId, i) => ({
        scope: { companyId },
        transactionId: i < 3 ? transactionId : `${transactionId} ${i}`,
        item,
        quantity: companyId === 2 ? -4 : -1,
      }))
      const outcomes = await Promise.allSettled(calls.map((call) => db.$stock.move(call)))
      expect(outcomes.map(({ status }) => status)).toEqual([
        'fulfilled',
        'fulfilled',
        'fulfilled',
        'fulfilled',
        'rejected',
        'fulfilled',
      ])
      // All of them, and then those that the balances found are enough for.
      expect(statements.filter((text) => text.includes('INSERT INTO "public"."CompanyMovement"'))).toHaveLength(2)
      expect(await onHand(item)).toEqual({ 1: 2, 2: 1, 3: 3 })
      await expectExact()
    })

    test('of all kinds, at once and twice, from two clients of two engines, add up', async () => {
      const [db, their] = [await open(), await open(other)]
      const items = await Promise.all([1, 2, 3].map(() => newItem({ 1: 50, 2: 50, 3: 50 })))
      const ids = Array.from({ length: 60 }, newId)
      const work = ids.flatMap((transactionId, i) =>
        [1, 2, 3].flatMap((companyId) =>
          [db, their].map(async (each) => {
            const company = each.$stock.in({ companyId })
            const item = items[i % 3] ?? { productId: 0, warehouse: '' }
            const to = items[(i + companyId) % 3] ?? item
            if (i % 4 === 0) await company.defer({ transactionId, item, quantity: 1 })
            else if (i % 4 === 1) {
              await company.reserve({ transactionId, item, quantity: 1, expiresIn: 60_000 })
              if (i % 8 === 1) await company.fulfil({ transactionId })
              else await company.release({ transactionId })
            } else if (i % 4 === 2 && to !== item) {
              const lines = [
                { item, quantity: -1 },
                { item: to, quantity: 1 },
              ]
              await company.moveAll({ transactionId, lines })
            } else await company.move({ transactionId, item, quantity: -1 })
            if (i % 10 === 0) await company.project()
          }),
        ),
      )
      const failed = (await Promise.allSettled(work)).filter(({ status }) => status === 'rejected')
      expect(failed).toEqual([])
      for (const companyId of [1, 2, 3]) {
        await db.$stock.project({ scope: { companyId } })
        expect(await db.$stock.audit({ scope: { companyId } })).toEqual([])
      }
      await expectExact()
    })

    test('lock items and ids in one order, so that two batches that meet do not deadlock', async () => {
      const told: string[] = []
      const options = { onEvent: ({ type }: { readonly type: string }) => void told.push(type) }
      const [db, their] = [await open(undefined, { options }), await open(other, { options })]
      const item = await newItem({ 1: 100, 2: 100 })
      // Each batch names the companies in another order, with the same ids in both.
      const round = async (i: number) => {
        const ids = [`b ${i}`, `a ${i}`].map((id) => `${id} ${item.productId}`)
        const move = (each: typeof db, companyId: number, transactionId: string) =>
          each.$stock.move({ scope: { companyId }, transactionId, item, quantity: -1 })
        const calls = ids.flatMap((id) => [
          [1, id],
          [2, id],
        ]) as [number, string][]
        const answers = await Promise.all([
          ...calls.map(([company, id]) => move(db, company, id)),
          ...calls.toReversed().map(([company, id]) => move(their, company, id)),
        ])
        expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(4)
      }
      for (let i = 0; i < 15; i++) await round(i)
      expect(await onHand(item)).toEqual({ 1: 70, 2: 70 })
      expect(told).not.toContain('deadlock')
      await expectExact()
    })

    test('of one id do not wait for each other', async () => {
      const db = await open()
      const item = await newItem({ 1: 10, 2: 10 })
      const transactionId = newId()
      const holder = await openTransaction(
        database.url,
        `INSERT INTO "CompanyMovement" ("companyId", "transactionId", line, "productId", warehouse, quantity) VALUES (1, $1, 0, $2, 'main', -1)`,
        [transactionId, item.productId],
      )
      const waiting = started(db.$stock.move({ scope: { companyId: 1 }, transactionId, item, quantity: -2 }))
      await untilBlocked(database.url)
      expect(await db.$stock.move({ scope: { companyId: 2 }, transactionId, item, quantity: -2 })).toMatchObject({
        balance: 8,
      })
      await holder.query('ROLLBACK')
      expect(await waiting).toMatchObject({ balance: 8, replayed: false })
    })
  })

  test('a move waits for somebody who reserves its id in its company, and for nobody in another', async () => {
    const db = await open()
    const item = await newItem({ 1: 10, 2: 10 })
    const transactionId = newId()
    const end = gate()
    const reserving = started(
      db.$transactionWithRetry(async (tx) => {
        await tx.$stock.in({ companyId: 1 }).reserve({ transactionId, item, quantity: 1, expiresIn: 60_000 })
        await end.wait()
      }),
    )
    const other = await newItem({ 1: 10, 2: 10 })
    await Promise.race([end.arrived(), reserving])
    const refused = started(db.$stock.move({ scope: { companyId: 1 }, transactionId, item: other, quantity: -1 }))
    await untilBlocked(database.url)
    expect(await db.$stock.move({ scope: { companyId: 2 }, transactionId, item: other, quantity: -1 })).toMatchObject({
      balance: 9,
    })
    end.open()
    await reserving
    expect(await rejectionOf(refused)).toMatchObject({ code: 'RESERVATION_ACTIVE' })
  })

  describe('two calls that meet under one id are one record', () => {
    const calls = {
      move: { quantity: 1 },
      defer: { quantity: 1 },
      reserve: { quantity: 1, expiresIn: 60_000 },
    } as const
    type Kind = keyof typeof calls

    test.each<[first: Kind, second: Kind, outcome: object]>([
      ['defer', 'move', { replayed: true }],
      ['move', 'defer', { replayed: true }],
      ['defer', 'reserve', { code: 'IDEMPOTENCY_MISMATCH' }],
      ['reserve', 'defer', { code: 'RESERVATION_ACTIVE' }],
    ])('%s, and %s while its transaction is open', async (first, second, outcome) => {
      const db = await open()
      const [item, other] = [await newItem({ 1: 10 }), await newItem({ 1: 10 })]
      const transactionId = newId()
      const call = (stock: ReturnType<typeof db.$stock.in>, kind: Kind, item: StockItem): Promise<unknown> =>
        stock[kind]({ transactionId, item, ...calls[kind] } as never)
      const inside = gate()
      const held = started(
        db.$transactionWithRetry(async (tx) => {
          await call(tx.$stock.in({ companyId: 1 }), first, item)
          await inside.wait()
        }),
      )
      await inside.arrived()
      // A reservation has no row in common with a movement of another item: the lock of the id is all that they meet at.
      const isReserving = [first, second].includes('reserve')
      const meeting = started(call(db.$stock.in({ companyId: 1 }), second, isReserving ? other : item))
      await untilBlocked(database.url)
      inside.open()
      await held

      expect(await meeting.catch((error: unknown) => error)).toMatchObject(outcome)
      const [row] = await database.query(
        `SELECT (SELECT count(*) FROM "CompanyMovement" WHERE "transactionId" = $1)::int AS movements,
  (SELECT count(*) FROM "CompanyReservation" WHERE "transactionId" = $1)::int AS reservations`,
        [transactionId],
      )
      expect(row).toEqual({ movements: Number(first !== 'reserve'), reservations: Number(first === 'reserve') })
    })
  })

  test('a call in a transaction is part of it, on a tx of every kind', async () => {
    const db = await open()
    const item = await newItem({ 1: 10, 2: 10 })
    const transactionId = newId()
    const fails = db.$transaction(async (tx) => {
      expect(await tx.$stock.in({ companyId: 1 }).move({ transactionId, item, quantity: -3 })).toMatchObject({
        balance: 7,
      })
      expect(await tx.$stock.move({ scope: { companyId: 2 }, transactionId, item, quantity: -2 })).toMatchObject({
        balance: 8,
      })
      throw new Error('rolled back')
    })
    await rejectionOf(fails)
    expect(await onHand(item)).toEqual({ 1: 10, 2: 10 })
    await db.$transactionWithRetry((tx) => tx.$stock.in({ companyId: 2 }).move({ transactionId, item, quantity: -2 }))
    expect(await onHand(item)).toEqual({ 1: 10, 2: 8 })
  })

  test('an answer that was lost is found in its company', async () => {
    const proxy = await openProxy(database.url)
    const db = await open(undefined, { url: proxy.url })
    const item = await newItem({ 1: 10, 2: 10 })
    const transactionId = newId()
    await db.$stock.move({ scope: { companyId: 2 }, transactionId, item, quantity: -1 })
    proxy.next(/^COMMIT|^WITH/, 'drop')
    expect(await db.$stock.move({ scope: { companyId: 1 }, transactionId, item, quantity: -4 })).toMatchObject({
      balance: 6,
    })
    expect(await onHand(item)).toEqual({ 1: 6, 2: 9 })
    await expectExact()
  })

  test('every statement names the company, for each table that it reads or writes', async () => {
    const { db, statements } = await openRecorded()
    const item = await newItem({ 7: 10 })
    const work = async (stock: Parameters<typeof callsOf>[0]) => {
      for (const call of callsOf(stock, item)) await call().catch(() => {})
    }
    await work(db.$stock.in({ companyId: 7 }))
    await db.$transaction((tx) => work(tx.$stock.in({ companyId: 7 })))
    const own = statements.filter((text) => text.includes('"Company'))
    expect(own.length).toBeGreaterThan(30)
    for (const statement of own) {
      for (const [, alias] of statement.matchAll(/"Company\w+" AS (\w+)/g)) {
        expect(statement).toMatch(new RegExp(`\\b${alias}\\."companyId" = `))
      }
      for (const [, columns = ''] of statement.matchAll(/INSERT INTO \S+ \(([^)]*)\)/g)) {
        expect(columns).toContain('"companyId"')
      }
    }
  })

  test('the lines of recorded ids are found by one scan at most, also by a plan made while the table was tiny', async (test) => {
    skipOnCitus(test, 'plans')
    const { db, statements } = await openRecorded()
    const item = await newItem({ 8: 1, 9: 1 })
    const calls = [8, 9, 8].map((companyId) =>
      db.$stock.move({ scope: { companyId }, transactionId: newId(), item, quantity: -9 }),
    )
    await Promise.allSettled(calls)
    const statement = statements.find((text) => text.includes('AS key,') && text.includes('unnest')) ?? ''
    const insert = (from: number, to: number) => `
INSERT INTO "CompanyMovement" ("companyId", "transactionId", line, "productId", warehouse, quantity)
SELECT 8, 'm' || n, 0, 1, 'main', 1 FROM generate_series(${from}, ${to}) AS n`
    const execute = `EXECUTE lookup('{8,8,8}', '{m1,m100,m900}')`
    const explainer = await openTransaction(database.url, 'TRUNCATE "CompanyMovement"')
    await explainer.query(`SET LOCAL plan_cache_mode = force_generic_plan; ${insert(1, 60)}; ANALYZE "CompanyMovement"`)
    await explainer.query(`PREPARE lookup AS ${statement}`)
    await explainer.query(execute)
    await explainer.query(insert(61, 1_000))
    const { rows } = await explainer.query(`EXPLAIN (ANALYZE) ${execute}`)
    await explainer.query('ROLLBACK')
    const scans = rows.map((row) => row['QUERY PLAN']).filter((line) => line.includes('on "CompanyMovement"'))
    expect(scans).toEqual([expect.stringContaining('loops=1)')])
  })

  test('events name a transaction id as the caller does', async () => {
    const keys: (string | undefined)[] = []
    const options = { events: { keys: 'plain' as const }, onEvent: (event: object) => keys.push(replayed(event)) }
    const replayed = (event: { type?: string; key?: string }) => (event.type === 'replay' ? event.key : undefined)
    const db = await open(undefined, { options })
    const call = { scope: { companyId: 1 }, transactionId: newId(), item: await newItem({ 1: 1 }), quantity: 1 }
    for (let i = 0; i < 2; i++) await db.$stock.move(call)
    expect(keys.filter((key) => key !== undefined)).toEqual([call.transactionId])
  })

  /** One call of each kind, and one more of it; some are refused. */
  function callsOf(stock: ReturnType<Awaited<ReturnType<typeof open>>['$stock']['in']>, item: StockItem) {
    const [moved, reserved, deferred] = [newId(), newId(), newId()]
    const move = (transactionId: string, quantity: number) => () => stock.move({ transactionId, item, quantity })
    const reserve = (transactionId: string) => () =>
      stock.reserve({ transactionId, item, quantity: 1, expiresIn: 60_000 })
    const twice = [
      move(moved, -1),
      () => stock.moveAll({ transactionId: `${moved} all`, lines: [{ item, quantity: -1 }] }),
      () => stock.count({ transactionId: `${moved} counted`, item, counted: 10 }),
      () => stock.defer({ transactionId: deferred, item, quantity: 1 }),
      reserve(reserved),
      reserve(`${reserved} too`),
      () => stock.fulfil({ transactionId: reserved }),
      () => stock.release({ transactionId: `${reserved} too` }),
      move(`${moved} more`, -1),
    ]
    const refused = [move(newId(), -1_000), move(reserved, -1), () => stock.release({ transactionId: 'nothing' })]
    const jobs = [() => stock.project(), () => stock.audit()]
    return [...twice, ...twice, ...refused, ...jobs]
  }
})
