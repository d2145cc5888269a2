import type { Field } from '../engine/data-model.js'
import { keysEqual, sqlTypeOf, stampColumns, stamps, touches } from '../mapping/columns.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { columnOf } from '../sql/sql.js'
import type { SerialsMap } from './mapping.js'
import { fieldsSetBy } from './request.js'
import { inOrder, keyAs } from './statements.js'

/** A call of `release` that has been checked. */
export interface ReleaseCall {
  readonly transactionId: string
  /** `undefined` is all that the transaction id has. */
  readonly numbers: readonly string[] | undefined
}

/** Frees serials of a transaction id, and of nobody else. Those that it does not have (any more) count for nothing. */
export async function release(tx: PrismaClientLike, map: SerialsMap, call: ReleaseCall): Promise<{ released: number }> {
  const request = await lockClaim(tx, map, call.transactionId)
  const released = await free(tx, map, call, fieldsSetBy(request))
  if (request === UNCLAIMED) await removeClaim(tx, map, call.transactionId)
  return { released }
}

/** No request is an empty text. */
const UNCLAIMED = ''

/**
 * The request of the transaction id, locked; if there is none, a claim of our own for as long as
 * this takes. Either way an allocation under way is over by now, and none can begin meanwhile.
 */
async function lockClaim(tx: PrismaClientLike, { allocation }: SerialsMap, id: string): Promise<string> {
  const { table, transactionId, request, count, updatedAt } = allocation
  const column = columnOf(transactionId)
  const [row] = (await tx.$queryRawUnsafe(
    `INSERT INTO ${table} AS a (${column}, ${columnOf(request)}, ${columnOf(count)}${stampColumns(updatedAt)})
VALUES ($1::${sqlTypeOf(transactionId)}, '${UNCLAIMED}', 0${stamps(updatedAt)})
ON CONFLICT (${column}) DO UPDATE SET ${columnOf(request)} = a.${columnOf(request)}
RETURNING a.${columnOf(request)} AS request`,
    id,
  )) as ({ request: string } | undefined)[]
  return row?.request ?? UNCLAIMED
}

async function removeClaim(tx: PrismaClientLike, { allocation }: SerialsMap, id: string): Promise<void> {
  const { table, transactionId, request } = allocation
  await tx.$queryRawUnsafe(
    `DELETE FROM ${table}
WHERE ${columnOf(transactionId)} = $1::${sqlTypeOf(transactionId)} AND ${columnOf(request)} = '${UNCLAIMED}'`,
    id,
  )
}

async function free(
  tx: PrismaClientLike,
  map: SerialsMap,
  { transactionId: id, numbers }: ReleaseCall,
  set: readonly string[],
): Promise<number> {
  const { model, table, key, number, transactionId } = map.serial
  // What the allocation had set would otherwise point from a free serial to the order of old.
  const cleared = set.map((name) => model.fields.get(name)).filter((field): field is Field => !!field?.isOptional)
  const clear = cleared.map((field) => `, ${columnOf(field)} = NULL`).join('')
  const [row] = (await tx.$queryRawUnsafe(
    `WITH held AS MATERIALIZED (
  SELECT ${keyAs(map)}
  FROM ${table} AS s
  WHERE s.${columnOf(transactionId)} = $1::${sqlTypeOf(transactionId)}
    AND ($2::text[] IS NULL OR s.${columnOf(number)} = ANY($2::text[]))
  ORDER BY ${inOrder(map)}
  FOR NO KEY UPDATE OF s
), freed AS (
  UPDATE ${table} AS s
  SET ${columnOf(transactionId)} = NULL${clear}${touches(map.serial, 's')}
  FROM held
  WHERE ${keysEqual(key, 's', 'held')}
  RETURNING 1
)
SELECT count(*)::int4 AS released FROM freed`,
    id,
    numbers ?? null,
  )) as [{ released: number }]
  return row.released
}
