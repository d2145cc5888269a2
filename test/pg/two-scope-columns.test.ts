import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { concurrency, serials, series, stock } from '../../src/pg.js'
import { serialsSql } from '../../src/serials/schema.js'
import { seriesSql } from '../../src/series/schema.js'
import { useDatabase } from '../support/clients.js'
import { createDatabase, type Database } from '../support/database.js'

const database = useDatabase()
let pool: pg.Pool
beforeAll(async () => {
  pool = new pg.Pool({ connectionString: database.url })
  await database.query(
    `CREATE TABLE bin (tenant int, site int, code int, "onHand" int NOT NULL DEFAULT 0, PRIMARY KEY (tenant, site, code))`,
  )
  await database.query(
    `CREATE TABLE bin_move (tenant int, site int, "transactionId" text, line int, code int NOT NULL, quantity int NOT NULL, applied boolean NOT NULL,
  PRIMARY KEY (tenant, site, "transactionId", line))`,
  )
})
afterAll(() => pool.end())

const open = async () =>
  (await concurrency(pool)).$extends(
    stock<number, number, { tenant: number; site: number }>({
      scope: ['tenant', 'site'],
      item: { model: 'bin', key: 'code' },
      movement: { model: 'bin_move' },
    }),
  )

// A value that all rows of a statement have in common is sent once, and the others as lists: each must keep its name.
const SCOPES: readonly [string, (n: number) => { tenant: number; site: number }][] = [
  ['the second', (n) => ({ tenant: n, site: 7 })],
  ['the first', (n) => ({ tenant: 7, site: n })],
  ['none', (n) => ({ tenant: n, site: n + 10 })],
]

test.each(SCOPES)(
  'calls at once whose scopes have %s of two columns in common move their own items',
  async (_, scopeOf) => {
    const db = await open()
    const numbers = [1, 2, 3, 4]
    await database.query('DELETE FROM bin')
    for (const n of numbers) {
      const { tenant, site } = scopeOf(n)
      // The same numbers the other way round are an item as well, which nobody moves.
      await database.query(
        'INSERT INTO bin (tenant, site, code) VALUES ($1, $2, 5), ($2, $1, 5) ON CONFLICT DO NOTHING',
        [tenant, site],
      )
    }
    const move = (n: number, quantity: number) =>
      db.$stock.in(scopeOf(n)).move({ transactionId: randomUUID(), item: 5, quantity })
    await Promise.all(numbers.flatMap((n) => [move(n, n), move(n, n)]))
    await Promise.all(
      numbers.map((n) => db.$stock.in(scopeOf(n)).defer({ transactionId: randomUUID(), item: 5, quantity: 1 })),
    )
    await Promise.all(numbers.map((n) => db.$stock.in(scopeOf(n)).project()))

    const moved = await database.query('SELECT tenant, site, "onHand" FROM bin WHERE "onHand" <> 0 ORDER BY 1, 2')
    expect(moved).toEqual(numbers.map((n) => ({ ...scopeOf(n), onHand: 2 * n + 1 })))
  },
)

describe('serials and series', () => {
  const scope = ['tenant', 'site'] as const
  const BILL = { format: 'B{0}', document: { model: 'bill' } } as const
  let plain: Database
  let own: pg.Pool
  beforeAll(async () => {
    plain = await createDatabase(inject('serverUrl'), 'template1')
    own = new pg.Pool({ connectionString: plain.url })
    await plain.query(await serialsSql({ scope }))
    await plain.query(await seriesSql({ scope, parallel: true }))
    await plain.query(
      `CREATE TABLE bill (tenant int, site int, number text NOT NULL, "transactionId" text, PRIMARY KEY (tenant, site, number), UNIQUE (tenant, site, "transactionId"))`,
    )
  })
  beforeEach(() =>
    plain.query('TRUNCATE "Serial", "SerialAllocation", "Series", "SeriesNumber", "SeriesVoid", "SeriesFree", bill'),
  )
  afterAll(async () => {
    await own.end()
    await plain.drop()
  })

  interface SerialRow {
    readonly tenant: number
    readonly site: number
    readonly productId: number
    readonly number: string
    readonly transactionId: string | null
  }
  const openBoth = async () =>
    (await concurrency(own))
      .$extends(serials<SerialRow, 'tenant' | 'site'>({ scope }))
      .$extends(series({ scope, series: { bill: BILL, ticket: { blocks: 3 }, order: { parallel: true } } }))

  test.each(SCOPES)(
    'of scopes that have %s of two columns in common are taken at once, each from its own',
    async (_, scopeOf) => {
      const db = await openBoth()
      const numbers = [1, 2, 3]
      const all = numbers.flatMap((n) => {
        const { tenant, site } = scopeOf(n)
        return [
          { tenant, site },
          { tenant: site, site: tenant },
        ]
      })
      for (const { tenant, site } of all) {
        await plain.query(
          `INSERT INTO "Serial" (tenant, site, "productId", number) SELECT $1::int, $2::int, 5, $1::int || '/' || $2::int || '/' || n FROM generate_series(1, 6) AS n`,
          [tenant, site],
        )
      }
      const calls = numbers.flatMap((n) =>
        [1, 2].map((call) => ({ scope: scopeOf(n), transactionId: `order ${call}` })),
      )

      const taken = await Promise.all(
        calls.map((call) => db.$serials.allocate({ ...call, where: { productId: 5 }, count: 2 })),
      )
      const again = await Promise.all(
        calls.map((call) => db.$serials.allocate({ ...call, where: { productId: 5 }, count: 2 })),
      )
      const released = await Promise.all(calls.map((call) => db.$serials.release(call)))
      const bills = await Promise.all(calls.map((call) => db.$series.create('bill', { ...call, record: {} })))
      const tickets = await Promise.all(calls.map(({ scope }) => db.$series.next('ticket', { scope })))
      const orders = await Promise.all(
        calls.map(({ scope, transactionId }) =>
          db.$transactionWithRetry((tx) => tx.$series.next('order', { scope, transactionId })),
        ),
      )

      const isOwn = calls.map(({ scope: { tenant, site } }, i) =>
        taken[i]?.serials.every(({ number }) => number.startsWith(`${tenant}/${site}/`)),
      )
      expect(isOwn).toEqual(calls.map(() => true))
      expect(again).toEqual(taken.map((each) => ({ ...each, replayed: true })))
      expect(released).toEqual(calls.map(() => ({ released: 2 })))
      expect(await plain.query('SELECT 1 FROM "Serial" WHERE "transactionId" IS NOT NULL')).toEqual([])
      const perScope = (values: readonly unknown[]) => numbers.map((_, i) => values.slice(2 * i, 2 * i + 2).sort())
      expect(perScope(bills.map(({ text }) => text))).toEqual(numbers.map(() => ['B1', 'B2']))
      expect(bills.map(({ record }) => record)).toMatchObject(
        calls.map(({ scope, transactionId }) => ({ ...scope, transactionId })),
      )
      expect(perScope(tickets.map(({ value }) => value))).toEqual(numbers.map(() => [1n, 2n]))
      expect(perScope(orders.map(({ value }) => value))).toEqual(numbers.map(() => [1n, 2n]))
    },
  )
})
