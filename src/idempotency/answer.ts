import { InvalidArgumentError } from '../errors/index.js'
import { hex, isDecimal } from '../values/canonical.js'
import { DEEPEST } from '../values/snapshot.js'

/*
 * An answer is kept as JSON text, and must come back as it went. What JSON has no form for is
 * written as {"$": [type, text]}; what has no form here either is refused when it is stored.
 */

/** How a record with computed fields is printed: Prisma puts it there, and it is no part of the data. */
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** How to make a Decimal again: Prisma's class, which this package does not import. */
export type MakeDecimal = (text: string) => unknown

/** @throws InvalidArgumentError that names the part of the answer that could not come back as it is */
export function encodeAnswer(answer: unknown): string {
  return JSON.stringify(encode(answer, 'result', new Set()))
}

export function decodeAnswer(text: string, makeDecimal: MakeDecimal): unknown {
  return decode(JSON.parse(text), makeDecimal)
}

/** Whether there is a Decimal in the text of an answer. */
export function hasDecimal(text: string): boolean {
  return text.includes('{"$":["decimal",')
}

function encode(value: unknown, path: string, parents: Set<object>): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'undefined':
      return { $: ['undefined'] }
    case 'bigint':
      return { $: ['bigint', String(value)] }
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $: ['number', Object.is(value, -0) ? '-0' : String(value)] }
    case 'object':
      return value === null ? null : encodeObject(value, path, parents)
    default:
      throw refused(path, `is a ${typeof value}`)
  }
}

/** What is thrown meanwhile comes from the answer itself: a getter of its own, or a Proxy. */
function encodeObject(value: object, path: string, parents: Set<object>): unknown {
  try {
    return encodeReadable(value, path, parents)
  } catch (error) {
    throw error instanceof InvalidArgumentError ? error : refused(path, 'cannot be read')
  }
}

function encodeReadable(value: object, path: string, parents: Set<object>): unknown {
  const prototype = Object.getPrototypeOf(value)
  // A Proxy has the prototype, and none of what the methods of these types work on.
  if (isHollow(value, prototype)) throw refused(path, 'is a Proxy')
  if (prototype === Date.prototype) {
    const date = value as Date
    return { $: ['date', Number.isNaN(date.getTime()) ? 'NaN' : date.toISOString()] }
  }
  if (prototype === Uint8Array.prototype) return { $: ['bytes', hex(value as Uint8Array)] }
  if (parents.has(value)) throw refused(path, 'contains itself')
  if (parents.size >= DEEPEST) throw refused(path, `is nested deeper than ${DEEPEST} levels`)
  const isPlain = prototype === Object.prototype || prototype === null
  if (!isPlain && isDecimal(value)) return encodeDecimal(value, path)
  parents.add(value)
  try {
    if (Array.isArray(value) && prototype === Array.prototype) return encodeArray(value, path, parents)
    if (!isPlain) throw refused(path, `is a ${value.constructor?.name || 'class instance'}`)
    if (Object.getOwnPropertySymbols(value).some((key) => key !== INSPECT)) throw refused(path, 'has a symbol as a key')
    const entries = Object.keys(value).map((key) => {
      const part = `${path}.${key}`
      return [key, encode(read(value, key, part), part, parents)] as const
    })
    const object = Object.fromEntries(entries)
    return Object.hasOwn(value, '$') ? { $: ['object', object] } : object
  } finally {
    parents.delete(value)
  }
}

function read(value: object, key: string, path: string): unknown {
  try {
    return (value as Readonly<Record<string, unknown>>)[key]
  } catch {
    throw refused(path, 'cannot be read')
  }
}

/** Whatever has the methods of a Decimal, it comes back only if its text is that of a number. */
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

function encodeArray(value: readonly unknown[], path: string, parents: Set<object>): unknown {
  const keys = Object.keys(value)
  if (keys.length !== value.length || keys.some((key, index) => key !== String(index))) {
    throw refused(path, 'is an array with holes, or with more than items')
  }
  return value.map((item, index) => encode(item, `${path}[${index}]`, parents))
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
  if ('$' in value && Array.isArray(value.$)) return decodeTagged(value.$ as [string, unknown?], makeDecimal)
  return decodeEntries(value, makeDecimal)
}

function decodeTagged([type, content]: [string, unknown?], makeDecimal: MakeDecimal): unknown {
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
      return decodeEntries(content as object, makeDecimal)
  }
}

function decodeEntries(value: object, makeDecimal: MakeDecimal): unknown {
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, decode(item, makeDecimal)]))
}
