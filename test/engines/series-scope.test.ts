import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { openScopedSeries } from '../support/scoped-series.js'
import { untilBlocked } from '../support/until-blocked.js'

const at = new Date('2026-11-29T12:00:00Z')

describeEngines(({ name, connect, database }) => {
  const open = () => openScopedSeries(name, connect)

  test('each scope has series of its own: both begin at 1', async () => {
    const { db, companyId, otherId } = await open()
    const series = randomUUID()

    const numbers = await db.$transactionWithRetry(async (tx) => [
      await tx.$series.next(series, { scope: { companyId } }),
      await tx.$series.next(series, { scope: { companyId: otherId } }),
      await tx.$series.in({ companyId }).next(series),
    ])

    expect(numbers.map(({ value }) => value)).toEqual([1n, 1n, 2n])
  })

  test('a transaction id is one request in each scope: a replay gets the number of its own scope', async () => {
    const { db, companyId, otherId } = await open()
    const transactionId = randomUUID()
    const next = (company: number) =>
      db.$transactionWithRetry((tx) => tx.$series.in({ companyId: company }).next('invoice', { transactionId, at }))
    await db.$transactionWithRetry((tx) => tx.$series.in({ companyId }).next('invoice', { transactionId: 'other', at }))
    const [one, other] = [await next(companyId), await next(otherId)]

    expect([one, other]).toMatchObject([
      { text: 'INV-2026-002', replayed: false },
      { text: 'INV-2026-001', replayed: false },
    ])
    expect([await next(companyId), await next(otherId)]).toEqual([
      { ...one, replayed: true },
      { ...other, replayed: true },
    ])
  })

  test('a caller of another scope does not wait for the counter', async () => {
    const { db, companyId, otherId } = await open()
    const [taken, end] = [gate(), gate()]
    const first = db.$transactionWithRetry(async (tx) => {
      await tx.$series.in({ companyId }).next('invoice', { at })
      taken.open()
      await end.opened
    })
    await taken.opened

    const other = await db.$transactionWithRetry((tx) => tx.$series.in({ companyId: otherId }).next('invoice', { at }))
    const same = db.$transactionWithRetry((tx) => tx.$series.in({ companyId }).next('invoice', { at }))
    await untilBlocked(database.url)
    end.open()

    expect([other.value, (await same).value]).toEqual([1n, 2n])
    await first
  })

  test('numbers of blocks come from a block of the scope', async () => {
    const { db, companyId, otherId } = await open()
    const next = async (company: number) => (await db.$series.in({ companyId: company }).next('ticket')).value

    expect([await next(companyId), await next(otherId), await next(companyId), await next(otherId)]).toEqual([
      1n,
      1n,
      2n,
      2n,
    ])
  })

  test('documents are created in their scope, also those that come together, and each once', async () => {
    const { db, companyId, otherId } = await open()
    const create = (company: number, transactionId: string) =>
      db.$series.in({ companyId: company }).create('bill', { transactionId, record: { amount: 5 } })

    const made = await Promise.all([
      create(companyId, 'a'),
      create(otherId, 'a'),
      create(companyId, 'b'),
      create(otherId, 'b'),
    ])
    const again = await create(otherId, 'b')
    const numbersOf = (company: number) =>
      made.flatMap(({ record }) => (record.companyId === company ? [record.number] : [])).sort()

    expect(made.map(({ record }) => record)).toMatchObject([
      { companyId, transactionId: 'a' },
      { companyId: otherId, transactionId: 'a' },
      { companyId, transactionId: 'b' },
      { companyId: otherId, transactionId: 'b' },
    ])
    expect([numbersOf(companyId), numbersOf(otherId)]).toEqual([
      ['B1', 'B2'],
      ['B1', 'B2'],
    ])
    expect(again).toEqual({ ...made[3], replayed: true })
  })

  test('a document is created in the transaction of the caller, and a duplicate with other values is refused', async () => {
    const { db, companyId } = await open()
    const create = (amount: number) =>
      db.$transactionWithRetry((tx) =>
        tx.$series.create('bill', { scope: { companyId }, transactionId: 'a', record: { amount } }),
      )

    expect(await create(5)).toMatchObject({ text: 'B1', replayed: false, record: { companyId, amount: 5 } })
    expect(await create(5)).toMatchObject({ text: 'B1', replayed: true })
    expect(await rejectionOf(create(6))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['amount'] })
  })

  test('gaps are those of the scope', async () => {
    const { db, companyId, otherId } = await open()
    const series = randomUUID()
    await db.$transactionWithRetry((tx) => tx.$series.in({ companyId }).next(series))
    await db.$transactionWithRetry((tx) => tx.$series.in({ companyId: otherId }).next(series, { transactionId: 'a' }))

    expect(await db.$series.gaps(series, { scope: { companyId } })).toEqual([{ period: '', from: 1n, to: 1n }])
    expect(await db.$series.in({ companyId: otherId }).gaps(series)).toEqual([])
  })

  test('a call without its scope is refused before any SQL, and the error names the field', async () => {
    const { db } = await open()
    const expected = { code: 'INVALID_ARGUMENT', field: 'scope.companyId' }

    // @ts-expect-error: without its scope
    expect(await rejectionOf(db.$series.next('ticket', {}))).toMatchObject(expected)
    // @ts-expect-error: without its scope
    expect(await rejectionOf(db.$series.gaps('ticket'))).toMatchObject(expected)
    // @ts-expect-error: without its scope
    expect(await rejectionOf(db.$series.create('bill', { transactionId: 'a', record: {} }))).toMatchObject(expected)
    // @ts-expect-error: without its scope
    expect(await rejectionOf(db.$series.peek('ticket'))).toMatchObject(expected)
    // @ts-expect-error: without its scope
    expect(await rejectionOf(db.$series.void('order', { value: 1, reason: 'torn' }))).toMatchObject(expected)
    // @ts-expect-error: without its scope
    expect(await rejectionOf(db.$series.closePeriod('order', { reason: 'closed' }))).toMatchObject(expected)
    expect(() => db.$series.in({ companyId: '1' as unknown as number })).toThrow(expect.objectContaining(expected))
  })

  test('a field of the scope is not given in the record of a document', async () => {
    const { db, companyId } = await open()
    const record = { companyId, amount: 1 } as { amount: number }

    expect(
      await rejectionOf(db.$series.create('bill', { scope: { companyId }, transactionId: 'a', record })),
    ).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'record.companyId' })
  })
})
