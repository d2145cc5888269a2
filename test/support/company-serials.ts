import { randomInt, randomUUID } from 'node:crypto'
import { serials } from '../../src/pg.js'
import { serials as prismaSerials } from '../../src/serials/extension.js'
import type { EngineName, EngineOptions, openEngine } from './engines.js'

/** Serials of companies, which share two tables. */
export const COMPANY_SERIALS = {
  scope: ['companyId'],
  serial: { model: 'CompanySerial' },
  allocation: { model: 'CompanySerialAllocation' },
} as const

export interface CompanySerialRow {
  readonly companyId: number
  readonly productId: number
  readonly number: string
  readonly transactionId: string | null
  readonly orderId: number | null
  readonly changes: number
}

type Engine = {
  readonly name: EngineName
  readonly database: { query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]> }
  connect(name?: EngineName, options?: Partial<EngineOptions>): ReturnType<typeof openEngine>
}

/** Clients with serials of companies, and products of them with serials. */
export function useCompanySerials({ name, database, connect }: Engine) {
  const open = async (engine: EngineName = name, options: Partial<EngineOptions> = {}) => {
    const made = await connect(engine, options)
    const onPg = () => made.db.$extends(serials<CompanySerialRow, 'companyId'>(COMPANY_SERIALS))
    const db = engine === 'pg' ? onPg() : made.db.$extends(prismaSerials(COMPANY_SERIALS) as never)
    return { ...made, db: db as ReturnType<typeof onPg> }
  }
  /** The same product in each of the companies, with free serials of the same numbers. */
  const newProduct = async (count: number, ...companies: readonly number[]) => {
    const productId = randomInt(1, 2 ** 31)
    await database.query(
      `INSERT INTO "CompanySerial" ("companyId", "productId", number)
SELECT c, $2, 'S-' || lpad(n::text, 3, '0') FROM unnest($1::int[]) AS c, generate_series(1, $3::int) AS n`,
      [companies, productId, count],
    )
    return productId
  }
  /** Those that have serials of the product, by company and number. */
  const owners = async (productId: number) => {
    const rows = await database.query(
      `SELECT "companyId", number, "transactionId" FROM "CompanySerial" WHERE "productId" = $1 ORDER BY 1, 2`,
      [productId],
    )
    return Object.fromEntries(
      rows.map(({ companyId, number, transactionId }) => [`${companyId} ${number}`, transactionId]),
    )
  }
  const noted = (transactionId: string) =>
    database.query('SELECT "companyId", count FROM "CompanySerialAllocation" WHERE "transactionId" = $1 ORDER BY 1', [
      transactionId,
    ])
  return { open, newProduct, owners, noted, newCompany: () => randomInt(1, 2 ** 31), newId: () => randomUUID() }
}
