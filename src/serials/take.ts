import type { Row, Session } from '../engine/session.js'
import { columnsAsKeys, columnsOf, keyNames, keysEqual, touches } from '../mapping/columns.js'
import type { Table } from '../sql/catalogue.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { refusal } from '../sql/refusal.js'
import { join, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'
import type { AllocateCall } from './allocate.js'
import { type CallLists, listsOf } from './lists.js'
import type { SerialsMap } from './mapping.js'
import { claiming, ownerChange, ownerNames, ownersEqual, recording } from './statements.js'

/** How a statement takes serials. */
export interface Taking {
  /** The table of the serials. */
  readonly columns: Table
  /** Whether it passes over serials that others have locked, or waits for them. */
  readonly skips: boolean
  /**
   * For a statement that is a transaction of its own: how long it may wait for a claim, in ms. It locks first, and
   * claims only for those that it has locked enough for, as nothing would undo a claim.
   */
  readonly lockTimeout?: number
}

export interface Taken {
  /** Whether the transaction id was new. */
  claimed: boolean
  /** How many were locked, for this call and those of the same `where` before it. */
  found: number
  /** Records, if raw SQL gives them as a model call does; else as many rows. */
  readonly taken: Row[]
}

interface TakenRow extends Row {
  readonly $n: number
  readonly $claimed: boolean
  /** None where the transaction id was not new. */
  readonly $found: number | null
  readonly $taken: boolean
}

/**
 * One statement: the claims, the locks, and the UPDATE, for calls of one form. Of
 * those with the same `where`, each takes its serials behind those of the calls before it. Serials that were
 * released while it waited for a claim or for a lock are not among the free ones it sees.
 */
export async function take(
  session: Session,
  map: SerialsMap,
  calls: readonly AllocateCall[],
  taking: Taking,
): Promise<readonly Taken[]> {
  const { readable } = map.serial
  const outcomes = calls.map((): Taken => ({ claimed: false, found: 0, taken: [] }))
  const picks = calls[0]?.numbers !== undefined
  const statement = picks
    ? (await import('./pick.js')).pickStatement(map, calls, taking)
    : takeStatement(map, calls, taking)
  for (const row of await session.rows<TakenRow>(statement)) {
    const outcome = outcomes[row.$n]
    if (outcome === undefined) throw new Error(`The database has named the call ${row.$n} of ${calls.length}.`)
    outcome.claimed = row.$claimed
    outcome.found = row.$found ?? 0
    if (row.$taken) outcome.taken.push(readable ? toRecord(row, readable) : row)
  }
  return outcomes
}

function takeStatement(map: SerialsMap, calls: readonly AllocateCall[], taking: Taking): Statement {
  const { key, readable } = map.serial
  const { columns, lockTimeout } = taking
  const isSingle = lockTimeout !== undefined
  const lists = listsOf(map, columns, calls)
  const free = freeSerials(map, lists, taking)
  const claim = sql`claim AS (
  ${isSingle ? claiming(map, claimable(map, lists), granted(lists)) : claiming(map, raw('FROM call'))}
)`
  return sql`WITH call AS MATERIALIZED (
  SELECT * FROM ${lists.calls}
), ${join(isSingle ? [free, claim] : [claim, free])}, ${taken(map, lists, firstOf(map, lists))}
SELECT call."$n", claim.id IS NOT NULL AS "$claimed", ${isSingle ? foundOrRefused(map, lists) : raw('free.found')} AS "$found",
  t."$n" IS NOT NULL AS "$taken"${readable && raw(`, ${returning(readable, 't')}`)}
FROM call LEFT JOIN claim USING (${join(ownerNames(map))}) LEFT JOIN free USING (pool) LEFT JOIN taken AS t ON t."$n" = call."$n"
ORDER BY call."$n", ${columnsOf(key, 't')}`
}

/** The serials of each pool, as arrays of their keys, and how many were found. WHERE has the steps that come first. */
function freeSerials({ serial: { key } }: SerialsMap, lists: CallLists, { skips, lockTimeout }: Taking) {
  const isSingle = lockTimeout !== undefined
  // NO KEY: a row that refers to a serial may be inserted meanwhile.
  const lock = raw(`\n      FOR NO KEY UPDATE OF s${skips ? ' SKIP LOCKED' : ''}`)
  const arrays = key.map((_, i) => raw(`array_agg(k${i}) AS k${i}`))
  const limit = raw('pool.most')
  return sql`free AS MATERIALIZED (
  SELECT pool.pool, first.*${
    isSingle &&
    lists.isPartial &&
    sql`, (
    SELECT count(*)::int4 FROM (${lists.free(raw(''), limit)}) AS s
  ) AS visible`
  }
  FROM ${lists.pools} CROSS JOIN LATERAL (
    SELECT count(*)::int4 AS found, ${join(arrays)} FROM (${lists.free(columnsAsKeys(key, 's'), limit, lock)}) AS s
  ) AS first
  WHERE ${raw(isSingle ? `(SELECT ${lockLimit(lockTimeout)}) IS NOT NULL` : 'EXISTS (SELECT FROM claim)')}
)`
}

const IS_FULL = raw('free.found >= call.last')

/**
 * Where fewer will do, a call has all that there is only if none are locked by others, and if no call before it is a
 * replay, which needs none of its places.
 */
function claimable(map: SerialsMap, { isPartial, isOfScope }: CallLists): Statement {
  const { allocation } = map
  const condition = isPartial
    ? sql`(${IS_FULL} OR free.found = free.visible AND NOT EXISTS (
    SELECT FROM call AS b JOIN ${allocation.table} AS a ON ${ownersEqual(map, allocation, 'a', 'b')}${isOfScope(allocation, 'a')} WHERE b.pool = call.pool AND b.last < call.last
  ))`
    : IS_FULL
  return sql`FROM call JOIN free USING (pool) WHERE ${condition} ORDER BY ${join(ownerNames(map, 'call.'))}`
}

/** A call has fewer than there are, for the transaction id of one before it was claimed elsewhere meanwhile. */
const isCutShort = (map: SerialsMap) => `EXISTS (
      SELECT FROM claim JOIN call AS c USING (${join(ownerNames(map))}) JOIN call AS b ON b.pool = c.pool AND b.last < c.last
      WHERE claim.count < c.count AND (${join(ownerNames(map, 'b.'))}) NOT IN (SELECT ${join(ownerNames(map))} FROM claim)
    )`

/** How many serials it gets. */
function granted({ isPartial }: CallLists): SqlText {
  return raw(isPartial ? 'greatest(0, least(count, free.found - last + count))::int4' : 'count')
}

/**
 * The UPDATE of the `serials` of the calls that have claimed their transaction ids. The planner takes an array for ten
 * rows, so it looks the serials up by their key, however many there are.
 */
export function taken(map: SerialsMap, { assignments, isOfScope }: CallLists, serials: SqlText): Statement {
  const { table } = map.serial
  const owner = join(ownerNames(map))
  const claimed = ownerNames(map).map((name) => raw(`ARRAY(SELECT ${name} FROM claim)`))
  return sql`taken AS (
  UPDATE ${table} AS s
  SET ${ownerChange(map, raw('call.id'), 'allocated')}${assignments}${touches(map.serial, 's')}
  FROM unnest(${join(claimed)}) AS claim(${owner}) JOIN call USING (${owner}) ${serials}${isOfScope(map.serial, 's')}
  RETURNING call."$n", s.*
)${recording(map, 'taken')}`
}

/** In FROM, the places in its pool of each call. */
function firstOf({ serial: { key } }: SerialsMap, { isPartial }: CallLists): SqlText {
  const own = key.map((_, i) => raw(`free.k${i}[call.last - call.count + 1:call.last]`))
  return raw(`JOIN free USING (pool)
    CROSS JOIN LATERAL unnest(${join(own)}) AS own(${keyNames(key)})
  WHERE ${keysEqual(key, 's', 'own')}${isPartial ? '' : ` AND ${IS_FULL}`}`)
}

/** Claimed, but took too few, such as where a trigger is in the way: only an error undoes the claim. */
const foundOrRefused = (map: SerialsMap, { isPartial }: CallLists) =>
  raw(`CASE
    WHEN (SELECT count(*) FROM taken) < (SELECT sum(count) FROM claim)${isPartial ? ` OR ${isCutShort(map)}` : ''}
    THEN ${refusal('taken ', raw('(SELECT count(*) FROM taken)'))}
    ELSE free.found
  END`)
