import type { Field } from '../engine/data-model.js'
import { columnsOf, keysEqual } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { raw } from '../sql/statement.js'
import type { StockMap } from './mapping.js'

/**
 * The same ledger, in which an item with slots is one row: their sum. PostgreSQL reads the rows of the items that it is asked
 * for alone, as long as the condition is on the key; of items in a list, it looks up each of them.
 *
 * @param listed the fields of the key by which the table is joined behind a list, `item`
 */
export function withSums(map: StockMap, listed?: readonly Field[]): StockMap {
  const { item } = map
  const { table, key, slots, onHand, opening } = item
  if (!slots) return map
  const sums = [onHand, opening].flatMap((field) => (field ? `, sum(${columnOf(field)}) AS ${columnOf(field)}` : []))
  const summed = raw(`${listed ? 'LATERAL ' : ''}(
  SELECT ${columnsOf(key, 'r')}${sums.join('')}
  FROM ${table} AS r${listed ? ` WHERE ${keysEqual(listed, 'r', 'item')}` : ''}
  GROUP BY ${columnsOf(key, 'r')}
)`)
  return { ...map, item: { ...item, table: summed, reserved: undefined } }
}
