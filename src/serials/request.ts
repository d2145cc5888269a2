import { IdempotencyMismatchError } from '../errors/index.js'
import { sqlTypeOf } from '../mapping/columns.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { columnOf } from '../sql/sql.js'
import type { SerialsMap } from './mapping.js'
import { textOf, type Values } from './values.js'

/** What was asked for under a transaction id: one text per part, such as `count` and `where.productId`. */
export type Request = Readonly<Record<string, string>>

/** What is noted under a transaction id. */
export interface RecordedRequest {
  readonly request: string
  readonly count: number
}

/** A request of these parts; those that are `undefined` are none. */
export async function requestOf(
  operation: 'allocate' | 'import',
  parts: Readonly<Record<string, unknown>>,
  values: Readonly<Record<string, Values>>,
): Promise<Request> {
  const given = Object.entries(parts).filter(([, value]) => value !== undefined)
  const texts = given.map(async ([name, value]) => [name, await textOf(value)] as const)
  const fields = Object.entries(values).flatMap(([name, { fields, given }]) =>
    fields.map(async (field) => [`${name}.${field.name}`, await textOf(given[field.name], field)] as const),
  )
  return { operation, ...Object.fromEntries(await Promise.all([...texts, ...fields])) }
}

/** @throws IdempotencyMismatchError if the transaction id was used for something else before */
export function checkSame(
  { allocation }: SerialsMap,
  transactionId: string,
  given: Request,
  noted: RecordedRequest,
): void {
  const before = parse(noted.request)
  const names = new Set([...Object.keys(before), ...Object.keys(given)])
  const differing = [...names].filter((name) => before[name] !== given[name])
  if (differing.length === 0) return
  const fields = differing.includes('operation') ? ['operation'] : differing
  throw new IdempotencyMismatchError(allocation.model.name, { [allocation.transactionId.name]: transactionId }, fields)
}

/** The fields that an allocation has set on its serials. */
export function fieldsSetBy(request: string): string[] {
  return Object.keys(parse(request)).flatMap((name) => (name.startsWith('data.') ? [name.slice('data.'.length)] : []))
}

export async function readNoted(
  tx: PrismaClientLike,
  { allocation }: SerialsMap,
  id: string,
): Promise<RecordedRequest | undefined> {
  const { table, transactionId, request, count } = allocation
  const [noted] = (await tx.$queryRawUnsafe(
    `SELECT ${columnOf(request)} AS request, ${columnOf(count)} AS count
FROM ${table}
WHERE ${columnOf(transactionId)} = $1::${sqlTypeOf(transactionId)}`,
    id,
  )) as (RecordedRequest | undefined)[]
  return noted
}

/** What was not written by this package is a request that no other one is the same as. */
function parse(request: string): Request {
  try {
    const parts: unknown = JSON.parse(request)
    if (typeof parts === 'object' && parts !== null) return parts as Request
  } catch {}
  return { operation: '' }
}
