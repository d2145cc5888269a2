import type { Field } from '../engine/data-model.js'
import { keyNames, keysEqual } from '../mapping/columns.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { columnOf } from '../sql/sql.js'
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
 * One statement, so that balances and movements are of the same moment, whoever writes meanwhile.
 * The FULL JOIN also finds what names an item that is not there: movements that count or will
 * count, and reservations that are active.
 */
export async function audit(client: PrismaClientLike, map: StockMap): Promise<Discrepancy[]> {
  const { item, quantities } = map
  await quantities.prepare(client)
  const { key, onHand, opening, reserved } = item
  const number = (field: Field | undefined) => (field ? `coalesce(t.${columnOf(field)}, 0)` : '0')
  const balance = number(onHand)
  const expected = `${number(opening)} + coalesce(s.total, 0)`
  const held = map.reservation ? number(reserved) : '0'
  const expectedHeld = 'coalesce(s.held, 0)'
  const isMissing = `t.${columnOf(key[0] as Field)} IS NULL`
  const keys = key.map((field, i) => `coalesce(t.${columnOf(field)}::text, s.k${i}::text)`)
  const rows = (await client.$queryRawUnsafe(
    `SELECT ARRAY[${keys.join(', ')}] AS key, ${isMissing} AS "isMissing", (${balance})::text AS balance,
  (${expected})::text AS expected, (${held})::text AS reserved, (${expectedHeld})::text AS "expectedReserved"
FROM ${item.table} AS t FULL JOIN (
  SELECT ${keyNames(key)}, sum(total) AS total, sum(held) AS held
  FROM (${sums(map).join(' UNION ALL ')}) AS part
  GROUP BY ${keyNames(key)}
) AS s ON ${keysEqual(key, 't', 's')}
WHERE ${isMissing} OR ${balance} <> ${expected} OR ${held} <> ${expectedHeld}
ORDER BY ${key.map((field, i) => `coalesce(t.${columnOf(field)}, s.k${i})`).join(', ')}`,
  )) as DiscrepancyRow[]
  const value = (text: string) => quantities.value(quantities.parse(text))
  return rows.map((row) => ({
    item: givenOf(row.key, key),
    balance: value(row.balance),
    expected: value(row.expected),
    reserved: value(row.reserved),
    expectedReserved: value(row.expectedReserved),
    ...(row.isMissing ? { missing: true as const } : {}),
  }))
}

/** Per item, what its movements and what its reservations add up to. */
function sums({ movement, reservation }: StockMap): string[] {
  const part = ({ table, item }: LinesMap, total: string, held: string, condition?: string) => {
    const columns = item.map((field) => `m.${columnOf(field)}`)
    return `(
    SELECT ${columns.map((column, i) => `${column} AS k${i}`).join(', ')}, ${total} AS total, ${held} AS held
    FROM ${table} AS m${condition ? `\n    WHERE ${condition}` : ''}
    GROUP BY ${columns.join(', ')}
  )`
  }
  const sum = ({ quantity }: LinesMap) => `sum(m.${columnOf(quantity)})`
  const { applied, refused } = movement
  const total = sum(movement) + (applied ? ` FILTER (WHERE m.${columnOf(applied)})` : '')
  const parts = [part(movement, total, '0', refused && `NOT m.${columnOf(refused)}`)]
  if (reservation) {
    parts.push(part(reservation, '0', sum(reservation), `m.${columnOf(reservation.state)} = 'active'`))
  }
  return parts
}
