import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { concurrency, stock } from '../../src/pg.js'
import { useDatabase } from '../support/clients.js'

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
test.each([
  ['the second', (n: number) => ({ tenant: n, site: 7 })],
  ['the first', (n: number) => ({ tenant: 7, site: n })],
  ['none', (n: number) => ({ tenant: n, site: n + 10 })],
])('calls at once whose scopes have %s of two columns in common move their own items', async (_, scopeOf) => {
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
})
