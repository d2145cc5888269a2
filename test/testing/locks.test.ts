import { expect, test } from 'vitest'
import { holdRow, untilBlocked } from '../../src/testing.js'
import { useExtended } from '../support/extended.js'
import { started } from '../support/started.js'

const { database, connect } = useExtended()
const product = async () => {
  const { db } = connect()
  const { id } = await db.product.create({ data: { name: 'Chai', stock: 39 } })
  const lock = () => holdRow(database.url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
  const write = () => started(db.product.updateVersioned({ where: { id }, data: () => ({ stock: 5 }) }))
  return { db, id, lock, write }
}

test('a row that a stranger holds is written when it is released', async () => {
  const { db, id, lock, write } = await product()
  const stranger = await lock()
  const call = write()
  const [blocked] = await untilBlocked(database.url)
  const before = await db.product.findUniqueOrThrow({ where: { id } })
  await stranger.release()

  expect(blocked).toEqual({
    pid: expect.any(Number),
    blockedBy: [stranger.pid],
    query: expect.stringContaining('UPDATE'),
  })
  expect(before.stock).toBe(39)
  expect(await call).toMatchObject({ stock: 5 })
})

test('what a stranger has written is there when it commits, and not when it is released', async () => {
  const { db, id, lock } = await product()
  const first = await lock()
  await first.query('UPDATE "Product" SET stock = 40 WHERE id = $1', [id])
  await first.release()
  const released = await db.product.findUniqueOrThrow({ where: { id } })
  const other = await lock()
  await other.query('UPDATE "Product" SET stock = 41 WHERE id = $1', [id])
  await other.commit()

  expect(released.stock).toBe(39)
  expect(await db.product.findUniqueOrThrow({ where: { id } })).toMatchObject({ stock: 41 })
})

test('a statement that cannot lock is the error of the call, and no connection stays open', async () => {
  await expect(holdRow(database.url, 'SELECT FROM "No such table" FOR UPDATE')).rejects.toMatchObject({ code: '42P01' })
  const rows = await database.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'`,
  )
  expect(rows).toEqual([])
})

test('sessions are waited for until there are so many, or that one', async () => {
  const { lock, write } = await product()
  const stranger = await lock()
  const calls = [write(), started(connect().db.$queryRaw`SELECT FROM "Product" FOR UPDATE`)]
  const both = await untilBlocked(database.url, { sessions: 2 })
  const [one] = await untilBlocked(database.url, { pid: both[1]?.pid })
  await stranger.release()
  await Promise.all(calls)

  expect(both).toHaveLength(2)
  expect(one?.pid).toBe(both[1]?.pid)
})

test('sessions that do not wait in time are an error, which names what they do', async () => {
  const { lock } = await product()
  const stranger = await lock()
  const error = untilBlocked(database.url, { timeout: 10 })

  await expect(error).rejects.toThrow(/0 sessions wait for a lock, and not 1, after 10 ms\..*idle in transaction/s)
  await stranger.release()
})
