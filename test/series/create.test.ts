import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { series } from '../../src/series/extension.js'
import type { SeriesOptions } from '../../src/series/options.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { passingTimers } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

const PAYMENT = { model: 'Payment', number: 'reference' } as const
const CERTIFICATE = { model: 'Certificate', value: 'counter' } as const

function withDocuments() {
  const made = connect()
  const payments = series({ series: { payment: { format: 'A{0}', document: PAYMENT } } })
  return { ...made, db: made.db.$extends(payments) }
}

const newId = () => randomUUID()

test('a call is one statement, and so are fifty that come together', async () => {
  const { db, statements } = withDocuments()
  const create = () => started(db.$series.create('payment', { transactionId: newId(), record: { amount: 1 } }))
  await create()
  statements.length = 0
  await create()
  expect(statements).toHaveLength(1)

  statements.length = 0
  await Promise.all(Array.from({ length: 50 }, create))

  expect(statements).toHaveLength(1)
})

test('after a first replay, the next ones cost no connection, and keep no other call from being one statement', async () => {
  const { db, statements, pool } = withDocuments()
  const create = (transactionId: string) =>
    started(db.$series.create('payment', { transactionId, record: { amount: 1 } }))
  const known = newId()
  await create(known)
  await create(known) // an error of the server, which is cheaper than to look for ids that are hardly ever there
  statements.length = 0
  let removals = 0
  pool.on('remove', () => removals++)

  const created = await Promise.all([newId(), known, newId()].map(create))

  expect(created.map(({ replayed }) => replayed)).toEqual([false, true, false])
  expect(statements).toHaveLength(2)
  expect(removals).toBe(0)
  expect(await db.$series.gaps('payment')).toEqual([])
})

test('documents with other fields are statements of their own, and the numbers follow one another', async () => {
  const { db } = withDocuments()
  const records = [{ amount: 1 }, { amount: 2, currency: 'CHF' }, { amount: 3 }]
  const calls = records.map((record) => started(db.$series.create('payment', { transactionId: newId(), record })))

  const values = (await Promise.all(calls)).map(({ value }) => value)

  expect(Math.max(...values.map(Number)) - Math.min(...values.map(Number))).toBe(2)
  expect(await db.$series.gaps('payment')).toEqual([])
})

describe('a number that is an Int, and an id that Prisma makes', () => {
  const withCertificates = () => {
    const made = connect()
    return { ...made, db: made.db.$extends(series({ series: { certificate: { document: CERTIFICATE } } })) }
  }

  test('are written by Prisma, in a transaction', async () => {
    const { db } = withCertificates()
    const transactionId = newId()
    const create = () => db.$series.create('certificate', { transactionId, record: {} })

    const { record, value } = await create()

    expect(record).toEqual({ id: expect.any(String), number: Number(value), counter: value, transactionId })
    expect(await create()).toEqual({ record, value, text: String(value), replayed: true })
  })

  test('may be given instead, and then it is one statement', async () => {
    const { db, statements } = withCertificates()
    const create = () => db.$series.create('certificate', { transactionId: newId(), record: { id: newId() } })
    await create()
    statements.length = 0

    const { record, value } = await create()

    expect(statements).toHaveLength(1)
    expect(record).toMatchObject({ number: Number(value), counter: value })
  })
})

describe('an extension that takes part in inserts of the model', () => {
  const withHook = () => {
    const made = withDocuments()
    const seen: unknown[] = []
    const db = made.db.$extends({
      query: {
        payment: {
          create({ args, query }) {
            seen.push(args.data.transactionId)
            return query({ ...args, data: { ...args.data, currency: 'CHF' } })
          },
        },
      },
    })
    return { ...made, db, seen }
  }

  test('sees each insert, and what it adds is written', async () => {
    const { db, seen } = withHook()
    const ids = [newId(), newId()]
    const create = (transactionId: string) => db.$series.create('payment', { transactionId, record: { amount: 1 } })

    const created = await Promise.all(ids.map(create))

    expect(created).toMatchObject(ids.map((transactionId) => ({ record: { transactionId, currency: 'CHF' } })))
    expect(seen.sort()).toEqual(ids.sort())
    expect(await create(ids[0] ?? '')).toMatchObject({ replayed: true })
    expect(await db.$series.gaps('payment')).toEqual([])
  })

  test('leaves connections to others, however many calls wait for the counter', async () => {
    const { db, pool } = withHook()
    const create = () => started(db.$series.create('payment', { transactionId: newId(), record: { amount: 1 } }))
    await create()
    const blocker = await openTransaction(database.url, `SELECT FROM "Series" WHERE name = 'payment' FOR UPDATE`)
    const calls = Array.from({ length: 20 }, create)
    await untilBlocked(database.url)

    expect(await db.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
    expect(pool.waitingCount).toBe(0)
    await blocker.query('COMMIT')
    await Promise.all(calls)
  })

  test('sees it in a transaction of the caller, too', async () => {
    const { db, seen } = withHook()
    const transactionId = newId()

    await db.$transaction((tx) => tx.$series.create('payment', { transactionId, record: { amount: 1 } }))

    expect(seen).toEqual([transactionId])
  })

  test('that refuses an insert leaves no gap', async () => {
    const { db } = withDocuments()
    const refusing = db.$extends({
      query: {
        payment: {
          async create(): Promise<never> {
            throw new Error('refused')
          },
        },
      },
    })
    const error = await rejectionOf(
      refusing.$series.create('payment', { transactionId: newId(), record: { amount: 1 } }),
    )

    expect(error).toMatchObject({ message: 'refused' })
    expect(await db.$series.gaps('payment')).toEqual([])
  })
})

test('a trigger that keeps documents out leaves no gap', async () => {
  const { db } = withDocuments()
  await database.query(`CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep_out BEFORE INSERT ON "Payment" FOR EACH ROW WHEN (NEW.currency = 'XXX') EXECUTE FUNCTION keep_out()`)
  const create = (currency: string) =>
    started(db.$series.create('payment', { transactionId: newId(), record: { amount: 1, currency } }))

  const outcomes = await Promise.allSettled(['EUR', 'XXX', 'EUR'].map(create))

  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(await db.$series.gaps('payment')).toEqual([])
})

test('more calls than maxWaiting are refused at once', async () => {
  const options = { series: { payment: { format: 'A{0}', document: PAYMENT } }, maxWaiting: 3 } as const
  const db = connect().db.$extends(series(options))
  const create = () => started(db.$series.create('payment', { transactionId: newId(), record: { amount: 1 } }))
  await create()
  const blocker = await openTransaction(database.url, `SELECT FROM "Series" WHERE name = 'payment' FOR UPDATE`)
  const first = create()
  await untilBlocked(database.url)
  const others = Array.from({ length: 4 }, create)

  expect(await rejectionOf(others[3] as Promise<unknown>)).toMatchObject({ code: 'OVERLOADED' })
  await blocker.query('COMMIT')
  await Promise.all([first, ...others.slice(0, 3)])
})

test('without its unique key nothing is written, and the error has the SQL for it', async () => {
  const { db } = withDocuments()
  await database.query('DROP INDEX "Payment_transactionId_key"')
  const error = await rejectionOf(db.$series.create('payment', { transactionId: newId(), record: { amount: 1 } }))
  await database.query('CREATE UNIQUE INDEX "Payment_transactionId_key" ON "Payment" ("transactionId")')

  expect(error).toMatchObject({ code: 'CONFIGURATION', message: expect.stringContaining('CREATE UNIQUE INDEX') })
})

describe('what cannot be right is refused before any SQL', () => {
  const create = (args: unknown, name = 'payment') =>
    rejectionOf(withDocuments().db.$series.create(name as 'payment', args as never))

  test.each([
    { args: { transactionId: 'a' }, field: 'record' },
    { args: { transactionId: 'a', record: [] }, field: 'record' },
    { args: { transactionId: '', record: {} }, field: 'transactionId' },
    { args: { record: { amount: 1 } }, field: 'transactionId' },
    { args: { transactionId: 'a', record: { amount: 1, reference: 'x' } }, field: 'record.reference' },
    { args: { transactionId: 'a', record: { transactionId: 'x' } }, field: 'record.transactionId' },
    { args: { transactionId: 'a', record: { customer: { connect: { id: 1 } } } }, field: 'record.customer' },
    { args: { transactionId: 'a', record: { nothing: 1 } }, field: 'record.nothing' },
    { args: { transactionId: 'a', record: {}, at: 'today' }, field: 'at' },
    { args: { transactionId: 'a', record: {}, match: [] }, field: 'match' },
  ])('$field', async ({ args, field }) => {
    expect(await create(args)).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })

  test('a series without a document', async () => {
    expect(await create({ transactionId: 'a', record: {} }, 'another')).toMatchObject({ code: 'CONFIGURATION' })
  })
})

describe('a mapping that does not fit is refused when the client is extended', () => {
  const extend = (options: SeriesOptions) => () => connect().client.$extends(concurrency()).$extends(series(options))

  test.each([
    { document: { model: 'Nothing' }, says: 'series.a.document.model: there is no model Nothing' },
    { document: { model: 'Payment' }, says: 'series.a.document.number: Payment has no field number' },
    { document: { model: 'Payment', number: 'customerId' }, says: 'must be String, for the format' },
    { document: { model: 'Payment', number: 'amount' }, says: 'must be String or Int or BigInt' },
    { document: { ...PAYMENT, transactionId: 'currency' }, says: 'Payment needs @@unique([currency])' },
    { document: { ...PAYMENT, value: 'currency' }, says: 'Payment.currency must be Int or BigInt' },
  ])('$says', ({ document, says }) => {
    expect(extend({ series: { a: { format: 'A{0}', document } } })).toThrow(says)
  })
})

test.each([
  { end: 'out of time', isAborted: false },
  { end: 'aborted', isAborted: true },
])('calls that are $end while nobody can tell whether they were written are told so', async ({ isAborted }) => {
  const proxy = await openProxy(database.url)
  const db = connectTo(proxy.url).db.$extends(series({ series: { payment: { format: 'A{0}', document: PAYMENT } } }))
  const { signal, ...controller } = aborter()
  const pass = passingTimers()
  const create = () =>
    started(
      db.$series.create('payment', {
        transactionId: newId(),
        record: { amount: 1 },
        signal,
        retry: { deadline: 100_000 },
      }),
    )
  await create()
  const lost = proxy.next(/^WITH bound/, 'drop')
  const calls = Array.from({ length: 6 }, create)
  await lost.happened
  proxy.refuse()
  if (isAborted) setTimeout(controller.abort, 300)
  else pass(100_000)

  const errors = await Promise.all(calls.map(rejectionOf))

  expect(errors.map((error) => (error as { code?: string }).code)).toEqual(errors.map(() => 'OUTCOME_UNKNOWN'))
})

function aborter() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort(new Error('no longer wanted')) }
}
