import { query } from './server.js'
import * as sizes from './sizes.js'

/** The rows that a round begins with. */
export async function fill(url: string): Promise<void> {
  const { ACCOUNTS, COUNTERS, ITEMS, LISTS, OPENING, SECTIONS, SERIALS, SERIAL_POOLS } = sizes
  const products = [
    [1, COUNTERS, 0],
    [SECTIONS.first, SECTIONS.count, 0],
    [ACCOUNTS.first, ACCOUNTS.count, ACCOUNTS.opening],
  ]
  for (const [first = 0, count = 0, stock = 0] of products) {
    await query(
      url,
      `INSERT INTO "Product" (id, name, stock, "updatedAt") SELECT n, 'p', $3::int, now() FROM generate_series($1::int, $1::int + $2::int - 1) AS n`,
      [first, count, stock],
    )
  }
  await query(
    url,
    `INSERT INTO "every thing" ("the code", tags) SELECT 'list ' || n, '{}' FROM generate_series(1, $1::int) AS n`,
    [LISTS],
  )
  await query(
    url,
    `WITH item AS (INSERT INTO "Stock" ("productId", warehouse, "onHand") SELECT n, 'main', $2::int FROM generate_series(1, $1::int) AS n)
INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) SELECT 'opening ' || n, 0, n, 'main', $2::int FROM generate_series(1, $1::int) AS n`,
    [ITEMS, OPENING],
  )
  const { count, opening, withMaximum, maximum } = sizes.PALLETS
  await query(
    url,
    `WITH item AS (INSERT INTO "Pallet" (code, "onHand", maximum) SELECT 'pallet ' || n, $2::int, CASE WHEN n <= $3::int THEN $4::int END FROM generate_series(1, $1::int) AS n)
INSERT INTO "PalletMovement" ("transactionId", line, code, quantity) SELECT 'opening ' || n, 0, 'pallet ' || n, $2::int FROM generate_series(1, $1::int) AS n`,
    [count, opening, withMaximum, maximum],
  )
  const { ACCOUNTS_OF_LEDGER } = sizes
  await query(
    url,
    `INSERT INTO "ArchiveStock" (code, "onHand", opening) SELECT 'account ' || n, $2::int, $2::int FROM generate_series(1, $1::int) AS n`,
    [ACCOUNTS_OF_LEDGER.count, ACCOUNTS_OF_LEDGER.opening],
  )
  await query(url, PRUNED)
  for (const pool of Object.values(SERIAL_POOLS)) {
    await query(
      url,
      `INSERT INTO "Serial" ("productId", number) SELECT $1::int, 'S' || lpad(n::text, 6, '0') FROM generate_series(1, $2::int) AS n`,
      [pool, SERIALS],
    )
  }
  await query(url, TRIGGER)
  await query(url, 'ANALYZE')
}

/** That of `versionTriggerSql`, for the lists: raw SQL writes them, too. */
const TRIGGER = `CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW."row version" := OLD."row version" + 1; RETURN NEW; END $$;
CREATE TRIGGER bump BEFORE UPDATE ON "every thing"
FOR EACH ROW WHEN (NEW."row version" <= OLD."row version") EXECUTE FUNCTION bump()`

/** Keeps what is deleted of the ledger, so that the checker knows what was pruned. */
const PRUNED = `CREATE TABLE "Pruned" (LIKE "ArchiveMovement");
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO "Pruned" SELECT OLD.*; RETURN NULL; END $$;
CREATE TRIGGER keep AFTER DELETE ON "ArchiveMovement" FOR EACH ROW EXECUTE FUNCTION keep()`

interface Product {
  readonly id: number
  readonly stock: number
  readonly version: number
}

interface Movement {
  readonly line: number
  readonly productId: number
  readonly quantity: number
}

export interface PalletMovement {
  readonly code: string
  readonly quantity: number
}

export interface LedgerMovement {
  readonly quantity: number
  readonly day: string
  readonly isGone: boolean
}

/** A reservation of one line. */
export interface Order {
  readonly state: string
  readonly quantity: number
  readonly fulfilled: number
  readonly original: number | null
  readonly isEndless: boolean
}

/** The tables at the end of a round. */
export interface Tables {
  readonly products: ReadonlyMap<number, Product>
  readonly lists: readonly { readonly id: number; readonly version: number; readonly tags: readonly string[] }[]
  readonly categories: ReadonlySet<number>
  readonly payments: ReadonlyMap<string, { id: number; amount: number; reference: string | null }>
  readonly notes: readonly string[]
  readonly movements: ReadonlyMap<string, readonly Movement[]>
  readonly reservations: ReadonlyMap<string, string>
  readonly serials: ReadonlyMap<string, readonly string[]>
  readonly allocations: ReadonlySet<string>
  readonly numbers: ReadonlyMap<string, string>
  readonly series: ReadonlyMap<string, bigint>
  readonly palletMovements: ReadonlyMap<string, readonly PalletMovement[]>
  readonly orders: ReadonlyMap<string, Order>
  /** Of the ledger with a history: those that are there, and those that were pruned. */
  readonly ledger: ReadonlyMap<string, readonly LedgerMovement[]>
  /** The looks at the end of the round that show something else than the tables. */
  readonly wrongLooks: readonly string[]
  /** Items that are not what their movements and reservations add up to, or below their minimum. */
  readonly wrongItems: readonly Record<string, unknown>[]
}

export async function readTables(url: string): Promise<Omit<Tables, 'wrongLooks'>> {
  const all = <R>(sql: string) => query(url, sql) as Promise<R[]>
  const products = await all<Product>('SELECT id, stock, version FROM "Product"')
  const lists = await all<Tables['lists'][number]>('SELECT id, "row version" AS version, tags FROM "every thing"')
  const categories = await all<{ id: number }>('SELECT id FROM "Category"')
  const payments = await all<{ key: string; id: number; amount: number; reference: string | null }>(
    'SELECT "transactionId" AS key, id, amount::int, reference FROM "Payment"',
  )
  const notes = await all<{ text: string }>('SELECT text FROM "Note" ORDER BY id')
  const movements = await all<Movement & { key: string }>(
    'SELECT "transactionId" AS key, line, "productId", quantity FROM "StockMovement" ORDER BY 1, 2',
  )
  const reservations = await all<{ key: string; state: string }>(
    'SELECT "transactionId" AS key, state FROM "StockReservation"',
  )
  const palletMovements = await all<PalletMovement & { key: string }>(
    'SELECT "transactionId" AS key, code, quantity FROM "PalletMovement" ORDER BY 1, line',
  )
  const orders = await all<Order & { key: string }>(
    'SELECT "transactionId" AS key, state, quantity, fulfilled, original, "expiresAt" IS NULL AS "isEndless" FROM "PalletReservation"',
  )
  const ledger = await all<LedgerMovement & { key: string }>(
    `SELECT "transactionId" AS key, line, quantity, date::text AS day, false AS "isGone" FROM "ArchiveMovement"
UNION ALL SELECT "transactionId", line, quantity, date::text, true FROM "Pruned" ORDER BY 1, 2`,
  )
  const serials = await all<{ key: string; number: string }>(
    'SELECT "transactionId" AS key, number FROM "Serial" WHERE "transactionId" IS NOT NULL ORDER BY number',
  )
  const allocations = await all<{ id: string }>('SELECT "transactionId" AS id FROM "SerialAllocation"')
  const numbers = await all<{ key: string; value: string }>(
    `SELECT "transactionId" AS key, value::text FROM "SeriesNumber" WHERE series = 'invoice'`,
  )
  const series = await all<{ name: string; last: string }>('SELECT name, last::text FROM "Series"')
  return {
    products: new Map(products.map((row) => [row.id, row])),
    lists,
    categories: new Set(categories.map(({ id }) => id)),
    payments: new Map(payments.map((row) => [row.key, row])),
    notes: notes.map(({ text }) => text),
    movements: grouped(movements, ({ key }) => key),
    reservations: new Map(reservations.map(({ key, state }) => [key, state])),
    serials: new Map(
      Array.from(
        grouped(serials, ({ key }) => key),
        ([key, rows]) => [key, rows.map(({ number }) => number)],
      ),
    ),
    allocations: new Set(allocations.map(({ id }) => id)),
    numbers: new Map(numbers.map(({ key, value }) => [key, value])),
    series: new Map(series.map(({ name, last }) => [name, BigInt(last)])),
    palletMovements: grouped(palletMovements, ({ key }) => key),
    orders: new Map(orders.map((row) => [row.key, row])),
    ledger: grouped(ledger, ({ key }) => key),
    wrongItems: [...(await query(url, WRONG_ITEMS)), ...(await query(url, WRONG_PALLETS))],
  }
}

const WRONG_ITEMS = `
SELECT i."productId", i."onHand", i.reserved, m.total AS moved, r.total AS held
FROM "Stock" AS i
CROSS JOIN LATERAL (
  SELECT coalesce(sum(quantity), 0)::int AS total FROM "StockMovement" AS m
  WHERE m."productId" = i."productId" AND m.warehouse = i.warehouse AND m.applied
) AS m
CROSS JOIN LATERAL (
  SELECT coalesce(sum(quantity), 0)::int AS total FROM "StockReservation" AS r
  WHERE r."productId" = i."productId" AND r.warehouse = i.warehouse AND r.state = 'active'
) AS r
WHERE i."onHand" <> m.total OR i.reserved <> r.total OR i."onHand" < i.minimum OR i."onHand" < i.reserved`

const WRONG_PALLETS = `
SELECT i.code, i."onHand", i.reserved, i.maximum, m.total AS moved, r.total AS held
FROM "Pallet" AS i
CROSS JOIN LATERAL (
  SELECT coalesce(sum(quantity), 0)::int AS total FROM "PalletMovement" AS m WHERE m.code = i.code AND m.applied
) AS m
CROSS JOIN LATERAL (
  SELECT coalesce(sum(quantity - fulfilled), 0)::int AS total FROM "PalletReservation" AS r
  WHERE r.code = i.code AND r.state = 'active'
) AS r
WHERE i."onHand" <> m.total OR i.reserved <> r.total OR i."onHand" < i.minimum OR i."onHand" < i.reserved
  OR i."onHand" > i.maximum`

export function grouped<T, K>(items: Iterable<T>, keyOf: (item: T) => K): Map<K, T[]> {
  const map = new Map<K, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = map.get(key)
    if (group) group.push(item)
    else map.set(key, [item])
  }
  return map
}
