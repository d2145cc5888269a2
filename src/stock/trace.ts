import type { Session } from '../engine/session.js'
import { columnsOf, keysEqual, sqlTypeOf } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { param, raw, sql } from '../sql/statement.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import { readItem } from './item.js'
import type { Args } from './lines.js'
import type { StockMap } from './mapping.js'
import { keyColumns, rowsIn, where } from './statements.js'

const traceSchema = s.object({
  after: s.optional(s.object({ transactionId: s.string(), line: s.whole() })),
  limit: s.optional(s.whole().check(s.gte(1), s.lte(10_000))),
})

/** The movements that took something of an item, by their transaction ids. */
export async function readTrace(session: Session, map: StockMap, args: Args) {
  const { movement, quantities } = map
  const item = readItem(map.item, args.scope, args.item, 'item')
  const { after, limit = 1_000 } = checkArguments(traceSchema, { after: args.after, limit: args.limit })
  const { transactionId, line, quantity, refused } = movement
  const place = [transactionId, line]
  const isBehind =
    after &&
    sql`(${columnsOf(place, 'm')}) > (${param(after.transactionId, sqlTypeOf(transactionId))}, ${param(after.line, 'int4')})`
  const isTaken = raw(`m.${columnOf(quantity)} < 0`)
  await quantities.prepare(session)
  const rows = await session.rows<{ transactionId: string; line: number; quantity: string }>(
    sql`SELECT m.${columnOf(transactionId)}::text AS "transactionId", m.${columnOf(line)} AS line, m.${columnOf(quantity)}::text AS quantity
FROM ${rowsIn('item', keyColumns(map, [item]))} JOIN ${movement.table} AS m ON ${keysEqual(movement.item, 'm', 'item')}${where([isTaken, refused && raw(`NOT m.${columnOf(refused)}`), isBehind])}
ORDER BY ${columnsOf(place, 'm')}
LIMIT ${param(limit, 'int4')}`,
  )
  return rows.map((row) => ({ ...row, quantity: quantities.value(quantities.parse(row.quantity)) }))
}
