import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { afterAll, describe } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { type EventOptions, concurrency as onPrisma } from '../../src/index.js'
import { concurrency as onPool, type PgClient, type PgClientMethods, serials, series, stock } from '../../src/pg.js'
import { DEFAULT_TRANSACTION } from '../../src/retry/policy.js'
import { serials as prismaSerials } from '../../src/serials/extension.js'
import { series as prismaSeries } from '../../src/series/extension.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import { useDatabase } from './clients.js'
import { STOCK, type StockItem } from './stock-models.js'

export type EngineName = 'prisma' | 'pg'

/** The `tx` of a body in the tests: SQL goes by `rows`, which is one function for both engines. */
export type Tx = PgClientMethods<Record<never, never>>

type Sender = { query(sql: string, values?: unknown[]): Promise<{ rows: object[] }> }
type RawClient = { $queryRawUnsafe(sql: string, ...values: unknown[]): Promise<object[]> }

/** Sends SQL as a user of the engine does. */
export async function rows(tx: object, sql: string, ...values: unknown[]): Promise<Record<string, unknown>[]> {
  const sent =
    '$queryRawUnsafe' in tx
      ? await (tx as RawClient).$queryRawUnsafe(sql, ...values)
      : (await (tx as Sender).query(sql, values)).rows
  return sent as Record<string, unknown>[]
}

export interface EngineOptions {
  readonly url: string
  readonly poolSize?: number
  /** The listeners of the client. */
  readonly options?: EventOptions
}

/** A client of the engine with `concurrency()` alone. To the tests both are one. */
export async function openEngine(name: EngineName, { url, poolSize = 10, options }: EngineOptions) {
  const pool = new pg.Pool({ connectionString: url, max: poolSize })
  pool.on('error', () => {}) // a server that goes away is part of some tests
  const client = new PrismaClient({ adapter: new PrismaPg(pool), transactionOptions: DEFAULT_TRANSACTION })
  const db = name === 'pg' ? await onPool(pool, options) : (client.$extends(onPrisma(options)) as unknown as PgClient)
  const end = async () => {
    await client.$disconnect()
    await pool.end()
  }
  let ended: Promise<void> | undefined
  const close = () => (ended ??= end())
  return { db, pool, client, close }
}

export const SERIES = {
  series: {
    invoice: { format: 'INV-{yyyy}-{000}' },
    ticket: { blocks: 10 },
    payment: { format: 'P-{yyyy}-{000}', document: { model: 'Payment', number: 'reference' } },
  },
  void: {},
} as const

/** The same, with stock, serials and series on models of the tests' schema. */
export async function openErp(name: EngineName, options: EngineOptions) {
  const { db: plain, client, ...rest } = await openEngine(name, options)
  const prisma = () =>
    client
      .$extends(onPrisma(options.options))
      .$extends(prismaStock(STOCK))
      .$extends(prismaSerials())
      .$extends(prismaSeries(SERIES))
  const own =
    name === 'pg'
      ? plain.$extends(stock<StockItem, number>(STOCK)).$extends(serials<SerialRow>()).$extends(series(SERIES))
      : undefined
  return { db: own ?? (prisma() as unknown as NonNullable<typeof own>), client, ...rest }
}

export type ErpDb = Awaited<ReturnType<typeof openErp>>['db']

export interface SerialRow {
  readonly productId: number
  readonly number: string
  readonly transactionId: string | null
  readonly orderId: number | null
}

/** The tests of a behaviour, once for each engine. Each has a database of its own. */
export function describeEngines(body: (engine: ReturnType<typeof useEngine>) => void): void {
  for (const name of ['prisma', 'pg'] as const) describe(`on ${name}`, () => body(useEngine(name)))
}

export function useEngine(name: EngineName) {
  const database = useDatabase()
  const opened: { close(): Promise<void> }[] = []
  afterAll(async () => {
    await Promise.all(opened.map(({ close }) => close()))
  })
  return {
    name,
    /** The engine that the tests of this one share the database with. */
    other: name === 'pg' ? ('prisma' as const) : ('pg' as const),
    database,
    async connect(engine: EngineName = name, options: Partial<EngineOptions> = {}) {
      const made = await openEngine(engine, { url: database.url, ...options })
      opened.push(made)
      return made
    },
    async connectErp(engine: EngineName = name, options: Partial<EngineOptions> = {}) {
      const made = await openErp(engine, { url: database.url, ...options })
      opened.push(made)
      return made
    },
  }
}
