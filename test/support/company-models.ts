import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import type { EngineName, EngineOptions, openEngine } from './engines.js'
import type { StockItem } from './stock-models.js'

/** Stock of several companies in one database. */
export const COMPANIES = {
  scope: ['companyId'],
  item: { model: 'CompanyStock', key: ['productId', 'warehouse'] },
  movement: { model: 'CompanyMovement' },
  reservation: { model: 'CompanyReservation' },
} as const

/** The credit of their customers, without reservations. */
export const CREDIT = {
  scope: ['companyId'],
  item: { model: 'CompanyCredit', key: 'customerId', onHand: 'balance' },
  movement: { model: 'CompanyCreditEntry', quantity: 'amount', applied: 'isApplied', refused: 'isRefused' },
  rememberRefusals: true,
} as const

export interface CompanyScope {
  readonly companyId: number
}

/** A client of an engine with two ledgers: the stock of several companies, and the credit of their customers. */
export function withLedgers(
  engine: EngineName,
  { db, client }: Awaited<ReturnType<typeof openEngine>>,
  options?: EngineOptions['options'],
) {
  const credit = { ...CREDIT, name: 'credit' } as const
  const onPg = () =>
    db
      .$extends(stock<StockItem, number, CompanyScope>(COMPANIES))
      .$extends(stock<'credit', string, bigint, CompanyScope>(credit))
  const onPrisma = () =>
    client.$extends(concurrency(options)).$extends(prismaStock(COMPANIES)).$extends(prismaStock(credit))
  return engine === 'pg' ? onPg() : (onPrisma() as unknown as ReturnType<typeof onPg>)
}
