import type { Field } from '../engine/data-model.js'
import { rowOf, type Session } from '../engine/session.js'
import {
  IdempotencyMismatchError,
  InvalidArgumentError,
  ItemNotFoundError,
  WriteSuppressedError,
} from '../errors/index.js'
import { keysEqual, stampColumns } from '../mapping/columns.js'
import { AmbiguousOutcome, isNoAnswer } from '../retry/ambiguous-outcome.js'
import { readConfirmed } from '../retry/confirm.js'
import { limitReached, retry } from '../retry/loop.js'
import { isRetryableStatement } from '../retry/retryable.js'
import { claimOrFind } from '../sql/claim.js'
import { columnOf } from '../sql/sql.js'
import { raw, type Statement, sql } from '../sql/statement.js'
import { wholeMilliseconds } from '../transactions/limits.js'
import { differingData, readMovements } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import { momentIn } from './numbering.js'
import { checkSame, checkUnreserved } from './one-meaning.js'
import { itemsAreOpen } from './period.js'
import { readReservations } from './read-reservations.js'
import { type Line, nameOf, type Request } from './request.js'
import {
  type Entry,
  flagColumns,
  idsAreLocked,
  idsAreUnreserved,
  itemsIn,
  keyColumns,
  limited,
  rowsIn,
  where,
} from './statements.js'
import { claimAll } from './write.js'

/**
 * Appends movements without a look at the balance: no lock of the item, so nobody waits. The claim
 * of the transaction id makes it safe to send again. Resolves to whether it was a replay.
 */
export async function defer(session: Session, map: StockMap, request: Request): Promise<boolean> {
  if (session.inTransaction) return append(session, map, request)
  const { policy, deadline } = request
  const outcome = new AmbiguousOutcome()
  const attempt = () => append(session.until(deadline), map, request, wholeMilliseconds(deadline))
  return retry(attempt, policy, deadline, (error) => {
    outcome.note(error)
    return isRetryableStatement(error, policy)
  }).catch((error: unknown) => {
    // The only wait is for a call that has the transaction id, and has not ended yet.
    const failed = limitReached(error, deadline, 'another call with the same transaction id')
    throw isNoAnswer(failed) ? outcome.lastError(failed) : failed
  })
}

async function append(session: Session, map: StockMap, request: Request, lockTimeout?: number): Promise<boolean> {
  const { scope, transactionId, lines } = request
  await map.keys.check(session)
  const { name } = map.movement.model
  const limit = await limitOf(session, map, lines)
  const { period } = request
  const entries = lines.map((entry, line) => ({ scope, transactionId, line, ...entry, date: period?.date }))
  const claim = async () =>
    !limit && (await claimDeferred(session, map, entries, lockTimeout)) ? { replayed: false } : undefined
  const find = async () => {
    const recorded = await readConfirmed(session, {
      deadline: request.deadline,
      read: async () => (await readMovements(session, map, [request])).get(nameOf(request)),
      isFound: (found) => found !== undefined,
    })
    if (recorded) {
      const movements = new Map([[nameOf(request), recorded]])
      const differing = await differingData(session, map, [request], { movements })
      const fields = [...(differing.get(request) ?? []), ...(period?.differing(recorded) ?? [])]
      checkSame({ model: name, transactionId, differing: fields }, lines, recorded.lines)
      if (recorded.isRefused) throw new IdempotencyMismatchError(name, { transactionId }, ['quantity'])
      return { replayed: true }
    }
    if (map.reservation) {
      // A second statement sees what the one has written that was reserving under the id.
      const now = await lockId(session, map, request, lockTimeout)
      const reservations = await readReservations(session, map, [request])
      checkUnreserved(transactionId, reservations.get(nameOf(request)), now)
    }
    if (limit) {
      const [sign, done] = limit === 'minimum' ? ['positive', 'taken from'] : ['negative', 'added to']
      throw new InvalidArgumentError(
        'quantity',
        `must be ${sign}: only an item without a ${limit} can be ${done} later. Use move.`,
      )
    }
    const missing = await findMissing(session, map, lines)
    if (missing !== undefined) throw new ItemNotFoundError(map.item.model.name, missing)
    await period?.checkDeferred(session, map, request)
    return undefined
  }
  const settled = await claimOrFind(claim, find)
  if (settled) return settled.replayed
  throw new WriteSuppressedError(name, { transactionId })
}

/** The limit of an item that a deferred movement may break: nobody would check it later. */
async function limitOf(session: Session, map: StockMap, lines: readonly Line[]) {
  const { minimum, maximum } = map.item
  const taken = lines.filter(({ quantity }) => quantity < 0n)
  const added = lines.filter(({ quantity }) => quantity > 0n)
  const isBelow = minimum ? await hasLimit(session, map, minimum, taken) : map.minimum !== null && taken.length > 0
  if (isBelow) return 'minimum'
  return maximum && (await hasLimit(session, map, maximum, added)) ? 'maximum' : undefined
}

async function hasLimit(session: Session, map: StockMap, limit: Field, lines: readonly Line[]): Promise<boolean> {
  const { table, key } = map.item
  if (lines.length === 0) return false
  const items = lines.map(({ item }) => item)
  const rows = await session.rows(sql`SELECT 1
FROM ${table} AS t JOIN ${itemsIn(map, items)} ON ${keysEqual(key, 't', 'item')}
WHERE t.${columnOf(limit)} IS NOT NULL
LIMIT 1`)
  return rows.length > 0
}

/** The first of the items that does not exist, as the caller named it. */
async function findMissing(session: Session, map: StockMap, lines: readonly Line[]) {
  const items = lines.map(({ item }) => item)
  const [row] = await session.rows<{ position: number }>(sql`SELECT item.position
FROM ${itemsIn(map, items)}
WHERE NOT ${itemExists(map, 'item')}
ORDER BY item.position
LIMIT 1`)
  return row && items[row.position - 1]?.given
}

/** The item of `alias` is there. */
function itemExists({ item }: StockMap, alias: string): Statement {
  return sql`EXISTS (SELECT FROM ${item.table} AS t WHERE ${keysEqual(item.key, 't', alias)})`
}

/**
 * The time by the database's clock, once the transaction id is locked that somebody may be reserving. With the items, so
 * that on shards the lock is taken where the others take it.
 */
async function lockId(session: Session, map: StockMap, request: Request, lockTimeout: number | undefined) {
  const { table, key } = map.item
  const items = itemsIn(
    map,
    request.lines.map(({ item }) => item),
  )
  const isLocked = idsAreLocked(map, [request], () => false, limited(lockTimeout))
  const { now } = await rowOf<{ now: number }>(
    session,
    sql`SELECT count(*), (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now
FROM ${items} JOIN ${table} AS t ON ${keysEqual(key, 't', 'item')}${where([isLocked])}`,
  )
  return new Date(now)
}

/** Movements that are not in the balance yet. Nothing is written if one of the items does not exist. */
function claimDeferred(tx: Session, map: StockMap, entries: readonly Entry[], lockTimeout?: number): Promise<boolean> {
  const { movement, history, period } = map
  const { date, closedUntil } = period ?? {}
  // When it was recorded, until it comes into the balance: they come in that order.
  const at = history && raw(`, ${momentIn(history, 'clock_timestamp()')}`)
  const values = sql`${period?.sql?.value}, false${movement.refused && raw(', false')}${at}`
  const columns = raw(flagColumns(map) + (history ? stampColumns([history.at]) : ''))
  const items = rowsIn(
    'item',
    keyColumns(
      map,
      entries.map(({ item }) => item),
    ),
  )
  return claimAll(tx, map, { lines: movement, entries, columns, values }, (ids) => [
    date && closedUntil
      ? itemsAreOpen(map, { date, closedUntil }, entries)
      : sql`NOT EXISTS (SELECT FROM ${items} WHERE NOT ${itemExists(map, 'item')})`,
    limited(lockTimeout),
    idsAreUnreserved(map, ids),
  ])
}
