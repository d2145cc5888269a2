import { InvalidArgumentError } from '../errors/index.js'
import { checkNames } from '../values/validation.js'

/** A part of a lock key. `1` and `'1'` are different parts; `1` and `1n` are the same. */
export type LockKeyPart = string | number | bigint | boolean

/** A string, or parts that together name one thing: `['stock', sku]`. */
export type LockKey = LockKeyPart | readonly LockKeyPart[]

/** One key, or several, taken together in one order. */
export type LockKeys = LockKey | { readonly keys: readonly LockKey[] }

/**
 * The texts whose `hashtextextended(text, 0)` are the numbers of the locks: each key's parts as a
 * compact JSON array. Sorted, and none of them twice.
 */
export function encodeKeys(keys: unknown): string[] {
  const list = isKeyList(keys) ? keys.keys : [keys]
  const path = (index: number) => (isKeyList(keys) ? `keys[${index}]` : 'key')
  if (isKeyList(keys)) checkNames(keys, ['keys'])
  if (list.length === 0) throw new InvalidArgumentError('keys', 'must name at least one key.')
  return [...new Set(Array.from(list, (key, index) => encodeKey(key, path(index))))].sort()
}

function isKeyList(keys: unknown): keys is { readonly keys: readonly unknown[] } {
  return typeof keys === 'object' && keys !== null && 'keys' in keys && Array.isArray(keys.keys)
}

function encodeKey(key: unknown, path: string): string {
  const parts: readonly unknown[] = Array.isArray(key) ? key : [key]
  if (parts.length === 0) throw new InvalidArgumentError(path, 'must have at least one part.')
  // Array.from and not map, which passes over the holes of a sparse array.
  return `[${Array.from(parts, (part, index) => encodePart(part, Array.isArray(key) ? `${path}[${index}]` : path)).join(',')}]`
}

function encodePart(part: unknown, path: string): string {
  const isPart =
    typeof part === 'string' ||
    typeof part === 'bigint' ||
    typeof part === 'boolean' ||
    (typeof part === 'number' && Number.isFinite(part))
  if (!isPart) {
    throw new InvalidArgumentError(
      path,
      'must be a string, a finite number, a bigint or a boolean, so that it names the same lock everywhere.',
    )
  }
  return typeof part === 'bigint' ? String(part) : JSON.stringify(part)
}
