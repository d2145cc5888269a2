import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { Contention } from '../../src/events/contention.js'
import { concurrency } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { describeEngines } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'

describeEngines(({ connect, name }) => {
  test('the keys at which calls meet are told, with what they waited', async () => {
    const { db } = await connect(name, { poolSize: 2, options: { contention: true, events: { keys: 'plain' } } })
    await db.$contention() // its file is loaded
    const lock = randomUUID()
    const [held, going] = [gate(), gate()]
    const first = db.$withAdvisoryLock(lock, async () => {
      held.open()
      await going.opened
    })
    await held.opened
    const others = [1, 2].map(() => db.$withAdvisoryLock(lock, async () => {}))
    await new Promise((resolve) => setTimeout(resolve, 5))
    going.open()
    await Promise.all([first, ...others])

    const { operations, hot } = await db.$contention()
    expect(operations).toMatchObject([{ operation: '$withAdvisoryLock', calls: 3, failures: 0, conflicts: 0 }])
    expect(operations[0]?.waits.queue?.count).toBeGreaterThanOrEqual(1)
    expect(hot).toMatchObject([{ operation: '$withAdvisoryLock', key: JSON.stringify([lock]) }])
    expect(hot[0]?.waitedMs).toBeGreaterThan(1)
  })

  test('is counted anew after a reset', async () => {
    const { db } = await connect(name, { options: { contention: true } })
    await db.$contention()
    await db.$transactionWithRetry(async () => {})
    const before = await db.$contention({ reset: true })
    const after = await db.$contention()
    expect([before.operations.length, after.operations.length]).toEqual([1, 0])
    expect(Date.parse(after.since)).toBeGreaterThanOrEqual(Date.parse(before.until))
  })

  test('an option that is none is refused, and resets nothing', async () => {
    const { db } = await connect(name, { options: { contention: true } })
    await db.$contention()
    await db.$transactionWithRetry(async () => {})
    for (const top of [0, -1, 1.5, '5' as unknown as number]) {
      expect(await rejectionOf(db.$contention({ top, reset: true }))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('top'),
      })
    }
    expect((await db.$contention()).operations.length).toBe(1)
  })

  test('without the option there is nothing to tell, which an error says', async () => {
    const { db } = await connect()
    expect(await rejectionOf(db.$contention())).toMatchObject({ code: 'CONFIGURATION' })
    const { db: listening } = await connect(name, { options: { onEvent: () => {} } })
    expect(await rejectionOf(listening.$contention())).toMatchObject({ code: 'CONFIGURATION' })
  })
})

const database = useDatabase()

test('conflicts are told by model, and their rows by a hash', async () => {
  const db = database.connect().client.$extends(concurrency({ contention: true }))
  await db.$contention()
  const { id } = await db.product.create({ data: { name: 'Chai' } })
  const stale = () => db.product.tryUpdateVersioned({ where: { id, version: 7 }, data: { stock: 1 } })
  for (let call = 0; call < 3; call++) await stale()
  await db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })
  const { operations, ...all } = await db.$contention()
  expect(
    operations.map(({ operation, model, calls, conflictRate }) => [operation, model, calls, conflictRate]),
  ).toEqual([
    ['tryUpdateVersioned', 'Product', 3, 1],
    ['updateVersioned', 'Product', 1, 0],
  ])
  // On a slow machine a statement takes long enough to count as a wait, too: that of the other call as well.
  const hot = all.hot.filter(({ operation }) => operation === 'tryUpdateVersioned')
  const waits = hot[0]?.waits ?? 0
  expect(hot).toMatchObject([{ model: 'Product', count: 3 + waits, overcount: 0, conflicts: 3 }])
  expect(hot[0]?.key).toMatch(/^[0-9a-f]{16}$/)
})

test('a million keys are counted in bounded memory', () => {
  const contention = new Contention()
  const place = { operation: 'updateVersioned', model: 'Product' }
  const conflict = { type: 'conflict', reason: 'version', attempt: 1, call: 1, ...place } as const
  for (let key = 0; key < 1_000_000; key++) contention.add(place, conflict, `row ${key % 50 === 0 ? 'hot' : key}`)
  for (let key = 0; key < 2_000; key++) contention.ended({ operation: `op ${key}`, model: undefined }, false)
  const { hot, operations } = contention.read({ top: 1_000 }, (key) => key)
  expect(hot.length).toBe(100)
  expect(hot[0]?.key).toBe('row hot')
  expect(operations.length).toBeLessThanOrEqual(501)
  expect(operations.at(-1)).toMatchObject({ operation: 'others', calls: 1_501 })
})
