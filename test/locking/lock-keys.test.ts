import { describe, expect, test } from 'vitest'
import type { LockKey, LockKeys } from '../../src/index.js'
import { encodeKeys } from '../../src/locking/key.js'
import { isFree, lockElsewhere } from '../support/advisory.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

const ENCODINGS: readonly (readonly [name: string, key: LockKey, text: string])[] = [
  ['a string', 'x', '["x"]'],
  ['an empty string', '', '[""]'],
  ['parts', ['stock', 'A-1'], '["stock","A-1"]'],
  ['parts of every kind', ['a', 1, 2n, true, false], '["a",1,2,true,false]'],
  ['a negative fraction', -1.5, '[-1.5]'],
  ['a bigint beyond the safe integers', 9_007_199_254_740_993n, '[9007199254740993]'],
  ['a comma', ['a,b'], '["a,b"]'],
  ['what looks like JSON', '","', '["\\",\\""]'],
  ['quotes, backslashes and SQL', `'"\\'); DROP TABLE "Note"; --`, `["'\\"\\\\'); DROP TABLE \\"Note\\"; --"]`],
  ['NUL and other control characters', 'a\0b\n\u001f', '["a\\u0000b\\n\\u001f"]'],
  ['an emoji', 'lager 📦', '["lager 📦"]'],
  ['lone surrogates', 'a\ud83d \udce6', '["a\\ud83d \\udce6"]'],
  ['a dollar and a brace', '$1 {a,b}', '["$1 {a,b}"]'],
  ['1 MB', 'ä'.repeat(1 << 19), `["${'ä'.repeat(1 << 19)}"]`],
]

describe.each(ENCODINGS)('a key of %s', (_, key, text) => {
  test('is a compact JSON array', () => {
    expect(encodeKeys(key)).toEqual([text])
  })

  test('blocks, and is blocked by, whoever takes hashtextextended of that text', async () => {
    const { db } = connect({ poolSize: 1 })
    const other = await lockElsewhere(database.url, text)
    const whileHeldElsewhere = await db.$transaction((tx) => tx.$tryAdvisoryXactLock(key))
    await other.query('COMMIT')
    const freeElsewhere = await db.$withAdvisoryLock(key, () => isFree(database, text))
    expect({ whileHeldElsewhere, freeElsewhere, freeAfterwards: await isFree(database, text) }).toEqual({
      whileHeldElsewhere: false,
      freeElsewhere: false,
      freeAfterwards: true,
    })
  })
})

test.each<[string, LockKey, LockKey]>([
  ['1 and the string of it', 1, '1'],
  ['true and the string of it', true, 'true'],
  ['two parts and their text with a comma', ['a', 'b'], ['a,b']],
  ['two parts and the JSON text of them', ['a', 'b'], '["a","b"]'],
  ['parts cut in different places', ['ab', 'c'], ['a', 'bc']],
  ['a part more that is empty', ['a'], ['a', '']],
  ['different unpaired surrogates', '\ud800', '\ud801'],
  ['composed and decomposed letters', '\u00e4', 'a\u0308'],
  ['upper and lower case', 'A', 'a'],
])('%s are different locks', async (_, one, other) => {
  const { db } = connect()
  const isOtherFree = await db.$withAdvisoryLock(one, () => db.$transaction((tx) => tx.$tryAdvisoryXactLock(other)))
  expect(isOtherFree).toBe(true)
})

test.each<[string, LockKey, LockKey]>([
  ['a string and an array of it alone', 'x', ['x']],
  ['1 and 1n', ['a', 1], ['a', 1n]],
  ['0 and -0', 0, -0],
])('%s are the same lock', async (_, one, other) => {
  const { db } = connect()
  const isOtherFree = await db.$withAdvisoryLock(one, () => db.$transaction((tx) => tx.$tryAdvisoryXactLock(other)))
  expect(isOtherFree).toBe(false)
})

test('several keys are encoded in one order, and none of them twice', () => {
  const texts = ['["a",1]', '["b"]']
  expect(encodeKeys({ keys: ['b', ['a', 1], ['b'], ['a', 1n]] })).toEqual(texts)
  expect(encodeKeys({ keys: [['a', 1], 'b'] })).toEqual(texts)
})

const sparse: unknown[] = ['a', 'b', 'c']
delete sparse[1]

test.each<[string, unknown, string]>([
  ['undefined', undefined, 'key'],
  ['null', null, 'key'],
  ['NaN', Number.NaN, 'key'],
  ['Infinity', Number.POSITIVE_INFINITY, 'key'],
  ['an object', { sku: 'A-1' }, 'key'],
  ['a date', new Date(0), 'key'],
  ['a function', () => 'a', 'key'],
  ['a symbol', Symbol('a'), 'key'],
  ['keys that are not an array', { keys: 'a' }, 'key'],
  ['no parts', [], 'key'],
  ['undefined as a part', ['stock', undefined], 'key[1]'],
  ['null as a part', ['stock', null], 'key[1]'],
  ['NaN as a part', [Number.NaN], 'key[0]'],
  ['an array as a part', ['a', ['b']], 'key[1]'],
  ['a hole among the parts', sparse, 'key[1]'],
  ['no keys', { keys: [] }, 'keys'],
  ['no parts in one of the keys', { keys: ['a', []] }, 'keys[1]'],
  ['undefined as one of the keys', { keys: ['a', undefined] }, 'keys[1]'],
  ['a hole among the keys', { keys: sparse }, 'keys[1]'],
  ['null as a part of one of the keys', { keys: ['a', ['b', null]] }, 'keys[1][1]'],
])('%s is refused before anything is sent, and named by its path', async (_, keys, field) => {
  const { db, statements } = connect()
  const errors = [
    await rejectionOf(db.$withAdvisoryLock(keys as LockKeys, async () => {})),
    await rejectionOf(db.$transaction((tx) => tx.$advisoryXactLock(keys as LockKeys))),
    await rejectionOf(db.$transaction((tx) => tx.$tryAdvisoryXactLock(keys as LockKeys))),
  ]
  expect(errors).toEqual(errors.map(() => expect.objectContaining({ code: 'INVALID_ARGUMENT', field })))
  expect(statements.filter((sql) => sql.includes('advisory'))).toEqual([])
})
