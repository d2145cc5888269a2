import { expect, test } from 'vitest'
import { explore } from './explore.js'
import { guardedWrite } from './guarded-write.js'

test('a guarded write is right at every interleaving of three callers, with two lost or late statements', () => {
  const { states, found } = explore(guardedWrite())

  expect(found).toBeUndefined()
  expect(states).toBeGreaterThan(1_000)
})

test('the model finds the shortest way to a lost update where the version is not in the WHERE', () => {
  const { found } = explore(guardedWrite({ isGuarded: false, faults: 0, callers: ['object', 'object'] }))

  expect(found?.violation).toContain('an update is lost')
  expect(found?.trace.toSorted()).toEqual([
    '0 is carried out by the server',
    '0 reads',
    '0 sends',
    '1 is carried out by the server',
    '1 reads',
    '1 sends',
  ])
})

test.each([
  ['told as a success', { afterLoss: 'success' }, 'is told that it is written, and is not'],
  ['followed by a new read', { afterLoss: 'read anew' }, 'is written twice'],
  ['followed by a conflict that is told as one', { lateConflict: 'stale' }, 'nothing was written, and it is'],
] as const)('the model finds what is wrong with a lost answer that is %s', (_, protocol, violation) => {
  expect(explore(guardedWrite(protocol)).found?.violation).toContain(violation)
})
