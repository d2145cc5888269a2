import { expect, test } from 'vitest'
import { quoted } from '../../src/sql/sql.js'
import { join, param, raw, sql } from '../../src/sql/statement.js'
import { type Written, writtenOnce } from '../../src/sql/written.js'
import { useDatabase } from '../support/clients.js'

const database = useDatabase()

test('values are numbered in the order in which they stand', () => {
  const { text, values } = sql`SELECT ${param(5, 'int4')} + ${param(7)} AS ${quoted('sum')}`

  expect({ text, values }).toEqual({ text: 'SELECT $1::int4 + $2 AS "sum"', values: [5, 7] })
})

test('a value that stands in two places has one number', () => {
  const id = param('a', 'text')

  const { text, values } = sql`SELECT ${id} = ${param('b', 'text')} OR ${id} IS NULL`

  expect({ text, values }).toEqual({ text: 'SELECT $1::text = $2::text OR $1::text IS NULL', values: ['a', 'b'] })
})

test('a statement in another one is numbered with it', () => {
  const inner = sql`SELECT ${param(1)}`

  const { text, values } = sql`WITH a AS (${inner}) SELECT ${param(2)} FROM a WHERE ${join([inner, param(3)], ' AND ')}`

  expect({ text, values }).toEqual({
    text: 'WITH a AS (SELECT $1) SELECT $2 FROM a WHERE SELECT $1 AND $3',
    values: [1, 2, 3],
  })
})

test('a part that is left out stands for nothing, between others too', () => {
  const { text } = sql`SELECT ${join([raw('a'), undefined, false, param(1)])}${undefined}`

  expect(text).toBe('SELECT a, $1')
})

test('no pieces are joined to nothing', () => {
  expect(sql`SELECT ${join([])}`.text).toBe('SELECT ')
})

test('PostgreSQL takes a statement as it is rendered', async () => {
  const { text, values } = sql`SELECT ${param('x', 'text')} || ${param(3, 'int4')} AS ${quoted('a"b')}`

  expect(await database.query(text, [...values])).toEqual([{ 'a"b': 'x3' }])
})

test('a plain string does not compile', () => {
  const given: string = 'DROP TABLE x'

  // @ts-expect-error: it may come from a user
  sql`SELECT ${given}`
})

test('a statement that is written once for a key has the values of each call, and those that follow from the key', () => {
  const known = new Map<string, Written>()
  const send = (key: string, name: string, width: number) => {
    const [scope, own] = [param(1), param(name, 'text')]
    const write = () => sql`SELECT ${param(width)}, ${own}, ${scope} WHERE ${own} <> ''`
    return writtenOnce(known, key, [scope, own], write)
  }

  const text = `SELECT $1, $2::text, $3 WHERE $2::text <> ''`
  expect(send('of width 4', 'a', 4)).toEqual({ text, values: [4, 'a', 1] })
  expect(send('of width 4', 'b', 5)).toEqual({ text, values: [4, 'b', 1] })
  expect(send('of width 6', 'c', 6)).toEqual({ text, values: [6, 'c', 1] })
})
