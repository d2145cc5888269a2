import { expect, test } from 'vitest'
import { Histogram, TopKeys } from '../../src/events/sketches.js'

test('the hottest of a million keys are found in a hundred places', () => {
  const keys = new TopKeys(100, () => ({ seen: 0 }))
  const hot = Array.from({ length: 5 }, (_, i) => `hot ${i}`)
  for (let i = 0; i < 1_000_000; i++) {
    keys.count(`cold ${i}`)
    // Each hot key is a fiftieth of all at least, and more than a hundredth is certain to be found.
    if (i % 10 === 0) for (const [at, key] of hot.entries()) if (i % (10 * (at + 1)) === 0) keys.count(key).seen++
  }
  expect(keys.size).toBe(100)
  const [first, second] = keys.top(2)
  expect([first?.key, second?.key]).toEqual(['hot 0', 'hot 1'])
  expect(first?.added.seen).toBeLessThanOrEqual(100_000)
  expect((first?.count ?? 0) - (first?.error ?? 0)).toBeLessThanOrEqual(100_000)
  expect(first?.count).toBeGreaterThanOrEqual(100_000)
})

test('a key that is in the list is counted exactly until there is no room', () => {
  const keys = new TopKeys(3, () => 0)
  for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) keys.count(key)
  expect(keys.top(2)).toMatchObject([
    { key: 'a', count: 3, error: 0 },
    { key: 'b', count: 2, error: 0 },
  ])
  keys.count('d')
  expect(keys.top(3).at(-1)).toMatchObject({ key: 'd', count: 2, error: 1 })
})

test('quantiles are off by a tenth at most', () => {
  const histogram = new Histogram()
  for (let value = 1; value <= 10_000; value++) histogram.add(value)
  const { count, total, p50, p90, p99, max } = histogram.read()
  expect([count, total, max]).toEqual([10_000, 50_005_000, 10_000])
  for (const [found, exact] of [
    [p50, 5_000],
    [p90, 9_000],
    [p99, 9_900],
  ] as const) {
    expect(Math.abs(found / exact - 1)).toBeLessThan(0.1)
  }
})

test('nothing has no quantiles, and no number is too large', () => {
  expect(new Histogram().read()).toEqual({ count: 0, total: 0, p50: 0, p90: 0, p99: 0, max: 0 })
  const histogram = new Histogram()
  histogram.add(1e12)
  expect(histogram.read()).toMatchObject({ max: 1e12, p50: 2 ** 24 })
})
