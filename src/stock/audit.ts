import type { Field } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { columnsAsKeys, columnsOf, keyNames, keysEqual } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { join, raw, type SqlText, sql } from '../sql/statement.js'
import { givenOf } from './item.js'
import type { LinesMap, StockMap } from './mapping.js'

/** An item whose balance, or whose reserved quantity, is not what its movements and reservations add up to. */
export interface Discrepancy {
  readonly item: unknown
  readonly balance: unknown
  readonly expected: unknown
  readonly reserved: unknown
  readonly expectedReserved: unknown
  readonly missing?: true
}

interface DiscrepancyRow {
  readonly key: string[]
  readonly isMissing: boolean
  readonly balance: string
  readonly expected: string
  readonly reserved: string
  readonly expectedReserved: string
}

/**
 * One statement, so that balances and movements are of the same moment, also where others write meanwhile.
 * The FULL JOIN also finds what names an item that is not there: movements that count or will
 * count, and reservations that are active.
 */
export async function audit(session: Session, map: StockMap): Promise<Discrepancy[]> {
  const { item, quantities } = map
  await quantities.prepare(session)
  const { key, onHand, opening, reserved } = item
  const number = (field: Field | undefined) => raw(field ? `coalesce(t.${columnOf(field)}, 0)` : '0')
  const balance = number(onHand)
  const expected = sql`${number(opening)} + coalesce(s.total, 0)`
  const held = map.reservation ? number(reserved) : raw('0')
  const expectedHeld = raw('coalesce(s.held, 0)')
  const isMissing = join(key.slice(0, 1).map((field) => sql`t.${columnOf(field)} IS NULL`))
  const keys = key.map((field, i) => raw(`coalesce(t.${columnOf(field)}::text, s.k${i}::text)`))
  const order = key.map((field, i) => raw(`coalesce(t.${columnOf(field)}, s.k${i})`))
  const rows = await session.rows<DiscrepancyRow>(
    sql`SELECT ARRAY[${join(keys)}] AS key, ${isMissing} AS "isMissing", (${balance})::text AS balance,
  (${expected})::text AS expected, (${held})::text AS reserved, (${expectedHeld})::text AS "expectedReserved"
FROM ${item.table} AS t FULL JOIN (
  SELECT ${keyNames(key)}, sum(total) AS total, sum(held) AS held
  FROM (${join(sums(map), ' UNION ALL ')}) AS part
  GROUP BY ${keyNames(key)}
) AS s ON ${keysEqual(key, 't', 's')}
WHERE ${isMissing} OR ${balance} <> ${expected} OR ${held} <> ${expectedHeld}
ORDER BY ${join(order)}`,
  )
  const value = (text: string) => quantities.value(quantities.parse(text))
  return rows.map((row) => ({
    item: givenOf(row.key, key),
    balance: value(row.balance),
    expected: value(row.expected),
    reserved: value(row.reserved),
    expectedReserved: value(row.expectedReserved),
    ...(row.isMissing && { missing: true }),
  }))
}

interface Part {
  readonly total: SqlText
  readonly held: SqlText
  readonly condition: SqlText | undefined
}

/** Per item, what its movements and what its reservations add up to. */
function sums({ movement, reservation }: StockMap) {
  const part = ({ table, item }: LinesMap, { total, held, condition }: Part) => sql`(
    SELECT ${columnsAsKeys(item, 'm')}, ${total} AS total, ${held} AS held
    FROM ${table} AS m${condition && sql`\n    WHERE ${condition}`}
    GROUP BY ${columnsOf(item, 'm')}
  )`
  const none = raw('0')
  const sum = ({ quantity }: LinesMap) => `sum(m.${columnOf(quantity)})`
  const { applied, refused } = movement
  const total = raw(sum(movement) + (applied ? ` FILTER (WHERE m.${columnOf(applied)})` : ''))
  const parts = [part(movement, { total, held: none, condition: refused && raw(`NOT m.${columnOf(refused)}`) })]
  if (reservation) {
    const condition = raw(`m.${columnOf(reservation.state)} = 'active'`)
    parts.push(part(reservation, { total: none, held: raw(sum(reservation)), condition }))
  }
  return parts
}
