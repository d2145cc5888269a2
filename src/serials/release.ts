import { rowOf, type Session } from '../engine/session.js'
import { columnsAsKeys, keysEqual, stampColumns, stamps, touches } from '../mapping/columns.js'
import type { Table } from '../sql/catalogue.js'
import { GivenColumns, inColumnType } from '../sql/given-columns.js'
import { columnOf } from '../sql/sql.js'
import { join, param, raw, sql } from '../sql/statement.js'
import { ownerFields, type SerialsMap } from './mapping.js'
import { fieldsSetBy } from './request.js'
import { inOrder, isOf, type Owner, ownerChange, ownerValues, recording } from './statements.js'
import { jsonOf, type Values } from './values.js'

/** A call of `release` that has been checked. */
export interface ReleaseCall extends Owner {
  /** `undefined` is all that the transaction id has. */
  readonly numbers: readonly string[] | undefined
  /** Values to set on the serials. */
  readonly data: Values
  /** The table of the serials. */
  readonly columns: Table
}

/** Frees serials of a transaction id, and of nobody else. Those that it does not have (any more) count for nothing. */
export async function release(tx: Session, map: SerialsMap, call: ReleaseCall): Promise<{ released: number }> {
  const request = await lockClaim(tx, map, call)
  const released = await free(tx, map, call, fieldsSetBy(request))
  if (request === UNCLAIMED) await removeClaim(tx, map, call)
  return { released }
}

/** No request is an empty text. */
const UNCLAIMED = ''

/**
 * The request of the transaction id, locked; if there is none, a claim of our own for as long as
 * this takes. Either way an allocation under way is over by now, and none can begin meanwhile.
 */
async function lockClaim(tx: Session, map: SerialsMap, owner: Owner): Promise<string> {
  const { table, request, count, updatedAt } = map.allocation
  const columns = join(ownerFields(map.allocation).map(columnOf))
  const [row] = await tx.rows<{ request: string }>(
    sql`INSERT INTO ${table} AS a (${columns}, ${columnOf(request)}, ${columnOf(count)}${stampColumns(updatedAt)})
VALUES (${join(ownerValues(map, owner))}, '', 0${stamps(updatedAt)})
ON CONFLICT (${columns}) DO UPDATE SET ${columnOf(request)} = a.${columnOf(request)}
RETURNING a.${columnOf(request)} AS request`,
  )
  return row?.request ?? UNCLAIMED
}

async function removeClaim(tx: Session, map: SerialsMap, owner: Owner): Promise<void> {
  const { table, request } = map.allocation
  await tx.rows(sql`DELETE FROM ${table}
WHERE ${isOf(map, map.allocation, owner)} AND ${columnOf(request)} = ''`)
}

async function free(tx: Session, map: SerialsMap, call: ReleaseCall, before: readonly string[]): Promise<number> {
  const { model, table, key, number, state } = map.serial
  const { data, columns } = call
  const given = param(jsonOf(data))
  const numbers = param(call.numbers ?? null, 'text[]')
  // The values of the allocation would otherwise point from a free serial to its former order.
  const cleared = before
    .flatMap((name) => model.fields.get(name) ?? [])
    .filter((field) => field.isOptional && !data.fields.includes(field))
  const clear = cleared.map((field) => raw(`, ${columnOf(field)} = NULL`))
  const set = data.fields.map((field) =>
    raw(`, ${columnOf(field)} = ${inColumnType(`given.${columnOf(field)}`, field, columns)}`),
  )
  const from = data.fields.length > 0 && sql`, ${GivenColumns.of(data.fields, columns).record(given, 'given')}`
  const to = state && data.fields.includes(state) ? undefined : 'free'
  const { released } = await rowOf<{ released: number }>(
    tx,
    sql`WITH held AS MATERIALIZED (
  SELECT ${columnsAsKeys(key, 's')}
  FROM ${table} AS s
  WHERE ${isOf(map, map.serial, call, 's.')}
    AND (${numbers} IS NULL OR s.${columnOf(number)} = ANY(${numbers}))
  ORDER BY ${inOrder(map)}
  FOR NO KEY UPDATE OF s
), freed AS (
  UPDATE ${table} AS s
  SET ${ownerChange(map, raw('NULL'), to)}${join([...clear, ...set], '')}${touches(map.serial, 's')}
  FROM held${from}
  WHERE ${keysEqual(key, 's', 'held')}
  RETURNING ${raw(map.history ? 's.*' : '1')}
)${recording(map, 'freed')}
SELECT count(*)::int4 AS released FROM freed`,
  )
  return released
}
