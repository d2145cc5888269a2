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

const match = ['amount'] as const
const matching = (db: Db, transactionId: string, amount: number) =>
  started(db.payment.createIdempotent({ where: { transactionId }, data: { amount }, match }))

describe('duplicates among the inserts of one tick', () => {
  test('are read by one statement, and those of a row that the batch inserts by none', async () => {
    const { db, statements } = connect()
    const ids = newIds(10)
    for (const id of ids.slice(0, 5)) await database.query(INSERT, [id])
    await Promise.all(newIds(2).map((id) => insert(db, id))) // the first batch looks into the catalogue
    statements.length = 0
    const results = await Promise.all([...ids, ...ids, ...ids].map((id) => insert(db, id)))
    expect(kinds(statements)).toEqual(['INSERT', 'SELECT'])
    expect(results.map(({ record }) => record.transactionId)).toEqual([...ids, ...ids, ...ids])
    expect(results.map(({ replayed }) => replayed)).toEqual(results.map((_, i) => i < 5 || i > 9))
  })

  test.each([{}, { fingerprint: 'fingerprint' }])(
    'have records of their own, which callers may change: %j',
    async (idempotency) => {
      const { client, statements } = database.connect()
      const db = client.$extends(concurrency({ idempotency }))
      const keys = newIds(2).map((transactionId) => ({ tenantId: 1, transactionId }))
      const insertTwice = () =>
        Promise.all(
          [...keys, ...keys, ...keys].map(async (key) => {
            const call = started(
              db.transfer.createIdempotent({ where: { tenantId_transactionId: key }, data: { amount: 5n } }),
            )
            const { record } = await call
            const at = record.at.getTime()
            record.at.setTime(0)
            return at
          }),
        )
      const times = [...(await insertTwice()), ...(await insertTwice())]
      expect(times.every((time) => time > 0)).toBe(true)
      expect(kinds(statements)).toEqual(['INSERT', 'INSERT', 'SELECT'])
    },
  )

  test('that bring another payload are refused, each by itself: the first one counts', async () => {
    const { db } = connect()
    const [id, other, known] = newIds(3)
    await database.query(INSERT, [known])
    const outcomes = await Promise.allSettled([
      matching(db, id, 5),
      matching(db, other, 1),
      matching(db, id, 6),
      matching(db, id, 5),
      matching(db, known, 2),
      matching(db, known, 1),
    ])
    expect(outcomes).toMatchObject([
      { value: { replayed: false } },
      { value: { replayed: false } },
      { reason: { code: 'IDEMPOTENCY_MISMATCH', fields: ['amount'] } },
      { value: { replayed: true } },
      { reason: { code: 'IDEMPOTENCY_MISMATCH', fields: ['amount'] } },
      { value: { replayed: true } },
    ])
  })

  test('are told apart by their fingerprints', async () => {
    const { client } = database.connect()
    const db = client.$extends(concurrency({ idempotency: { fingerprint: 'fingerprint' } }))
    const keys = newIds(2).map((transactionId) => ({ tenantId: 1, transactionId }))
    const call = (key: (typeof keys)[0], amount: bigint) =>
      started(db.transfer.createIdempotent({ where: { tenantId_transactionId: key }, data: { amount } }))
    const outcomes = await Promise.allSettled([...keys, ...keys].map((key, i) => call(key, i === 3 ? 6n : 5n)))
    expect(outcomes).toMatchObject([
      { value: { replayed: false } },
      { value: { replayed: false } },
      { value: { replayed: true } },
      { reason: { code: 'IDEMPOTENCY_MISMATCH', fields: ['amount'] } },
    ])
  })

  test('go through an extension that takes part in reads alone', async () => {
    const { client } = database.connect()
    const read: unknown[] = []
    const reader = client.$extends({
      query: {
        payment: {
          async findUniqueOrThrow({ args, query }) {
            read.push(args.where.transactionId)
            return query(args)
          },
        },
      },
    })
    const db = reader.$extends(concurrency()) as unknown as Db
    const ids = newIds(3)
    await database.query(INSERT, [ids[0]])
    const results = await Promise.all([...ids, ...ids].map((id) => insert(db, id)))
    expect(results.map(({ replayed }) => replayed)).toEqual([true, false, false, true, true, true])
    expect(read.sort()).toEqual([ids[0], ...ids].sort())
  })

  test('of a key in flight elsewhere have one reader, once the first of them is done', async () => {
    const { db, statements } = connect()
    const [id, other] = newIds(2)
    const holder = await openTransaction(database.url, INSERT, [id])
    const calls = [id, other, id, id].map((key) => insert(db, key))
    await calls[1]
    await untilBlocked(database.url)
    statements.length = 0
    await holder.query('COMMIT')
    expect((await Promise.all(calls)).map(({ replayed }) => replayed)).toEqual([true, false, true, true])
    expect(kinds(statements)).toEqual(['SELECT', 'SELECT'])
  })
})

describe('an insert that is blocked elsewhere', () => {
  test('holds up none that come later, whatever their number', async () => {
    const { db } = connect()
    const [a, b, c] = newIds(3)
    const holder = await openTransaction(database.url, INSERT, [a])
    await holder.query(INSERT, [b])
    const blocked = [insert(db, a)]
    await untilBlocked(database.url)
    blocked.push(insert(db, b))
    await untilBlocked(database.url, 2)
    expect(await insert(db, c)).toMatchObject({ replayed: false })
    await holder.query('COMMIT')
    expect(await Promise.all(blocked)).toMatchObject([{ replayed: true }, { replayed: true }])
  })

  test('holds up no later duplicate of another key of its batch', async () => {
    const { db } = connect()
    const [blocked, other] = newIds(2)
    const holder = await openTransaction(database.url, INSERT, [blocked])
    const calls = [insert(db, blocked), insert(db, other)]
    await calls[1]
    await untilBlocked(database.url)
    expect(await insert(db, other)).toMatchObject({ replayed: true })
    await holder.query('COMMIT')
    expect(await calls[0]).toMatchObject({ replayed: true })
  })
})

test('an insert on a tx is one statement of our own, and its duplicate two', async () => {
  const { db, statements } = connect()
  const [id] = newIds(1)
  const results = await db.$transaction(async (tx) => {
    const args = { where: { transactionId: id }, data: { amount: 5 } }
    return [await tx.payment.createIdempotent(args), await tx.payment.createIdempotent(args)]
  })
  expect(results).toMatchObject([{ replayed: false }, { replayed: true }])
  expect(kinds(statements)).toEqual(['BEGIN', 'INSERT', 'INSERT', 'SELECT', 'COMMIT'])
  expect(statements[1]).toMatch(TOGETHER)
})

test('an insert on a tx with an extension that this package does not know of is Prisma’s own', async () => {
  const { client } = database.connect()
  const seen: unknown[] = []
  const own = client.$extends(concurrency())
  const { $extends } = (client as unknown as { _originalClient: typeof client })._originalClient
  const hidden = $extends.call(
    own as never,
    {
      query: {
        payment: {
          createManyAndReturn({ args, query }: { args: { data: unknown }; query: (args: unknown) => never }) {
            seen.push(args.data)
            return query(args)
          },
        },
      },
    } as never,
  ) as unknown as Db
  await hidden.$transaction((tx) =>
    tx.payment.createIdempotent({ where: { transactionId: randomUUID() }, data: { amount: 5 } }),
  )
  expect(seen).toHaveLength(1)
})

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
