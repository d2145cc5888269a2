import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { connectStock, type StockClient } from '../support/connect-stock.js'
import { openTransaction } from '../support/connection.js'
import { type PgBouncer, startPgBouncer, whyNoPgBouncer } from '../support/pgbouncer.js'
import { started } from '../support/started.js'
import { expectExact, newId, STOCK, type StockItem, useStock } from '../support/stock.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, newItem, onHand, movementsOf } = useStock()
const times = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index))

/** Twenty callers of each client send orders of two of four items, each order twice: more than there is. */
async function storm(clients: readonly StockClient[]) {
  const items = await Promise.all(times(4, () => newItem(150)))
  const orders = times(200, (n) => ({
    transactionId: newId(),
    lines: [items[n % 4], items[(n + 1 + (n % 3)) % 4]].map((item) => ({ item: item as StockItem, quantity: -2 })),
  }))
  const queue = [...orders, ...orders]
  const codes = new Set<string>()
  const caller = async (db: StockClient) => {
    for (let order = queue.shift(); order; order = queue.shift()) {
      await db.$stock.moveAll(order).catch((error) => codes.add(error.code ?? String(error)))
    }
  }
  await Promise.all(clients.flatMap((db) => times(20, () => caller(db))))
  const written = await Promise.all(orders.map(({ transactionId }) => movementsOf(transactionId)))
  const sold = written.filter((quantities) => quantities.length === 2).length

  expect(codes).toEqual(new Set(['INSUFFICIENT_STOCK']))
  expect(written.filter((quantities) => quantities.length === 1)).toEqual([])
  expect((await Promise.all(items.map(onHand))).reduce((sum, each) => sum + each, 0)).toBe(600 - sold * 4)
  await expectExact(database)
}

const SET_ISOLATION = (level: string) =>
  `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', current_database(), '${level}'); END $$`

describe.each(['read committed', 'repeatable read', 'serializable'])(
  'transactions that are %s unless told',
  (level) => {
    beforeAll(async () => {
      await database.query(SET_ISOLATION(level))
    })
    afterAll(async () => {
      await database.query(SET_ISOLATION('read committed'))
    })

    test('two clients that sell more than there is', async () => {
      await storm(times(2, () => connectStock(database.url).db))
    })

    test('a batch that waits while somebody else changes what it was judged by', async () => {
      const { db } = connectStock(database.url)
      const item = await newItem(100)
      await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
      const owner = await openTransaction(
        database.url,
        'UPDATE "Stock" SET version = version + 1, minimum = 50 WHERE "productId" = $1',
        [item.productId],
      )
      const calls = times(30, () => started(db.$stock.move({ transactionId: newId(), item, quantity: -2 })))
      await untilBlocked(database.url)
      await owner.query('COMMIT')
      const results = await Promise.allSettled(calls)

      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(24)
      expect(await onHand(item)).toBe(51)
      await expectExact(database)
    })

    test('a transaction id that somebody else has just taken for the same: a replay', async () => {
      const { db } = connectStock(database.url)
      const item = await newItem(10)
      await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
      const transactionId = newId()
      const owner = await openTransaction(
        database.url,
        'UPDATE "Stock" SET "onHand" = "onHand" - 4 WHERE "productId" = $1',
        [item.productId],
      )
      await owner.query(
        `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($1, 0, $2, 'main', -4)`,
        [transactionId, item.productId],
      )
      const call = started(db.$stock.move({ transactionId, item, quantity: -4 }))
      await untilBlocked(database.url)
      await owner.query('COMMIT')

      expect(await call).toEqual({ quantity: -4, balance: 5, replayed: true })
    })

    test('deferred movements that two clients fold while others move the item', async () => {
      const clients = times(2, () => connectStock(database.url).db)
      const item = await newItem(0)
      await Promise.all(
        clients.flatMap((db) => times(30, () => db.$stock.defer({ transactionId: newId(), item, quantity: 2 }))),
      )
      const work = clients.flatMap((db) => [
        db.$stock.project({ batchSize: 7 }),
        ...times(10, () => db.$stock.move({ transactionId: newId(), item, quantity: 1 })),
      ])
      await Promise.all(work)
      await clients[0]?.$stock.project()

      expect(await onHand(item)).toBe(140)
      await expectExact(database)
    })
  },
)

test('statements that are prepared under a name', async () => {
  const prepared = () => {
    const adapter = new PrismaPg(
      { connectionString: database.url },
      {
        statementNameGenerator: ({ sql }) =>
          `s${[...sql].reduce((hash, char) => (hash * 31 + char.charCodeAt(0)) | 0, 7)}`,
      },
    )
    const client = new PrismaClient({ adapter })
    onTestFinished(() => client.$disconnect())
    return client.$extends(concurrency()).$extends(stock({ ...STOCK, retry: { deadline: 100_000 } }))
  }
  await storm([prepared(), prepared()])
})

const name = 'behind PgBouncer in transaction pooling'
describe.skipIf(whyNoPgBouncer)(whyNoPgBouncer ? `${name} (skipped: ${whyNoPgBouncer})` : name, () => {
  let bouncer: PgBouncer | undefined
  beforeAll(async () => {
    bouncer = await startPgBouncer(database.url, 4)
  })
  afterAll(() => bouncer?.stop())

  test('two clients that sell more than there is', async () => {
    await storm(times(2, () => connectStock(bouncer?.url as string).db))
  })

  test('a batch that waits for a row of somebody else leaves no limit behind on the connection', async () => {
    const { db } = connectStock(bouncer?.url as string, { poolSize: 1 })
    const item = await newItem(10)
    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })

    expect(await db.$queryRaw`SHOW lock_timeout`).toEqual([{ lock_timeout: '0' }])
  })
})
