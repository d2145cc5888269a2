import { afterAll, beforeAll, beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest'
import { modelsOf, openAll, outboxOf } from '../support/all-features.js'
import { useDatabase } from '../support/clients.js'
import { createDatabase } from '../support/database.js'
import { expectCarried, featuresOf } from '../support/feature-calls.js'
import { isOnCitus, skipOnCitus } from '../support/on-citus.js'
import { partition } from '../support/partitioned.js'
import { rejectionOf } from '../support/rejection.js'
import { expectExact } from '../support/stock.js'

/** The tables of every feature, with the column that each is partitioned by: of the key by which it is written. */
const BY = {
  Product: 'id',
  Category: 'name',
  Payment: 'transactionId',
  PaymentItem: 'id',
  Parcel: 'id',
  IdempotencyKey: 'key',
  Stock: 'productId',
  StockMovement: 'transactionId',
  StockReservation: 'transactionId',
  Serial: 'productId',
  SerialAllocation: 'transactionId',
  Series: 'name',
  SeriesNumber: 'series',
  Lease: 'name',
  JobRun: 'job',
  Operation: 'key',
  OutboxKey: 'key',
  InboxMessage: 'messageId',
} as const
const CALLERS = 8
const PATIENT = { deadline: 100_000 }

describe.each(['prisma', 'pg'] as const)('on %s, tables of hash partitions', (engine) => {
  const database = useDatabase()
  let opened: Awaited<ReturnType<typeof openAll>>
  beforeEach((test) => skipOnCitus(test, 'partitions'))
  beforeAll(async () => {
    if (isOnCitus) return
    await partition(database, BY)
    opened = await openAll(engine, { url: database.url, poolSize: 6, retry: PATIENT })
  })
  afterAll(() => opened?.close())

  test.each(Object.entries(featuresOf(engine)))('carry %s, by one caller and by several at once', (_, feature) =>
    expectCarried(feature, { db: opened.db, query: database.query, callers: CALLERS }),
  )

  test('have added everything up', () => expectExact(database))

  test('have all keys that the features rely on: others of the schema are told to be missing', async () => {
    const findings = await opened.db.$checkConcurrency()
    const missing = findings.filter(({ code }) => code === 'KEY_MISSING').map(({ where }) => where.replaceAll('"', ''))
    const others = ['public.Category (id)', 'public.Parcel (code)', 'public.Payment (id)', 'public.Payment (reference)']
    expect(missing.sort()).toEqual(engine === 'prisma' ? others : []) // pg knows the keys by the tables alone
  })

  test.runIf(engine === 'prisma')(
    'cannot have a unique key without the column that they are partitioned by: a call that relies on one is told',
    async () => {
      const { payment } = modelsOf(opened.db)
      const call = payment.createIdempotent({ where: { reference: 'R-1' }, data: { amount: 1, transactionId: 'T-1' } })
      expect(await rejectionOf(call)).toMatchObject({
        code: 'CONFIGURATION',
        message: expect.stringContaining('has no unique index of ("reference")'),
      })
      expect(await database.query(`SELECT FROM "Payment" WHERE "transactionId" = 'T-1'`)).toEqual([])
    },
  )

  test('cannot hold the messages of the outbox, whose two keys have no column in common', async () => {
    const own = await createDatabase(inject('serverUrl'), inject('template'))
    onTestFinished(() => own.drop())
    await partition(own, { OutboxMessage: 'id' })
    const add = async () => {
      const { db, close } = await openAll(engine, { url: own.url, poolSize: 1 })
      onTestFinished(close)
      await db.$transactionWithRetry((tx) => outboxOf(tx).add('a', { n: 1 }))
    }
    expect(await rejectionOf(add())).toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringMatching(/OutboxMessage.*position/),
    })
  })
})
