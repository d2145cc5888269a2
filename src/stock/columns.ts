import type { Field } from '../engine/data-model.js'
import { touches } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import type { LinesMap, StockMap } from './mapping.js'

/** What an UPDATE sets of an item: its balance, its version, and when it was. */
export function assignments(
  map: StockMap,
  next = 'item.next',
  nextReserved: string | undefined = 'item.next_reserved',
): string {
  const { onHand, reserved } = map.item
  const values = [`${columnOf(onHand)} = ${next}`]
  if (reserved) values.push(`${columnOf(reserved)} = ${nextReserved}`)
  return values.join(', ') + touches(map.item, 't')
}

/** The columns of every line, for an INSERT. */
export function linesColumns({ transactionId, line, item, quantity, updatedAt }: LinesMap): string {
  return [transactionId, line, ...item, quantity, ...updatedAt].map(columnOf).join(', ')
}

/** The columns that only movements have. */
export function flagColumns({ movement: { applied, refused } }: StockMap): string {
  return [applied, refused].map((field?: Field) => (field ? `, ${columnOf(field)}` : '')).join('')
}

/** What they have in a movement that is in the balance. */
export function flagValues({ movement: { applied, refused } }: StockMap, isRefused: string | undefined): string {
  return `${applied ? ', true' : ''}${refused ? `, ${isRefused}` : ''}`
}
