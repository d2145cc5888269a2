import type { Field, Model } from '../engine/data-model.js'
import { isDecimal } from '../values/canonical.js'

type Nulls = Pick<Model, 'standsForNull'>

/**
 * One form per value of a field, whichever of the type's forms it came in: a Decimal as a number,
 * a text or an object; a moment as a Date or as ISO text; some Json with or without its prototypes.
 * It is what the column keeps: an amount of `0.1 + 0.2` in a `Decimal(12, 2)` is 0.3.
 *
 * @param model none for a value of a key, which is never null
 */
export function normalForm(value: unknown, field: Field, model: Nulls = {}): unknown {
  if (!field.isList) return scalarForm(value, field, model)
  const items = typeof value === 'object' && value !== null && 'set' in value ? value.set : value
  return Array.isArray(items) ? items.map((item) => scalarForm(item, field, model)) : items
}

/**
 * The same, as Prisma passes it on to the database: with U+FFFD for half of a surrogate pair, a number in an
 * Int without its fraction, and one that is Json alone, or in a list of Json, with 16 digits.
 */
export function storedForm(value: unknown, field: Field, model: Nulls): unknown {
  const form = normalForm(value, field, model)
  return field.isList && Array.isArray(form) ? form.map((item) => passedOn(item, field)) : passedOn(form, field)
}

function passedOn(value: unknown, field: Field): unknown {
  if (field.type === 'Json') return shortNumbers(value, field.isList)
  if (typeof value === 'string') return value.replace(HALF_PAIR, '\ufffd')
  if (field.type !== 'Int' || typeof value !== 'number') return value
  return Number.isFinite(value) ? Math.trunc(value) : null
}

const HALF_PAIR = /\p{Surrogate}/gu

function shortNumbers(value: unknown, isInList: boolean): unknown {
  if (typeof value === 'number') return Number(value.toPrecision(16))
  if (!isInList || typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => shortNumbers(item, isInList))
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, shortNumbers(item, isInList)]))
}

function scalarForm(value: unknown, field: Field, { standsForNull }: Nulls): unknown {
  if (value === null || standsForNull?.(value)) return null
  switch (field.type) {
    case 'Decimal':
      return decimalForm(value, decimalPlaces(field))
    case 'DateTime':
      return momentForm(value, field)
    case 'Json':
      return JSON.parse(JSON.stringify(value))
    default:
      return value
  }
}

function momentForm(value: unknown, field: Field): unknown {
  const moment = value instanceof Date ? value : new Date(value as string)
  if (Number.isNaN(moment.getTime())) return value
  return field.nativeType === 'Date' ? moment.toISOString().slice(0, 10) : moment
}

function decimalPlaces(field: Field): number | undefined {
  const [, places] = /^Decimal\(\s*\d+\s*,\s*(\d+)\s*\)$/.exec(field.nativeType ?? '') ?? []
  return places === undefined ? undefined : Number(places)
}

/** Digits and the power of ten, rounded half away from zero, as `numeric` does it: `5.00` is `5e0`. */
function decimalForm(value: unknown, places: number | undefined): unknown {
  const text = typeof value === 'object' && value !== null && isDecimal(value) ? value.toFixed() : String(value)
  const [, sign, whole = '', fraction = '', exponent = '0'] = /^([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(text) ?? []
  if (whole + fraction === '') return text
  let digits = (whole + fraction).replace(/^0+/, '')
  let power = Number(exponent) - fraction.length
  if (places !== undefined && power < -places) {
    const dropped = -places - power
    const kept = digits.slice(0, -dropped)
    const roundsUp = dropped <= digits.length && digits.charAt(digits.length - dropped) >= '5'
    digits = String(BigInt(kept) + (roundsUp ? 1n : 0n)).replace(/^0$/, '')
    power = -places
  }
  const significant = digits.replace(/0+$/, '')
  if (significant === '') return '0'
  return `${sign === '-' ? '-' : ''}${significant}e${power + digits.length - significant.length}`
}
