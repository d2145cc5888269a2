import type { Field, Model } from '../engine/data-model.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import type { VersionedModel } from './versioned-models.js'

export type Operation = 'set' | 'increment' | 'decrement'

interface DirectWrite {
  readonly operation: Operation
  /** For sums in JavaScript: a number, a bigint, a text. */
  readonly value: unknown
  /** The same value, as a statement takes it. */
  readonly stored: ColumnValue
}

/** The columns that a write changes, with plain values. */
export type DirectData = ReadonlyMap<Field, DirectWrite>

/**
 * The data of a write, if it is of a kind that a statement of our own writes exactly as Prisma
 * would: plain values of plain types, in the one form in which there is nothing to interpret.
 * Prisma handles all other data, also wrong data.
 */
export function directData(data: Readonly<Record<string, unknown>>, model: Model): DirectData | undefined {
  const direct = new Map<Field, DirectWrite>()
  for (const [name, given] of Object.entries(data)) {
    const field = model.fields.get(name)
    const write = field && directWrite(given, field)
    if (!write || model.emulatedKeys.has(name)) return undefined
    direct.set(field, write)
  }
  return direct
}

/** The change of a column, and whether it was given as an object of the operation. */
interface GivenOperation {
  readonly operation: Operation
  readonly value: unknown
  readonly isWrapped: boolean
}

/** Reads the change of a column, as it is given: a value, or `{ set }`, `{ increment }` or `{ decrement }` of one. */
export function operationIn(given: unknown, { type, isList }: Field): GivenOperation | undefined {
  const isObject = typeof given === 'object' && given !== null && Object.getPrototypeOf(given) === Object.prototype
  // An object for a Json field is the JSON itself.
  if (!isObject || (type === 'Json' && !isList)) return { operation: 'set', value: given, isWrapped: false }
  const [[operation, value] = ['', undefined], ...others]: [string, unknown][] = Object.entries(given)
  return isOperation(operation) && others.length === 0 ? { operation, value, isWrapped: true } : undefined
}

function isOperation(name: string): name is Operation {
  return name === 'set' || name === 'increment' || name === 'decrement'
}

function directWrite(given: unknown, field: Field): DirectWrite | undefined {
  const { operation, value } = operationIn(given, field) ?? {}
  if (operation === undefined || !isDirectType(field)) return undefined
  if (operation !== 'set' && (value === null || !isInteger(field))) return undefined
  // A moment that is given as a text would have to be read, to be the record's.
  if (field.type === 'DateTime' && value !== null && !(value instanceof Date)) return undefined
  const stored = columnValue(value, field)
  if (stored === undefined) return undefined
  return { operation, value: ownValue(value, stored, field), stored }
}

/** A value of the caller's own, such as a Date, may change. */
function ownValue(value: unknown, stored: ColumnValue, { type }: Field): unknown {
  if (value instanceof Date) return new Date(value)
  return type === 'BigInt' && stored !== null ? BigInt(String(stored)) : value
}

/** Whether its values can be written together with others. */
function isDirectType(field: Field): boolean {
  const { kind, type, isList, nativeType = '' } = field
  if (isList) return false
  if (kind === 'enum' || type === 'Boolean' || type === 'Decimal') return true
  if (type === 'String') return /^(?:Text|VarChar\b.*|Uuid)?$/.test(nativeType)
  return isInteger(field) || isMoment(field)
}

function isInteger({ kind, type, nativeType = '' }: Field): boolean {
  return kind === 'scalar' && (type === 'Int' || type === 'BigInt') && /^(?:Integer|BigInt)?$/.test(nativeType)
}

/** A column of moments that keeps the milliseconds of a Date. */
export function isMoment({ type, nativeType }: Field): boolean {
  return type === 'DateTime' && (nativeType === undefined || /^Timestamp(?:tz)?\((?:3|6)\)$/.test(nativeType))
}

/**
 * The values of the columns after the write, if JavaScript can tell: sums that stay within their
 * column. Only for columns that `isUnconstrained` allows, which keep what they are given.
 */
export function applied(data: DirectData, current: Readonly<Record<string, unknown>>): Map<Field, unknown> | undefined {
  const values = new Map<Field, unknown>()
  for (const [field, { operation, value }] of data) {
    const before = current[field.name]
    // NULL plus anything is NULL.
    const after = operation === 'set' ? value : before === null ? null : sum(before, value, operation)
    if (operation !== 'set' && columnValue(after, field) === undefined) return undefined
    values.set(field, after)
  }
  return values
}

function sum(before: unknown, value: unknown, operation: Operation): unknown {
  if (typeof before === 'bigint' && typeof value === 'bigint') {
    return operation === 'increment' ? before + value : before - value
  }
  if (typeof before !== 'number' || typeof value !== 'number') return undefined
  return operation === 'increment' ? before + value : before - value
}

/** The data with the time in the fields that are `@updatedAt`, as Prisma fills them in. */
export function stamped(data: DirectData, { stamps }: VersionedModel): DirectData | undefined {
  const missing = stamps.filter((field) => !data.has(field))
  if (missing.length === 0) return data
  const all = new Map(data)
  const now = new Date()
  for (const field of missing) {
    const write = directWrite(now, field)
    if (!write) return undefined
    all.set(field, write)
  }
  return all
}
