import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { expect, onTestFinished } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { concurrency as onPool, stock as pgStock } from '../../src/pg.js'
import { stock } from '../../src/stock/extension.js'
import type { StockOptions } from '../../src/stock/options.js'
import type { Stock } from '../../src/stock/types.js'
import type { Database } from './database.js'
import type { EngineName } from './engines.js'
import { SILO } from './stock-models.js'

export { SILO }

/** The same of several depots, by lots and in decimals, with other names. */
export const DEPOT_SILO = {
  scope: ['depotId'],
  item: { model: 'DepotSilo', key: ['code', 'lot'], sequence: 'count' },
  movement: { model: 'DepotSiloMovement', applied: 'isApplied', sequence: 'number', balance: 'left', at: 'since' },
  reservation: { model: 'DepotSiloReservation', expiresAt: 'until' },
} as const
const FIELDS = {
  DepotSilo: { fields: { count: 'how many' } },
  DepotSiloMovement: { fields: { number: 'which', left: 'what is left', since: 'since when' } },
}

/** A silo of a depot. */
export interface DepotSilo {
  readonly code: string
  readonly lot: string
}

interface Engine {
  readonly name: EngineName
  readonly database: Pick<Database, 'url' | 'query'>
}
type Options = Pick<StockOptions, 'retry' | 'rememberRefusals'> & {
  readonly stock?: object
  readonly poolSize?: number
}

/** Clients of an engine with a stock of silos, and silos that nobody else uses. */
export function useSilos({ name, database }: Engine) {
  const { query } = database
  const open = async (url = database.url, { stock: mapping = SILO, poolSize = 10, ...more }: Options = {}) => {
    const pool = new pg.Pool({ connectionString: url, max: poolSize })
    pool.on('error', () => {})
    const client = new PrismaClient({ adapter: new PrismaPg(pool) })
    onTestFinished(async () => {
      await client.$disconnect()
      await pool.end()
    })
    const all = { ...mapping, ...more } as typeof SILO
    const own = async () => (await onPool(pool, { models: FIELDS })).$extends(pgStock<string, number>(all))
    type Db = Awaited<ReturnType<typeof own>>
    const prisma = () => client.$extends(concurrency()).$extends(stock(all)) as unknown as Db
    return { db: name === 'pg' ? await own() : prisma(), pool, client }
  }
  const db = async (...args: Parameters<typeof open>) => (await open(...args)).db
  /** The stock of a depot. */
  const depot = async (depotId: number, url?: string) => {
    const { $stock } = await db(url, { stock: DEPOT_SILO })
    return ($stock as unknown as { in(scope: object): Stock<DepotSilo, string, object, object> }).in({ depotId })
  }
  const newSilo = async ({ minimum = 0 as number | null, maximum = null as number | null } = {}) => {
    const code = randomUUID()
    await query('INSERT INTO "Silo" (code, minimum, maximum) VALUES ($1, $2, $3)', [code, minimum, maximum])
    return code
  }
  const newDepotSilo = async (depotId: number, lot: string, code: string = randomUUID()): Promise<DepotSilo> => {
    await query('INSERT INTO "DepotSilo" ("depotId", code, lot) VALUES ($1, $2, $3)', [depotId, code, lot])
    return { code, lot }
  }
  /** Lets the reservation's time be over, by the database's clock. */
  const expire = (id: string) =>
    query(`UPDATE "SiloReservation" SET "expiresAt" = now() - interval '1 s' WHERE "transactionId" = $1`, [id])
  /** The history of a silo, as the database has it. */
  const historyOf = async (code: string) => {
    const found = await query(
      `SELECT sequence::int, quantity, balance FROM "SiloMovement" WHERE code = $1 AND sequence IS NOT NULL ORDER BY sequence`,
      [code],
    )
    return found.map(({ sequence, quantity, balance }) => [sequence, quantity, balance])
  }
  /** Every movement in a balance has its number and its balance, and no other movement has. */
  const expectNumbered = async () => {
    expect(await query(flaws('Silo', 'code', 'NOT m.refused', 'm.applied'))).toEqual([])
  }
  return { db, open, depot, newSilo, newDepotSilo, expire, historyOf, expectNumbered }
}

/** The movements whose number or balance is not what a sum of all before them gives, and items that end otherwise. */
function flaws(table: string, key: string, isGranted: string, isApplied: string): string {
  return `WITH chain AS (
  SELECT m.*, row_number() OVER w AS place, sum(quantity) OVER w AS total, max(at) OVER w AS latest
  FROM "${table}Movement" AS m
  WHERE ${isGranted} AND ${isApplied}
  WINDOW w AS (PARTITION BY ${key} ORDER BY sequence ROWS UNBOUNDED PRECEDING)
)
SELECT "transactionId", line::text, sequence::text, balance::text FROM chain
WHERE sequence IS DISTINCT FROM place OR balance IS DISTINCT FROM total OR at IS DISTINCT FROM latest
UNION ALL
SELECT "transactionId", line::text, sequence::text, balance::text FROM "${table}Movement" AS m
WHERE NOT (${isGranted} AND ${isApplied}) AND (sequence IS NOT NULL OR balance IS NOT NULL)
UNION ALL
SELECT i.${key}, NULL, i.sequence::text, i."onHand"::text FROM "${table}" AS i
WHERE i.sequence <> (SELECT count(*) FROM chain WHERE chain.${key} = i.${key})
  OR i."onHand" <> (SELECT coalesce(sum(quantity), 0) FROM chain WHERE chain.${key} = i.${key})`
}

export type SiloDb = Awaited<ReturnType<ReturnType<typeof useSilos>['db']>>
