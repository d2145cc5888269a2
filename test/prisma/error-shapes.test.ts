import { createServer } from 'node:net'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import {
  isConnectionLost,
  isOutOfRange,
  isStatementTimeout,
  isTransactionConflict,
  isTransactionTimeout,
  isUnreachable,
  sqlState,
} from '../../src/engine/error-facts.js'
import { isRecordNotFound } from '../../src/prisma/errors.js'
import { AT_COMMIT_TRIGGER, atCommit } from '../support/at-commit.js'
import { PATIENT, useDatabase } from '../support/clients.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { freePort } from '../support/server.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()
type Tx = Parameters<Parameters<PrismaClient['$transaction']>[0]>[0]

beforeAll(async () => {
  await database.query(AT_COMMIT_TRIGGER)
  await database.query(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 10', current_database()); END $$`,
  )
})

/** The library's reading of the error. */
function verdict(error: unknown) {
  const questions = {
    conflict: isTransactionConflict,
    timeout: isStatementTimeout,
    outOfRange: isOutOfRange,
    lost: isConnectionLost,
    unreachable: isUnreachable,
    transactionTimeout: isTransactionTimeout,
    notFound: isRecordNotFound,
  }
  const yes = Object.entries(questions).filter(([, question]) => question(error))
  return [sqlState(error), ...yes.map(([name]) => name)]
}

/** The error as seen from outside: its class and its code. */
function shape(error: unknown) {
  const { name, code } = error as { name: string; code?: string }
  return code === undefined ? name : `${name} ${code}`
}

const KNOWN = 'PrismaClientKnownRequestError'

/** The three ways of writing the stock of a product in a transaction, the last of them in its COMMIT. */
const WAYS: Record<string, (tx: Tx, id: number) => Promise<unknown>> = {
  'a model call': (tx, id) => tx.product.update({ where: { id }, data: { stock: 1 } }),
  'raw SQL': (tx, id) => tx.$executeRaw`UPDATE "Product" SET stock = 1 WHERE id = ${id}`,
  COMMIT: (tx, id) => tx.note.create({ data: atCommit(`UPDATE "Product" SET stock = 1 WHERE id = ${id}`) }),
}

async function newProduct(): Promise<number> {
  const [row] = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
  return row?.id as number
}

describe.each([
  ['a model call', `${KNOWN} P2034`],
  ['raw SQL', `${KNOWN} P2010`],
  ['COMMIT', 'DriverAdapterError'],
])('from %s', (way, expectedShape) => {
  const write = WAYS[way] as (tx: Tx, id: number) => Promise<unknown>
  const otherShape = expectedShape.replace('P2034', 'P2039')

  test(`a serialization failure (40001) is a conflict`, async () => {
    const { client } = database.connect()
    const id = await newProduct()
    const error = await rejectionOf(
      client.$transaction(
        async (tx) => {
          await tx.product.findUniqueOrThrow({ where: { id } })
          await database.query(`UPDATE "Product" SET stock = 7 WHERE id = $1`, [id])
          await write(tx, id)
        },
        { isolationLevel: 'RepeatableRead' },
      ),
    )

    expect([...verdict(error), shape(error)]).toEqual(['40001', 'conflict', expectedShape])
  })

  test('a deadlock (40P01) is a conflict', async () => {
    const { client } = database.connect()
    const [mine, theirs] = [await newProduct(), await newProduct()]
    const other = await openTransaction(database.url, `SET LOCAL deadlock_timeout = '1h'`)
    await other.query(`UPDATE "Product" SET stock = 2 WHERE id = $1`, [theirs])
    let others: Promise<unknown> | undefined
    const error = await rejectionOf(
      client.$transaction(async (tx) => {
        await tx.$executeRaw`UPDATE "Product" SET stock = 3 WHERE id = ${mine}`
        others = other.query(`UPDATE "Product" SET stock = 2 WHERE id = $1`, [mine])
        await untilBlocked(database.url)
        await write(tx, theirs)
      }),
    )
    await others

    expect([...verdict(error), shape(error)]).toEqual(['40P01', 'conflict', expectedShape])
  })

  test('a lock_timeout (55P03) is a timeout of the statement', async () => {
    const { client } = database.connect()
    const id = await newProduct()
    await openTransaction(database.url, `UPDATE "Product" SET stock = 2 WHERE id = $1`, [id])
    const error = await rejectionOf(
      client.$transaction(async (tx) => {
        await tx.$executeRaw`SELECT set_config('lock_timeout', '10', true)`
        await write(tx, id)
      }),
    )

    expect([...verdict(error), shape(error)]).toEqual(['55P03', 'timeout', otherShape])
  })

  test('a cancelled statement (57014) is a timeout of the statement', async () => {
    const { client } = database.connect()
    const id = await newProduct()
    await openTransaction(database.url, `UPDATE "Product" SET stock = 2 WHERE id = $1`, [id])
    const failing = rejectionOf(client.$transaction((tx) => write(tx, id)))
    await untilBlocked(database.url)
    await database.query(
      `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`,
    )
    const error = await failing

    expect([...verdict(error), shape(error)]).toEqual(['57014', 'timeout', otherShape])
  })

  test('a backend that is terminated (57P01) is a lost connection', async () => {
    const { client } = database.connect()
    const id = await newProduct()
    await openTransaction(database.url, `UPDATE "Product" SET stock = 2 WHERE id = $1`, [id])
    const failing = rejectionOf(client.$transaction((tx) => write(tx, id)))
    await untilBlocked(database.url)
    await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`,
    )
    const error = await failing

    expect([...verdict(error), shape(error)]).toEqual(['57P01', 'lost', otherShape])
  })

  test('a connection that is cut is a lost connection', async () => {
    const proxy = await openProxy(database.url)
    const client = connectTo({ connectionString: proxy.url })
    const id = await newProduct()
    proxy.next(/^UPDATE|^COMMIT/, 'cut')
    const error = await rejectionOf(client.$transaction((tx) => write(tx, id)))

    expect(verdict(error)).toEqual([undefined, 'lost'])
  })
})

test('write skew at SERIALIZABLE, which only COMMIT finds out, is a conflict', async () => {
  const { client } = database.connect()
  const [first, second] = [await newProduct(), await newProduct()]
  const other = await openTransaction(database.url, `SET TRANSACTION ISOLATION LEVEL SERIALIZABLE`)
  await other.query(`SELECT sum(stock) FROM "Product"`)
  let wasWritten = false
  const error = await rejectionOf(
    client.$transaction(
      async (tx) => {
        await tx.product.aggregate({ _sum: { stock: true } })
        await other.query(`UPDATE "Product" SET stock = 2 WHERE id = $1`, [first])
        await tx.product.update({ where: { id: second }, data: { stock: 3 } })
        await other.query('COMMIT')
        wasWritten = true
      },
      { isolationLevel: 'Serializable' },
    ),
  )

  expect(wasWritten).toBe(true)
  expect([...verdict(error), shape(error)]).toEqual(['40001', 'conflict', 'DriverAdapterError'])
})

test('a number that does not fit (22003) is out of range, from a model call and from raw SQL', async () => {
  const { client } = database.connect()
  const id = await newProduct()
  await database.query(`UPDATE "Product" SET stock = 2147483647 WHERE id = $1`, [id])

  expect(
    verdict(await rejectionOf(client.product.update({ where: { id }, data: { stock: { increment: 1 } } }))),
  ).toEqual(['22003', 'outOfRange'])
  expect(
    verdict(await rejectionOf(client.$executeRaw`UPDATE "Product" SET stock = stock + 1 WHERE id = ${id}`)),
  ).toEqual(['22003', 'outOfRange'])
})

test('the timeout of an interactive transaction is told apart from those of the server', async () => {
  const { client } = database.connect()
  const error = await rejectionOf(
    client.$transaction(
      async (tx) => {
        await tx.$queryRaw`SELECT 1 FROM pg_sleep(0.05)`
        await tx.note.findMany()
      },
      { timeout: 1 },
    ),
  )

  expect([...verdict(error), shape(error)]).toEqual([undefined, 'transactionTimeout', `${KNOWN} P2028`])
})

/** A client of a pool with this configuration. */
function connectTo(config: pg.PoolConfig, pool = new pg.Pool(config)): PrismaClient {
  const client = new PrismaClient({
    adapter: new PrismaPg(pool, { disposeExternalPool: true }),
    transactionOptions: PATIENT,
  })
  onTestFinished(() => client.$disconnect())
  return client
}

/** The three ways of meeting a server: each needs a connection first. */
async function meet(client: PrismaClient) {
  return [
    await rejectionOf(client.product.findMany()),
    await rejectionOf(client.$queryRaw`SELECT 1`),
    await rejectionOf(client.$transaction(async (tx) => tx.product.findMany())),
  ].map(verdict)
}

test('a server that nobody answers for is unreachable, and not a lost connection', async () => {
  const client = connectTo({ host: '127.0.0.1', port: await freePort() })

  expect(await meet(client)).toEqual(Array(3).fill([undefined, 'unreachable']))
})

test('a host that has no address is unreachable', async () => {
  const client = connectTo({ host: 'nowhere.invalid', port: 5432 })

  expect(await meet(client)).toEqual(Array(3).fill([undefined, 'unreachable']))
})

test('a server that takes the connection and says nothing is unreachable, for nothing was sent to it', async () => {
  const silent = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => silent.once('listening', resolve))
  onTestFinished(() => void silent.close())
  const { port } = silent.address() as { port: number }
  const client = connectTo({ host: '127.0.0.1', port, connectionTimeoutMillis: 20 })

  expect(await meet(client)).toEqual(Array(3).fill([undefined, 'unreachable']))
})

test('a pool that has no connection to give in time is unreachable, for nothing was sent', async () => {
  const pool = new pg.Pool({ connectionString: database.url, max: 1 })
  const client = connectTo({}, pool)
  const verdicts = await client.$transaction(() => {
    pool.options.connectionTimeoutMillis = 20
    return meet(client)
  })

  expect(verdicts).toEqual(Array(3).fill([undefined, 'unreachable']))
})

test('a server that has no connection left (53300) is unreachable', async () => {
  await database.query(`CREATE ROLE one_only LOGIN PASSWORD 'secret' CONNECTION LIMIT 1`)
  const url = new URL(database.url)
  url.username = 'one_only'
  url.password = 'secret'
  onTestFinished(async () => void (await database.query('DROP ROLE one_only')))
  await openConnection(url.href)
  const client = connectTo({ connectionString: url.href })

  expect(await meet(client)).toEqual(Array(3).fill(['53300', 'unreachable']))
})

test('a query that timed out in the driver is a lost connection, for the server may still carry it out', async () => {
  const client = connectTo({ connectionString: database.url, query_timeout: 20 })

  expect(verdict(await rejectionOf(client.$queryRaw`SELECT 1 FROM pg_sleep(0.2)`))).toEqual([undefined, 'lost'])
})

test.each([
  undefined,
  null,
  'P2034',
  40001,
  {},
  new Error('40001'),
  Object.assign(new Error('could not serialize'), { meta: null, cause: '40001' }),
])('%o is no error of the database', (value) => {
  expect(verdict(value)).toEqual([undefined])
})
