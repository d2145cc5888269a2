import type { Field } from '../engine/data-model.js'
import { hex, isDecimal } from '../values/canonical.js'
import { isStorableText } from '../values/text.js'
import { jsonText } from './json-text.js'

type Scalar = string | number | boolean

/**
 * A value as a statement of ours sends it, in JSON: a text or a number that the input function of the
 * column's type reads as the parameter of Prisma's statement. Json is the text of it.
 */
export type ColumnValue = Scalar | null | readonly Scalar[]

/**
 * The one check of a value for all statements of our own, and its only reading. The result is the
 * value that Prisma stores for the same input (serializeJsonQuery.ts, the query compiler's
 * query_document/parser.rs, and the adapter's conversion.ts, on 7.10).
 *
 * `undefined` is everything else: values that Prisma refuses, and values that it stores as something else
 * (NaN as NULL, 1.5 in an Int as 1, half a surrogate pair as U+FFFD). Where Prisma can be asked instead,
 * it decides; where not, the value is refused. The database decides in either case whether the column
 * takes the value (its length, its range, a wrong uuid).
 */
export function columnValue(value: unknown, field: Field): ColumnValue | undefined {
  if (field.isList) return listValue(value, field)
  // `null` for Json could be that of SQL or that of JSON, which Prisma has `DbNull` and `JsonNull` for.
  if (value === null) return field.isOptional && field.type !== 'Json' ? null : undefined
  return scalarValue(value, field)
}

function listValue(value: unknown, field: Field): readonly Scalar[] | undefined {
  if (!Array.isArray(value)) return undefined
  const items: Scalar[] = []
  for (let i = 0; i < value.length; i++) {
    const item = scalarValue(value[i], field)
    if (item === undefined) return undefined
    items.push(item)
  }
  return items
}

function scalarValue(value: unknown, field: Field): Scalar | undefined {
  if (field.kind === 'enum') return typeof value === 'string' ? field.enumValues?.get(value) : undefined
  if (field.kind !== 'scalar') return undefined
  switch (field.type) {
    case 'String':
      return typeof value === 'string' && isStorableText(value) ? value : undefined
    case 'Boolean':
      return typeof value === 'boolean' ? value : undefined
    case 'Int':
      return intValue(value, field.nativeType)
    case 'BigInt':
      return bigIntValue(value)
    case 'Float':
      return typeof value === 'number' && Number.isFinite(value) ? floatValue(value, field) : undefined
    case 'Decimal':
      return decimalValue(value)
    case 'DateTime':
      return dateTimeValue(value, field)
    case 'Bytes':
      return ArrayBuffer.isView(value) ? `\\x${hex(value)}` : undefined
    case 'Json':
      return jsonText(value, field.isList)
    default:
      return undefined
  }
}

const INT_RANGES: Readonly<Record<string, readonly [lowest: number, highest: number]>> = {
  Integer: [-(2 ** 31), 2 ** 31 - 1],
  SmallInt: [-(2 ** 15), 2 ** 15 - 1],
  Oid: [0, 2 ** 32 - 1],
}

function intValue(value: unknown, nativeType = 'Integer'): number | undefined {
  const [lowest, highest] = INT_RANGES[nativeType] ?? [0, -1]
  return typeof value === 'number' && Number.isInteger(value) && value >= lowest && value <= highest ? value : undefined
}

const HIGHEST_BIGINT = 2n ** 63n - 1n

function bigIntValue(value: unknown): string | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : undefined
  if (typeof value !== 'bigint' && !(typeof value === 'string' && /^[+-]?\d{1,30}$/.test(value))) return undefined
  const number = BigInt(typeof value === 'string' ? value.replace('+', '') : value)
  return number <= HIGHEST_BIGINT && number >= -HIGHEST_BIGINT - 1n ? String(number) : undefined
}

/** A fraction goes to the database as it is, but not one in a list, nor what is too large for an Int. */
function floatValue(value: number, { isList }: Field): number | string | undefined {
  const isPlain = Number.isInteger(value) ? intValue(value) !== undefined : !isList
  return isPlain ? value : compiledNumber(value)
}

/**
 * A number as the query compiler passes it on: a 64-bit integer exactly, and any other with 16
 * digits. `undefined` where it is half-way between two such numbers.
 */
function compiledNumber(value: number): string | undefined {
  if (Number.isSafeInteger(value)) return String(value)
  const text = String(value)
  if (/^-?\d+$/.test(text) && bigIntValue(BigInt(text)) !== undefined) return text
  const digits = value.toPrecision(100).replace(/e.*/, '').replace(/\D/g, '').replace(/^0+/, '')
  const isHalfway = /^\d{16}50*$/.test(digits)
  if (isHalfway) return undefined
  const [mantissa = '', exponent] = value.toPrecision(16).split('e')
  const short = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa
  return exponent === undefined ? short : `${short}e${exponent}`
}

function decimalValue(value: unknown): string | undefined {
  switch (typeof value) {
    case 'number': {
      if (Number.isSafeInteger(value)) return String(value)
      const text = Number.isFinite(value) ? compiledNumber(value) : undefined
      return text === undefined ? undefined : plainDecimal(text)
    }
    case 'string':
      return plainDecimal(value)
    case 'object': {
      const text: unknown = value !== null && isDecimal(value) ? value.toFixed() : undefined
      return typeof text === 'string' && /^-?\d+(?:\.\d+)?$/.test(text) ? text : undefined
    }
    default:
      return undefined
  }
}

const DECIMAL = /^([+-]?)(?=\.?\d)(\d*)\.?(\d*)(?:[eE]([+-]?\d{1,3}))?$/

/** Without an exponent, which `money` does not read: `-1.5e2` is `-150`. */
function plainDecimal(text: string): string | undefined {
  const [found, sign, whole = '', fraction = '', exponent = '0'] = DECIMAL.exec(text) ?? []
  if (found === undefined) return undefined
  const point = whole.length + Number(exponent)
  const digits = (whole + fraction).padEnd(point, '0')
  const shifted = point <= 0 ? `0.${'0'.repeat(-point)}${digits}` : `${digits.slice(0, point)}.${digits.slice(point)}`
  return `${sign === '-' ? '-' : ''}${shifted.replace(/\.$/, '')}`
}

/** RFC 3339, as the query compiler reads it. */
const MOMENT =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/**
 * The hours of UTC without a zone, as Prisma's adapters send it and read it back: where a session
 * is not at UTC, that puts another moment into a `timestamptz`, but both sides mean the same one.
 */
function dateTimeValue(value: unknown, { nativeType = '', isList }: Field): string | undefined {
  const time = typeof value === 'string' ? momentOf(value) : isDate(value) ? value.getTime() : Number.NaN
  if (Number.isNaN(time)) return undefined
  const text = new Date(time).toISOString()
  const hasLongYear = text.length > 24 // such as `+010000-`
  if (isList && hasLongYear) return undefined
  if (nativeType.startsWith('Time') && /^Time(?:tz)?\b/.test(nativeType)) return text.slice(-13, -1)
  // PostgreSQL knows no year 0, and Prisma cannot read a year of five digits.
  if (hasLongYear || text.startsWith('0000')) return undefined
  return nativeType === 'Date' ? text.slice(0, 10) : text.slice(0, -1)
}

function isDate(value: unknown): value is Date {
  return value instanceof Date || Object.prototype.toString.call(value) === '[object Date]'
}

/** In ms since 1970. `Date` itself takes the 30th of February for the 1st of March. */
function momentOf(text: string): number {
  const [, year, month, day] = MOMENT.exec(text) ?? []
  const date = new Date(0)
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  const isInCalendar = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day)
  return isInCalendar ? Date.parse(`${text.slice(0, 10)}T${text.slice(11).toUpperCase()}`) : Number.NaN
}
