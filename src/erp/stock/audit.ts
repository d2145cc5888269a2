import type { PrismaClientLike } from '../../prisma/client.js'
import { columnOf } from '../../prisma/sql.js'
import { columnsOf } from '../columns.js'
import { givenOf } from './item.js'
import type { StockMap } from './mapping.js'

/** An item whose balance, or whose reserved quantity, is not what its movements and reservations add up to. */
export interface Discrepancy {
  readonly item: unknown
  readonly balance: unknown
  readonly expected: unknown
  readonly reserved: unknown
  readonly expectedReserved: unknown
}

/** One statement, so that balances and movements are of the same moment, whoever writes meanwhile. */
export async function audit(client: PrismaClientLike, map: StockMap): Promise<Discrepancy[]> {
  const { item, movement, reservation, quantities } = map
  await quantities.prepare(client)
  const { key, onHand, opening, reserved } = item
  const counted = [
    ...(movement.applied ? [`m.${columnOf(movement.applied)}`] : []),
    ...(movement.refused ? [`NOT m.${columnOf(movement.refused)}`] : []),
  ]
  const sumOf = (table: string, columns: readonly string[], quantity: string, conditions: readonly string[]) =>
    `(SELECT ${columns.map((column, i) => `m.${column} AS k${i}`).join(', ')}, sum(m.${quantity}) AS total
  FROM ${table} AS m${conditions.length > 0 ? `\n  WHERE ${conditions.join(' AND ')}` : ''}
  GROUP BY ${columns.map((column) => `m.${column}`).join(', ')})`
  const on = (alias: string) => key.map((field, i) => `t.${columnOf(field)} = ${alias}.k${i}`).join(' AND ')
  const reservations = reservation
    ? `LEFT JOIN ${sumOf(reservation.table, reservation.item.map(columnOf), columnOf(reservation.quantity), [`m.${columnOf(reservation.state)} = 'active'`])} AS r ON ${on('r')}`
    : ''
  const balance = `t.${columnOf(onHand)}`
  const expected = `${opening ? `t.${columnOf(opening)}` : '0'} + coalesce(s.total, 0)`
  const held = reserved && reservation ? `t.${columnOf(reserved)}` : '0'
  const expectedHeld = reservation ? 'coalesce(r.total, 0)' : '0'
  const rows = (await client.$queryRawUnsafe(
    `SELECT ARRAY[${key.map((field) => `t.${columnOf(field)}::text`).join(', ')}] AS key, (${balance})::text AS balance,
  (${expected})::text AS expected, (${held})::text AS reserved, (${expectedHeld})::text AS "expectedReserved"
FROM ${item.table} AS t
LEFT JOIN ${sumOf(movement.table, movement.item.map(columnOf), columnOf(movement.quantity), counted)} AS s ON ${on('s')}
${reservations}
WHERE ${balance} <> ${expected} OR ${held} <> ${expectedHeld}
ORDER BY ${columnsOf(key, 't')}`,
  )) as { key: string[]; balance: string; expected: string; reserved: string; expectedReserved: string }[]
  const value = (text: string) => quantities.value(quantities.parse(text))
  return rows.map((row) => ({
    item: givenOf(row.key, key),
    balance: value(row.balance),
    expected: value(row.expected),
    reserved: value(row.reserved),
    expectedReserved: value(row.expectedReserved),
  }))
}
