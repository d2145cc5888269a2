import { randomUUID } from 'node:crypto'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { retryingRoot, withConcurrency } from '../../src/mapping/extension.js'
import type { PrismaClientLike } from '../../src/prisma/client.js'
import { readDataModel } from '../../src/prisma/data-model.js'
import { BlockAllocator } from '../../src/series/block-allocator.js'
import { series } from '../../src/series/extension.js'
import { mapSeries, type Series } from '../../src/series/mapping.js'
import { SeriesStore } from '../../src/series/store.js'
import { systemClock } from '../../src/sync/clock.js'
import { Deadline } from '../../src/sync/deadline.js'
import type { ClientOptions } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { watchUnhandled } from '../support/unhandled.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

/** A series that no other test has, and a client for which its numbers come in blocks. */
function withBlocks(
  definition: { readonly blocks: number; readonly format?: string; readonly start?: number },
  options?: ClientOptions,
  name = `series ${randomUUID()}`,
) {
  const made = connect(options)
  const db = made.db.$extends(series({ series: { [name]: definition } }))
  const fetches = () => made.statements.filter((text) => text.includes('INSERT INTO "public"."Series"')).length
  return { ...made, db, name, fetches }
}

/** Has the time stand still: a block that takes more than 100 ms is not waited for in a transaction. */
function haveTime(): void {
  const { now, timer } = systemClock
  const start = now()
  const spies = [
    vi.spyOn(systemClock, 'now').mockImplementation(() => start),
    vi.spyOn(systemClock, 'timer').mockImplementation((ms, fire) => timer(1_000 * ms, fire)),
  ]
  onTestFinished(() => {
    for (const spy of spies) spy.mockRestore()
  })
}

const lastOf = async (name: string) =>
  (await database.query('SELECT last::int FROM "Series" WHERE name = $1', [name])).map(({ last }) => last)
const repeat = <T>(count: number, once: () => T) => Array.from({ length: count }, once)
const valuesOf = async (calls: Promise<{ value: bigint }>[]) =>
  (await Promise.all(calls)).map(({ value }) => Number(value))
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

describe('numbers in blocks', () => {
  test('come from memory: one statement for the whole block', async () => {
    const { db, name, fetches } = withBlocks({ blocks: 10, format: 'T{000}' })
    const texts: string[] = []
    for (let i = 0; i < 11; i++) texts.push((await db.$series.next(name)).text)

    expect(texts).toEqual(upTo(11).map((value) => `T${String(value).padStart(3, '0')}`))
    expect(fetches()).toBe(2)
    expect(await lastOf(name)).toEqual([20])
  })

  test('are given to many who come at once in the order in which they came, with one fetch at a time', async () => {
    const { db, name, fetches } = withBlocks({ blocks: 100 })

    expect(await valuesOf(repeat(250, () => started(db.$series.next(name))))).toEqual(upTo(250))
    expect(fetches()).toBe(3)
  })

  test('are never the same for two clients', async () => {
    const one = withBlocks({ blocks: 5 })
    const other = withBlocks({ blocks: 7 }, {}, one.name)
    const calls = repeat(60, () => [started(one.db.$series.next(one.name)), started(other.db.$series.next(one.name))])

    const values = await valuesOf(calls.flat())

    expect(new Set(values).size).toBe(120)
  })

  test('may have gaps: a transaction that rolls back takes its number with it, and nobody gets it again', async () => {
    const { db, name } = withBlocks({ blocks: 10 })
    await db.$series.next(name) // the block is there: one that takes long to fetch is not waited for in a transaction
    let taken: bigint | undefined
    const failed = db.$transaction(async (tx) => {
      taken = (await tx.$series.next(name)).value
      throw new Error('rolled back')
    })
    await rejectionOf(failed)

    expect([taken, (await db.$series.next(name)).value]).toEqual([2n, 3n])
  })

  test('do not keep the counter locked: others take theirs while a transaction that has one is open', async () => {
    const one = withBlocks({ blocks: 1 })
    const other = withBlocks({ blocks: 1 }, {}, one.name)
    haveTime()

    const values = await one.db.$transaction(async (tx) => {
      const { value } = await tx.$series.next(one.name)
      return [value, (await other.db.$series.next(one.name)).value]
    })

    expect(values).toEqual([1n, 2n])
  })

  test('begin at the start of the series', async () => {
    const { db, name } = withBlocks({ blocks: 10, start: 500 })

    expect(await valuesOf([db.$series.next(name), db.$series.next(name)])).toEqual([500, 501])
  })

  test('go on behind a gapless number of the same series', async () => {
    const { db, name } = withBlocks({ blocks: 10 })
    const gapless = connect().db.$extends(series())
    await gapless.$transaction((tx) => tx.$series.next(name))

    expect((await db.$series.next(name)).value).toBe(2n)
    expect((await gapless.$transaction((tx) => tx.$series.next(name))).value).toBe(12n)
  })
})

describe('transactions that have all the connections of the pool', () => {
  test('get their numbers in their own transactions, and nobody waits in vain', async () => {
    const { db, name } = withBlocks({ blocks: 100 }, { poolSize: 2 })
    const take = () => started(db.$transaction((tx) => tx.$series.next(name), { maxWait: 60_000, timeout: 60_000 }))

    const values = await valuesOf(repeat(20, take))

    expect(new Set(values).size).toBe(20)
    expect(Math.min(...values)).toBe(1)
  })

  test('that roll back such a number leave it for the next', async () => {
    const { db, name } = withBlocks({ blocks: 100 }, { poolSize: 1 })
    const failed = db.$transaction(async (tx) => {
      const { value } = await tx.$series.next(name, { transactionId: 'a' })
      throw new Error(`rolled back ${value}`)
    })

    expect(await rejectionOf(failed)).toMatchObject({ message: 'rolled back 1' })
    expect(await db.$series.next(name, { transactionId: 'a' })).toMatchObject({ value: 1n, replayed: false })
  })

  test('are not told of the fetch that fails behind them, nor is the process', async () => {
    const unhandled = watchUnhandled()
    const { db, name } = withBlocks({ blocks: 3, format: '{0}' }, { poolSize: 1 })
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ($1, '', 9223372036854775806)`, [name])

    const last = await db.$transaction((tx) => tx.$series.next(name))

    expect(last.value).toBe(9_223_372_036_854_775_807n)
    expect(await rejectionOf(db.$series.next(name))).toMatchObject({ code: 'SERIES_OVERFLOW' })
    expect(await unhandled.collected()).toEqual([])
  })
})

describe('the number of a transaction id, in blocks', () => {
  test('is given once, on the client and in a transaction, also by another process', async () => {
    const one = withBlocks({ blocks: 10 })
    const other = withBlocks({ blocks: 10 }, {}, one.name)
    const { name } = one

    const first = await one.db.$series.next(name, { transactionId: 'a' })
    const again = [
      await one.db.$series.next(name, { transactionId: 'a' }),
      await one.db.$transaction((tx) => tx.$series.next(name, { transactionId: 'a' })),
      await other.db.$series.next(name, { transactionId: 'a' }),
    ]

    expect(first).toEqual({ value: 1n, text: '1', period: '', replayed: false })
    expect(again).toEqual(repeat(3, () => ({ ...first, replayed: true })))
    expect((await one.db.$series.next(name)).value).toBe(2n)
  })

  test('is one number for all who ask at once', async () => {
    const { db, name } = withBlocks({ blocks: 10 })
    const onClient = repeat(5, () => started(db.$series.next(name, { transactionId: 'a' })))
    const inTransactions = repeat(3, () =>
      started(db.$transaction((tx) => tx.$series.next(name, { transactionId: 'a' }))),
    )

    const numbers = await Promise.all([...onClient, ...inTransactions])

    expect(new Set(numbers.map(({ value }) => value)).size).toBe(1)
    expect(numbers.filter(({ replayed }) => !replayed)).toHaveLength(1)
  })

  test('is free again if the transaction that took it rolls back', async () => {
    const { db, name } = withBlocks({ blocks: 10 })
    haveTime()
    const failed = db.$transaction(async (tx) => {
      await tx.$series.next(name, { transactionId: 'a' })
      throw new Error('rolled back')
    })
    await rejectionOf(failed)

    expect(await db.$series.next(name, { transactionId: 'a' })).toMatchObject({ value: 2n, replayed: false })
  })
})

describe('a block', () => {
  test('belongs to its period: another has its own, and the one before goes on where it was', async () => {
    const { db, name, fetches } = withBlocks({ blocks: 10, format: '{yyyy}-{MM}/{0}' })
    const texts: string[] = []
    for (const day of ['2071-01-31T23:59:59.999Z', '2071-02-01T00:00:00.000Z', '2071-01-01T00:00:00.000Z']) {
      texts.push((await db.$series.next(name, { at: new Date(day) })).text)
    }

    expect(texts).toEqual(['2071-01/1', '2071-02/1', '2071-01/2'])
    expect(fetches()).toBe(2)
  })

  test('of another period is not for those who say no moment', async () => {
    const { db, name } = withBlocks({ blocks: 10, format: '{yyyy}/{0}' })
    await db.$series.next(name, { at: new Date('2071-06-06') })
    const [{ year }] = await database.query(`SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY') AS year`)

    expect((await db.$series.next(name)).text).toBe(`${year}/1`)
  })

  test('is dropped when its period is over by the clock', async () => {
    const { db } = connect()
    const root = withConcurrency(db as unknown as PrismaClientLike, 'series')
    const name = `series ${randomUUID()}`
    const map = mapSeries(readDataModel(root), { series: { [name]: { format: '{dd}.{MM}.{yyyy}/{0}', blocks: 10 } } })
    let ahead = 0
    const clock = { ...systemClock, now: () => systemClock.now() + ahead }
    const blocks = new BlockAllocator(new SeriesStore(map), retryingRoot(root), clock)
    const deadline = () => new Deadline(60_000, undefined, clock)
    const take = async () =>
      (await blocks.take({ series: map.series.get(name) as Series, at: undefined }, deadline())).value
    const [{ left }] = await database.query(
      `SELECT extract(epoch FROM date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day' - now() AT TIME ZONE 'UTC')::float8 * 1000 AS left`,
    )
    await take()

    ahead = (left as number) / 2
    expect(await take()).toBe(2n)
    ahead = left as number
    expect(await take()).toBe(11n) // the database was asked; its own clock has not moved
    expect(await lastOf(name)).toEqual([20])
  })

  test('at the end of the range is as small as what is left, and then it is over', async () => {
    const { db, name } = withBlocks({ blocks: 40, format: '{00}' })
    const calls = repeat(103, () => started(db.$series.next(name)))
    const outcomes = await Promise.allSettled(calls)

    expect(
      outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [Number(outcome.value.value)] : [])),
    ).toEqual(upTo(99))
    expect(outcomes.slice(99)).toMatchObject(
      repeat(4, () => ({ status: 'rejected', reason: { code: 'SERIES_OVERFLOW', highest: 99n } })),
    )
    expect(await lastOf(name)).toEqual([99])
  })

  test('that is larger than the whole range is the whole range', async () => {
    const { db, name } = withBlocks({ blocks: 1_000, format: '{00}', start: 90 })

    expect((await db.$series.next(name)).text).toBe('90')
    expect(await lastOf(name)).toEqual([99])
  })

  test('that cannot be fetched is an error for all who wait for it, and the next caller has another try', async () => {
    const { db, name } = withBlocks({ blocks: 10 })
    await database.query('ALTER TABLE "Series" RENAME TO gone')
    const errors = await Promise.all(repeat(3, () => rejectionOf(db.$series.next(name))))
    await database.query('ALTER TABLE gone RENAME TO "Series"')

    expect(errors.map(String)).toEqual(repeat(3, () => expect.stringContaining('is not in the database')))
    expect((await db.$series.next(name)).value).toBe(1n)
  })

  test('that somebody no longer waits for is there for the others', async () => {
    const { db, name } = withBlocks({ blocks: 10 })
    const blocker = await openTransaction(database.url, 'LOCK TABLE "Series"')
    const controller = new AbortController()
    const impatient = started(db.$series.next(name, { signal: controller.signal }))
    const patient = started(db.$series.next(name))
    await untilBlocked(database.url)

    controller.abort(new Error('enough'))

    expect(await rejectionOf(impatient)).toMatchObject({ message: 'enough' })
    await blocker.query('COMMIT')
    expect((await patient).value).toBe(1n)
  })

  test('are waited for until the deadline of the options', async () => {
    const name = randomUUID()
    const db = connect().db.$extends(series({ retry: { deadline: 300 }, series: { [name]: { blocks: 10 } } }))
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ($1, '', 0)`, [name])
    await openTransaction(database.url, 'SELECT FROM "Series" WHERE name = $1 FOR UPDATE', [name])

    const error = await rejectionOf(db.$series.next(name))
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 300 })
  })
})
