import { InvalidArgumentError } from '../errors/index.js'
import { isDecimal } from './canonical.js'

/** Deeper than any data that somebody means, and far from where a recursion ends the stack. */
export const DEEPEST = 1_000

/** Makes the error for a part that cannot be taken. */
type Fail = (path: string, message: string, options?: ErrorOptions) => Error

const invalidArgument: Fail = (path, message, options) => new InvalidArgumentError(path, message, options)

/**
 * A copy of a caller's value. Every part of it is read once, and the caller may change its own objects
 * afterwards: the values that were checked are written.
 *
 * Plain objects, arrays, instances of classes, dates and bytes are copied, as Prisma itself copies
 * arguments. Anything else, such as a function, an AbortSignal or a Map, stays as it is.
 *
 * @param name the name of the whole
 * @param prefix the text before the names of its parts
 * @throws InvalidArgumentError that names a part which is a hole, contains itself, or cannot be read
 */
export function snapshot<T>(value: T, name: string, prefix = '', fail = invalidArgument): T {
  if (typeof value !== 'object' || value === null) return value
  const copier = new Copier()
  try {
    return copier.copy(value) as T
  } catch (error) {
    const path = copier.path(prefix) || name
    // Any other error comes from the caller's own getters.
    throw error instanceof Refusal
      ? fail(path, error.message)
      : fail(path, `cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

/** A copy of the one object that holds all arguments of a call. */
export function argumentsOf<T>(args: T): T {
  return snapshot(args, 'arguments')
}

class Refusal extends Error {}

class Copier {
  /** The way from the whole to the part that is copied now; after an error, to the part that failed. */
  readonly #keys: (string | number)[] = []
  readonly #parents: object[] = []

  path(prefix: string): string {
    let path = prefix
    for (const key of this.#keys) path += typeof key === 'number' ? `[${key}]` : path === '' ? key : `.${key}`
    return path
  }

  copy(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value
    if (this.#parents.includes(value)) throw new Refusal('contains itself.')
    if (this.#parents.length >= DEEPEST) throw new Refusal(`is nested deeper than ${DEEPEST} levels.`)
    this.#parents.push(value)
    const copy = this.#copyObject(value)
    this.#parents.pop()
    return copy
  }

  #copyObject(value: object): unknown {
    if (Array.isArray(value)) return this.#copyArray(value)
    if (isConvertible(value)) return this.copy(value.toJSON())
    if (isPlain(value) && !isNamespace(value))
      return isDecimal(value) ? copyOfLookAlike(value) : this.#copyRecord(value)
    if (ArrayBuffer.isView(value)) return bytesOf(value)
    switch (Object.prototype.toString.call(value)) {
      case '[object Date]':
        return new Date(Date.prototype.getTime.call(value))
      case '[object Object]':
        return isPrismaValue(value) || Symbol.iterator in value ? value : this.#copyRecord(value)
      default:
        return value
    }
  }

  #copyArray(value: readonly unknown[]): unknown[] {
    const { length } = value
    const copy: unknown[] = []
    for (let index = 0; index < length; index++) {
      this.#keys.push(index)
      if (!(index in value)) throw new Refusal('is a hole in an array.')
      copy.push(this.copy(value[index]))
      this.#keys.pop()
    }
    return copy
  }

  /** Inherited entries too, which Prisma would write; the methods of a class are none. */
  #copyRecord(value: object): object {
    const copy: Record<string, unknown> = {}
    for (const name in value) {
      this.#keys.push(name)
      const item = this.copy((value as Readonly<Record<string, unknown>>)[name])
      // An assignment to this name would change the prototype of the copy.
      if (name === '__proto__') Object.defineProperty(copy, name, { value: item, enumerable: true })
      else copy[name] = item
      this.#keys.pop()
    }
    return copy
  }
}

/**
 * A plain object that Prisma takes for a Decimal. It stays one: as a text it would do where a text is wanted.
 * Prisma's clients do not agree on what a text is worth that is no number.
 */
function copyOfLookAlike(value: { toFixed(): unknown }): object {
  const text = value.toFixed()
  if (typeof text !== 'string' || !DECIMAL.test(text)) throw new Refusal('is no Decimal, but looks like one.')
  return { ...value, toFixed: () => text }
}

const DECIMAL = /^-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Infinity|NaN)$/

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  // The second is `Object.prototype`, also that of another realm.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Such as `Math`: a copy would pass for an empty object. */
function isNamespace(value: object): boolean {
  return Symbol.toStringTag in value && !hasEntries(value)
}

/**
 * A value that Prisma knows by its class, so that a copy would be something else: a Decimal, a reference to a
 * field, such as `db.product.fields.stock`, and what has no entries: `Prisma.DbNull`, `Prisma.skip`.
 */
function isPrismaValue(value: object): boolean {
  const isFieldReference = 'modelName' in value && 'typeName' in value && 'isList' in value
  return isDecimal(value) || isFieldReference || !hasEntries(value)
}

/** Inherited ones, too. */
function hasEntries(value: object): boolean {
  for (const _ in value) return true
  return false
}

/** Values with a JSON form of their own, except those that Prisma takes as they are. */
function isConvertible(value: object): value is { toJSON(): unknown } {
  if (!('toJSON' in value) || typeof value.toJSON !== 'function') return false
  return !(ArrayBuffer.isView(value) || isDecimal(value) || Object.prototype.toString.call(value) === '[object Date]')
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return Uint8Array.from(new Uint8Array(view.buffer, view.byteOffset, view.byteLength))
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : typeof error
}
