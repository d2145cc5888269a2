import type { Field, Model } from '../engine/data-model.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'

export type Operation = 'set' | 'increment' | 'decrement'

interface DirectWrite {
  readonly operation: Operation
  /** For sums in JavaScript: a number, a bigint, a text. */
  readonly value: unknown
  /** The same value, as a statement takes it. */
  readonly stored: ColumnValue
}

/** What a write does to single columns, all of it plain values. */
export type DirectData = ReadonlyMap<Field, DirectWrite>

/**
 * The data of a write, if it is of a kind that a statement of our own writes exactly as Prisma
 * would: plain values of plain types, in the one form in which there is nothing to interpret.
 * Whatever else it is, also what is wrong with it, is for Prisma to judge.
 */
export function directData(data: Readonly<Record<string, unknown>>, model: Model): DirectData | undefined {
  const plain = new Map<Field, DirectWrite>()
  for (const [name, given] of Object.entries(data)) {
    const field = model.fields.get(name)
    const write = field && readWrite(given, field)
    if (!write || model.emulatedKeys.has(name)) return undefined
    plain.set(field, write)
  }
  return plain
}

/** What is done to a column, as it is given: a value, or `{ set }`, `{ increment }` or `{ decrement }` of one. */
export function operationIn(given: unknown, { type, isList }: Field) {
  const isObject = typeof given === 'object' && given !== null && Object.getPrototypeOf(given) === Object.prototype
  // What is set on a Json field is the JSON itself.
  if (!isObject || (type === 'Json' && !isList)) return { operation: 'set' as const, value: given, isWrapped: false }
  const [[operation, value] = ['', undefined], ...others] = Object.entries(given)
  return isOperation(operation) && others.length === 0 ? { operation, value, isWrapped: true } : undefined
}

function isOperation(name: string): name is Operation {
  return name === 'set' || name === 'increment' || name === 'decrement'
}

function readWrite(given: unknown, field: Field): DirectWrite | undefined {
  const read = field.isList ? undefined : operationIn(given, field)
  if (!read) return undefined
  const { operation, value } = read
  return operation === 'set' || isWhole(value, field) ? plainWrite(operation, value, field) : undefined
}

function plainWrite(operation: Operation, given: unknown, field: Field): DirectWrite | undefined {
  const value = given instanceof Date ? new Date(given) : given // the caller's own may change
  if (value !== null && !isPlain(value, field)) return undefined
  const stored = columnValue(value, field)
  if (stored === undefined) return undefined
  return { operation, value: field.type === 'BigInt' && value !== null ? BigInt(value as bigint) : value, stored }
}

/** Whether it is of a type, and of a form of it, that can be written together with others. */
function isPlain(value: unknown, field: Field): boolean {
  if (field.kind === 'enum') return true
  switch (field.type) {
    case 'Int':
    case 'BigInt':
      return isWhole(value, field)
    case 'Boolean':
    case 'Decimal':
      return true
    case 'String':
      return /^(?:Text|VarChar\b.*|Uuid)?$/.test(field.nativeType ?? '')
    case 'DateTime':
      return value instanceof Date && isMoment(field)
    default:
      return false
  }
}

/** A number that its column can hold. */
function isWhole(value: unknown, { type, nativeType }: Field): boolean {
  if (nativeType !== undefined && nativeType !== 'Integer' && nativeType !== 'BigInt') return false
  if (type === 'Int') return typeof value === 'number' && Number.isInteger(value) && Math.abs(value) <= HIGHEST_INT
  if (type !== 'BigInt') return false
  return typeof value === 'bigint' ? abs(value) <= HIGHEST_BIGINT : Number.isSafeInteger(value)
}

const HIGHEST_INT = 2_147_483_647
const HIGHEST_BIGINT = 9_223_372_036_854_775_807n

function abs(value: bigint): bigint {
  return value < 0n ? -value : value
}

/** A column of moments that keeps the milliseconds of a Date. */
export function isMoment({ type, nativeType }: Field): boolean {
  return type === 'DateTime' && (nativeType === undefined || /^Timestamp(?:tz)?\((?:3|6)\)$/.test(nativeType))
}

/**
 * What single columns hold after a plain write, if JavaScript can tell: sums that stay within their
 * column. Only for columns of the types that `TableFacts.free` allows, which keep what they are given.
 */
export function applied(data: DirectData, current: Readonly<Record<string, unknown>>) {
  const values = new Map<Field, unknown>()
  for (const [field, { operation, value }] of data) {
    if (operation === 'set') {
      values.set(field, value)
      continue
    }
    const before = current[field.name]
    if (before === null) {
      values.set(field, null) // NULL plus anything is NULL
      continue
    }
    const sign = operation === 'increment' ? 1 : -1
    const sum =
      field.type === 'BigInt'
        ? (before as bigint) + BigInt(sign) * BigInt(value as bigint)
        : (before as number) + sign * (value as number)
    if (!isWhole(sum, field)) return undefined
    values.set(field, sum)
  }
  return values
}

/** The data with the time in the fields that are `@updatedAt`, as Prisma fills them in. */
export function stamped(data: DirectData, model: Model): DirectData | undefined {
  const all = new Map(data)
  for (const field of model.fields.values()) {
    if (!field.isUpdatedAt || data.has(field)) continue
    if (!isMoment(field)) return undefined
    const now = plainWrite('set', new Date(), field)
    if (now) all.set(field, now)
  }
  return all
}
