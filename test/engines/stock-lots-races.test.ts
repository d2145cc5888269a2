import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { TAKES, TAKING, useLots } from '../support/lots.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

/** The statement that locks what was chosen, or writes it. */
const WRITE = /SELECT item\.position, t\./
/** The one that locks all lots of a place. */
const LOCK = /SELECT\n {2}FROM/

describeEngines((engine) => {
  const { database } = engine
  const { open, openRecorded, newProduct, onHand, movementsOf, expectExact } = useLots(engine)
  const newId = (): string => randomUUID()
  /** A transaction of somebody else's that has locked the lots of the product. */
  const holdLots = (productId: number) =>
    openTransaction(database.url, 'UPDATE "LotStock" SET minimum = minimum WHERE "productId" = $1', [productId])

  describe.each(TAKING)('%s', (method) => {
    const take = TAKES[method]

    test('two callers at once on the last lot: one has it, the other is refused', async () => {
      const [db, their] = [await open(), await open(engine.other)]
      const productId = await newProduct({ a: { onHand: 5 } })
      const from = { item: { productId, warehouse: 'main' }, quantity: 4 }
      const holder = await holdLots(productId)
      const calls = [db, their].map((each) => started(take(each, newId(), from)))
      await untilBlocked(database.url, 2)
      await holder.query('COMMIT')
      const outcomes = await Promise.allSettled(calls)
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
      expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
        reason: { code: 'INSUFFICIENT_STOCK', shortages: [{ item: from.item, requested: 4, available: 1 }] },
      })
      await expectExact()
    })

    test('the one that comes too late for a lot takes the next one', async () => {
      const [db, their] = [await open(), await open(engine.other)]
      const productId = await newProduct({ a: { onHand: 5 }, b: { onHand: 5 } })
      const from = { item: { productId, warehouse: 'main' }, quantity: 5 }
      const holder = await holdLots(productId)
      const calls = [db, their].map((each) => started(take(each, newId(), from)))
      await untilBlocked(database.url, 2)
      await holder.query('COMMIT')
      const taken = (await Promise.all(calls)).map((answer) => answer.taken)
      expect(taken).toEqual(expect.arrayContaining([{ a: 5 }, { b: 5 }]))
      await expectExact()
    })

    test('two calls at once under one id, which choose other lots, are one', async () => {
      const [db, their] = [await open(), await open(engine.other)]
      const productId = await newProduct({ a: { onHand: 5, receivedAt: '2026-02-01', days: 3 }, b: { onHand: 5 } })
      const from = { item: { productId, warehouse: 'main' }, quantity: 5 }
      const transactionId = newId()
      const holder = await holdLots(productId)
      const calls = [
        started(take(db, transactionId, from)),
        started(take(their, transactionId, { ...from, by: 'fifo' })),
      ]
      await untilBlocked(database.url, 2)
      await holder.query('COMMIT')
      const [one, two] = await Promise.all(calls)
      expect(one?.taken).toEqual(two?.taken)
      expect([one?.replayed, two?.replayed].sort()).toEqual([false, true])
      await expectExact()
    })

    test.each([
      ['', ['b', 'c', 'd'], { e: 5 }],
      [' in a transaction', ['b', 'c'], { d: 5 }],
    ])('where others are quicker time and again, it ends with locks of all lots%s', async (where, gone, taken) => {
      const proxy = await openProxy(database.url)
      const [db, their] = [await open(undefined, { url: proxy.url }), await open(engine.other)]
      const productId = await newProduct(Object.fromEntries([...'abcdef'].map((lot) => [lot, { onHand: 5 }])))
      const from = { item: { productId, warehouse: 'main' }, quantity: 5 }
      await take(db, newId(), from)
      const writes = gone.map(() => proxy.next(WRITE, 'hold'))
      const inside = (): Promise<unknown> => db.$transactionWithRetry((tx) => take(tx, newId(), from))
      const answer = started(where ? inside() : take(db, newId(), from))
      for (const [i, lot] of gone.entries()) {
        await writes[i]?.happened
        await their.$stock.move({ transactionId: newId(), item: { ...from.item, lot }, quantity: -5 })
        writes[i]?.release()
      }
      expect(await answer).toEqual({ taken, replayed: false })
      expect(proxy.statements.filter((text) => LOCK.test(text))).toHaveLength(1)
      await expectExact()
    })

    test.each(['drop', 'cut'] as const)('an answer that is lost (%s) is found again, with its lots', async (loss) => {
      const proxy = await openProxy(database.url)
      const db = await open(undefined, { url: proxy.url })
      const productId = await newProduct({ a: { onHand: 5 }, b: { onHand: 5 } })
      const from = { item: { productId, warehouse: 'main' }, quantity: 3 }
      await take(db, newId(), from)
      proxy.next(method === 'moveAll' ? WRITE : /^COMMIT/, loss)
      const transactionId = newId()
      const { taken } = await take(db, transactionId, from)
      expect(taken).toEqual({ a: 2, b: 1 })
      expect(await take(db, transactionId, from)).toEqual({ taken, replayed: true })
      await expectExact()
    })

    test('a read of the lots that is cut is made again', async () => {
      const proxy = await openProxy(database.url)
      const db = await open(undefined, { url: proxy.url })
      const productId = await newProduct({ a: { onHand: 5 } })
      const from = { item: { productId, warehouse: 'main' }, quantity: 3 }
      proxy.next(/WINDOW turn/, 'cut')
      expect(await take(db, newId(), from)).toEqual({ taken: { a: 3 }, replayed: false })
      await expectExact()
    })

    test('a backend that is killed in the middle leaves all of it or nothing, and it is done once', async () => {
      const db = await open()
      const productId = await newProduct({ a: { onHand: 5 }, b: { onHand: 5 } })
      const from = { item: { productId, warehouse: 'main' }, quantity: 7 }
      const holder = await holdLots(productId)
      const transactionId = newId()
      const call = started(take(db, transactionId, from))
      await untilBlocked(database.url)
      await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'`)
      await holder.query('COMMIT')
      const { taken } = await call
      expect(taken).toEqual({ a: 5, b: 2 })
      expect(await take(db, transactionId, from)).toEqual({ taken, replayed: true })
      await expectExact()
    })

    test('in a transaction of the caller it is part of it: rolled back, or with all else', async () => {
      const db = await open()
      const productId = await newProduct({ a: { onHand: 5 }, b: { onHand: 5 } })
      const from = { item: { productId, warehouse: 'main' }, quantity: 4 }
      const [first, second] = [newId(), newId()]
      const back = db.$transactionWithRetry(async (tx) => {
        expect(await take(tx, first, from)).toMatchObject({ taken: { a: 4 } })
        expect(await take(tx, second, from)).toMatchObject({ taken: { a: 1, b: 3 } })
        expect(await rejectionOf(take(tx, newId(), from))).toMatchObject({ shortages: [{ available: 2 }] })
        expect(await take(tx, second, from)).toMatchObject({ taken: { a: 1, b: 3 }, replayed: true })
        throw new Error('rolled back')
      })
      expect(await rejectionOf(back)).toMatchObject({ message: 'rolled back' })
      expect([await onHand(productId), await movementsOf(first)]).toEqual([{ a: 5, b: 5 }, []])
      for (const isolationLevel of ['RepeatableRead', 'Serializable'] as const) {
        const call = db.$transactionWithRetry((tx) => take(tx, newId(), from), { isolationLevel })
        expect(await call).toMatchObject({ replayed: false })
      }
      await expectExact()
    })

    test('a caller that gives up while it waits has written nothing', async () => {
      const db = await open()
      const productId = await newProduct({ a: { onHand: 5 } })
      const from = { item: { productId, warehouse: 'main' }, quantity: 4 }
      const holder = await holdLots(productId)
      const lines = [{ from }]
      const late = db.$stock.moveAll({ transactionId: newId(), lines, retry: { deadline: 300 } })
      expect(await rejectionOf(late)).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
      const aborted = AbortSignal.abort(new Error('given up'))
      const given = db.$stock.moveAll({ transactionId: newId(), lines, signal: aborted })
      expect(await rejectionOf(given)).toMatchObject({ message: 'given up' })
      await holder.query('COMMIT')
      expect(await onHand(productId)).toEqual({ a: 5 })
    })
  })

  test('a call that has to choose again waits for the others of its batch as long as it wants to, and no longer', async () => {
    const db = await open()
    const productId = await newProduct({ a: { onHand: 5 } })
    const lines = [{ from: { item: { productId, warehouse: 'main' }, quantity: 5 } }]
    const holder = await holdLots(productId)
    const controller = new AbortController()
    // The first one has all of the lot, and waits for it.
    const first = started(db.$stock.moveAll({ transactionId: newId(), lines, retry: { deadline: 60_000 } }))
    const late = started(db.$stock.moveAll({ transactionId: newId(), lines, retry: { deadline: 500 } }))
    const aborted = started(db.$stock.moveAll({ transactionId: newId(), lines, signal: controller.signal }))
    await untilBlocked(database.url)
    controller.abort(new Error('given up'))
    expect(await rejectionOf(aborted)).toMatchObject({ message: 'given up' })
    expect(await rejectionOf(late)).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await holder.query('COMMIT')
    expect(await first).toMatchObject({ replayed: false })
    expect(await onHand(productId)).toEqual({ a: 0 })
  })

  test('a call that is aborted while the lots are read has written nothing, also where the read is cut', async () => {
    const proxy = await openProxy(database.url)
    const db = await open(undefined, { url: proxy.url })
    const productId = await newProduct({ a: { onHand: 5 } })
    const from = { item: { productId, warehouse: 'main' }, quantity: 1 }
    await TAKES.moveAll(db, newId(), from)
    const controller = new AbortController()
    const read = proxy.next(/WINDOW turn/, 'cut')
    const { signal } = controller
    void read.happened.then(() => controller.abort(new Error('given up')))
    const call = db.$stock.moveAll({ transactionId: newId(), lines: [{ from }], signal })
    expect(await rejectionOf(call)).toMatchObject({ message: 'given up' })
    expect(await onHand(productId)).toEqual({ a: 4 })
  })

  test('calls that come together are chosen by one read, and written by one statement', async () => {
    const { db, statements } = await openRecorded()
    const lots = Object.fromEntries([...'abcdefghij'].map((lot) => [lot, { onHand: 5 }]))
    const [productId, other] = [await newProduct(lots), await newProduct(lots)]
    const take = TAKES.moveAll
    const from = { item: { productId, warehouse: 'main' }, quantity: 2 }
    await take(db, newId(), { ...from, item: { ...from.item, productId: other } })
    statements.length = 0
    const answers = await Promise.allSettled(Array.from({ length: 30 }, () => take(db, newId(), from)))
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(25)
    // One read for all, one write; one read more for those that found too little, and a look for their ids.
    expect(statements.filter((text) => text.includes('INSERT'))).toHaveLength(1)
    expect(statements).toHaveLength(4)
    expect(Object.values(await onHand(productId))).toEqual(Array.from({ length: 10 }, () => 0))
    await expectExact()
  })

  test('a replay in a batch takes nothing from those behind it', async () => {
    const db = await open()
    const productId = await newProduct({ a: { onHand: 5 }, b: { onHand: 5 } })
    const from = { item: { productId, warehouse: 'main' }, quantity: 5 }
    const known = newId()
    await TAKES.moveAll(db, known, from)
    const [again, last] = await Promise.all([TAKES.moveAll(db, known, from), TAKES.moveAll(db, newId(), from)])
    expect([again, last]).toEqual([
      { taken: { a: 5 }, replayed: true },
      { taken: { b: 5 }, replayed: false },
    ])
  })

  test('a storm of all calls on a few lots, from two clients of two engines, adds up', async () => {
    const [db, their] = [await open(), await open(engine.other)]
    const lots = {
      a: { onHand: 20, days: 5 },
      b: { onHand: 20, days: 3 },
      c: { onHand: 20 },
      d: { onHand: 20, days: -1 },
    }
    const products = [await newProduct(lots), await newProduct(lots)]
    const ids = Array.from({ length: 60 }, newId)
    const work = ids.flatMap((transactionId, i) =>
      [db, their].map(async (each) => {
        const places = products.map((productId) => ({ productId, warehouse: 'main' }))
        const [place, other] = i % 2 === 0 ? places : places.toReversed()
        if (!place || !other) return
        const from = { item: place, quantity: 1 + (i % 4) }
        if (i % 5 === 0) {
          await each.$stock.move({ transactionId, item: { ...place, lot: 'b' }, quantity: 3 })
        } else if (i % 5 === 1) {
          await TAKES.reserve(each, transactionId, from)
          await (i % 2 === 0 ? each.$stock.fulfil({ transactionId }) : each.$stock.release({ transactionId }))
        } else if (i % 5 === 2) {
          await each.$transactionWithRetry((tx) => TAKES.moveAll(tx, transactionId, from))
        } else {
          const lines = [{ from }, { from: { item: other, quantity: 1 } }]
          await each.$stock.moveAll({ transactionId, lines })
        }
      }),
    )
    const outcomes = await Promise.allSettled(work)
    const failed = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
    const codes = new Set(failed.map(({ code }) => code))
    codes.delete('INSUFFICIENT_STOCK')
    codes.delete('RESERVATION_ENDED')
    expect([...codes]).toEqual([])
    expect(failed.length).toBeLessThan(work.length / 2)
    for (const productId of products) expect((await onHand(productId)).d).toBe(20)
    expect((await db.$stock.audit()).filter(({ item }) => products.includes(item.productId))).toEqual([])
    await expectExact()
  })
})
