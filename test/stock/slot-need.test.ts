import { describe, expect, test } from 'vitest'
import { SlotNeed } from '../../src/stock/slot-need.js'
import { fakeClock } from '../support/fake-clock.js'

const WAITING = { took: 10, waited: 4, change: -1n, left: 1_000n }
const FREE = { took: 10, waited: 2, change: -1n, left: 1_000n }

describe('the number of slots that an item needs', () => {
  const { clock, pass } = fakeClock()
  const needOf = (count: number, bounds = { least: 1, most: 32 }) => new SlotNeed(bounds, count, clock)
  /** So many statements, 60 ms apart. Gives back what was wanted last. */
  const visits = (need: SlotNeed, count: number, visit: Parameters<SlotNeed['visited']>[0], apart = 60) => {
    const wanted = Array.from({ length: count }, () => {
      pass(apart)
      return need.visited(visit)
    })
    return wanted.findLast((each) => each)
  }
  /** The answers to so many reads of the same number of slots, of which so many were used each time. */
  const reads = (need: SlotNeed, times: number, count: number, used: number) =>
    Array.from({ length: times }, (_, time) =>
      need.read(Array.from({ length: count }, (_, slot) => (slot < used ? `${time % 2}` : '9'))),
    )

  test('doubles once most of twenty statements of a second wait for more than a quarter of their time', () => {
    expect(visits(needOf(4), 19, WAITING)).toBeUndefined()
    expect(visits(needOf(4), 20, WAITING)).toEqual({ before: 4, count: 8, why: 'waiting' })
    expect(visits(needOf(4), 20, WAITING, 10)).toBeUndefined() // in 0.2 s
    expect(visits(needOf(4), 200, WAITING, 10)).toMatchObject({ count: 8 })
    expect(visits(needOf(4), 60, FREE)).toBeUndefined()
    expect(visits(needOf(4), 60, WAITING, 1_000)).toBeUndefined() // now and then
  })

  test('is not doubled by some that wait very long', () => {
    const need = needOf(1)

    visits(need, 8, { ...WAITING, took: 5_000, waited: 5_000 })

    expect(visits(need, 12, FREE)).toBeUndefined()
  })

  test('is not doubled where another slot would soon have nothing', () => {
    expect(visits(needOf(1), 20, { ...WAITING, change: -10n, left: 159n })).toBeUndefined()
    expect(visits(needOf(1), 20, { ...WAITING, change: -10n, left: 160n })).toMatchObject({ count: 2 })
    expect(visits(needOf(1), 20, { ...WAITING, change: 10n, left: 1n })).toMatchObject({ count: 2 })
  })

  test('is not doubled by what was waited for beside a transaction of a caller', () => {
    const need = needOf(1)

    for (let second = 0; second < 5; second++) {
      expect(visits(need, 19, WAITING)).toBeUndefined()
      need.disturbed()
    }
  })

  test('stays within its bounds, and comes back to them', () => {
    expect(visits(needOf(20), 20, WAITING)).toEqual({ before: 20, count: 32, why: 'waiting' })
    expect(visits(needOf(32), 20, WAITING)).toBeUndefined()
    expect(needOf(1, { least: 4, most: 8 }).read(['9'])).toEqual({ before: 1, count: 4, why: 'bounds' })
    expect(needOf(9, { least: 4, most: 8 }).read(Array(9).fill('1'))).toEqual({ before: 9, count: 8, why: 'bounds' })
    expect(needOf(0, { least: 4, most: 8 }).read([])).toBeUndefined() // there is no such item
  })

  test('halves once ten calls have borrowed, if those are most', () => {
    const borrow = (need: SlotNeed, times: number, statements: number) => {
      visits(need, statements, FREE, 1)
      return Array.from({ length: times }, () => need.borrowed()).findLast((each) => each)
    }

    expect(borrow(needOf(8), 9, 9)).toBeUndefined()
    expect(borrow(needOf(9), 10, 10)).toEqual({ before: 9, count: 4, why: 'borrowing' })
    expect(borrow(needOf(8), 10, 19)).toMatchObject({ count: 4 })
    expect(borrow(needOf(8), 10, 20)).toBeUndefined()
    expect(borrow(needOf(1), 10, 10)).toBeUndefined()
    expect(borrow(needOf(8, { least: 6, most: 8 }), 10, 10)).toMatchObject({ count: 6 })
  })

  test('halves after six reads that find fewer than a quarter of the slots used, or one', () => {
    expect(reads(needOf(16), 6, 16, 3)).toEqual(Array(6).fill(undefined))
    expect(reads(needOf(16), 7, 16, 3).at(-1)).toEqual({ before: 16, count: 8, why: 'unused' })
    expect(reads(needOf(16), 20, 16, 4)).toEqual(Array(20).fill(undefined))
    expect(reads(needOf(2), 7, 2, 1).at(-1)).toEqual({ before: 2, count: 1, why: 'unused' })
    expect(reads(needOf(1), 20, 1, 1)).toEqual(Array(20).fill(undefined))
  })

  test('takes twice as many reads each time that a lower number was followed by a higher one', () => {
    const need = needOf(16)
    need.found(8)
    need.found(16)

    expect(reads(need, 12, 16, 1)).toEqual(Array(12).fill(undefined))
    expect(reads(need, 1, 16, 0).at(-1)).toMatchObject({ why: 'unused' })
  })

  test('is not doubled for ten seconds after it was halved', () => {
    const need = needOf(8)
    need.found(4)

    expect(visits(need, 100, WAITING)).toBeUndefined()
    pass(4_000)
    expect(visits(need, 20, WAITING)).toMatchObject({ before: 4, count: 8 })
  })

  test('rests after a change that has failed, longer each time, and lets the next one wait longer for a row', () => {
    const need = needOf(1)
    const wishes = () => visits(need, 20, WAITING) !== undefined
    const first = need.lockTimeout

    need.failed()
    expect(wishes()).toBe(true)
    need.failed()
    expect([wishes(), wishes()]).toEqual([false, true])
    need.failed()
    expect([wishes(), wishes(), wishes(), wishes()]).toEqual([false, false, false, true])
    for (let i = 0; i < 30; i++) need.failed()
    pass(600_000)

    expect(wishes()).toBe(true)
    expect([first, need.lockTimeout]).toEqual([80, 500])
  })
})
