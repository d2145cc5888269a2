import type { Database } from '../../test/support/database.js'

/** The state of the database at the end. It is read by plain SQL, past this package. */
export interface Audit {
  readonly ordersSold: number
  readonly ordersRefused: number
  readonly unitsAsked: number
  readonly unitsSold: number
  readonly openingStock: number
  readonly stockLeft: number
  /** Items whose balance is not what their movements add up to. */
  readonly wrongBalances: number
  readonly negativeBalances: number
  /** Orders of which some lines were sold and others not. */
  readonly halfSold: number
  /** Lines that were sold more than once. */
  readonly soldTwice: number
  readonly invoices: number
  /** Numbers from 1 to the last that were taken, and that no order has. */
  readonly invoiceGaps: number
  /** Orders with another number of invoices than one, or refused ones that have any. */
  readonly invoicesAmiss: number
  readonly serialsSold: number
  /** Lines of serialised products with another number of serials than units, and serials that no line has. */
  readonly serialsAmiss: number
}

/** The faults: anything but 0 means that data is wrong. */
export const FAULTS = [
  'wrongBalances',
  'negativeBalances',
  'halfSold',
  'soldTwice',
  'invoiceGaps',
  'invoicesAmiss',
  'serialsAmiss',
] as const satisfies readonly (keyof Audit)[]

export function isExact(audit: Audit): boolean {
  return FAULTS.every((fault) => audit[fault] === 0)
}

/** `serialised` are the products that have serial numbers. */
export async function audit(database: Database, serialised: readonly number[]): Promise<Audit> {
  const [row] = await database.query(
    `WITH line AS (
  SELECT l."orderId", l."productId", l.quantity, m.sold, m.movements
  FROM "OrderLine" AS l
  CROSS JOIN LATERAL (
    SELECT coalesce(-sum(quantity), 0) AS sold, count(*) AS movements
    FROM "StockMovement"
    WHERE "transactionId" = 'order ' || l."orderId" AND "productId" = l."productId"
  ) AS m
), orders AS (
  SELECT "orderId" AS id, sum(quantity) AS asked, sum(sold) AS sold,
    bool_or(sold > 0) AND bool_or(sold < quantity) AS "isHalf"
  FROM line GROUP BY "orderId"
), sold AS (
  SELECT o.*, (SELECT count(*) FROM "Invoice" AS i WHERE i."orderId" = o.id) AS invoices FROM orders AS o
), serial AS (
  SELECT "orderId", "productId", count(*) AS given FROM "Serial" WHERE "transactionId" IS NOT NULL GROUP BY 1, 2
), balance AS (
  SELECT s."onHand", (
    SELECT coalesce(sum(quantity), 0) FROM "StockMovement" AS m
    WHERE m."productId" = s."productId" AND m.warehouse = s.warehouse AND m.applied
  ) AS expected
  FROM "Stock" AS s
)
SELECT
  (SELECT count(*) FROM sold WHERE sold > 0)::int AS "ordersSold",
  (SELECT count(*) FROM sold WHERE sold = 0)::int AS "ordersRefused",
  (SELECT sum(asked) FROM sold)::int AS "unitsAsked",
  (SELECT sum(sold) FROM sold)::int AS "unitsSold",
  (SELECT sum(quantity) FROM "StockMovement" WHERE quantity > 0)::int AS "openingStock",
  (SELECT sum("onHand") FROM "Stock")::int AS "stockLeft",
  (SELECT count(*) FROM balance WHERE "onHand" <> expected)::int AS "wrongBalances",
  (SELECT count(*) FROM balance WHERE "onHand" < 0)::int AS "negativeBalances",
  (SELECT count(*) FROM sold WHERE "isHalf")::int AS "halfSold",
  (SELECT count(*) FROM line WHERE movements > 1 OR sold > quantity)::int AS "soldTwice",
  (SELECT count(*) FROM "Invoice")::int AS invoices,
  (SELECT coalesce(sum(last), 0) FROM "Series")::int - (SELECT count(*) FROM "SeriesNumber")::int AS "invoiceGaps",
  (SELECT count(*) FROM sold WHERE invoices <> (sold > 0)::int)::int AS "invoicesAmiss",
  (SELECT count(*) FROM "Serial" WHERE "transactionId" IS NOT NULL)::int AS "serialsSold",
  (SELECT count(*)
    FROM (SELECT * FROM line WHERE "productId" = ANY($1)) AS l FULL JOIN serial USING ("orderId", "productId")
    WHERE coalesce(sold, 0) <> coalesce(given, 0))::int AS "serialsAmiss"`,
    [serialised],
  )
  return row as unknown as Audit
}
