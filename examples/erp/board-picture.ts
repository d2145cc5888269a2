import type pg from 'pg'
import { z } from 'zod'

/** A row of the stock, by its key. */
const key = z.object({ productId: z.int32(), warehouse: z.string().refine(isStorable) })

/** The payload that a transaction sends at its commit. Times are ms since 1970, by the clock of the database. */
const change = z.object({ ...key.shape, at: z.number() })

export type Key = z.output<typeof key>
export type Change = z.output<typeof change>

export interface BoardItem extends Key {
  readonly name: string
  readonly onHand: number
  readonly reserved: number
  /** Deferred: recorded, and not in `onHand` yet. */
  readonly arriving: number
}

export interface BoardMovement extends Key {
  readonly transactionId: string
  readonly line: number
  readonly quantity: number
  readonly applied: boolean
  readonly createdAt: string
}

export interface Picture {
  /** It has all that was committed until then. */
  readonly at: number
  readonly items: readonly BoardItem[]
  /** The last 20, the newest first. */
  readonly movements: readonly BoardMovement[]
}

/** PostgreSQL has no NUL in a text, nor half of a surrogate pair. */
function isStorable(text: string): boolean {
  return !/[\0\p{Surrogate}]/u.test(text)
}

/** `undefined` if it is not from our trigger: anybody in the database may notify. */
export function changeIn(payload: string | undefined): Change | undefined {
  try {
    return change.parse(JSON.parse(payload ?? ''))
  } catch {
    return undefined
  }
}

const CHANGED = `
  WHERE (s."productId", s.warehouse) IN (
    SELECT c."productId", c.warehouse FROM json_to_recordset($1) AS c("productId" int, warehouse text)
  )`

/** One statement, so all figures are of one moment: a movement that is being folded is in one of them only. */
const pictureOf = (condition: string) => `WITH item AS (
  SELECT s."productId", s.warehouse, coalesce(p.name, '') AS name, s."onHand", s.reserved, coalesce(d.arriving, 0) AS arriving
  FROM "Stock" AS s
  LEFT JOIN "Product" AS p ON p.id = s."productId"
  LEFT JOIN (
    SELECT "productId", warehouse, sum(quantity) AS arriving
    FROM "StockMovement" WHERE NOT applied GROUP BY "productId", warehouse
  ) AS d ON d."productId" = s."productId" AND d.warehouse = s.warehouse${condition}
), movement AS (
  SELECT "transactionId", line, "productId", warehouse, quantity, applied, "createdAt"
  FROM "StockMovement" ORDER BY "createdAt" DESC, "transactionId", line LIMIT 20
)
SELECT json_build_object(
  'at', extract(epoch FROM statement_timestamp()) * 1000,
  'items', (SELECT coalesce(json_agg(i ORDER BY i."productId", i.warehouse), '[]') FROM item AS i),
  'movements', (SELECT coalesce(json_agg(m), '[]') FROM movement AS m)
) AS picture`

/** All items, or, if keys are given, those of them that are there. */
export async function readPicture(client: pg.Client, keys?: readonly Key[]): Promise<Picture> {
  const query =
    keys === undefined
      ? { name: 'all', text: pictureOf('') }
      : { name: 'changed', text: pictureOf(CHANGED), values: [JSON.stringify(keys)] }
  const { rows } = await client.query<{ picture: Picture }>(query)
  const [row] = rows
  if (row === undefined) throw new Error('The database has answered without a row.')
  return row.picture
}

/** @throws Error if the triggers are not there: the board would show its first picture for ever */
export async function checkTriggers(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query(
    `SELECT FROM pg_trigger WHERE tgname = 'stock_board' AND tgrelid IN ('"Stock"'::regclass, '"StockMovement"'::regclass)`,
  )
  if (rowCount !== 2) throw new Error('The triggers of the stock board are not there. Run examples/erp/board.sql.')
}
