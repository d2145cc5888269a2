import { expect, test } from 'vitest'
import { explore } from './explore.js'
import { deliveries, type Protocol } from './outbox.js'

test.each([2, 3])(
  'each delivery that fails or is lost is counted once, at every interleaving of %i relays',
  (relays) => {
    const { states, found } = explore(deliveries({ relays }))

    expect(found).toBeUndefined()
    expect(states).toBeGreaterThan(1_000)
  },
)

test.each<[string, Protocol, string]>([
  ['does not count what was lost', { countsLost: false }, 'more often'],
  ['takes a note for a lost delivery', { knowsWriter: false }, 'never begun'],
  ['takes its own lock for that of another one', { knowsItself: false }, 'never begun'],
  ['notes a failure afterwards that another one has counted', { looksAtCount: false }, 'counted twice'],
])('the model finds what is wrong with a relay that %s', (_, protocol, violation) => {
  expect(explore(deliveries(protocol)).found?.violation).toContain(violation)
})
