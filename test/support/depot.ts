import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import type { describeEngines } from './engines.js'

/** A stock of decimals of several companies, whose periods can be closed and pruned. */
export const DEPOT = {
  scope: ['companyId'],
  item: { model: 'DepotStock', key: 'code', opening: 'opening' },
  movement: { model: 'DepotMovement' },
  reservation: { model: 'DepotReservation' },
} as const

type Engine = Parameters<Parameters<typeof describeEngines>[0]>[0]

/** Clients of an engine with that stock, in a company that nobody else uses. */
export function useDepot({ connect, name, database }: Engine) {
  let last = 0
  const openAll = async (engine: typeof name = name, options?: Parameters<typeof connect>[1]) => {
    const { db, client } = await connect(engine, options)
    const own = () => db.$extends(stock<string, number, { companyId: number }>(DEPOT))
    const prisma = () => client.$extends(concurrency()).$extends(prismaStock(DEPOT))
    return engine === 'pg' ? own() : (prisma() as unknown as ReturnType<typeof own>)
  }
  /** A company, and a client that is bound to it. */
  const open = async () => {
    const companyId = ++last
    const db = await openAll()
    return { db, companyId, depot: db.$stock.in({ companyId }) }
  }
  /** An item of the company, with an opening balance. */
  const newItem = async (companyId: number, opening = 0): Promise<string> => {
    const code = randomUUID()
    await database.query('INSERT INTO "DepotStock" ("companyId", code, "onHand", opening) VALUES ($1, $2, $3, $3)', [
      companyId,
      code,
      opening,
    ])
    return code
  }
  const stateOf = async (code: string) => {
    const rows = await database.query(
      'SELECT "onHand"::float8, opening::float8, "closedUntil"::text FROM "DepotStock" WHERE code = $1',
      [code],
    )
    return rows[0] as { onHand: number; opening: number; closedUntil: string | null }
  }
  const movementsOf = async (transactionId: string) => {
    const rows = await database.query(
      'SELECT quantity::float8, date::text FROM "DepotMovement" WHERE "transactionId" = $1 ORDER BY line',
      [transactionId],
    )
    return rows.map(({ quantity, date }) => [quantity, date])
  }
  const expectExact = async ({ depot }: { depot: { audit(): Promise<unknown[]> } }) =>
    expect(await depot.audit()).toEqual([])
  return { openAll, open, newItem, stateOf, movementsOf, expectExact }
}
