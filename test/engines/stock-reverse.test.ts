import { randomInt, randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock as pgStock } from '../../src/pg.js'
import { stock } from '../../src/stock/extension.js'
import { useCompanies } from '../support/company-stock.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { expectExact } from '../support/stock.js'
import type { StockItem } from '../support/stock-models.js'
import { untilBlocked } from '../support/until-blocked.js'

type Lines = readonly { readonly item: StockItem; readonly quantity: number }[]

/** Exact decimals, refusals that are kept, and every name of its own. */
const TANK = {
  item: { model: 'Tank', key: 'code', onHand: 'litres' },
  movement: {
    model: 'TankMovement',
    transactionId: 'requestId',
    quantity: 'change',
    refused: 'isRefused',
    reverses: 'undoes',
  },
  rememberRefusals: true,
} as const

describeEngines((engine) => {
  const { connect, connectErp, database, name, other } = engine
  const newId = () => randomUUID()
  const newItem = async (onHand = 0): Promise<StockItem> => {
    const item = { productId: randomInt(1, 2 ** 31), warehouse: 'main' }
    await database.query(
      `WITH item AS (INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, $2, $3))
INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
SELECT $4, 0, $1, $2, $3 WHERE $3 <> 0`,
      [item.productId, item.warehouse, onHand, `opening of ${item.productId}`],
    )
    return item
  }
  const onHand = async ({ productId }: StockItem) =>
    (await database.query('SELECT "onHand" FROM "Stock" WHERE "productId" = $1', [productId]))[0]?.onHand
  const movementsOf = (transactionId: string) =>
    database.query('SELECT quantity, reverses, applied FROM "StockMovement" WHERE "transactionId" = $1 ORDER BY line', [
      transactionId,
    ])
  /** How much of a movement is undone. */
  const undoneOf = async (of: string) => {
    const [row] = await database.query('SELECT sum(quantity)::int AS sum FROM "StockMovement" WHERE reverses = $1', [
      of,
    ])
    return row?.sum
  }
  /** A shipment of 3 of one item, and of 2 of another. */
  const shipment = async () => {
    const { db } = await connectErp()
    const [a, b] = [await newItem(10), await newItem(10)]
    const of = newId()
    const lines = [
      { item: a, quantity: -3 },
      { item: b, quantity: -2 },
    ]
    await db.$stock.moveAll({ transactionId: of, lines })
    return { db, a, b, of }
  }

  describe('reverse', () => {
    test('records the opposite of all lines, each with the id of the original', async () => {
      const { db, a, b, of } = await shipment()
      const transactionId = newId()
      expect(await db.$stock.reverse({ transactionId, of })).toEqual({
        lines: [
          { item: a, quantity: 3, balance: 10 },
          { item: b, quantity: 2, balance: 10 },
        ],
        replayed: false,
      })
      expect(await movementsOf(transactionId)).toEqual([
        { quantity: 3, reverses: of, applied: true },
        { quantity: 2, reverses: of, applied: true },
      ])
      expect(await movementsOf(of)).toMatchObject([{ reverses: null }, { reverses: null }])
      await expectExact(database)
    })

    test('is carried out once for each transaction id, whichever engine it comes by, and for each original', async () => {
      const { db, a, of } = await shipment()
      const { db: their } = await connectErp(other)
      const call = { transactionId: newId(), of }
      const first = await db.$stock.reverse(call)
      await db.$stock.move({ transactionId: newId(), item: a, quantity: -1 })
      const lines = [{ ...first.lines[0], balance: 9 }, first.lines[1]]
      expect(await their.$stock.reverse(call)).toEqual({ lines, replayed: true })
      expect(await db.$transactionWithRetry((tx) => tx.$stock.reverse(call))).toEqual({ lines, replayed: true })
      expect(await rejectionOf(their.$stock.reverse({ ...call, transactionId: newId() }))).toMatchObject({
        code: 'REVERSAL',
        of,
        reason: 'reversed',
        excesses: [],
      })
      await expectExact(database)
    })

    test('undoes a part by lines, and without lines what is left', async () => {
      const { db, a, b, of } = await shipment()
      const [first, second, third] = [newId(), newId(), newId()]
      const part = { transactionId: first, of, lines: [{ item: a, quantity: 1 }] }
      expect(await db.$stock.reverse(part)).toEqual({
        lines: [{ item: a, quantity: 1, balance: 8 }],
        replayed: false,
      })
      expect(await db.$stock.reverse({ ...part, transactionId: second })).toMatchObject({ lines: [{ balance: 9 }] })
      expect(await db.$stock.reverse({ transactionId: third, of })).toEqual({
        lines: [
          { item: a, quantity: 1, balance: 10 },
          { item: b, quantity: 2, balance: 10 },
        ],
        replayed: false,
      })
      expect(await db.$stock.reverse(part)).toMatchObject({ lines: [{ item: a, quantity: 1 }], replayed: true })
      expect(await db.$stock.reverse({ transactionId: third, of })).toMatchObject({ replayed: true })
      expect(await undoneOf(of)).toBe(5)
    })

    test('refuses what is more than is left, of each line, and writes nothing', async () => {
      const { db, a, b, of } = await shipment()
      const stranger = await newItem(10)
      await db.$stock.reverse({ transactionId: newId(), of, lines: [{ item: a, quantity: 2 }] })
      const transactionId = newId()
      const lines = [
        { item: a, quantity: 2 },
        { item: b, quantity: 2 },
        { item: stranger, quantity: 1 },
      ]
      expect(await rejectionOf(db.$stock.reverse({ transactionId, of, lines }))).toMatchObject({
        code: 'REVERSAL',
        transactionId,
        of,
        reason: 'reversed',
        excesses: [
          { item: a, requested: 2, left: 1 },
          { item: stranger, requested: 1, left: 0 },
        ],
      })
      expect([await movementsOf(transactionId), await onHand(a), await onHand(stranger)]).toEqual([[], 9, 10])
    })

    test('of a receipt takes it out again, down to the minimum and not below', async () => {
      const { db } = await connectErp()
      const item = await newItem()
      const [of, transactionId] = [newId(), newId()]
      await db.$stock.move({ transactionId: of, item, quantity: 5 })
      await db.$stock.move({ transactionId: newId(), item, quantity: -2 })
      expect(await rejectionOf(db.$stock.reverse({ transactionId, of }))).toMatchObject({
        code: 'INSUFFICIENT_STOCK',
        shortages: [{ item, requested: 5, available: 3 }],
      })
      expect(await movementsOf(transactionId)).toEqual([])
      const part = { transactionId: newId(), of, lines: [{ item, quantity: 3 }] }
      expect(await db.$stock.reverse(part)).toMatchObject({ lines: [{ quantity: -3, balance: 0 }] })
      const rest = await db.$stock.reverse({ transactionId, of, minimum: null })
      expect(rest).toMatchObject({ lines: [{ quantity: -2, balance: -2 }] })
      await db.$stock.count({ transactionId: newId(), item, counted: 0 })
    })

    test('of a count, of a reservation that was fulfilled, and of a reversal is the opposite of their movements', async () => {
      const { db } = await connectErp()
      const item = await newItem(10)
      const [counted, basket, back] = [newId(), newId(), newId()]
      await db.$stock.count({ transactionId: counted, item, counted: 7 })
      expect(await db.$stock.reverse({ transactionId: newId(), of: counted })).toMatchObject({
        lines: [{ quantity: 3, balance: 10 }],
      })
      await db.$stock.reserve({ transactionId: basket, item, quantity: 4, expiresIn: 60_000 })
      expect(await rejectionOf(db.$stock.reverse({ transactionId: newId(), of: basket }))).toMatchObject({
        reason: 'missing',
      })
      await db.$stock.fulfil({ transactionId: basket })
      expect(await db.$stock.reverse({ transactionId: back, of: basket })).toMatchObject({ lines: [{ balance: 10 }] })
      expect(await db.$stock.reverse({ transactionId: newId(), of: back })).toMatchObject({
        lines: [{ quantity: -4, balance: 6 }],
      })
      // The original stays undone, also when its reversal is.
      const again = db.$stock.reverse({ transactionId: newId(), of: basket })
      expect(await rejectionOf(again)).toMatchObject({ reason: 'reversed' })
      await expectExact(database)
    })

    test('of a count without a difference has nothing to undo', async () => {
      const { db } = await connectErp()
      const item = await newItem(7)
      const of = newId()
      await db.$stock.count({ transactionId: of, item, counted: 7 })
      expect(await rejectionOf(db.$stock.reverse({ transactionId: newId(), of }))).toMatchObject({ reason: 'reversed' })
    })

    test('of what is deferred waits for project, and of nothing is refused', async () => {
      const { db } = await connectErp()
      const item = await newItem(1)
      const [of, transactionId] = [newId(), newId()]
      await db.$stock.defer({ transactionId: of, item, quantity: 5 })
      const refused = db.$stock.reverse({ transactionId, of })
      expect(await rejectionOf(refused)).toMatchObject({ code: 'REVERSAL', reason: 'deferred', of })
      expect(await rejectionOf(db.$stock.reverse({ transactionId, of: newId() }))).toMatchObject({ reason: 'missing' })
      expect(await movementsOf(transactionId)).toEqual([])
      await db.$stock.project()
      expect(await db.$stock.reverse({ transactionId, of })).toMatchObject({ lines: [{ quantity: -5, balance: 1 }] })
    })

    test('of what is deferred in part undoes the lines that are folded, by their names', async () => {
      const { db } = await connectErp()
      const [folded, late] = [await newItem(1), await newItem(1)]
      const of = newId()
      const lines = [folded, late].map((item) => ({ item, quantity: 5 }))
      await db.$stock.defer({ transactionId: of, lines })
      // As project() leaves it when another transaction holds the second item for a long time.
      await database.query(
        `WITH folded AS (UPDATE "StockMovement" SET applied = true WHERE "transactionId" = $1 AND "productId" = $2)
UPDATE "Stock" SET "onHand" = "onHand" + 5 WHERE "productId" = $2`,
        [of, folded.productId],
      )
      for (const wrong of [{}, { lines: [{ item: late, quantity: 1 }] }]) {
        const refused = db.$stock.reverse({ transactionId: newId(), of, ...wrong })
        expect(await rejectionOf(refused)).toMatchObject({ reason: 'deferred' })
      }
      const part = { transactionId: newId(), of, lines: [{ item: folded, quantity: 2 }] }
      expect(await db.$stock.reverse(part)).toMatchObject({ lines: [{ quantity: -2, balance: 4 }] })
      await db.$stock.project()
      expect(await db.$stock.reverse({ transactionId: newId(), of })).toMatchObject({
        lines: [
          { quantity: -3, balance: 1 },
          { quantity: -5, balance: 1 },
        ],
      })
      await expectExact(database)
    })

    test('has an id with one meaning', async () => {
      const { db, a, b, of } = await shipment()
      const [transactionId, moved, reserved, second] = [newId(), newId(), newId(), newId()]
      const lines = [{ item: a, quantity: 1 }]
      await db.$stock.move({ transactionId: moved, item: a, quantity: 1 })
      await db.$stock.reserve({ transactionId: reserved, item: a, quantity: 1, expiresIn: 60_000 })
      await db.$stock.reverse({ transactionId, of, lines })
      await db.$stock.move({ transactionId: second, item: a, quantity: -1 })
      const mismatch = (fields: readonly string[]) => ({ code: 'IDEMPOTENCY_MISMATCH', fields })
      const refusals = [
        [{ transactionId, of: second }, mismatch(['of'])],
        [{ transactionId, of: second, lines }, mismatch(['of'])],
        [{ transactionId, of, lines: [{ item: a, quantity: 2 }] }, mismatch(['quantity'])],
        [{ transactionId, of, lines: [{ item: b, quantity: 1 }] }, mismatch(['item'])],
        [{ transactionId: moved, of, lines }, mismatch(['of'])],
        [{ transactionId: of, of }, mismatch(['of'])],
        [{ transactionId: reserved, of, lines }, { code: 'RESERVATION_ACTIVE' }],
      ] as const
      for (const [call, expected] of refusals) {
        expect(await rejectionOf(db.$stock.reverse(call)), JSON.stringify(call)).toMatchObject(expected)
        const inside = db.$transactionWithRetry((tx) => tx.$stock.reverse(call))
        expect(await rejectionOf(inside), JSON.stringify(call)).toMatchObject(expected)
      }
      const other = db.$stock.move({ transactionId, item: b, quantity: 1 })
      expect(await rejectionOf(other)).toMatchObject(mismatch(['item']))
      expect(await undoneOf(of)).toBe(1)
    })

    test.each([
      [{ of: '' }, 'of'],
      [{ of: 7 }, 'of'],
      [{ of: undefined }, 'of'],
      [{ transactionId: '' }, 'transactionId'],
      [{ lines: [] }, 'lines'],
      [{ lines: [{ item: { productId: 1, warehouse: 'main' }, quantity: -1 }] }, 'quantity'],
      [{ lines: [{ item: { productId: 1, warehouse: 'main' }, quantity: 0 }] }, 'lines[0].quantity'],
      [{ lines: [{ item: { productId: 1 }, quantity: 1 }] }, 'lines[0].item.warehouse'],
      [{ lines: [{ item: { productId: 1, warehouse: 'main' }, quantity: 1, data: {} }] }, 'lines[0].data'],
      [{ data: { quantity: 1 } }, 'data.quantity'],
      [{ data: { reverses: 'x' } }, 'data.reverses'],
      [{ item: 1 }, 'item'],
    ])('with %j is refused before any SQL', async (wrong, field) => {
      const proxy = await openProxy(database.url)
      const { db } = await connectErp(undefined, { url: proxy.url })
      let isSent = false
      proxy.next(/StockMovement/, 'hold').happened.then(
        () => (isSent = true),
        () => {},
      )
      const call = { transactionId: newId(), of: newId(), ...wrong }
      expect(await rejectionOf((async () => db.$stock.reverse(call as never))())).toMatchObject({
        code: 'INVALID_ARGUMENT',
        field,
      })
      expect(isSent).toBe(false)
    })

    test('needs a column for the original', async () => {
      const { db, client } = await connect()
      const movement = { model: 'AccountEntry', item: 'accountId', quantity: 'amount' } as const
      const options = { item: { model: 'Account', key: 'id', onHand: 'balance' }, movement } as const
      const onPg = () => db.$extends(pgStock(options))
      const own = name === 'pg' ? onPg() : (client.$extends(concurrency()).$extends(stock(options)) as unknown)
      const reversing = (own as ReturnType<typeof onPg>).$stock.reverse({ transactionId: 'x', of: 'y' })
      expect(await rejectionOf(reversing)).toMatchObject({
        code: 'CONFIGURATION',
        issues: [{ path: 'movement.reverses' }],
      })
    })
  })

  describe('at once', () => {
    /** Both wait for the item, and go on one after the other. */
    const race = async (item: StockItem, calls: readonly (() => Promise<unknown>)[]) => {
      const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
        item.productId,
      ])
      const all = calls.map((call) => started(call()))
      await untilBlocked(database.url, calls.length)
      await holder.query('COMMIT')
      return Promise.allSettled(all)
    }

    test('two reversals of one original from two processes: one undoes it, the other is refused', async () => {
      const { db, a, of } = await shipment()
      const { db: their } = await connectErp(other)
      const outcomes = await race(
        a,
        [db, their].map((each) => () => each.$stock.reverse({ transactionId: newId(), of })),
      )
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
      expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { reason: 'reversed' } })
      expect(await undoneOf(of)).toBe(5)
      await expectExact(database)
    })

    test.each(['ReadCommitted', 'RepeatableRead', 'Serializable'] as const)(
      'two in transactions of %s whose snapshots are older than either: one undoes it, the other is refused',
      async (isolationLevel) => {
        const { db, a, of } = await shipment()
        const { db: their } = await connectErp(other)
        const outcomes = await race(
          a,
          [db, their].map(
            (each) => () =>
              each.$transactionWithRetry((tx) => tx.$stock.reverse({ transactionId: newId(), of }), { isolationLevel }),
          ),
        )
        expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
        expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { reason: 'reversed' } })
        expect(await undoneOf(of)).toBe(5)
      },
    )

    test('one reversal from two processes is recorded once, and replayed', async () => {
      const { db, a, of } = await shipment()
      const { db: their } = await connectErp(other)
      const call = { transactionId: newId(), of }
      const outcomes = await race(
        a,
        [db, their].map((each) => () => each.$stock.reverse(call)),
      )
      const values = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
      expect(values.map((value) => (value as { replayed: boolean }).replayed).sort()).toEqual([false, true])
      expect(await undoneOf(of)).toBe(5)
    })

    /** Sends the calls while a movement holds the item, so that they are one batch behind it. */
    const together = async (
      item: StockItem,
      calls: readonly { transactionId: string; of: string; lines?: Lines }[],
    ) => {
      const proxy = await openProxy(database.url)
      const { db } = await connectErp(undefined, { url: proxy.url })
      const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
        item.productId,
      ])
      const first = started(db.$stock.move({ transactionId: newId(), item, quantity: -1 }))
      await untilBlocked(database.url)
      const all = calls.map((call) => started(db.$stock.reverse(call)))
      await expect.poll(() => proxy.statements.filter((text) => text.includes('AS key,')).length).toBe(calls.length)
      await holder.query('COMMIT')
      await first
      const outcomes = await Promise.allSettled(all)
      const byId = new Map<string, string[]>()
      for (const [i, { transactionId }] of calls.entries()) {
        const outcome = outcomes[i] as PromiseSettledResult<{ replayed: boolean }>
        const text = outcome.status === 'fulfilled' ? String(outcome.value.replayed) : outcome.reason.reason
        byId.set(transactionId, [...(byId.get(transactionId) ?? []), text].sort())
      }
      return [...byId.values()].map((texts) => texts.join(' ')).sort()
    }

    test('parts that come together, each twice, are decided one after the other', async () => {
      const { a, of } = await shipment()
      const lines = [{ item: a, quantity: 1 }]
      const calls = Array.from({ length: 5 }, () => ({ transactionId: newId(), of, lines }))
      const refused = Array(2).fill('reversed reversed')
      expect(await together(a, [...calls, ...calls])).toEqual([...Array(3).fill('false true'), ...refused])
      expect(await undoneOf(of)).toBe(3)
    })

    test('of those of all that is left that come together, each twice, one undoes it', async () => {
      const { a, of } = await shipment()
      const calls = Array.from({ length: 3 }, () => ({ transactionId: newId(), of }))
      const refused = Array(2).fill('reversed reversed')
      expect(await together(a, [...calls, ...calls])).toEqual(['false true', ...refused])
      expect(await undoneOf(of)).toBe(5)
    })

    test('a storm from two processes, every call twice, undoes each movement at most once', async () => {
      const { db } = await connectErp()
      const { db: their } = await connectErp(other)
      const items = [await newItem(200), await newItem(200), await newItem(200)] as const
      const originals = Array.from({ length: 20 }, newId)
      await Promise.all(
        originals.map((transactionId, i) => {
          const lines = [items[i % 3], items[(i + 1) % 3]].map((item) => ({ item: item as StockItem, quantity: -4 }))
          return db.$stock.moveAll({ transactionId, lines })
        }),
      )
      const calls = originals.flatMap((of, i) =>
        Array.from({ length: 6 }, (_, n) => {
          const lines = [{ item: items[(i + (n % 2)) % 3] as StockItem, quantity: 1 + (n % 3) }]
          return { transactionId: newId(), of, ...(n < 5 && { lines }) }
        }),
      )
      const work = calls.flatMap((call, i) =>
        [db, their].map((each) =>
          i % 5 === 0 ? each.$transactionWithRetry((tx) => tx.$stock.reverse(call)) : each.$stock.reverse(call),
        ),
      )
      const sales = Array.from({ length: 40 }, (_, i) =>
        their.$stock.move({ transactionId: newId(), item: items[i % 3] as StockItem, quantity: -1 }),
      )
      const outcomes = await Promise.allSettled([...work, ...sales])
      const failed = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
      expect(failed.filter(({ code, reason }) => code !== 'REVERSAL' || reason !== 'reversed')).toEqual([])
      const wrong = await database.query(`
SELECT FROM "StockMovement" AS m
WHERE reverses IS NULL AND abs(quantity) < (
  SELECT abs(sum(quantity)) FROM "StockMovement" AS r
  WHERE r.reverses = m."transactionId" AND (r."productId", r.warehouse) = (m."productId", m.warehouse)
)`)
      expect(wrong).toEqual([])
      expect(await Promise.all(originals.map(undoneOf))).toEqual(originals.map(() => 8))
      expect(await db.$stock.audit()).toEqual([])
      await expectExact(database)
    })
  })

  describe('whatever happens meanwhile', () => {
    test('in a transaction it is part of it, also of a movement of the same, and a rollback leaves nothing', async () => {
      const { db, a, of } = await shipment()
      const [moved, transactionId] = [newId(), newId()]
      const fails = db.$transactionWithRetry(async (tx) => {
        await tx.$stock.move({ transactionId: moved, item: a, quantity: -1 })
        expect(await tx.$stock.reverse({ transactionId: newId(), of: moved })).toMatchObject({
          lines: [{ balance: 7 }],
        })
        expect(await tx.$stock.reverse({ transactionId, of })).toMatchObject({ lines: [{ balance: 10 }, {}] })
        const refused = tx.$stock.reverse({ transactionId: newId(), of })
        expect(await rejectionOf(refused)).toMatchObject({ reason: 'reversed' })
        throw new Error('rolled back')
      })
      await rejectionOf(fails)
      expect([await onHand(a), await movementsOf(transactionId), await undoneOf(of)]).toEqual([7, [], null])
      await db.$transactionWithRetry((tx) => tx.$stock.reverse({ transactionId, of }))
      expect(await undoneOf(of)).toBe(5)
    })

    test.each([
      ['COMMIT', 'drop', /^COMMIT/],
      ['COMMIT', 'cut', /^COMMIT/],
      ['the write', 'drop', /^WITH claim/],
      ['the lock', 'cut', /^WITH locked/],
      ['the look at the original', 'drop', /AS key,/],
    ] as const)('an answer that is lost, of %s (%s), is found', async (_, fate, statement) => {
      const { a, of } = await shipment()
      const proxy = await openProxy(database.url)
      const { db } = await connectErp(undefined, { url: proxy.url })
      await db.$stock.move({ transactionId: newId(), item: a, quantity: 1 })
      proxy.next(statement, fate)
      const transactionId = newId()
      expect(await db.$stock.reverse({ transactionId, of })).toMatchObject({
        lines: [{ quantity: 3 }, { quantity: 2 }],
      })
      expect(await undoneOf(of)).toBe(5)
      await expectExact(database)
    })

    test('a backend that is killed while it waits for the item writes nothing, and the call goes on', async () => {
      const { db, a, of } = await shipment()
      const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
        a.productId,
      ])
      const reversing = started(db.$stock.reverse({ transactionId: newId(), of }))
      await untilBlocked(database.url)
      await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'`)
      await holder.query('COMMIT')
      expect(await reversing).toMatchObject({ lines: [{ balance: 10 }, { balance: 10 }] })
      expect(await undoneOf(of)).toBe(5)
    })
  })

  describe('of movements with data and kept refusals', () => {
    const open = async () => {
      const { db, client } = await connect()
      // Without Prisma a field has the name of its column.
      const movement = { ...TANK.movement, reverses: 'which it undoes' }
      const own = () => db.$extends(pgStock<string, number>({ ...TANK, movement }))
      return name === 'pg'
        ? own()
        : (client.$extends(concurrency()).$extends(stock(TANK)) as never as ReturnType<typeof own>)
    }
    const newTank = async () => {
      const code = newId()
      await database.query('INSERT INTO "Tank" (code) VALUES ($1)', [code])
      return code
    }
    const rowsOf = (id: string) =>
      database.query(
        'SELECT change, "isRefused", "which it undoes", by, why FROM "TankMovement" WHERE "requestId" = $1',
        [id],
      )

    test('records its data, and compares it', async () => {
      const db = await open()
      const item = await newTank()
      const [of, transactionId] = [newId(), newId()]
      const data = { by: 'Ana' }
      expect(await rejectionOf(db.$stock.reverse({ transactionId, of }))).toMatchObject({ field: 'data.by' })
      await db.$stock.move({ transactionId: of, item, quantity: 2.5, data })
      const call = { transactionId, of: of.toUpperCase(), data: { by: 'Ben', why: 'a leak' } }
      const { lines } = await db.$stock.reverse(call)
      expect([Number(lines[0]?.quantity), Number(lines[0]?.balance)]).toEqual([-2.5, 0])
      expect(await rowsOf(transactionId)).toEqual([
        { change: '-2.500', isRefused: false, 'which it undoes': of, by: 'Ben', why: 'a leak' },
      ])
      expect(await db.$stock.reverse(call)).toMatchObject({ replayed: true })
      const others = [{ by: 'Ana', why: 'a leak' }, { by: 'Ben' }]
      const errors = await Promise.all(others.map((data) => rejectionOf(db.$stock.reverse({ ...call, data }))))
      expect(errors).toMatchObject([{ fields: ['by'] }, { fields: ['why'] }])
    })

    test('a replay of a part of what is left is compared with the lines that it has recorded', async () => {
      const db = await open()
      const items = [await newTank(), await newTank()]
      const [of, transactionId] = [newId(), newId()]
      const data = { by: 'Ana' }
      const lines = items.map((item) => ({ item, quantity: 2, data }))
      await db.$stock.moveAll({ transactionId: of, lines })
      const part = [{ item: items[0] as string, quantity: 2 }]
      await db.$stock.reverse({ transactionId: newId(), of, lines: part, data })
      const rest = { transactionId, of, data }
      expect(await db.$stock.reverse(rest)).toMatchObject({ replayed: false, lines: [{ item: items[1] }] })
      expect(await db.$stock.reverse(rest)).toMatchObject({ replayed: true, lines: [{ item: items[1] }] })
    })

    test('what was refused cannot be undone, and a refused reversal undoes nothing and stays refused', async () => {
      const db = await open()
      const item = await newTank()
      const [of, sold, transactionId] = [newId(), newId(), newId()]
      const data = { by: 'Ana' }
      const short = { code: 'INSUFFICIENT_STOCK' }
      const refused = { transactionId: newId(), item, quantity: -1, data }
      expect(await rejectionOf(db.$stock.move(refused))).toMatchObject(short)
      const undone = db.$stock.reverse({ transactionId: newId(), of: refused.transactionId, data })
      expect(await rejectionOf(undone)).toMatchObject({ reason: 'refused' })
      await db.$stock.move({ transactionId: of, item, quantity: 3, data })
      await db.$stock.move({ transactionId: sold, item, quantity: -1, data })
      expect(await rejectionOf(db.$stock.reverse({ transactionId, of, data }))).toMatchObject(short)
      expect(await rowsOf(transactionId)).toMatchObject([{ isRefused: true, 'which it undoes': of }])
      await db.$stock.reverse({ transactionId: newId(), of: sold, data })
      expect(await rejectionOf(db.$stock.reverse({ transactionId, of, data }))).toMatchObject(short)
      const { lines } = await db.$stock.reverse({ transactionId: newId(), of, data })
      expect(Number(lines[0]?.balance)).toBe(0)
    })
  })

  describe('of several companies', () => {
    const {
      open,
      newItem: newCompanyItem,
      onHand: companyOnHand,
      expectExact: expectCompaniesExact,
    } = useCompanies(engine)

    test('one transaction id is two originals and two reversals', async () => {
      const db = await open()
      const item = await newCompanyItem({ 1: 10, 2: 10, 3: 10 })
      const [of, transactionId] = [newId(), newId()]
      const [one, two, three] = [1, 2, 3].map((companyId) => db.$stock.in({ companyId }))
      if (!one || !two || !three) return
      await Promise.all([
        one.move({ transactionId: of, item, quantity: -3 }),
        two.move({ transactionId: of, item, quantity: -4 }),
      ])
      expect(await Promise.all([one.reverse({ transactionId, of }), two.reverse({ transactionId, of })])).toMatchObject(
        [{ lines: [{ item, quantity: 3 }] }, { lines: [{ item, quantity: 4 }] }],
      )
      expect(await rejectionOf(three.reverse({ transactionId, of }))).toMatchObject({ reason: 'missing' })
      expect(await one.reverse({ transactionId, of })).toMatchObject({ replayed: true, lines: [{ quantity: 3 }] })
      const again = two.reverse({ transactionId: newId(), of })
      expect(await rejectionOf(again)).toMatchObject({ reason: 'reversed' })
      expect(await companyOnHand(item)).toEqual({ 1: 10, 2: 10, 3: 10 })
      await expectCompaniesExact()
    })

    test('without its scope it is refused', async () => {
      const db = await open()
      const call = { transactionId: newId(), of: newId() }
      expect(await rejectionOf((async () => db.$stock.reverse(call as never))())).toMatchObject({
        field: 'scope.companyId',
      })
    })
  })
})
