import { isStatementTimeout } from '../engine/error-facts.js'
import {
  DeadlineExceededError,
  IdempotencyMismatchError,
  InvalidArgumentError,
  ItemNotFoundError,
  WriteSuppressedError,
} from '../errors/index.js'
import { keyNames, keysEqual, sqlTypeOf } from '../mapping/columns.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { AmbiguousOutcome } from '../retry/ambiguous-outcome.js'
import { retry } from '../retry/loop.js'
import { isRetryable } from '../retry/retryable.js'
import { columnOf } from '../sql/sql.js'
import { lockLimit, wholeMilliseconds } from '../transactions/limits.js'
import { checkSame, checkUnreserved } from './decider.js'
import { lockIds } from './id-locks.js'
import { keyArrays, keyParameters, readMovements, readReservations } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import type { Request } from './request.js'
import { claimDeferred } from './write-locked.js'

/** How often it is looked again for what stands in the way of a claim. */
const LOOKS = 3

/**
 * Appends movements without a look at the balance: no lock of the item, so nobody waits. The claim
 * of the transaction id makes it safe to send again. Resolves to whether it was a replay.
 */
export async function defer(
  client: PrismaClientLike,
  map: StockMap,
  request: Request,
  inTransaction: boolean,
): Promise<boolean> {
  if (inTransaction) return append(client, map, request)
  const outcome = new AmbiguousOutcome()
  return retry(
    () => appendInTime(client, map, request),
    request.policy,
    request.deadline,
    (error) => {
      outcome.note(error)
      return isRetryable(error, request.policy, outcome)
    },
  )
}

/** The only wait is for somebody who has the transaction id, and has not ended yet. */
async function appendInTime(client: PrismaClientLike, map: StockMap, request: Request): Promise<boolean> {
  const { deadline } = request
  try {
    return await append(client, map, request, wholeMilliseconds(deadline))
  } catch (error) {
    if (!isStatementTimeout(error) || !deadline.passed()) throw error
    throw new DeadlineExceededError(deadline.duration, 'another call with the same transaction id')
  }
}

async function append(
  client: PrismaClientLike,
  map: StockMap,
  { transactionId, lines }: Request,
  lockTimeout?: number,
): Promise<boolean> {
  await map.keys.check(client)
  const { model } = map.movement
  const isForbidden = await takesFromLimited(client, map, lines)
  const entries = lines.map(({ item, quantity }, line) => ({ transactionId, line, item, quantity }))
  for (let look = 1; look <= LOOKS; look++) {
    if (!isForbidden && (await claimDeferred(client, map, entries, lockTimeout))) return false
    const recorded = (await readMovements(client, map, [transactionId])).get(transactionId)
    if (recorded) {
      checkSame(model.name, transactionId, lines, recorded.lines)
      if (recorded.isRefused) throw new IdempotencyMismatchError(model.name, { transactionId }, ['quantity'])
      return true
    }
    await requireUnreserved(client, map, transactionId, lockTimeout)
    if (isForbidden) {
      throw new InvalidArgumentError(
        'quantity',
        'must be positive: only an item without a minimum can be taken from later. Use move.',
      )
    }
    const missing = await findMissing(client, map, lines)
    if (missing !== undefined) throw new ItemNotFoundError(map.item.model.name, missing)
  }
  throw new WriteSuppressedError(model.name, { transactionId })
}

/** Waits for whoever is reserving under the id, and then looks: a second statement sees what that one has written. */
async function requireUnreserved(client: PrismaClientLike, map: StockMap, id: string, lockTimeout: number | undefined) {
  if (!map.reservation) return
  const limit = lockTimeout === undefined ? undefined : lockLimit(lockTimeout)
  const [row] = (await client.$queryRawUnsafe(
    `SELECT ${lockIds(map, 1, limit)} AS locked, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`,
    [id],
    [false],
  )) as [{ now: number }]
  checkUnreserved(id, (await readReservations(client, map, [id])).get(id), new Date(row.now))
}

/** What takes from the stock can only be deferred where there is no minimum: nobody would check it later. */
async function takesFromLimited(client: PrismaClientLike, map: StockMap, lines: Request['lines']): Promise<boolean> {
  const takes = lines.filter(({ quantity }) => quantity < 0n)
  if (takes.length === 0) return false
  return map.item.minimum ? findLimited(client, map, takes) : map.minimum !== null
}

async function findLimited(client: PrismaClientLike, map: StockMap, lines: Request['lines']): Promise<boolean> {
  const { table, key, minimum } = map.item
  const rows = (await client.$queryRawUnsafe(
    `SELECT 1
FROM ${table} AS t JOIN unnest(${keyParameters(key.map(sqlTypeOf))}) AS item(${keyNames(key)}) ON ${keysEqual(key, 't', 'item')}
WHERE t.${columnOf(minimum as NonNullable<typeof minimum>)} IS NOT NULL
LIMIT 1`,
    ...keyArrays(
      map,
      lines.map(({ item }) => item),
    ),
  )) as unknown[]
  return rows.length > 0
}

/** The first of the items that does not exist, as the caller named it. */
async function findMissing(client: PrismaClientLike, map: StockMap, lines: Request['lines']) {
  const { table, key } = map.item
  const items = lines.map(({ item }) => item)
  const [row] = (await client.$queryRawUnsafe(
    `SELECT item.position::int
FROM unnest(${keyParameters(key.map(sqlTypeOf))}) WITH ORDINALITY AS item(${keyNames(key)}, position)
WHERE NOT EXISTS (SELECT FROM ${table} AS t WHERE ${keysEqual(key, 't', 'item')})
ORDER BY item.position
LIMIT 1`,
    ...keyArrays(map, items),
  )) as { position: number }[]
  return row && items[row.position - 1]?.given
}
