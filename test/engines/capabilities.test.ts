import { expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { rejectionOf } from '../support/rejection.js'

describeEngines(({ connect, database }) => {
  const OF_TWO = { advisoryLocks: true, statementSnapshots: true, transactionOutcomes: true, savepoints: true }
  const OF_ONE = { conflictClauses: true, writesInCtes: true, skipLocked: true }

  test('$capabilities tries what calls rely on, once for a client', async () => {
    const { db, pool } = await connect()
    const found = await db.$capabilities()
    expect(found).toMatchObject({ ...OF_TWO, ...OF_ONE, isReadOnly: false, isStandby: false, waitsForStandby: false })
    expect(found.serverVersion).toBeGreaterThan(100_000)

    let used = 0
    pool.on('acquire', () => used++)
    expect(await db.$capabilities()).toBe(found)
    expect(used).toBe(0)
  })

  test('what could not be tried is undefined', async () => {
    const undefinedOf = (names: object) => Object.fromEntries(Object.keys(names).map((name) => [name, undefined]))
    const { db: alone } = await connect(undefined, { poolSize: 1 })
    expect(await alone.$capabilities()).toMatchObject({ ...undefinedOf(OF_TWO), ...OF_ONE })

    const { db } = await connect(undefined, { url: `${database.url}?options=-c%20default_transaction_read_only%3Don` })
    expect(await db.$capabilities()).toMatchObject({ ...undefinedOf({ ...OF_TWO, ...OF_ONE }), isReadOnly: true })
  })

  test('a tx has none: it would wait for itself', async () => {
    const { db } = await connect()
    const error = await db.$transaction((tx) =>
      rejectionOf(Promise.resolve().then(() => (tx as unknown as typeof db).$capabilities())),
    )
    expect(String(error)).toMatch(/\$capabilities|must be the client/)
  })
})
