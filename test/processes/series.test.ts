import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { series } from '../../src/series/extension.js'
import { openConnection } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { startProcess } from '../support/process.js'
import type { SeriesOutcome, SeriesWork } from '../support/series-worker.js'
import { STARTING_LINE } from '../support/starting-line.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

/** Four processes with the same work, let go when all of them are ready. */
async function fourTimes(work: Omit<SeriesWork, 'url'>) {
  const referee = await openConnection(database.url)
  await referee.query('SELECT pg_advisory_lock($1)', [STARTING_LINE])
  const processes = Array.from({ length: 4 }, () =>
    startProcess('series-worker.ts', { url: database.url, ...work } satisfies SeriesWork),
  )
  await untilBlocked(database.url, 4)
  await referee.query('SELECT pg_advisory_unlock($1)', [STARTING_LINE])
  const outcomes = await Promise.all(processes.map((child) => child.answer<SeriesOutcome>()))
  return {
    failures: outcomes.flatMap(({ failures }) => failures),
    numbers: outcomes.flatMap(({ numbers }) => numbers),
    rolledBack: outcomes.reduce((sum, { rolledBack }) => sum + rolledBack, 0),
  }
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)
const sorted = (numbers: readonly { value: number }[]) => numbers.map(({ value }) => value).sort((a, b) => a - b)
const newIds = (count: number) => Array.from({ length: count }, () => randomUUID())

test.each([{ rollbacks: 0 }, { rollbacks: 0.3 }])(
  'four processes take gapless numbers, with $rollbacks of the transactions rolled back: 1 to n, each once',
  async ({ rollbacks }) => {
    const work = { name: `gapless ${rollbacks}`, where: 'in transactions', callers: 6, rounds: 15, rollbacks } as const

    const { numbers, rolledBack, failures } = await fourTimes(work)

    expect(failures).toEqual([])
    expect(sorted(numbers)).toEqual(upTo(360 - rolledBack))
    expect(rolledBack > 0).toBe(rollbacks > 0)
  },
)

test('transaction ids that four processes send in their own orders, some rolled back, have a number each and no gap', async () => {
  const ids = newIds(60)
  const work = { name: 'ids', where: 'in transactions', callers: 2, transactionIds: ids, rollbacks: 0.2 } as const

  const { numbers, failures } = await fourTimes(work)

  expect(failures).toEqual([])
  const given = new Map(numbers.map(({ transactionId, text }) => [transactionId, text]))
  expect(numbers.filter(({ transactionId, text }) => given.get(transactionId) !== text)).toEqual([])
  expect([...given.values()].map(Number).sort((a, b) => a - b)).toEqual(upTo(given.size))
  expect(numbers.filter(({ replayed }) => !replayed)).toHaveLength(given.size)
  expect(await connect().db.$extends(series()).$series.gaps('ids')).toEqual([])
})

test.each(['on the root client', 'in transactions'] as const)(
  'four processes take numbers in blocks, %s: none twice',
  async (where) => {
    const work = { name: `blocks ${where}`, where, blocks: 7, callers: 12, rounds: 25, rollbacks: 0.1 } as const

    const { numbers, rolledBack, failures } = await fourTimes(work)

    expect(failures).toEqual([])
    expect(numbers).toHaveLength(1_200 - rolledBack)
    expect(new Set(sorted(numbers)).size).toBe(numbers.length)
  },
)

test.each(['on the root client', 'in transactions'] as const)(
  'transaction ids that four processes send, with blocks, %s, have a number each',
  async (where) => {
    const ids = newIds(40)
    const work = { name: `block ids ${where}`, where, blocks: 7, callers: 2, transactionIds: ids } as const

    const { numbers, failures } = await fourTimes(work)

    expect(failures).toEqual([])
    const given = new Map(numbers.map(({ transactionId, text }) => [transactionId, text]))
    expect(numbers).toHaveLength(320)
    expect(numbers.filter(({ transactionId, text }) => given.get(transactionId) !== text)).toEqual([])
    expect(new Set(given.values()).size).toBe(40)
    expect(numbers.filter(({ replayed }) => !replayed)).toHaveLength(40)
  },
)

test('the last numbers of a series go to some of those who race for them, and the others are refused', async () => {
  const work = { name: 'ends', format: '{00}', where: 'in transactions', callers: 5, rounds: 6 } as const

  const { numbers, failures } = await fourTimes(work)

  expect(sorted(numbers)).toEqual(upTo(99))
  expect(failures).toEqual(Array.from({ length: 21 }, () => expect.stringContaining('SeriesOverflowError')))
})
