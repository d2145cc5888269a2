import { columnsOf, sqlTypeOf, stampColumns, stamps } from '../mapping/columns.js'
import type { Table } from '../sql/catalogue.js'
import { givenValue } from '../sql/given-columns.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, type Piece, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import type { SerialsMap } from './mapping.js'
import type { Values } from './values.js'

/** Parts that the statements of this feature have in common. The serial is `s` in all of them. */

/** A condition: the serial has the values, which are in a parameter as JSON. */
export function matches({ fields, given }: Values, table: Table, json: Parameter): Statement | SqlText {
  const conditions = fields.map(
    (field): Piece =>
      given[field.name] === null
        ? sql` AND s.${columnOf(field)} IS NULL`
        : sql` AND s.${columnOf(field)} = ${givenValue(field, table, json)}`,
  )
  return join(conditions, '')
}

/**
 * The one order in which serials are locked, in every statement that waits for them, so that two of them do
 * not deadlock: that of the number, as a text. The transaction id, which is NULL in all free ones,
 * makes the index of the printed schema fit, that has it in front.
 */
export function inOrder({ serial: { transactionId, key } }: SerialsMap): SqlText {
  return columnsOf([transactionId, ...key], 's')
}

/** A transaction id. Both tables have it in the same type. */
export function idOf({ allocation }: SerialsMap, id: string): Parameter {
  return param(id, sqlTypeOf(allocation.transactionId))
}

/** Several of them. */
export function idsOf({ allocation }: SerialsMap, ids: readonly string[]): Parameter {
  return param(ids, `${sqlTypeOf(allocation.transactionId) ?? 'text'}[]`)
}

/**
 * The claims of transaction ids, of a list with `id`, `request` and `count` of each, or the count to be `recorded`: of any number of transactions
 * at once just one gets a row out of a claim, and the others wait for that one to end.
 */
export function claiming({ allocation }: SerialsMap, list: Piece, recorded = raw('count')): Statement {
  const { table, transactionId, request, count, updatedAt } = allocation
  const id = columnOf(transactionId)
  return sql`INSERT INTO ${table} (${id}, ${columnOf(request)}, ${columnOf(count)}${stampColumns(updatedAt)})
  SELECT id, request, ${recorded}${stamps(updatedAt)}
  ${list}
  ON CONFLICT (${id}) DO NOTHING
  RETURNING ${id} AS id, ${columnOf(count)} AS count`
}
