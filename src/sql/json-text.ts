import { isStorableText } from '../values/text.js'

/** Values in values: more than this is a circle, or as good as one. */
const MOST_DEPTH = 100

/** Names that mean something else to Prisma, or to JavaScript, than a key of an object. */
const SPECIAL_KEYS: ReadonlySet<string> = new Set(['__proto__', '__prismaRawParameters__', 'constructor'])

/**
 * The text that Prisma stores of some Json, or `undefined` where that would differ from the value
 * given: a bigint or NaN is changed, and an instance of a class loses its class. A Date makes JSON of
 * itself, as does anything else with a `toJSON`.
 */
export function jsonText(value: unknown, isInList = false): string | undefined {
  try {
    if (typeof value === 'number' && !isPlainNumber(value)) return undefined
    return JSON.stringify(copyOf(value, 0, isInList))
  } catch (error) {
    if (error === NOT_JSON) return undefined
    throw error // of a getter, or of a `toJSON`
  }
}

const NOT_JSON = new Error('This is no JSON.')

/** Each value is read once, so that what was checked is what is sent. */
function copyOf(value: unknown, depth: number, isInList: boolean): unknown {
  switch (typeof value) {
    case 'boolean':
      return value
    case 'string':
      if (isStorableText(value)) return value
      break
    case 'number':
      if (isInList ? isPlainNumber(value) : Number.isFinite(value)) return value
      break
    case 'object':
      if (depth <= MOST_DEPTH) return value === null ? null : copyOfObject(value, depth + 1, isInList)
  }
  throw NOT_JSON
}

/** A number alone, or in a list of Json, the query compiler writes in a way of its own, and with 16 digits. */
function isPlainNumber(value: number): boolean {
  return Number.isSafeInteger(value) || (Number(value.toPrecision(15)) === value && !String(value).includes('e'))
}

function copyOfObject(value: object, depth: number, isInList: boolean): unknown {
  if (Array.isArray(value)) return Array.from(value, (item: unknown) => copyOf(item, depth, isInList))
  if ('toFixed' in value) throw NOT_JSON // a Decimal is now a number and now a text
  if (value instanceof Date && !/^\d/.test(String(value.toJSON()))) throw NOT_JSON // no moment, or a year of five digits
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    const own: unknown = value.toJSON()
    // Prisma takes this one as it is.
    if (typeof own === 'object' && own !== null && ('$type' in own || 'toJSON' in own)) throw NOT_JSON
    return copyOf(own, depth, isInList)
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) throw NOT_JSON
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined) continue
    if (SPECIAL_KEYS.has(key) || !isStorableText(key)) throw NOT_JSON
    copy[key] = copyOf(item, depth, isInList)
  }
  return copy
}
