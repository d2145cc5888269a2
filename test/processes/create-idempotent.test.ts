import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { openConnection } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import type { InsertOutcome, InsertWork } from '../support/insert-worker.js'
import { startProcess } from '../support/process.js'
import { started } from '../support/started.js'
import { STARTING_LINE } from '../support/starting-line.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

const newIds = (count: number) => Array.from({ length: count }, () => randomUUID())

/** Starts a process for each work, and lets them all go when all of them are ready. */
async function race(works: readonly Omit<InsertWork, 'url'>[]): Promise<InsertOutcome[]> {
  const referee = await openConnection(database.url)
  await referee.query('SELECT pg_advisory_lock($1)', [STARTING_LINE])
  const processes = works.map((work) =>
    startProcess('insert-worker.ts', { url: database.url, ...work } satisfies InsertWork),
  )
  await untilBlocked(database.url, works.length)
  await referee.query('SELECT pg_advisory_unlock($1)', [STARTING_LINE])
  return Promise.all(processes.map((child) => child.answer<InsertOutcome>()))
}

const countOf = async (ids: readonly string[]) =>
  (await database.query('SELECT 1 FROM "Payment" WHERE "transactionId" = ANY($1)', [ids])).length

/** Every caller got the record of its key, and of each key exactly one caller has inserted it. */
function expectOnce(outcomes: readonly InsertOutcome[], ids: readonly string[], callers: number) {
  expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
  const results = outcomes.flatMap((outcome) => outcome.results)
  expect(results).toHaveLength(ids.length * callers)
  for (const transactionId of ids) {
    const own = results.filter((result) => result.transactionId === transactionId)
    expect(own).toHaveLength(callers)
    expect(new Set(own.map(({ id }) => id)).size).toBe(1)
    expect(own.filter(({ replayed }) => !replayed)).toHaveLength(1)
  }
}

test.each(['on the root client', 'in a transaction', 'in a serializable transaction'] as const)(
  'a hundred callers of one key in four processes, %s: one row, one that inserted it, one record for all',
  async (where) => {
    const ids = newIds(1)
    const work = { transactionIds: ids, callers: 25, pace: 'at once', where } as const
    expectOnce(await race([work, work, work, work]), ids, 100)
    expect(await countOf(ids)).toBe(1)
  },
)

test('many keys from four processes, one after the other and in batches, are inserted once each', async () => {
  const ids = newIds(60)
  const outcomes = await race([
    { transactionIds: ids, callers: 3, pace: 'one by one' },
    { transactionIds: [...ids].reverse(), callers: 3, pace: 'one by one' },
    { transactionIds: ids, callers: 2, pace: 'at once' },
    { transactionIds: [...ids].reverse(), callers: 2, pace: 'at once' },
  ])
  expectOnce(outcomes, ids, 10)
  expect(await countOf(ids)).toBe(60)
})

test('batches of two processes in opposite orders never deadlock', async () => {
  const deadlocks = async () =>
    Number(
      (await database.query('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()'))[0].deadlocks,
    )
  await database.query(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 10', current_database()); END $$`,
  )
  const before = await deadlocks()
  const ids = newIds(400)
  const outcomes = await race([
    { transactionIds: ids, callers: 1, pace: 'at once' },
    { transactionIds: [...ids].reverse(), callers: 1, pace: 'at once' },
    { transactionIds: ids, callers: 1, pace: 'at once' },
    { transactionIds: [...ids].reverse(), callers: 1, pace: 'at once' },
  ])
  expectOnce(outcomes, ids, 4)
  expect(await deadlocks()).toBe(before)
})

test('a process that is killed with its insert uncommitted leaves the key to the one that waits', async () => {
  const { db } = connect()
  const [transactionId] = newIds(1)
  const holder = startProcess('insert-worker.ts', {
    url: database.url,
    transactionIds: [transactionId],
    callers: 1,
    pace: 'at once',
    where: 'in a transaction',
    ending: 'stands still',
  } satisfies InsertWork)
  await holder.answer()
  const call = started(db.payment.createIdempotent({ where: { transactionId }, data: { amount: 6 } }))
  await untilBlocked(database.url)
  holder.kill()
  const { record, replayed } = await call
  expect([record.amount.toString(), replayed]).toEqual(['6', false])
})
