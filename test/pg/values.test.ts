import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Numeric } from '../../src/pg/numeric.js'
import { parametersOf, typesOf } from '../../src/pg/values.js'
import { canonical } from '../../src/values/canonical.js'
import { useDatabase } from '../support/clients.js'

describe('a Numeric', () => {
  test.each([
    ['0', '0'],
    ['-0.00', '0'],
    ['12345678901234567890.10', '12345678901234567890.1'],
    ['0.000', '0'],
    ['-1.50', '-1.5'],
    ['1.5e+3', '1500'],
    ['1.25e-3', '0.00125'],
    ['NaN', 'NaN'],
    ['Infinity', 'Infinity'],
  ])('of %s has the digits %s', (text, digits) => {
    const number = new Numeric(text)
    expect([number.toFixed(), String(number), JSON.parse(JSON.stringify(number))]).toEqual([digits, digits, digits])
  })

  test('is a decimal to the rest of the package', () => {
    expect(canonical(new Numeric('1.50'))).toBe('decimal:1.5')
  })
})

describe('values of the database', () => {
  const database = useDatabase()
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: database.url })
  })
  afterAll(() => pool.end())

  test('look as they do through Prisma, in any time zone of the process', async () => {
    const connection = await pool.connect()
    try {
      const text = `SELECT 9007199254740993::int8 AS int8, 1.50::numeric AS numeric, date '2026-11-29' AS date,
  timestamp '2026-11-29 08:41:10.5' AS timestamp, timestamptz '2026-11-29 08:41:10.5+05:30' AS timestamptz,
  timestamptz 'infinity' AS never, NULL::int8 AS nothing, $1::timestamp = '2026-11-29 08:00' AS same`
      const values = parametersOf([new Date('2026-11-29T08:00:00Z')])
      const { rows } = await connection.query({ text, values, types: typesOf(connection) })
      expect(rows[0]).toEqual({
        int8: 9_007_199_254_740_993n,
        numeric: new Numeric('1.5'),
        date: new Date('2026-11-29T00:00:00Z'),
        timestamp: new Date('2026-11-29T08:41:10.500Z'),
        timestamptz: new Date('2026-11-29T03:11:10.500Z'),
        never: Number.POSITIVE_INFINITY,
        nothing: null,
        same: true,
      })
    } finally {
      connection.release()
    }
  })
})
