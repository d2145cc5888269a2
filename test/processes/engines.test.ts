import { expect, test } from 'vitest'
import type { EngineOutcome, EngineWork } from '../support/engine-worker.js'
import type { EngineName } from '../support/engines.js'
import { runInProcess } from '../support/process.js'
import { expectExact, useStock } from '../support/stock.js'

const { database, newItem, onHand } = useStock()

const ROUNDS = 15
const CALLERS = 6
const ALL = 2 * ROUNDS * CALLERS

const unique = (values: readonly string[]) => new Set(values).size

test('a process on node-postgres and one on Prisma share locks, stock, serials, series and keys, and lose nothing', async () => {
  const [product] = await database.query(
    `INSERT INTO "Product" (name, "updatedAt") VALUES ('shared', now()) RETURNING id`,
  )
  const productId = product?.id as number
  const item = await newItem(ALL + 5)
  await database.query(
    `INSERT INTO "Serial" ("productId", number) SELECT $1, lpad(n::text, 6, '0') FROM generate_series(1, $2::int) AS n`,
    [item.productId, ALL + 5],
  )
  const run = (engine: EngineName) =>
    runInProcess<EngineOutcome>('./engine-worker.ts', {
      engine,
      url: database.url,
      name: engine,
      rounds: ROUNDS,
      callers: CALLERS,
      productId,
      item,
    } satisfies EngineWork)

  const [pool, prisma] = await Promise.all([run('pg'), run('prisma')])

  expect([...pool.failures, ...prisma.failures]).toEqual([])
  expect(await database.query('SELECT stock FROM "Product" WHERE id = $1', [productId])).toEqual([{ stock: ALL }])
  expect(await onHand(item)).toBe(5)
  await expectExact(database)
  expect(unique([...pool.serials, ...prisma.serials])).toBe(ALL)
  const numbers = [...pool.numbers, ...prisma.numbers]
  expect(unique(numbers)).toBe(ALL)
  const year = new Date().getUTCFullYear()
  expect(numbers.sort().at(-1)).toBe(`INV-${year}-${String(ALL).padStart(3, '0')}`)
  expect(unique([...pool.tickets, ...prisma.tickets])).toBe(ALL)
  // Each of the shared operations was carried out once, and both were given the same answer.
  expect([...pool.answers].sort()).toEqual([...prisma.answers].sort())
  expect(await database.query(`SELECT count(*)::int AS count FROM "Note" WHERE text LIKE 'shared %'`)).toEqual([
    { count: ALL / 2 },
  ])
}, 300_000)
