import { hex, isDecimal } from '../canonical.js'
import type { Field } from './data-model.js'

/**
 * A value in the form that `jsonb_populate_record(NULL::table, …)` casts to the column's own type
 * (PostgreSQL manual, "9.16. JSON Functions"), whatever that is: a uuid, an enum, a Decimal. So a
 * statement needs to know no column types.
 */
export function toJsonValue(value: unknown, field: Field): unknown {
  if (Array.isArray(value) && field.isList) return value.map((item) => scalarToJson(item, field))
  return scalarToJson(value, field)
}

function scalarToJson(value: unknown, field: Field): unknown {
  if (value === null || field.type === 'Json') return value
  if (typeof value === 'string' && field.type === 'DateTime') return dateTime(new Date(value))
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Date) return dateTime(value)
  if (ArrayBuffer.isView(value)) return `\\x${hex(value)}`
  if (typeof value === 'object' && isDecimal(value)) return value.toFixed()
  if (typeof value === 'string' && field.enumValues) return field.enumValues.get(value) ?? value
  return value
}

/**
 * The hours of UTC without a zone, as Prisma's adapters send it and read it back: where a session
 * is not at UTC, that puts another moment into a `timestamptz`, but both sides mean the same one.
 */
function dateTime(date: Date): string {
  return Number.isNaN(date.getTime()) ? String(date) : date.toISOString().slice(0, -1)
}

/** Whether the field can have the value, and the value survives the way through JSON. */
export function isStorable(value: unknown, field: Field): boolean {
  if (field.isList) return Array.isArray(value) && value.every((item) => isStorableScalar(item, field))
  // `null` for Json could be that of SQL or that of JSON, which Prisma has `DbNull` and `JsonNull` for.
  if (value === null) return field.isOptional && field.type !== 'Json'
  return isStorableScalar(value, field)
}

function isStorableScalar(value: unknown, field: Field): boolean {
  if (field.kind === 'enum') return typeof value === 'string' && (field.enumValues?.has(value) ?? true)
  switch (field.type) {
    case 'Int':
    case 'BigInt':
      return typeof value === 'bigint' || Number.isInteger(value)
    case 'Float':
      return typeof value === 'bigint' || Number.isFinite(value)
    case 'Decimal':
      return typeof value === 'bigint' || Number.isFinite(value) || isDecimalText(value)
    case 'Boolean':
      return typeof value === 'boolean'
    case 'DateTime':
      return value instanceof Date ? !Number.isNaN(value.getTime()) : typeof value === 'string' && isMoment(value)
    case 'Bytes':
      return ArrayBuffer.isView(value)
    case 'Json':
      return isJson(value)
    default:
      return typeof value === 'string'
  }
}

/** Neither NaN nor Infinity: a `numeric` column takes them, and no sum that they are in recovers. */
function isDecimalText(value: unknown): boolean {
  const text = typeof value === 'object' && value !== null && isDecimal(value) ? value.toFixed() : value
  return typeof text === 'string' && /\d/.test(text)
}

/** ISO 8601 with a time zone, as Prisma wants it. */
function isMoment(text: string): boolean {
  return /T.*(?:Z|[+-]\d{2}(?::?\d{2})?)$/i.test(text) && !Number.isNaN(Date.parse(text))
}

/** Whether JSON has all of it: JSON.stringify leaves out a function, and makes `null` of NaN. */
function isJson(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value)
    case 'object':
      break
    default:
      return false
  }
  if (value === null) return true
  if (Array.isArray(value)) return value.every(isJson)
  if ('toJSON' in value && typeof value.toJSON === 'function') return isJson(value.toJSON())
  const isPlain = [Object.prototype, null].includes(Object.getPrototypeOf(value))
  return isPlain && Object.values(value).every((item) => item === undefined || isJson(item))
}
