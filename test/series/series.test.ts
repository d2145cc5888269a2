import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { series } from '../../src/series/extension.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

const DEFINITIONS = {
  invoice: { format: 'INV-{yyyy}-{000000}' },
  short: { format: 'S{00}' },
  year: { format: '{yyyy}/{00}' },
  month: { format: '{yy}{MM}-{000}' },
  day: { format: '{dd}.{MM}.{yyyy} no. {0}', timeZone: 'Europe/Vienna' },
  late: { format: '{0000}', start: 4_711 },
} as const

function withSeries() {
  const made = connect()
  return { ...made, db: made.db.$extends(series({ series: DEFINITIONS })) }
}
type Db = ReturnType<typeof withSeries>['db']

/** A name that no other test has. */
const fresh = () => `series ${randomUUID()}`
const next = (db: Db, name: string, options?: Parameters<Db['$series']['next']>[1]) =>
  db.$transaction((tx) => tx.$series.next(name, options))
const lastOf = async (name: string) =>
  (await database.query('SELECT last::int FROM "Series" WHERE name = $1', [name])).map(({ last }) => last)
const ROLLBACK = new Error('rolled back on purpose')

/** A transaction that has its number, and then waits to be told how it ends. */
function holder(db: Db, name: string, options?: Parameters<Db['$series']['next']>[1]) {
  const [taken, end] = [gate(), gate()]
  let error: Error | undefined
  const done = started(
    db.$transaction(
      async (tx) => {
        const number = await tx.$series.next(name, options)
        taken.open()
        await end.opened
        if (error) throw error
        return number
      },
      { timeout: 100_000 },
    ),
  )
  return {
    taken: Promise.race([taken.opened, done]),
    commit: () => {
      end.open()
      return done
    },
    rollBack: async () => {
      error = ROLLBACK
      end.open()
      expect(await rejectionOf(done)).toBe(ROLLBACK)
    },
  }
}

describe('a gapless number', () => {
  test('of a series that nobody has defined counts from 1, as plain digits', async () => {
    const db = connect().db.$extends(series())
    const name = fresh()

    const numbers = await db.$transaction(async (tx) => [await tx.$series.next(name), await tx.$series.next(name)])

    expect(numbers).toEqual([
      { value: 1n, text: '1', period: '', replayed: false },
      { value: 2n, text: '2', period: '', replayed: false },
    ])
  })

  test('is written as the format says, with the period by the clock of the database', async () => {
    const { db } = withSeries()
    const [{ year }] = await database.query(`SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY') AS year`)

    expect(await next(db, 'invoice')).toEqual({
      value: 1n,
      text: `INV-${year}-000001`,
      period: year,
      replayed: false,
    })
  })

  test('begins at the start of its series', async () => {
    const { db } = withSeries()

    expect([await next(db, 'late'), await next(db, 'late')]).toMatchObject([
      { value: 4_711n, text: '4711' },
      { value: 4_712n, text: '4712' },
    ])
  })

  test('is not used up by a transaction that rolls back', async () => {
    const { db } = withSeries()
    const name = fresh()
    await next(db, name)

    const failed = db.$transaction(async (tx) => {
      await tx.$series.next(name)
      throw ROLLBACK
    })

    expect(await rejectionOf(failed)).toBe(ROLLBACK)
    expect((await next(db, name)).value).toBe(2n)
  })

  test.each([
    { what: 'the first one ever', before: 0 },
    { what: 'a later one', before: 3 },
  ])('is given to the one who waited for it, if the transaction that had it rolls back: $what', async ({ before }) => {
    const { db } = withSeries()
    const name = fresh()
    for (let i = 0; i < before; i++) await next(db, name)
    const first = holder(db, name)
    await first.taken
    const second = started(next(db, name))
    await untilBlocked(database.url)

    await first.rollBack()

    expect((await second).value).toBe(BigInt(before + 1))
    expect(await lastOf(name)).toEqual([before + 1])
  })

  test('follows that of the transaction that was waited for, if it commits', async () => {
    const { db } = withSeries()
    const name = fresh()
    const first = holder(db, name)
    await first.taken
    const second = started(next(db, name))
    await untilBlocked(database.url)

    expect((await first.commit()).value).toBe(1n)
    expect((await second).value).toBe(2n)
  })

  test('is given back by a savepoint that is rolled back, and the transaction goes on', async () => {
    const { db } = withSeries()
    const name = fresh()

    const values = await db.$transaction(async (tx) => {
      await tx.$series.next(name)
      const failed = tx.$transaction(async (inner) => {
        await inner.$series.next(name)
        throw ROLLBACK
      })
      expect(await rejectionOf(failed)).toBe(ROLLBACK)
      return (await tx.$series.next(name)).value
    })

    expect(values).toBe(2n)
  })

  test('of one series is not waited for by those who want one of another', async () => {
    const { db } = withSeries()
    const [one, other] = [fresh(), fresh()]
    const first = holder(db, one)
    await first.taken

    expect((await next(db, other)).value).toBe(1n)
    await first.commit()
  })

  test.each(['RepeatableRead', 'Serializable'] as const)(
    'at %s is refused by the database if somebody took one meanwhile, and had by running again',
    async (isolationLevel) => {
      const { db } = withSeries()
      const name = fresh()
      await next(db, name)
      const attempts: number[] = []

      const number = await db.$transactionWithRetry(
        async (tx, { attempt }) => {
          attempts.push(attempt)
          await tx.note.count()
          if (attempt === 1) await next(db, name)
          return tx.$series.next(name, { transactionId: 'mine' })
        },
        { isolationLevel },
      )

      expect(attempts).toEqual([1, 2])
      expect(number).toMatchObject({ value: 3n, replayed: false })
    },
  )

  test('is refused on the client itself, with a hint, before any SQL', async () => {
    const { db, statements } = withSeries()

    const error = await rejectionOf(db.$series.next('invoice'))

    expect(error).toMatchObject({ code: 'TRANSACTION_REQUIRED', method: '$series.next' })
    expect((error as Error).message).toMatch(/tx.*\$transactionWithRetry.*blocks/)
    expect(statements).toEqual([])
  })

  test('takes one statement, with and without a transaction id', async () => {
    const { db, statements } = withSeries()
    const name = fresh()
    await next(db, name)
    const before = statements.length

    await next(db, name)
    await next(db, name, { transactionId: 'a' })
    await next(db, name, { transactionId: 'a' })

    expect(statements.slice(before).map((text) => text.split(/\s/)[0])).toEqual(
      Array.from({ length: 3 }, () => ['BEGIN', 'WITH', 'COMMIT']).flat(),
    )
  })
})

describe('the number of a transaction id', () => {
  test('is given once, and to each series its own', async () => {
    const { db } = withSeries()
    const [name, other] = [fresh(), fresh()]
    await next(db, name)
    await next(db, name, { transactionId: 'a' })
    await next(db, name)

    expect(await next(db, name, { transactionId: 'a' })).toEqual({ value: 2n, text: '2', period: '', replayed: true })
    expect(await next(db, other, { transactionId: 'a' })).toMatchObject({ value: 1n, replayed: false })
    expect(await next(db, name, { transactionId: 'b' })).toMatchObject({ value: 4n, replayed: false })
  })

  test('is the same twice in one transaction', async () => {
    const { db } = withSeries()
    const name = fresh()
    const twice = await db.$transaction(async (tx) => [
      await tx.$series.next(name, { transactionId: 'a' }),
      await tx.$series.next(name, { transactionId: 'a' }),
    ])

    expect(twice).toMatchObject([
      { value: 1n, replayed: false },
      { value: 1n, replayed: true },
    ])
  })

  test('stays what it was when the format is another, or the period is over', async () => {
    const { db } = withSeries()
    const at = new Date('2031-06-01T12:00:00Z')
    const first = await next(db, 'year', { transactionId: 'stays', at })
    const changed = connect().db.$extends(series({ series: { year: { format: 'changed {0}' } } }))

    const again = await changed.$transaction((tx) => tx.$series.next('year', { transactionId: 'stays' }))
    const later = await next(db, 'year', { transactionId: 'stays', at: new Date('2032-06-01T12:00:00Z') })

    expect(first).toEqual({ value: 1n, text: '2031/01', period: '2031', replayed: false })
    expect([again, later]).toEqual([
      { ...first, replayed: true },
      { ...first, replayed: true },
    ])
    expect(await lastOf('year')).toEqual([1])
  })

  test('is not used up, nor the id, by a transaction that rolls back', async () => {
    const { db } = withSeries()
    const name = fresh()
    const first = holder(db, name, { transactionId: 'a' })
    await first.taken
    await first.rollBack()

    expect(await next(db, name, { transactionId: 'b' })).toMatchObject({ value: 1n, replayed: false })
    expect(await next(db, name, { transactionId: 'a' })).toMatchObject({ value: 2n, replayed: false })
  })

  test('of one who waits for the first with the same id is that of the first, and leaves no gap', async () => {
    const { db } = withSeries()
    const name = fresh()
    await next(db, name)
    const first = holder(db, name, { transactionId: 'a' })
    await first.taken
    const second = started(next(db, name, { transactionId: 'a' }))
    await untilBlocked(database.url)

    await first.commit()

    expect(await second).toEqual({ value: 2n, text: '2', period: '', replayed: true })
    expect(await next(db, name)).toMatchObject({ value: 3n })
  })

  test('of one who waits for the very first number of a series is that one, and leaves no gap', async () => {
    const { db } = withSeries()
    const name = fresh()
    const first = holder(db, name, { transactionId: 'a' })
    await first.taken
    const second = started(next(db, name, { transactionId: 'a' }))
    await untilBlocked(database.url)

    await first.commit()

    expect(await second).toMatchObject({ value: 1n, replayed: true })
    expect(await next(db, name)).toMatchObject({ value: 2n })
  })

  test('is a new one for who waits for the first with the same id, if that rolls back', async () => {
    const { db } = withSeries()
    const name = fresh()
    const first = holder(db, name, { transactionId: 'a' })
    await first.taken
    const second = started(next(db, name, { transactionId: 'a' }))
    await untilBlocked(database.url)

    await first.rollBack()

    expect(await second).toMatchObject({ value: 1n, replayed: false })
  })

  test('is waited for across periods too: one number, and no gap in either', async () => {
    const { db } = withSeries()
    const id = randomUUID()
    const [one, other] = [new Date('2041-05-05T00:00:00Z'), new Date('2042-05-05T00:00:00Z')]
    const first = holder(db, 'year', { transactionId: id, at: one })
    await first.taken
    const second = started(next(db, 'year', { transactionId: id, at: other }))
    await untilBlocked(database.url)

    const number = await first.commit()

    expect(await second).toEqual({ ...number, replayed: true })
    expect(await next(db, 'year', { at: other })).toMatchObject({ text: '2042/01' })
    expect(await next(db, 'year', { at: one })).toMatchObject({ text: '2041/02' })
  })

  test('that was the last of its series is given again to who waited for it, instead of an error', async () => {
    const { db } = withSeries()
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ('short', '', 98)`)
    const first = holder(db, 'short', { transactionId: 'a' })
    await first.taken
    const second = started(next(db, 'short', { transactionId: 'a' }))
    await untilBlocked(database.url)

    await first.commit()

    expect(await second).toMatchObject({ value: 99n, replayed: true })
    await database.query(`DELETE FROM "Series" WHERE name = 'short'`)
    await database.query(`DELETE FROM "SeriesNumber" WHERE series = 'short'`)
  })

  test('cannot be a number that somebody else has: the database refuses it', async () => {
    const { db } = withSeries()
    const name = fresh()
    await next(db, name, { transactionId: 'a' })
    await database.query('UPDATE "Series" SET last = 0 WHERE name = $1', [name])

    expect(String(await rejectionOf(next(db, name, { transactionId: 'b' })))).toMatch(/unique/i)
  })

  test('is not given where a trigger keeps it from being noted', async () => {
    const { db } = withSeries()
    const name = fresh()
    await database.query(`
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT ON "SeriesNumber" FOR EACH ROW EXECUTE FUNCTION suppress()`)
    try {
      const error = await rejectionOf(next(db, name, { transactionId: 'a' }))
      expect(error).toMatchObject({ code: 'CONFIGURATION', issues: [{ path: 'number.model' }] })
    } finally {
      await database.query('DROP FUNCTION suppress CASCADE')
    }
    expect(await next(db, name, { transactionId: 'a' })).toMatchObject({ value: 1n })
  })
})

describe('a period', () => {
  test('has numbers of its own, from the start on, also when it is gone back to', async () => {
    const { db } = withSeries()
    const texts: string[] = []
    for (const day of ['2026-01-31', '2026-01-31', '2026-02-01', '2026-01-30', '2027-01-15']) {
      texts.push((await next(db, 'month', { at: new Date(`${day}T12:00:00Z`) })).text)
    }

    expect(texts).toEqual(['2601-001', '2601-002', '2602-001', '2601-003', '2701-001'])
  })

  test.each([
    { at: '2026-03-28T22:59:59.999Z', text: '28.03.2026 no. 1' },
    { at: '2026-03-28T23:00:00.000Z', text: '29.03.2026 no. 1' }, // the day before the clocks change
    { at: '2026-03-29T21:59:59.999Z', text: '29.03.2026 no. 2' }, // and the day after
    { at: '2026-03-29T22:00:00.000Z', text: '30.03.2026 no. 1' },
  ])('begins at midnight of its time zone: $at is $text', async ({ at, text }) => {
    const { db } = withSeries()

    expect((await next(db, 'day', { at: new Date(at) })).text).toBe(text)
  })

  test('is that in which the transaction began, all through it', async () => {
    const { db } = withSeries()
    const blocker = await openTransaction(database.url, 'LOCK TABLE "Series"')
    const number = started(next(db, 'invoice'))
    await untilBlocked(database.url)
    const [{ start }] = await database.query(
      `SELECT to_char(xact_start AT TIME ZONE 'UTC', 'YYYY') AS start FROM pg_stat_activity
WHERE cardinality(pg_blocking_pids(pid)) > 0`,
    )
    await blocker.query('COMMIT')

    expect((await number).period).toBe(start)
  })
})

describe('the end of a series', () => {
  test('is its last number exactly, and the error leaves the transaction as it was', async () => {
    const { db } = withSeries()
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ('short', '', 98)`)
    expect(await next(db, 'short')).toMatchObject({ text: 'S99' })

    const outcome = await db.$transaction(async (tx) => {
      const errors = [
        await rejectionOf(tx.$series.next('short')),
        await rejectionOf(tx.$series.next('short', { transactionId: 'over' })),
      ]
      await tx.note.create({ data: { text: 'went on' } })
      return errors
    })

    expect(outcome).toMatchObject([
      { code: 'SERIES_OVERFLOW', series: 'short', highest: 99n },
      { code: 'SERIES_OVERFLOW', series: 'short', highest: 99n },
    ])
    expect(await lastOf('short')).toEqual([99])
    expect(await database.query(`SELECT FROM "SeriesNumber" WHERE series = 'short'`)).toEqual([])
    expect(await db.note.count({ where: { text: 'went on' } })).toBe(1)
  })

  test('of a format without a limit is that of the column', async () => {
    const { db } = withSeries()
    const name = fresh()
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ($1, '', 9223372036854775806)`, [name])

    expect(await next(db, name)).toMatchObject({ value: 9_223_372_036_854_775_807n, text: '9223372036854775807' })
    expect(await rejectionOf(next(db, name))).toMatchObject({ code: 'SERIES_OVERFLOW' })
  })

  test('is only that of its period', async () => {
    const { db } = withSeries()
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ('year', '2051', 99)`)

    expect(await rejectionOf(next(db, 'year', { at: new Date('2051-12-31T23:59:59Z') }))).toMatchObject({
      code: 'SERIES_OVERFLOW',
    })
    expect(await next(db, 'year', { at: new Date('2052-01-01T00:00:00Z') })).toMatchObject({ text: '2052/01' })
  })
})

describe('gaps', () => {
  test('are none in a series whose numbers all have a transaction id', async () => {
    const { db } = withSeries()
    const name = fresh()
    for (const transactionId of ['a', 'b', 'c']) await next(db, name, { transactionId })

    expect(await db.$series.gaps(name)).toEqual([])
  })

  test('are the numbers that are missing, at both ends and in between, by period', async () => {
    const { db } = withSeries()
    const name = 'month'
    const [may, june] = ['2061-05-05', '2061-06-06'].map((day) => new Date(day))
    for (const n of [1, 2, 3, 4, 5, 6, 7]) await next(db, name, { at: may, transactionId: `may ${n}` })
    for (const n of [1, 2]) await next(db, name, { at: june, transactionId: `june ${n}` })
    await database.query(
      `DELETE FROM "SeriesNumber" WHERE series = 'month' AND "transactionId" IN ('may 1', 'may 3', 'may 4', 'may 7', 'june 2')`,
    )

    expect(await db.$series.gaps(name, { period: '2061-05' })).toEqual([
      { period: '2061-05', from: 1n, to: 1n },
      { period: '2061-05', from: 3n, to: 4n },
      { period: '2061-05', from: 7n, to: 7n },
    ])
    expect(await db.$transaction((tx) => tx.$series.gaps(name))).toContainEqual({ period: '2061-06', from: 2n, to: 2n })
  })
})

test('a call in an array transaction is refused, and says why', async () => {
  const { db } = withSeries()
  // @ts-expect-error it is no PrismaPromise
  const error = await rejectionOf((async () => db.$transaction([db.$series.next('invoice')]))())

  expect(error).toMatchObject({ code: 'BATCH_TRANSACTION', method: '$series.next' })
})

test('series() without concurrency() below it is refused', () => {
  expect(() => connect().client.$extends(series())).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }))
  expect(() => connect().client.$extends(concurrency()).$extends(series())).not.toThrow()
})
