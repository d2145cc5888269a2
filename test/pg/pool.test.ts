import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { concurrency } from '../../src/pg.js'
import { useDatabase } from '../support/clients.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()

async function connect(max: number) {
  const pool = new pg.Pool({ connectionString: database.url, max })
  onTestFinished(() => pool.end())
  return { pool, db: await concurrency(pool) }
}

test('every connection goes back to the pool, however a transaction ends', async () => {
  const { pool, db } = await connect(1)
  await db.$transaction(async () => {})
  await rejectionOf(db.$transaction((tx) => tx.query('SELECT 1 / 0')))
  await rejectionOf(db.$transaction(async () => Promise.reject(new Error('no'))))
  await rejectionOf(db.$transaction(() => new Promise(() => {}), { timeout: 20 }))
  await rejectionOf(db.$withAdvisoryLock('a', () => new Promise(() => {}), { bodyTimeout: 20 }))
  expect((await db.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  expect([pool.waitingCount, pool.totalCount - pool.idleCount]).toEqual([0, 0])
})

test('a connection that comes too late for its caller goes back to the pool', async () => {
  const { pool, db } = await connect(1)
  const { opened, open } = gate()
  const holder = db.$transaction(() => opened)
  const error = await rejectionOf(db.$transaction(async () => {}, { maxWait: 20 }))
  open()
  await holder
  expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  expect((await db.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  expect(pool.totalCount - pool.idleCount).toBe(0)
})

test('a connection that breaks between two statements is the error of the transaction, and not of the process', async () => {
  const { db } = await connect(2)
  const work = db.$transaction(async (tx) => {
    const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    await database.query('SELECT pg_terminate_backend($1, 5000)', [rows[0]?.pid])
    await tx.query('SELECT 1')
  })
  expect(await rejectionOf(work)).toBeInstanceOf(Error)
  expect((await db.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
})

test('a transaction whose statement waits for a row is rejected at its timeout, before the row is free', async () => {
  const { db } = await connect(2)
  await database.query('CREATE TABLE waited (id int); INSERT INTO waited VALUES (1)')
  const { opened, open } = gate()
  const { opened: locked, open: lock } = gate()
  const holder = db.$transaction(
    async (tx) => {
      await tx.query('UPDATE waited SET id = 2')
      lock()
      await opened
    },
    { timeout: 100_000 },
  )
  await locked
  const error = await rejectionOf(db.$transaction((tx) => tx.query('UPDATE waited SET id = 3'), { timeout: 100 }))
  open()
  await holder

  expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  expect((await db.query('SELECT id FROM waited')).rows).toEqual([{ id: 2 }])
})

test('a tx whose transaction ran out of time says that it is over', async () => {
  const { db } = await connect(1)
  let late: Promise<unknown> | undefined
  const { opened, open } = gate()
  const error = await rejectionOf(
    db.$transaction(
      async (tx) => {
        late = opened.then(() => tx.query('SELECT 1'))
        late.catch(() => {})
        await new Promise(() => {})
      },
      { timeout: 20 },
    ),
  )
  open()

  expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  expect(await rejectionOf(late as Promise<unknown>)).toMatchObject({ code: 'TRANSACTION_SCOPE', reason: 'over' })
})

test('a transaction sends BEGIN, its statements and COMMIT, and nothing else', async () => {
  const sent: string[] = []
  class Counting extends pg.Client {
    // biome-ignore lint/suspicious/noExplicitAny: the overloads of pg's query
    override query(...args: any[]): any {
      sent.push(typeof args[0] === 'string' ? args[0] : args[0].text)
      return super.query(...(args as [never]))
    }
  }
  const pool = new pg.Pool({ connectionString: database.url, Client: Counting as never })
  onTestFinished(() => pool.end())
  const db = await concurrency(pool)
  sent.length = 0
  await db.$transaction((tx) => tx.query('SELECT 1'), { isolationLevel: 'Serializable' })
  expect(sent).toEqual(['BEGIN ISOLATION LEVEL SERIALIZABLE', 'SELECT 1', 'COMMIT'])
})
