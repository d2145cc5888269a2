import { expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { useDatabase } from '../support/clients.js'
import { unfitShapes } from '../support/shard-shapes.js'
import { sayShards } from '../support/shards.js'

const database = useDatabase()

test('calls of one company for an item with slots and a history send no statement that Citus refuses', async () => {
  await database.query(
    `INSERT INTO "Seat" ("companyId", site, event, slot, "onHand", opening) SELECT 1, 1, e, n, 10, 10 FROM unnest('{a,b}'::text[]) AS e, generate_series(0, 1) AS n`,
  )
  const distribution = { Seat: 'companyId', SeatSale: 'companyId' }
  await sayShards(database, distribution)
  const { client, statements } = database.connect()
  const db = client.$extends(concurrency()).$extends(
    stock({
      scope: ['companyId', 'site'],
      item: { model: 'Seat', key: 'event', slots: 'slot', opening: 'opening' },
      movement: { model: 'SeatSale' },
    }),
  )
  type Db = Pick<typeof db, '$stock'>
  const [item, scope] = ['a', { companyId: 1, site: 1 }]
  const calls: Record<string, (db: Db, id: string) => Promise<unknown>> = {
    move: ({ $stock }, transactionId) => $stock.in(scope).move({ transactionId, item, quantity: -1 }),
    'move that borrows': async ({ $stock }, transactionId) => {
      await database.query('UPDATE "Seat" SET "onHand" = 10')
      return $stock.in(scope).move({ transactionId, item, quantity: -15 })
    },
    'move that is refused': async ({ $stock }, transactionId) => {
      const call = $stock.in(scope).move({ transactionId, item, quantity: -1_000 })
      await expect(call).rejects.toMatchObject({ code: 'INSUFFICIENT_STOCK' })
    },
    moveAll: ({ $stock }, transactionId) => {
      const lines = [item, 'b'].map((each) => ({ item: each, quantity: 1 }))
      return $stock.in(scope).moveAll({ transactionId, lines })
    },
    count: ({ $stock }, transactionId) => $stock.in(scope).count({ transactionId, item, counted: 20 }),
    'setSlots to more': ({ $stock }) => $stock.in(scope).setSlots({ item, count: 3 }),
    'setSlots to fewer': ({ $stock }) => $stock.in(scope).setSlots({ item, count: 2 }),
    balance: ({ $stock }) => $stock.in(scope).balance({ item }),
    balances: ({ $stock }) => $stock.in(scope).balances(),
    history: ({ $stock }) => $stock.in(scope).history({ item, after: { slot: 0, sequence: 0 } }),
    audit: ({ $stock }) => $stock.in(scope).audit(),
  }
  const unfit: Record<string, readonly string[]> = {}
  for (const [name, call] of Object.entries(calls)) {
    for (const where of ['client', 'tx']) {
      statements.length = 0
      await (where === 'client' ? call(db, `client ${name}`) : db.$transaction((tx) => call(tx, `tx ${name}`)))
      const found = (await Promise.all(statements.map((sql) => unfitShapes(sql, distribution)))).flat()
      if (found.length > 0) unfit[`${name}, on the ${where}`] = [...new Set(found), ...statements]
    }
  }

  expect(unfit).toEqual({})
})
