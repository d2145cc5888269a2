import { expect, test } from 'vitest'
import { explore } from './explore.js'
import { lostCommit, type Protocol } from './lost-commit.js'

test('a transaction whose COMMIT is lost is right at every interleaving of two callers, two faults and a failover', () => {
  const { states, found } = explore(lostCommit())

  expect(found).toBeUndefined()
  expect(states).toBeGreaterThan(1_000)
})

test.each<[string, Protocol, string]>([
  ['told as a success', { afterLoss: 'say done' }, 'can be lost'],
  ['run again blindly', { afterLoss: 'run again' }, 'is committed twice'],
  ['told as a success because the server says that it is committed', { confirms: false }, 'can be lost'],
  ['confirmed by whatever server answers', { comparesServers: false }, 'can be lost'],
])('the model finds what is wrong with a lost COMMIT that is %s', (_, protocol, violation) => {
  expect(explore(lostCommit({ ...protocol, callers: 1 })).found?.violation).toContain(violation)
})

test('the model finds the shortest way to a success that is lost: the backend that waits for the standby is ended', () => {
  const { found } = explore(lostCommit({ confirms: false, callers: 1 }))

  expect(found?.trace).toEqual([
    '0 sends COMMIT',
    '0 COMMIT is in the log',
    '0 is ended in its wait',
    '0 is told "committed"',
  ])
})
