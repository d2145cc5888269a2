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
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Date) return value.toISOString()
  if (ArrayBuffer.isView(value)) return `\\x${hex(value)}`
  if (typeof value === 'object' && isDecimal(value)) return value.toFixed()
  if (typeof value === 'string' && field.enumValues) return field.enumValues.get(value) ?? value
  return value
}

/** Whether the value survives the way through JSON: no NaN, no invalid Date, no function, no object. */
export function isStorable(value: unknown, field: Field): boolean {
  if (Array.isArray(value)) return field.isList && value.every((item) => isStorable(item, { ...field, isList: false }))
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value)
    case 'string':
    case 'boolean':
    case 'bigint':
      return true
    case 'object':
      if (value === null || ArrayBuffer.isView(value)) return true
      return value instanceof Date ? !Number.isNaN(value.getTime()) : isDecimal(value)
    default:
      return false
  }
}
