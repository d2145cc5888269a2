import { randomInt, randomUUID } from 'node:crypto'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import type { describeEngines } from './engines.js'

/** A stock of lots, which may expire. */
export const LOTS = {
  item: { model: 'LotStock', key: ['productId', 'warehouse', 'lot'] },
  movement: { model: 'LotMovement' },
  reservation: { model: 'LotReservation' },
} as const

/** The same of several companies. */
export const COMPANY_LOTS = {
  scope: ['companyId'],
  item: { model: 'CompanyLotStock', key: ['productId', 'warehouse', 'lot'] },
  movement: { model: 'CompanyLotMovement' },
  reservation: { model: 'CompanyLotReservation' },
} as const

export interface LotItem {
  readonly productId: number
  readonly warehouse: string
  readonly lot: string
}

interface LotData {
  readonly orderId?: number | undefined
}

/** A lot to begin with. Its days are from now on, and may be in the past. */
export interface NewLot {
  readonly onHand: number
  readonly days?: number
  readonly receivedAt?: string
  readonly warehouse?: string
  readonly minimum?: number | null
}

type Engine = Parameters<Parameters<typeof describeEngines>[0]>[0]
type Options = Parameters<Engine['connect']>[1]

/** Clients of an engine with a stock of lots, and products that nobody else uses. */
export function useLots({ connect, name, database }: Engine) {
  const openRecorded = async (engine: typeof name = name, options?: Options) => {
    const { db, client, pool } = await connect(engine, options)
    const statements: string[] = []
    const known = new WeakSet<object>()
    pool.on('acquire', (connection) => {
      if (known.has(connection)) return
      known.add(connection)
      const { query } = connection
      connection.query = (...args: [string | { text: string }]) => {
        statements.push(typeof args[0] === 'string' ? args[0] : args[0].text)
        return Reflect.apply(query, connection, args)
      }
    })
    const onPg = () => db.$extends(stock<LotItem, number, never, LotData>(LOTS))
    const onPrisma = () => client.$extends(concurrency(options?.options)).$extends(prismaStock(LOTS)) as unknown
    return { db: engine === 'pg' ? onPg() : (onPrisma() as ReturnType<typeof onPg>), statements, pool }
  }
  const open = async (...args: Parameters<typeof openRecorded>) => (await openRecorded(...args)).db
  /** A new product with these lots, in this order of their names. */
  const newProduct = async (lots: Readonly<Record<string, NewLot>>) => {
    const productId = randomInt(1, 2 ** 31)
    for (const [lot, { onHand, days = null, receivedAt = '2026-01-01', warehouse = 'main', ...more }] of Object.entries(
      lots,
    )) {
      const { minimum = 0 } = more
      await database.query(
        `WITH item AS (
  INSERT INTO "LotStock" ("productId", warehouse, lot, "onHand", minimum, "expiresAt", "receivedAt")
  VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 day', $7)
)
INSERT INTO "LotMovement" ("transactionId", line, "productId", warehouse, lot, quantity)
SELECT $8, 0, $1, $2, $3, $4 WHERE $4 <> 0`,
        [productId, warehouse, lot, onHand, minimum, days, receivedAt, `opening ${randomUUID()}`],
      )
    }
    return productId
  }
  /** The quantity on hand of each lot of the product. */
  const onHand = async (productId: number): Promise<Record<string, number>> => {
    const rows = await database.query('SELECT lot, "onHand" FROM "LotStock" WHERE "productId" = $1 ORDER BY lot', [
      productId,
    ])
    return Object.fromEntries(rows.map(({ lot, onHand }) => [String(lot), Number(onHand)]))
  }
  const movementsOf = (transactionId: string) =>
    database.query('SELECT * FROM "LotMovement" WHERE "transactionId" = $1 ORDER BY line', [transactionId])
  /** Every balance is the sum of its movements, and nothing is below zero. */
  const expectExact = async () => {
    const wrong = await database.query(`
SELECT i.* FROM "LotStock" AS i
WHERE "onHand" <> (
  SELECT coalesce(sum(quantity), 0) FROM "LotMovement" AS m
  WHERE (m."productId", m.warehouse, m.lot) = (i."productId", i.warehouse, i.lot) AND m.applied
) OR reserved <> (
  SELECT coalesce(sum(quantity), 0) FROM "LotReservation" AS r
  WHERE (r."productId", r.warehouse, r.lot) = (i."productId", i.warehouse, i.lot) AND r.state = 'active'
) OR "onHand" < 0 OR "onHand" < reserved`)
    if (wrong.length > 0) throw new Error(`These lots are wrong: ${JSON.stringify(wrong)}`)
  }
  return { open, openRecorded, newProduct, onHand, movementsOf, expectExact }
}

export type LotsDb = Awaited<ReturnType<ReturnType<typeof useLots>['open']>>
type Source = Extract<Parameters<LotsDb['$stock']['reserve']>[0], { from: object }>['from']

/** The quantities by the names of the lots. */
function byLot(lines: readonly { item: LotItem; quantity: number }[] = []): Record<string, number> {
  return Object.fromEntries(lines.map(({ item, quantity }) => [item.lot, Math.abs(quantity)]))
}

/** The calls that take from lots. Each answers with what it has taken of each lot. */
export const TAKES = {
  moveAll: async ({ $stock }: Pick<LotsDb, '$stock'>, transactionId: string, from: Source) => {
    const { lines, replayed } = await $stock.moveAll({ transactionId, lines: [{ from }] })
    return { taken: byLot(lines), replayed }
  },
  reserve: async ({ $stock }: Pick<LotsDb, '$stock'>, transactionId: string, from: Source) => {
    const { lines, replayed } = await $stock.reserve({ transactionId, from, expiresIn: 600_000 })
    return { taken: byLot(lines), replayed }
  },
} as const

/** The names of the calls, for a table of tests. */
export const TAKING = ['moveAll', 'reserve'] as const satisfies readonly (keyof typeof TAKES)[]
