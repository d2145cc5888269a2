import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { openProxy } from '../support/proxy.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()
type Db = ReturnType<typeof connect>['db']

const TOGETHER = /^INSERT INTO "public"."Payment" AS t/
const INSERT = 'INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 1)'
const kinds = (statements: readonly string[]) => statements.map((sql) => sql.split(' ')[0])
const newIds = (count: number) => Array.from({ length: count }, () => randomUUID())
const insert = (db: Db, transactionId: string, data: object = {}) =>
  started(db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, ...data } }))
const countOf = async (ids: readonly string[]) =>
  (await database.query('SELECT 1 FROM "Payment" WHERE "transactionId" = ANY($1)', [ids])).length

describe('inserts of one tick that nobody else takes part in', () => {
  test('are one statement and no transaction around it, and each caller gets its own record', async () => {
    const { db, statements } = connect()
    await Promise.all(newIds(2).map((id) => insert(db, id))) // the first batch looks into the catalogue
    statements.length = 0
    const ids = newIds(40)
    const results = await Promise.all(ids.map((id) => insert(db, id)))
    expect(kinds(statements)).toEqual(['INSERT'])
    expect(results.every(({ replayed }) => !replayed)).toBe(true)
    const stored = await Promise.all(ids.map((transactionId) => db.payment.findUnique({ where: { transactionId } })))
    expect(results.map(({ record }) => record)).toEqual(stored)
  })

  test('give rows that are the same as those of a caller alone, defaults and all', async () => {
    const { db } = connect()
    const alone = await insert(db, randomUUID(), { amount: '12.345' })
    const [together] = await Promise.all(newIds(2).map((id) => insert(db, id, { amount: '12.345' })))
    const own = { id: 0, transactionId: '' }
    expect({ ...together.record, ...own }).toEqual({ ...alone.record, ...own })
  })

  test('are inserted in the order of their keys', async () => {
    const { db } = connect()
    const results = await Promise.all(newIds(30).map((id) => insert(db, id)))
    const ids = results
      .map(({ record }) => record)
      .sort((a, b) => a.id - b.id)
      .map((record) => record.transactionId)
    expect(ids).toEqual([...ids].sort())
  })

  test('of which some are known already: those are replays, and the others are not', async () => {
    const { db } = connect()
    const ids = newIds(10)
    for (const id of ids.slice(0, 5)) await database.query(INSERT, [id])
    const results = await Promise.all(ids.map((id) => insert(db, id)))
    expect(results.map(({ replayed }) => replayed)).toEqual(ids.map((_, index) => index < 5))
  })

  test('do not wait for a duplicate in flight elsewhere, which one of them has to wait for', async () => {
    const { db } = connect()
    const ids = newIds(5)
    const holder = await openTransaction(database.url, INSERT, [ids[3]])
    const calls = ids.map((id) => insert(db, id))
    const others = await Promise.all(calls.filter((_, index) => index !== 3))
    expect(others.every(({ replayed }) => !replayed)).toBe(true)
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    expect(await calls[3]).toMatchObject({ replayed: true })
  })

  test('leave the limit of waiting for a lock as it was', async () => {
    const { db } = connect({ poolSize: 1 })
    const limit = () => db.$queryRaw`SHOW lock_timeout`
    const before = await limit()
    await Promise.all(newIds(3).map((id) => insert(db, id)))
    expect(await limit()).toEqual(before)
  })

  test('one of which is refused: it fails alone, with Prisma’s own error', async () => {
    const { db } = connect()
    const ids = newIds(3)
    const outcomes = await Promise.allSettled(ids.map((id, i) => insert(db, id, { customerId: i === 1 ? -1 : null })))
    expect(outcomes).toMatchObject([{ status: 'fulfilled' }, { reason: { code: 'P2003' } }, { status: 'fulfilled' }])
  })

  test('whose keys a trigger spells otherwise are settled one by one', async () => {
    await database.query(`
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW."transactionId" := upper(NEW."transactionId"); RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE INSERT ON "Payment" FOR EACH ROW EXECUTE FUNCTION shout()`)
    const { db } = connect()
    const ids = newIds(3).map((id) => `x${id}`)
    const results = await Promise.all(ids.map((id) => insert(db, id)))
    await database.query('DROP TRIGGER shout ON "Payment"')
    expect(results.map(({ record }) => record.transactionId)).toEqual(ids.map((id) => id.toUpperCase()))
  })

  test('of a model with columns that raw SQL gives otherwise are Prisma’s own', async () => {
    const { db, statements } = connect()
    const call = (reference: string) =>
      started(db.everything.createIdempotent({ where: { code: reference }, data: {}, select: { code: true } }))
    await Promise.all(newIds(2).map(call))
    expect(kinds(statements)).toEqual(['BEGIN', 'SET', 'SELECT', 'INSERT', 'COMMIT'])
  })
})

test('an extension that takes part in inserts sees every row', async () => {
  const { client } = database.connect()
  const seen: unknown[] = []
  const watched = client.$extends({
    query: {
      payment: {
        createManyAndReturn({ args, query }) {
          seen.push(...[args.data].flat().map(({ transactionId }) => transactionId))
          return query(args)
        },
      },
    },
  })
  const ids = newIds(3)
  await Promise.all(ids.map((id) => insert(watched.$extends(concurrency()) as unknown as Db, id)))
  expect(seen.sort()).toEqual([...ids].sort())
})

test.each(['cut', 'drop'] as const)('a statement whose connection breaks (%s) leaves each row once', async (fate) => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const ids = newIds(5)
  const lost = proxy.next(TOGETHER, fate)
  const results = await Promise.all(ids.map((id) => insert(db as Db, id)))
  await lost.happened
  expect(results.map(({ record }) => record.transactionId)).toEqual(ids)
  expect(await countOf(ids)).toBe(5)
})
