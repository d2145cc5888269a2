import { Prisma } from '@prisma/client/extension'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { openTransaction } from '../support/connection.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { expectExact, newId, STOCK, useStock } from '../support/stock.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect, newItem, stateOf, onHand, movementsOf } = useStock()

type Db = ReturnType<typeof connect>['db']
type Tx = Pick<Db, '$stock' | 'note'>

/** Every way into a transaction. */
const WAYS: readonly [name: string, run: <R>(db: Db, body: (tx: Tx) => Promise<R>) => Promise<R>][] = [
  ['$transaction', (db, body) => db.$transaction(body)],
  ['$transaction at REPEATABLE READ', (db, body) => db.$transaction(body, { isolationLevel: 'RepeatableRead' })],
  ['$transaction at SERIALIZABLE', (db, body) => db.$transaction(body, { isolationLevel: 'Serializable' })],
  ['$transactionWithRetry', (db, body) => db.$transactionWithRetry(body)],
  [
    '$transactionWithRetry at SERIALIZABLE',
    (db, body) => db.$transactionWithRetry(body, { isolationLevel: 'Serializable' }),
  ],
  ['$withAdvisoryLock', (db, body) => db.$withAdvisoryLock(newId(), body)],
  ['a nested $transaction', (db, body) => db.$transaction((tx) => tx.$transaction(body))],
  ['a nested $transactionWithRetry', (db, body) => db.$transaction((tx) => tx.$transactionWithRetry(body))],
  [
    '$idempotent',
    async <R>(db: Db, body: (tx: Tx) => Promise<R>) => {
      let result: R | undefined
      await db.$idempotent({ key: newId(), scope: 'stock', request: {} }, async (tx) => {
        result = await body(tx)
        return null
      })
      return result as R
    },
  ],
]

describe.each(WAYS)('inside %s', (_name, run) => {
  test('a move is part of the transaction: seen in it at once, and by others when it commits', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()

    const seen = await run(db, async (tx) => {
      const { balance } = await tx.$stock.move({ transactionId, item, quantity: -3 })
      const again = await tx.$stock.move({ transactionId: newId(), item, quantity: -2 })
      return [balance, again.balance, await onHand(item), await movementsOf(transactionId)]
    })

    expect(seen).toEqual([7, 5, 10, []])
    expect([await onHand(item), await movementsOf(transactionId)]).toEqual([5, [-3]])
    await expectExact(database)
  })

  test('a rollback leaves nothing: neither movement nor balance nor version', async () => {
    const { db } = connect()
    const [a, b] = [await newItem(10), await newItem(10)]
    const [first, second] = [newId(), newId()]

    const error = await rejectionOf(
      run(db, async (tx) => {
        await tx.$stock.move({ transactionId: first, item: a, quantity: -3 })
        const lines = [a, b].map((item) => ({ item, quantity: 1 }))
        await tx.$stock.moveAll({ transactionId: second, lines })
        throw new Error('rolled back')
      }),
    )

    expect(error).toMatchObject({ message: 'rolled back' })
    expect([await movementsOf(first), await movementsOf(second)]).toEqual([[], []])
    expect(await Promise.all([a, b].map(stateOf))).toEqual([
      { onHand: 10, reserved: 0, version: 0 },
      { onHand: 10, reserved: 0, version: 0 },
    ])
  })

  test('after a rollback the same call is carried out, and is no replay', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const move = { transactionId: newId(), item, quantity: -3 }
    await rejectionOf(
      run(db, async (tx) => {
        await tx.$stock.move(move)
        throw new Error('rolled back')
      }),
    )

    expect(await db.$stock.move(move)).toEqual({ quantity: -3, balance: 7, replayed: false })
  })

  test('refusals of every kind can be caught, and the transaction goes on and commits', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const [short, used, last, text] = [newId(), newId(), newId(), newId()]
    await db.$stock.move({ transactionId: used, item, quantity: -1 })

    const codes = await run(db, async (tx) => {
      const errors = [
        await rejectionOf(tx.$stock.move({ transactionId: short, item, quantity: -99 })),
        await rejectionOf(tx.$stock.move({ transactionId: used, item, quantity: -2 })),
        await rejectionOf(tx.$stock.move({ transactionId: newId(), item: { ...item, warehouse: 'x' }, quantity: 1 })),
        await rejectionOf(tx.$stock.move({ transactionId: newId(), item, quantity: Number.NaN })),
        await rejectionOf(tx.$stock.move({ transactionId: newId(), item, quantity: 2 ** 31 - 1 })),
      ]
      await tx.note.create({ data: { text } })
      await tx.$stock.move({ transactionId: last, item, quantity: -9 })
      return errors.map((error) => (error as { code: unknown }).code)
    })

    expect(codes).toEqual([
      'INSUFFICIENT_STOCK',
      'IDEMPOTENCY_MISMATCH',
      'ITEM_NOT_FOUND',
      'INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
    ])
    expect([await onHand(item), await movementsOf(short), await movementsOf(last)]).toEqual([0, [], [-9]])
    expect(await db.note.count({ where: { text } })).toBe(1)
    await expectExact(database)
  })

  test('a replay is answered: of a call in the same transaction, and of one before it', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const before = { transactionId: newId(), item, quantity: -1 }
    const within = { transactionId: newId(), item, quantity: -2 }
    await db.$stock.move(before)

    const results = await run(db, async (tx) => [
      await tx.$stock.move(before),
      await tx.$stock.move(within),
      await tx.$stock.move(within),
    ])

    expect(results).toEqual([
      { quantity: -1, balance: 9, replayed: true },
      { quantity: -2, balance: 7, replayed: false },
      { quantity: -2, balance: 7, replayed: true },
    ])
    await expectExact(database)
  })

  test('calls that are made at once take turns, in the order in which they were made', async () => {
    const { db } = connect()
    const item = await newItem(10)

    const results = await run(db, (tx) =>
      Promise.allSettled(
        [-4, -4, -4, -2].map((quantity) => tx.$stock.move({ transactionId: newId(), item, quantity })),
      ),
    )

    const balances = results.map((result) =>
      result.status === 'fulfilled' ? result.value.balance : result.reason.code,
    )
    expect(balances).toEqual([6, 2, 'INSUFFICIENT_STOCK', 0])
    expect(await onHand(item)).toBe(0)
    await expectExact(database)
  })
})

describe('inside a transaction', () => {
  test('two at once with one transaction id move once', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const move = { transactionId: newId(), item, quantity: -3 }

    const results = await db.$transaction((tx) => Promise.all([tx.$stock.move(move), tx.$stock.move(move)]))

    expect(results.map(({ replayed }) => replayed)).toEqual([false, true])
    expect(await onHand(item)).toBe(7)
  })

  test('a savepoint that rolls back takes its moves with it, and no others', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const [kept, undone] = [newId(), newId()]

    const balance = await db.$transaction(async (tx) => {
      await tx.$stock.move({ transactionId: kept, item, quantity: -1 })
      await rejectionOf(
        tx.$transaction(async (inner) => {
          await inner.$stock.move({ transactionId: undone, item, quantity: -2 })
          throw new Error('rolled back')
        }),
      )
      return (await tx.$stock.move({ transactionId: newId(), item, quantity: -3 })).balance
    })

    expect(balance).toBe(6)
    expect([await onHand(item), await movementsOf(kept), await movementsOf(undone)]).toEqual([6, [-1], []])
    await expectExact(database)
  })

  test('a refusal that is not caught rolls everything back', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const text = newId()

    const error = await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.note.create({ data: { text } })
        await tx.$stock.move({ transactionId: newId(), item, quantity: -1 })
        await tx.$stock.move({ transactionId: newId(), item, quantity: -10 })
      }),
    )

    expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 9 })
    expect([await onHand(item), await db.note.count({ where: { text } })]).toEqual([10, 0])
  })

  test('what another transaction has moved while the item was waited for is judged', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const other = await openTransaction(
      database.url,
      `WITH m AS (
  INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($2, 0, $1, 'main', -8)
)
UPDATE "Stock" SET "onHand" = 2 WHERE "productId" = $1`,
      [item.productId, newId()],
    )

    const call = db.$transaction((tx) => tx.$stock.move({ transactionId: newId(), item, quantity: -3 }))
    const error = rejectionOf(call)
    await untilBlocked(database.url)
    await other.query('COMMIT')

    expect(await error).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 2 })
    expect(await onHand(item)).toBe(2)
    await expectExact(database)
  })

  test('a transaction id that another transaction takes meanwhile is a replay, and does not end this one', async () => {
    const { db } = connect()
    const [item, other] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    // It has no item in common, so only the transaction id itself is in the way.
    const first = await openTransaction(
      database.url,
      `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity, applied)
VALUES ($2, 0, $1, 'main', 5, false)`,
      [other.productId, transactionId],
    )

    const call = db.$transaction(async (tx) => {
      const error = await rejectionOf(tx.$stock.move({ transactionId, item, quantity: -3 }))
      return [error, (await tx.$stock.move({ transactionId: newId(), item, quantity: -1 })).balance]
    })
    await untilBlocked(database.url)
    await first.query('COMMIT')

    expect(await call).toMatchObject([{ code: 'IDEMPOTENCY_MISMATCH', fields: ['item'] }, 9])
    expect(await movementsOf(transactionId)).toEqual([5])
    await expectExact(database)
  })

  test.each(['RepeatableRead', 'Serializable'] as const)(
    'at %s an item that was moved since the snapshot is a conflict, which $transactionWithRetry gets over',
    async (isolationLevel) => {
      const { db } = connect()
      const item = await newItem(10)
      const outside = connect().db
      const seen: number[] = []

      const { balance } = await db.$transactionWithRetry(
        async (tx, { attempt }) => {
          seen.push((await tx.stock.findUniqueOrThrow({ where: { productId_warehouse: item } })).onHand)
          if (attempt === 1) await outside.$stock.move({ transactionId: newId(), item, quantity: -5 })
          return tx.$stock.move({ transactionId: newId(), item, quantity: -2 })
        },
        { isolationLevel },
      )

      expect([seen, balance]).toEqual([[10, 5], 3])
      await expectExact(database)
    },
  )

  test.each(['RepeatableRead', 'Serializable'] as const)(
    'at %s the same call of somebody else since the snapshot is found by the next run',
    async (isolationLevel) => {
      const { db } = connect()
      const item = await newItem(10)
      const outside = connect().db
      const move = { transactionId: newId(), item, quantity: -5 }

      const result = await db.$transactionWithRetry(
        async (tx, { attempt }) => {
          await tx.note.count()
          if (attempt === 1) await outside.$stock.move(move)
          return tx.$stock.move(move)
        },
        { isolationLevel },
      )

      expect(result).toEqual({ quantity: -5, balance: 5, replayed: true })
      await expectExact(database)
    },
  )

  test('calls go to the transaction’s own connection, without another', async () => {
    const { db } = connect({ poolSize: 1 })
    const [a, b] = [await newItem(10), await newItem(10)]

    const moved = await db.$transaction(async (tx) => {
      await tx.$stock.move({ transactionId: newId(), item: a, quantity: -1 })
      return tx.$stock.moveAll({ transactionId: newId(), lines: [a, b].map((item) => ({ item, quantity: -1 })) })
    })

    expect(moved.lines.map(({ balance }) => balance)).toEqual([8, 9])
  })

  test('an aborted signal ends a call before it is sent, and leaves the transaction alone', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const reason = new Error('enough')

    const result = await db.$transaction(async (tx) => {
      const call = tx.$stock.move({ transactionId: newId(), item, quantity: -1, signal: AbortSignal.abort(reason) })
      return [await rejectionOf(call), await tx.$stock.move({ transactionId: newId(), item, quantity: -2 })]
    })

    expect(result).toMatchObject([reason, { balance: 8 }])
    expect(await onHand(item)).toBe(8)
  })

  test('a signal ends a call that waits for its turn, and not the one that is being carried out', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
      item.productId,
    ])
    const controller = new AbortController()
    const { signal } = controller
    const call = db.$transaction((tx) => {
      const move = (quantity: number) => tx.$stock.move({ transactionId: newId(), item, quantity, signal })
      return Promise.allSettled([move(-1), move(-2)])
    })
    await untilBlocked(database.url)
    controller.abort(new Error('enough'))
    await holder.query('COMMIT')

    expect(await call).toMatchObject([
      { status: 'fulfilled', value: { balance: 9 } },
      { status: 'rejected', reason: { message: 'enough' } },
    ])
    await expectExact(database)
  })

  test('moves of the client while the transaction is open wait for it, and are judged by what it leaves', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
    const { opened, open } = gate()
    const moved = gate()
    const inside = db.$transaction(async (tx) => {
      await tx.$stock.move({ transactionId: newId(), item, quantity: -7 })
      moved.open()
      await opened
    })
    await moved.opened
    const outside = rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -3 }))
    await untilBlocked(database.url)
    open()
    await inside

    expect(await outside).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 2 })
    await expectExact(database)
  })

  test('a write that the database does not carry out leaves no movement without its balance', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()
    await database.query(`
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE UPDATE ON "Stock" FOR EACH ROW WHEN (OLD."productId" = ${item.productId})
EXECUTE FUNCTION suppress()`)

    const call = db.$transaction(async (tx) => rejectionOf(tx.$stock.move({ transactionId, item, quantity: -3 })))

    // The statement failed in the database, so that nobody who catches the error can commit the rest.
    expect(await rejectionOf(call)).toMatchObject({ code: 'TRANSACTION_ABORTED' })
    expect([await onHand(item), await movementsOf(transactionId)]).toEqual([10, []])
    await expectExact(database)
  })
})

describe('with other extensions', () => {
  test('it must come after concurrency(), and says so otherwise', async () => {
    const { client } = connect()

    expect(() => client.$extends(stock(STOCK) as never)).toThrow(
      expect.objectContaining({
        code: 'CONFIGURATION',
        message: expect.stringContaining('base.$extends(concurrency()).$extends(stock({ … }))'),
      }),
    )
  })

  const traced = () => {
    const seen: string[] = []
    const extension = Prisma.defineExtension({
      name: 'traced',
      query: {
        $allModels: {
          $allOperations({ model, operation, args, query }) {
            seen.push(`${model}.${operation}`)
            return query(args)
          },
        },
      },
      client: { $whoami: () => 'traced' },
    })
    return { seen, extension }
  }

  test('another one that only watches, below, between or on top of it, changes nothing, on the client and in transactions', async () => {
    const { client } = connect()
    const { extension } = traced()
    const item = await newItem(100)
    const transparent = ['traced']
    const base = client.$extends(concurrency({ transparent }))
    const clients = [
      client.$extends(extension).$extends(concurrency({ transparent })).$extends(stock(STOCK)),
      base.$extends(extension).$extends(stock(STOCK)),
      base.$extends(stock(STOCK)).$extends(extension),
    ] as unknown as Db[]
    const balances: number[] = []

    for (const db of clients) {
      const move = () => ({ transactionId: newId(), item, quantity: -1 })
      balances.push((await db.$stock.move(move())).balance)
      balances.push(await db.$transaction(async (tx) => (await tx.$stock.move(move())).balance))
      balances.push(await db.$transactionWithRetry(async (tx) => (await tx.$stock.move(move())).balance))
      balances.push(await db.$withAdvisoryLock(newId(), async (tx) => (await tx.$stock.move(move())).balance))
      await rejectionOf(
        db.$transaction(async (tx) => {
          await tx.$stock.move(move())
          throw new Error('rolled back')
        }),
      )
    }

    expect(balances).toEqual(Array.from({ length: 12 }, (_, i) => 99 - i))
    expect(await onHand(item)).toBe(88)
    await expectExact(database)
  })

  test('the tx of a client that is extended further has both', async () => {
    const { client } = connect()
    const { seen, extension } = traced()
    const item = await newItem(10)
    const db = client.$extends(concurrency({ transparent: ['traced'] })).$extends(stock(STOCK))
    const further = db.$extends(extension)

    const [who, balance] = await further.$transaction(async (tx) => {
      await tx.note.count()
      return [tx.$whoami(), (await tx.$stock.move({ transactionId: newId(), item, quantity: -1 })).balance] as const
    })

    expect([who, balance, seen]).toEqual(['traced', 9, ['Note.count']])
    expect(await onHand(item)).toBe(9)
  })

  test('two stocks of one database, on two clients, see each other’s moves', async () => {
    const { client } = connect()
    const base = client.$extends(concurrency())
    const [one, other] = [base.$extends(stock(STOCK)), base.$extends(stock({ ...STOCK, minimum: null }))]
    const item = await newItem(10)
    const move = { transactionId: newId(), item, quantity: -4 }

    await one.$stock.move(move)

    expect(await other.$stock.move(move)).toEqual({ quantity: -4, balance: 6, replayed: true })
    expect(await rejectionOf(other.$stock.move({ ...move, transactionId: newId(), quantity: -7 }))).toMatchObject({
      available: 6, // the item has a minimum of its own
    })
  })
})
