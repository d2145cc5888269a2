import { InvalidArgumentError } from '../errors/index.js'
import { hex, isDecimal } from '../values/canonical.js'
import { Walk } from './walk.js'

/*
 * An answer is kept as JSON text, and must come back as it went. A value that JSON has no form
 * for is written as {"$": [type, text]}; one without a form here either is refused when it is stored.
 */

/** How a record with computed fields is printed: Prisma puts it there, and it is no part of the data. */
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** How to make a Decimal again: Prisma's class, which this package does not import. */
export type MakeDecimal = (text: string) => unknown

/** @throws InvalidArgumentError that names the part of the answer that could not come back as it is */
export function encodeAnswer(answer: unknown): string {
  return JSON.stringify(encode(answer, 'result', new Walk(refused)))
}

export function decodeAnswer(text: string, makeDecimal: MakeDecimal): unknown {
  return decode(JSON.parse(text), makeDecimal)
}

/** Whether there is a Decimal in the text of an answer. */
export function hasDecimal(text: string): boolean {
  return text.includes('{"$":["decimal",')
}

function encode(value: unknown, path: string, walk: Walk): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'undefined':
      return { $: ['undefined'] }
    case 'bigint':
      return { $: ['bigint', String(value)] }
    case 'number':
      if (Object.is(value, -0)) return { $: ['number', '-0'] }
      return Number.isFinite(value) ? value : { $: ['number', String(value)] }
    case 'object':
      return value === null ? null : walk.into(value, path, () => encodeObject(value, path, walk))
    default:
      throw refused(path, `is a ${typeof value}`)
  }
}

function encodeObject(value: object, path: string, walk: Walk): unknown {
  const prototype: unknown = Object.getPrototypeOf(value)
  // A Proxy has the prototype, and none of what the methods of these types work on.
  if (isHollow(value, prototype)) throw refused(path, 'is a Proxy')
  if (value instanceof Date && prototype === Date.prototype) {
    return { $: ['date', Number.isNaN(value.getTime()) ? 'NaN' : value.toISOString()] }
  }
  if (value instanceof Uint8Array && prototype === Uint8Array.prototype) return { $: ['bytes', hex(value)] }
  if (Array.isArray(value) && prototype === Array.prototype) return encodeArray(value, path, walk)
  if (prototype === Object.prototype || prototype === null) return encodeEntries(value, path, walk)
  if (isDecimal(value)) return encodeDecimal(value, path)
  throw refused(path, `is a ${value.constructor?.name || 'class instance'}`)
}

function encodeEntries(value: object, path: string, walk: Walk): unknown {
  if (Object.getOwnPropertySymbols(value).some((key) => key !== INSPECT)) throw refused(path, 'has a symbol as a key')
  const entries: [string, unknown][] = []
  // Without a function of its own for each entry, which would need the stack for answers of a thousand levels.
  for (const key of Object.keys(value)) entries.push([key, encode(read(value, key, path), `${path}.${key}`, walk)])
  const object: unknown = Object.fromEntries(entries)
  return Object.hasOwn(value, '$') ? { $: ['object', object] } : object
}

function read(value: object, key: string, path: string): unknown {
  try {
    return Reflect.get(value, key)
  } catch {
    throw refused(`${path}.${key}`, 'cannot be read')
  }
}

/** An object with the methods of a Decimal comes back only if its text is that of a number. */
function encodeDecimal(value: object, path: string): unknown {
  const text = String(value.valueOf()) // of all its texts the one that tells -0 from 0
  if (!/^-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Infinity|NaN)$/.test(text))
    throw refused(path, 'is no Decimal, but looks like one')
  return { $: ['decimal', text] }
}

function isHollow(value: object, prototype: unknown): boolean {
  try {
    if (prototype === Date.prototype) Date.prototype.getTime.call(value)
    return prototype === Uint8Array.prototype && !ArrayBuffer.isView(value)
  } catch {
    return true
  }
}

function encodeArray(value: readonly unknown[], path: string, walk: Walk): unknown {
  const keys = Object.keys(value)
  if (keys.length !== value.length || keys.some((key, index) => key !== String(index))) {
    throw refused(path, 'is an array with holes, or with more than items')
  }
  return value.map((item, index) => encode(item, `${path}[${index}]`, walk))
}

function refused(path: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(
    path,
    `${what}, which could not come back as it is when the operation is replayed. Return plain data; nothing was written.`,
  )
}

function decode(value: unknown, makeDecimal: MakeDecimal): unknown {
  if (Array.isArray(value)) return value.map((item) => decode(item, makeDecimal))
  if (typeof value !== 'object' || value === null) return value
  if ('$' in value && Array.isArray(value.$)) return decodeTagged(value.$, makeDecimal)
  return decodeEntries(value, makeDecimal)
}

function decodeTagged([type, content]: readonly unknown[], makeDecimal: MakeDecimal): unknown {
  const text = String(content)
  switch (type) {
    case 'undefined':
      return undefined
    case 'bigint':
      return BigInt(text)
    case 'number':
      return Number(text)
    case 'date':
      return new Date(text)
    case 'decimal':
      return makeDecimal(text)
    case 'bytes':
      return Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
    default:
      return decodeEntries(Object(content), makeDecimal)
  }
}

function decodeEntries(value: object, makeDecimal: MakeDecimal): unknown {
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, decode(item, makeDecimal)]))
}
