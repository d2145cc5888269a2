import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AllDb, openAll } from '../support/all-features.js'
import { useDatabase } from '../support/clients.js'
import { rows } from '../support/engines.js'
import { expectCarried, featuresOf } from '../support/feature-calls.js'
import { passingTimers } from '../support/passing-time.js'
import { rejectionOf } from '../support/rejection.js'
import { expectExact } from '../support/stock.js'

const CALLERS = 16
/** Where a machine is slow, 16 callers of one connection may need more than the 5 s of a call. */
const PATIENT = { deadline: 100_000 }

describe.each(['prisma', 'pg'] as const)('on %s, a pool of one connection', (engine) => {
  const database = useDatabase()
  let opened: Awaited<ReturnType<typeof openAll>>
  beforeAll(async () => {
    opened = await openAll(engine, { url: database.url, poolSize: 1, retry: PATIENT })
  })
  afterAll(() => opened?.close())

  test.each(Object.entries(featuresOf(engine)))('carries %s, by one caller and by 16 at once', (_, feature) =>
    expectCarried(feature, { db: opened.db, query: database.query, callers: CALLERS }),
  )

  test('has added everything up', async () => {
    await expectExact(database)
    expect(await opened.db.$series.gaps('invoice')).toEqual([])
  })

  type Body = () => Promise<unknown>
  test.each<[string, (db: AllDb, body: Body) => PromiseLike<unknown>]>([
    ['$transactionWithRetry', (db, body) => db.$transactionWithRetry(body, { retry: PATIENT })],
    ['$idempotent', (db, body) => db.$idempotent({ key: 'a', scope: 'a', retry: PATIENT }, body)],
    [
      '$withAdvisoryLock',
      (db, body) => db.$withAdvisoryLock('a', body, { timeout: 200_000, bodyTimeout: PATIENT.deadline }),
    ],
    ['$inbox', (db, body) => db.$inbox('a', 'a', body, { retry: PATIENT })],
  ])('ends a body of %s that waits for the client by its deadline, and says what it waits for', async (_, call) => {
    const pass = passingTimers()
    const body = () => {
      setImmediate(pass, PATIENT.deadline)
      return rows(opened.db, 'SELECT 1')
    }
    expect(await rejectionOf(call(opened.db, body))).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringContaining('instead of its own `tx`'),
    })
  })
})
