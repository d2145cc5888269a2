import { expect, test } from 'vitest'
import { explore } from './explore.js'
import { CALLS, type Protocol, stockBatch, WITH_RESTOCK } from './stock-batch.js'

test.each<[string, Protocol]>([
  ['four calls', { calls: CALLS, faults: 0 }],
  ['three calls, with a lost connection', { calls: CALLS.slice(0, 3), faults: 1 }],
  ['three calls, one of which brings stock, with a lost connection', { calls: WITH_RESTOCK, faults: 1 }],
  ['two calls, with two lost connections', { calls: CALLS.slice(0, 2), faults: 2 }],
])('the guarded statement of the stock is right at every interleaving of %s', (_, protocol) => {
  const { states, found } = explore(stockBatch(protocol))

  expect(found).toBeUndefined()
  expect(states).toBeGreaterThan(1_000)
})

test.each<[string, Protocol, string]>([
  ['decides by the balance of its snapshot', { balanceOf: 'snapshot' }, 'below the minimum'],
  ['looks for its id in its snapshot', { claimBy: 'snapshot', calls: sameItem(1) }, 'recorded twice'],
  ['claims in another transaction than it writes in', { isOneTransaction: false }, 'not the sum of the ledger'],
  [
    'says that it is refused after a lost answer',
    { lateRefusal: 'short', calls: WITH_RESTOCK },
    'nothing was moved, and it is',
  ],
  ['is refused without a look for its record', { looksAfterRefusal: false, faults: 0 }, 'is a replay'],
])('the model finds what is wrong with a statement that %s', (_, protocol, violation) => {
  const { found } = explore(stockBatch(protocol))

  expect(found?.violation).toContain(violation)
  expect(found?.trace.length).toBeLessThan(30)
})

/** Two calls under one id, for which there is plenty. */
function sameItem(quantity: number) {
  return [
    { id: 'a', item: 0, quantity },
    { id: 'a', item: 0, quantity },
  ]
}
