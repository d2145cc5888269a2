import { PrismaPg } from '@prisma/adapter-pg'
import { beforeEach, describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency, InvalidArgumentError } from '../../src/index.js'
import { advisoryWaiters, lockElsewhere } from '../support/advisory.js'
import { createClient } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { createDatabase, type Database, databaseName } from '../support/database.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

type Client = ReturnType<typeof connectTo>['db']

const PATIENT = { timeout: 100_000, bodyTimeout: 100_000 }
const SET_LEVEL = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED'

let database: Database

beforeEach(async () => {
  database = await createDatabase(inject('serverUrl'), inject('template'))
  onTestFinished(() => database.drop())
})

/** For the connections that are made from here on. */
const setDefault = (level: string) =>
  database.query(`ALTER DATABASE ${databaseName(database.url)} SET default_transaction_isolation = '${level}'`)

const levelIn = async (tx: Pick<Client, '$queryRaw'>) => {
  const [{ level }] = await tx.$queryRaw<[{ level: string }]>`SELECT current_setting('transaction_isolation') AS level`
  return level
}

/** The stock that the body under the lock reads, and its level, where the holder before it has written a stock of 7. */
async function readAfterHolder(db: Client) {
  const { id } = await db.product.create({ data: { name: 'read' } })
  const holder = await lockElsewhere(database.url, '["read"]')
  const read = db.$withAdvisoryLock(
    'read',
    async (tx) => ({ stock: (await tx.product.findUniqueOrThrow({ where: { id } })).stock, level: await levelIn(tx) }),
    PATIENT,
  )
  await untilBlocked(database.url)
  await holder.query('UPDATE "Product" SET stock = 7 WHERE id = $1', [id])
  await holder.query('COMMIT')
  return read
}

const RIGHT = { stock: 7, level: 'read committed' }

describe('the level of the lock’s transaction', () => {
  test('is not named where it is the default', async () => {
    const { db, statements } = connectTo(database.url)
    for (const key of ['one', 'two']) await db.$withAdvisoryLock(key, async () => {})
    expect(statements).not.toContain(SET_LEVEL)
  })

  test('is named once the default has turned out to be another one', async () => {
    await setDefault('repeatable read')
    const { db, statements } = connectTo(database.url)
    for (const key of ['one', 'two']) await db.$withAdvisoryLock(key, async () => {})
    expect(statements.filter((sql) => /^(BEGIN|SET|COMMIT|ROLLBACK)/.test(sql))).toEqual([
      ...['BEGIN', 'ROLLBACK'],
      ...['BEGIN', SET_LEVEL, 'COMMIT'],
      ...['BEGIN', SET_LEVEL, 'COMMIT'],
    ])
  })

  test('is not named because of a body that fails with the same code, nor is that body run again', async () => {
    const { db, statements } = connectTo(database.url)
    const body = vi.fn(async () => {
      throw new InvalidArgumentError('isolationLevel', 'is not what the body wants.')
    })
    await rejectionOf(db.$withAdvisoryLock('fails', body))
    await db.$withAdvisoryLock('next', async () => {})
    expect({ runs: body.mock.calls.length, isNamed: statements.includes(SET_LEVEL) }).toEqual({
      runs: 1,
      isNamed: false,
    })
  })
})

describe('what the last holder wrote is read, at READ COMMITTED,', () => {
  test.each(['repeatable read', 'serializable'])('where %s is the default of the database', async (level) => {
    await setDefault(level)
    const { db } = connectTo(database.url)
    expect(await readAfterHolder(db)).toEqual(RIGHT)
    expect(await db.$withAdvisoryLock('free', levelIn)).toBe('read committed')
  })

  test('where it is the default of the client', async () => {
    const client = new PrismaClient({
      adapter: new PrismaPg({ connectionString: database.url }),
      transactionOptions: { isolationLevel: 'Serializable' },
    })
    onTestFinished(() => client.$disconnect())
    expect(await readAfterHolder(client.$extends(concurrency()))).toEqual(RIGHT)
  })

  test('on a connection made after the default was changed', async () => {
    const { db, pool } = connectTo(database.url)
    await db.$withAdvisoryLock('before', async () => {})
    await setDefault('repeatable read')
    const old = await pool.connect() // so that the next one is new
    onTestFinished(() => old.release())
    expect(await readAfterHolder(db)).toEqual(RIGHT)
  })

  test('on a connection whose default is changed again and again', async () => {
    const { db, pool } = connectTo(database.url, { poolSize: 1 })
    const seen: string[] = []
    for (const level of ['read committed', 'serializable', 'read committed', 'repeatable read']) {
      await pool.query(`SET default_transaction_isolation = '${level}'`)
      seen.push(await db.$withAdvisoryLock(level, levelIn))
    }
    expect(seen).toEqual(seen.map(() => 'read committed'))
  })

  test('after a wait that came upon the changed default, in the one place that it has among the waiters', async () => {
    const { client, pool, statements } = createClient(database.url)
    onTestFinished(() => client.$disconnect())
    const db = client.$extends(concurrency({ lock: { maxWaiting: 1 } }))
    const { id } = await db.product.create({ data: { name: 'late' } })
    const holders = await Promise.all(['1', '2', '3'].map((n) => lockElsewhere(database.url, `["late ${n}"]`)))
    const untilRolledBack = (times: number) =>
      vi.waitUntil(() => statements.filter((sql) => sql === 'ROLLBACK').length === times, { timeout: 60_000 })
    const { opened, open } = gate()
    const first = db.$withAdvisoryLock('late 1', () => opened, PATIENT)
    await untilBlocked(database.url)
    const second = db.$withAdvisoryLock('late 2', (tx) => tx.product.findUniqueOrThrow({ where: { id } }), PATIENT)
    await untilRolledBack(2)
    const third = db.$withAdvisoryLock('late 3', async () => 'third', PATIENT)
    await untilRolledBack(3)
    await setDefault('repeatable read')
    await vi.waitUntil(() => pool.idleCount === pool.totalCount - 1, { timeout: 60_000 })
    while (pool.idleCount > 0) {
      const old = await pool.connect() // so that the next one is new
      onTestFinished(() => old.release())
    }
    await holders[0].query('COMMIT') // so that the second one has its place
    await untilRolledBack(4)
    await untilBlocked(database.url)
    await db.note.count()
    const waiters = await advisoryWaiters(database.url)
    await holders[1].query('UPDATE "Product" SET stock = 7 WHERE id = $1', [id])
    for (const holder of holders.slice(1)) await holder.query('COMMIT')
    open()
    expect(waiters).toBe(1)
    expect(await Promise.all([first, second, third])).toEqual([
      undefined,
      expect.objectContaining({ stock: 7 }),
      'third',
    ])
  })
})
