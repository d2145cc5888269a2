import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { describeEngines, type ErpDb, rows } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { skipOnCitus } from '../support/on-citus.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { endBlocked, untilBlocked } from '../support/until-blocked.js'

/** The statement that numbers and inserts. */
const CREATE = /entry AS MATERIALIZED/

describeEngines(({ name, connectErp, database, other }) => {
  const newId = () => randomUUID()
  let lastYear = 2100
  /** A year is a period of its own, so that no two tests share a counter. */
  const newYear = () => {
    const year = String(++lastYear)
    const at = new Date(`${year}-06-15`)
    const create = (db: ErpDb, transactionId = newId(), record: object = { amount: 1 }) =>
      started(db.$series.create('payment', { transactionId, at, record: { ...record } }))
    const gaps = (db: ErpDb) => db.$series.gaps('payment', { period: year })
    const numbersOf = (created: readonly { readonly value: bigint }[]) => created.map(({ value }) => Number(value))
    return { year, at, create, gaps, numbersOf }
  }
  const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)
  const many = <T>(count: number, once: (index: number) => T) => Array.from({ length: count }, (_, i) => once(i))
  const count = async (transactionId: string) =>
    (await database.query('SELECT FROM "Payment" WHERE "transactionId" = $1', [transactionId])).length
  const lockCounter = (year: string) =>
    openTransaction(database.url, `SELECT FROM "Series" WHERE name = 'payment' AND period = $1 FOR UPDATE`, [year])
  const isCreated = <T>(outcome: PromiseSettledResult<T>) => outcome.status === 'fulfilled'
  const reasonsOf = (outcomes: readonly PromiseSettledResult<unknown>[]) =>
    outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
  const valuesOf = <T>(outcomes: readonly PromiseSettledResult<T>[]) =>
    outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))

  test('a document is numbered and inserted once per transaction id, whichever engine asks', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const { year, create, gaps } = newYear()
    const transactionId = newId()

    const first = await create(db, transactionId, { amount: '12.50' })
    const again = await create(their, transactionId, { amount: '12.50' })

    const text = `P-${year}-001`
    const record = { transactionId, reference: text, currency: 'EUR', version: 0, customerId: null }
    expect(first).toMatchObject({ value: 1n, text, record, replayed: false })
    expect(again).toMatchObject({ value: 1n, text, record, replayed: true })
    expect(again.record.id).toBe(first.record.id)
    expect(await gaps(db)).toEqual([])
  })

  test('documents that come together get their numbers in the order of their arrival', async () => {
    const { db } = await connectErp()
    const { create, numbersOf } = newYear()
    const ids = many(50, newId)

    const created = await Promise.all(ids.map((transactionId) => create(db, transactionId)))

    expect(numbersOf(created)).toEqual(upTo(50))
    expect(created.map(({ record }) => record.transactionId)).toEqual(ids)
  })

  test('one transaction id at once is one document', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const { create, gaps } = newYear()
    const transactionId = newId()

    const created = await Promise.all(many(20, (i) => create(i % 2 ? their : db, transactionId)))

    expect(new Set(created.map(({ value }) => value))).toEqual(new Set([1n]))
    expect(created.filter(({ replayed }) => !replayed)).toHaveLength(1)
    expect(await count(transactionId)).toBe(1)
    expect(await gaps(db)).toEqual([])
  })

  test('a duplicate with other values is refused, and names the fields; among others it is refused alone', async () => {
    const { db } = await connectErp()
    const { create, numbersOf, gaps } = newYear()
    const transactionId = newId()
    await create(db, transactionId, { amount: '1.00', currency: 'EUR' })

    const calls = [create(db), create(db, transactionId, { amount: '1', currency: 'USD' }), create(db)]
    const outcomes = await Promise.allSettled(calls)

    expect(reasonsOf(outcomes)).toMatchObject([
      { code: 'IDEMPOTENCY_MISMATCH', model: 'Payment', fields: ['currency'] },
    ])
    expect(numbersOf(valuesOf(outcomes)).sort()).toEqual([2, 3])
    expect(await gaps(db)).toEqual([])
  })

  test('a duplicate gets the document as it is now, where what was given is still so', async () => {
    const { db } = await connectErp()
    const { create } = newYear()
    const transactionId = newId()
    await create(db, transactionId, { amount: 3 })
    await database.query(`UPDATE "Payment" SET currency = 'CHF' WHERE "transactionId" = $1`, [transactionId])

    expect(await create(db, transactionId, { amount: 3 })).toMatchObject({
      replayed: true,
      record: { currency: 'CHF' },
    })
  })

  test('bad documents fail alone, with their own errors, and use no number', async () => {
    const { db } = await connectErp()
    const { create, numbersOf, gaps } = newYear()
    const records = many(20, (i) => (i === 3 ? { customerId: -1 } : i === 12 ? { amount: '1e15' } : {}))

    const outcomes = await Promise.allSettled(records.map((record) => create(db, newId(), { amount: 1, ...record })))

    expect(outcomes.flatMap((outcome, i) => (isCreated(outcome) ? [] : [i]))).toEqual([3, 12])
    expect(reasonsOf(outcomes)).toMatchObject(
      name === 'prisma' ? [{ code: 'P2003' }, { code: 'P2020' }] : [{ code: '23503' }, { code: '22003' }],
    )
    expect(numbersOf(valuesOf(outcomes)).sort((a, b) => a - b)).toEqual(upTo(18))
    expect(await gaps(db)).toEqual([])
  })

  test('a transaction id that another document of the model has already is an error, and uses no number', async () => {
    const { db } = await connectErp()
    const { create, gaps } = newYear()
    const transactionId = newId()
    await database.query(`INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 1)`, [transactionId])

    expect(await rejectionOf(create(db, transactionId))).toMatchObject({ code: name === 'prisma' ? 'P2002' : '23505' })
    expect((await create(db)).value).toBe(1n)
    expect(await gaps(db)).toEqual([])
  })

  test('the last numbers of a format are given, then SeriesOverflowError, and none is used up', async () => {
    const { db } = await connectErp()
    const { year, create, numbersOf } = newYear()
    await database.query(`INSERT INTO "Series" (name, period, last) VALUES ('payment', $1, 996)`, [year])

    const outcomes = await Promise.allSettled(many(5, () => create(db)))

    expect(numbersOf(valuesOf(outcomes)).sort()).toEqual([997, 998, 999])
    expect(reasonsOf(outcomes)).toMatchObject(many(2, () => ({ code: 'SERIES_OVERFLOW', highest: 999n })))
    expect(await database.query('SELECT last::int FROM "Series" WHERE period = $1', [year])).toEqual([{ last: 999 }])
  })

  test('in a transaction it is part of that: a rollback leaves neither number nor document', async () => {
    const { db } = await connectErp()
    const { create, at } = newYear()
    const transactionId = newId()
    const args = { transactionId, at, record: { amount: 1 } }
    const rolledBack = db.$transaction(async (tx) => {
      expect(await tx.$series.create('payment', args)).toMatchObject({ value: 1n, replayed: false })
      expect(await tx.$series.create('payment', args)).toMatchObject({ value: 1n, replayed: true })
      throw new Error('rolled back')
    })
    expect(await rejectionOf(rolledBack)).toMatchObject({ message: 'rolled back' })
    expect(await count(transactionId)).toBe(0)

    expect(await create(db)).toMatchObject({ value: 1n })
  })

  test('in a transaction a refusal leaves nothing behind, and the transaction goes on', async () => {
    const { db } = await connectErp()
    const { year, at, create, gaps } = newYear()
    const transactionId = newId()
    await create(db, transactionId)
    await database.query(`UPDATE "Series" SET last = 999 WHERE name = 'payment' AND period = $1`, [year])

    const codes = await db.$transaction(async (tx) => {
      const full = rejectionOf(tx.$series.create('payment', { transactionId: newId(), at, record: { amount: 1 } }))
      const other = rejectionOf(tx.$series.create('payment', { transactionId, at, record: { amount: 2 } }))
      const errors = [await full, await other] as { code: string }[]
      await rows(tx, 'SELECT 1')
      return errors.map(({ code }) => code)
    })

    expect(codes).toEqual(['SERIES_OVERFLOW', 'IDEMPOTENCY_MISMATCH'])
    expect(await gaps(db)).toEqual([{ period: year, from: 2n, to: 999n }]) // as it was set
  })

  test('a number that next() has given the transaction id is the number of its document', async () => {
    const { db } = await connectErp()
    const { at, create, gaps } = newYear()
    const transactionId = newId()
    const number = await db.$transactionWithRetry((tx) => tx.$series.next('payment', { transactionId, at }))

    const [, created] = await Promise.all([create(db), create(db, transactionId)])

    expect(created).toMatchObject({ text: number.text, record: { reference: number.text }, replayed: false })
    expect(await create(db, transactionId)).toMatchObject({ text: number.text, replayed: true })
    expect(await gaps(db)).toEqual([])
  })

  test('a counter that another transaction holds is waited for, by all that come, without end for nobody', async (test) => {
    skipOnCitus(test, 'limits')
    const { db } = await connectErp()
    const { year, at, create, numbersOf, gaps } = newYear()
    await create(db)
    const blocker = await lockCounter(year)
    const patient = many(20, () => create(db))
    await untilBlocked(database.url)
    const late = { transactionId: newId(), at, record: { amount: 1 }, retry: { deadline: 300 } }
    const controller = new AbortController()
    const aborted = { ...late, transactionId: newId(), retry: undefined, signal: controller.signal }
    const gone = Promise.all([
      rejectionOf(db.$series.create('payment', late)),
      rejectionOf(db.$series.create('payment', aborted)),
    ])
    setTimeout(() => controller.abort(new Error('enough')), 200)

    expect(await gone).toMatchObject([{ code: 'DEADLINE_EXCEEDED', deadline: 300 }, { message: 'enough' }])
    await blocker.query('COMMIT')
    expect(numbersOf(await Promise.all(patient)).sort((a, b) => a - b)).toEqual(upTo(21).slice(1))
    expect(await gaps(db)).toEqual([])
  })

  /** Another program has a document for a transaction id in a transaction, which ends with `end.open()`. */
  async function numberedElsewhere(failure?: Error) {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const year = newYear()
    const transactionId = newId()
    const [taken, end] = [gate(), gate()]
    const theirs = their.$transaction(async (tx) => {
      await tx.$series.create('payment', { transactionId, at: year.at, record: { amount: 1 } })
      taken.open()
      await end.opened
      if (failure) throw failure
    })
    await taken.opened
    return { ...year, db, transactionId, theirs, end }
  }

  test('a transaction id that another process commits while the batch waits for the counter is replayed', async () => {
    const { db, transactionId, theirs, end, create, numbersOf, gaps } = await numberedElsewhere()
    const ours = [create(db), create(db, transactionId), create(db)]
    await untilBlocked(database.url)
    end.open()

    const created = await Promise.all(ours)
    await theirs

    expect(created.map(({ replayed }) => replayed)).toEqual([false, true, false])
    expect(created[1]?.value).toBe(1n)
    expect(numbersOf(created).sort()).toEqual([1, 2, 3])
    expect(await gaps(db)).toEqual([])
  })

  test('the same where the other one rolls back: nothing is replayed, and no number is missing', async () => {
    const { db, transactionId, theirs, end, create, numbersOf, gaps } = await numberedElsewhere(
      new Error('rolled back'),
    )
    const ours = [create(db), create(db, transactionId)]
    await untilBlocked(database.url)
    end.open()
    await rejectionOf(theirs)

    expect(numbersOf(await Promise.all(ours)).sort()).toEqual([1, 2])
    expect(await gaps(db)).toEqual([])
  })

  test('a document that has to wait for a row does not keep the others waiting', async () => {
    const { db } = await connectErp()
    const { create, numbersOf, gaps } = newYear()
    const [customer] = await database.query(`INSERT INTO "Customer" (email) VALUES ($1) RETURNING id`, [newId()])
    const customerId = customer?.id as number
    const blocker = await openTransaction(database.url, 'SELECT FROM "Customer" WHERE id = $1 FOR UPDATE', [customerId])
    const waiting = create(db, newId(), { amount: 1, customerId })
    await untilBlocked(database.url)

    const others = [await create(db, newId(), { amount: 1, customerId: null }), await create(db)]

    expect(numbersOf(others)).toEqual([1, 2]) // one after the other
    await blocker.query('COMMIT')
    expect(await waiting).toMatchObject({ value: 3n, record: { customerId } })
    expect(await gaps(db)).toEqual([])
  })

  test('a backend that is killed in the middle leaves nothing behind, and the call goes on', async () => {
    const { db } = await connectErp()
    const { year, create, numbersOf, gaps } = newYear()
    await create(db)
    const blocker = await lockCounter(year)
    const calls = many(3, () => create(db))
    await endBlocked(database.url)
    await blocker.query('COMMIT')

    expect(numbersOf(await Promise.all(calls)).sort()).toEqual([2, 3, 4])
    expect(await gaps(db)).toEqual([])
  })

  test('a lost answer is found by the transaction id: one document, one number', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connectErp(name, { url: proxy.url })
    const { create, numbersOf, gaps } = newYear()
    await create(db)
    proxy.next(CREATE, 'drop')
    const ids = many(3, newId)

    const created = await Promise.all(ids.map((transactionId) => create(db, transactionId)))

    expect(numbersOf(created).sort()).toEqual([2, 3, 4])
    expect(await Promise.all(ids.map(count))).toEqual([1, 1, 1])
    expect(await gaps(db)).toEqual([])
  })

  test('a storm of new, repeated and bad documents on both engines leaves no gap', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const { create, gaps } = newYear()
    const ids = many(60, newId)
    const call = (i: number) => {
      const transactionId = ids[i % ids.length] ?? ''
      const isBad = i % 7 === 0
      return create(i % 3 ? db : their, transactionId, { amount: 1, ...(isBad && { customerId: -1 }) })
    }

    const outcomes = await Promise.allSettled(many(240, call))

    const texts = new Set(valuesOf(outcomes).map(({ text }) => text))
    const created = valuesOf(outcomes).filter(({ replayed }) => !replayed)
    expect(texts.size).toBe(60)
    expect(created).toHaveLength(60)
    expect(await gaps(db)).toEqual([])
  })
})
