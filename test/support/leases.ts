import { onTestFinished } from 'vitest'
import { concurrency } from '../../src/index.js'
import { leases as prismaLeases } from '../../src/leases/extension.js'
import type { LeasesOptions } from '../../src/leases/options.js'
import { leases } from '../../src/pg.js'
import type { Database } from './database.js'
import { type EngineName, type EngineOptions, openEngine } from './engines.js'

/** A client of the engine with leases. To the tests both are one. */
export async function openLeases(name: EngineName, options: EngineOptions, given?: LeasesOptions) {
  const { db: plain, client, ...rest } = await openEngine(name, options)
  const own = name === 'pg' ? plain.$extends(leases(given)) : undefined
  const prisma = () => client.$extends(concurrency(options.options)).$extends(prismaLeases(given))
  return { db: own ?? (prisma() as unknown as NonNullable<typeof own>), ...rest }
}

export type LeaseDb = Awaited<ReturnType<typeof openLeases>>['db']

/** The same, closed at the end of the test. */
export async function connectLeases(name: EngineName, url: string, options: Partial<EngineOptions> = {}) {
  const made = await openLeases(name, { url, ...options })
  onTestFinished(made.close)
  return made
}

export interface LeaseRow {
  readonly token: string
  readonly holder: string | null
  readonly expiresAt: Date | null
  readonly progress: unknown
  readonly waiting: readonly { readonly id: string; readonly until: number }[]
  /** In ms. */
  readonly left: number | null
}

/** The row of a lease, past Prisma and past this package. */
export async function leaseRow(database: Pick<Database, 'query'>, name: string): Promise<LeaseRow | undefined> {
  const text = `SELECT *, (extract(epoch FROM "expiresAt" - clock_timestamp()) * 1000)::float8 AS left FROM "Lease" WHERE name = $1`
  const [row] = await database.query(text, [name])
  return row as unknown as LeaseRow | undefined
}

/** Asks again and again until something is so. */
export async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 10))
}

/** Makes a heartbeat come, and waits until it has put off the end of the lease in the database. */
export async function untilBeaten(
  database: Pick<Database, 'query'>,
  name: string,
  beat: () => void = () => {},
): Promise<void> {
  const end = async () => (await leaseRow(database, name))?.expiresAt?.getTime() ?? 0
  const before = await end()
  beat()
  await until(async () => (await end()) > before)
}

/** The lease is over by the database's clock, without a word to its holder. */
export async function expire(database: Pick<Database, 'query'>, name: string): Promise<void> {
  await database.query(`UPDATE "Lease" SET "expiresAt" = clock_timestamp() - interval '1 s' WHERE name = $1`, [name])
}
