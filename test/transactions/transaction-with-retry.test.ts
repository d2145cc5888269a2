import { setImmediate } from 'node:timers/promises'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { sqlState } from '../../src/engine/error-facts.js'
import { concurrency, isConcurrencyError } from '../../src/index.js'
import { AT_COMMIT_TRIGGER, atCommit } from '../support/at-commit.js'
import { useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { passingTime } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { watchUnhandled } from '../support/unhandled.js'
import { warm } from '../support/warm.js'

const { database, connect } = useExtended()
const barredDatabase = useDatabase()

const NOTE = /^SELECT pg_current_xact_id\(\)::text AS xid/
const CONFLICT = `DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$`
const NO_DELAY = { baseDelay: 0 }
/** For what comes soon, where the machine has the time for it. */
const PATIENT = { timeout: 60_000 }
/** So long that a delay drawn from it outlasts every test. */
const LONG_DELAY = { baseDelay: 1e9, maxDelay: 1e9, deadline: 2e9 }

beforeAll(async () => {
  await database.query(AT_COMMIT_TRIGGER)
  await database.query(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 10', current_database()); END $$`,
  )
})

async function newProduct(stock = 0): Promise<number> {
  const [row] = await database.query(
    `INSERT INTO "Product" (name, stock, "updatedAt") VALUES ('Chai', $1, now()) RETURNING id`,
    [stock],
  )
  return row?.id as number
}

async function stockOf(id: number): Promise<unknown> {
  const [row] = await database.query(`SELECT stock FROM "Product" WHERE id = $1`, [id])
  return row?.stock
}

async function notes(text: string): Promise<number> {
  const rows = await database.query(`SELECT 1 FROM "Note" WHERE text = $1`, [text])
  return rows.length
}

/** Somebody else's write, committed at once. */
function intrude(id: number) {
  return database.query(`UPDATE "Product" SET stock = stock + 100, version = version + 1 WHERE id = $1`, [id])
}

describe('a transaction that meets no conflict', () => {
  test('runs its body once, and resolves to what it returned', async () => {
    const { db } = connect()
    const body = vi.fn(async () => 'done')

    expect(await db.$transactionWithRetry(body)).toBe('done')
    expect(body).toHaveBeenCalledTimes(1)
  })

  test('costs exactly one statement more than $transaction', async () => {
    const { db, statements } = connect()
    const body = (tx: Pick<typeof db, 'note'>) => tx.note.create({ data: { text: 'counted' } })
    await db.$transaction(body)
    const plain = statements.splice(0)
    await db.$transactionWithRetry(body)

    expect(statements.filter((statement) => !NOTE.test(statement))).toEqual(plain)
    expect(statements).toHaveLength(plain.length + 1)
  })

  test('runs its body only after its first statement was answered', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const noting = proxy.next(NOTE, 'hold')
    const body = vi.fn(async () => {})
    const running = db.$transactionWithRetry(body)
    await noting.happened
    for (let turn = 0; turn < 20; turn++) await setImmediate()
    const callsBefore = body.mock.calls.length
    noting.release()
    await running

    expect([callsBefore, body.mock.calls.length]).toEqual([0, 1])
  })

  test('runs at the isolation level it was given', async () => {
    const { db } = connect()
    const level = await db.$transactionWithRetry(
      (tx) => tx.$queryRaw`SELECT current_setting('transaction_isolation') AS level`,
      { isolationLevel: 'RepeatableRead' },
    )

    expect(level).toEqual([{ level: 'repeatable read' }])
  })

  test('tells its body the attempt, and by a signal when the transaction is over', async () => {
    const { db } = connect()
    const inside: unknown[] = []
    const context = await db.$transactionWithRetry(async (_, context) => {
      inside.push(context.attempt, context.signal.aborted)
      return context
    })

    expect(inside).toEqual([1, false])
    expect(context.signal.aborted).toBe(true)
  })
})

describe('a conflict', () => {
  test('found by a model call at REPEATABLE READ runs all of the body again, on a fresh snapshot', async () => {
    const { db } = connect()
    const id = await newProduct(1)
    const seen = await db.$transactionWithRetry(
      async (tx, { attempt }) => {
        const { stock } = await tx.product.findUniqueOrThrow({ where: { id } })
        if (attempt === 1) await intrude(id)
        await tx.product.update({ where: { id }, data: { stock: stock + 1 } })
        return { stock, attempt }
      },
      { isolationLevel: 'RepeatableRead', retry: NO_DELAY },
    )

    expect(seen).toEqual({ stock: 101, attempt: 2 })
    expect(await stockOf(id)).toBe(102)
  })

  test('found by raw SQL does so too', async () => {
    const { db } = connect()
    const id = await newProduct(1)
    const attempts = await db.$transactionWithRetry(
      async (tx, { attempt }) => {
        await tx.$queryRaw`SELECT 1 FROM "Product"`
        if (attempt === 1) await intrude(id)
        await tx.$executeRaw`UPDATE "Product" SET stock = stock + 1 WHERE id = ${id}`
        return attempt
      },
      { isolationLevel: 'RepeatableRead', retry: NO_DELAY },
    )

    expect(attempts).toBe(2)
    expect(await stockOf(id)).toBe(102)
  })

  test('found only by COMMIT, write skew at SERIALIZABLE, does so too: one of the two on duty stays', async () => {
    const { db } = connect()
    const duty = [await newProduct(1), await newProduct(1)]
    const bothHaveRead = gate()
    let reads = 0
    let runs = 0
    const goHome = (id: number) =>
      db.$transactionWithRetry(
        async (tx) => {
          runs++
          const onDuty = await tx.product.count({ where: { id: { in: duty }, stock: 1 } })
          if (++reads === 2) bothHaveRead.open()
          await bothHaveRead.opened
          if (onDuty > 1) await tx.product.update({ where: { id }, data: { stock: 0 } })
        },
        { isolationLevel: 'Serializable', retry: NO_DELAY },
      )
    await Promise.all(duty.map(goHome))

    expect((await Promise.all(duty.map(stockOf))).sort()).toEqual([0, 1])
    expect(runs).toBe(3)
  })

  test('of two transactions that wait for each other is resolved: the deadlock’s victim runs again, both finish', async () => {
    const { db } = connect()
    const [a, b] = [await newProduct(), await newProduct()]
    const [bothHaveOne, oneIsThrough] = [gate(), gate()]
    let held = 0
    let runs = 0
    const move = async (first: number, second: number) => {
      await db.$transactionWithRetry(
        async (tx, { attempt }) => {
          runs++
          // Before, it would meet the locks of the other one, which may take its time to commit.
          if (attempt > 1) await oneIsThrough.opened
          await tx.product.update({ where: { id: first }, data: { stock: { increment: 1 } } })
          if (++held === 2) bothHaveOne.open()
          await bothHaveOne.opened
          await tx.product.update({ where: { id: second }, data: { stock: { increment: 1 } } })
        },
        { retry: NO_DELAY },
      )
      oneIsThrough.open()
    }
    await Promise.all([move(a, b), move(b, a)])

    expect(await Promise.all([stockOf(a), stockOf(b)])).toEqual([2, 2])
    expect(runs).toBe(3)
  })

  test('that always comes is thrown itself in the end, with the number of attempts on it', async () => {
    const { db } = connect()
    const body = vi.fn(async (tx: Pick<typeof db, 'note'>) => {
      await tx.note.create({ data: atCommit(CONFLICT) })
    })
    const error = await rejectionOf(db.$transactionWithRetry(body, { retry: NO_DELAY }))

    expect(error).toMatchObject({ name: 'DriverAdapterError', cause: { originalCode: '40001' }, attempts: 10 })
    expect(body).toHaveBeenCalledTimes(10)
    expect(await notes(atCommit(CONFLICT).text)).toBe(0)
  })

  test('with attempts: 1 is thrown at once', async () => {
    const { db } = connect()
    const body = vi.fn((tx: Pick<typeof db, 'note'>) => tx.note.create({ data: atCommit(CONFLICT) }))
    const error = await rejectionOf(db.$transactionWithRetry(body, { retry: { attempts: 1 } }))

    expect(error).toHaveProperty('attempts', 1)
    expect(body).toHaveBeenCalledTimes(1)
  })

  test('of a version that the body read itself runs the body again', async () => {
    const { db } = connect()
    const id = await newProduct(1)
    await db.$transactionWithRetry(
      async (tx, { attempt }) => {
        const { version, stock } = await tx.product.findUniqueOrThrow({ where: { id } })
        if (attempt === 1) await intrude(id)
        await tx.product.updateVersioned({ where: { id, version }, data: { stock: stock + 1 } })
      },
      { retry: NO_DELAY },
    )

    expect(await stockOf(id)).toBe(102)
  })

  test.each(['ReadCommitted', 'RepeatableRead', 'Serializable'] as const)(
    'of a version from outside the body is hopeless at %s, and thrown the second time it comes',
    async (isolationLevel) => {
      const { db } = connect()
      const id = await newProduct()
      await intrude(id)
      const body = vi.fn((tx: Pick<typeof db, 'product'>) =>
        tx.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 7 } }),
      )
      const error = await rejectionOf(db.$transactionWithRetry(body, { isolationLevel, retry: NO_DELAY }))

      expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1, attempts: 2 })
      expect(body).toHaveBeenCalledTimes(2)
    },
  )

  test('is hopeless the second time also when another conflict came in between', async () => {
    const { db } = connect()
    const rows = [await newProduct(), await newProduct()]
    await Promise.all(rows.map(intrude))
    const body = vi.fn((tx: Pick<typeof db, 'product'>, { attempt }: { attempt: number }) =>
      tx.product.updateVersioned({ where: { id: rows[attempt % 2] as number, version: 0 }, data: { stock: 7 } }),
    )
    await rejectionOf(db.$transactionWithRetry(body, { retry: NO_DELAY }))

    expect(body).toHaveBeenCalledTimes(3)
  })

  test('of a batch with a version from outside is hopeless the second time', async () => {
    const { db } = connect()
    const id = await newProduct()
    await intrude(id)
    const body = vi.fn((tx: Pick<typeof db, 'product'>) =>
      tx.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 7 } }]),
    )
    const error = await rejectionOf(db.$transactionWithRetry(body, { retry: NO_DELAY }))

    expect(error).toMatchObject({ code: 'BATCH_VERSION_CONFLICT', attempts: 2 })
    expect(body).toHaveBeenCalledTimes(2)
  })

  test('of a function update at REPEATABLE READ goes up at once, and the whole body runs again', async () => {
    const { db } = connect()
    const id = await newProduct(1)
    const change = vi.fn()
    const body = vi.fn(async (tx: Pick<typeof db, 'product'>, { attempt }: { attempt: number }) => {
      await tx.product.updateVersioned({
        where: { id },
        data: async ({ stock }) => {
          change()
          if (attempt === 1) await intrude(id)
          return { stock: stock + 1 }
        },
      })
    })
    await db.$transactionWithRetry(body, { isolationLevel: 'RepeatableRead', retry: NO_DELAY })

    expect(body).toHaveBeenCalledTimes(2)
    expect(change).toHaveBeenCalledTimes(2)
    expect(await stockOf(id)).toBe(102)
  })

  test('costs no money: transfers at SERIALIZABLE from two pools at once keep the sum, and all succeed', async () => {
    const clients = [connect(), connect()]
    const accounts = await Promise.all([newProduct(100), newProduct(100), newProduct(100)])
    await Promise.all(clients.map(({ pool }) => warm(pool, 5)))
    const transfer = async (db: (typeof clients)[number]['db'], from: number, to: number) =>
      db.$transactionWithRetry(
        async (tx) => {
          const [source, target] = await Promise.all(
            [from, to].map((id) => tx.product.findUniqueOrThrow({ where: { id } })),
          )
          await tx.product.update({ where: { id: from }, data: { stock: (source?.stock ?? 0) - 1 } })
          await tx.product.update({ where: { id: to }, data: { stock: (target?.stock ?? 0) + 1 } })
        },
        { isolationLevel: 'Serializable', retry: { attempts: 1_000, deadline: 100_000 } },
      )
    await Promise.all(
      clients.flatMap(({ db }) =>
        Array.from({ length: 10 }, (_, i) => transfer(db, accounts[i % 3] as number, accounts[(i + 1) % 3] as number)),
      ),
    )

    const stocks = (await Promise.all(accounts.map(stockOf))) as number[]
    // Of every ten transfers the first account gives four and gets three.
    expect(stocks).toEqual([98, 102, 100])
  })
})

describe('a body that throws', () => {
  test.each([
    ['an error', new Error('no')],
    ['a string', 'no'],
    ['undefined', undefined],
    ['null', null],
  ])('%s runs once, leaves nothing written, and what it threw comes out', async (what, thrown) => {
    const { db } = connect()
    const text = `thrown: ${what}`
    const body = vi.fn(async (tx: Pick<typeof db, 'note'>) => {
      await tx.note.create({ data: { text } })
      throw thrown
    })

    expect(await rejectionOf(db.$transactionWithRetry(body))).toBe(thrown)
    expect(body).toHaveBeenCalledTimes(1)
    expect(await notes(text)).toBe(0)
  })

  test('is run again if the caller’s retryOn says so, and only then', async () => {
    const { db } = connect()
    const body = vi.fn(async (_: unknown, { attempt }: { attempt: number }) => {
      if (attempt < 3) throw new Error('try me again')
      return attempt
    })
    const retryOn = (error: unknown) => error instanceof Error && error.message === 'try me again'

    expect(await db.$transactionWithRetry(body, { retry: { ...NO_DELAY, retryOn } })).toBe(3)
    expect(await rejectionOf(db.$transactionWithRetry(body))).toHaveProperty('message', 'try me again')
  })

  test('without being asynchronous at all is rejected like any other, with nothing left behind', async () => {
    const unhandled = watchUnhandled()
    const { db } = connect()
    const error = new Error('at once')
    const body = () => {
      throw error
    }

    expect(await rejectionOf(db.$transactionWithRetry(body))).toBe(error)
    expect(await unhandled.collected()).toEqual([])
  })

  test('something that is no function is refused before any SQL', async () => {
    const { db, statements } = connect()
    const error = await rejectionOf(db.$transactionWithRetry('body' as never))

    expect(isConcurrencyError(error, 'INVALID_ARGUMENT') && error.field).toBe('body')
    expect(statements).toEqual([])
  })
})

describe('the deadline', () => {
  /** The server's limits for a statement, in the transaction and after it. */
  const LIMITS = `SELECT name, setting::int AS ms FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout') ORDER BY name`

  async function limitsWith(setting: string, deadline: number) {
    const url = new URL(database.url)
    url.searchParams.set('options', `-c lock_timeout=${setting} -c statement_timeout=${setting}`)
    const { db } = connectTo(url.href, { poolSize: 1 })
    const inside = await db.$transactionWithRetry((tx) => tx.$queryRawUnsafe<{ ms: number }[]>(LIMITS), {
      retry: { deadline },
    })
    const after = await db.$queryRawUnsafe<{ ms: number }[]>(LIMITS)
    return { inside: inside.map(({ ms }) => ms), after: after.map(({ ms }) => ms) }
  }

  test('is given to the server as a limit for every statement of the transaction, and taken back after it', async () => {
    const { inside, after } = await limitsWith('0', 60_000)
    const [lock = 0, statement = 0] = inside

    expect(Math.max(lock, statement)).toBeLessThanOrEqual(60_000)
    expect(Math.min(lock, statement)).toBeGreaterThan(0)
    expect(after).toEqual([0, 0])
  })

  test.each([
    ['1500ms', 1_500],
    ['50s', 50_000],
  ])('leaves a shorter limit of the session alone (%s)', async (setting, ms) => {
    expect(await limitsWith(setting, 60_000)).toEqual({ inside: [ms, ms], after: [ms, ms] })
  })

  test.each(['2min', '1h', '3d', '2147483647'])('shortens a longer limit of the session (%s)', async (setting) => {
    const { inside } = await limitsWith(setting, 60_000)

    expect(Math.max(...inside)).toBeLessThanOrEqual(60_000)
  })

  test('gives a later attempt only what is left of it', async () => {
    const { db } = connect()
    const limits: number[] = []
    await db.$transactionWithRetry(
      async (tx, { attempt }) => {
        const [row] = await tx.$queryRawUnsafe<{ ms: number }[]>(LIMITS)
        limits.push(row?.ms ?? 0)
        await tx.$queryRaw`SELECT 1 FROM pg_sleep(0.02)`
        if (attempt === 1) await tx.$executeRawUnsafe(CONFLICT)
      },
      { retry: { ...NO_DELAY, deadline: 60_000 } },
    )
    const [first = 0, second = 0] = limits

    expect(first - second).toBeGreaterThanOrEqual(20)
  })

  test('ends a body that waits for a locked row, with a real error, while the row is still locked', async () => {
    const { db, client } = connect()
    const id = await newProduct()
    const holder = await openTransaction(database.url, `SELECT 1 FROM "Product" WHERE id = $1 FOR UPDATE`, [id])
    const error = await rejectionOf(
      db.$transactionWithRetry((tx) => tx.product.update({ where: { id }, data: { stock: 1 } }), {
        retry: { deadline: 1_000 },
      }),
    )
    const { rows } = await holder.query(`SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS held`)

    expect(['55P03', '57014', 'DEADLINE_EXCEEDED']).toContain(sqlState(error) ?? (error as { code: string }).code)
    expect(rows).toEqual([{ held: true }])
    await holder.query('ROLLBACK')
    expect(await client.product.update({ where: { id }, data: { stock: 2 } })).toHaveProperty('stock', 2)
  })

  test('that ends a body in the middle of nested writes lets none of them through afterwards', async () => {
    const { db, client } = connect()
    const { id } = await client.category.create({ data: { name: 'to be filled' } })
    const holder = await openTransaction(database.url, `SELECT 1 FROM "Category" WHERE id = $1 FOR UPDATE`, [id])
    const { opened: isOver, open } = gate()
    const failing = rejectionOf(
      db.$transactionWithRetry(
        async (tx, { signal }) => {
          signal.addEventListener('abort', open)
          await tx.$queryRaw`SELECT 1 FROM pg_sleep(0.1)` // so that the next statement's own limit ends after the deadline
          await tx.category.update({ where: { id }, data: { name: 'filled', products: { create: { name: 'stray' } } } })
        },
        { retry: { deadline: 1_000 } },
      ),
    )
    await Promise.race([isOver, failing]) // on a machine that takes a second to begin, there is no body
    await holder.query('ROLLBACK')

    expect(isConcurrencyError(await failing, 'DEADLINE_EXCEEDED')).toBe(true)
    expect(await client.product.count({ where: { name: 'stray' } })).toBe(0)
    expect(await client.category.findUnique({ where: { id } })).toHaveProperty('name', 'to be filled')
  })

  test('ends a COMMIT that waits for a lock, too', async () => {
    const { db } = connect()
    const id = await newProduct()
    const data = atCommit(`UPDATE "Product" SET stock = 9 WHERE id = ${id}`)
    await openTransaction(database.url, `SELECT 1 FROM "Product" WHERE id = $1 FOR UPDATE`, [id])
    const error = await rejectionOf(
      db.$transactionWithRetry((tx) => tx.note.create({ data }), { retry: { deadline: 1_000 } }),
    )

    expect(sqlState(error)).toBe('55P03')
    expect(await notes(data.text)).toBe(0)
  })

  test('ends the retries with the last conflict', async () => {
    const { db } = connect()
    const pass = passingTime()
    const error = await rejectionOf(
      db.$transactionWithRetry(
        async (tx, { attempt }) => {
          const conflict = await rejectionOf(tx.$executeRawUnsafe(CONFLICT))
          if (attempt === 3) pass(100_000)
          throw conflict
        },
        { retry: { ...NO_DELAY, deadline: 100_000 } },
      ),
    )

    expect(sqlState(error)).toBe('40001')
    expect(error).toHaveProperty('attempts', 3)
  })
})

describe('the signal', () => {
  test('aborted before keeps the body from running, and anything from being sent', async () => {
    const { db, statements } = connect()
    const body = vi.fn(async () => {})

    expect(await rejectionOf(db.$transactionWithRetry(body, { signal: AbortSignal.abort('gone') }))).toBe('gone')
    expect(body).not.toHaveBeenCalled()
    expect(statements).toEqual([])
  })

  test('aborted in a delay ends it at once, with its reason', async () => {
    const { db, pool, statements } = connect()
    const aborter = new AbortController()
    const body = vi.fn((tx: Pick<typeof db, '$executeRawUnsafe'>) => tx.$executeRawUnsafe(CONFLICT))
    const failing = rejectionOf(db.$transactionWithRetry(body, { signal: aborter.signal, retry: LONG_DELAY }))
    await vi.waitFor(() => expect([statements.at(-1), pool.idleCount]).toEqual(['ROLLBACK', 1]), PATIENT)
    for (let turn = 0; turn < 20; turn++) await setImmediate()
    aborter.abort('gone')

    expect(await failing).toBe('gone')
    expect(body).toHaveBeenCalledTimes(1)
  })

  test('aborted while it waits for a connection keeps the body from running', async () => {
    const { db, client, pool } = connect({ poolSize: 1 })
    const aborter = new AbortController()
    const body = vi.fn(async () => {})
    const { opened, open } = gate()
    const holding = client.$transaction(() => opened, { timeout: 60_000 })
    await vi.waitFor(() => expect(pool.totalCount - pool.idleCount).toBe(1), PATIENT)
    const failing = rejectionOf(db.$transactionWithRetry(body, { signal: aborter.signal }))
    await vi.waitFor(() => expect(pool.waitingCount).toBe(1), PATIENT)
    aborter.abort('gone')
    open()
    await holding

    expect(await failing).toBe('gone')
    expect(body).not.toHaveBeenCalled()
  })

  test('aborted in the first statement keeps the body from running', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const aborter = new AbortController()
    const noting = proxy.next(NOTE, 'hold')
    const body = vi.fn(async () => {})
    const failing = rejectionOf(db.$transactionWithRetry(body, { signal: aborter.signal }))
    await noting.happened
    aborter.abort('gone')
    noting.release()

    expect(await failing).toBe('gone')
    expect(body).not.toHaveBeenCalled()
  })

  test('aborted in the body leaves nothing written', async () => {
    const { db } = connect()
    const aborter = new AbortController()
    const text = 'aborted in the body'
    const failing = db.$transactionWithRetry(
      async (tx) => {
        await tx.note.create({ data: { text } })
        aborter.abort('gone')
      },
      { signal: aborter.signal },
    )

    expect(await rejectionOf(failing)).toBe('gone')
    expect(await notes(text)).toBe(0)
  })

  test('aborted while COMMIT is under way leaves it a success', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const aborter = new AbortController()
    const committing = proxy.next(/^COMMIT/, 'hold')
    const text = 'aborted too late'
    const running = db.$transactionWithRetry((tx) => tx.note.create({ data: { text } }), { signal: aborter.signal })
    await committing.happened
    aborter.abort('gone')
    committing.release()

    expect(await running).toHaveProperty('text', text)
    expect(await notes(text)).toBe(1)
  })

  test('aborted in the queue of a row ends the wait at once, and lets those behind go on', async () => {
    const { db } = connect()
    const id = await newProduct()
    const aborter = new AbortController()
    const { opened, open } = gate()
    const add = (signal?: AbortSignal, before?: Promise<void>) =>
      db.product.updateVersioned({
        where: { id },
        data: async ({ stock }) => {
          await before
          return { stock: stock + 1 }
        },
        ...(signal ? { signal } : {}),
      })
    const first = add(undefined, opened).then((record) => record)
    const second = rejectionOf(add(aborter.signal))
    const third = add().then((record) => record)
    aborter.abort('gone')
    const reason = await second
    open()
    await Promise.all([first, third])

    expect(reason).toBe('gone')
    expect(await stockOf(id)).toBe(2)
  })
})

describe('inside a transaction', () => {
  test('it runs once, in a savepoint of the same transaction, as attempt 1', async () => {
    const { db, statements } = connect()
    const ids = await db.$transactionWithRetry(async (tx) => {
      const id = async (client: Pick<typeof db, '$queryRaw'>) =>
        (await client.$queryRaw<{ id: string }[]>`SELECT pg_current_xact_id()::text AS id`)[0]?.id
      return [await id(tx), await tx.$transactionWithRetry((inner) => id(inner))]
    })

    expect(ids[0]).toBe(ids[1])
    expect(statements.filter((statement) => statement === 'BEGIN')).toHaveLength(1)
    expect(statements.filter((statement) => /^SAVEPOINT/.test(statement))).toHaveLength(1)
    expect(statements.filter((statement) => NOTE.test(statement)).length).toBe(1)
  })

  test('a conflict goes up to the outermost one, which runs all of it again', async () => {
    const { db } = connect()
    const id = await newProduct(1)
    const attempts: [number, number][] = []
    await db.$transactionWithRetry(
      (tx, outer) =>
        tx.$transactionWithRetry(
          async (inner, { attempt }) => {
            attempts.push([outer.attempt, attempt])
            const { stock } = await inner.product.findUniqueOrThrow({ where: { id } })
            if (outer.attempt === 1) await intrude(id)
            await inner.product.update({ where: { id }, data: { stock: stock + 1 } })
          },
          { retry: { attempts: 5 } },
        ),
      { isolationLevel: 'RepeatableRead', retry: NO_DELAY },
    )

    expect(attempts).toEqual([
      [1, 1],
      [2, 1],
    ])
    expect(await stockOf(id)).toBe(102)
  })

  test('an error that the outer body catches takes back only what was written inside', async () => {
    const { db } = connect()
    await db.$transactionWithRetry(async (tx) => {
      await tx.note.create({ data: { text: 'outside' } })
      const inner = tx.$transactionWithRetry(async (inner) => {
        await inner.note.create({ data: { text: 'inside' } })
        throw new Error('no')
      })
      await inner.catch(() => {})
    })

    expect([await notes('outside'), await notes('inside')]).toEqual([1, 0])
  })

  test('in a plain $transaction a conflict is thrown, for there is nobody to run the whole again', async () => {
    const { db } = connect()
    const body = vi.fn((tx: Pick<typeof db, '$executeRawUnsafe'>) => tx.$executeRawUnsafe(CONFLICT))
    const error = await rejectionOf(db.$transaction((tx) => tx.$transactionWithRetry(body)))

    expect(sqlState(error)).toBe('40001')
    expect(body).toHaveBeenCalledTimes(1)
  })

  test.each([
    ['ReadCommitted', 'RepeatableRead'],
    ['ReadCommitted', 'Serializable'],
    ['RepeatableRead', 'Serializable'],
  ] as const)('around it at %s, the stronger isolationLevel %s is refused', async (outer, inner) => {
    const { db } = connect()
    const body = vi.fn(async () => {})
    const error = await rejectionOf(
      db.$transactionWithRetry((tx) => tx.$transactionWithRetry(body, { isolationLevel: inner }), {
        isolationLevel: outer,
      }),
    )

    expect(isConcurrencyError(error, 'INVALID_ARGUMENT') && error.field).toBe('isolationLevel')
    expect(body).not.toHaveBeenCalled()
  })

  test.each([
    ['Serializable', 'Serializable'],
    ['Serializable', 'RepeatableRead'],
    ['RepeatableRead', 'ReadCommitted'],
    ['ReadCommitted', 'ReadUncommitted'],
  ] as const)('around it at %s, the isolationLevel %s is as good as kept', async (outer, inner) => {
    const { db } = connect()
    const run = db.$transactionWithRetry(
      (tx) => tx.$transactionWithRetry(async () => 'done', { isolationLevel: inner }),
      { isolationLevel: outer },
    )

    expect(await run).toBe('done')
  })

  test('with the signal aborted before, the inner body never runs', async () => {
    const { db } = connect()
    const body = vi.fn(async () => {})
    const run = db.$transaction((tx) => tx.$transactionWithRetry(body, { signal: AbortSignal.abort('gone') }))

    expect(await rejectionOf(run)).toBe('gone')
    expect(body).not.toHaveBeenCalled()
  })

  test('readOnly holds for the inner body, and not for what comes after it', async () => {
    const { db } = connect()
    const state = await db.$transactionWithRetry(async (tx) => {
      const inner = tx.$transactionWithRetry((inner) => inner.note.create({ data: { text: 'read-only inside' } }), {
        readOnly: true,
      })
      const error = await rejectionOf(inner)
      await tx.note.create({ data: { text: 'written after' } })
      return sqlState(error)
    })

    expect(state).toBe('25006')
    expect([await notes('read-only inside'), await notes('written after')]).toEqual([0, 1])
  })
})

describe('readOnly', () => {
  test('costs no transaction id', async () => {
    const { db } = connect()
    const rows = await db.$transactionWithRetry(
      (tx) => tx.$queryRaw`SELECT pg_current_xact_id_if_assigned() IS NULL AS none`,
      { readOnly: true },
    )

    expect(rows).toEqual([{ none: true }])
  })

  test('keeps the body from writing, whatever other extensions delay', async () => {
    const { client } = connect()
    const slow = client.$extends({
      query: {
        async $queryRawUnsafe({ args, query }) {
          await setImmediate()
          return query(args)
        },
      },
    })
    const db = slow.$extends(concurrency())
    const error = await rejectionOf(
      db.$transactionWithRetry((tx) => tx.note.create({ data: { text: 'slowly' } }), { readOnly: true }),
    )

    expect(sqlState(error)).toBe('25006')
    expect(await notes('slowly')).toBe(0)
  })

  test('keeps it from writing also after a nested transaction with which it begins', async () => {
    const { db } = connect()
    const error = await rejectionOf(
      db.$transactionWithRetry(
        async (tx) => {
          await tx.$transaction((inner) => inner.note.findMany())
          await tx.note.create({ data: { text: 'after the nested one' } })
        },
        { readOnly: true },
      ),
    )

    expect(sqlState(error)).toBe('25006')
    expect(await notes('after the nested one')).toBe(0)
  })

  test('is retried like any other', async () => {
    const { db } = connect()
    const body = vi.fn(async (tx: Pick<typeof db, '$executeRawUnsafe'>, { attempt }: { attempt: number }) => {
      if (attempt === 1) await tx.$executeRawUnsafe(CONFLICT)
      return attempt
    })

    expect(await db.$transactionWithRetry(body, { readOnly: true, retry: NO_DELAY })).toBe(2)
  })
})

describe('an ordinary user of the database', () => {
  test('needs no privilege for it', async () => {
    const { db, statements } = connectTo(await openRole(database))
    await db.$transactionWithRetry((tx) => tx.note.create({ data: { text: 'ordinary' } }))
    await db.$transactionWithRetry((tx) => tx.note.create({ data: { text: 'ordinary' } }))

    expect(await notes('ordinary')).toBe(2)
    expect(statements.filter((statement) => statement === 'BEGIN')).toHaveLength(2)
  })

  describe.each(['pg_current_wal_lsn()', 'pg_walfile_name(pg_lsn)', 'pg_current_xact_id()'])(
    'barred from %s',
    (name) => {
      async function barred() {
        const url = await openRole(barredDatabase)
        await barredDatabase.query(`REVOKE EXECUTE ON FUNCTION ${name} FROM PUBLIC`)
        return connectTo(url)
      }

      test('runs the body of each transaction once, and asks for it only in the first', async () => {
        const { db, statements } = await barred()
        const attempts: number[] = []
        const text = `barred from ${name}`
        for (const _ of [1, 2]) {
          await db.$transactionWithRetry(async (tx, { attempt }) => {
            attempts.push(attempt)
            await tx.note.create({ data: { text } })
          })
        }

        expect(attempts).toEqual([1, 1])
        expect(statements.filter((statement) => NOTE.test(statement))).toHaveLength(1)
        expect(await barredDatabase.query(`SELECT 1 FROM "Note" WHERE text = $1`, [text])).toHaveLength(2)
      })

      test('can begin with two transactions at once', async () => {
        const { db } = await barred()
        const bothRun = gate()
        let runs = 0
        const body = async (tx: Pick<typeof db, 'note'>) => {
          if (++runs === 2) bothRun.open()
          await bothRun.opened
          await tx.note.findMany()
          return 'done'
        }

        expect(await Promise.all([db.$transactionWithRetry(body), db.$transactionWithRetry(body)])).toEqual([
          'done',
          'done',
        ])
      })
    },
  )
})

test('a backend that is terminated in the middle of the body leads to a second run, and one effect', async () => {
  const { db } = connect()
  const text = 'terminated'
  const attempts = await db.$transactionWithRetry(
    async (tx, { attempt }) => {
      await tx.note.create({ data: { text } })
      const [row] = await tx.$queryRaw<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`
      if (attempt === 1) await database.query('SELECT pg_terminate_backend($1, 60000)', [row?.pid])
      await tx.note.findMany()
      return attempt
    },
    { retry: NO_DELAY },
  )

  expect(attempts).toBe(2)
  expect(await notes(text)).toBe(1)
})

test('no connection stays behind in a transaction, whatever became of it', async () => {
  const { db } = connect()
  await rejectionOf(db.$transactionWithRetry((tx) => tx.$executeRawUnsafe(CONFLICT), { retry: NO_DELAY }))
  await rejectionOf(
    db.$transactionWithRetry(async () => {
      throw new Error('no')
    }),
  )
  // The server may not have noticed yet that the holders of the tests before are gone.
  await expect
    .poll(() =>
      database.query(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`,
      ),
    )
    .toEqual([])
})
