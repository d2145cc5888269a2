import { sqlTypeOf, stampColumns, stamps } from '../mapping/columns.js'
import type { Table } from '../sql/catalogue.js'
import { givenValue } from '../sql/given-columns.js'
import { columnOf } from '../sql/sql.js'
import type { SerialsMap } from './mapping.js'
import type { Values } from './values.js'

/** What the statements of this feature have in common. The serial is `s` in all of them. */

/** A condition: the serial has the values, which are in a parameter as JSON. */
export function matches({ fields, given }: Values, table: Table, parameter: string): string {
  return fields
    .map((field) =>
      given[field.name] === null
        ? ` AND s.${columnOf(field)} IS NULL`
        : ` AND s.${columnOf(field)} = ${givenValue(field, table, parameter)}`,
    )
    .join('')
}

/**
 * The one order in which serials are locked, wherever it is waited for them, so that two who wait do
 * not deadlock: that of the number, as a text. The transaction id, which is NULL in all free ones,
 * makes the index of the printed schema fit, that has it in front.
 */
export function inOrder({ serial: { transactionId, key } }: SerialsMap): string {
  return [transactionId, ...key].map((field) => `s.${columnOf(field)}`).join(', ')
}

/** `s."number" AS k0, s."productId" AS k1` */
export function keyAs({ serial: { key } }: SerialsMap): string {
  return key.map((field, i) => `s.${columnOf(field)} AS k${i}`).join(', ')
}

/**
 * The claim of a transaction id: of any number of transactions at once just one gets a row out of it,
 * and the others wait for that one to end. For the parameters $1 to $3: id, request and count.
 */
export function claiming({ allocation }: SerialsMap, condition = 'true'): string {
  const { table, transactionId, request, count, updatedAt } = allocation
  const id = columnOf(transactionId)
  return `INSERT INTO ${table} (${id}, ${columnOf(request)}, ${columnOf(count)}${stampColumns(updatedAt)})
  SELECT $1::${sqlTypeOf(transactionId)}, $2::text, $3::int4${stamps(updatedAt)}
  WHERE ${condition}
  ON CONFLICT (${id}) DO NOTHING
  RETURNING 1`
}
