import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { connectStock } from '../support/connect-stock.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { startProcess } from '../support/process.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { STARTING_LINE } from '../support/starting-line.js'
import { expectExact, newId, type StockItem, useStock } from '../support/stock.js'
import type { MixOutcome, MixWork } from '../support/stock-mix-worker.js'
import { MATERIAL } from '../support/stock-models.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, newItem, stateOf, onHand, movementsOf } = useStock()
const connect = () => connectStock(database.url)

const deferredOf = async (transactionId: string) =>
  (
    await database.query('SELECT quantity, applied FROM "StockMovement" WHERE "transactionId" = $1 ORDER BY line', [
      transactionId,
    ])
  ).map(({ quantity, applied }) => [quantity, applied])

/** How many deferred movements of the item are not in its balance yet. */
const waitingOf = async ({ productId }: StockItem) =>
  (
    await database.query('SELECT count(*)::int FROM "StockMovement" WHERE "productId" = $1 AND NOT applied', [
      productId,
    ])
  )[0]?.count

/** Receipts of 1, straight into the ledger. */
const manyDeferred = ({ productId, warehouse }: StockItem, count: number) =>
  database.query(
    `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity, applied)
SELECT gen_random_uuid(), 0, $1, $2, 1, false FROM generate_series(1, $3)`,
    [productId, warehouse, count],
  )

const HOLD = 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE'
const hold = ({ productId }: StockItem) => openTransaction(database.url, HOLD, [productId])

describe('defer', () => {
  test('records the movement now, and leaves the balance to project()', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const transactionId = newId()

    expect(await db.$stock.defer({ transactionId, item, quantity: 5 })).toEqual({ replayed: false })

    expect(await deferredOf(transactionId)).toEqual([[5, false]])
    expect(await stateOf(item)).toMatchObject({ onHand: 10, version: 0 })
    await expectExact(database)
    await db.$stock.project()
    expect(await deferredOf(transactionId)).toEqual([[5, true]])
    expect(await stateOf(item)).toMatchObject({ onHand: 15, version: 1 })
    await expectExact(database)
  })

  test('is not held up by whoever has the item locked', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await hold(item)

    expect(await db.$stock.defer({ transactionId: newId(), item, quantity: 5 })).toEqual({ replayed: false })
  })

  test('is one statement', async () => {
    const { db, statements } = connect()
    const item = await newItem(10)
    await db.$stock.defer({ transactionId: newId(), item, quantity: 5 })
    statements.length = 0

    await db.$stock.defer({ transactionId: newId(), item, quantity: 5 })

    expect(statements).toHaveLength(1)
  })

  test('of several lines records all of them, those of one item added up', async () => {
    const { db } = connect()
    const [first, second] = [await newItem(1), await newItem(2)]
    const transactionId = newId()

    await db.$stock.defer({
      transactionId,
      lines: [
        { item: first, quantity: 5 },
        { item: second, quantity: 1 },
        { item: first, quantity: 2 },
      ],
    })
    await db.$stock.project()

    expect(await deferredOf(transactionId)).toEqual([
      [7, true],
      [1, true],
    ])
    expect([await onHand(first), await onHand(second)]).toEqual([8, 3])
  })

  test('that comes again is a replay, before and after it was folded', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const call = { transactionId: newId(), item, quantity: 5 }
    await db.$stock.defer(call)

    expect(await connect().db.$stock.defer(call)).toEqual({ replayed: true })
    await db.$stock.project()
    expect(await db.$stock.defer(call)).toEqual({ replayed: true })

    await db.$stock.project()
    expect(await onHand(item)).toBe(15)
  })

  test('with another item, another quantity or other lines is a mismatch', async () => {
    const { db } = connect()
    const [item, other] = [await newItem(10), await newItem(10)]
    const transactionId = newId()
    await db.$stock.defer({ transactionId, item, quantity: 5 })
    const fieldsOf = async (lines: { item: StockItem; quantity: number }[]) =>
      (await rejectionOf(db.$stock.defer({ transactionId, lines }))) as { fields: string[] }

    expect(await fieldsOf([{ item, quantity: 6 }])).toMatchObject({ fields: ['quantity'] })
    expect(await fieldsOf([{ item: other, quantity: 5 }])).toMatchObject({ fields: ['item'] })
    expect(
      await fieldsOf([
        { item, quantity: 5 },
        { item: other, quantity: 5 },
      ]),
    ).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['item'] })
    expect(await deferredOf(transactionId)).toEqual([[5, false]])
  })

  test.each([1, 2])('with an item that does not exist as line %d records nothing', async (line) => {
    const { db } = connect()
    const missing = { productId: -1, warehouse: 'main' }
    const lines = [await newItem(), await newItem()].map((item) => ({ item, quantity: 5 }))
    lines[line - 1] = { item: missing, quantity: 5 }
    const transactionId = newId()

    const error = await rejectionOf(db.$stock.defer({ transactionId, lines }))

    expect(error).toMatchObject({ code: 'ITEM_NOT_FOUND', item: missing })
    expect(await deferredOf(transactionId)).toEqual([])
  })

  test('takes only what comes in, unless the item has no minimum', async () => {
    const { db } = connect()
    const [limited, free] = [await newItem(10), await newItem(10, { minimum: null })]
    const take = (lines: { item: StockItem; quantity: number }[]) => db.$stock.defer({ transactionId: newId(), lines })

    const error = await rejectionOf(
      take([
        { item: free, quantity: -1 },
        { item: limited, quantity: -1 },
      ]),
    )
    await take([
      { item: free, quantity: -12 },
      { item: limited, quantity: 1 },
    ])
    await db.$stock.project()

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'quantity' })
    expect([await onHand(limited), await onHand(free)]).toEqual([11, -2])
    await expectExact(database)
  })

  test('that was recorded is a replay, though the item has a minimum by now', async () => {
    const { db } = connect()
    const item = await newItem(10, { minimum: null })
    const call = { transactionId: newId(), item, quantity: -5 }
    await db.$stock.defer(call)
    await database.query('UPDATE "Stock" SET minimum = 0 WHERE "productId" = $1', [item.productId])

    expect(await db.$stock.defer(call)).toEqual({ replayed: true })
    expect(await rejectionOf(db.$stock.defer({ ...call, quantity: -6 }))).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
    })
    await db.$stock.project()
    await expectExact(database)
  })

  test('under the transaction id of a move is that move, and the other way round', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const [moved, deferred] = [newId(), newId()]
    await db.$stock.move({ transactionId: moved, item, quantity: 5 })
    await db.$stock.defer({ transactionId: deferred, item, quantity: 7 })

    const replays = [
      await db.$stock.defer({ transactionId: moved, item, quantity: 5 }),
      await db.$stock.move({ transactionId: deferred, item, quantity: 7 }),
      await db.$transaction((tx) => tx.$stock.move({ transactionId: deferred, item, quantity: 7 })),
    ]

    expect(replays.map(({ replayed }) => replayed)).toEqual([true, true, true])
    expect(replays[1]).toMatchObject({ balance: 15 })
    expect(await rejectionOf(db.$stock.move({ transactionId: deferred, item, quantity: 8 }))).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
    })
    await db.$stock.project()
    expect(await onHand(item)).toBe(22)
    await expectExact(database)
  })

  test.each([
    { first: 'move', second: 'defer' },
    { first: 'defer', second: 'move' },
    { first: 'defer', second: 'defer' },
  ] as const)(
    '$first and $second under one transaction id, from two clients at once: one of them is recorded',
    async ({ first, second }) => {
      const item = await newItem(10)
      const call = { transactionId: newId(), item, quantity: 5 }
      // Somebody who has the id, and gives it back: both of them have looked, and nobody has it.
      const rival = await openTransaction(
        database.url,
        `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
VALUES ($1, 0, 1, 'main', 1)`,
        [call.transactionId],
      )
      const calls = [first, second].map((method) => started<{ replayed: boolean }>(connect().db.$stock[method](call)))
      await untilBlocked(database.url, 2)
      await rival.query('ROLLBACK')

      expect((await Promise.all(calls)).map(({ replayed }) => replayed).sort()).toEqual([false, true])
      await connect().db.$stock.project()
      expect(await onHand(item)).toBe(15)
      await expectExact(database)
    },
  )

  test('is part of the transaction that it is called in', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const [gone, kept] = [newId(), newId()]

    await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.$stock.defer({ transactionId: gone, item, quantity: 5 })
        throw new Error('rolled back')
      }),
    )
    await db.$transaction(async (tx) => {
      await tx.$stock.defer({ transactionId: kept, item, quantity: 3 })
      expect(await tx.$stock.defer({ transactionId: kept, item, quantity: 3 })).toEqual({ replayed: true })
      await rejectionOf(tx.$stock.defer({ transactionId: kept, item, quantity: 4 }))
      await rejectionOf(tx.$stock.defer({ transactionId: newId(), item: { ...item, warehouse: '?' }, quantity: 4 }))
      await rejectionOf(tx.$stock.defer({ transactionId: newId(), item, quantity: -4 }))
    })
    await db.$stock.project()

    expect([await movementsOf(gone), await movementsOf(kept)]).toEqual([[], [3]])
    expect(await onHand(item)).toBe(13)
  })

  test('does not wait beyond its deadline for somebody who has the transaction id and does not end', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await db.$stock.defer({ transactionId: newId(), item, quantity: 5 })
    const call = { transactionId: newId(), item, quantity: 5 }
    await openTransaction(
      database.url,
      `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
VALUES ($1, 0, 1, 'main', 1)`,
      [call.transactionId],
    )

    const error = await rejectionOf(db.$stock.defer({ ...call, retry: { deadline: 1_500 } }))

    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(await deferredOf(call.transactionId)).toEqual([])
  })

  test('of a request that was refused and is remembered is no replay of it', async () => {
    const db = connect()
      .client.$extends(concurrency())
      .$extends(
        stock({
          ...MATERIAL,
          rememberRefusals: true,
          minimum: null,
        }),
      )
    const item = randomUUID().slice(0, 20)
    await database.query('INSERT INTO "raw material" ("the code", "updated at") VALUES ($1, now())', [item])
    const call = { transactionId: newId(), item, quantity: -1 }
    await rejectionOf(db.$stock.move({ ...call, minimum: 0 }))

    const error = await rejectionOf(db.$stock.defer(call))

    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
    await db.$stock.project()
    expect(await db.$stock.audit()).toEqual([])
  })
})

describe('project', () => {
  test('folds in batches, and says how many', async () => {
    const { db, statements } = connect()
    await db.$stock.project()
    const [first, second] = [await newItem(1), await newItem(2)]
    await manyDeferred(first, 7)
    await manyDeferred(second, 4)
    statements.length = 0

    expect(await db.$stock.project({ batchSize: 4 })).toEqual({ folded: 11 })

    // The third finds the last three; the fourth, from the start of the table, that nothing was passed over.
    expect(statements).toHaveLength(4)
    expect([await onHand(first), await onHand(second)]).toEqual([8, 6])
    expect(await db.$stock.project()).toEqual({ folded: 0 })
    await expectExact(database)
  })

  test.each([0, -1, 1.5, 100_001, '10', Number.NaN])('refuses %s movements per batch', async (batchSize) => {
    const { db, statements } = connect()

    const error = await rejectionOf(db.$stock.project({ batchSize: batchSize as number }))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'batchSize' })
    expect(statements).toEqual([])
  })

  test('ends, though more is deferred all the time', async () => {
    const { db } = connect()
    await db.$stock.project()
    const item = await newItem()
    await manyDeferred(item, 3)
    // Each movement that is folded defers a new one before the batch ends.
    await database.query(`CREATE FUNCTION defer_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity, applied)
  VALUES (gen_random_uuid(), 0, NEW."productId", NEW.warehouse, 1, false);
  RETURN NULL;
END $$`)
    await database.query(`CREATE TRIGGER defer_again AFTER UPDATE ON "StockMovement"
FOR EACH ROW WHEN (NEW."productId" = ${item.productId}) EXECUTE FUNCTION defer_again()`)
    onTestFinished(async () => {
      await database.query('DROP FUNCTION defer_again CASCADE')
      await db.$stock.project()
    })

    expect(await db.$stock.project()).toEqual({ folded: 3 })

    expect(await waitingOf(item)).toBe(3)
  })

  test('adds to the balance as it is then, though others have moved the item since', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await manyDeferred(item, 3)
    const rival = await openTransaction(
      database.url,
      `WITH moved AS (
  INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($2, 0, $1, 'main', -4)
)
UPDATE "Stock" SET "onHand" = "onHand" - 4 WHERE "productId" = $1`,
      [item.productId, newId()],
    )
    const folding = started(db.$stock.project())
    await untilBlocked(database.url)
    await rival.query('COMMIT')

    expect(await folding).toEqual({ folded: 3 })
    expect(await onHand(item)).toBe(9)
    await expectExact(database)
  })

  test('moves of a process that knows the item are right after it', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
    await manyDeferred(item, 3)
    await db.$stock.project()

    expect((await db.$stock.move({ transactionId: newId(), item, quantity: -11 })).balance).toBe(0)
    await expectExact(database)
  })

  test('does not miss a movement that was made first and is committed last', async () => {
    const { db } = connect()
    const item = await newItem(10)
    const late = await openTransaction(
      database.url,
      `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity, applied)
VALUES ($1, 0, $2, 'main', 100, false)`,
      [newId(), item.productId],
    )
    await manyDeferred(item, 2)
    await db.$stock.project()
    expect(await onHand(item)).toBe(12)
    await late.query('COMMIT')

    expect(await db.$stock.project()).toEqual({ folded: 1 })
    expect(await onHand(item)).toBe(112)
    await expectExact(database)
  })

  test('shares the work with others, and nothing is folded twice', async () => {
    const item = await newItem(10)
    await manyDeferred(item, 2)
    const rival = await hold(item)
    const first = started(connect().db.$stock.project())
    await untilBlocked(database.url)
    // The first one has locked its movements, so the second one finds nothing to do.
    const second = await connect().db.$stock.project()
    await rival.query('COMMIT')

    expect(second).toEqual({ folded: 0 })
    expect(await first).toEqual({ folded: 2 })
    expect(await onHand(item)).toBe(12)
    await expectExact(database)
  })

  test('movements of an item that was deleted do not hold up those of others', async () => {
    const { db } = connect()
    const [gone, item] = [await newItem(), await newItem()]
    await manyDeferred(gone, 5)
    await manyDeferred(item, 5)
    await database.query('DELETE FROM "Stock" WHERE "productId" = $1', [gone.productId])

    expect(await db.$stock.project({ batchSize: 2 })).toEqual({ folded: 5 })

    expect(await onHand(item)).toBe(5)
    expect(await waitingOf(gone)).toBe(5)
    await expectExact(database)
  })

  test('an item that is deleted while its movements are being folded keeps them unfolded', async () => {
    const { db } = connect()
    const [gone, item] = [await newItem(), await newItem()]
    await manyDeferred(gone, 2)
    await manyDeferred(item, 2)
    const rival = await openTransaction(database.url, 'DELETE FROM "Stock" WHERE "productId" = $1', [gone.productId])
    const folding = started(db.$stock.project())
    await untilBlocked(database.url)
    await rival.query('COMMIT')

    expect(await folding).toEqual({ folded: 2 })
    expect([await onHand(item), await waitingOf(gone)]).toEqual([2, 2])
  })

  test('ends after the batch that is under way when its signal is aborted', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await manyDeferred(item, 5)
    const rival = await hold(item)
    const controller = new AbortController()
    const folding = started(db.$stock.project({ batchSize: 2, signal: controller.signal }))
    await untilBlocked(database.url)
    controller.abort(new Error('enough'))
    await rival.query('COMMIT')

    expect(await rejectionOf(folding)).toMatchObject({ message: 'enough' })
    expect([await onHand(item), await waitingOf(item)]).toEqual([12, 3])
    await expectExact(database)
  })

  test('whose signal is aborted already folds nothing', async () => {
    const { db, statements } = connect()

    const error = await rejectionOf(db.$stock.project({ signal: AbortSignal.abort(new Error('no')) }))

    expect(error).toMatchObject({ message: 'no' })
    expect(statements).toEqual([])
  })

  test('in a transaction is part of it', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await manyDeferred(item, 5)

    await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.$stock.project()
        expect((await tx.$stock.move({ transactionId: newId(), item, quantity: -15 })).balance).toBe(0)
        throw new Error('rolled back')
      }),
    )

    expect([await onHand(item), await waitingOf(item)]).toEqual([10, 5])
  })

  test('takes turns with the moves of its transaction', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await manyDeferred(item, 5)

    await db.$transaction((tx) =>
      Promise.all([
        tx.$stock.move({ transactionId: newId(), item, quantity: -1 }),
        tx.$stock.project({ batchSize: 1 }),
        tx.$stock.move({ transactionId: newId(), item, quantity: -1 }),
      ]),
    )

    expect([await onHand(item), await waitingOf(item)]).toEqual([13, 0])
    await expectExact(database)
  })

  test('folds nothing where the database does not write that it is folded', async () => {
    const { db } = connect()
    const item = await newItem(10)
    await manyDeferred(item, 5)
    await database.query(`
CREATE FUNCTION keep_ledger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep_ledger BEFORE UPDATE ON "StockMovement" FOR EACH ROW EXECUTE FUNCTION keep_ledger()`)

    const outcomes = await Promise.allSettled([db.$stock.project(), db.$stock.project()])
    await database.query('DROP TRIGGER keep_ledger ON "StockMovement"; DROP FUNCTION keep_ledger')

    expect(outcomes).toContainEqual({
      status: 'fulfilled',
      value: { folded: 0, failed: [{ item, error: expect.objectContaining({ code: 'WRITE_SUPPRESSED' }) }] },
    })
    expect(await onHand(item)).toBe(10)
    expect(await db.$stock.project()).toEqual({ folded: 5 })
    await expectExact(database)
  })

  test.each(['repeatable read', 'serializable'])(
    'is right where the database’s default is %s, with moves in its way',
    async (level) => {
      const url = new URL(database.url)
      url.searchParams.set('options', `-c default_transaction_isolation=${level.replace(' ', '\\ ')}`)
      const { db } = connectStock(url.href)
      const item = await newItem(10)
      await manyDeferred(item, 3)
      const rival = await openTransaction(
        database.url,
        `WITH moved AS (
  INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($2, 0, $1, 'main', -4)
)
UPDATE "Stock" SET "onHand" = "onHand" - 4 WHERE "productId" = $1`,
        [item.productId, newId()],
      )
      const folding = started(db.$stock.project())
      await untilBlocked(database.url)
      await rival.query('COMMIT')

      expect(await folding).toEqual({ folded: 3 })
      expect(await onHand(item)).toBe(9)
      await expectExact(database)
    },
  )
})

describe('from several processes', () => {
  test('defer, project and move hammer the same items: exact once all is folded', async () => {
    const items = await Promise.all([0, 1, 2].map(() => newItem(500)))
    const referee = await openConnection(database.url)
    await referee.query('SELECT pg_advisory_lock($1)', [STARTING_LINE])
    const work = { url: database.url, items, rounds: 40, callers: 6, names: 'hammer' }
    const processes = [1, 2].map(() =>
      startProcess('stock-mix-worker.ts', { ...work, kinds: ['move', 'defer', 'project'] } satisfies MixWork),
    )
    await untilBlocked(database.url, 2)
    await referee.query('SELECT pg_advisory_unlock($1)', [STARTING_LINE])
    const outcomes = await Promise.all(processes.map((child) => child.answer<MixOutcome>()))

    expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
    expect(outcomes.every(({ done }) => done.move && done.defer && done.project)).toBe(true)
    await expectExact(database)
    await connect().db.$stock.project()
    expect(await Promise.all(items.map(waitingOf))).toEqual([0, 0, 0])
    await expectExact(database)
  })

  test('one that folds is killed in the middle, and another one goes on: exact', async () => {
    const item = await newItem(0)
    await manyDeferred(item, 20)
    const work = { url: database.url, items: [], rounds: 0, callers: 0, names: '', folds: true } satisfies MixWork
    const child = startProcess('stock-mix-worker.ts', work)
    while ((await onHand(item)) === 0) await sleep(5)
    const rival = await hold(item)
    await manyDeferred(item, 20)
    await untilBlocked(database.url)
    child.kill()
    await untilNobodyIsBlocked()
    await rival.query('COMMIT')
    await expectExact(database)
    expect(await waitingOf(item)).toBeGreaterThanOrEqual(20)

    await connect().db.$stock.project()

    expect([await onHand(item), await waitingOf(item)]).toEqual([40, 0])
    await expectExact(database)
  })
})

/** Ends the sessions that a killed process has left behind, as the server does once it notices. */
async function untilNobodyIsBlocked(): Promise<void> {
  const rows = () =>
    database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`)
  while ((await rows()).length > 0) await sleep(5)
}
