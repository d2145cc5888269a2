import { afterEach, describe, expect, test } from 'vitest'
import { connectStock } from '../support/connect-stock.js'
import { openTransaction } from '../support/connection.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { started } from '../support/started.js'
import { expectExact, newId, type StockItem, useStock } from '../support/stock.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect, newItem, onHand } = useStock()

const LARGEST = 2 ** 31 - 1
type Db = ReturnType<typeof connect>['db']

const defer = (db: Db, item: StockItem, quantity = 5) => db.$stock.defer({ transactionId: newId(), item, quantity })
const waitingOf = async ({ productId }: StockItem) => {
  const rows = await database.query(
    'SELECT count(*)::int FROM "StockMovement" WHERE "productId" = $1 AND NOT applied',
    [productId],
  )
  return rows[0]?.count
}
/** Items of which the first cannot hold what is deferred, and is the first that a batch finds. */
const withOneBad = async (db: Db, others: number) => {
  const bad = await newItem(LARGEST)
  await defer(db, bad)
  const good = await Promise.all(Array.from({ length: others }, () => newItem()))
  for (const item of good) await defer(db, item)
  return { bad, good }
}
/** A trigger that refuses one item in a way of the user's. */
const refusing = async <R>({ productId }: StockItem, refusal: string, run: () => Promise<R>): Promise<R> => {
  await database.query(`
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${refusal}; RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON "Stock" FOR EACH ROW WHEN (NEW."productId" = ${productId}) EXECUTE FUNCTION refuse()`)
  try {
    return await run()
  } finally {
    await database.query('DROP TRIGGER refuse ON "Stock"; DROP FUNCTION refuse')
  }
}

// Also when a test has failed: its rows would make the next ones fail.
afterEach(() => database.query('DELETE FROM "StockMovement" WHERE NOT applied'))

describe('an item that cannot be changed does not keep the others from being folded', () => {
  test.each([1, 2, 1_000])('in batches of %i, and is named', async (batchSize) => {
    const { db } = connect()
    const { bad, good } = await withOneBad(db, 5)

    const { folded, failed } = await db.$stock.project({ batchSize })

    expect({ folded, failed }).toEqual({ folded: 5, failed: [{ item: bad, error: expect.any(Error) }] })
    expect([await onHand(bad), await waitingOf(bad), await onHand(good[0] as StockItem)]).toEqual([LARGEST, 1, 5])
    await expectExact(database)
  })

  test('and is tried again by the next call', async () => {
    const { db } = connect()
    const { bad } = await withOneBad(db, 1)
    await db.$stock.project()
    await db.$stock.move({ transactionId: newId(), item: bad, quantity: -5 })

    expect(await db.$stock.project()).toEqual({ folded: 1 })
    await expectExact(database)
  })

  test.each([
    [`of a trigger's`, `RAISE EXCEPTION 'closed'`],
    [`of a trigger's, with a code of its own`, `RAISE EXCEPTION 'closed' USING ERRCODE = 'SHUT1'`],
    ['of a policy', `RAISE insufficient_privilege`],
    ['of a constraint', `RAISE check_violation`],
  ])('where the refusal is %s', async (_name, refusal) => {
    const { db } = connect()
    const [bad, item] = [await newItem(), await newItem()]
    await defer(db, bad)
    await defer(db, item)

    const result = await refusing(bad, refusal, () => db.$stock.project())

    expect(result).toEqual({ folded: 1, failed: [{ item: bad, error: expect.any(Error) }] })
  })

  test('where the server has answered with the refusal, and has not rolled back yet', async () => {
    const { db, pool } = connect({ poolSize: 1 })
    const [bad, item] = [await newItem(), await newItem()]
    for (const each of [bad, item]) await defer(db, each)
    const [refused, locked] = [gate(), gate()]
    // The connection of the refused statement is closed, and the next one comes when its locks are held on.
    pool.on('release', (error) => {
      if (!error) return
      pool.options.verify = (_client, done) => void locked.opened.then(() => done())
      refused.open()
    })

    const result = refusing(bad, `RAISE EXCEPTION 'closed'`, async () => {
      const folding = started(db.$stock.project())
      await refused.opened
      const stillThere = await openTransaction(database.url, 'SELECT FROM "StockMovement" WHERE NOT applied FOR UPDATE')
      locked.open()
      await Promise.race([folding, untilBlocked(database.url)])
      await stillThere.query('ROLLBACK')
      return folding
    })

    expect(await result).toEqual({ folded: 1, failed: [{ item: bad, error: expect.any(Error) }] })
  })

  test.each([1, 1_000])('where a trigger keeps it as it is without a word, in batches of %i', async (batchSize) => {
    const { db } = connect()
    const [bad, item] = [await newItem(), await newItem()]
    for (const each of [bad, item]) await defer(db, each)

    const result = await refusing(bad, 'RETURN NULL', () => db.$stock.project({ batchSize }))

    const error = expect.objectContaining({ code: 'WRITE_SUPPRESSED', model: 'Stock' })
    expect(result).toEqual({ folded: 1, failed: [{ item: bad, error }] })
    expect(await db.$stock.project()).toEqual({ folded: 1 })
    await expectExact(database)
  })

  test.each([1, 1_000])('where a policy hides it from the write, in batches of %i', async (batchSize) => {
    const { db } = connect()
    const [bad, item] = [await newItem(), await newItem()]
    for (const each of [bad, item]) await defer(db, each)
    const ordinary = connectStock(await openRole(database))
    await database.query(`
CREATE POLICY seen ON "Stock" FOR SELECT USING (true);
CREATE POLICY changed ON "Stock" FOR UPDATE USING ("productId" <> ${bad.productId});
ALTER TABLE "Stock" ENABLE ROW LEVEL SECURITY`)
    const result = await ordinary.db.$stock.project({ batchSize }).finally(async () => {
      await database.query(`
DROP POLICY seen ON "Stock"; DROP POLICY changed ON "Stock"; ALTER TABLE "Stock" DISABLE ROW LEVEL SECURITY`)
    })

    const error = expect.objectContaining({ code: 'WRITE_SUPPRESSED', model: 'Stock' })
    expect(result).toEqual({ folded: 1, failed: [{ item: bad, error }] })
  })

  test('where a trigger keeps its movement from being marked as folded', async () => {
    const { db } = connect()
    const [bad, item] = [await newItem(), await newItem()]
    for (const each of [bad, item]) await defer(db, each)
    await database.query(`
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep BEFORE UPDATE ON "StockMovement" FOR EACH ROW WHEN (NEW."productId" = ${bad.productId}) EXECUTE FUNCTION keep()`)
    const result = await db.$stock.project()
    await database.query('DROP TRIGGER keep ON "StockMovement"; DROP FUNCTION keep')

    const error = expect.objectContaining({ code: 'WRITE_SUPPRESSED', model: 'StockMovement' })
    expect(result).toEqual({ folded: 1, failed: [{ item: bad, error }] })
    expect(await onHand(bad)).toBe(0)
  })

  test('inside a transaction, which goes on', async () => {
    const { db } = connect()
    const { bad, good } = await withOneBad(db, 3)

    const result = await db.$transaction(async (tx) => {
      const done = await tx.$stock.project({ batchSize: 2 })
      await tx.$stock.move({ transactionId: newId(), item: good[0] as StockItem, quantity: -2 })
      return done
    })

    expect(result).toEqual({ folded: 3, failed: [{ item: bad, error: expect.any(Error) }] })
    expect(await onHand(good[0] as StockItem)).toBe(3)
    await expectExact(database)
  })

  test('on two clients at once: each movement is folded once, and both end', async () => {
    const [one, two] = [connect().db, connect().db]
    const { good } = await withOneBad(one, 20)

    const results = await Promise.all([one, two].map((db) => db.$stock.project({ batchSize: 3 })))

    expect(results.reduce((sum, { folded }) => sum + folded, 0)).toBe(20)
    expect(await Promise.all(good.map(onHand))).toEqual(good.map(() => 5))
    await expectExact(database)
  })

  test('where somebody else is folding the others, it is found among them', async () => {
    const { db } = connect()
    const { bad, good } = await withOneBad(db, 20)
    const ids = good.map(({ productId }) => productId)
    const lock = 'SELECT FROM "StockMovement" WHERE "productId" = ANY($1) FOR UPDATE'
    const other = await openTransaction(database.url, lock, [ids])

    const results = [await db.$stock.project({ batchSize: 3 }), await db.$stock.project({ batchSize: 1 })]
    await other.query('COMMIT')

    const onlyBad = { folded: 0, failed: [{ item: bad, error: expect.any(Error) }] }
    expect(results).toEqual([onlyBad, onlyBad])
    expect(await db.$stock.project({ batchSize: 3 })).toMatchObject({ folded: 20, failed: [{ item: bad }] })
  })

  test('nor do several of them, all of which are named', async () => {
    const { db } = connect()
    const bad = await Promise.all(Array.from({ length: 4 }, () => newItem(LARGEST)))
    const good = await newItem()
    for (const item of [...bad, good]) await defer(db, item)

    const { folded, failed = [] } = await db.$stock.project({ batchSize: 2 })

    expect(folded).toBe(1)
    expect(failed.map(({ item }) => item.productId).sort()).toEqual(bad.map(({ productId }) => productId).sort())
  })
})

test('a movement that somebody moves to a place in front of the batches is not passed over', async () => {
  const { db } = connect()
  const [first, second, third] = [await newItem(), await newItem(), await newItem()]
  // Places that are free, at the start of the table.
  await database.query('TRUNCATE "StockMovement"')
  await database.query(
    `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
SELECT n, 0, $1, 'main', 1 FROM generate_series(1, 10) AS n`,
    [first.productId],
  )
  for (const item of [first, second, third]) await defer(db, item)
  await database.query(`DELETE FROM "StockMovement" WHERE applied`)
  await database.query('VACUUM "StockMovement"')
  const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
    second.productId,
  ])

  const folding = started(db.$stock.project({ batchSize: 1 }))
  await untilBlocked(database.url)
  await database.query('UPDATE "StockMovement" SET quantity = quantity WHERE "productId" = $1', [third.productId])
  const [place] = await database.query(
    `SELECT ctid < (
  SELECT ctid FROM "StockMovement" WHERE "productId" = $1
) AS "isBefore" FROM "StockMovement" WHERE "productId" = $2`,
    [second.productId, third.productId],
  )
  await holder.query('COMMIT')

  expect(place).toEqual({ isBefore: true })
  expect(await folding).toEqual({ folded: 3 })
  expect(await onHand(third)).toBe(5)
})

test('what is wrong with the server, and with no item, is thrown', async () => {
  const { db } = connect()
  await defer(db, await newItem())
  await database.query('ALTER TABLE "Stock" RENAME COLUMN "onHand" TO "elsewhere"')

  const error = await rejectionOf(db.$stock.project())
  await database.query('ALTER TABLE "Stock" RENAME COLUMN elsewhere TO "onHand"')

  expect(error).toBeInstanceOf(Error)
  expect(await db.$stock.project()).toEqual({ folded: 1 })
})

test('a trigger that refuses every statement, whatever the items, is thrown', async () => {
  const { db } = connect()
  await defer(db, await newItem())
  await database.query(`
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'closed'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON "Stock" FOR EACH STATEMENT EXECUTE FUNCTION refuse()`)

  const error = await rejectionOf(db.$stock.project())
  await database.query('DROP TRIGGER refuse ON "Stock"; DROP FUNCTION refuse')

  expect(error).toBeInstanceOf(Error)
  expect(await db.$stock.project()).toEqual({ folded: 1 })
})
