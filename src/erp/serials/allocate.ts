import { InsufficientSerialsError, isConcurrencyError, WriteSuppressedError } from '../../errors.js'
import type { PrismaClientLike, Row } from '../../prisma/client.js'
import { returning, toRecord } from '../../prisma/raw-record.js'
import { readAll } from '../../prisma/read-all.js'
import { columnOf } from '../../prisma/sql.js'
import { keysEqual, sqlTypeOf } from '../columns.js'
import type { SerialsMap } from './mapping.js'
import { checkSame, type Request, readNoted } from './request.js'
import type { Contained } from './run.js'
import { claiming, inOrder, keyAs, matches, touches } from './statements.js'
import { columnValue, type Values } from './values.js'

/** A call of `allocate` that has been checked. */
export interface AllocateCall {
  readonly transactionId: string
  readonly where: Values
  readonly data: Values
  readonly count: number
  readonly partial: boolean
  readonly request: Request
}

export interface Allocation {
  readonly serials: readonly Row[]
  readonly replayed: boolean
}

/** How often it is looked again for serials that became free while it was waited for others. */
const MOST_LOOKS = 5

/**
 * Takes free serials, those first that nobody else is about to take. Where these are too few, it
 * looks again without what it has locked so far: two who wait for each other's last ones would
 * otherwise never end, and two who refuse each other's would leave some behind.
 */
export async function allocate(contained: Contained, map: SerialsMap, call: AllocateCall): Promise<Allocation> {
  for (let look = 0; ; look++) {
    try {
      return await contained((tx) => take(tx, map, call, look))
    } catch (error) {
      if (!isConcurrencyError(error, 'INSUFFICIENT_SERIALS')) throw error
      const isFinal = look > 0 && !call.partial && error.free < call.count
      if (isFinal || look === MOST_LOOKS) throw error
    }
  }
}

/** How many serials are free, those that somebody is about to take included. */
export async function countFree(client: PrismaClientLike, map: SerialsMap, where: Values): Promise<number> {
  const { table, transactionId } = map.serial
  const [{ free }] = (await client.$queryRawUnsafe(
    `SELECT count(*)::float8 AS free
FROM ${table} AS s
WHERE s.${columnOf(transactionId)} IS NULL AND $1::jsonb IS NOT NULL${matches(map, where, '$1')}`,
    where.json,
  )) as [{ free: number }]
  return free
}

/** @throws InsufficientSerialsError where it is to be looked again, or where there are too few */
async function take(tx: PrismaClientLike, map: SerialsMap, call: AllocateCall, look: number): Promise<Allocation> {
  const { transactionId, count, partial } = call
  const { claimed, found, taken } = await claimAndTake(tx, map, call, look)
  if (!claimed) return replay(tx, map, call)
  if (look === 0 && found < count) throw new InsufficientSerialsError(transactionId, count, found)
  if (found < count) await settleFor(tx, map, call, found, look)
  if (taken.length < (partial ? found : count)) throw new WriteSuppressedError(map.serial.model.name, {})
  return { serials: map.serial.alike ? taken : await serialsOf(tx, map, transactionId), replayed: false }
}

/**
 * One statement: the claim, the locks, and the UPDATE, if there are enough. What was released while
 * it waited for the claim or for a lock is not among the free ones it sees.
 */
async function claimAndTake(tx: PrismaClientLike, map: SerialsMap, call: AllocateCall, look: number) {
  const { table, key, transactionId, alike } = map.serial
  const { where, data, count, partial } = call
  const sets = data.fields.map((field) => `, ${columnOf(field)} = ${columnValue(field, table, '$5')}`).join('')
  const order = key.map((field) => `t.${columnOf(field)}`).join(', ')
  // NO KEY: a row that refers to a serial may be inserted meanwhile.
  // SKIP LOCKED: somebody else is about to take it, and most likely there is another one.
  const lock = `FOR NO KEY UPDATE OF s${look === 0 ? ' SKIP LOCKED' : ''}`
  const rows = (await tx.$queryRawUnsafe(
    `WITH claim AS (
  ${claiming(map)}
), free AS MATERIALIZED (
  SELECT ${keyAs(map)}
  FROM ${table} AS s
  WHERE s.${columnOf(transactionId)} IS NULL${matches(map, where, '$4')} AND EXISTS (SELECT FROM claim)
  ORDER BY ${inOrder(map)}
  LIMIT $3::int4
  ${lock}
), taken AS (
  UPDATE ${table} AS s
  SET ${columnOf(transactionId)} = $1::${sqlTypeOf(transactionId)}${sets}${touches(map)}
  FROM free
  WHERE ${keysEqual(key, 's', 'free')} AND ((SELECT count(*) FROM free) = $3::int4 OR $6::boolean)
  RETURNING s.*, true AS "$taken"
)
SELECT (SELECT count(*)::int4 FROM claim) AS "$claimed", (SELECT count(*)::int4 FROM free) AS "$found",
  t."$taken"${alike ? `, ${returning(alike, 't')}` : ''}
FROM (SELECT $4::jsonb, $5::jsonb) AS given LEFT JOIN taken AS t ON true
ORDER BY ${order}`,
    call.transactionId,
    JSON.stringify(call.request),
    count,
    where.json,
    data.json,
    partial && look > 0,
  )) as Row[]
  const [first] = rows as [Row]
  const taken = rows.filter(({ $taken }) => $taken === true)
  return {
    claimed: first.$claimed === 1,
    found: first.$found as number,
    taken: alike ? taken.map((row) => toRecord(row, alike)) : taken,
  }
}

/**
 * Too few, and all of them locked. It may be that others were released since the statement began;
 * only if there are still too few, with those, it is said, or settled for.
 */
async function settleFor(
  tx: PrismaClientLike,
  map: SerialsMap,
  { transactionId, where, count, partial }: AllocateCall,
  found: number,
  look: number,
): Promise<void> {
  const free = await countFree(tx, map, where) // without those that were taken a moment ago
  const isEnough = partial ? free > 0 : free >= count
  if (isEnough && look < MOST_LOOKS) throw new InsufficientSerialsError(transactionId, count, free)
  if (!partial) throw new InsufficientSerialsError(transactionId, count, isEnough ? found : free)
  await noteCount(tx, map, transactionId, found)
}

async function noteCount(tx: PrismaClientLike, { allocation }: SerialsMap, id: string, found: number): Promise<void> {
  const { table, transactionId, count } = allocation
  await tx.$queryRawUnsafe(
    `UPDATE ${table} SET ${columnOf(count)} = $2::int4 WHERE ${columnOf(transactionId)} = $1::${sqlTypeOf(transactionId)}`,
    id,
    found,
  )
}

/** The serials that the transaction id has now: what it took, without what it has given back. */
async function replay(tx: PrismaClientLike, map: SerialsMap, call: AllocateCall): Promise<Allocation> {
  const { transactionId, request } = call
  const noted = await readNoted(tx, map, transactionId)
  if (noted === undefined) throw new WriteSuppressedError(map.allocation.model.name, { transactionId })
  checkSame(map, transactionId, request, noted)
  return { serials: await serialsOf(tx, map, transactionId), replayed: true }
}

async function serialsOf(tx: PrismaClientLike, map: SerialsMap, id: string): Promise<Row[]> {
  const { model, table, key, transactionId, alike } = map.serial
  if (alike === undefined) {
    const orderBy = key.map(({ name }) => ({ [name]: 'asc' }))
    return readAll(tx, model, { where: { [transactionId.name]: id }, orderBy })
  }
  const rows = (await tx.$queryRawUnsafe(
    `SELECT ${returning(alike, 's')}
FROM ${table} AS s
WHERE s.${columnOf(transactionId)} = $1::${sqlTypeOf(transactionId)}
ORDER BY ${inOrder(map)}`,
    id,
  )) as Row[]
  return rows.map((row) => toRecord(row, alike))
}
