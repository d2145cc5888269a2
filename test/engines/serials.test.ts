import { randomInt, randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { passingTime } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines(({ connectErp, database, other }) => {
  const newId = () => randomUUID()
  const newProduct = async (count: number) => {
    const productId = randomInt(1, 2 ** 31)
    await database.query(
      `INSERT INTO "Serial" ("productId", number) SELECT $1, 'S-' || lpad(n::text, 3, '0') FROM generate_series(1, $2::int) AS n`,
      [productId, count],
    )
    return productId
  }
  const numbersOf = ({ serials }: { readonly serials: readonly { readonly number: string }[] }) =>
    serials.map(({ number }) => number)

  describe('allocate', () => {
    test('takes free serials, sets what is given, and returns their rows', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(3)
      const transactionId = newId()
      const taken = await db.$serials.allocate({ transactionId, where: { productId }, count: 2, data: { orderId: 7 } })
      expect(taken).toEqual({
        serials: [
          { productId, number: 'S-001', transactionId, orderId: 7 },
          { productId, number: 'S-002', transactionId, orderId: 7 },
        ],
        replayed: false,
      })
      expect(await db.$serials.free({ productId })).toBe(1)
    })

    test('gives the same serials to the same transaction id, whichever engine asks', async () => {
      const { db } = await connectErp()
      const { db: their } = await connectErp(other)
      const call = { transactionId: newId(), where: { productId: await newProduct(5) }, count: 2 }
      const first = await db.$serials.allocate(call)
      const second = await their.$serials.allocate(call)
      expect([numbersOf(second), second.replayed]).toEqual([numbersOf(first), true])
    })

    test('gives no serial twice to callers of both engines at once', async () => {
      const { db } = await connectErp()
      const { db: their } = await connectErp(other)
      const productId = await newProduct(40)
      const take = (each: typeof db) =>
        each.$serials.allocate({ transactionId: newId(), where: { productId }, count: 2 })
      const taken = await Promise.all(Array.from({ length: 20 }, (_, i) => take(i % 2 === 0 ? db : their)))
      expect(new Set(taken.flatMap(numbersOf)).size).toBe(40)
    })

    test('is of unknown outcome, and not refused, while a statement that was lost may still come', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await connectErp(undefined, { url: proxy.url })
      const { db: their } = await connectErp(other)
      const productId = await newProduct(1)
      const call = { transactionId: newId(), where: { productId }, count: 2 }
      const late = proxy.next(/^WITH[\s\S]*SKIP LOCKED/, 'late')
      const error = await rejectionOf(db.$serials.allocate(call))
      expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { code: 'INSUFFICIENT_SERIALS' } })

      await database.query(`INSERT INTO "Serial" ("productId", number) VALUES ($1, 'S-002')`, [productId])
      late.release()
      await expect.poll(() => their.$serials.free({ productId }), { timeout: 60_000 }).toBe(0)
      expect(await their.$serials.allocate(call)).toMatchObject({ replayed: true })
    })

    test('says how many are free where there are too few, and takes none', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(1)
      const error = await rejectionOf(db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 2 }))
      expect(error).toMatchObject({ code: 'INSUFFICIENT_SERIALS', free: 1 })
      expect(await db.$serials.free({ productId })).toBe(1)
    })

    test('is part of the transaction that it is called in', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(2)
      const work = db.$transactionWithRetry(async (tx) => {
        await tx.$serials.allocate({ transactionId: newId(), where: { productId }, count: 2 })
        throw new Error('rolled back')
      })
      await rejectionOf(work)
      expect(await db.$serials.free({ productId })).toBe(2)
    })
  })

  test('release frees the serials of an allocation, once', async () => {
    const { db } = await connectErp()
    const productId = await newProduct(2)
    const transactionId = newId()
    await db.$serials.allocate({ transactionId, where: { productId }, count: 2, data: { orderId: 7 } })
    expect(await db.$serials.release({ transactionId })).toEqual({ released: 2 })
    expect(await db.$serials.release({ transactionId })).toEqual({ released: 0 })
    expect(await db.$serials.free({ productId })).toBe(2)
  })

  test('import adds a range of serials, once for each transaction id', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const productId = randomInt(1, 2 ** 31)
    const call = {
      transactionId: newId(),
      data: { productId },
      range: { from: 1, to: 250, format: 'N-{0000}' },
    }
    expect(await db.$serials.import(call)).toEqual({ imported: 250, replayed: false })
    expect(await their.$serials.import(call)).toEqual({ imported: 250, replayed: true })
    const again = db.$serials.import({ transactionId: newId(), data: { productId }, numbers: ['N-0250'] })
    expect(await rejectionOf(again)).toMatchObject({ code: 'DUPLICATE_SERIALS', numbers: ['N-0250'] })
  })

  describe('import', () => {
    test('is done by its deadline, where the ANALYZE after it is kept waiting', async () => {
      const { db } = await connectErp()
      await db.$serials.import({ transactionId: newId(), data: { productId: randomInt(1, 2 ** 31) }, numbers: ['1'] })
      await openTransaction(database.url, 'LOCK TABLE "Serial" IN SHARE UPDATE EXCLUSIVE MODE')
      const pass = passingTime()
      const importing = started(
        db.$serials.import({
          transactionId: newId(),
          data: { productId: randomInt(1, 2 ** 31) },
          range: { format: 'A-{00000}', from: 1, to: 10_000 },
        }),
      )
      await untilBlocked(database.url)
      pass(600_000)

      expect(await importing).toEqual({ imported: 10_000, replayed: false })
    })
  })
})
