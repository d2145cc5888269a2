import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { systemClock } from '../../src/sync/clock.js'
import { connectStock } from '../support/connect-stock.js'
import { openTransaction } from '../support/connection.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { expectExact, newId, type StockItem, useStock } from '../support/stock.js'
import { untilBlocked } from '../support/until-blocked.js'
import { untilPatient } from '../support/until-patient.js'

const { database, newItem, stateOf, onHand, movementsOf } = useStock()
const connect = (options?: Parameters<typeof connectStock>[1]) => connectStock(database.url, options)
const times = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index))

/** Somebody else's transaction that has the item's row. */
const holding = ({ productId }: StockItem) =>
  openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [productId])

const ADD_MOVEMENT = `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity, applied)
VALUES ($1, 0, $2, $3, $4, $5)`
const ADD_TO_BALANCE = `UPDATE "Stock" SET "onHand" = "onHand" + $2 WHERE "productId" = $1`

/** How long the other side keeps what a batch needs: less than a batch waits, or so long that it is taken apart. */
const WAITS = [
  { until: 'the batch waits for it', untilWaits: untilBlocked },
  { until: 'the batch has been taken apart', untilWaits: untilPatient },
]

describe('the calls of one turn', () => {
  test.each([{ isKnown: false }, { isKnown: true }])(
    'a hundred for one item are a few statements (balance known: $isKnown)',
    async ({ isKnown }) => {
      const { db, statements } = connect()
      const item = await newItem(1_000)
      if (isKnown) await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
      const before = statements.length
      await Promise.all(times(100, () => db.$stock.move({ transactionId: newId(), item, quantity: -1 })))

      expect(statements.length - before).toBeLessThanOrEqual(isKnown ? 1 : 8)
    },
  )

  test('each caller is given the balance behind its own movement, in the order of the calls', async () => {
    const { db } = connect()
    const item = await newItem(1_000)
    const balances = async () => {
      const results = await Promise.all(
        times(100, (n) => db.$stock.move({ transactionId: newId(), item, quantity: -n - 1 })),
      )
      return results.map(({ balance }) => balance)
    }
    const expected = (start: number) => times(100, (n) => start - ((n + 1) * (n + 2)) / 2)
    await db.$stock.move({ transactionId: newId(), item, quantity: 10_000 })

    expect(await balances()).toEqual(expected(11_000))
    expect(await balances()).toEqual(expected(11_000 - 5_050))
    await expectExact(database)
  })

  test('the version of the item goes up once for all of them', async () => {
    const { db } = connect()
    const item = await newItem(100)
    await Promise.all(times(50, () => db.$stock.move({ transactionId: newId(), item, quantity: -1 })))
    await Promise.all(times(50, () => db.$stock.move({ transactionId: newId(), item, quantity: -1 })))

    expect(await stateOf(item)).toEqual({ onHand: 0, reserved: 0, version: 2 })
  })

  test.each([{ isKnown: false }, { isKnown: true }])(
    'one that is short is refused alone, and takes nothing from those behind it (balance known: $isKnown)',
    async ({ isKnown }) => {
      const { db } = connect()
      const item = await newItem(11)
      if (isKnown) await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
      else await db.$stock.move({ transactionId: newId(), item: await newItem(5), quantity: -1 })
      const start = isKnown ? 10 : 11
      const quantities = [-4, -20, -5, -3, -1]
      const results = await Promise.allSettled(
        quantities.map((quantity) => db.$stock.move({ transactionId: newId(), item, quantity })),
      )

      expect(results.map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'fulfilled',
        'rejected',
        'fulfilled',
      ])
      expect(results.map((each) => (each.status === 'fulfilled' ? each.value.balance : each.reason.available))).toEqual(
        [start - 4, start - 4, start - 9, start - 9, start - 10],
      )
      await expectExact(database)
    },
  )

  test('one that is malformed, of no item, or that stands for something else is refused alone', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const taken = newId()
    await db.$stock.move({ transactionId: taken, item, quantity: -1 })
    const results = await Promise.allSettled([
      db.$stock.move({ transactionId: newId(), item, quantity: -1 }),
      db.$stock.move({ transactionId: newId(), item, quantity: 0.5 }),
      db.$stock.move({ transactionId: newId(), item: { ...item, warehouse: 'nowhere' }, quantity: 1 }),
      db.$stock.move({ transactionId: taken, item, quantity: -2 }),
      db.$stock.move({ transactionId: newId(), item, quantity: 2_147_483_647 }),
      db.$stock.move({ transactionId: newId(), item, quantity: -1 }),
    ])

    expect(results.map((each) => (each.status === 'fulfilled' ? each.value.balance : each.reason.code))).toEqual([
      8,
      'INVALID_ARGUMENT',
      'ITEM_NOT_FOUND',
      'IDEMPOTENCY_MISMATCH',
      'INVALID_ARGUMENT',
      7,
    ])
  })

  test.each([{ isKnown: false }, { isKnown: true }])(
    'one transaction id in two of them is carried out once (balance known: $isKnown)',
    async ({ isKnown }) => {
      const { db } = connect()
      const item = await newItem(10)
      if (isKnown) await db.$stock.move({ transactionId: newId(), item, quantity: 1 })
      const start = await onHand(item)
      const transactionId = newId()
      const results = await Promise.all(times(3, () => db.$stock.move({ transactionId, item, quantity: -4 })))

      expect(results.map(({ replayed, balance }) => [replayed, balance])).toEqual([
        [false, start - 4],
        [true, start - 4],
        [true, start - 4],
      ])
      expect(await movementsOf(transactionId)).toEqual([-4])
    },
  )

  test('one transaction id with two payloads, of which the second has no item in common: the first one is it', async () => {
    const { db } = connect()
    const [a, b] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    const first = db.$stock.move({ transactionId, item: a, quantity: -1 })
    const second = db.$stock.move({ transactionId, item: b, quantity: -1 })
    const [one, two] = await Promise.allSettled([first, second])

    expect(one).toMatchObject({ value: { balance: 9 } })
    expect(two).toMatchObject({ reason: { code: 'IDEMPOTENCY_MISMATCH' } })
    expect(await onHand(b)).toBe(10)
  })

  test('orders of several items are judged one after the other, each as a whole', async () => {
    const { db } = connect()
    const [a, b] = [await newItem(10), await newItem(3)]
    const order = (ofA: number, ofB: number) =>
      db.$stock.moveAll({
        transactionId: newId(),
        lines: [
          { item: a, quantity: -ofA },
          { item: b, quantity: -ofB },
        ],
      })
    const results = await Promise.allSettled([order(1, 2), order(5, 2), order(9, 1), order(1, 1)])

    expect(
      results.map((each) =>
        each.status === 'fulfilled' ? each.value.lines.map(({ balance }) => balance) : each.reason.shortages.length,
      ),
    ).toEqual([[9, 1], 1, [0, 0], 2])
    await expectExact(database)
  })
})

describe('an item that somebody else has locked', () => {
  test('does not keep calls for other items waiting, also where they came together with one for it', async () => {
    const { db } = connect()
    const [locked, ...others] = await Promise.all(times(6, () => newItem(10)))
    const owner = await holding(locked)
    const waiting = started(db.$stock.move({ transactionId: newId(), item: locked, quantity: -1 }))
    const together = others.map((item) => db.$stock.move({ transactionId: newId(), item, quantity: -1 }))
    expect((await Promise.all(together)).map(({ balance }) => balance)).toEqual([9, 9, 9, 9, 9])
    await untilPatient(database.url)
    const later = others.map((item) => db.$stock.move({ transactionId: newId(), item, quantity: -1 }))
    expect((await Promise.all(later)).map(({ balance }) => balance)).toEqual([8, 8, 8, 8, 8])
    await owner.query('COMMIT')

    expect((await waiting).balance).toBe(9)
  })

  test.each(WAITS)('is moved in the order of the calls once it is free again, when $until', async ({ untilWaits }) => {
    const { db } = connect()
    const item = await newItem(100)
    const owner = await holding(item)
    const move = (n: number) => started(db.$stock.move({ transactionId: newId(), item, quantity: -n }))
    const calls = [move(1), move(2), move(3)]
    await untilWaits(database.url)
    calls.push(move(4), move(5))
    await owner.query('COMMIT')

    expect((await Promise.all(calls)).map(({ balance }) => balance)).toEqual([99, 97, 94, 90, 85])
  })

  test('keeps those waiting who need it and another one, and nobody overtakes them', async () => {
    const { db } = connect()
    const [locked, free] = [await newItem(10), await newItem(0)]
    const owner = await holding(locked)
    const blocked = started(db.$stock.move({ transactionId: newId(), item: locked, quantity: -1 }))
    await untilPatient(database.url)
    const transfer = started(
      db.$stock.moveAll({
        transactionId: newId(),
        lines: [
          { item: locked, quantity: -5 },
          { item: free, quantity: 5 },
        ],
      }),
    )
    const taking = started(db.$stock.move({ transactionId: newId(), item: free, quantity: -5 }))
    await owner.query('COMMIT')
    await Promise.all([blocked, transfer])

    expect((await taking).balance).toBe(0)
  })

  test.each(WAITS)('is judged as it is then, when $until', async ({ untilWaits }) => {
    const { db } = connect()
    const item = await newItem(10)
    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
    const owner = await holding(item)
    const calls = [-5, -4].map((quantity) => started(db.$stock.move({ transactionId: newId(), item, quantity })))
    await untilWaits(database.url)
    await owner.query(ADD_MOVEMENT, [newId(), item.productId, 'main', -3, true])
    await owner.query(ADD_TO_BALANCE, [item.productId, -3])
    await owner.query('COMMIT')

    expect(await Promise.allSettled(calls)).toMatchObject([
      { value: { balance: 1 } },
      { reason: { code: 'INSUFFICIENT_STOCK', available: 1 } },
    ])
    await expectExact(database)
  })
})

describe('a receipt that somebody else has committed while the batch with it waits', () => {
  describe.each(WAITS)('when $until', ({ untilWaits }) => {
    /** A batch of a receipt and an issue; another connection does as it likes to the item meanwhile. */
    async function race(
      start: number,
      meanwhile: (query: Query, item: StockItem, transactionId: string) => Promise<void>,
    ) {
      const { db } = connect()
      const item = await newItem(start + 1)
      await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
      const transactionId = newId()
      const owner = await holding(item)
      const receipt = started(db.$stock.move({ transactionId, item, quantity: 5 }))
      const issue = started(db.$stock.move({ transactionId: newId(), item, quantity: -8 }))
      await untilWaits(database.url)
      await meanwhile((sql, values) => owner.query(sql, values), item, transactionId)
      await owner.query('COMMIT')
      const results = await Promise.allSettled([receipt, issue])
      expect(await movementsOf(transactionId)).toEqual([5])
      return { item, results }
    }
    type Query = (sql: string, values: unknown[]) => Promise<unknown>

    test('it does not count twice, so the issue is refused', async () => {
      const { item, results } = await race(0, async (query, { productId }, transactionId) => {
        await query(ADD_MOVEMENT, [transactionId, productId, 'main', 5, true])
        await query(ADD_TO_BALANCE, [productId, 5])
      })

      expect(results).toMatchObject([
        { value: { replayed: true, balance: 5 } },
        { reason: { code: 'INSUFFICIENT_STOCK', available: 5 } },
      ])
      expect(await onHand(item)).toBe(5)
      await expectExact(database)
    })

    test('nor if the balance is what it was, for something else went out as well', async () => {
      const { results } = await race(3, async (query, { productId }, transactionId) => {
        await query(ADD_MOVEMENT, [transactionId, productId, 'main', 5, true])
        await query(ADD_MOVEMENT, [newId(), productId, 'main', -5, true])
        await query(ADD_TO_BALANCE, [productId, 0])
      })

      expect(results).toMatchObject([
        { value: { replayed: true, balance: 3 } },
        { reason: { code: 'INSUFFICIENT_STOCK', available: 3 } },
      ])
      await expectExact(database)
    })

    test('nor if it was deferred, and is not in the balance yet', async () => {
      const { results } = await race(3, async (query, { productId }, transactionId) => {
        await query(ADD_MOVEMENT, [transactionId, productId, 'main', 5, false])
      })

      expect(results).toMatchObject([
        { value: { replayed: true, balance: 3 } },
        { reason: { code: 'INSUFFICIENT_STOCK', available: 3 } },
      ])
      await expectExact(database)
    })
  })
})

describe.each([{ isKnown: false }, { isKnown: true }])(
  'an issue of the last stock (balance known: $isKnown)',
  ({ isKnown }) => {
    test.each(WAITS)(
      'that somebody else has committed meanwhile is a replay, though nothing is left, when $until',
      async ({ untilWaits }) => {
        const { db } = connect()
        const item = await newItem(isKnown ? 6 : 5)
        await db.$stock.move({ transactionId: newId(), item: isKnown ? item : await newItem(6), quantity: -1 })
        const transactionId = newId()
        const owner = await holding(item)
        const call = started(db.$stock.move({ transactionId, item, quantity: -5 }))
        await untilWaits(database.url)
        await owner.query(ADD_MOVEMENT, [transactionId, item.productId, 'main', -5, true])
        await owner.query(ADD_TO_BALANCE, [item.productId, -5])
        await owner.query('COMMIT')

        expect(await call).toEqual({ quantity: -5, balance: 0, replayed: true })
        await expectExact(database)
      },
    )
  },
)

describe('one transaction id that two processes send for different items', () => {
  test.each(
    WAITS.flatMap((wait) => [
      { ...wait, ending: 'COMMIT' },
      { ...wait, ending: 'ROLLBACK' },
    ]),
  )(
    'is waited for, and belongs to one of them: the other ends in $ending when $until',
    async ({ untilWaits, ending }) => {
      const { db } = connect()
      const [own, other] = [await newItem(10), await newItem(10)]
      const transactionId = newId()
      await db.$stock.move({ transactionId: newId(), item: own, quantity: -1 })
      const rival = await openTransaction(database.url, ADD_TO_BALANCE, [other.productId, -2])
      await rival.query(ADD_MOVEMENT, [transactionId, other.productId, 'main', -2, true])
      const call = started(db.$stock.move({ transactionId, item: own, quantity: -1 }))
      await untilWaits(database.url)
      await rival.query(ending)
      const [result] = await Promise.allSettled([call])

      if (ending === 'COMMIT') expect(result).toMatchObject({ reason: { code: 'IDEMPOTENCY_MISMATCH' } })
      else expect(result).toMatchObject({ value: { balance: 8, replayed: false } })
      expect(await movementsOf(transactionId)).toEqual([ending === 'COMMIT' ? -2 : -1])
      await expectExact(database)
    },
  )

  test.each(WAITS)(
    'leaves nothing behind of an order of two lines that came second, when $until',
    async ({ untilWaits }) => {
      const { db } = connect()
      const [first, second, other] = (await Promise.all(times(3, () => newItem(10)))) as [
        StockItem,
        StockItem,
        StockItem,
      ]
      const transactionId = newId()
      const rival = await openTransaction(database.url, ADD_TO_BALANCE, [other.productId, -2])
      await rival.query(ADD_MOVEMENT, [transactionId, other.productId, 'main', -2, true])
      const lines = [first, second].map((item) => ({ item, quantity: -1 }))
      const call = started(db.$stock.moveAll({ transactionId, lines }))
      await untilWaits(database.url)
      await rival.query('COMMIT')

      expect(await rejectionOf(call)).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
      expect(await movementsOf(transactionId)).toEqual([-2])
      await expectExact(database)
    },
  )

  test('belongs to exactly one of them, however they meet', async () => {
    const clients = [connect().db, connect().db]
    const items = await Promise.all(times(2, () => newItem(1_000)))
    const outcomes = await Promise.all(
      times(60, async () => {
        const transactionId = newId()
        const results = await Promise.allSettled(
          clients.map((db, i) => db.$stock.move({ transactionId, item: items[i] as StockItem, quantity: -1 })),
        )
        return results.map((each) => (each.status === 'fulfilled' ? 'done' : each.reason.code)).sort()
      }),
    )

    expect(outcomes).toEqual(times(60, () => ['IDEMPOTENCY_MISMATCH', 'done']))
    await expectExact(database)
  })
})

describe('a queue that is full', () => {
  test('refuses the next call before anything of it is sent', async () => {
    const { db, statements } = connect({ maxWaiting: 2 })
    const item = await newItem(10)
    const owner = await holding(item)
    const move = () => started(db.$stock.move({ transactionId: newId(), item, quantity: -1 }))
    const calls = [move()]
    await untilBlocked(database.url)
    calls.push(move(), move())
    const refusedId = newId()
    const refused = db.$stock.move({ transactionId: refusedId, item, quantity: -1 })
    expect(await rejectionOf(refused)).toMatchObject({ code: 'OVERLOADED', limit: 2 })
    await owner.query('COMMIT')

    expect((await Promise.all(calls)).map(({ balance }) => balance)).toEqual([9, 8, 7])
    expect(await movementsOf(refusedId)).toEqual([])
    expect(statements.length).toBeGreaterThan(0)
  })
})

describe('a signal', () => {
  test('ends a call that waits at once, and it is never carried out', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const owner = await holding(item)
    const sent = started(db.$stock.move({ transactionId: newId(), item, quantity: -1 }))
    await untilBlocked(database.url)
    const controller = new AbortController()
    const transactionId = newId()
    const waiting = started(db.$stock.move({ transactionId, item, quantity: -1, signal: controller.signal }))
    const behind = started(db.$stock.move({ transactionId: newId(), item, quantity: -1 }))
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort(new Error('no longer wanted'))
    expect(await rejectionOf(waiting)).toBe(controller.signal.reason)
    await owner.query('COMMIT')

    expect((await Promise.all([sent, behind])).map(({ balance }) => balance)).toEqual([9, 8])
    expect(await movementsOf(transactionId)).toEqual([])
  })

  test.each(WAITS)('does not undo a call that has been sent, when $until', async ({ untilWaits }) => {
    const { db } = connect()
    const item = await newItem(10)
    const owner = await holding(item)
    const controller = new AbortController()
    const transactionId = newId()
    const sent = started(db.$stock.move({ transactionId, item, quantity: -1, signal: controller.signal }))
    await untilWaits(database.url)
    controller.abort()
    await owner.query('COMMIT')

    expect((await sent).balance).toBe(9)
    expect(await movementsOf(transactionId)).toEqual([-1])
  })

  test('that is aborted already ends a call before anything of it is sent', async () => {
    const { db, statements } = connect()
    const item = await newItem(10)
    const call = db.$stock.move({ transactionId: newId(), item, quantity: -1, signal: AbortSignal.abort('no') })

    expect(await rejectionOf(call)).toBe('no')
    expect(statements).toEqual([])
  })
})

test('a call whose deadline passes while it waits behind others is told so, and never carried out', async () => {
  const { db } = connect()
  const item = await newItem(10)
  const owner = await holding(item)
  const sent = started(db.$stock.move({ transactionId: newId(), item, quantity: -1 }))
  await untilBlocked(database.url)
  const transactionId = newId()
  const late = db.$stock.move({ transactionId, item, quantity: -1, retry: { deadline: 1 } })
  expect(await rejectionOf(late)).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 1 })
  await owner.query('COMMIT')

  expect((await sent).balance).toBe(9)
  expect(await movementsOf(transactionId)).toEqual([])
})

test('calls that wait behind those that wait for rows of their own are told when they are aborted or out of time', async () => {
  const { db } = connect()
  const items = await Promise.all(times(5, () => newItem(10)))
  const owners = await Promise.all(items.map(holding))
  const controller = new AbortController()
  const ids = times(5, newId)
  const move = (i: number, more = {}) =>
    started(db.$stock.move({ transactionId: ids[i] as string, item: items[i] as StockItem, quantity: -1, ...more }))
  const patient = [move(0), move(1), move(2)]
  await untilPatient(database.url)
  const late = move(3, { retry: { deadline: 1_500 } })
  const aborted = move(4, { signal: controller.signal })
  expect(await rejectionOf(late)).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 1_500 })
  controller.abort(new Error('no longer wanted'))
  expect(await rejectionOf(aborted)).toBe(controller.signal.reason)
  for (const owner of owners) await owner.query('COMMIT')

  expect((await Promise.all(patient)).map(({ balance }) => balance)).toEqual([9, 9, 9])
  expect(await Promise.all(ids.map(movementsOf))).toEqual([[-1], [-1], [-1], [], []])
  await expectExact(database)
})

test('a call whose deadline the server notices first is told so in the same way', async () => {
  const { db } = connect()
  const item = await newItem(10)
  await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
  const { timer } = systemClock
  // That of the deadline; the pauses between attempts are shorter.
  const late = vi.spyOn(systemClock, 'timer').mockImplementation((ms, fire) => timer(ms > 500 ? ms + 60_000 : ms, fire))
  onTestFinished(() => late.mockRestore())
  const owner = await holding(item)
  const call = started(db.$stock.move({ transactionId: newId(), item, quantity: -1, retry: { deadline: 2_000 } }))

  expect(await rejectionOf(call)).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 2_000 })
  await owner.query('COMMIT')
})

test('a call whose deadline passes while it waits for a row by itself is told so, and the next one is carried out', async () => {
  const { db } = connect()
  const item = await newItem(11)
  await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
  const owner = await holding(item)
  const transactionId = newId()
  const late = started(db.$stock.move({ transactionId, item, quantity: -1, retry: { deadline: 1_500 } }))
  const next = started(db.$stock.move({ transactionId: newId(), item, quantity: -2 }))
  expect(await rejectionOf(late)).toMatchObject({
    code: 'DEADLINE_EXCEEDED',
    deadline: 1_500,
    message: expect.stringContaining('The deadline of 1500 ms'),
  })
  await owner.query('COMMIT')

  expect((await next).balance).toBe(8)
  expect(await movementsOf(transactionId)).toEqual([])
  await expectExact(database)
})
