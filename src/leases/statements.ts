import type { SqlStatement } from '../engine/session.js'
import { stampColumns, stamps, touches } from '../mapping/columns.js'
import { refusal } from '../sql/refusal.js'
import { columnOf, epochOf, momentIn, momentOf } from '../sql/sql.js'
import { type Parameter, param, raw, type Statement, sql } from '../sql/statement.js'
import { HELD_LEASES } from '../transactions/fence.js'
import type { LeaseMap } from './mapping.js'

/** How long a place in the queue of those that wait lasts, in ms, unless it is asked for again: so long a process that has ended keeps others waiting. */
export const PLACE_LASTS = 3_000

/** The state of a lease, to a caller that does not have it. */
export interface LeaseState {
  /** Nobody has it, or the caller itself, whose answer was lost. */
  readonly isFree: boolean
  /** When it ends, in ms by the database's clock. */
  readonly endsIn: number
  /** How many callers wait before this one. */
  readonly ahead: number
}

export interface TakenRow {
  readonly token: bigint
  /** Its text, as JSON. */
  readonly progress: string | null
}

export interface Claim {
  readonly name: string
  /** The random id of this acquisition. */
  readonly holder: string
  readonly ttl: number
}

/** One that is held, with the token that proves it to the database. */
export interface HeldClaim extends Claim {
  readonly token: bigint
}

/*
 * Each of these is one statement in a transaction of its own, and right at any isolation level: where it meets another
 * writer at REPEATABLE READ or above, it fails with 40001 and is sent again. All that they know of time is
 * `clock_timestamp()`: of the moment, and not of the statement's begin, since they may wait for the row.
 */

const NOW_MS = raw('extract(epoch FROM clock_timestamp()) * 1000')
const isLive = raw(`(w.place->>'until')::float8 > ${NOW_MS}`)

/** The places of those that wait, in their order. */
const placesOf = ({ waiting }: LeaseMap) =>
  raw(`jsonb_array_elements(l.${columnOf(waiting)}) WITH ORDINALITY AS w(place, number)`)

/** Those that wait before the caller, which may be in the queue itself. */
function before(map: LeaseMap, me: Parameter): Statement {
  const waiting = raw(`l.${columnOf(map.waiting)}`)
  return sql`FROM ${placesOf(map)}
      WHERE ${isLive} AND w.number < coalesce((
        SELECT m.number FROM jsonb_array_elements(${waiting}) WITH ORDINALITY AS m(place, number)
        WHERE m.place->>'id' = ${me}
      ), 2147483647)`
}

/** Those that wait without the caller, and without those that have ended without a word. */
const others = (map: LeaseMap, me: Parameter) => sql`(
      SELECT coalesce(jsonb_agg(w.place ORDER BY w.number), '[]') FROM ${placesOf(map)}
      WHERE ${isLive} AND w.place->>'id' <> ${me}
    )`

const endOf = ({ expiresAt }: LeaseMap, ttl: number) =>
  momentIn(expiresAt, sql`clock_timestamp() + ${param(ttl, 'float8')} * interval '1 ms'`)

const isOver = ({ expiresAt }: LeaseMap) =>
  raw(`l.${columnOf(expiresAt)} <= ${momentOf(expiresAt, 'clock_timestamp()')}`)

/**
 * Takes the lease if nobody has it, and nobody waits before. A caller whose answer was lost may send it again.
 *
 * The row is locked first. FOR UPDATE conflicts with the FOR KEY SHARE of a fenced transaction, and waits for its end, for
 * `patience` ms at most; the condition is looked at again after the wait, should the row have changed meanwhile. The end
 * is computed after it. A heartbeat changes no key, so it passes beside both.
 */
export function takeStatement(map: LeaseMap, { name, holder, ttl }: Claim, patience: number): SqlStatement {
  const me = param(holder, 'text')
  const owner = raw(`l.${columnOf(map.holder)}`)
  const own = columnOf(map.name)
  return sql`WITH wait AS MATERIALIZED (
  SELECT set_config('lock_timeout', ${param(Math.ceil(patience), 'int')}::text, true)
), free AS MATERIALIZED (
  SELECT l.${own} AS name
  FROM ${map.table} AS l, wait
  WHERE l.${own} = ${param(name, 'text')}
    AND (${owner}::text = ${me} OR ((${owner} IS NULL OR ${isOver(map)}) AND NOT EXISTS (SELECT ${before(map, me)})))
  FOR UPDATE OF l
)
UPDATE ${map.table} AS l
SET ${columnOf(map.token)} = l.${columnOf(map.token)} + 1,
    ${columnOf(map.holder)} = ${holderValue(map, me)},
    ${columnOf(map.expiresAt)} = ${endOf(map, ttl)},
    ${columnOf(map.waiting)} = ${others(map, me)}${touches(map, 'l')}
FROM free
WHERE l.${own} = free.name
RETURNING l.${columnOf(map.token)} AS token, l.${columnOf(map.progress)}::text AS progress`
}

/** The first acquisition of a name. */
export function insertStatement(map: LeaseMap, { name, holder, ttl }: Claim): SqlStatement {
  return sql`INSERT INTO ${map.table} AS l (${columnOf(map.name)}, ${columnOf(map.token)}, ${columnOf(map.holder)}, ${columnOf(map.expiresAt)}, ${columnOf(map.waiting)}${stampColumns(map.updatedAt)})
VALUES (${param(name, 'text')}, 1, ${holderValue(map, param(holder, 'text'))}, ${endOf(map, ttl)}, '[]'${stamps(map.updatedAt)})
ON CONFLICT (${columnOf(map.name)}) DO NOTHING
RETURNING l.${columnOf(map.token)} AS token, NULL AS progress`
}

const holderValue = ({ holder }: LeaseMap, me: Parameter) =>
  sql`${me}${raw(holder.nativeType === 'Uuid' ? '::uuid' : '')}`

function stateColumns(map: LeaseMap, me: Parameter): Statement {
  const { holder, expiresAt } = map
  const isMine = sql`l.${columnOf(holder)}::text = ${me}`
  return sql`(l.${columnOf(holder)} IS NULL OR ${isMine} OR ${isOver(map)}) AS "isFree",
  greatest(0, coalesce(${epochOf(expiresAt, 'l.')} - ${NOW_MS}, 0))::float8 AS "endsIn",
  CASE WHEN ${isMine} THEN 0 ELSE (SELECT count(*)::int ${before(map, me)}) END AS ahead`
}

/** Reads the state, and writes nothing. */
export function lookStatement(map: LeaseMap, { name, holder }: Claim): SqlStatement {
  const me = param(holder, 'text')
  return sql`SELECT ${stateColumns(map, me)}
FROM ${map.table} AS l
WHERE l.${columnOf(map.name)} = ${param(name, 'text')}`
}

/** Takes a place behind those that wait, or keeps the one that the caller has, and reads the state. */
export function queueStatement(map: LeaseMap, { name, holder }: Claim): SqlStatement {
  const me = param(holder, 'text')
  const waiting = columnOf(map.waiting)
  const place = sql`jsonb_build_object('id', ${me}, 'until', ${NOW_MS} + ${param(PLACE_LASTS, 'int')})`
  return sql`UPDATE ${map.table} AS l
SET ${waiting} = (
      SELECT coalesce(jsonb_agg(CASE WHEN w.place->>'id' = ${me} THEN ${place} ELSE w.place END ORDER BY w.number), '[]')
      FROM ${placesOf(map)}
      WHERE ${isLive} OR w.place->>'id' = ${me}
    ) || CASE WHEN ${hasPlace(map, me)} THEN '[]' ELSE jsonb_build_array(${place}) END${touches(map, 'l')}
WHERE l.${columnOf(map.name)} = ${param(name, 'text')}
RETURNING ${stateColumns(map, me)}`
}

const hasPlace = ({ waiting }: LeaseMap, me: Parameter) =>
  sql`l.${columnOf(waiting)} @> jsonb_build_array(jsonb_build_object('id', ${me}))`

/** Moves the end, if the lease is held and not over. With `progress`, it notes that as well. */
export function heartbeatStatement(map: LeaseMap, claim: HeldClaim, progress?: string): SqlStatement {
  const noted = progress !== undefined && sql`, ${columnOf(map.progress)} = ${param(progress, 'jsonb')}`
  return sql`UPDATE ${map.table} AS l
SET ${columnOf(map.expiresAt)} = ${endOf(map, claim.ttl)}${noted}${touches(map, 'l')}
WHERE ${isHeldBy(map, claim)} AND NOT ${isOver(map)}
RETURNING 1 AS held`
}

/** Gives the lease back, and the place in the queue. It takes no token, so it ends what a lost answer has left as well. */
export function releaseStatement(
  map: LeaseMap,
  { name, holder }: Pick<Claim, 'name' | 'holder'>,
  isDone: boolean,
): SqlStatement {
  const me = param(holder, 'text')
  const own = columnOf(map.holder)
  const end = columnOf(map.expiresAt)
  const isMine = sql`l.${own}::text = ${me}`
  return sql`UPDATE ${map.table} AS l
SET ${own} = CASE WHEN ${isMine} THEN NULL ELSE l.${own} END,
    ${end} = CASE WHEN ${isMine} THEN NULL ELSE l.${end} END,
    ${
      isDone &&
      sql`${columnOf(map.progress)} = CASE WHEN ${isMine} THEN NULL ELSE l.${columnOf(map.progress)} END,
    `
    }${columnOf(map.waiting)} = ${others(map, me)}${touches(map, 'l')}
WHERE l.${columnOf(map.name)} = ${param(name, 'text')} AND (${isMine} OR ${hasPlace(map, me)})`
}

function isHeldBy(map: LeaseMap, { name, token, holder }: Omit<HeldClaim, 'ttl'>): Statement {
  return sql`l.${columnOf(map.name)} = ${param(name, 'text')}
  AND l.${columnOf(map.token)} = ${param(token, 'int8')}
  AND l.${columnOf(map.holder)}::text = ${param(holder, 'text')}`
}

/** Adds a lease to those that the transaction holds. */
function noteHeld({ name, token, holder }: Omit<HeldClaim, 'ttl'>): Statement {
  const setting = raw(`'${HELD_LEASES}'`)
  return sql`set_config(${setting}, (
    coalesce(nullif(current_setting(${setting}, true), '')::jsonb, '{}') || jsonb_build_object(${param(name, 'text')},
      jsonb_build_object('token', ${param(String(token), 'text')}, 'holder', ${param(holder, 'text')}))
  )::text, true)`
}

/** Limits that a transaction has already stay as they are. */
const limitUnlessSet = (name: string, ms: Parameter): Statement => {
  const setting = raw(`'${name}'`)
  const current = raw(`current_setting('${name}')`)
  return sql`set_config(${setting}, CASE WHEN ${current} = '0' THEN ${ms}::text ELSE ${current} END, true)`
}

/**
 * The fence: locks the lease's row for the rest of the transaction, if it is held by this holder, and else ends the
 * transaction with an error, so that it cannot commit even if its body catches that.
 *
 * FOR KEY SHARE lets heartbeats pass, which change no column of a unique key. A new holder changes the token, which is part
 * of one, so it waits. If it came before, and is not committed, this waits for it, and then finds another token; committed
 * after the snapshot of REPEATABLE READ and above, it is a serialization failure. So of two holders the later one begins
 * after the last fenced transaction of the earlier one has ended.
 */
export function assertStatement(
  map: LeaseMap,
  fence: Omit<HeldClaim, 'ttl'>,
  { isProven, limit }: { readonly isProven: boolean; readonly limit: number },
): SqlStatement {
  const ms = param(Math.ceil(limit), 'int')
  return sql`SELECT CASE WHEN count(*) = 1 THEN 1 ELSE ${refusal('lease ', raw('count(*)'))} END AS held,
  ${limitUnlessSet('idle_in_transaction_session_timeout', ms)} AS idle,
  ${limitUnlessSet('statement_timeout', ms)} AS statement,
  ${noteHeld(fence)} AS held_leases
FROM (
  SELECT 1
  FROM ${map.table} AS l
  WHERE ${isHeldBy(map, fence)} AND ${param(isProven, 'boolean')}
  FOR KEY SHARE OF l
) AS held`
}
