import { randomInt, randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { type ClientOptions, useDatabase } from './clients.js'
import { STOCK, type StockItem } from './stock-models.js'

export { STOCK, type StockItem }

/** A database for this test file, clients of it with stock, and items of one's own. */
export function useStock() {
  const database = useDatabase()
  const connect = (options?: ClientOptions) => {
    const made = database.connect(options)
    return { ...made, db: made.client.$extends(concurrency()).$extends(stock(STOCK)) }
  }
  /** An item that nobody else uses, with so much on hand by a movement. */
  const newItem = async (onHand = 0, { minimum = 0 as number | null, warehouse = 'main' } = {}): Promise<StockItem> => {
    const productId = randomInt(1, 2 ** 31)
    await database.query(
      `WITH item AS (
  INSERT INTO "Stock" ("productId", warehouse, "onHand", minimum) VALUES ($1, $2, $3, $4)
)
INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
SELECT $5, 0, $1, $2, $3 WHERE $3 <> 0`,
      [productId, warehouse, onHand, minimum, `opening of ${productId}`],
    )
    return { productId, warehouse }
  }
  /** The item's row. */
  const stateOf = async ({ productId, warehouse }: StockItem) => {
    const rows = await database.query(
      'SELECT "onHand", reserved, version::int FROM "Stock" WHERE "productId" = $1 AND warehouse = $2',
      [productId, warehouse],
    )
    return rows[0] as { onHand: number; reserved: number; version: number }
  }
  const onHand = async (item: StockItem) => (await stateOf(item)).onHand
  /** The quantities that are recorded under the transaction id, in the order of their lines. */
  const movementsOf = async (transactionId: string) => {
    const rows = await database.query('SELECT quantity FROM "StockMovement" WHERE "transactionId" = $1 ORDER BY line', [
      transactionId,
    ])
    return rows.map(({ quantity }) => quantity as number)
  }
  return { database, connect, newItem, stateOf, onHand, movementsOf }
}

/** A transaction id that nobody else uses. */
export const newId = (): string => randomUUID()

type Query = (sql: string, values?: unknown[]) => Promise<Record<string, unknown>[]>

/** Every item of the database is what its movements and reservations add up to, and not below its minimum. */
export async function expectExact({ query }: { readonly query: Query }): Promise<void> {
  const wrong = await query(`
SELECT i.*, m.total AS moved, r.total AS held
FROM "Stock" AS i
CROSS JOIN LATERAL (
  SELECT coalesce(sum(quantity), 0)::int AS total FROM "StockMovement" AS m
  WHERE m."productId" = i."productId" AND m.warehouse = i.warehouse AND m.applied
) AS m
CROSS JOIN LATERAL (
  SELECT coalesce(sum(quantity), 0)::int AS total FROM "StockReservation" AS r
  WHERE r."productId" = i."productId" AND r.warehouse = i.warehouse AND r.state = 'active'
) AS r
WHERE i."onHand" <> m.total OR i.reserved <> r.total OR i."onHand" < i.minimum`)
  expect(wrong).toEqual([])
}
