import type { Row } from '../engine/session.js'
import { keysEqual, sqlTypeOf, touches } from '../mapping/columns.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { givenValue } from '../sql/given-columns.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { refusal } from '../sql/refusal.js'
import { columnOf } from '../sql/sql.js'
import { raw } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'
import type { AllocateCall } from './allocate.js'
import type { SerialsMap } from './mapping.js'
import { claiming, inOrder, keyAs, matches } from './statements.js'

/** How the statement goes about it. */
interface RowLocking {
  /** Behind `FOR NO KEY UPDATE`. */
  readonly locking: string
  /** For a statement that is its own transaction: for how long it may wait for the claim, in ms. */
  readonly limit?: number
}

/** Somebody else is about to take what is locked, and most likely there is another one. */
export const SKIPPING: RowLocking = { locking: ' SKIP LOCKED' }
/** Waits for all that others have locked, so that what it finds is all there is. */
export const WAITING: RowLocking = { locking: '' }
export const singleStatement = (limit: number): RowLocking => ({ ...SKIPPING, limit })

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

/**
 * One statement: the claim, the locks, and the UPDATE, if there are enough. What was released while
 * it waited for the claim or for a lock is not among the free ones it sees.
 */
export async function claimAndTake(
  client: PrismaClientLike,
  map: SerialsMap,
  call: AllocateCall,
  manner: RowLocking,
): Promise<Taken> {
  const { table, key, transactionId, alike } = map.serial
  const { where, data, count, partial, columns } = call
  const free = `FROM ${table} AS s
  WHERE s.${columnOf(transactionId)} IS NULL${matches(where, columns, '$4')}`
  const sets = data.fields.map((field) => `, ${columnOf(field)} = ${givenValue(field, columns, '$5')}`).join('')
  const order = key.map((field) => `t.${columnOf(field)}`).join(', ')
  const rows = (await client.$queryRawUnsafe(
    `WITH ${manner.limit === undefined ? '' : `${availability(map, free, manner.limit)}, `}claim AS (
  ${manner.limit === undefined ? claiming(map) : claiming(map, '(SELECT visible = $3::int4 FROM circumstances)')}
), free AS MATERIALIZED (
  SELECT ${keyAs(map)}
  ${free} AND EXISTS (SELECT FROM claim)
  ORDER BY ${inOrder(map)}
  LIMIT $3::int4
  FOR NO KEY UPDATE OF s${manner.locking} -- NO KEY: a row that refers to a serial may be inserted meanwhile
), taken AS (
  UPDATE ${table} AS s
  SET ${columnOf(transactionId)} = $1::${sqlTypeOf(transactionId)}${sets}${touches(map.serial, 's')}
  FROM free
  WHERE ${keysEqual(key, 's', 'free')} AND ((SELECT count(*) FROM free) = $3::int4 OR $6::boolean)
  RETURNING s.*, true AS "$taken"
)
SELECT (SELECT count(*)::int4 FROM claim) AS "$claimed", (SELECT count(*)::int4 FROM free) AS "$found",
  ${manner.limit === undefined ? '0' : VISIBLE_OR_ABORT} AS "$visible", t."$taken"${alike ? `, ${returning(alike, 't')}` : ''}
FROM (SELECT $4::json, $5::json) AS given LEFT JOIN taken AS t ON true
ORDER BY ${order}`,
    call.transactionId,
    JSON.stringify(call.request),
    count,
    where.json,
    data.json,
    partial,
  )) as Row[]
  const [first] = rows as [Row]
  const taken = rows.filter(({ $taken }) => $taken === true)
  return {
    claimed: first.$claimed === 1,
    found: first.$found as number,
    visible: Number(first.$visible),
    taken: alike ? taken.map((row) => toRecord(row, alike)) : taken,
  }
}

/**
 * A statement that is its own transaction limits its own wait for the claim: the limit holds from the
 * moment that it is set. And it claims nothing if there are too few serials to begin with.
 */
function availability(map: SerialsMap, free: string, limit: number): string {
  return `circumstances AS MATERIALIZED (
  SELECT ${lockLimit(limit)} AS lock_limit, (
    SELECT count(*)::int4 FROM (SELECT ${free} ORDER BY ${inOrder(map)} LIMIT $3::int4) AS first
  ) AS visible
)`
}

/** Claimed, but took too few, as others have locked them, or a trigger is in the way: only an error undoes the claim. */
const VISIBLE_OR_ABORT = `CASE
    WHEN (SELECT count(*) FROM taken) < $3::int4 * (SELECT count(*) FROM claim)
    THEN ${refusal('taken ', raw('(SELECT count(*) FROM taken)'))}
    ELSE (SELECT visible FROM circumstances)
  END`
