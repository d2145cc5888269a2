import { InvalidArgumentError } from '../errors/index.js'
import { isDecimal } from '../values/canonical.js'
import { DEEPEST } from '../values/snapshot.js'

/**
 * A request as data that can be compared with that of a duplicate: a Map, a FormData and the like
 * become arrays of their entries. What has no content that can be seen, such as a Promise or a
 * function, is refused: to the comparison any two of them would be the same.
 *
 * @throws InvalidArgumentError that names the part of the request
 */
export function comparable(request: unknown): unknown {
  return comparablePart(request, 'request', new Set())
}

function comparablePart(value: unknown, path: string, parents: Set<object>): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') throw refused(path, `is a ${typeof value}`)
  if (typeof value !== 'object' || value === null) return value
  try {
    return comparableObject(value, path, parents)
  } catch (error) {
    // What else is thrown comes from the request itself: a getter of its own, or a Proxy.
    throw error instanceof InvalidArgumentError ? error : refused(path, 'cannot be read')
  }
}

function comparableObject(value: object, path: string, parents: Set<object>): unknown {
  if (isLeaf(value)) return value
  if (parents.has(value)) throw refused(path, 'contains itself')
  if (parents.size >= DEEPEST) throw refused(path, `is nested deeper than ${DEEPEST} levels`)
  parents.add(value)
  try {
    const items = itemsOf(value, path)
    if (items) return items.map((item, index) => comparablePart(item, `${path}[${index}]`, parents))
    const entries = Object.entries(value)
    const isEmptyBox = entries.length === 0 && Object.prototype.toString.call(value) !== '[object Object]'
    if (isEmptyBox) throw refused(path, `is a ${value.constructor?.name || 'value'}, whose content cannot be seen`)
    return Object.fromEntries(entries.map(([key, item]) => [key, comparablePart(item, `${path}.${key}`, parents)]))
  } finally {
    parents.delete(value)
  }
}

function isLeaf(value: object): boolean {
  return value instanceof Date || ArrayBuffer.isView(value) || isDecimal(value)
}

/** The items of an array, or of what can be gone through more than once. */
function itemsOf(value: object, path: string): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value
  if (!(Symbol.iterator in value)) return undefined
  const iterable = value as Iterable<unknown>
  const isUsedUp = (iterable[Symbol.iterator]() as unknown) === value
  if (isUsedUp) throw refused(path, 'is an iterator, which can be read only once')
  return Array.from(iterable)
}

function refused(path: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(path, `${what}, so it cannot be compared with that of a duplicate. Give plain data.`)
}
