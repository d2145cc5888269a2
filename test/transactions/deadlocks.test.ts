import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { concurrency, type TransactionClient } from '../../src/index.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { passingTime } from '../support/passing-time.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const { connect, database } = useExtended()

const DEADLOCK = `DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$`

test('a deadline that passes while a transaction waits for a connection is a DeadlineExceededError with the cause', async () => {
  const { db, client, pool } = connect({ poolSize: 1 })
  await db.$transactionWithRetry(async () => 1) // loads what a first transaction needs
  const { opened, open } = gate()
  const holding = client.$transaction(() => opened, { timeout: 60_000 })
  await vi.waitFor(() => expect(pool.totalCount - pool.idleCount).toBe(1), { timeout: 60_000 })
  const error = await rejectionOf(db.$transactionWithRetry(async () => 1, { retry: { deadline: 500 } }))
  open()
  await holding

  expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 500, cause: { code: 'P2028' } })
})

test('a maxWait of the caller’s own that passes is Prisma’s P2028, as in $transaction', async () => {
  const { db, client, pool } = connect({ poolSize: 1 })
  const { opened, open } = gate()
  const holding = client.$transaction(() => opened, { timeout: 60_000 })
  await vi.waitFor(() => expect(pool.totalCount - pool.idleCount).toBe(1), { timeout: 60_000 })
  const error = await rejectionOf(db.$transactionWithRetry(async () => 1, { maxWait: 50 }))
  open()
  await holding

  expect(error).toMatchObject({ code: 'P2028' })
})

test('a deadline that passes between deadlocks is a DeadlineExceededError with the last of them as its cause', async () => {
  const { client } = connect()
  const db = client.$extends(concurrency({ retry: { baseDelay: 0, deadline: 100_000 } }))
  const pass = passingTime()
  const error = await rejectionOf(
    db.$transactionWithRetry(async (tx, { attempt }) => {
      const deadlock = await rejectionOf(tx.$executeRawUnsafe(DEADLOCK))
      if (attempt === 3) pass(100_000)
      throw deadlock
    }),
  )

  expect(error).toMatchObject({
    code: 'DEADLINE_EXCEEDED',
    attempts: 3,
    cause: { meta: { driverAdapterError: { cause: { originalCode: '40P01' } } } },
  })
})

test('a deadlock in the last attempt is thrown itself', async () => {
  const { db } = connect()
  const error = await rejectionOf(
    db.$transactionWithRetry((tx) => tx.$executeRawUnsafe(DEADLOCK), { retry: { attempts: 2, baseDelay: 0 } }),
  )

  expect(error).toMatchObject({ attempts: 2, meta: { driverAdapterError: { cause: { originalCode: '40P01' } } } })
})

type Db = ReturnType<typeof connect>['db']
type Tx = TransactionClient<Db>

/** Long enough that no test gets through by its deadline. */
const PATIENT = { deadline: 600_000 }

/** A transaction that meets a deadlock in its first run. */
const fight = <R>(db: Db, second: () => Promise<R>) =>
  db.$transactionWithRetry(
    async (tx, { attempt }) => {
      if (attempt > 1) return second()
      await tx.$executeRawUnsafe(DEADLOCK)
      throw new Error('unreachable')
    },
    { retry: PATIENT },
  )

const newProduct = async (db: Db) => (await db.product.create({ data: { name: 'Chai' } })).id

/** Somebody else's transaction that holds the product until it ends. */
const hold = (id: number) => openTransaction(database.url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])

const setStock = (tx: Pick<Db, 'product'>, id: number) => tx.product.update({ where: { id }, data: { stock: 5 } })

describe('a transaction that waits for a row', () => {
  /** Begins before `meanwhile`, then writes a row that somebody else holds. */
  const waiting = async (db: Db, attempts: number, meanwhile: () => Promise<unknown>) => {
    const id = await newProduct(db)
    const [begun, released] = [gate(), gate()]
    const runs: number[] = []
    const done = db.$transactionWithRetry(
      async (tx, { attempt }) => {
        runs.push(attempt)
        await tx.note.count()
        begun.open()
        await released.opened
        await setStock(tx, id)
      },
      { retry: { ...PATIENT, attempts } },
    )
    await begun.opened
    await meanwhile()
    const holder = await hold(id)
    released.open()
    return { runs, done, end: () => holder.query('COMMIT') }
  }
  const deadlock = (db: Db) => () => fight(db, async () => {})

  test('gives way after a deadlock in its client, also when it had begun before, and runs again', async () => {
    const { db } = connect()
    const { runs, done, end } = await waiting(db, 1_000, deadlock(db))
    await vi.waitFor(() => expect(runs.length).toBeGreaterThan(2), { timeout: 60_000 })
    await end()
    await done

    expect(runs).toEqual([1, 2, 3, ...runs.slice(3)])
  })

  test.each([
    ['where there was no deadlock', 10, () => async () => {}],
    ['where it may not run again', 1, deadlock],
  ] as const)('goes on waiting %s', async (_, attempts, meanwhile) => {
    const { db } = connect()
    const { runs, done, end } = await waiting(db, attempts, meanwhile(db))
    await untilBlocked(database.url)
    await sleep(200) // four times what it would wait after a deadlock
    await end()
    await done

    expect(runs).toEqual([1])
  })
})

describe('after a deadlock in its client, a body that is told of the brief limit for locks', () => {
  const deadlocked = async () => {
    const { db } = connect()
    await fight(db, async () => {})
    return db
  }
  /** Runs the body while somebody else has what it waits for, until it has run three times, and then to its end. */
  const run = async <R>(db: Db, holder: Awaited<ReturnType<typeof openTransaction>>, body: (tx: Tx) => Promise<R>) => {
    let runs = 0
    const done = db.$transactionWithRetry(
      (tx) => {
        runs++
        return body(tx)
      },
      { retry: PATIENT },
    )
    done.catch(() => {})
    await Promise.race([done.catch(() => {}), vi.waitFor(() => expect(runs).toBeGreaterThan(2), { timeout: 60_000 })])
    await holder.query('ROLLBACK')
    return done
  }

  test('in a savepoint, and takes it for an answer, has not answered: it runs again', async () => {
    const db = await deadlocked()
    const id = await newProduct(db)
    const result = await run(db, await hold(id), (tx) =>
      tx
        .$transaction((inner) => setStock(inner, id))
        .then(
          () => 'written',
          () => 'given up',
        ),
    )

    expect(result).toBe('written')
  })

  test('as an error of its own making runs again', async () => {
    const db = await deadlocked()
    const id = await newProduct(db)
    const result = await run(db, await hold(id), async (tx) => {
      try {
        return await setStock(tx, id)
      } catch {
        throw new Error('somebody else has the product')
      }
    })

    expect(result).toMatchObject({ id, stock: 5 })
  })

  test('in an operation inside it, whose key somebody else has, runs again, and waits for the key', async () => {
    const db = await deadlocked()
    const call = { key: crypto.randomUUID(), scope: 'deadlocks' }
    const holder = await openTransaction(
      database.url,
      `INSERT INTO "IdempotencyKey" (scope, key, request) VALUES ($1, $2, '')`,
      [call.scope, call.key],
    )
    const result = await run(db, holder, (tx) => tx.$idempotent(call, async () => 'done'))

    expect(result).toEqual({ result: 'done', replayed: false })
  })
})

describe('the turn after a conflict', () => {
  test.each([
    ['in the same client', false],
    ['in another client', true],
  ])('is not kept from others by a transaction that does not end %s', async (_, isOther) => {
    const { db } = connect()
    const { opened, open } = gate()
    const inTurn = gate()
    const first = fight(db, () => {
      inTurn.open()
      return opened
    })
    await inTurn.opened

    const second = await fight(isOther ? connect().db : db, async () => 'through')
    open()
    await first

    expect(second).toBe('through')
  })

  test('is not had by all of two clients at a time', async () => {
    const clients = [connect().db, connect().db]
    let inside = 0
    let most = 0
    const work = async () => {
      most = Math.max(most, ++inside)
      await sleep(5)
      inside--
    }
    await Promise.all(clients.flatMap((db) => [fight(db, work), fight(db, work)]))

    expect(most).toBeLessThan(4)
  })
})
