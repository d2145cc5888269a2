import { randomInt } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { serials } from '../../src/serials/extension.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { gate } from '../support/gate.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { newId, numbersOf, useSerials } from '../support/serials.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect, newProduct, owners, isNoted } = useSerials()

/** How long a test may take says nothing: nobody shall give up because the machine is slow. */
const patient = { retry: { deadline: 100_000 } }

beforeAll(() =>
  database.query(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 10', current_database()); END $$`,
  ),
)

const LOCK = 'SELECT FROM "Serial" WHERE "productId" = $1 AND number = ANY($2) FOR UPDATE'
const TAKE = 'UPDATE "Serial" SET "transactionId" = $3 WHERE "productId" = $1 AND number = ANY($2)'

/** Somebody else who holds serials, without having taken them yet. */
const hold = (productId: number, numbers: string[]) => openTransaction(database.url, LOCK, [productId, numbers])

/** Somebody else who has taken serials, and may still roll back. */
const holdTaken = (productId: number, numbers: string[]) =>
  openTransaction(database.url, TAKE, [productId, numbers, 'somebody else'])

describe('callers with one transaction id at once', () => {
  test('get the same serials when the first one commits', async () => {
    const { db } = connect()
    const productId = await newProduct(9)
    const request = { transactionId: newId(), where: { productId }, count: 3, ...patient }
    const taken = gate()
    const end = gate()
    const first = db.$transaction(
      async (tx) => {
        const outcome = await tx.$serials.allocate(request)
        taken.open()
        await end.opened
        return outcome
      },
      { timeout: 100_000 },
    )
    await taken.opened

    const second = db.$serials.allocate(request)
    second.then(() => {})
    await untilBlocked(database.url)
    end.open()

    expect(await second).toEqual({ ...(await first), replayed: true })
    expect(await db.$serials.free({ productId })).toBe(6)
  })

  test('take serials once when the first one rolls back', async () => {
    const { db } = connect()
    const productId = await newProduct(9)
    const request = { transactionId: newId(), where: { productId }, count: 3, ...patient }
    const taken = gate()
    const end = gate()
    const first = db.$transaction(
      async (tx) => {
        await tx.$serials.allocate(request)
        taken.open()
        await end.opened
        throw new Error('rolled back')
      },
      { timeout: 100_000 },
    )
    const failure = rejectionOf(first)
    await taken.opened

    const second = db.$serials.allocate(request)
    second.then(() => {})
    await untilBlocked(database.url)
    end.open()

    expect(await failure).toMatchObject({ message: 'rolled back' })
    expect(await second).toMatchObject({ replayed: false, serials: [{}, {}, {}] })
    expect(await db.$serials.free({ productId })).toBe(6)
  })

  test('take serials once, however many they are', async () => {
    const { db } = connect()
    const productId = await newProduct(99)
    const request = { transactionId: newId(), where: { productId }, count: 3, ...patient }

    const outcomes = await Promise.all(Array.from({ length: 30 }, () => db.$serials.allocate(request)))

    expect(outcomes.filter(({ replayed }) => !replayed)).toHaveLength(1)
    expect(new Set(outcomes.map((outcome) => numbersOf(outcome).join())).size).toBe(1)
    expect(await db.$serials.free({ productId })).toBe(96)
  })
})

test('a caller whose transaction id somebody else has claimed waits no longer than its deadline', async () => {
  const { db } = connect()
  const productId = await newProduct(2)
  const transactionId = newId()
  const claim = 'INSERT INTO "SerialAllocation" ("transactionId", request, count) VALUES ($1, $2, 0)'
  const other = await openTransaction(database.url, claim, [transactionId, '{}'])

  await rejectionOf(db.$serials.allocate({ transactionId, where: { productId }, count: 2, retry: { deadline: 100 } }))

  expect(await owners(productId)).toEqual({ 'S-1': null, 'S-2': null })
  await other.query('ROLLBACK')
  expect(await isNoted(transactionId)).toBe(false)
})

test.each([
  { fate: 'drop', what: 'whose answer is lost' },
  { fate: 'cut', what: 'that is lost on its way' },
] as const)('a statement $what costs no serial, and the call succeeds all the same', async ({ fate }) => {
  const productId = await newProduct(5)
  const proxy = await openProxy(database.url)
  const db = connectTo(proxy.url).db.$extends(serials())
  const request = { transactionId: newId(), where: { productId }, count: 2 }
  proxy.next(/"\$taken"/, fate)

  const outcome = await db.$serials.allocate(request)

  expect(numbersOf(outcome)).toEqual(['S-1', 'S-2'])
  expect(await db.$serials.free({ productId })).toBe(3)
})

describe('a caller', () => {
  test('does not wait for the serials that somebody else is about to take', async () => {
    const { db } = connect()
    const productId = await newProduct(5)
    await hold(productId, ['S-1', 'S-3'])

    const outcome = await db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 2 })

    expect(numbersOf(outcome)).toEqual(['S-2', 'S-4'])
  })

  test('takes a serial to which somebody else is adding a row', async () => {
    await database.query(`CREATE TABLE warranty (
  product int, serial text, FOREIGN KEY (product, serial) REFERENCES "Serial" ("productId", number))`)
    const { db } = connect()
    const productId = await newProduct(2)
    await openTransaction(database.url, 'INSERT INTO warranty VALUES ($1, $2)', [productId, 'S-1'])

    const outcome = await db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 1 })

    expect(numbersOf(outcome)).toEqual(['S-1'])
  })

  test('who finds too few waits for those who hold the others, and takes them when they are left', async () => {
    const { db } = connect()
    const productId = await newProduct(3)
    const other = await holdTaken(productId, ['S-1', 'S-2'])

    const call = db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 3, ...patient })
    call.then(() => {})
    await untilBlocked(database.url)
    await other.query('ROLLBACK')

    expect(numbersOf(await call)).toEqual(['S-1', 'S-2', 'S-3'])
  })

  test('who finds too few is refused only when the others are really taken, with what is free then', async () => {
    const { db } = connect()
    const productId = await newProduct(4)
    const other = await holdTaken(productId, ['S-1', 'S-2'])
    const transactionId = newId()

    const call = db.$serials.allocate({ transactionId, where: { productId }, count: 3, ...patient })
    const refusal = rejectionOf(call)
    await untilBlocked(database.url)
    await other.query('COMMIT')

    expect(await refusal).toMatchObject({ code: 'INSUFFICIENT_SERIALS', requested: 3, free: 2 })
    expect(await isNoted(transactionId)).toBe(false)
  })

  test('for whom fewer will do takes what the others leave, and no less', async () => {
    const { db } = connect()
    const productId = await newProduct(4)
    const one = await holdTaken(productId, ['S-1'])
    const other = await holdTaken(productId, ['S-2', 'S-3'])

    const call = db.$serials.allocate({
      transactionId: newId(),
      where: { productId },
      count: 4,
      partial: true,
      ...patient,
    })
    call.then(() => {})
    await untilBlocked(database.url)
    await one.query('COMMIT')
    await untilBlocked(database.url)
    await other.query('ROLLBACK')

    expect(numbersOf(await call)).toEqual(['S-2', 'S-3', 'S-4'])
  })

  test('who waits for the first serial holds none of the others meanwhile', async () => {
    const { db } = connect()
    const productId = await newProduct(4)
    const other = await hold(productId, ['S-1'])
    const call = db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 4, ...patient })
    const refusal = rejectionOf(call)
    await untilBlocked(database.url)

    const quick = await db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 3 })
    await other.query('ROLLBACK')

    expect(numbersOf(quick)).toEqual(['S-2', 'S-3', 'S-4'])
    expect(await refusal).toMatchObject({ free: 1 })
  })

  test('in a transaction who waits for the first serial holds none of the others meanwhile', async () => {
    const { db } = connect()
    const productId = await newProduct(4)
    const other = await hold(productId, ['S-1'])
    const call = db.$transaction(
      (tx) => tx.$serials.allocate({ transactionId: newId(), where: { productId }, count: 4 }),
      { timeout: 100_000 },
    )
    const refusal = rejectionOf(call)
    await untilBlocked(database.url)

    const quick = await db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 3 })
    await other.query('ROLLBACK')

    expect(numbersOf(quick)).toEqual(['S-2', 'S-3', 'S-4'])
    expect(await refusal).toMatchObject({ free: 1 })
  })

  test('who waits takes a serial that was changed in between, and leaves the change', async () => {
    const { db } = connect()
    const productId = await newProduct(1)
    const change = 'UPDATE "Serial" SET "orderId" = 5 WHERE "productId" = $1'
    const other = await openTransaction(database.url, change, [productId])

    const call = db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 1, ...patient })
    call.then(() => {})
    await untilBlocked(database.url)
    await other.query('COMMIT')

    expect(await call).toMatchObject({ serials: [{ number: 'S-1', orderId: 5 }], replayed: false })
  })

  test.each([
    { what: 'all or nothing', partial: false },
    { what: 'fewer will do', partial: true },
  ])('who waits gets what was released in the meantime: $what', async ({ partial }) => {
    const { db } = connect()
    const productId = await newProduct(4)
    const owner = newId()
    await db.$serials.allocate({ transactionId: owner, where: { productId }, count: 2 })
    const other = await holdTaken(productId, ['S-3', 'S-4'])

    const call = db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 2, partial, ...patient })
    call.then(() => {})
    await untilBlocked(database.url)
    await db.$serials.release({ transactionId: owner })
    await other.query('COMMIT')

    expect(numbersOf(await call)).toEqual(['S-1', 'S-2'])
  })

  test('whose deadline passes while it waits leaves nothing', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    await hold(productId, ['S-1'])
    const transactionId = newId()

    await rejectionOf(db.$serials.allocate({ transactionId, where: { productId }, count: 2, retry: { deadline: 100 } }))

    expect(await isNoted(transactionId)).toBe(false)
    expect(await owners(productId)).toEqual({ 'S-1': null, 'S-2': null })
  })

  test('names the deadline that the caller gave, and not what was left of it', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    await hold(productId, ['S-1'])
    const retry = { deadline: 300 }

    const error = await rejectionOf(
      db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 2, retry }),
    )

    expect(error).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      deadline: 300,
      message: expect.stringContaining('The deadline of 300 ms'),
    })
  })

  test('whose signal is aborted while it waits takes nothing when the wait is over', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    const other = await hold(productId, ['S-1'])
    const transactionId = newId()
    const controller = new AbortController()
    const reason = new Error('no longer wanted')

    const { signal } = controller
    const call = db.$serials.allocate({ transactionId, where: { productId }, count: 2, signal, ...patient })
    const rejection = rejectionOf(call)
    await untilBlocked(database.url)
    controller.abort(reason)
    await other.query('COMMIT')

    expect(await rejection).toBe(reason)
    expect(await owners(productId)).toEqual({ 'S-1': null, 'S-2': null })
    expect(await isNoted(transactionId)).toBe(false)
  })
})

describe('a release', () => {
  test('waits for the allocation that is under way, and frees its serials', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    const transactionId = newId()
    const taken = gate()
    const end = gate()
    const first = db.$transaction(
      async (tx) => {
        await tx.$serials.allocate({ transactionId, where: { productId }, count: 2 })
        taken.open()
        await end.opened
      },
      { timeout: 100_000 },
    )
    await taken.opened

    const release = db.$serials.release({ transactionId, ...patient })
    release.then(() => {})
    await untilBlocked(database.url)
    end.open()
    await first

    expect(await release).toEqual({ released: 2 })
    expect(await owners(productId)).toEqual({ 'S-1': null, 'S-2': null })
  })

  test('asked for by many at once frees each serial once', async () => {
    const { db } = connect()
    const productId = await newProduct(20)
    const transactionId = newId()
    await db.$serials.allocate({ transactionId, where: { productId }, count: 20 })

    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => db.$serials.release({ transactionId, ...patient })),
    )

    expect(outcomes.reduce((sum, { released }) => sum + released, 0)).toBe(20)
  })
})

test('many callers at the end of a pool share it out to the last serial, without a deadlock', async () => {
  const { db } = connect()
  for (let round = 0; round < 8; round++) {
    const productId = await newProduct(40)
    const counts = Array.from({ length: 30 }, () => randomInt(1, 5))

    const outcomes = await Promise.all(
      counts.map((count) =>
        db.$serials
          .allocate({ transactionId: newId(), where: { productId }, count, retry: { attempts: 1, deadline: 100_000 } })
          .then(
            ({ serials }) => ({ taken: serials.length, smallestRefused: Number.POSITIVE_INFINITY }),
            (error) => {
              expect(error).toMatchObject({ code: 'INSUFFICIENT_SERIALS', requested: count })
              expect(error.free).toBeLessThan(count)
              return { taken: 0, smallestRefused: count }
            },
          ),
      ),
    )

    const taken = outcomes.reduce((sum, outcome) => sum + outcome.taken, 0)
    const left = await db.$serials.free({ productId })
    expect(taken + left).toBe(40)
    // Nobody was refused what was there at the end.
    expect(Math.min(...outcomes.map(({ smallestRefused }) => smallestRefused))).toBeGreaterThan(left)
  }
})
