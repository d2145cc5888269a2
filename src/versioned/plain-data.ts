import type { Field, Model } from '../prisma/data-model.js'
import { isStorable } from '../prisma/row-json.js'

export type Operation = 'set' | 'increment' | 'decrement'

/** What a write does to single columns, all of it plain values. */
export type PlainData = ReadonlyMap<Field, { readonly operation: Operation; readonly value: unknown }>

/**
 * The data of a write, if it is of a kind that a statement of our own writes exactly as Prisma
 * would: plain values of plain types, in the one form in which there is nothing to interpret.
 * Whatever else it is, also what is wrong with it, is for Prisma to judge.
 */
export function plainData(data: Readonly<Record<string, unknown>>, model: Model): PlainData | undefined {
  const plain = new Map<Field, { operation: Operation; value: unknown }>()
  for (const [name, given] of Object.entries(data)) {
    const field = model.fields.get(name)
    const write = field && plainWrite(given, field)
    if (!write) return undefined
    plain.set(field, write)
  }
  return plain
}

function plainWrite(given: unknown, field: Field): { operation: Operation; value: unknown } | undefined {
  if (field.isList) return undefined
  if (typeof given === 'object' && given !== null && Object.getPrototypeOf(given) === Object.prototype) {
    const [[operation, value] = ['', undefined], ...others] = Object.entries(given)
    if (others.length > 0) return undefined
    const isSum = operation === 'increment' || operation === 'decrement'
    if (isSum) return isWhole(value, field) ? { operation, value } : undefined
    return operation === 'set' && isPlain(value, field) ? { operation, value } : undefined
  }
  return isPlain(given, field) ? { operation: 'set', value: given } : undefined
}

function isPlain(value: unknown, field: Field): boolean {
  if (value === null) return field.isOptional && field.type !== 'Json'
  if (field.kind === 'enum') return typeof value === 'string' && field.enumValues?.has(value) === true
  if (field.kind !== 'scalar') return false
  switch (field.type) {
    case 'Int':
    case 'BigInt':
      return isWhole(value, field)
    case 'Boolean':
      return typeof value === 'boolean'
    case 'String':
      return typeof value === 'string' && /^(?:Text|VarChar\b.*|Uuid)?$/.test(field.nativeType ?? '')
    case 'Decimal':
      return isStorable(value, field) && (typeof value !== 'string' || /^-?\d+(?:\.\d+)?$/.test(value))
    case 'DateTime':
      return value instanceof Date && !Number.isNaN(value.getTime()) && isMoment(field)
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
export function applied(data: PlainData, current: Readonly<Record<string, unknown>>) {
  const values = new Map<Field, unknown>()
  for (const [field, { operation, value }] of data) {
    if (operation === 'set') {
      values.set(field, ownForm(value, field))
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

function ownForm(value: unknown, { type }: Field): unknown {
  if (value instanceof Date) return new Date(value) // the caller's own may change
  return type === 'BigInt' && value !== null ? BigInt(value as bigint) : value
}

/** The data with the time in the fields that are `@updatedAt`, as Prisma fills them in. */
export function stamped(data: PlainData, model: Model): PlainData | undefined {
  const all = new Map(data)
  for (const field of model.fields.values()) {
    if (!field.isUpdatedAt || data.has(field)) continue
    if (!isMoment(field)) return undefined
    all.set(field, { operation: 'set', value: new Date() })
  }
  return all
}
