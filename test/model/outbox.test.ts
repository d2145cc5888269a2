import { expect, test } from 'vitest'
import { explore } from './explore.js'
import { deliveries, type Protocol } from './outbox.js'

test.each([
  ['2 relays, one of which may give it back', { relays: 2 }],
  ['3 relays', { relays: 3, mostGivenBack: 0 }],
] as const)('each delivery that fails or is lost is counted once, at every interleaving of %s', (_, protocol) => {
  const { states, found } = explore(deliveries(protocol))

  expect(found).toBeUndefined()
  expect(states).toBeGreaterThan(1_000)
})

test.each<[string, Protocol, string]>([
  ['does not count what was lost', { countsLost: false }, 'more often'],
  ['takes a note for a lost delivery', { knowsWriter: false }, 'never begun'],
  ['takes its own lock for that of another one', { knowsItself: false }, 'never begun'],
  ['notes a failure afterwards that another one has counted', { looksAtCount: false }, 'counted twice'],
  ['gives a message back by a rollback', { givesBackByWrite: false }, 'never begun'],
])('the model finds what is wrong with a relay that %s', (_, protocol, violation) => {
  expect(explore(deliveries(protocol)).found?.violation).toContain(violation)
})
