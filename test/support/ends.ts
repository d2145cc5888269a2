import { concurrency } from '../../src/index.js'
import { serials, stock } from '../../src/pg.js'
import { serials as prismaSerials } from '../../src/serials/extension.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import { DEPOT } from './depot.js'
import { DEVICES, type DeviceRow } from './devices.js'
import { type EngineName, openEngine } from './engines.js'

/** A stock whose periods are closed and pruned, and serials with a history, on one client. */
export async function openEnds(engine: EngineName, url: string) {
  const { db, client, close } = await openEngine(engine, { url })
  const onPg = () =>
    db.$extends(stock<string, number, { companyId: number }>(DEPOT)).$extends(serials<DeviceRow>(DEVICES))
  const onPrisma = () => client.$extends(concurrency()).$extends(prismaStock(DEPOT)).$extends(prismaSerials(DEVICES))
  const ends = engine === 'pg' ? onPg() : (onPrisma() as unknown as ReturnType<typeof onPg>)
  return { db: ends, close }
}

export interface EndsWork {
  readonly engine: EngineName
  readonly url: string
  /** The companies of which a period is closed, and of which movements are pruned. */
  readonly closing: number
  readonly pruning: number
  readonly until: string
  readonly before: string
}

/** All calls at the end of a period at once, in pages of one row. */
export function endAll(db: Awaited<ReturnType<typeof openEnds>>['db'], { closing, pruning, until, before }: EndsWork) {
  const old = { forgetBefore: before, batchSize: 1 }
  return Promise.allSettled([
    db.$stock.in({ companyId: closing }).close({ until, batchSize: 1 }),
    db.$stock.in({ companyId: pruning }).prune(old),
    db.$serials.prune({ ...old, changesBefore: before }),
  ])
}
