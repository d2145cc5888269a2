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
import { openTransaction } from './connection.js'
import type { Database } from './database.js'
import type { EngineName } from './engines.js'
import { PALLET } from './pallet-models.js'

/** The same of several depots, in decimals, with other names. */
export const DEPOT = {
  scope: ['depotId'],
  item: { model: 'DepotPallet', key: 'code', maximum: 'most' },
  movement: { model: 'DepotPalletMovement' },
  reservation: { model: 'DepotPalletReservation', expiresAt: 'until', fulfilled: 'taken', original: 'ordered' },
} as const
const FIELDS = {
  DepotPallet: { fields: { most: 'at most' } },
  DepotPalletReservation: { fields: { taken: 'taken of it', ordered: 'ordered at first' } },
}

/** A transaction id that nobody else uses. */
export const newId = (): string => randomUUID()

/** A line of a call. */
export const line = (item: string, quantity: number) => ({ item, quantity })

interface Engine {
  readonly name: EngineName
  readonly database: Pick<Database, 'url' | 'query'>
}
type Options = Pick<StockOptions, 'retry' | 'rememberRefusals'>

/** Clients of an engine with a stock of pallets, and pallets that nobody else uses. */
export function usePallets({ name, database }: Engine) {
  const { query } = database
  const open = async (url = database.url, options: Options & { readonly stock?: object } = {}) => {
    const { stock: mapping = PALLET, ...more } = options
    const pool = new pg.Pool({ connectionString: url, max: 10 })
    pool.on('error', () => {})
    const client = new PrismaClient({ adapter: new PrismaPg(pool) })
    onTestFinished(async () => {
      await client.$disconnect()
      await pool.end()
    })
    const all = { ...mapping, ...more } as typeof PALLET
    const own = async () => (await onPool(pool, { models: FIELDS })).$extends(pgStock<string, number>(all))
    type Db = Awaited<ReturnType<typeof own>>
    const prisma = () => client.$extends(concurrency()).$extends(stock(all)) as unknown as Db
    return { db: name === 'pg' ? await own() : prisma(), pool }
  }
  const db = async (...args: Parameters<typeof open>) => (await open(...args)).db
  /** The stock of a depot. */
  const depot = async (depotId: number, url?: string) => {
    const { $stock } = await db(url, { stock: DEPOT })
    return (
      $stock as unknown as { in(scope: object): Stock<string, string, object, object, string, object, Date | null> }
    ).in({
      depotId,
    })
  }
  const newPallet = async (onHand = 0, { minimum = 0 as number | null, maximum = null as number | null } = {}) => {
    const code = randomUUID()
    await query('INSERT INTO "Pallet" (code, "onHand", minimum, maximum) VALUES ($1, $2, $3, $4)', [
      code,
      onHand,
      minimum,
      maximum,
    ])
    await query(
      `INSERT INTO "PalletMovement" ("transactionId", line, code, quantity) SELECT 'opening of ' || $1, 0, $1, $2::int WHERE $2::int <> 0`,
      [code, onHand],
    )
    return code
  }
  const newDepotPallet = async (depotId: number, onHand: number, code: string = randomUUID()) => {
    await query('INSERT INTO "DepotPallet" ("depotId", code, "onHand") VALUES ($1, $2, $3)', [depotId, code, onHand])
    await query(`INSERT INTO "DepotPalletMovement" VALUES ($1, 'opening of ' || $2, 0, $2, $3)`, [
      depotId,
      code,
      onHand,
    ])
    return code
  }
  /** A transaction of somebody else that has the pallet locked. */
  const hold = (code: string) =>
    openTransaction(database.url, 'SELECT FROM "Pallet" WHERE code = $1 FOR UPDATE', [code])
  /** A reservation of 4 of each of two pallets that have 10, without an end. */
  const ordered = async () => {
    const opened = await db()
    const [a, b] = [await newPallet(10), await newPallet(10)]
    const of = newId()
    const order = { transactionId: of, lines: [a, b].map((item) => ({ item, quantity: 4 })), expiresIn: null }
    await opened.$stock.reserve(order)
    return { db: opened, a, b, of, order }
  }
  const stateOf = async (code: string) =>
    (await query('SELECT "onHand", reserved FROM "Pallet" WHERE code = $1', [code]))[0] as {
      onHand: number
      reserved: number
    }
  /** The quantities that are recorded under the transaction id, line by line. */
  const movementsOf = async (id: string) =>
    (await query('SELECT quantity FROM "PalletMovement" WHERE "transactionId" = $1 ORDER BY line', [id])).map(
      ({ quantity }) => quantity as number,
    )
  const reservationOf = (id: string) =>
    query(
      'SELECT state, quantity, fulfilled, original, "expiresAt" FROM "PalletReservation" WHERE "transactionId" = $1 ORDER BY line',
      [id],
    )
  /** Lets the reservation's time be over, by the database's clock. */
  const expire = (id: string) =>
    query(`UPDATE "PalletReservation" SET "expiresAt" = now() - interval '1 s' WHERE "transactionId" = $1`, [id])
  /** Every pallet is what its movements and reservations add up to. */
  const expectExact = async () => {
    const wrong = await query(`
SELECT * FROM "Pallet" AS i
WHERE "onHand" <> (
  SELECT coalesce(sum(quantity), 0) FROM "PalletMovement" AS m WHERE m.code = i.code AND applied AND NOT refused
) OR reserved <> (
  SELECT coalesce(sum(quantity - fulfilled), 0) FROM "PalletReservation" AS r WHERE r.code = i.code AND state = 'active'
)`)
    expect(wrong).toEqual([])
    expect(await (await db()).$stock.audit()).toEqual([])
  }
  return {
    ...{ db, open, depot, newPallet, newDepotPallet, hold, ordered },
    ...{ stateOf, movementsOf, reservationOf, expire, expectExact },
  }
}

export type PalletDb = Awaited<ReturnType<ReturnType<typeof usePallets>['db']>>
