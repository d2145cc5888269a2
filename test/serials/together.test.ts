import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { newId, numbersOf, useSerials } from '../support/serials.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect, newProduct, owners, isNoted } = useSerials()

type Db = ReturnType<typeof connect>['db']

const patient = { retry: { deadline: 100_000 } }
const HOLD = 'SELECT FROM "Serial" WHERE "productId" = $1 FOR UPDATE'
const CLAIM = 'INSERT INTO "SerialAllocation" ("transactionId", request, count) VALUES ($1, $2, 0)'

beforeAll(() => database.query('ALTER TABLE "Serial" ADD CHECK ("orderId" <> 666)'))

/** A client whose catalogue is known, so that the calls of a test are its only statements. */
async function warm() {
  const made = connect()
  await made.db.$serials.allocate({ transactionId: newId(), where: { productId: await newProduct(1) }, count: 1 })
  made.statements.length = 0
  return made
}

const allocate = (db: Db, productId: number, count = 1, more: { orderId?: number } = {}) =>
  db.$serials.allocate({
    transactionId: newId(),
    where: { productId },
    count,
    data: { orderId: 1, ...more },
    ...patient,
  })

describe('calls that come together', () => {
  test('are one statement, also for different products, and take serials in the order of their arrival', async () => {
    const { db, statements } = await warm()
    const [one, other] = [await newProduct(9), await newProduct(9)]

    const outcomes = await Promise.all([
      allocate(db, one, 2),
      allocate(db, other, 1),
      allocate(db, one, 3),
      allocate(db, other, 2),
    ])

    expect(outcomes.map(numbersOf)).toEqual([['S-1', 'S-2'], ['S-1'], ['S-3', 'S-4', 'S-5'], ['S-2', 'S-3']])
    expect(statements).toHaveLength(1)
  })

  test('with one transaction id take serials once, and one that brings another request is refused', async () => {
    const { db } = await warm()
    const productId = await newProduct(9)
    const request = { transactionId: newId(), where: { productId }, count: 2 }

    const [first, second, third] = await Promise.allSettled([
      db.$serials.allocate(request),
      db.$serials.allocate(request),
      db.$serials.allocate({ ...request, count: 3 }),
    ])

    expect(first).toMatchObject({ value: { replayed: false, serials: [{ number: 'S-1' }, { number: 'S-2' }] } })
    expect(second).toMatchObject({ value: { replayed: true, serials: [{ number: 'S-1' }, { number: 'S-2' }] } })
    expect(third).toMatchObject({ reason: { code: 'IDEMPOTENCY_MISMATCH', fields: ['count'] } })
    expect(await db.$serials.free({ productId })).toBe(7)
  })

  test('are refused by themselves where there are too few, two statements for all of them', async () => {
    const { db, statements } = await warm()
    const productId = await newProduct(4)

    const outcomes = await Promise.allSettled([3, 2, 5].map((count) => allocate(db, productId, count)))

    expect(outcomes).toMatchObject([
      { status: 'fulfilled' },
      { reason: { code: 'INSUFFICIENT_SERIALS', requested: 2, free: 1 } },
      { reason: { code: 'INSUFFICIENT_SERIALS', requested: 5, free: 1 } },
    ])
    expect(statements).toHaveLength(2)
  })

  test('share out what is left where fewer will do, in one statement', async () => {
    const { db, statements } = await warm()
    const productId = await newProduct(4)

    const calls = [3, 2, 2].map((count) =>
      db.$serials.allocate({ transactionId: newId(), where: { productId }, count, partial: true }),
    )

    expect((await Promise.all(calls)).map(numbersOf)).toEqual([['S-1', 'S-2', 'S-3'], ['S-4'], []])
    expect(statements).toHaveLength(1)
  })

  test('and are behind one that asks for too many get theirs all the same', async () => {
    const { db } = await warm()
    const productId = await newProduct(4)

    const [tooMany, ...others] = await Promise.allSettled([9, 1, 2].map((count) => allocate(db, productId, count)))

    expect(tooMany).toMatchObject({ reason: { code: 'INSUFFICIENT_SERIALS' } })
    expect(others.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
    expect(await db.$serials.free({ productId })).toBe(1)
  })

  test('fail by themselves where the database refuses the values of one', async () => {
    const { db } = await warm()
    const [one, other] = [await newProduct(4), await newProduct(4)]

    const outcomes = await Promise.allSettled([
      allocate(db, one),
      allocate(db, one, 1, { orderId: 666 }),
      allocate(db, one),
      allocate(db, other),
    ])

    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect(outcomes[1]).toMatchObject({ reason: { message: expect.stringContaining('Serial_orderId_check') } })
    expect([await db.$serials.free({ productId: one }), await db.$serials.free({ productId: other })]).toEqual([2, 3])
  })

  test.each([
    { fate: 'drop', what: 'whose answer is lost' },
    { fate: 'cut', what: 'that is lost on its way' },
  ] as const)('in a statement $what take serials once each', async ({ fate }) => {
    const productId = await newProduct(9)
    const proxy = await openProxy(database.url)
    const db = connectTo(proxy.url).db.$extends(serials())
    proxy.next(/"\$taken"/, fate)

    const outcomes = await Promise.all([1, 2, 3].map((count) => allocate(db as unknown as Db, productId, count)))

    expect(outcomes.map((outcome) => numbersOf(outcome).length)).toEqual([1, 2, 3])
    expect(new Set(outcomes.flatMap(numbersOf)).size).toBe(6)
    expect(await db.$serials.free({ productId })).toBe(3)
  })
})

test('calls that are aborted after an answer was lost are told what was written', async () => {
  const productId = await newProduct(4)
  const proxy = await openProxy(database.url)
  const db = connectTo(proxy.url).db.$extends(serials())
  const controller = new AbortController()
  const lost = proxy.next(/"\$taken"/, 'drop')
  const call = () =>
    db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 1, signal: controller.signal })
  const calls = Promise.all([call(), call()])
  await lost.happened
  controller.abort(new Error('no longer wanted'))

  expect((await calls).flatMap(numbersOf).sort()).toEqual(['S-1', 'S-2'])
})

test('a call for which fewer will do gets all it wants, also behind a replay in its batch', async () => {
  const { db } = await warm()
  const productId = await newProduct(8)
  const take = (transactionId: string) =>
    db.$serials.allocate({ transactionId, where: { productId }, count: 3, partial: true, ...patient })
  const known = newId()
  await take(known)

  const [replay, first, second] = await Promise.all([take(known), take(newId()), take(newId())])

  expect(replay).toMatchObject({ replayed: true })
  expect([first, second].map((outcome) => outcome && numbersOf(outcome).length)).toEqual([3, 2])
  expect(await db.$serials.free({ productId })).toBe(0)
})

test('a call for which fewer will do gets all it wants, also where somebody else claims an id before it meanwhile', async () => {
  const { db } = await warm()
  const productId = await newProduct(5)
  const take = (transactionId: string) =>
    started(db.$serials.allocate({ transactionId, where: { productId }, count: 3, partial: true, ...patient }))
  const claimed = newId()
  const rival = await openTransaction(database.url, CLAIM, [claimed, '{}'])
  const [other, call] = [take(claimed), take(newId())]
  await untilBlocked(database.url)
  await rival.query('COMMIT')

  expect(await rejectionOf(other)).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
  expect(numbersOf(await call)).toHaveLength(3)
})

test('calls that wait for serials leave connections to others, however many they are', async () => {
  const { db, pool } = await warm()
  const productId = await newProduct(20)
  const other = await openTransaction(database.url, HOLD, [productId])
  const calls = Promise.all(Array.from({ length: 20 }, () => allocate(db, productId)))
  await untilBlocked(database.url)
  await sleep(400) // their batches have given up by then

  expect(await db.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
  expect(pool.waitingCount).toBe(0)
  await other.query('ROLLBACK')
  expect(new Set((await calls).flatMap(numbersOf)).size).toBe(20)
})

describe('a call that has to wait', () => {
  test('for serials that others hold keeps no call of another product waiting', async () => {
    const { db } = await warm()
    const [held, free] = [await newProduct(2), await newProduct(2)]
    const other = await openTransaction(database.url, HOLD, [held])

    const waiting = Promise.all([allocate(db, held), allocate(db, held)])
    const quick = await allocate(db, free)
    await untilBlocked(database.url)
    await other.query('ROLLBACK')

    expect(numbersOf(quick)).toEqual(['S-1'])
    expect((await waiting).flatMap(numbersOf).sort()).toEqual(['S-1', 'S-2'])
  })

  test('together with another one for serials that others hold waits no longer than its deadline', async () => {
    const { db } = await warm()
    const productId = await newProduct(2)
    await openTransaction(database.url, HOLD, [productId])
    const call = (transactionId: string) =>
      rejectionOf(db.$serials.allocate({ transactionId, where: { productId }, count: 1, retry: { deadline: 1_500 } }))

    const errors = await Promise.all([call(newId()), call(newId())])

    expect(errors).toMatchObject([{ code: 'DEADLINE_EXCEEDED' }, { code: 'DEADLINE_EXCEEDED' }])
    expect(Object.values(await owners(productId))).toEqual([null, null])
  })

  test('for its transaction id, which somebody else has claimed, keeps no call of its batch waiting', async () => {
    const { db } = await warm()
    const productId = await newProduct(4)
    const transactionId = newId()
    const other = await openTransaction(database.url, CLAIM, [transactionId, '{}'])

    const waiting = db.$serials.allocate({ transactionId, where: { productId }, count: 1, ...patient })
    waiting.then(() => {}) // begins it
    const quick = await Promise.all([allocate(db, productId), allocate(db, productId)])
    await untilBlocked(database.url)
    await other.query('ROLLBACK')

    expect(quick).toHaveLength(2)
    expect(await waiting).toMatchObject({ replayed: false })
    expect(await db.$serials.free({ productId })).toBe(1)
  })

  test('and is aborted before its batch departs is in none', async () => {
    const { db } = await warm()
    const productId = await newProduct(4)
    const transactionId = newId()
    const controller = new AbortController()
    const { signal } = controller

    const aborted = rejectionOf(db.$serials.allocate({ transactionId, where: { productId }, count: 1, signal }))
    const kept = allocate(db, productId)
    controller.abort(new Error('no longer wanted'))

    expect(await aborted).toMatchObject({ message: 'no longer wanted' })
    expect(numbersOf(await kept)).toEqual(['S-1'])
    expect(await isNoted(transactionId)).toBe(false)
    expect(Object.values(await owners(productId)).filter((owner) => owner !== null)).toHaveLength(1)
  })
})

test('more callers than may wait are told so at once', async () => {
  const { client } = connect()
  const db = client.$extends(concurrency()).$extends(serials({ maxWaiting: 2 }))
  const productId = await newProduct(9)

  const calls = [1, 2, 3].map(() => db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 1 }))
  const outcomes = await Promise.allSettled(calls)

  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
  expect(outcomes[2]).toMatchObject({ reason: { code: 'OVERLOADED', limit: 2 } })
})
