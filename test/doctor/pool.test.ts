import { describe, expect, test } from 'vitest'
import { checkPool, type PoolerFacts } from '../../src/doctor/pool.js'

/** The findings about a client whose connection is so old, in ms. */
function found({
  age = 0,
  namesStatements = false,
  pooler,
}: {
  age?: number
  namesStatements?: boolean
  pooler?: PoolerFacts
}) {
  const setup = { connections: 10, options: {}, namesStatements }
  return checkPool(setup, { connectionAge: age }, pooler).map(({ severity, code }) => [severity, code])
}

const TRANSACTION: PoolerFacts = { mode: 'transaction', losesNames: true }
const OLD = performance.now() + 60_000

describe('a pooler in front of the server', () => {
  test.each([
    ['is none where the server knows the connection', { pooler: { mode: 'none', losesNames: false } }, []],
    ['is told by a connection that is older than the process', { age: OLD }, [['info', 'POOLER']]],
    ['is not told by a young connection', {}, []],
    ['in transaction mode is good to know', { pooler: TRANSACTION }, [['info', 'POOLER']]],
    [
      'in transaction mode loses named statements',
      { pooler: TRANSACTION, namesStatements: true },
      [['error', 'NAMED_STATEMENTS']],
    ],
    [
      'in transaction mode may keep track of named statements',
      { pooler: { mode: 'transaction', losesNames: false }, namesStatements: true },
      [['info', 'POOLER']],
    ],
    [
      'of unknown mode may lose named statements',
      { age: OLD, namesStatements: true },
      [['warning', 'NAMED_STATEMENTS']],
    ],
    [
      'in session mode takes named statements',
      { pooler: { mode: 'session', losesNames: false }, namesStatements: true },
      [['info', 'POOLER']],
    ],
  ] as const)('%s', (_, facts, findings) => {
    expect(found(facts)).toEqual(findings)
  })
})
