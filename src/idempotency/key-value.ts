import type { Field } from '../engine/data-model.js'
import { InvalidArgumentError } from '../errors/index.js'
import { columnValue } from '../sql/column-value.js'
import { keyText } from '../sql/key-text.js'
import { canonical, isDecimal } from '../values/canonical.js'
import { LONGEST_KEY_TEXT } from '../values/text.js'
import { normalForm } from './normal-form.js'

/**
 * Checks a value that is to be (part of) a key. The column must keep it exactly as it is given: a row
 * that was stored under a rounded key is not found by the one that was given, and a duplicate would be
 * an error about a key that is taken.
 *
 * @throws InvalidArgumentError, before any SQL
 */
export function checkKeyValue(value: unknown, field: Field, path: string): void {
  if (typeof value === 'string' && field.type === 'String' && !field.isList) {
    keyText(value, field, path)
  } else if (columnValue(value, field) === undefined) {
    throw new InvalidArgumentError(path, 'must be a plain value, since it goes into the row.')
  } else if (ArrayBuffer.isView(value) && value.byteLength > LONGEST_KEY_TEXT) {
    throw new InvalidArgumentError(path, 'must not be longer than 1,000 bytes, since it is kept in an index.')
  } else if (!isKept(value, field)) {
    const type = `${field.type}${field.nativeType ? ` @db.${field.nativeType}` : ''}`
    throw new InvalidArgumentError(path, `is more exact, or larger, than its column (${type}) can keep.`)
  }
}

function isKept(value: unknown, field: Field): boolean {
  switch (field.type) {
    case 'Float':
      return field.nativeType !== 'Real' || Math.fround(Number(value)) === Number(value)
    case 'Decimal':
      return isExactDecimal(value, field)
    case 'DateTime':
      return isExactMoment(value, field)
    default:
      return true
  }
}

/** `Decimal` alone is `Decimal(65, 30)` in a database that Prisma has made. */
function isExactDecimal(value: unknown, field: Field): boolean {
  const [, precision = '65', scale] = /^Decimal\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)$/.exec(field.nativeType ?? '') ?? []
  const places = field.nativeType === undefined ? 30 : field.nativeType === 'Money' ? 2 : Number(scale ?? 0)
  const rounded = normalForm(value, { ...field, nativeType: `Decimal(${precision}, ${places})` })
  const exact = normalForm(value, { ...field, nativeType: undefined })
  if (canonical(rounded) !== canonical(exact)) return false
  const text = typeof value === 'object' && value !== null && isDecimal(value) ? value.toFixed() : String(value)
  const [whole = ''] = text.replace(/^[+-]?0*/, '').split(/[.e]/i)
  return /e/i.test(text) || whole.length <= Number(precision) - places
}

/** A moment has milliseconds; a column may have been told to keep fewer digits. */
function isExactMoment(value: unknown, { nativeType }: Field): boolean {
  const [, digits = '3'] = /^(?:Timestamp|Time)(?:tz)?\(\s*(\d)\s*\)$/.exec(nativeType ?? '') ?? []
  const moment = new Date(value as string | Date).getTime()
  return Number.isNaN(moment) || moment % 10 ** Math.max(0, 3 - Number(digits)) === 0
}
