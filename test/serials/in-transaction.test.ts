import { beforeAll, describe, expect, test } from 'vitest'
import { rejectionOf } from '../support/rejection.js'
import { newId, numbersOf, useSerials } from '../support/serials.js'

const { database, connect, newProduct, owners, isNoted } = useSerials()

beforeAll(() => database.query('ALTER TABLE "Serial" ADD CHECK ("orderId" <> 666)'))

describe('inside a transaction', () => {
  test('serials are taken when it commits, and are there for what comes after in it', async () => {
    const { db } = connect()
    const productId = await newProduct(3)
    const transactionId = newId()

    const counted = await db.$transaction(async (tx) => {
      await tx.$serials.allocate({ transactionId, where: { productId }, count: 2 })
      return [await tx.serial.count({ where: { transactionId } }), await tx.$serials.free({ productId })]
    })

    expect(counted).toEqual([2, 1])
    expect(await owners(productId)).toEqual({ 'S-1': transactionId, 'S-2': transactionId, 'S-3': null })
  })

  test.each(['$transaction', '$transactionWithRetry'] as const)(
    'of %s nothing is taken, imported or released when it rolls back',
    async (method) => {
      const { db } = connect()
      const productId = await newProduct(3)
      const ids = [newId(), newId(), newId()]
      await db.$serials.allocate({ transactionId: ids[0], where: { productId }, count: 1 })

      const body = async (tx: Pick<typeof db, '$serials'>) => {
        await tx.$serials.release({ transactionId: ids[0] })
        await tx.$serials.allocate({ transactionId: ids[1], where: { productId }, count: 3 })
        await tx.$serials.import({ transactionId: ids[2], data: { productId }, numbers: ['S-4'] })
        throw new Error('rolled back')
      }
      const error = await rejectionOf(
        method === '$transaction' ? db.$transaction(body) : db.$transactionWithRetry(body),
      )

      expect(error).toMatchObject({ message: 'rolled back' })
      expect(await owners(productId)).toEqual({ 'S-1': ids[0], 'S-2': null, 'S-3': null })
      expect([await isNoted(ids[1]), await isNoted(ids[2])]).toEqual([false, false])
    },
  )

  test('of a savepoint nothing is taken when that rolls back alone', async () => {
    const { db } = connect()
    const productId = await newProduct(3)
    const [kept, undone] = [newId(), newId()]

    await db.$transaction(async (tx) => {
      await tx.$serials.allocate({ transactionId: kept, where: { productId }, count: 1 })
      await rejectionOf(
        tx.$transaction(async (inner) => {
          await inner.$serials.allocate({ transactionId: undone, where: { productId }, count: 1 })
          throw new Error('rolled back')
        }),
      )
    })

    expect(await owners(productId)).toEqual({ 'S-1': kept, 'S-2': null, 'S-3': null })
    expect(await isNoted(undone)).toBe(false)
  })

  test('a refusal leaves nothing, and the transaction goes on', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    const refused = newId()
    const granted = newId()

    const error = await db.$transaction(async (tx) => {
      const error = await rejectionOf(tx.$serials.allocate({ transactionId: refused, where: { productId }, count: 3 }))
      await tx.$serials.allocate({ transactionId: granted, where: { productId }, count: 2 })
      return error
    })

    expect(error).toMatchObject({ code: 'INSUFFICIENT_SERIALS', free: 2 })
    expect(await isNoted(refused)).toBe(false)
    expect(await owners(productId)).toEqual({ 'S-1': granted, 'S-2': granted })
  })

  test('a refused import leaves nothing, and the transaction goes on', async () => {
    const { db } = connect()
    const productId = await newProduct(1)
    const refused = newId()

    const error = await db.$transaction(async (tx) => {
      const call = tx.$serials.import({ transactionId: refused, data: { productId }, numbers: ['S-0', 'S-1'] })
      const error = await rejectionOf(call)
      await tx.$serials.import({ transactionId: newId(), data: { productId }, numbers: ['S-2'] })
      return error
    })

    expect(error).toMatchObject({ code: 'DUPLICATE_SERIALS', numbers: ['S-1'] })
    expect(await isNoted(refused)).toBe(false)
    expect(Object.keys(await owners(productId))).toEqual(['S-1', 'S-2'])
  })

  test('a value that the database itself refuses does not end the transaction', async () => {
    const { db } = connect()
    const productId = await newProduct(2)
    const [bad, good] = [newId(), newId()]

    await db.$transaction(async (tx) => {
      const call = tx.$serials.allocate({ transactionId: bad, where: { productId }, count: 1, data: { orderId: 666 } })
      expect(await rejectionOf(call)).toMatchObject({ message: expect.stringContaining('Serial_orderId_check') })
      await tx.$serials.allocate({ transactionId: good, where: { productId }, count: 1 })
    })

    expect(await isNoted(bad)).toBe(false)
    expect(await owners(productId)).toEqual({ 'S-1': good, 'S-2': null })
  })

  test('a duplicate is answered, also in the very transaction of the first, and does not end it', async () => {
    const { db } = connect()
    const productId = await newProduct(4)
    const request = { transactionId: newId(), where: { productId }, count: 2 }

    const [first, second] = await db.$transaction(async (tx) => [
      await tx.$serials.allocate(request),
      await tx.$serials.allocate(request),
    ])
    const third = await db.$transaction((tx) => tx.$serials.allocate(request))

    expect([second, third]).toEqual([
      { ...first, replayed: true },
      { ...first, replayed: true },
    ])
  })

  test('many calls at once take turns, and one that is refused takes none of the others with it', async () => {
    const { db } = connect()
    const productId = await newProduct(6)
    const allocate = (tx: Pick<typeof db, '$serials'>, count: number) =>
      tx.$serials.allocate({ transactionId: newId(), where: { productId }, count })

    const outcomes = await db.$transaction((tx) =>
      Promise.allSettled([allocate(tx, 2), allocate(tx, 9), allocate(tx, 1), allocate(tx, 9), allocate(tx, 3)]),
    )

    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
    ])
    expect(await db.$serials.free({ productId })).toBe(0)
  })

  test('what is released can be taken again in it', async () => {
    const { db } = connect()
    const productId = await newProduct(1)
    const [before, after] = [newId(), newId()]
    await db.$serials.allocate({ transactionId: before, where: { productId }, count: 1 })

    const outcome = await db.$transaction(async (tx) => {
      await tx.$serials.release({ transactionId: before })
      return tx.$serials.allocate({ transactionId: after, where: { productId }, count: 1 })
    })

    expect(numbersOf(outcome)).toEqual(['S-1'])
  })

  test.each(['RepeatableRead', 'Serializable'] as const)(
    'at %s a serial that was taken since its snapshot is a conflict, which $transactionWithRetry runs again',
    async (isolationLevel) => {
      const { db } = connect()
      const productId = await newProduct(2)
      const attempts: number[] = []

      const outcome = await db.$transactionWithRetry(
        async (tx, { attempt }) => {
          attempts.push(attempt)
          await tx.$serials.free({ productId })
          if (attempt === 1) await db.$serials.allocate({ transactionId: newId(), where: { productId }, count: 1 })
          return tx.$serials.allocate({ transactionId: newId(), where: { productId }, count: 1 })
        },
        { isolationLevel },
      )

      expect(numbersOf(outcome)).toEqual(['S-2'])
      expect(attempts).toEqual([1, 2])
    },
  )

  test.each(['RepeatableRead', 'Serializable'] as const)(
    'at %s a duplicate of what was allocated since its snapshot is a conflict, and then a replay',
    async (isolationLevel) => {
      const { db } = connect()
      const productId = await newProduct(4)
      const request = { transactionId: newId(), where: { productId }, count: 2 }

      const outcome = await db.$transactionWithRetry(
        async (tx, { attempt }) => {
          await tx.$serials.free({ productId })
          if (attempt === 1) await db.$serials.allocate(request)
          return tx.$serials.allocate(request)
        },
        { isolationLevel },
      )

      expect(outcome).toMatchObject({ replayed: true, serials: [{}, {}] })
      expect(await db.$serials.free({ productId })).toBe(2)
    },
  )
})
