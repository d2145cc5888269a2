import { expect, test } from 'vitest'
import { explore } from './explore.js'
import { type Protocol, stepsModel } from './steps.js'

test.each([2, 3])('each step takes effect once, or is undone once, at every interleaving of %i runners', (runners) => {
  const { states, found } = explore(stepsModel({ runners }))

  expect(found).toBeUndefined()
  expect(states).toBeGreaterThan(400)
})

test.each<[string, Protocol, string]>([
  ['does not look at the locked row', { looksUnderLock: false }, 'taken effect twice'],
  ['does not note that a call begins', { notesBegin: false }, 'made and not undone'],
  ['is refused without a look at the steps', { guardsEnd: false }, 'made and not undone'],
  ['overwrites an answer', { keepsFirst: false }, 'answer'],
  ['does not look whether a step is undone', { marksUndone: false }, 'undone twice'],
])('the model finds what is wrong with an operation that %s', (_, protocol, violation) => {
  expect(explore(stepsModel(protocol)).found?.violation).toContain(violation)
})
