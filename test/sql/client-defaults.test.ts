import { describe, expect, test, vi } from 'vitest'
import type { Expression } from '../../src/engine/data-model.js'
import { clientDefault } from '../../src/sql/client-defaults.js'

const call = (name: string, text?: string): Expression => ({
  kind: 'call',
  name,
  args: text === undefined ? [] : [{ name: undefined, value: { kind: 'number', text } }],
})
const UUID = (version: number) =>
  new RegExp(`^[0-9a-f]{8}-[0-9a-f]{4}-${version}[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

/** The forms that Prisma's client 7 makes. */
const FORMS: readonly [Expression, RegExp][] = [
  [call('uuid'), UUID(4)],
  [call('uuid', '4'), UUID(4)],
  [call('uuid', '7'), UUID(7)],
  [call('cuid'), /^c[0-9a-z]{24}$/],
  [call('cuid', '1'), /^c[0-9a-z]{24}$/],
  [call('cuid', '2'), /^[a-z][0-9a-z]{23}$/],
  [call('nanoid'), /^[\w-]{21}$/],
  [call('nanoid', '10'), /^[\w-]{10}$/],
  [call('ulid'), /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/],
]

describe('a default that Prisma’s client makes', () => {
  test.each(FORMS)('%j has its form, and none comes twice', (expression, form) => {
    const make = clientDefault(expression)
    const values = Array.from({ length: 1_000 }, () => make?.())
    for (const value of values) expect(value).toMatch(form)
    expect(new Set(values).size).toBe(values.length)
  })

  test.each([call('uuid', '7'), call('cuid'), call('ulid')])('%j is in the order of time', (expression) => {
    const make = clientDefault(expression)
    const clock = vi.spyOn(Date, 'now')
    const moments = [1, 1e12, 1e12 + 1, 1.7e12, 2e12]
    const values = moments.map((moment) => {
      clock.mockReturnValue(moment)
      return make?.()
    })
    clock.mockRestore()
    expect(values.toSorted()).toEqual(values)
  })

  test('any other is not made here', () => {
    for (const other of [call('now'), call('cuid', '3'), call('uuid', '1'), { kind: 'text', text: 'x' } as const]) {
      expect(clientDefault(other)).toBeUndefined()
    }
  })
})
