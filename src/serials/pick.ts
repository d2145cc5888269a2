import type { Row, Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import { columnsAsKeys, columnsOf, keysEqual } from '../mapping/columns.js'
import type { Table } from '../sql/catalogue.js'
import { GivenColumns } from '../sql/given-columns.js'
import { keyText } from '../sql/key-text.js'
import { returning } from '../sql/raw-record.js'
import { refusal } from '../sql/refusal.js'
import { columnOf } from '../sql/sql.js'
import { join, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'
import type { AllocateCall } from './allocate.js'
import { type CallLists, listsOf } from './lists.js'
import type { Look } from './look.js'
import type { SerialsMap } from './mapping.js'
import { claiming, inOrder, isFree, ownerNames, ownersEqual } from './statements.js'
import { type Taking, taken } from './take.js'
import type { Values } from './values.js'

/**
 * One statement for calls of one form that name their serials, no two of them the same one. All serials are
 * locked in the one order, whichever call they are for and however the lists are sorted, so two such statements do
 * not deadlock. A call has the transaction id claimed only if all of its serials were free and are locked.
 */
export function pickStatement(map: SerialsMap, calls: readonly AllocateCall[], taking: Taking): Statement {
  const { key, readable } = map.serial
  const isSingle = taking.lockTimeout !== undefined
  const lists = listsOf(map, taking.columns, calls)
  const free = freeSerials(map, calls, lists, taking)
  const whole = raw('FROM call JOIN found USING ("$n") WHERE found.found = call.count')
  const claim = sql`claim AS (
  ${isSingle ? claiming(map, raw(`${whole} ORDER BY ${join(ownerNames(map, 'call.'))}`)) : claiming(map, raw('FROM call'))}
)`
  const owner = join(ownerNames(map))
  return sql`WITH call AS MATERIALIZED (
  SELECT * FROM ${lists.calls}
), ${join(isSingle ? [free, claim] : [claim, free])}, ${taken(map, lists, pickedOf(map))}
SELECT call."$n", claim.id IS NOT NULL AS "$claimed", CASE
    WHEN ${raw(isSingle ? '(SELECT count(*) FROM taken) < (SELECT sum(count) FROM claim)' : 'false')}
    THEN ${refusal('taken ', raw('(SELECT count(*) FROM taken)'))}
    ELSE found.found
  END AS "$found", t."$n" IS NOT NULL AS "$taken"${readable && raw(`, ${returning(readable, 't')}`)}
FROM call LEFT JOIN claim USING (${owner}) LEFT JOIN found USING ("$n") LEFT JOIN taken AS t ON t."$n" = call."$n"
ORDER BY call."$n", ${columnsOf(key, 't')}`
}

/**
 * The serials that calls name and that are free, locked, and how many each call has of them. The lock is inside of another
 * SELECT: Citus reads rows of a CTE wrongly that it has locked beside others.
 */
function freeSerials(map: SerialsMap, calls: readonly AllocateCall[], lists: CallLists, taking: Taking): Statement {
  const { table, key } = map.serial
  const { skips, lockTimeout } = taking
  return sql`free AS MATERIALIZED (
  SELECT * FROM (SELECT call."$n", ${columnsAsKeys(key, 's')}
  FROM call JOIN ${lists.pools} USING (pool) JOIN ${wantedOf(calls)} USING ("$n") JOIN ${table} AS s ON ${named(map, lists)}
  WHERE ${isFree(map)} AND ${raw(lockTimeout === undefined ? 'EXISTS (SELECT FROM claim)' : `(SELECT ${lockLimit(lockTimeout)}) IS NOT NULL`)}
  ORDER BY ${inOrder(map)}
  FOR NO KEY UPDATE OF s${raw(skips ? ' SKIP LOCKED' : '')}) AS l
), found AS MATERIALIZED (
  SELECT "$n", count(*)::int4 AS found FROM free GROUP BY "$n"
)`
}

/** In FROM, the serials of the calls that have claimed their transaction ids, and have all of their serials. */
function pickedOf({ serial: { key } }: SerialsMap): SqlText {
  return raw(`JOIN found USING ("$n") JOIN free USING ("$n")
  WHERE found.found = call.count AND ${keysEqual(key, 's', 'free')}`)
}

/** In FROM, a row for each number that a call names. */
function wantedOf(calls: readonly AllocateCall[]): Statement {
  const entries = calls.flatMap(({ numbers = [] }, n) => numbers.map((number) => ({ $n: n, number })))
  const columns = new GivenColumns([
    ['"$n"', 'int4'],
    ['number', 'text'],
  ])
  return columns.recordset(param(JSON.stringify(entries)), 'wanted')
}

/** A condition: a serial has a number that is wanted, and the values of the call's `where`. */
function named({ serial: { number } }: SerialsMap, { conditions }: CallLists): Statement {
  return sql`s.${columnOf(number)} = wanted.number${conditions}`
}

/** Which numbers of calls of one form are free, at one moment. */
export async function lookForNumbers(
  session: Session,
  map: SerialsMap,
  columns: Table,
  calls: readonly AllocateCall[],
): Promise<readonly Look[]> {
  const { table, transactionId, request } = map.allocation
  const { number } = map.serial
  const lists = listsOf(map, columns, calls)
  const rows = await session.rows<
    Row & { request: string | null; taken: string[]; missing: string[] }
  >(sql`WITH state AS MATERIALIZED (
  SELECT call."$n", wanted.number, s.${columnOf(number)} IS NULL AS missing, NOT (${isFree(map)}) AS taken
  FROM ${lists.calls} JOIN ${lists.pools} USING (pool) JOIN ${wantedOf(calls)} USING ("$n") LEFT JOIN ${map.serial.table} AS s ON ${named(map, lists)}
), numbers AS MATERIALIZED (
  SELECT "$n", coalesce(json_agg(number ORDER BY number) FILTER (WHERE missing), '[]') AS missing,
    coalesce(json_agg(number ORDER BY number) FILTER (WHERE taken AND NOT missing), '[]') AS taken
  FROM state GROUP BY "$n"
)
SELECT a.${columnOf(request)} AS request, numbers.taken, numbers.missing
FROM ${lists.calls} JOIN numbers USING ("$n") LEFT JOIN LATERAL (
  SELECT * FROM ${table} AS a WHERE ${ownersEqual(map, map.allocation, 'a', 'call')}${lists.isOfScope(map.allocation, 'a')} OFFSET 0
) AS a ON a.${columnOf(transactionId)} IS NOT NULL
ORDER BY call."$n"`)
  return rows.map(({ request, taken, missing }, i) => {
    const free = (calls[i]?.count ?? 0) - taken.length - missing.length
    return { request, free, unavailable: { taken, missing } }
  })
}

/** Checks a call that names its serials: each number can be of one serial alone. */
export function checkPick(
  map: SerialsMap,
  numbers: readonly string[],
  { fields }: Values,
  { count, partial }: { count?: number; partial?: boolean },
): void {
  const { number, key, scope } = map.serial
  if (count !== undefined) throw new InvalidArgumentError('count', 'or `numbers` is needed, one of the two.')
  if (partial) throw new InvalidArgumentError('partial', 'is for `count`: of `numbers`, all are taken or none.')
  if (fields.includes(number)) throw new InvalidArgumentError(`where.${number.name}`, 'is given by `numbers`.')
  const missing = key.find((field) => field !== number && !scope.includes(field) && !fields.includes(field))
  if (missing) {
    const why = `is needed: without it, a number of ${map.serial.model.name} can be of several serials.`
    throw new InvalidArgumentError(`where.${missing.name}`, why)
  }
  for (const [i, text] of numbers.entries()) keyText(text, number, `numbers.${i}`)
}
