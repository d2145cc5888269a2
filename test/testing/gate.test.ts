import { expect, test } from 'vitest'
import { gate } from '../../src/testing.js'

test('calls wait at a gate until it is opened, and those that come later do not', async () => {
  const door = gate()
  const passed: string[] = []
  const early = door.wait().then(() => passed.push('early'))
  await Promise.resolve()
  const before = [...passed]
  door.open()
  await early
  await door.wait()

  expect(before).toEqual([])
  expect(passed).toEqual(['early'])
})

test('a gate counts arrivals, and tells when there are so many', async () => {
  const door = gate()
  const both = door.arrived(2).then(() => door.arrivals)
  void door.wait()
  await door.arrived()
  void door.wait()

  expect(await both).toBe(2)
})
