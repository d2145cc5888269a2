import { describe, expect, test } from 'vitest'
import { isWritten, refusal, refusalOf, refusedCount } from '../../src/sql/refusal.js'
import { param, raw, sql } from '../../src/sql/statement.js'
import { rejectionOf } from '../support/rejection.js'

const failed = (message: string, code = '22P02') => Object.assign(new Error(message), { code, severity: 'ERROR' })

describe('a refusal', () => {
  test('is a text that is cast to a number', () => {
    expect(refusal('twin:', raw('v.last'))).toBe("('refused:twin:' || v.last)::int")
  })

  test('may have a parameter in it, which keeps its number', () => {
    const wanted = param(2, 'int')

    expect(sql`SELECT ${wanted}, ${refusedCount(raw('count(*)'), wanted)}`.text).toBe(
      "SELECT $1::int, ('refused:' || count(*) || ' of ' || $1::int)::int",
    )
  })

  test.each(['invalid input syntax for type integer: "refused:1 of 2"', '« refused:1 of 2 »', 'x `refused:1 of 2`'])(
    'is read out of the message, whatever its language: %s',
    (message) => {
      expect(refusalOf(failed(message))).toBe('1 of 2')
    },
  )

  test('is none if the error is another one', () => {
    expect(refusalOf(failed('refused:1 of 2', '23505'))).toBeUndefined()
    expect(refusalOf(failed('invalid input syntax for type integer: "x"'))).toBeUndefined()
  })
})

describe('a statement that may take itself back', () => {
  test('is done, or not, or fails with another error', async () => {
    expect(await isWritten(Promise.resolve([]))).toBe(true)
    expect(await isWritten(Promise.reject(failed('"refused:1 of 2"')))).toBe(false)
    expect(await rejectionOf(isWritten(Promise.reject(failed('x', '23505'))))).toMatchObject({ code: '23505' })
  })
})
