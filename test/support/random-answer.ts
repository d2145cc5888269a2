import { Decimal } from '@prisma/client/runtime/client'

export type Random = () => number

/** A source of chance that gives the same numbers for the same seed (mulberry32). */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Any data that an operation may answer with, nested up to a depth. */
export function randomAnswer(random: Random, depth = 4): unknown {
  const upTo = (count: number) => Math.floor(random() * count)
  const one = <T>(...items: readonly T[]) => items[upTo(items.length)] as T
  const list = <T>(make: () => T) => Array.from({ length: upTo(5) }, make)
  const text = () => list(() => one('$', 'a', '"', '\\', '\0', '{', '😀', '\ud83d', '\u2028', 'é', ' ', ':[')).join('')
  const leaf = () =>
    one<() => unknown>(
      () => undefined,
      () => null,
      () => random() < 0.5,
      text,
      () => one(0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.1, 1e300),
      () => (random() - 0.5) * 10 ** upTo(40),
      () => BigInt(Math.floor(random() * 2 ** 52)) * (random() < 0.5 ? -1n : 2n ** 40n),
      () => new Date(Math.floor((random() - 0.5) * 8.64e15 * 2)),
      () => new Date(Number.NaN),
      () => Uint8Array.from(list(() => upTo(256))),
      () => new Decimal(random() - 0.5).times(new Decimal(10).pow(upTo(60) - 30)),
      () => new Decimal(one('0', '-0', 'NaN', 'Infinity')),
    )()
  if (depth === 0) return leaf()
  const inner = () => randomAnswer(random, depth - 1)
  const object = () => Object.fromEntries(list(() => [one('$', 'a', 'b', '', '__proto__', 'length', text()), inner()]))
  return one<() => unknown>(
    leaf,
    () => list(inner),
    object,
    () => ({ $: inner() }),
    () => ({ $: [one('date', 'undefined', 'object', 'decimal', 'x'), inner()] }),
  )()
}
