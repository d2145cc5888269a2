import type { Session } from '../engine/session.js'
import { IdempotencyMismatchError } from '../errors/index.js'
import { confirm } from '../retry/confirm.js'
import { columnOf } from '../sql/sql.js'
import { sql } from '../sql/statement.js'
import { isRecord } from '../values/validation.js'
import type { SerialsMap } from './mapping.js'
import { isOf, type Owner } from './statements.js'
import { textOf, type Values } from './values.js'

/** A request under a transaction id: one text per part, such as `count` and `where.productId`. */
export type Request = Readonly<Record<string, string>>

/** The record of a transaction id. */
export interface RecordedRequest {
  readonly request: string
  readonly count: number
}

/** A request of these parts; those that are `undefined` are none. */
export function requestOf(
  operation: 'allocate' | 'import',
  parts: Readonly<Record<string, unknown>>,
  values: Readonly<Record<string, Values>>,
): Request {
  const given = Object.entries(parts).filter(([, value]) => value !== undefined)
  const texts = given.map(([name, value]) => [name, textOf(value)])
  const fields = Object.entries(values).flatMap(([name, { fields, given }]) =>
    fields.map((field) => [`${name}.${field.name}`, textOf(given[field.name], field)]),
  )
  return { operation, ...Object.fromEntries([...texts, ...fields]) }
}

/** The fields that an allocation has set on its serials. */
export function fieldsSetBy(request: string): string[] {
  return Object.keys(parse(request)).flatMap((name) => (name.startsWith('data.') ? [name.slice('data.'.length)] : []))
}

/** A call that is recorded under its transaction id. */
export interface Recorded extends Owner {
  readonly request: Request
}

/**
 * The record of the same request under the transaction id; `undefined` if it is new.
 *
 * @throws IdempotencyMismatchError if the transaction id was used for something else before
 */
export async function readRecorded(
  session: Session,
  map: SerialsMap,
  call: Recorded,
): Promise<RecordedRequest | undefined> {
  const { table, request, count } = map.allocation
  const [recorded] =
    await session.rows<RecordedRequest>(sql`SELECT ${columnOf(request)} AS request, ${columnOf(count)} AS count
FROM ${table}
WHERE ${isOf(map, map.allocation, call)}`)
  if (recorded) {
    checkSame(map, call, recorded.request)
    await confirm(session)
  }
  return recorded
}

/** @throws IdempotencyMismatchError if what is recorded is another request */
export function checkSame({ allocation }: SerialsMap, { transactionId, request }: Recorded, recorded: string): void {
  const before = parse(recorded)
  const names = new Set([...Object.keys(before), ...Object.keys(request)])
  const differing = [...names].filter((name) => before[name] !== request[name])
  if (differing.length === 0) return
  const fields = differing.includes('operation') ? ['operation'] : differing
  throw new IdempotencyMismatchError(allocation.model.name, { [allocation.transactionId.name]: transactionId }, fields)
}

/** A text that this package has not written is a request that no other one is the same as. */
function parse(request: string): Readonly<Record<string, unknown>> {
  try {
    const parts: unknown = JSON.parse(request)
    if (isRecord(parts)) return parts
  } catch {}
  return { operation: '' }
}
