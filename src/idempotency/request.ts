import { InvalidArgumentError } from '../errors/index.js'
import { isDecimal } from '../values/canonical.js'
import { Walk } from './walk.js'

/**
 * A request as data that can be compared with that of a duplicate: a Map, a FormData and the like
 * become arrays of their entries. A value without visible content, such as a Promise or a function,
 * is refused: any two of them would be equal.
 *
 * @throws InvalidArgumentError that names the part of the request
 */
export function comparable(request: unknown): unknown {
  return comparablePart(request, 'request', new Walk(refused))
}

function comparablePart(value: unknown, path: string, walk: Walk): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') throw refused(path, `is a ${typeof value}`)
  if (typeof value !== 'object' || value === null) return value
  return walk.into(value, path, () => comparableObject(value, path, walk))
}

function comparableObject(value: object, path: string, walk: Walk): unknown {
  if (value instanceof Date || ArrayBuffer.isView(value) || isDecimal(value)) return value
  const items = itemsOf(value, path)
  if (items) return items.map((item, index) => comparablePart(item, `${path}[${index}]`, walk))
  const entries = Object.entries(value)
  const isEmptyBox = entries.length === 0 && Object.prototype.toString.call(value) !== '[object Object]'
  if (isEmptyBox) throw refused(path, `is a ${value.constructor?.name || 'value'}, whose content cannot be seen`)
  return Object.fromEntries(entries.map(([key, item]) => [key, comparablePart(item, `${path}.${key}`, walk)]))
}

/** The items of an array, or of what can be gone through more than once. */
function itemsOf(value: object, path: string): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value
  if (!isIterable(value)) return undefined
  const iterator: unknown = value[Symbol.iterator]()
  if (iterator === value) throw refused(path, 'is an iterator, which can be read only once')
  return Array.from(value)
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value
}

function refused(path: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(path, `${what}, so it cannot be compared with that of a duplicate. Give plain data.`)
}
