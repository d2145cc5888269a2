import { PrismaPg } from '@prisma/adapter-pg'
import type { SqlDriverAdapterFactory } from '@prisma/driver-adapter-utils'
import pg from 'pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { type ConcurrencyOptions, concurrency as onPrisma } from '../../src/index.js'
import * as onPg from '../../src/pg.js'
import { serials } from '../../src/serials/extension.js'
import { series } from '../../src/series/extension.js'
import { stock } from '../../src/stock/extension.js'
import * as work from '../../src/work.js'
import { type EngineName, type ErpDb, SERIES } from './engines.js'
import type { useInbox } from './inbox.js'
import type { JobDb } from './jobs.js'
import type { LeaseDb } from './leases.js'
import type { useOutbox } from './outbox.js'
import type { StepsDb } from './steps.js'
import { STOCK } from './stock-models.js'

type Opened<U extends (...args: never[]) => { open(): unknown }> = Awaited<ReturnType<ReturnType<U>['open']>>
type OutboxDb = Opened<typeof useOutbox>
type InboxDb = Opened<typeof useInbox>

/** A client with every feature of both engines. */
export type AllDb = ErpDb &
  Pick<LeaseDb, '$withLease'> &
  Pick<JobDb, '$job'> &
  Pick<StepsDb, '$steps'> &
  Pick<OutboxDb, '$outbox'> &
  Pick<InboxDb, '$inbox'>

/** The calls that a `tx` has beside those that its type tells. */
export const outboxOf = (tx: object) => (tx as unknown as Pick<OutboxDb, '$outbox'>).$outbox

const OPTIONS = {
  transitions: { Parcel: { field: 'state', from: { PENDING: ['PAID'] } } },
} as const

const versioned = (client: PrismaClient) => client.$extends(onPrisma(OPTIONS))

/** The same of a client on Prisma, whose models have methods. */
export const modelsOf = (db: object) => db as unknown as ReturnType<typeof versioned>

interface Extendable {
  $extends(extension: unknown): object
}

const extended = (client: object, extensions: readonly unknown[]) =>
  extensions.reduce<object>((below, extension) => (below as Extendable).$extends(extension), client)

/** Every feature on a client of Prisma's. */
export function onClient(client: PrismaClient, options: Pick<ConcurrencyOptions, 'retry'> = {}): AllDb {
  const { leases, jobs, outbox, inbox, steps } = work
  const core = onPrisma({ ...OPTIONS, ...options })
  const others = [stock(STOCK), serials(), series(SERIES), leases(), jobs(), outbox(), inbox(), steps()]
  return extended(client, [core, ...others]) as AllDb
}

/** The same on a pool. */
export async function onPool(pool: pg.Pool, options: Pick<ConcurrencyOptions, 'retry'> = {}): Promise<AllDb> {
  const others = [onPg.stock(STOCK), onPg.serials(), onPg.series(SERIES)]
  const { leases, jobs, outbox, inbox, steps } = onPg
  const core = await onPg.concurrency(pool, options)
  return extended(core, [...others, leases(), jobs(), outbox(), inbox(), steps()]) as AllDb
}

interface PoolOptions extends Pick<ConcurrencyOptions, 'retry'> {
  readonly url: string
  readonly poolSize: number
  /** Gives the statements of Prisma's adapter names, under which the server keeps them prepared. */
  readonly statementNameGenerator?: (query: { readonly sql: string }) => string
}

/** A client of the engine with every feature. To the tests both are one. */
export async function openAll(name: EngineName, { url, poolSize, statementNameGenerator, retry }: PoolOptions) {
  const pool = new pg.Pool({ connectionString: url, max: poolSize })
  pool.on('error', () => {})
  const naming = statementNameGenerator ? { statementNameGenerator } : undefined
  const client = new PrismaClient({ adapter: new PrismaPg(pool, naming) })
  const options = retry ? { retry } : {}
  return {
    db: name === 'pg' ? await onPool(pool, options) : onClient(client, options),
    pool,
    query: async (sql: string, values?: unknown[]) => (await pool.query(sql, values)).rows as object[],
    close: async () => {
      await client.$disconnect()
      await pool.end()
    },
  }
}

/** The same on an adapter of Prisma's. */
export function openOn(adapter: SqlDriverAdapterFactory, options: Pick<ConcurrencyOptions, 'retry'> = {}) {
  const client = new PrismaClient({ adapter })
  return { db: onClient(client, options), client, close: () => client.$disconnect() }
}
