import { expect, test } from 'vitest'
import * as s from '../../src/values/schema.js'

/** The mistakes in a value, as `path: message`. */
const mistakes = (schema: s.Schema<unknown>, value: unknown) =>
  schema.find(value).map(({ path, message }) => `${path.join('.')}: ${message}`)

const options = s.strictObject({
  name: s.string().check(s.minLength(1, 'must not be empty')),
  count: s.optional(s.whole().check(s.gte(1), s.lte(3))),
})

test('a value of the form has no mistakes', () => {
  expect(mistakes(options, { name: 'a', count: undefined })).toEqual([])
})

test('every mistake is found, each with its path, and unknown names last', () => {
  expect(mistakes(options, { other: 1, count: 4 })).toEqual([
    'name: must be a string',
    'count: must be at most 3',
    'other: is not an option',
  ])
})

test('a name that every object inherits is no option', () => {
  expect(mistakes(options, JSON.parse('{"name":"a","constructor":1,"__proto__":2}'))).toEqual([
    'constructor: is not an option',
    '__proto__: is not an option',
  ])
})

test('conditions are asked of values of the right type only', () => {
  const asked: unknown[] = []
  const schema = s.number().check((value) => void asked.push(value))

  mistakes(schema, 'x')
  mistakes(schema, Number.NaN)
  mistakes(schema, 1)

  expect(asked).toEqual([1])
})

test('a list, and values by names, tell the place of the mistake', () => {
  expect(mistakes(s.array(s.string()), ['a', 1])).toEqual(['1: must be a string'])
  expect(mistakes(s.record(s.boolean(), s.string().check(s.minLength(2, 'is too short'))), { ab: 1, c: true })).toEqual(
    ['ab: must be true or false', 'c: is too short'],
  )
})

test.each([null, [], 'x', undefined])('%j is no object', (value) => {
  expect(mistakes(options, value)).toEqual([': must be an object'])
})

test('of several forms the mistakes of the one that is meant are told', () => {
  const form = s.union(
    [s.literal(false), s.string().check(s.minLength(1, 'must not be empty')), options],
    'must be one',
  )

  expect(mistakes(form, false)).toEqual([])
  expect(mistakes(form, true)).toEqual([': must be one'])
  expect(mistakes(form, '')).toEqual([': must not be empty'])
  expect(mistakes(form, { name: 1 })).toEqual(['name: must be a string'])
})

test('an invalid date is no Date', () => {
  expect(mistakes(s.date(), new Date(Number.NaN))).toEqual([': must be a Date'])
})
