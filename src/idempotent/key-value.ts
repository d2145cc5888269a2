import { canonical, isDecimal } from '../canonical.js'
import { InvalidArgumentError } from '../errors.js'
import type { Field } from '../prisma/data-model.js'
import { keyText } from '../prisma/key-text.js'
import { canonicalUuid, LONGEST_KEY_TEXT } from '../text.js'
import { normalForm } from './normal-form.js'

/**
 * Checks a value that is to be (part of) a key. The column must keep it exactly as it is given: a row
 * that was stored under a rounded key is not found by the one that was given, and a duplicate would be
 * an error about a key that is taken.
 *
 * @throws InvalidArgumentError, before any SQL
 */
export function checkKeyValue(value: unknown, field: Field, path: string): void {
  if (typeof value === 'string' && field.type === 'String') {
    const isUuid = field.nativeType === 'Uuid'
    keyText((isUuid && canonicalUuid(value)) || value, field, path)
  } else if (ArrayBuffer.isView(value) && value.byteLength > LONGEST_KEY_TEXT) {
    throw new InvalidArgumentError(path, 'must not be longer than 1,000 bytes, since it is kept in an index.')
  } else if (!isKept(value, field)) {
    const type = `${field.type}${field.nativeType ? ` @db.${field.nativeType}` : ''}`
    throw new InvalidArgumentError(path, `is more exact, or larger, than its column (${type}) can keep.`)
  }
}

/** An Oid has no sign, and 32 bits. */
const BITS: Readonly<Record<string, number>> = { Int: 31, BigInt: 63, SmallInt: 15, Oid: 32 }

function isKept(value: unknown, field: Field): boolean {
  switch (field.type) {
    case 'Int':
    case 'BigInt':
      return isWithin(BigInt(value as number), BITS[field.nativeType ?? ''] ?? (BITS[field.type] as number))
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

function isWithin(value: bigint, bits: number): boolean {
  return value >= -(2n ** BigInt(bits)) && value < 2n ** BigInt(bits)
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
