import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const at = new Date('2026-11-29T12:00:00Z')

describeEngines(({ connectErp, database, other }) => {
  const newId = () => randomUUID()

  test('gapless numbers follow one another, and a rollback uses none up', async () => {
    const { db } = await connectErp()
    const series = newId()
    const next = () => db.$transactionWithRetry((tx) => tx.$series.next(series))
    expect(await next()).toMatchObject({ value: 1n, text: '1', period: '', replayed: false })
    const rolledBack = db.$transactionWithRetry(async (tx) => {
      await tx.$series.next(series)
      throw new Error('rolled back')
    })
    await rejectionOf(rolledBack)
    expect(await next()).toMatchObject({ value: 2n })
  })

  test('a number is written as the format says, and given to its transaction id once, whichever engine asks', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const transactionId = newId()
    const next = (each: typeof db) =>
      each.$transactionWithRetry((tx) => tx.$series.next('invoice', { transactionId, at }))
    const first = await next(db)
    const { value } = first
    expect(first).toEqual({
      value,
      text: `INV-2026-${String(value).padStart(3, '0')}`,
      period: '2026',
      replayed: false,
    })
    expect(await next(their)).toEqual({ ...first, replayed: true })
    expect(await db.$series.gaps('invoice', { period: '2026' })).toEqual([])
  })

  test('who asks for a gapless number waits for the transaction of the one before, on either engine', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const series = newId()
    const { opened, open } = gate()
    const taken = gate()
    const first = db.$transactionWithRetry(async (tx) => {
      const number = await tx.$series.next(series)
      taken.open()
      await opened
      return number.value
    })
    await taken.opened
    const second = their.$transactionWithRetry(async (tx) => (await tx.$series.next(series)).value)
    await untilBlocked(database.url)
    open()
    expect(await Promise.all([first, second])).toEqual([1n, 2n])
  })

  test('a gapless number is refused outside a transaction', async () => {
    const { db } = await connectErp()
    expect(await rejectionOf(db.$series.next('invoice'))).toMatchObject({ code: 'TRANSACTION_REQUIRED' })
  })

  test('numbers of blocks are given out once, to callers of both engines at once', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const numbers = await Promise.all(
      Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? db : their).$series.next('ticket')),
    )
    expect(new Set(numbers.map(({ value }) => value)).size).toBe(60)
  })
})
