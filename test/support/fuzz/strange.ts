import type { Chance } from './chance.js'

class Instance {
  stock = 1
  #hidden = 2
  get amount() {
    return this.#hidden
  }
}

const deep = () => {
  let value: unknown = 1
  for (let level = 0; level < 5_000; level++) value = level % 2 ? [value] : { a: value }
  return value
}
const circle = () => {
  const value: Record<string, unknown> = { a: 1 }
  value.b = [value, value]
  return value
}
const throwing = () => ({
  get a(): never {
    throw new TypeError('a getter of the fuzz')
  },
})
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
const sparse = () => {
  const array: unknown[] = [1]
  array[3] = 2
  return array
}
const decimalLike = (text: unknown) => ({ d: [1], e: 0, s: 1, toFixed: () => text })

/** Values that somebody may give for any other value. Made anew each time, since some of them change. */
export const STRANGE: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  ...[Number.NaN, -0, 0, 1, -1, 1.5, 2 ** 31, 2 ** 53, Number.POSITIVE_INFINITY, 1e300].map((value) => () => value),
  ...[0n, -1n, 2n ** 31n, 2n ** 63n, 10n ** 40n].map((value) => () => value),
  ...[
    '',
    ' ',
    '0',
    '1',
    '0x10',
    'NaN',
    'a\0b',
    'a\ud800',
    '__proto__',
    'constructor',
    'toString',
    '2024-02-30T00:00:00Z',
  ].map((value) => () => value),
  () => 'x'.repeat(100_000),
  () => '\u{1f600}'.repeat(400),
  () => true,
  () => Symbol('fuzz'),
  () => () => 1,
  () => async () => ({}),
  () => new Date(0),
  () => new Date(Number.NaN),
  () => new Date(8.64e15),
  () => new Map([['a', 1]]),
  () => new Set([1]),
  () => [],
  () => [[]],
  () => [undefined],
  () => new Array(2),
  sparse,
  () => ({ length: 2, 0: 'a', 1: 'b' }),
  () => Promise.resolve({}),
  () => new Number(1),
  () => new String('x'),
  () => new Boolean(false),
  () => new Uint8Array([1, 2]),
  () => new ArrayBuffer(2),
  () => /x/,
  () => new Error('a value of the fuzz'),
  () => new Proxy({}, {}),
  () => new Proxy([1], {}),
  revoked,
  throwing,
  circle,
  deep,
  () => ({}),
  () => Object.create(null),
  () => Object.freeze({ a: 1 }),
  () => Object.create({ stock: 3 }),
  () => new Instance(),
  () => decimalLike('7'),
  () => decimalLike('0x10'),
  () => decimalLike({}),
  () => ({ toJSON: () => 7 }),
  () => ({ toJSON: () => ({}) }),
  () => ({ set: 1 }),
  () => ({ set: undefined }),
  () => ({ increment: 1 }),
  () => ({ increment: '1' }),
  () => ({ increment: 1, decrement: 1 }),
  () => ({ connect: { id: 1 } }),
  () => JSON.parse('{ "__proto__": { "id": 1 } }'),
  () => ({ constructor: 1, hasOwnProperty: 1, toString: 1, valueOf: 1 }),
  () => ({ [Symbol('key')]: 1 }),
  () => new AbortController(),
  () => Object.create(AbortSignal.prototype),
  () => AbortSignal.abort(new Error('a signal of the fuzz')),
  () => [1].values(),
  () => new URL('https://example.com'),
  () => globalThis.Math,
]

const NAMES = [
  '__proto__',
  'constructor',
  'toString',
  'where',
  'data',
  'id',
  'version',
  'AND',
  'OR',
  'NOT',
  'fuzz',
  'select',
]

/** A place in the arguments: an object or an array, and the key of what stands there. */
interface Place {
  /** The keys that lead from the arguments to it. */
  readonly way: readonly string[]
  readonly parent: Record<PropertyKey, unknown>
  readonly key: string
}

/** Where something stands that is not strange yet. */
function placesIn(value: unknown, before: readonly string[] = []): Place[] {
  if (before.length > 5 || !isPlain(value)) return []
  const parent = value as Record<PropertyKey, unknown>
  return Object.entries(Object.getOwnPropertyDescriptors(parent)).flatMap(([key, { enumerable, value }]) =>
    enumerable ? [{ way: [...before, key], parent, key }, ...placesIn(value, [...before, key])] : [],
  )
}

function isPlain(value: unknown): boolean {
  try {
    if (typeof value !== 'object' || value === null || !Object.isExtensible(value)) return false
    return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype
  } catch {
    return false // a proxy that was revoked
  }
}

/** Changes one place of the arguments, sometimes two. Gives the names that lead there. */
export function distort(args: unknown[], chance: Chance): string[][] {
  const ways: string[][] = []
  for (let again = 0; again === 0 || (again < 3 && chance.next() < 0.2); again++) ways.push(distortOnce(args, chance))
  return ways
}

/** A copy of arguments that were not distorted yet. */
export function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf)
  if (!isPlain(value)) return value
  return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, copyOf(item)]))
}

function distortOnce(args: unknown[], chance: Chance): string[] {
  const { way, parent, key } = chance.pick(placesIn(args))
  const added = chance.pick(NAMES)
  // A getter is one that was put there before: its value stays unread.
  const before = Object.getOwnPropertyDescriptor(parent, key)?.value
  const set = (name: string, value: unknown) =>
    Reflect.defineProperty(parent, name, { value, enumerable: true, configurable: true, writable: true })
  const get = (read: () => unknown) =>
    Reflect.defineProperty(parent, key, { get: read, enumerable: true, configurable: true })
  switch (chance.below(10)) {
    case 0:
      if ((parent as unknown) === args) set(key, undefined)
      else Reflect.deleteProperty(parent, key)
      break
    case 1:
      if (!Array.isArray(parent)) {
        set(added, chance.pick(STRANGE)())
        return [...way.slice(0, -1), added]
      }
      set(key, [before])
      break
    case 2: {
      // A value that is right at the first look, and another one at each look after it.
      const other = chance.pick(STRANGE)()
      let looks = 0
      get(() => (looks++ === 0 ? before : other))
      break
    }
    case 3:
      set(key, typeof before === 'object' && before !== null ? new Proxy(before, {}) : Object(before))
      break
    default:
      set(key, chance.pick(STRANGE)())
  }
  return [...way]
}
