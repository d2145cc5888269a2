import { expect, test } from 'vitest'
import { SingleFlight } from '../../src/sync/single-flight.js'
import { rejectionOf } from '../support/rejection.js'

test('callers of one key share a run while it is under way, and those of another key do not', async () => {
  const flights = new SingleFlight<string>()
  const runs: string[] = []
  const run = (key: string) =>
    flights.join(key, async () => {
      runs.push(key)
      return key
    })
  const [one, other, same] = [run('a'), run('b'), run('a')]

  expect(same).toBe(one)
  expect(await Promise.all([one.done, other.done])).toEqual(['a', 'b'])
  await run('a').done
  expect(runs).toEqual(['a', 'b', 'a'])
})

test('a run that fails is told to all who wait for it, and the next caller begins another', async () => {
  const flights = new SingleFlight<string>()
  const failed = new Error('no answer')
  const { done } = flights.join('a', () => Promise.reject(failed))

  expect(await rejectionOf(done)).toBe(failed)
  expect(await flights.join('a', async () => 'an answer').done).toBe('an answer')
})
