import { isDeepStrictEqual } from 'node:util'
import { isConcurrencyError } from '../../../src/index.js'
import type { Call, Columns, Query } from './calls.js'
import { type Client, Incomparable, NothingAlike } from './plain.js'

export type Outcome = { readonly value: unknown } | { readonly error: unknown }

/** The outcome of a call, and the rows that it has written. */
export interface Written {
  readonly outcome: Outcome
  readonly rows: unknown
}

/** Prisma's own call with the arguments: carried out, read, and rolled back. */
export async function plainly({ plain }: Call, args: unknown[], client: Client): Promise<Written | undefined> {
  if (plain === undefined) return undefined
  let written: Written | undefined
  try {
    const read = readOnce(args) as unknown[]
    await client.$transaction(async (tx) => {
      const query: Query = (sql, values = []) => tx.$queryRawUnsafe(sql, ...values)
      const since = await transactionId(query)
      const value = await plain.run(tx as never, read)
      written = { outcome: { value }, rows: await rowsSince(since, plain.columns, query) }
      throw new RolledBack()
    })
  } catch (error) {
    if (error instanceof Incomparable) return undefined
    if (!(error instanceof RolledBack)) written = { outcome: { error }, rows: [] }
  }
  return written
}

/** The arguments, each part of them read once, with what they have inherited: so ours reads them. */
function readOnce(value: unknown): unknown {
  if (Array.isArray(value)) return Array.from(value, readOnce)
  if (typeof value !== 'object' || value === null || Object.prototype.toString.call(value) !== '[object Object]')
    return value
  if ('toJSON' in value && typeof value.toJSON === 'function') return readOnce(value.toJSON())
  const names: string[] = []
  for (const name in value) names.push(name)
  if (names.length === 0 || 'toFixed' in value) return value
  return Object.fromEntries(names.map((name) => [name, readOnce((value as Record<string, unknown>)[name])]))
}

class RolledBack extends Error {}

export async function transactionId(query: Query): Promise<bigint> {
  const [row] = await query('SELECT txid_current()::text AS id')
  return BigInt(String(row?.id))
}

/** The rows that were written by this transaction and later ones. */
export async function rowsSince(since: bigint, columns: Columns, query: Query): Promise<unknown> {
  const rows: unknown[] = []
  for (const [table, names] of Object.entries(columns)) {
    const found = await query(
      `SELECT to_jsonb(t) AS row FROM "${table}" AS t WHERE xmin::text::bigint >= $1::text::bigint`,
      [String(since)],
    )
    const parts = found.map(({ row }) => partsOf(row as Readonly<Record<string, unknown>>, names))
    rows.push([table, parts.sort(), (await query(`SELECT count(*)::text AS count FROM "${table}"`))[0]?.count])
  }
  return rows
}

const IDS = ['id', 'paymentId', 'categoryId']

/** An id is another one each time, and so is the time of now. */
function partsOf(row: Readonly<Record<string, unknown>>, names: readonly string[] | 'all'): string {
  const isWanted = ([name]: [string, unknown]) => (names === 'all' ? !IDS.includes(name) : names.includes(name))
  return JSON.stringify(Object.entries(row).filter(isWanted), (_, value) => (isNow(value) ? 'now' : value))
}

/** An answer, or the record in it, without what is another one each time. */
function textOf(answer: unknown): string {
  const isAround = typeof answer === 'object' && answer !== null && 'record' in answer
  return JSON.stringify(isAround ? answer.record : answer, (name, value) => {
    if (IDS.includes(name)) return undefined
    return typeof value === 'bigint' ? String(value) : isNow(value) ? 'now' : value
  })
}

function isNow(value: unknown): boolean {
  if (typeof value !== 'string' && !(value instanceof Date)) return false
  if (typeof value === 'string' && !/^\d{4}-\d\d-\d\d(?:T|$)/.test(value)) return false
  const age = Date.now() - new Date(value).getTime()
  return Math.abs(age) < (String(value).length === 10 ? 48 : 1) * 3_600_000
}

/** The difference between ours and Prisma, if ours did not refuse by an error of its own. */
export function difference(ours: Written, plain: Written, sent: readonly string[]): string | undefined {
  if ('value' in ours.outcome && isReplay(ours.outcome.value)) return undefined
  const own = asPrismas(ours.outcome)
  const { outcome } = plain
  if ('value' in own) {
    if ('error' in outcome)
      return `accepted, but Prisma says ${nameOf(outcome.error)}: ${String(outcome.error).slice(-300)}`
    const [answer, expected] = [textOf(own.value), textOf(outcome.value)]
    if (outcome.value !== undefined && answer !== expected) return `answers ${answer}, and Prisma ${expected}`
    return isDeepStrictEqual(ours.rows, plain.rows)
      ? undefined
      : `wrote ${JSON.stringify(ours.rows)}, and Prisma ${JSON.stringify(plain.rows)}`
  }
  if (isConcurrencyError(own.error)) {
    const isWrong =
      'error' in outcome && (outcome.error instanceof NothingAlike || nameOf(outcome.error) === VALIDATION)
    return isWrong && own.error.code !== 'INVALID_ARGUMENT'
      ? `taken for an argument, ${own.error.code}: ${own.error.message}\n${String(outcome.error).slice(-300)}`
      : undefined
  }
  if ('value' in outcome) return `Prisma takes it, but ours says ${nameOf(own.error)}: ${String(own.error).slice(-300)}`
  if (outcome.error instanceof NothingAlike)
    return `not refused by an error of ours: ${nameOf(own.error)} ${String(own.error).slice(-300)}`
  const isValidation = nameOf(own.error) === VALIDATION
  // Of what looks like a Decimal Prisma finds out later, and says less.
  const isSaidBetter = isValidation && nameOf(outcome.error) === 'PrismaClientUnknownRequestError'
  if (nameOf(own.error) !== nameOf(outcome.error) && !isSaidBetter) {
    return `${nameOf(own.error)}, but Prisma says ${nameOf(outcome.error)}:\n${String(own.error).slice(-300)}\n${String(outcome.error).slice(-300)}`
  }
  return isValidation && sent.length > 0 ? `${nameOf(own.error)}, but after ${sent[0]}` : undefined
}

/** An id that a distorted call shares with an earlier one: Prisma has no call for that. */
function isReplay(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'replayed' in value &&
    value.replayed === true &&
    !('record' in value)
  )
}

/** An answer of ours, or an error with more in it, as Prisma would say it. */
function asPrismas(outcome: Outcome): Outcome {
  if ('error' in outcome || typeof outcome.value !== 'object' || outcome.value === null) return outcome
  const { status, replayed, record } = outcome.value as { status?: string; replayed?: boolean; record?: unknown }
  if (status === 'missing' || status === 'stale') return { error: { name: KNOWN, code: 'P2025' } }
  if (replayed === true && record !== undefined) return { error: { name: KNOWN, code: 'P2002' } }
  return outcome
}

const VALIDATION = 'PrismaClientValidationError'
const KNOWN = 'PrismaClientKnownRequestError'

/** The class of an error, and its code. */
function nameOf(error: unknown): string {
  const { name, code } = error as { name?: string; code?: string }
  return [name, code].filter((part) => part !== undefined).join(' ')
}
