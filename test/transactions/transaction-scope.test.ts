import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

/** Prisma's own timeout is not meant here. */
const PATIENT = { timeout: 100_000 }
const database = useDatabase()
const connect = () => database.connect().client.$extends(concurrency())
const newOrder = (db: ReturnType<typeof connect>) => db.order.create({ data: { customer: 'before' } })
const named = async (customer: string) =>
  (await database.query('SELECT count(*)::int AS count FROM "Order" WHERE customer = $1', [customer]))[0]?.count

describe('calls at once on one tx', () => {
  test.each([3, 25])('add up, when %i of them update one row by a function', async (callers) => {
    const db = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })

    const records = await db.$transaction((tx) =>
      Promise.all(
        Array.from({ length: callers }, () =>
          tx.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) }),
        ),
      ),
    )

    const { stock, version } = await db.product.findUniqueOrThrow({ where: { id } })
    expect({ stock, version }).toEqual({ stock: callers, version: callers })
    expect(records.map((record) => record.version)).toEqual(records.map((_, i) => i + 1))
  })

  test.each(['ReadCommitted', 'RepeatableRead', 'Serializable'] as const)(
    'add up at %s, when their functions are async and call their own tx',
    async (isolationLevel) => {
      const db = connect()
      const { id } = await db.product.create({ data: { name: 'Chai' } })

      await db.$transaction(
        (tx) =>
          Promise.all(
            Array.from({ length: 5 }, () =>
              tx.product.updateVersioned({
                where: { id },
                data: async ({ stock }) => {
                  await tx.category.count()
                  return { stock: stock + 1 }
                },
              }),
            ),
          ),
        { isolationLevel },
      )

      expect(await db.product.findUniqueOrThrow({ where: { id } })).toMatchObject({ stock: 5, version: 5 })
    },
  )

  test('are each answered, when a plain call that comes first fails and its error is caught', async () => {
    const db = connect()
    const { id } = await newOrder(db)

    const [, record, plain] = await db.$transaction((tx) =>
      Promise.all([
        tx.order.update({ where: { id: -1 }, data: { customer: 'nobody' } }).catch(() => undefined),
        tx.order.updateVersioned({ where: { id, version: 0 }, data: { customer: 'beside' } }),
        tx.order.create({ data: { customer: 'beside' } }),
      ]),
    )

    expect([record, plain]).toMatchObject([{ version: 1 }, { version: 0 }])
    expect(await named('beside')).toBe(2)
  })

  test('are each answered, when one of them cannot even be compiled', async () => {
    const db = connect()
    const { id } = await newOrder(db)

    const outcomes = await db.$transaction((tx) =>
      Promise.allSettled([
        tx.order.create({
          data: { customer: 'uncompiled', lines: { create: { quantity: 'x' as never, productId: 1 } } },
        }),
        tx.order.updateVersioned({ where: { id, version: 0 }, data: { customer: 'compiled' } }),
      ]),
    )

    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
    expect(await named('compiled')).toBe(1)
  })

  test('take two locks, one after the other', async () => {
    const db = connect()

    const locks = await db.$transaction(async (tx) => {
      await Promise.all([tx.$advisoryXactLock('first'), tx.$advisoryXactLock('second')])
      return tx.$queryRaw`SELECT count(*)::int AS count FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`
    })

    expect(locks).toEqual([{ count: 2 }])
  })

  test('leave the limits of the transaction as they were', async () => {
    const db = connect()

    const settings = await db.$transaction(async (tx) => {
      await tx.$executeRaw`SET LOCAL lock_timeout = '7s'`
      await Promise.all(['a', 'b', 'c'].map((key) => tx.$advisoryXactLock(key, { timeout: 60_000 })))
      return tx.$queryRaw`SELECT current_setting('lock_timeout') AS lock`
    })

    expect(settings).toEqual([{ lock: '7s' }])
  })
})

describe('a nested body', () => {
  test('lets a call of several statements that was made before it come to its end', async () => {
    const db = connect()
    const transactionId = crypto.randomUUID()
    const holder = await openTransaction(
      database.url,
      'INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 1)',
      [transactionId],
    )
    const customer = `beside ${transactionId}`

    const outcomes = await db.$transaction(async (tx) => {
      const replay = started(tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 1 } }))
      await untilBlocked(database.url)
      const nested = tx.$transactionWithRetry((inner) => inner.order.create({ data: { customer } }))
      await holder.query('COMMIT')
      return Promise.allSettled([replay, nested])
    }, PATIENT)

    expect(outcomes).toMatchObject([{ value: { replayed: true } }, { value: { customer } }])
    expect(await named(customer)).toBe(1)
  })

  test('keeps calls on the outer tx out, which say that the inner client is to be used', async () => {
    const db = connect()
    const { id } = await newOrder(db)

    const outcomes = await db.$transaction((tx) =>
      Promise.allSettled([
        tx.$transactionWithRetry(async (inner) => {
          await inner.order.create({ data: { customer: 'inner' } })
          throw new Error('refused')
        }),
        tx.order.updateVersioned({ where: { id }, data: () => ({ customer: 'outer' }) }),
        tx.order.create({ data: { customer: 'outer' } }),
        tx.$withAdvisoryLock('outer', async () => {}),
      ]),
    )

    const reasons = outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason : undefined))
    expect(reasons).toMatchObject([
      { message: 'refused' },
      { code: 'TRANSACTION_SCOPE', reason: 'nested' },
      { code: 'TRANSACTION_SCOPE', reason: 'nested' },
      { code: 'TRANSACTION_SCOPE', reason: 'nested' },
    ])
    expect(await named('inner')).toBe(0)
  })

  test('can call its own client as it likes, also from a data function', async () => {
    const db = connect()
    const { id } = await newOrder(db)

    await db.$transaction((tx) =>
      tx.$transactionWithRetry((inner) =>
        Promise.all([
          inner.order.updateVersioned({
            where: { id },
            data: async () => {
              await inner.$advisoryXactLock('from a function')
              return { customer: 'deep' }
            },
          }),
          inner.order.create({ data: { customer: 'deep' } }),
        ]),
      ),
    )

    expect(await named('deep')).toBe(2)
  })

  test('that runs after another one is let in, and so are calls on the outer tx', async () => {
    const db = connect()

    await db.$transaction(async (tx) => {
      await tx.$transactionWithRetry((inner) => inner.order.create({ data: { customer: 'in turn' } }))
      await rejectionOf(tx.$transactionWithRetry(() => Promise.reject(new Error('refused'))))
      await tx.$idempotent({ key: 'in turn', scope: 'scope' }, (inner) =>
        inner.order.create({ data: { customer: 'in turn' } }),
      )
      await tx.order.create({ data: { customer: 'in turn' } })
    })

    expect(await named('in turn')).toBe(3)
  })
})

describe('the end of a body', () => {
  test('that throws commits nothing, while a nested body is open', async () => {
    const db = connect()
    const inside = gate()
    let nested: Promise<unknown> = Promise.resolve()

    await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.order.create({ data: { customer: 'left open' } })
        const begun = gate()
        nested = tx.$transactionWithRetry(async (inner) => {
          await inner.order.create({ data: { customer: 'left open' } })
          begun.open()
          await inside.opened
        })
        nested.catch(() => {})
        await begun.opened
        throw new Error('refused')
      }),
    )
    inside.open()

    expect(await rejectionOf(nested)).toMatchObject({ code: 'TRANSACTION_SCOPE', reason: 'over' })
    expect(await named('left open')).toBe(0)
  })

  test('that throws waits for a call of several statements, the rest of which would be committed alone', async () => {
    const db = connect()
    const { id, products } = await db.category.create({
      data: { name: 'of several', products: { create: [{ name: 'held' }, { name: 'next' }] } },
      include: { products: true },
    })
    const other = await openTransaction(database.url, `SELECT FROM "Product" WHERE name = 'held' FOR UPDATE`)
    const isUnderWay = gate()
    let underWay: Promise<unknown> = Promise.resolve()

    const thrown = rejectionOf(
      db.$transaction(async (tx) => {
        const update = products.map((product) => ({ where: { id: product.id }, data: { stock: 7 } }))
        underWay = tx.category.update({ where: { id }, data: { products: { update } } }).catch(() => {})
        await untilBlocked(database.url)
        isUnderWay.open()
        throw new Error('refused')
      }, PATIENT),
    )
    await isUnderWay.opened
    await other.query('ROLLBACK')

    expect(await thrown).toMatchObject({ message: 'refused' })
    await underWay
    expect(await db.product.count({ where: { stock: 7 } })).toBe(0)
  })

  test('that returns waits for calls that nobody has awaited', async () => {
    const db = connect()
    const { id } = await newOrder(db)

    await db.$transaction(async (tx) => {
      void tx.order.create({ data: { customer: 'not awaited' } }).then(() => {})
      void tx.order.updateVersioned({ where: { id }, data: () => ({ customer: 'not awaited' }) }).then(() => {})
    })

    expect(await named('not awaited')).toBe(2)
  })

  test.each(['$transaction', '$transactionWithRetry', '$idempotent', '$withAdvisoryLock'] as const)(
    'that returns while the body of a %s is open commits nothing, and says so',
    async (method) => {
      const db = connect()
      const customer = crypto.randomUUID()
      const begun = gate()
      const go = gate()
      const body = async () => {
        begun.open()
        await go.opened
      }
      let nested: Promise<unknown> | undefined

      const error = await rejectionOf(
        db.$transaction(async (tx) => {
          await tx.order.create({ data: { customer } })
          const calls = {
            $transaction: () => tx.$transaction(body),
            $transactionWithRetry: () => tx.$transactionWithRetry(body),
            $idempotent: () => tx.$idempotent({ key: customer, scope: 'not awaited' }, body),
            $withAdvisoryLock: () => tx.$withAdvisoryLock(customer, body),
          }
          nested = rejectionOf(calls[method]())
          await begun.opened
        }),
      )
      go.open()
      await nested

      expect(error).toMatchObject({ code: 'TRANSACTION_SCOPE', reason: 'unfinished' })
      expect(await named(customer)).toBe(0)
    },
  )

  test('lets no call begin after it', async () => {
    const db = connect()
    const { id } = await newOrder(db)
    let late: (() => Promise<unknown>[]) | undefined

    await db.$transaction(async (tx) => {
      late = () => [
        tx.order.updateVersioned({ where: { id }, data: () => ({ customer: 'late' }) }),
        tx.order.create({ data: { customer: 'late' } }),
        tx.$advisoryXactLock('late'),
        tx.$transaction(async () => {}),
      ]
    })

    expect(await Promise.all((late?.() ?? []).map(rejectionOf))).toMatchObject(
      Array(4).fill({ code: 'TRANSACTION_SCOPE', reason: 'over' }),
    )
    expect(await named('late')).toBe(0)
  })

  test.each(['$transaction', '$transactionWithRetry'] as const)(
    'of %s says that a database error that was caught has undone everything',
    async (method) => {
      const db = connect()
      await db.category.create({ data: { name: `taken by ${method}` } })

      const error = await rejectionOf(
        (db[method] as typeof db.$transaction)(async (tx) => {
          await tx.order.create({ data: { customer: 'undone' } })
          await tx.category.create({ data: { name: `taken by ${method}` } }).catch(() => {})
        }),
      )

      expect(error).toMatchObject({ code: 'TRANSACTION_ABORTED', cause: { code: 'P2002' } })
      expect(await named('undone')).toBe(0)
    },
  )

  test('says that a failure of SQL of this package, that was caught, has undone everything', async () => {
    const db = connect()
    await db.category.create({ data: { name: 'taken before' } })
    const { id } = await db.category.create({ data: { name: 'free' } })

    const error = await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.order.create({ data: { customer: 'undone, too' } })
        await rejectionOf(
          tx.category.updateManyVersioned([{ where: { id, version: 0 }, data: { name: 'taken before' } }]),
        )
      }),
    )

    expect(error).toMatchObject({ code: 'TRANSACTION_ABORTED' })
    expect(await named('undone, too')).toBe(0)
  })

  test('tells each call after a database error that was caught what has ended the transaction', async () => {
    const db = connect()
    const { id } = await newOrder(db)
    type Tx = Parameters<Parameters<typeof db.$transaction>[0]>[0]
    const calls: ((tx: Tx) => PromiseLike<unknown>)[] = [
      (tx) => tx.order.updateVersioned({ where: { id, version: 0 }, data: { customer: 'after' } }),
      (tx) => tx.order.updateVersioned({ where: { id }, data: () => ({ customer: 'after' }) }),
      (tx) => tx.order.updateManyVersioned([{ where: { id, version: 0 }, data: { customer: 'after' } }]),
      (tx) => tx.payment.createIdempotent({ where: { transactionId: 'after' }, data: { amount: 1 } }),
      (tx) => tx.$advisoryXactLock('after'),
      (tx) => tx.$tryAdvisoryXactLock('after'),
      (tx) => tx.$transactionWithRetry(async () => 'after'),
      (tx) => tx.$idempotent({ key: 'after', scope: 'after' }, async () => 'after'),
    ]
    const errors: unknown[] = []

    await rejectionOf(
      db.$transaction(async (tx) => {
        await rejectionOf(tx.$executeRaw`SELECT 1 / 0`)
        for (const call of calls) errors.push(await rejectionOf(Promise.resolve(call(tx))))
      }),
    )

    const cause = { meta: { driverAdapterError: { cause: { originalCode: '22012' } } } }
    expect(errors).toMatchObject(calls.map(() => ({ code: 'TRANSACTION_ABORTED', cause })))
  })

  test('is told also of a call that nobody waited for, and that fails while the end of the body is looked into', async () => {
    const db = connect()
    const { id } = await newOrder(db)
    const stale = { where: { id, version: 9 }, data: { customer: 'stale' } }

    const error = await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.order.create({ data: { customer: 'beside a late failure' } })
        await rejectionOf(tx.order.updateVersioned(stale))
        setImmediate(() => void tx.$executeRaw`SELECT 1 / 0`.catch(() => {}))
      }),
    )

    expect(error).toMatchObject({ code: 'TRANSACTION_ABORTED' })
    expect(await named('beside a late failure')).toBe(0)
  })

  test('is a commit, where the database error was caught around a nested transaction', async () => {
    const db = connect()
    await db.category.create({ data: { name: 'taken' } })

    await db.$transaction(async (tx) => {
      await tx.order.create({ data: { customer: 'kept' } })
      await tx.$transaction((inner) => inner.category.create({ data: { name: 'taken' } })).catch(() => {})
    })

    expect(await named('kept')).toBe(1)
  })
})
