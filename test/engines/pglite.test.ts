import { setTimeout } from 'node:timers/promises'
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import type { SqlDriverAdapterFactory } from '@prisma/driver-adapter-utils'
import { PrismaPGlite } from 'pglite-prisma-adapter'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AllDb, openAll, openOn } from '../support/all-features.js'
import { applyMigrations } from '../support/database.js'
import { rows } from '../support/engines.js'
import { expectCarried, featuresOf, newSubject, type Query } from '../support/feature-calls.js'
import { passingTimers } from '../support/passing-time.js'
import { rejectionOf } from '../support/rejection.js'
import { freePort } from '../support/server.js'
import { expectExact } from '../support/stock.js'

const CALLERS = 3
/** PGlite is slower than PostgreSQL, and has one connection. */
const PATIENT = { deadline: 100_000 }

let database: PGlite
let server: PGLiteSocketServer
let url: string
beforeAll(async () => {
  database = await PGlite.create()
  await applyMigrations((text) => database.exec(text))
  const port = await freePort()
  server = new PGLiteSocketServer({ db: database, host: '127.0.0.1', port })
  await server.start()
  url = `postgresql://postgres@127.0.0.1:${port}/postgres`
})
afterAll(async () => {
  await server?.stop()
  await database?.close()
})

const query: Query = async (text, values) => (await database.query<object>(text, values)).rows

/** The next client is turned away while the server has not heard of the end of the last one. */
async function untilAlone(): Promise<void> {
  while (server.getStats().activeConnections > 0) await setTimeout(10)
}

/** Calls that need a savepoint in a transaction, which the adapter does not have. */
const NEEDS_SAVEPOINT = ['$advisoryXactLock', 'findManyForUpdate', '$outbox']

const WAYS = {
  'in the process, with its adapter of Prisma': async () =>
    openOn(new PrismaPGlite(database) as unknown as SqlDriverAdapterFactory, { retry: PATIENT }),
  'behind a socket, on Prisma': () => openAll('prisma', { url, poolSize: 1, retry: PATIENT }),
  'behind a socket, on pg': () => openAll('pg', { url, poolSize: 1, retry: PATIENT }),
}

describe.each(Object.entries(WAYS))('PGlite %s', (way, open) => {
  let opened: { readonly db: AllDb; close(): Promise<void> }
  beforeAll(async () => {
    opened = await open()
  })
  afterAll(async () => {
    await opened?.close()
    await untilAlone()
  })

  const lacks = (name: string) => way.startsWith('in the process') && NEEDS_SAVEPOINT.includes(name)
  const features = Object.entries(featuresOf(way.endsWith('on pg') ? 'pg' : 'prisma'))
  test.each(features.filter(([name]) => !lacks(name)))(
    'carries %s, by one caller and by several at once',
    (_, feature) => expectCarried(feature, { db: opened.db, query, callers: CALLERS }),
  )

  test.each(features.filter(([name]) => lacks(name)))(
    'refuses %s, by an error that names the adapter',
    async (_, { call, counted }) => {
      const subject = await newSubject(query)
      expect(await rejectionOf(call(opened.db, subject, 0))).toMatchObject({
        code: 'CONFIGURATION',
        message: expect.stringContaining('adapter: of the client has no savepoints'),
      })
      expect(await counted(query, subject)).toBe(0)
    },
  )

  test('has added everything up', () => expectExact({ query: query as never }))

  test('ends a body that waits for the client by its deadline, and says what it waits for', async () => {
    const { db } = opened
    const pass = passingTimers()
    const body = () => {
      setImmediate(pass, PATIENT.deadline)
      return rows(db, 'SELECT 1')
    }
    const calls = [
      () => db.$transactionWithRetry(body, { retry: PATIENT }),
      () => db.$withAdvisoryLock('a', body, { timeout: 200_000, bodyTimeout: PATIENT.deadline }),
      () => db.$idempotent({ key: 'a', scope: 'a', retry: PATIENT }, body),
    ]
    for (const call of calls) {
      expect(await rejectionOf(call())).toMatchObject({
        code: 'DEADLINE_EXCEEDED',
        message: expect.stringContaining('instead of its own `tx`'),
      })
    }
    expect(await rows(db, 'SELECT 1 AS n')).toEqual([{ n: 1 }])
  })

  // In the process nobody knows how many connections there are: the second one is waited for, for five seconds.
  test.skipIf(way.startsWith('in the process'))(
    'has all that calls rely on, as far as one connection can tell',
    async () => {
      const codes = (await opened.db.$checkConcurrency()).map(({ code }) => code)
      expect(codes.sort()).toEqual(['CAPABILITY_NOT_TRIED', 'POOL_TOO_SMALL'])
    },
  )
})

test('the adapter in the process reports a COMMIT that was refused as done, which nobody can tell', async () => {
  const { db, close } = openOn(new PrismaPGlite(database) as unknown as SqlDriverAdapterFactory)
  await database.exec('CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)')
  const twice = db.$transactionWithRetry(async (tx) => {
    await rows(tx, 'INSERT INTO late VALUES (1), (1)')
    return 'done'
  })
  expect(await twice).toBe('done')
  expect(await query('SELECT FROM late')).toEqual([])
  await close()
})

test('a second connection to the socket is turned away, and its call is told so', async () => {
  const first = await openAll('pg', { url, poolSize: 1 })
  const second = await rejectionOf(openAll('pg', { url, poolSize: 1 }))
  expect(second).toBeInstanceOf(Error)
  expect(await first.query('SELECT 1 AS n')).toEqual([{ n: 1 }])
  await first.close()
})
