import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency, isConcurrencyError } from '../../src/index.js'
import { assertInterleaved, BrokenOrder, interleave } from '../../src/testing.js'
import { PATIENT, useDatabase } from '../support/clients.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()
let ids: [number, number] = [0, 0]
beforeEach(async () => {
  const rows = await database.query(
    `INSERT INTO "Product" (name, stock, "updatedAt") VALUES ('Chai', 39, now()), ('Chang', 17, now()) RETURNING id`,
  )
  ids = [Number(rows[0].id), Number(rows[1].id)]
})

const reset = () => database.query('UPDATE "Product" SET stock = 39, version = 0 WHERE id = ANY ($1)', [ids])
const stocks = async () =>
  (await database.query('SELECT stock FROM "Product" WHERE id = ANY ($1) ORDER BY id', [ids])).map(({ stock }) => stock)
const bothAreSold = async () => expect(await stocks()).toEqual([37, 39])
/** Whose statements came, one after the other. */
const turns = ({ broken }: Awaited<ReturnType<typeof interleave>>) => broken?.steps.map(({ body }) => body).join('')

describe('with Prisma', () => {
  const connect = (url: string) =>
    new PrismaClient({ adapter: new PrismaPg({ connectionString: url }), transactionOptions: PATIENT }).$extends(
      concurrency(),
    )
  type Db = ReturnType<typeof connect>
  const options = () => ({ url: database.url, connect, disconnect: (db: Db) => db.$disconnect(), setup: reset })
  const readAndWrite = async (db: Pick<Db, 'product'>) => {
    const { stock } = await db.product.findUniqueOrThrow({ where: { id: ids[0] } })
    await db.product.update({ where: { id: ids[0] }, data: { stock: stock - 1 } })
  }
  const byVersion = (db: Pick<Db, 'product'>) =>
    db.product.updateVersioned({ where: { id: ids[0] }, data: ({ stock }) => ({ stock: stock - 1 }) })

  test('the lost update of a read and a write is found, by the order that changes least between the two', async () => {
    const found = await interleave(readAndWrite, readAndWrite, { ...options(), check: bothAreSold })

    expect(turns(found)).toBe('abba')
  })

  test('updateVersioned loses no update in any order', async () => {
    const found = await interleave(byVersion, byVersion, { ...options(), check: bothAreSold })

    expect(found).toEqual({ orders: 6, skipped: 0, isComplete: true, broken: undefined })
  })

  test('a read and a write beside updateVersioned lose one', async () => {
    const found = await interleave(byVersion, readAndWrite, { ...options(), check: bothAreSold })

    expect(found.broken).toBeDefined()
  })

  test('a transaction is held before each of its statements, COMMIT among them', async () => {
    const body = (db: Db) => db.$transaction((tx) => readAndWrite(tx as unknown as Db))
    const { broken } = await interleave(body, body, { ...options(), check: bothAreSold })

    expect(broken?.steps.at(-1)).toEqual({ body: 'a', statement: 'COMMIT', waitedFor: undefined })
  })

  test('$transactionWithRetry with versioned writes is right in all orders', async () => {
    const body = (db: Db) => db.$transactionWithRetry((tx) => byVersion(tx))
    const found = await interleave(body, body, { ...options(), check: bothAreSold })

    expect(found).toMatchObject({ isComplete: true, broken: undefined })
  })

  test('an error that a body may end with breaks nothing', async () => {
    const body = (db: Db) => db.product.updateVersioned({ where: { id: ids[0], version: 0 }, data: { stock: 38 } })
    const found = await interleave(body, body, {
      ...options(),
      mayFail: (error) => isConcurrencyError(error, 'VERSION_CONFLICT'),
      check: async (_, { a, b }) => [a, b].filter(({ status }) => status === 'fulfilled').length === 1,
    })

    expect(found).toMatchObject({ isComplete: true, broken: undefined })
  })

  test('any other error of a body breaks the order', async () => {
    const body = (db: Db) => db.product.updateVersioned({ where: { id: ids[0], version: 0 }, data: { stock: 38 } })
    const { broken } = await interleave(body, body, { ...options(), check: () => true })

    expect(broken?.cause).toMatchObject({ code: 'VERSION_CONFLICT' })
  })
})

describe('with node-postgres', () => {
  const connect = async (url: string) => {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    await client.connect()
    return client
  }
  const options = () => ({
    url: database.url,
    connect,
    disconnect: (client: pg.Client) => client.end(),
    setup: reset,
    check: bothAreSold,
  })
  const sell = async (client: pg.Client) => {
    await client.query('BEGIN')
    const { rows } = await client.query('SELECT stock FROM "Product" WHERE id = $1', [ids[0]])
    await client.query('UPDATE "Product" SET stock = $1 WHERE id = $2', [rows[0].stock - 1, ids[0]])
    await client.query('COMMIT')
  }
  const sellLocked = async (client: pg.Client) => {
    await client.query('BEGIN')
    const { rows } = await client.query('SELECT stock FROM "Product" WHERE id = $1 FOR UPDATE', [ids[0]])
    await client.query('UPDATE "Product" SET stock = $1 WHERE id = $2', [rows[0].stock - 1, ids[0]])
    await client.query('COMMIT')
  }
  /** Locks the two rows one after the other. */
  const sellBoth = (first: number, second: number) => async (client: pg.Client) => {
    await client.query('BEGIN')
    try {
      for (const id of [first, second]) await client.query('UPDATE "Product" SET stock = stock - 1 WHERE id = $1', [id])
      await client.query('COMMIT')
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    }
  }

  test('the assertion shows the order', async () => {
    const error = await rejectionOf(assertInterleaved(sell, sell, options()))

    expect(error).toBeInstanceOf(BrokenOrder)
    expect(
      String(error),
    ).toBe(`BrokenOrder: expected [ 38, 39 ] to deeply equal [ 37, 39 ], when the statements come in this order:

1  a  BEGIN
2  b  BEGIN
3  a  SELECT stock FROM "Product" WHERE id = $1
4  b  SELECT stock FROM "Product" WHERE id = $1
5  b  UPDATE "Product" SET stock = $1 WHERE id = $2
6  b  COMMIT
7  a  UPDATE "Product" SET stock = $1 WHERE id = $2
8  a  COMMIT
`)
  })

  test('a statement that waits for a lock lets the other body go on, and orders that cannot be are left out', async () => {
    const found = await interleave(sellLocked, sellLocked, options())

    expect(found).toEqual({ orders: expect.any(Number), skipped: 0, isComplete: true, broken: undefined })
    expect(found.orders).toBeLessThan(20) // so many there would be if nothing waited
  })

  test('the order shows which statement has waited, and until which one', async () => {
    const addInTransaction = async (client: pg.Client) => {
      await client.query('BEGIN')
      await client.query('UPDATE "Product" SET stock = stock + 1 WHERE id = $1', [ids[0]])
      await client.query('COMMIT')
    }
    const add = (client: pg.Client) => client.query('UPDATE "Product" SET stock = stock + 1 WHERE id = $1', [ids[0]])
    let order = 0 // a before b, b before a, and then b in the transaction of a
    const { broken } = await interleave(addInTransaction, add, { ...options(), check: () => ++order < 3 })

    expect(broken?.order).toBe(`1  a  BEGIN
2  a  UPDATE "Product" SET stock = stock + 1 WHERE id = $1
3  b  UPDATE "Product" SET stock = stock + 1 WHERE id = $1 (waits for 4)
4  a  COMMIT`)
  })

  test('a deadlock is an order, in which the server refuses one of the two', async () => {
    const found = await interleave(sellBoth(ids[0], ids[1]), sellBoth(ids[1], ids[0]), {
      ...options(),
      check: async () => expect(await stocks()).toEqual([37, 37]),
    })

    expect(found.broken?.cause).toMatchObject({ code: '40P01' })
    expect(found.broken?.steps.filter(({ waitedFor }) => waitedFor !== undefined)).toHaveLength(2)
  })

  test('statements that the client has prepared are held as well', async () => {
    const body = async (client: pg.Client) => {
      const { rows } = await client.query({
        name: 'read',
        text: 'SELECT stock FROM "Product" WHERE id = $1',
        values: [ids[0]],
      })
      const values = [rows[0].stock - 1, ids[0]]
      await client.query({ name: 'write', text: 'UPDATE "Product" SET stock = $1 WHERE id = $2', values })
    }

    expect(turns(await interleave(body, body, options()))).toBe('abba')
  })

  test('write skew is found, and Serializable ends it with an error of one', async () => {
    const leave = (own: 0 | 1, isolation: string) => async (client: pg.Client) => {
      await client.query(`BEGIN ISOLATION LEVEL ${isolation}`)
      try {
        const { rows } = await client.query('SELECT sum(stock)::int AS sum FROM "Product" WHERE id = ANY ($1)', [ids])
        if (rows[0].sum >= 78) await client.query('UPDATE "Product" SET stock = 0 WHERE id = $1', [ids[own]])
        await client.query('COMMIT')
      } catch (error) {
        await client.query('ROLLBACK')
        throw error
      }
    }
    const oneIsLeft = async () => (await stocks()).includes(39)
    const skewed = await interleave(leave(0, 'REPEATABLE READ'), leave(1, 'REPEATABLE READ'), {
      ...options(),
      check: oneIsLeft,
    })
    const serializable = await interleave(leave(0, 'SERIALIZABLE'), leave(1, 'SERIALIZABLE'), {
      ...options(),
      mayFail: (error) => (error as { code?: string }).code === '40001',
      check: oneIsLeft,
    })

    expect(skewed.broken).toBeDefined()
    expect(serializable).toMatchObject({ isComplete: true, broken: undefined })
  })

  test('an exploration ends at its bound, and says that there is more', async () => {
    const found = await interleave(sellLocked, sellLocked, { ...options(), maxOrders: 2 })

    expect(found).toMatchObject({ orders: 2, isComplete: false, broken: undefined })
  })

  test('an order that does not end is left out', async () => {
    const poll = async (client: pg.Client) => {
      for (;;) {
        const { rows } = await client.query('SELECT stock FROM "Product" WHERE id = $1', [ids[0]])
        if (rows[0].stock !== 39) break
      }
    }
    const write = (client: pg.Client) => client.query('UPDATE "Product" SET stock = 37 WHERE id = $1', [ids[0]])
    const setup = () => database.query('UPDATE "Product" SET stock = 37 WHERE id = $1', [ids[0]])
    let isWarm = 0
    const found = await interleave(poll, write, {
      ...options(),
      setup: async () => void (await (isWarm++ < 2 ? setup() : reset())),
      maxStatements: 20,
      maxOrders: 5,
    })

    expect(found).toMatchObject({ isComplete: false, broken: undefined })
    expect(found.skipped).toBeGreaterThan(0)
  })

  test('a body that sends nothing on its client is told', async () => {
    const elsewhere = async () => database.query('SELECT 1')

    await expect(interleave(elsewhere, sell, options())).rejects.toThrow('The body a has sent nothing on the client')
  })

  test('a body that waits for the other one outside the database is told what was sent', async () => {
    let runs = 0
    const stuck = async (client: pg.Client) => {
      await client.query('SELECT 1 AS stuck')
      if (runs++ > 0) await new Promise(() => {})
    }

    await expect(interleave(stuck, sell, { ...options(), patience: 200 })).rejects.toThrow(
      /Nothing has happened for 200 ms: a is busy.*a {2}SELECT 1 AS stuck/s,
    )
  })
})
