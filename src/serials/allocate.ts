import type { Row } from '../engine/session.js'
import { InsufficientSerialsError, isConcurrencyError, WriteSuppressedError } from '../errors/index.js'
import { sqlTypeOf } from '../mapping/columns.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { readAll } from '../prisma/read-all.js'
import { isTransient } from '../retry/retryable.js'
import type { Table } from '../sql/catalogue.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { refusalOf } from '../sql/refusal.js'
import { columnOf } from '../sql/sql.js'
import { wholeMilliseconds } from '../transactions/limits.js'
import type { SerialsMap } from './mapping.js'
import { checkSame, type Request, readNoted } from './request.js'
import type { Root, Ways } from './run.js'
import { inOrder, matches } from './statements.js'
import { claimAndTake, SKIPPING, singleStatement, WAITING } from './take.js'
import type { Values } from './values.js'

/** A call of `allocate` that has been checked. */
export interface AllocateCall {
  /** The table of the serials. */
  readonly columns: Table
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
export async function allocate({ contained, root }: Ways, map: SerialsMap, call: AllocateCall): Promise<Allocation> {
  const quick = root && map.serial.alike ? await takeAlone(root, map, call) : 'look'
  if (typeof quick === 'object') return quick
  for (let look = quick === 'look' ? 0 : 1; ; look++) {
    try {
      return await contained((tx) => take(tx, map, call, look))
    } catch (error) {
      if (!isConcurrencyError(error, 'INSUFFICIENT_SERIALS')) throw error
      const isFinal = !call.partial && error.free < call.count
      if (isFinal || look === MOST_LOOKS) throw error
    }
  }
}

/** How many serials are free, those that somebody is about to take included. */
export async function countFree(
  client: PrismaClientLike,
  map: SerialsMap,
  where: Values,
  columns: Table,
): Promise<number> {
  const { table, transactionId } = map.serial
  const [{ free }] = (await client.$queryRawUnsafe(
    `SELECT count(*)::float8 AS free
FROM ${table} AS s
WHERE s.${columnOf(transactionId)} IS NULL AND $1::json IS NOT NULL${matches(where, columns, '$1')}`,
    where.json,
  )) as [{ free: number }]
  return free
}

/**
 * The usual case, on the client: one statement that is its own transaction. It does nothing unless it
 * does all, so whatever keeps it from that is left to the longer way: a conflict, where the database's
 * default is a stricter isolation level; or a lost answer, after which the transaction id tells
 * whether the statement was carried out.
 */
async function takeAlone(root: Root, map: SerialsMap, call: AllocateCall): Promise<Allocation | 'look' | 'look again'> {
  const { client, deadline } = root
  const { transactionId, count, partial } = call
  try {
    const { claimed, visible, taken } = await claimAndTake(
      client,
      map,
      call,
      singleStatement(wholeMilliseconds(deadline)),
    )
    if (claimed) return { serials: taken, replayed: false }
    const known = await replay(client, map, call)
    if (known || visible === count) return known ?? 'look'
    if (!partial) throw new InsufficientSerialsError(transactionId, count, visible)
    return 'look again'
  } catch (error) {
    if (refusalOf(error) !== undefined) return 'look again'
    if (isTransient(error)) return 'look'
    throw error
  }
}

/** @throws InsufficientSerialsError where it is to be looked again, or where there are too few */
async function take(tx: PrismaClientLike, map: SerialsMap, call: AllocateCall, look: number): Promise<Allocation> {
  const { transactionId, count, partial } = call
  const { claimed, found, taken } = await claimAndTake(tx, map, call, look === 0 ? SKIPPING : WAITING)
  if (!claimed) {
    const known = await replay(tx, map, call)
    if (known) return known
    throw new WriteSuppressedError(map.allocation.model.name, { transactionId })
  }
  if (found < count) await settleFor(tx, map, call, found, look)
  if (taken.length < (partial ? found : count)) throw new WriteSuppressedError(map.serial.model.name, {})
  return { serials: map.serial.alike ? taken : await serialsOf(tx, map, transactionId), replayed: false }
}

/**
 * Too few were to be had. To be counted needs no lock: what others are about to take counts as free,
 * as they may roll back, and so does what was released while this one waited. If these would be
 * enough, it is looked again; if even with them there are too few, that is the truth.
 */
async function settleFor(
  tx: PrismaClientLike,
  map: SerialsMap,
  { transactionId, where, count, partial, columns }: AllocateCall,
  found: number,
  look: number,
): Promise<void> {
  const free = await countFree(tx, map, where, columns) // without those that were taken a moment ago
  const isLast = look === MOST_LOOKS
  if (partial && look > 0 && (free === 0 || isLast)) return noteCount(tx, map, transactionId, found)
  throw new InsufficientSerialsError(transactionId, count, isLast && free >= count ? found : free)
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
async function replay(
  client: PrismaClientLike,
  map: SerialsMap,
  { transactionId, request }: AllocateCall,
): Promise<Allocation | undefined> {
  const noted = await readNoted(client, map, transactionId)
  if (noted === undefined) return undefined
  checkSame(map, transactionId, request, noted)
  return { serials: await serialsOf(client, map, transactionId), replayed: true }
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
