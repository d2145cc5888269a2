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
    order: { parallel: true },
  },
  counter: { model: 'CompanySeries' },
  number: { model: 'CompanySeriesNumber' },
  void: { model: 'CompanySeriesVoid' },
  free: { model: 'CompanySeriesFree' },
} as const

/** Series whose numbers are taken in parallel. */
export const PARALLEL = {
  series: {
    'order:*': { parallel: true },
    'short:*': { format: '{0}', start: 5, parallel: true },
    'end:*': { format: '{00}', parallel: true },
    'year:*': { format: '{yyyy}/{000}', parallel: true },
    'blocks:*': { blocks: 5 },
    'certificate:*': { parallel: true, document: { model: 'Certificate' } },
  },
} as const

type Engine = Awaited<ReturnType<typeof openEngine>>

/** A client with series of companies, and two companies that no other test has. */
export async function openScopedSeries(name: EngineName, connect: () => Promise<Engine>) {
  const { db } = await connect()
  const onPool = () => db.$extends(pgSeries(SCOPED))
  const onPrisma = () => db.$extends(series(SCOPED) as never) as unknown as ReturnType<typeof onPool>
  const companyId = randomInt(1, 1_000_000_000)
  return { db: name === 'pg' ? onPool() : onPrisma(), companyId, otherId: companyId + 1_000_000_000 }
}

/** A client with series in parallel. */
export function withParallelSeries(name: EngineName, db: Engine['db']) {
  const onPool = () => db.$extends(pgSeries(PARALLEL))
  const onPrisma = () => db.$extends(series(PARALLEL) as never) as unknown as ReturnType<typeof onPool>
  return name === 'pg' ? onPool() : onPrisma()
}

export type ParallelDb = ReturnType<typeof withParallelSeries>
type Query = (sql: string, values?: unknown[]) => Promise<Record<string, unknown>[]>

/** The numbers of a series in each of the three tables, and the last one. */
export async function partsOf(query: Query, name: string) {
  const valuesIn = async (table: string) =>
    (await query(`SELECT value::int FROM "${table}" WHERE series = $1 ORDER BY value`, [name])).map(({ value }) =>
      Number(value),
    )
  const [counter] = await query('SELECT last::int FROM "Series" WHERE name = $1', [name])
  return {
    used: await valuesIn('SeriesNumber'),
    voided: await valuesIn('SeriesVoid'),
    free: await valuesIn('SeriesFree'),
    last: Number(counter?.last ?? 0),
  }
}

/** All of them, sorted; they must be 1 to the last one. */
export const allOf = ({ used, voided, free }: Awaited<ReturnType<typeof partsOf>>) =>
  [...used, ...voided, ...free].sort((a, b) => a - b)

export const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)
