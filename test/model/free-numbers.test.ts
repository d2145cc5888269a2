import { expect, test } from 'vitest'
import { explore } from './explore.js'
import { freeNumbers, type Protocol } from './free-numbers.js'

test.each([2, 3])(
  'used, free and void numbers are 1 to the last one at every interleaving of %i takers and a closer, with kills',
  (takers) => {
    const { states, found } = explore(freeNumbers({ takers }))

    expect(found).toBeUndefined()
    expect(states).toBeGreaterThan(500)
  },
)

test.each<[string, Protocol, string]>([
  ['take a number that another one has', { skipsLocked: false }, 'two have the same number'],
  ['open a block without a second look', { looksAgain: false }, 'without need'],
  ['open a block without the lock of the counter', { locksCounter: false }, 'opened twice'],
  ['write the counter first, and then the numbers', { opensAtOnce: false }, 'not 1 to the last number'],
  ['void a number that somebody has', { closerWaits: false }, 'a void number is given'],
])('the model finds what is wrong with callers that %s', (_, protocol, violation) => {
  expect(explore(freeNumbers(protocol)).found?.violation).toContain(violation)
})
