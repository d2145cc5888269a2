import type { Row, Session } from '../engine/session.js'
import { columnsAsKeys, columnsOf, keysEqual, touches } from '../mapping/columns.js'
import { givenValue } from '../sql/given-columns.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { refusal } from '../sql/refusal.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, param, raw, type Statement, sql } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'
import type { AllocateCall } from './allocate.js'
import type { SerialsMap } from './mapping.js'
import { claiming, idOf, inOrder, matches } from './statements.js'

/** How a statement locks the serials. */
export interface RowLocking {
  /** Whether it passes over serials that others have locked, or waits for them. */
  readonly skips: boolean
  /** For a statement that is its own transaction: how long it may wait for the claim, in ms. */
  readonly limit?: number
}

export interface Taken {
  /** Whether the transaction id was new. */
  readonly claimed: boolean
  /** How many were locked. */
  readonly found: number
  /** Of a statement that is its own transaction: how many are free, locked or not, as far as `count`. */
  readonly visible: number
  /** Records, if raw SQL gives them as a model call does; else as many rows. */
  readonly taken: readonly Row[]
}

interface TakenRow extends Row {
  readonly $claimed: number
  readonly $found: number
  readonly $visible: number
  readonly $taken: boolean | null
}

/**
 * One statement: the claim, the locks, and the UPDATE, if there are enough. Serials that were released while
 * it waited for the claim or for a lock are not among the free ones it sees.
 */
export async function claimAndTake(
  session: Session,
  map: SerialsMap,
  call: AllocateCall,
  { skips, limit }: RowLocking,
): Promise<Taken> {
  const { table, key, transactionId, readable } = map.serial
  const { columns } = call
  const count = param(call.count, 'int4')
  const [where, data] = [param(call.where.json), param(call.data.json)]
  const id = idOf(map, call.transactionId)
  const claim = { id, request: JSON.stringify(call.request), count }
  const free = sql`FROM ${table} AS s
  WHERE s.${columnOf(transactionId)} IS NULL${matches(call.where, columns, where)}`
  const sets = call.data.fields.map((field) => sql`, ${columnOf(field)} = ${givenValue(field, columns, data)}`)
  const isSingle = limit !== undefined
  const rows = await session.rows<TakenRow>(sql`WITH ${isSingle && availability(map, free, count, limit)}claim AS (
  ${isSingle ? claiming(map, claim, isAvailable(count)) : claiming(map, claim)}
), free AS MATERIALIZED (
  SELECT ${columnsAsKeys(key, 's')}
  ${free} AND EXISTS (SELECT FROM claim)
  ORDER BY ${inOrder(map)}
  LIMIT ${count}
  FOR NO KEY UPDATE OF s${skips && raw(' SKIP LOCKED')} -- NO KEY: a row that refers to a serial may be inserted meanwhile
), taken AS (
  UPDATE ${table} AS s
  SET ${columnOf(transactionId)} = ${id}${join(sets, '')}${touches(map.serial, 's')}
  FROM free
  WHERE ${keysEqual(key, 's', 'free')} AND ((SELECT count(*) FROM free) = ${count} OR ${param(call.partial, 'boolean')})
  RETURNING s.*, true AS "$taken"
)
SELECT (SELECT count(*)::int4 FROM claim) AS "$claimed", (SELECT count(*)::int4 FROM free) AS "$found",
  ${isSingle ? visibleOrRefused(count) : raw('0')} AS "$visible", t."$taken"${readable && raw(`, ${returning(readable, 't')}`)}
FROM (SELECT ${where}::json, ${data}::json) AS given LEFT JOIN taken AS t ON true
ORDER BY ${columnsOf(key, 't')}`)
  const taken = rows.filter(({ $taken }) => $taken === true)
  const [first] = rows
  return {
    claimed: first?.$claimed === 1,
    found: first?.$found ?? 0,
    visible: Number(first?.$visible),
    taken: readable ? taken.map((row) => toRecord(row, readable)) : taken,
  }
}

/**
 * A statement that is its own transaction limits its own wait for the claim: the limit holds from the
 * moment that it is set. And it claims nothing if there are too few serials to begin with.
 */
function availability(map: SerialsMap, free: Statement, count: Parameter, limit: number): Statement {
  return sql`availability AS MATERIALIZED (
  SELECT ${raw(lockLimit(limit))} AS lock_limit, (
    SELECT count(*)::int4 FROM (SELECT ${free} ORDER BY ${inOrder(map)} LIMIT ${count}) AS first
  ) AS visible
), `
}

const isAvailable = (count: Parameter) => sql`(SELECT visible = ${count} FROM availability)`

/** Claimed, but took too few, as others have locked them, or a trigger is in the way: only an error undoes the claim. */
function visibleOrRefused(count: Parameter): Statement {
  return sql`CASE
    WHEN (SELECT count(*) FROM taken) < ${count} * (SELECT count(*) FROM claim)
    THEN ${refusal('taken ', raw('(SELECT count(*) FROM taken)'))}
    ELSE (SELECT visible FROM availability)
  END`
}
