import { concurrency } from '../../src/index.js'
import { jobs as prismaJobs } from '../../src/jobs/extension.js'
import type { JobsOptions } from '../../src/jobs/options.js'
import { leases as prismaLeases } from '../../src/leases/extension.js'
import { jobs, leases } from '../../src/pg.js'
import type { Database } from './database.js'
import { type EngineName, type EngineOptions, openEngine } from './engines.js'

/** A client of the engine with jobs. To the tests both are one. */
export async function openJobs(name: EngineName, options: EngineOptions, given?: JobsOptions) {
  const { db: plain, client, ...rest } = await openEngine(name, options)
  const own = name === 'pg' ? plain.$extends(leases()).$extends(jobs(given)) : undefined
  const prisma = () =>
    client.$extends(concurrency(options.options)).$extends(prismaLeases()).$extends(prismaJobs(given))
  return { db: own ?? (prisma() as unknown as NonNullable<typeof own>), ...rest }
}

export type JobDb = Awaited<ReturnType<typeof openJobs>>['db']

/** The columns of a run that are given are set, past this package. */
export async function changeRun(
  database: Pick<Database, 'query'>,
  job: string,
  changes: Readonly<Record<string, string>>,
): Promise<void> {
  const set = Object.entries(changes).map(([column, sql]) => `"${column}" = ${sql}`)
  await database.query(`UPDATE "JobRun" SET ${set.join(', ')} WHERE job = $1`, [job])
}
