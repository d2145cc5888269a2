import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { useSilos } from '../support/silos.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const newId = (): string => randomUUID()

describeEngines((engine) => {
  const { database } = engine
  const { db: open, depot, newSilo, newDepotSilo, historyOf, expectNumbered } = useSilos(engine)

  test.each(['on the client', 'in a transaction'])(
    'every kind of movement has its number and its balance, %s',
    async (where) => {
      const db = await open()
      const [item, other] = [await newSilo(), await newSilo({ minimum: null })]
      const inPlace = <R>(call: (stock: typeof db.$stock) => Promise<R>) =>
        where === 'on the client'
          ? call(db.$stock)
          : db.$transactionWithRetry((tx) => call(tx.$stock as typeof db.$stock))
      const [receipt, basket, open1] = [newId(), newId(), newId()]
      await inPlace((stock) => stock.move({ transactionId: receipt, item, quantity: 10 }))
      await inPlace((stock) => stock.move({ transactionId: receipt, item, quantity: 10 }))
      await inPlace((stock) =>
        stock.moveAll({
          transactionId: newId(),
          lines: [
            { item, quantity: -3 },
            { item: other, quantity: 3 },
          ],
        }),
      )
      expect(
        await rejectionOf(inPlace((stock) => stock.move({ transactionId: newId(), item, quantity: -8 }))),
      ).toMatchObject({ code: 'INSUFFICIENT_STOCK' })
      await inPlace((stock) => stock.count({ transactionId: newId(), item, counted: 9 }))
      await inPlace((stock) => stock.count({ transactionId: newId(), item, counted: 9 }))
      await inPlace((stock) => stock.reserve({ transactionId: basket, item, quantity: 4, expiresIn: 60_000 }))
      await inPlace((stock) => stock.fulfil({ transactionId: newId(), of: basket, lines: [{ item, quantity: 1 }] }))
      await inPlace((stock) => stock.fulfil({ transactionId: basket }))
      await inPlace((stock) => stock.reserve({ transactionId: open1, item, quantity: 1, expiresIn: null }))
      await inPlace((stock) => stock.release({ transactionId: open1 }))
      await inPlace((stock) => stock.move({ transactionId: newId(), item, quantity: -9, take: 'available' }))
      await inPlace((stock) =>
        stock.reverse({ transactionId: newId(), of: receipt, lines: [{ item, quantity: 0 + 1 }], minimum: null }),
      )
      expect(await historyOf(item)).toEqual([
        [1, 10, 10],
        [2, -3, 7],
        [3, 2, 9],
        [4, 0, 9],
        [5, -1, 8],
        [6, -3, 5],
        [7, -5, 0],
        [8, -1, -1],
      ])
      expect(await historyOf(other)).toEqual([[1, 3, 3]])
      await expectNumbered()
    },
  )

  test('a batch numbers its movements in the order of its decisions, those of an item of many lines too', async () => {
    const db = await open()
    const items = [await newSilo(), await newSilo({ minimum: null })]
    const [first = '', second = ''] = items
    await db.$stock.move({ transactionId: newId(), item: first, quantity: 5 })
    const moves = Array.from({ length: 40 }, (_, i) =>
      i % 3 === 0
        ? db.$stock.moveAll({
            transactionId: newId(),
            lines: [
              { item: second, quantity: -1 },
              { item: first, quantity: i % 2 === 0 ? 2 : -9 },
            ],
          })
        : db.$stock.move({ transactionId: newId(), item: first, quantity: i % 2 === 0 ? -1 : 1 }),
    )
    const settled = await Promise.allSettled(moves)
    expect(new Set(settled.map(({ status }) => status))).toEqual(new Set(['fulfilled', 'rejected']))
    expect((await historyOf(first)).length).toBe(1 + settled.filter(({ status }) => status === 'fulfilled').length)
    await expectNumbered()
  })

  test('a refusal that is remembered has no number', async () => {
    const db = await open(undefined, { rememberRefusals: true })
    const item = await newSilo()
    await db.$stock.move({ transactionId: newId(), item, quantity: 2 })
    const outcomes = await Promise.allSettled(
      [-1, -5, -1].map((quantity) => db.$stock.move({ transactionId: newId(), item, quantity })),
    )
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await historyOf(item)).toEqual([
      [1, 2, 2],
      [2, -1, 1],
      [3, -1, 0],
    ])
    await expectNumbered()
  })

  test('what is deferred has its numbers once it is folded, in the order of recording', async () => {
    const db = await open()
    const [item, other] = [await newSilo({ minimum: null }), await newSilo()]
    for (const quantity of [5, 3, -2]) await db.$stock.defer({ transactionId: newId(), item, quantity })
    await db.$stock.defer({
      transactionId: newId(),
      lines: [
        { item: other, quantity: 1 },
        { item, quantity: 4 },
      ],
    })
    await db.$stock.move({ transactionId: newId(), item, quantity: 7 })
    expect(await historyOf(item)).toEqual([[1, 7, 7]])
    await expectNumbered()
    expect(await db.$stock.project()).toEqual({ folded: 5 })
    expect(await historyOf(item)).toEqual([
      [1, 7, 7],
      [2, 5, 12],
      [3, 3, 15],
      [4, -2, 13],
      [5, 4, 17],
    ])
    await expectNumbered()
  })

  test('a movement that has waited for the item has the number behind that of the one that it waited for', async () => {
    const db = await open()
    const item = await newSilo()
    await db.$stock.move({ transactionId: newId(), item, quantity: 5 })
    const before = await openTransaction(
      database.url,
      `UPDATE "Silo" SET "onHand" = "onHand" + 2, sequence = sequence + 1 WHERE code = $1`,
      [item],
    )
    const waiting = started(
      db.$transactionWithRetry((tx) => tx.$stock.move({ transactionId: newId(), item, quantity: -7 })),
    )
    await untilBlocked(database.url)
    await before.query(
      `INSERT INTO "SiloMovement" ("transactionId", line, code, quantity, sequence, balance, at)
VALUES ($1, 0, $2, 2, 2, 7, date_trunc('milliseconds', clock_timestamp()))`,
      [newId(), item],
    )
    await before.query('COMMIT')
    expect(await waiting).toMatchObject({ balance: 0 })
    expect(await historyOf(item)).toEqual([
      [1, 5, 5],
      [2, 2, 7],
      [3, -7, 0],
    ])
    await expectNumbered()
  })

  test('calls whose answers are lost are answered the same when they come again, and leave no gap', async () => {
    const proxy = await openProxy(database.url)
    const [cut, whole] = [await open(proxy.url), await open()]
    const [item, other] = [await newSilo(), await newSilo({ minimum: null })]
    const [first, basket, late] = [newId(), newId(), newId()]
    type Db = typeof cut
    type Call = (db: Db) => PromiseLike<object>
    await whole.$stock.move({ transactionId: first, item, quantity: 20 })
    await whole.$stock.reserve({ transactionId: basket, item, quantity: 2, expiresIn: null })
    const lines = [
      { item, quantity: -3 },
      { item: other, quantity: 3 },
    ]
    const written = /INSERT INTO "public"."SiloMovement"/
    const ids = Array.from({ length: 5 }, newId)
    const of = (i: number) => ({ transactionId: ids[i] as string })
    const calls: readonly [RegExp, Call][] = [
      [written, (db) => db.$stock.move({ ...of(0), item, quantity: -1 })],
      [written, (db) => db.$stock.moveAll({ ...of(1), lines })],
      [written, (db) => db.$stock.count({ ...of(2), item, counted: 15 })],
      [written, (db) => db.$stock.fulfil({ transactionId: basket })],
      [written, (db) => db.$stock.reverse({ ...of(3), of: first, lines: [{ item, quantity: 4 }] })],
      [/^COMMIT/, (db) => db.$transactionWithRetry((tx) => tx.$stock.move({ ...of(4), item, quantity: 1 }))],
    ]
    for (const [statement, call] of calls) {
      await cut.$stock.audit() // on a connection that is there
      const { happened } = proxy.next(statement, 'drop')
      const answer = await call(cut)
      await happened
      expect(await call(whole)).toEqual({ ...answer, replayed: true })
    }
    await cut.$stock.defer({ transactionId: late, item, quantity: 5 })
    proxy.next(/UPDATE "public"."Silo"/, 'drop')
    await cut.$stock.project().catch(() => undefined)
    await whole.$stock.project()

    expect(await historyOf(item)).toEqual([
      [1, 20, 20],
      [2, -1, 19],
      [3, -3, 16],
      [4, -1, 15],
      [5, -2, 13],
      [6, -4, 9],
      [7, 1, 10],
      [8, 5, 15],
    ])
    expect(await historyOf(other)).toEqual([[1, 3, 3]])
    await expectNumbered()
  })

  test('other names, decimals, lots, a scope and items that are created', async () => {
    const stock = await depot(1)
    const old = await newDepotSilo(1, 'a')
    const item = { code: old.code, lot: 'b' }
    await stock.moveAll({
      transactionId: newId(),
      lines: [
        { item: old, quantity: '1.5' },
        { item, quantity: '2.25' },
      ],
      createMissing: true,
    })
    await stock.moveAll({
      transactionId: newId(),
      lines: [{ from: { item: { code: old.code }, quantity: '2', by: 'fifo' } }],
    })
    await stock.defer({ transactionId: newId(), item, quantity: '0.125' })
    await stock.project()
    const found = await database.query(
      `SELECT lot, which, quantity::text, "what is left"::text AS left, "since when" IS NOT NULL AS has FROM "DepotSiloMovement" ORDER BY lot, which`,
    )
    expect(found.map(Object.values)).toEqual([
      ['a', 1, '1.500', '1.500', true],
      ['a', 2, '-1.500', '0.000', true],
      ['b', 1, '2.250', '2.250', true],
      ['b', 2, '-0.500', '1.750', true],
      ['b', 3, '0.125', '1.875', true],
    ])
    expect(await database.query(`SELECT lot, "how many" AS n, "onHand"::text FROM "DepotSilo" ORDER BY lot`)).toEqual([
      { lot: 'a', n: 2, onHand: '0.000' },
      { lot: 'b', n: 3, onHand: '1.875' },
    ])
  })
})
