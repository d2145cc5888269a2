import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { afterAll, beforeAll, inject } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { createDatabase, type Database } from './database.js'

export interface ClientOptions {
  /** The size of the pool. Default 10, as in pg. */
  readonly poolSize?: number
  /** Whether looks into the catalogue, one per table and client, are among the statements. Default false. */
  readonly countsLooks?: boolean
  readonly omit?: ConstructorParameters<typeof PrismaClient>[0]['omit']
}

/**
 * How long a transaction of Prisma's may take, and wait for a connection, unless the test says otherwise. Of Prisma's own
 * limits, 2 and 5 s, a machine that has other work may need all to connect.
 */
export const PATIENT = { maxWait: 60_000, timeout: 100_000 }

/** A plain PrismaClient, and the statements it sends, BEGIN and COMMIT among them. */
export function createClient(url: string, { poolSize = 10, countsLooks = false, omit }: ClientOptions = {}) {
  const statements: string[] = []
  class CountingClient extends pg.Client {
    // biome-ignore lint/suspicious/noExplicitAny: the overloads of pg's query
    override query(...args: any[]): any {
      const [config] = args
      const sql: string = typeof config === 'string' ? config : config.text
      if (countsLooks || !sql.startsWith('WITH RECURSIVE relation AS')) statements.push(sql)
      return super.query(...(args as [never]))
    }
  }
  const pool = new pg.Pool({ connectionString: url, max: poolSize, Client: CountingClient as never })
  const adapter = new PrismaPg(pool, { disposeExternalPool: true })
  const client = new PrismaClient({ adapter, transactionOptions: PATIENT, ...(omit ? { omit } : {}) })
  return { client, pool, statements }
}

/** A database for this test file, and a way to make clients of it that are disconnected at the end. */
export function useDatabase() {
  let database: Database | undefined
  const clients: PrismaClient[] = []

  beforeAll(async () => {
    database = await createDatabase(inject('serverUrl'), inject('template'))
  })
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.$disconnect()))
    await database?.drop()
  })

  const get = () => {
    if (database === undefined) throw new Error('The database exists only while tests run.')
    return database
  }
  return {
    get url() {
      return get().url
    },
    query: (sql: string, values?: unknown[]) => get().query(sql, values),
    connect(options?: ClientOptions) {
      const made = createClient(get().url, options)
      clients.push(made.client)
      return made
    },
  }
}
