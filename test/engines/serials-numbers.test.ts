import { randomInt, randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { setupOf } from '../../src/engine/setup.js'
import { ownershipFlaws } from '../../src/serials/audit.js'
import type { SerialsMap } from '../../src/serials/mapping.js'
import { openConnection } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines(({ connectErp, database, other }) => {
  const newId = () => randomUUID()
  const newProduct = async (count: number) => {
    const productId = randomInt(1, 2 ** 31)
    await database.query(
      `INSERT INTO "Serial" ("productId", number) SELECT $1, 'S-' || n FROM generate_series(1, $2::int) AS n`,
      [productId, count],
    )
    return productId
  }
  const ownersOf = async (productId: number): Promise<Record<string, string | null>> => {
    const rows = await database.query(
      'SELECT number, "transactionId" FROM "Serial" WHERE "productId" = $1 ORDER BY number',
      [productId],
    )
    return Object.fromEntries(rows.map(({ number, transactionId }) => [number, transactionId]))
  }
  const isNoted = async (transactionId: string) =>
    (await database.query('SELECT FROM "SerialAllocation" WHERE "transactionId" = $1', [transactionId])).length > 0
  const numbersOf = ({ serials }: { readonly serials: readonly { readonly number: string }[] }) =>
    serials.map(({ number }) => number)
  /** Holds a serial in a transaction that is about to give it to an owner. */
  const holdFor = async (productId: number, number: string, owner: string | null) => {
    const holder = await openConnection(database.url)
    await holder.query('BEGIN')
    await holder.query('UPDATE "Serial" SET "transactionId" = $3 WHERE "productId" = $1 AND number = $2', [
      productId,
      number,
      owner,
    ])
    return holder
  }

  describe('allocate by numbers', () => {
    test('takes these serials, sets what is given, and returns their rows', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(4)
      const transactionId = newId()

      const call = { transactionId, where: { productId }, numbers: ['S-4', 'S-2'], data: { orderId: 7 } }
      const taken = await db.$serials.allocate(call)

      expect(taken).toEqual({
        serials: [
          { productId, number: 'S-2', transactionId, orderId: 7 },
          { productId, number: 'S-4', transactionId, orderId: 7 },
        ],
        replayed: false,
      })
      expect(await ownersOf(productId)).toEqual({
        'S-1': null,
        'S-2': transactionId,
        'S-3': null,
        'S-4': transactionId,
      })
    })

    test('gives a duplicate the same, whichever engine asks, and in whichever order it names them', async () => {
      const { db } = await connectErp()
      const { db: their } = await connectErp(other)
      const productId = await newProduct(3)
      const call = { transactionId: newId(), where: { productId }, numbers: ['S-1', 'S-3'] }
      const { serials } = await db.$serials.allocate(call)

      expect(await their.$serials.allocate({ ...call, numbers: ['S-3', 'S-1'] })).toEqual({ serials, replayed: true })
      expect(await db.$transactionWithRetry((tx) => tx.$serials.allocate(call))).toEqual({ serials, replayed: true })
    })

    test('refuses a transaction id that came with other numbers, or with a count', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(3)
      const call = { transactionId: newId(), where: { productId }, numbers: ['S-1'] }
      await db.$serials.allocate(call)

      const others = await rejectionOf(db.$serials.allocate({ ...call, numbers: ['S-1', 'S-2'] }))
      const { numbers: _, ...rest } = call
      const count = await rejectionOf(db.$serials.allocate({ ...rest, count: 1 }))

      expect(others).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['numbers'] })
      expect(count).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['numbers', 'count'] })
    })

    test.each(['on the client', 'in a transaction'])(
      'names those that somebody has and those that are not there, and takes none, %s',
      async (place) => {
        const { db } = await connectErp()
        const productId = await newProduct(4)
        const [theirs, transactionId] = [newId(), newId()]
        await db.$serials.allocate({ transactionId: theirs, where: { productId }, numbers: ['S-2', 'S-3'] })

        const call = { transactionId, where: { productId }, numbers: ['S-1', 'S-2', 'S-3', 'X-1'] }
        const isAlone = place === 'on the client'
        const error = await rejectionOf(
          isAlone ? db.$serials.allocate(call) : db.$transactionWithRetry((tx) => tx.$serials.allocate(call)),
        )

        const refusal = { code: 'SERIALS_UNAVAILABLE', transactionId, taken: ['S-2', 'S-3'], missing: ['X-1'] }
        expect(error).toMatchObject(refusal)
        expect(await ownersOf(productId)).toEqual({ 'S-1': null, 'S-2': theirs, 'S-3': theirs, 'S-4': null })
        expect(await isNoted(transactionId)).toBe(false)
        expect(await db.$serials.allocate({ ...call, numbers: ['S-1', 'S-4'] })).toMatchObject({ replayed: false })
      },
    )

    test('takes what is of the other values of where, too, or finds it is not there', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(2)
      await database.query('UPDATE "Serial" SET "orderId" = 5 WHERE "productId" = $1 AND number = $2', [
        productId,
        'S-1',
      ])
      const take = (number: string) =>
        db.$serials.allocate({ transactionId: newId(), where: { productId, orderId: 5 }, numbers: [number] })

      expect(await rejectionOf(take('S-2'))).toMatchObject({ taken: [], missing: ['S-2'] })
      expect(numbersOf(await take('S-1'))).toEqual(['S-1'])
    })

    test('of calls at once gives each serial to one of them, and refuses the others by name', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(4)
      const take = (...numbers: string[]) =>
        db.$serials.allocate({ transactionId: newId(), where: { productId }, numbers })

      const outcomes = await Promise.allSettled([
        take('S-1', 'S-2'),
        take('S-2', 'S-3'),
        take('S-4'),
        take('S-3', 'S-9'),
        take('S-3'),
      ])

      expect(outcomes).toMatchObject([
        { value: { replayed: false } },
        { reason: { taken: ['S-2'], missing: [] } },
        { value: { replayed: false } },
        { reason: { missing: ['S-9'] } },
        { value: { replayed: false } },
      ])
    })

    test.each([
      ['refused if that commits', 'COMMIT'],
      ['done if that rolls back', 'ROLLBACK'],
    ])('of a serial that somebody is about to take waits, and is %s', async (_, end) => {
      const { db } = await connectErp()
      const productId = await newProduct(2)
      const holder = await holdFor(productId, 'S-1', newId())
      const call = { transactionId: newId(), where: { productId }, numbers: ['S-2', 'S-1'] }

      const pending = Promise.allSettled([db.$serials.allocate(call)])
      await untilBlocked(database.url)
      await holder.query(end)

      const [outcome] = await pending
      if (end === 'COMMIT') {
        expect(outcome).toMatchObject({ reason: { code: 'SERIALS_UNAVAILABLE', taken: ['S-1'], missing: [] } })
        expect((await ownersOf(productId))['S-2']).toBe(null)
      } else expect(outcome).toMatchObject({ value: { serials: [{ number: 'S-1' }, { number: 'S-2' }] } })
    })

    test('finds a serial that is given back while it waits for another one', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(2)
      const theirs = newId()
      await db.$serials.allocate({ transactionId: theirs, where: { productId }, numbers: ['S-2'] })
      const holder = await holdFor(productId, 'S-1', null)

      const call = { transactionId: newId(), where: { productId }, numbers: ['S-1', 'S-2'] }
      const pending = db.$transactionWithRetry((tx) => tx.$serials.allocate(call))
      await untilBlocked(database.url)
      await db.$serials.release({ transactionId: theirs })
      await holder.query('COMMIT')

      expect(numbersOf(await pending)).toEqual(['S-1', 'S-2'])
    })

    test('whose answer is lost is answered with what it took', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await connectErp(undefined, { url: proxy.url })
      const productId = await newProduct(2)
      await db.$serials.free({ productId })
      proxy.next(/^WITH[\s\S]*SKIP LOCKED/, 'drop')

      const taken = await db.$serials.allocate({ transactionId: newId(), where: { productId }, numbers: ['S-2'] })

      expect(numbersOf(taken)).toEqual(['S-2'])
    })

    test('whose connection is ended while it waits is done by another one', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(1)
      const holder = await holdFor(productId, 'S-1', null)

      const pending = Promise.all([
        db.$serials.allocate({ transactionId: newId(), where: { productId }, numbers: ['S-1'] }),
      ])
      await untilBlocked(database.url)
      await database.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      )
      await holder.query('ROLLBACK')

      expect((await pending).map(numbersOf)).toEqual([['S-1']])
    })

    test('is part of the transaction that it is called in', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(2)
      const transactionId = newId()
      const work = db.$transactionWithRetry(async (tx) => {
        await tx.$serials.allocate({ transactionId, where: { productId }, numbers: ['S-2'] })
        throw new Error('rolled back')
      })
      await rejectionOf(work)
      expect([await db.$serials.free({ productId }), await isNoted(transactionId)]).toEqual([2, false])
    })

    test('of lists that overlap in all orders ends without a deadlock, and each serial has one owner', async () => {
      const { db } = await connectErp(undefined, { options: { onEvent: (event) => events.push(event.type) } })
      const { db: their } = await connectErp(other, { options: { onEvent: (event) => events.push(event.type) } })
      const events: string[] = []
      const productId = await newProduct(12)
      const shuffled = () =>
        Array.from({ length: 12 }, (_, i) => `S-${i + 1}`)
          .map((number) => [Math.random(), number] as const)
          .sort(([a], [b]) => a - b)
          .map(([, number]) => number)
      const calls = Array.from({ length: 60 }, (_, i) => {
        const call = { transactionId: newId(), where: { productId }, numbers: shuffled().slice(0, 1 + (i % 4)) }
        const each = i % 2 === 0 ? db : their
        const made =
          i % 3 === 0 ? each.$transactionWithRetry((tx) => tx.$serials.allocate(call)) : each.$serials.allocate(call)
        return made.then(
          () => call,
          (error: { code: string }) => error.code,
        )
      })

      const outcomes = await Promise.all(calls)

      const taken = outcomes.flatMap((outcome) => (typeof outcome === 'string' ? [] : outcome.numbers))
      expect(new Set(outcomes.filter((outcome) => typeof outcome === 'string'))).toEqual(
        new Set(['SERIALS_UNAVAILABLE']),
      )
      expect(new Set(taken).size).toBe(taken.length)
      expect(events).not.toContain('deadlock')
      const owners = await ownersOf(productId)
      for (const call of outcomes) {
        if (typeof call !== 'string')
          expect(call.numbers.map((number) => owners[number])).toEqual(call.numbers.map(() => call.transactionId))
      }
      const setup = setupOf(db)
      const map = setup?.features.find(({ name }) => name === 'serials')?.map as SerialsMap
      const ids = new Set(Object.values(owners))
      for await (const { transactionId } of ownershipFlaws(setup?.session as never, map)) {
        expect(ids).not.toContain(transactionId)
      }
    })

    test.each<[field: string, args: object]>([
      ['numbers', { where: { productId: 1 }, numbers: [] }],
      ['numbers', { where: { productId: 1 }, numbers: 'S-1' }],
      ['numbers', { where: { productId: 1 }, numbers: ['S-1', 'S-1'] }],
      ['numbers.0', { where: { productId: 1 }, numbers: [1] }],
      ['numbers.1', { where: { productId: 1 }, numbers: ['S-1', 'a\0'] }],
      ['count', { where: { productId: 1 }, numbers: ['S-1'], count: 1 }],
      ['partial', { where: { productId: 1 }, numbers: ['S-1'], partial: true }],
      ['where.productId', { numbers: ['S-1'] }],
      ['where.productId', { where: { orderId: 1 }, numbers: ['S-1'] }],
      ['where.number', { where: { productId: 1, number: 'S-1' }, numbers: ['S-1'] }],
    ])('is not sent with a wrong %s: %j', async (field, args) => {
      const { db } = await connectErp()
      const transactionId = newId()
      const error = await rejectionOf(db.$serials.allocate({ transactionId, ...args } as never))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    })
  })
})
