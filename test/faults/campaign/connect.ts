import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { PrismaClient } from '../../../generated/prisma/client.js'
import { serials, series, stock } from '../../../src/erp.js'
import { concurrency } from '../../../src/index.js'
import { concurrency as onPool, serials as pgSerials, series as pgSeries, stock as pgStock } from '../../../src/pg.js'
import { ARCHIVE } from '../../support/archive-models.js'
import type { SerialRow } from '../../support/engines.js'
import { PALLET } from '../../support/pallet-models.js'
import { STOCK, type StockItem } from '../../support/stock-models.js'

export type EngineName = 'prisma' | 'pg'

/** The deadline of each call, in ms. */
export const DEADLINE = 3_000

const RETRY = { deadline: DEADLINE, attempts: 30 }

/** A second ledger, with a maximum, and orders that are open, shipped in part and changed. */
const ORDERS = { ...PALLET, name: 'orders', retry: RETRY } as const

/** A third one, with a history, whose periods are closed and pruned. */
const LEDGER = { ...ARCHIVE, name: 'ledger', retry: RETRY } as const

const SERIES = {
  retry: RETRY,
  series: {
    invoice: { format: 'INV-{0}' },
    ticket: { blocks: 10 },
    document: { format: 'D-{0}', document: { model: 'Payment', number: 'reference' } },
  },
} as const

function openPrisma(pool: pg.Pool) {
  // A list of each length has a plan of its own, and Prisma keeps 1,000 plans unless told: 11 MB that no leak would show in.
  const client = new PrismaClient({ adapter: new PrismaPg(pool), queryPlanCacheMaxSize: 100 })
  return client
    .$extends(concurrency({ retry: RETRY }))
    .$extends(stock({ ...STOCK, retry: RETRY }))
    .$extends(stock(ORDERS))
    .$extends(stock(LEDGER))
    .$extends(serials({ retry: RETRY }))
    .$extends(series(SERIES))
}

async function openPg(pool: pg.Pool) {
  const db = await onPool(pool, { retry: RETRY })
  return db
    .$extends(pgStock<StockItem, number>({ ...STOCK, retry: RETRY }))
    .$extends(pgStock<'orders', string, number>(ORDERS))
    .$extends(pgStock<'ledger', string, number>(LEDGER))
    .$extends(pgSerials<SerialRow>({ retry: RETRY }))
    .$extends(pgSeries(SERIES))
}

export type PrismaDb = ReturnType<typeof openPrisma>
/** The methods that both engines have. */
export type Db = Awaited<ReturnType<typeof openPg>>
export type Tx = Pick<Db, 'query' | '$stock' | '$orders' | '$ledger' | '$serials' | '$series'>

export interface Connection {
  readonly db: Db
  /** Where the engine is Prisma. */
  readonly prisma: PrismaDb | undefined
  close(): Promise<void>
}

export async function connect(engine: EngineName, url: string): Promise<Connection> {
  const pool = new pg.Pool({ connectionString: url, max: 8, connectionTimeoutMillis: DEADLINE })
  pool.on('error', () => {}) // an idle connection that breaks is part of the campaign
  const close = () => pool.end()
  if (engine === 'pg') return { db: await untilOpen(() => openPg(pool)), prisma: undefined, close }
  const prisma = openPrisma(pool)
  const closeBoth = async () => {
    await prisma.$disconnect()
    await close()
  }
  return { db: prisma as unknown as Db, prisma, close: closeBoth }
}

/** The client of node-postgres reads the tables when it is opened, which a fault may keep it from. */
async function untilOpen<T>(open: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await open()
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

type RawClient = { $queryRawUnsafe(sql: string, ...values: unknown[]): Promise<Record<string, unknown>[]> }

/** Sends SQL as a user of the engine does. */
export async function rows(tx: object, sql: string, ...values: unknown[]): Promise<Record<string, unknown>[]> {
  if ('$queryRawUnsafe' in tx) return (tx as RawClient).$queryRawUnsafe(sql, ...values)
  return (await (tx as Tx).query(sql, values)).rows
}
