import { beforeAll, describe, expect, test } from 'vitest'
import { isUnreachable } from '../../src/engine/error-facts.js'
import { connectStock, type StockClient } from '../support/connect-stock.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { passingTime } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { freePort } from '../support/server.js'
import { started } from '../support/started.js'
import { expectExact, newId, type StockItem, useStock } from '../support/stock.js'
import { untilBlocked } from '../support/until-blocked.js'
import { untilPatient } from '../support/until-patient.js'

const { database, newItem, onHand, movementsOf, stateOf } = useStock()
const times = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index))
const QUICK = { baseDelay: 0, maxDelay: 5, attempts: 100_000 }
/** Longer than any deadline of these calls, and its grace. */
const FOR_EVER = 600_000

/** Rules of the user's own, for the warehouses that are named after them. */
const RULES = `
CREATE FUNCTION own_rule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.warehouse IN ('no row', 'no movement') THEN RETURN NULL; END IF;
  IF NEW.warehouse = 'raises' THEN RAISE 'not this one'; END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER own_rule BEFORE UPDATE ON "Stock" FOR EACH ROW
WHEN (NEW.warehouse IN ('no row', 'raises')) EXECUTE FUNCTION own_rule();
CREATE TRIGGER own_rule BEFORE INSERT ON "StockMovement" FOR EACH ROW
WHEN (NEW.warehouse = 'no movement' AND NEW.quantity < 0) EXECUTE FUNCTION own_rule();
CREATE SEQUENCE conflicts;
CREATE FUNCTION conflict_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- The second write of it is the first that was guessed.
  IF nextval('conflicts') = 2 THEN RAISE 'ahead of you' USING ERRCODE = '40001'; END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER conflict_once BEFORE UPDATE ON "Stock" FOR EACH ROW
WHEN (NEW.warehouse = 'conflicts once') EXECUTE FUNCTION conflict_once();
ALTER TABLE "Stock" ADD CHECK (warehouse <> 'never 13' OR "onHand" <> 13)`

beforeAll(async () => {
  await database.query(RULES)
})

const take = (db: StockClient, item: StockItem, quantity = -1) =>
  started(db.$stock.move({ transactionId: newId(), item, quantity }))

/** Items whose balances the client knows, so that its next moves of them are one statement. */
async function knownItems(db: StockClient, count: number) {
  const items = await Promise.all(times(count, () => newItem(99)))
  await Promise.all(items.map((item) => take(db, item, 1)))
  return items
}

describe('a rule of the user that fails one item', () => {
  test.each([
    { warehouse: 'raises', reason: { message: expect.stringContaining('not this one') } },
    { warehouse: 'never 13', reason: { message: expect.stringContaining('Stock_check') } },
    { warehouse: 'no row', reason: { code: 'WRITE_SUPPRESSED', model: 'Stock' } },
    { warehouse: 'no movement', reason: { code: 'WRITE_SUPPRESSED', model: 'StockMovement' } },
  ])('fails its callers alone, and the others are carried out once: $warehouse', async ({ warehouse, reason }) => {
    const { db } = connectStock(database.url)
    const [good, other] = [await newItem(100), await newItem(100)]
    const bad = await newItem(14, { warehouse })
    for (const round of [1, 2]) {
      const calls = [take(db, good), take(db, bad), take(db, other), take(db, good)]
      const results = await Promise.allSettled(calls)

      expect(results).toMatchObject([
        { value: { balance: 102 - 2 * round - 1 } },
        { reason },
        { value: { balance: 100 - round } },
        { value: { balance: 100 - 2 * round } },
      ])
    }
    expect(await onHand(bad)).toBe(14)
    await expectExact(database)
  })

  test('fails only that one of two callers for the same item that breaks it', async () => {
    const { db } = connectStock(database.url)
    const item = await newItem(20, { warehouse: 'never 13' })
    const results = await Promise.allSettled([take(db, item, -2), take(db, item, -5), take(db, item, 5)])

    // Together they end at 18, so there is nothing to fail; one by one the second would.
    expect(results).toMatchObject([{ value: { balance: 18 } }, { value: { balance: 13 } }, { value: { balance: 18 } }])
    const again = await Promise.allSettled([take(db, item, -1), take(db, item, -4), take(db, item, -20)])
    expect(again).toMatchObject([
      { value: { balance: 17 } },
      { reason: { message: expect.stringContaining('Stock_check') } },
      { reason: { code: 'INSUFFICIENT_STOCK', available: 17 } },
    ])
    await expectExact(database)
  })

  test('fails a deferred movement with its own error, too', async () => {
    const { db } = connectStock(database.url)
    const item = await newItem(10, { warehouse: 'no movement', minimum: null })
    const call = db.$stock.defer({ transactionId: newId(), item, quantity: -1 })

    expect(await rejectionOf(call)).toMatchObject({ code: 'WRITE_SUPPRESSED', model: 'StockMovement' })
  })
})

describe('a connection that is lost', () => {
  const GUARDED = /^WITH locked AS[\s\S]*changed AS/
  const LOCKING = /^WITH locked AS(?![\s\S]*changed AS)/
  const CLAIM = /^WITH claim AS/
  const COMMIT = /^COMMIT/
  const FATES = ['cut', 'drop', 'abandon'] as const

  describe.each(FATES)('%s', (fate) => {
    test('with a single move: it is carried out once', async () => {
      const proxy = await openProxy(database.url)
      const { db } = connectStock(proxy.url, { retry: QUICK })
      const [item] = await knownItems(db, 1)
      const transactionId = newId()
      const { happened } = proxy.next(GUARDED, fate)
      const { balance } = await db.$stock.move({ transactionId, item: item as StockItem, quantity: -4 })
      await happened

      expect(balance).toBe(96)
      expect(await movementsOf(transactionId)).toEqual([-4])
      await expectExact(database)
    })

    test.each([
      { what: 'the statement of a batch', statements: [GUARDED] },
      { what: 'the statement of a batch, and what comes after it', statements: [GUARDED, LOCKING, CLAIM] },
    ])('with $what: every transaction id in it is carried out once', async ({ statements }) => {
      const proxy = await openProxy(database.url)
      const { db } = connectStock(proxy.url, { retry: QUICK })
      const items = await knownItems(db, 4)
      const ids = times(40, newId)
      const [first] = statements.map((statement) => proxy.next(statement, fate))
      const results = await Promise.all(
        ids.map((transactionId, i) => db.$stock.move({ transactionId, item: items[i % 4] as StockItem, quantity: -2 })),
      )
      await first?.happened

      expect(results).toHaveLength(40)
      expect(await Promise.all(items.map(onHand))).toEqual([80, 80, 80, 80])
      expect(await Promise.all(ids.map(movementsOf))).toEqual(ids.map(() => [-2]))
      await expectExact(database)
    })

    test.each([
      { what: 'the locks', statement: LOCKING },
      { what: 'the statement behind the locks', statement: CLAIM },
      { what: 'COMMIT', statement: COMMIT },
    ])('with $what of a batch that locks first: every transaction id is carried out once', async ({ statement }) => {
      const proxy = await openProxy(database.url)
      const { db } = connectStock(proxy.url, { retry: QUICK })
      const items = await Promise.all(times(3, () => newItem(100)))
      const ids = times(30, newId)
      const { happened } = proxy.next(statement, fate)
      // Reservations of the same items are why it locks first.
      const reserving = items.map((item) =>
        db.$stock.reserve({ transactionId: newId(), item, quantity: 1, expiresIn: 60_000 }),
      )
      await Promise.all([
        ...reserving,
        ...ids.map((transactionId, i) =>
          db.$stock.move({ transactionId, item: items[i % 3] as StockItem, quantity: -2 }),
        ),
      ])
      await happened

      expect(await Promise.all(items.map(onHand))).toEqual([80, 80, 80])
      expect(await Promise.all(ids.map(movementsOf))).toEqual(ids.map(() => [-2]))
      await expectExact(database)
    })

    test('with a batch that is short of stock: what is granted is written, and nothing else', async () => {
      const proxy = await openProxy(database.url)
      const { db } = connectStock(proxy.url, { retry: QUICK })
      const item = await newItem(5)
      const { happened } = proxy.next(GUARDED, fate)
      const ids = times(8, newId)
      const results = await Promise.allSettled(
        ids.map((transactionId) => db.$stock.move({ transactionId, item, quantity: -1 })),
      )
      await happened
      const granted = ids.filter((_, i) => results[i]?.status === 'fulfilled')
      const written = await Promise.all(granted.map(movementsOf))

      expect(granted).toHaveLength(5)
      expect(written).toEqual(granted.map(() => [-1]))
      expect(await onHand(item)).toBe(0)
      await expectExact(database)
    })
  })

  test('and a server that is away for a while: the call waits for it, and is carried out once', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectStock(proxy.url, { retry: QUICK })
    const [item] = await knownItems(db, 1)
    const transactionId = newId()
    const { happened } = proxy.next(GUARDED, 'drop')
    const call = started(db.$stock.move({ transactionId, item: item as StockItem, quantity: -4 }))
    await happened
    proxy.refuse()
    await expect.poll(() => proxy.refusals(), { timeout: 60_000 }).toBeGreaterThan(0)
    proxy.accept()

    expect((await call).balance).toBe(96)
    expect(await movementsOf(transactionId)).toEqual([-4])
  })

  test('and a server that does not come back: the outcome is unknown', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectStock(proxy.url, { retry: QUICK })
    const [item] = await knownItems(db, 1)
    const { happened } = proxy.next(GUARDED, 'drop')
    const pass = passingTime()
    const call = take(db, item as StockItem)
    await happened
    proxy.refuse()
    await expect.poll(() => proxy.refusals(), { timeout: 60_000 }).toBeGreaterThan(0)
    pass(FOR_EVER)

    expect(await rejectionOf(call)).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
  })

  test('and no transaction to look in that begins in time: the outcome is unknown', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectStock(proxy.url, { retry: QUICK })
    const [item] = (await knownItems(db, 1)) as [StockItem]
    const transactionId = newId()
    const { happened } = proxy.next(GUARDED, 'drop')
    const begin = proxy.next(/^BEGIN/, 'hold')
    const pass = passingTime()
    const call = started(db.$stock.move({ transactionId, item, quantity: -1 }))
    await Promise.all([happened, begin.happened])
    pass(FOR_EVER)

    expect(await rejectionOf(call)).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(await movementsOf(transactionId)).toEqual([-1])
  })

  test('again and again, until the attempts are used up: the outcome is unknown', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectStock(proxy.url, { retry: { ...QUICK, attempts: 2 } })
    const [item] = await knownItems(db, 1)
    const transactionId = newId()
    for (const statement of [GUARDED, GUARDED, GUARDED]) proxy.next(statement, 'drop')
    const call = db.$stock.move({ transactionId, item: item as StockItem, quantity: -1 })
    const lost = [/^BEGIN/, /^BEGIN/].map((statement) => proxy.next(statement, 'cut'))

    expect(await rejectionOf(call)).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    await Promise.all(lost.map(({ happened }) => happened))
    expect(await movementsOf(transactionId)).toEqual([-1])
  })

  test.each([
    { what: 'a batch', untilWaits: untilBlocked },
    { what: 'a request by itself', untilWaits: untilPatient },
  ])('because the server ended $what while it waited for a row: it is carried out once', async ({ untilWaits }) => {
    const { db } = connectStock(database.url, { retry: QUICK })
    const [item] = (await knownItems(db, 1)) as [StockItem]
    const owner = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
      item.productId,
    ])
    const calls = times(5, () => take(db, item))
    await untilWaits(database.url)
    await owner.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`,
    )
    await owner.query('COMMIT')

    expect((await Promise.all(calls)).map(({ balance }) => balance)).toEqual([99, 98, 97, 96, 95])
    await expectExact(database)
  })
})

test('a server that cannot be reached: the error says so, and leaves nothing unknown', async () => {
  const url = new URL(database.url)
  url.port = String(await freePort())
  const item = await newItem(10)
  const error = await rejectionOf(take(connectStock(url.href, { retry: { deadline: 2_000 } }).db, item))

  expect(isUnreachable(error)).toBe(true)
})

test('a batch that was written by a guess, and meets a conflict, is judged anew as a whole', async () => {
  const { db, statements } = connectStock(database.url)
  const item = await newItem(100, { warehouse: 'conflicts once' })
  await take(db, item)
  const before = statements.length
  const results = await Promise.all(times(50, () => take(db, item)))

  expect(results.map(({ balance }) => balance)).toEqual(times(50, (n) => 98 - n))
  expect(statements.length - before).toBeLessThan(12)
})

test('a request that a deadlock ends is settled again', async () => {
  const { db } = connectStock(database.url, { retry: QUICK })
  const pair = (await Promise.all(times(2, () => newItem(10)))) as [StockItem, StockItem]
  const [first, second] = pair.sort((a, b) => a.productId - b.productId)
  const lock = 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE'
  const rival = await openConnection(database.url)
  await rival.query(`SET deadlock_timeout = '1h'`) // so that the other one notices, and is the one who fails
  await rival.query('BEGIN')
  await rival.query(lock, [second.productId])
  const call = started(
    db.$stock.moveAll({ transactionId: newId(), lines: pair.map((item) => ({ item, quantity: -1 })) }),
  )
  await untilPatient(database.url)
  await rival.query(lock, [first.productId])
  await rival.query('COMMIT')

  expect((await call).lines.map(({ balance }) => balance)).toEqual([9, 9])
  expect(await stateOf(first)).toMatchObject({ onHand: 9, version: 1 })
})

describe('a reservation that is committed while the call that ends it is on its way', () => {
  test('is ended as a whole, or not at all', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectStock(proxy.url)
    const other = connectStock(database.url).db
    for (const end of ['release', 'fulfil'] as const) {
      const item = await newItem(10)
      const transactionId = newId()
      // It has found no lines when the reservation is made, and finds the reservation when it is judged.
      const begin = proxy.next(/^BEGIN/, 'hold')
      const call = started<unknown>(
        end === 'release' ? db.$stock.release({ transactionId }) : db.$stock.fulfil({ transactionId }),
      )
      await begin.happened
      await other.$stock.reserve({ transactionId, item, quantity: 3, expiresIn: 60_000 })
      begin.release()
      await Promise.allSettled([call])

      await expectExact(database)
      expect(await stateOf(item)).toMatchObject({ onHand: 10, reserved: 3 })
    }
  })
})
