import { expect, test } from 'vitest'
import { explore } from './explore.js'
import { lease, type Protocol } from './lease.js'

test.each([2, 3])('no holder of a lease writes after its successor, at every interleaving of %i holders', (holders) => {
  const { states, found } = explore(lease({ holders }))

  expect(found).toBeUndefined()
  expect(states).toBeGreaterThan(1_000)
})

test.each<[string, Protocol, string]>([
  ['has no fence', { isFenced: false }, 'after its successor'],
  ['gives the same token to the next holder', { renewsToken: false }, 'under one token'],
  ['counts from the answer', { countsFrom: 'answer' }, 'two believe'],
  ['is taken before its end', { looksAtEnd: false }, 'two believe'],
])('the model finds what is wrong with a lease that %s', (_, protocol, violation) => {
  expect(explore(lease(protocol)).found?.violation).toContain(violation)
})

test('only the fence catches a holder that is paused between its look at the clock and its write', () => {
  const { found } = explore(lease({ isFenced: false }))

  expect(found?.trace.slice(3)).toEqual([
    '0 finds that it has the lease',
    'time passes',
    '1 asks',
    'time passes',
    '1 is granted',
    '1 is told',
    '1 finds that it has the lease',
    '1 writes',
    '0 writes',
  ])
})
