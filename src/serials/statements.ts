import { columnsOf, sqlTypeOf, stampColumns, stamps } from '../mapping/columns.js'
import type { Table } from '../sql/catalogue.js'
import { givenValue } from '../sql/given-columns.js'
import type { Scope } from '../sql/scope.js'
import { columnOf, momentOf } from '../sql/sql.js'
import { join, type Parameter, type Piece, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { type ClaimedTable, ownerFields, type SerialsMap } from './mapping.js'
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

/** A condition: the serial is free. */
export function isFree({ serial: { transactionId, state, states } }: SerialsMap): SqlText {
  const inState = state && states ? ` AND s.${columnOf(state)} = ${states.free}` : ''
  return raw(`s.${columnOf(transactionId)} IS NULL${inState}`)
}

/** The assignments of every UPDATE that gives a serial to an owner, or takes it back from one. */
export function ownerChange({ serial }: SerialsMap, owner: SqlText, to: 'free' | 'allocated' | undefined): SqlText {
  const { transactionId, state, states, changes } = serial
  const inState = state && states && to ? `, ${columnOf(state)} = ${states[to]}` : ''
  const counted = changes ? `, ${columnOf(changes)} = s.${columnOf(changes)} + 1` : ''
  return raw(`${columnOf(transactionId)} = ${owner}${inState}${counted}`)
}

/**
 * The rows of the history, behind the UPDATE `list` of serials, which returns all of their columns. The UPDATE has the
 * serial locked until the commit, so of one serial the sequence and the moment go up in the order of the commits.
 */
export function recording({ serial, history }: SerialsMap, list: string): SqlText {
  if (history === undefined || serial.changes === undefined) return raw('')
  const { table, copied, sequence, changedAt, updatedAt } = history
  const own = copied.flatMap(({ name }) => serial.model.fields.get(name) ?? [])
  return raw(`, recorded AS (
  INSERT INTO ${table} (${join([...copied, sequence, changedAt].map(columnOf))}${stampColumns(updatedAt)})
  SELECT ${columnsOf([...own, serial.changes], 't')}, ${momentOf(changedAt, 'clock_timestamp()')}${stamps(updatedAt)}
  FROM ${list} AS t
)`)
}

/** A transaction id in its scope, whose serials are never mixed up with those of another one. */
export interface Owner {
  readonly scope: Scope
  readonly transactionId: string
}

/** The values of an owner, in the order of `ownerFields`. Both tables have them in the same types. */
export function ownerValues({ allocation }: SerialsMap, { scope, transactionId }: Owner): readonly Parameter[] {
  const values = [...scope, transactionId]
  return ownerFields(allocation).map((field, i) => param(values[i], sqlTypeOf(field)))
}

/** A condition: the row is of the owner. */
export function isOf(map: SerialsMap, table: ClaimedTable, owner: Owner, alias = ''): Statement {
  const values = ownerValues(map, owner)
  return join(
    ownerFields(table).map((field, i) => sql`${raw(alias)}${columnOf(field)} = ${values[i]}`),
    ' AND ',
  )
}

/** The names of an owner's values in lists of ours: `s0, id`. */
export function ownerNames({ allocation }: SerialsMap, alias = ''): readonly SqlText[] {
  return [...allocation.scope.map((_, i) => raw(`${alias}s${i}`)), raw(`${alias}id`)]
}

/** A condition: the row of a table is of the owner in the row of a list. */
export function ownersEqual(map: SerialsMap, table: ClaimedTable, alias: string, list: string): SqlText {
  const names = ownerNames(map, `${list}.`)
  return join(
    ownerFields(table).map((field, i) => raw(`${alias}.${columnOf(field)} = ${names[i]}`)),
    ' AND ',
  )
}

/** One text for each owner. */
export function ownerText({ scope, transactionId }: Owner): string {
  return scope.length === 0 ? transactionId : JSON.stringify([...scope, transactionId])
}

/**
 * The claims of transaction ids, of a list with `id`, its scope, `request` and `count` of each, or the count to be `recorded`: of any number of transactions
 * at once just one gets a row out of a claim, and the others wait for that one to end.
 */
export function claiming(map: SerialsMap, list: Piece, recorded = raw('count')): Statement {
  const { table, request, count, updatedAt } = map.allocation
  const fields = ownerFields(map.allocation)
  const columns = join(fields.map(columnOf))
  const names = ownerNames(map)
  return sql`INSERT INTO ${table} (${columns}, ${columnOf(request)}, ${columnOf(count)}${stampColumns(updatedAt)})
  SELECT ${join(names)}, request, ${recorded}${stamps(updatedAt)}
  ${list}
  ON CONFLICT (${columns}) DO NOTHING
  RETURNING ${join(fields.map((field, i) => raw(`${columnOf(field)} AS ${names[i]}`)))}, ${columnOf(count)} AS count`
}
