import { randomInt } from 'node:crypto'
import { series as pgSeries } from '../../src/pg.js'
import { series } from '../../src/series/extension.js'
import type { EngineName, openEngine } from './engines.js'

/** A series of each company. */
export const SCOPED = {
  scope: ['companyId'],
  series: {
    invoice: { format: 'INV-{yyyy}-{000}' },
    ticket: { blocks: 10 },
    bill: { format: 'B{0}', document: { model: 'CompanyBill' } },
  },
  counter: { model: 'CompanySeries' },
  number: { model: 'CompanySeriesNumber' },
} as const

/** A client with series of companies, and two companies that no other test has. */
export async function openScopedSeries(name: EngineName, connect: () => ReturnType<typeof openEngine>) {
  const { db, pool } = await connect()
  const onPool = () => db.$extends(pgSeries(SCOPED))
  const onPrisma = () => db.$extends(series(SCOPED) as never) as unknown as ReturnType<typeof onPool>
  const companyId = randomInt(1, 1_000_000_000)
  return {
    db: name === 'pg' ? onPool() : onPrisma(),
    pool,
    companyId,
    otherId: companyId + 1_000_000_000,
  }
}
