import { describe, expect, test } from 'vitest'
import { isConcurrencyError, VersionConflictError } from '../../src/index.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

const RAISE = 'UPDATE "Product" SET stock = stock + 100, version = version + 1 WHERE id = $1'
const interfere = (id: number) => database.query(RAISE, [id])

describe("in a caller's transaction", () => {
  test('a versioned write sends its own statements and no others', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    statements.length = 0
    await db.$transaction(async (tx) => {
      const { version } = await tx.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })
      await tx.product.updateVersioned({ where: { id, version }, data: ({ stock }) => ({ stock: stock + 1 }) })
    })
    expect(statements.map((sql) => sql.split(' ')[0])).toEqual(['BEGIN', 'UPDATE', 'SELECT', 'UPDATE', 'COMMIT'])
  })

  test('four versioned writes of one row bump it four times', async () => {
    const { db } = connect()
    let current = await db.product.create({ data: { name: 'Chai' } })
    await db.$transaction(async (tx) => {
      for (let stock = 1; stock <= 4; stock++) {
        current = await tx.product.updateVersioned({
          where: { id: current.id, version: current.version },
          data: { stock },
        })
      }
    })
    expect(await db.product.findUnique({ where: { id: current.id } })).toMatchObject({ stock: 4, version: 4 })
  })

  test('a versioned write that is rolled back leaves the original version fresh', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })
        throw new Error('on second thoughts')
      }),
    )
    expect(await db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 2 } })).toMatchObject({
      stock: 2,
      version: 1,
    })
  })

  test('a versioned delete that is rolled back leaves the row', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.product.deleteVersioned({ where: { id, version: 0 }, include: { category: true } })
        throw new Error('on second thoughts')
      }),
    )
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ version: 0 })
  })

  test('a versioned write is seen by nobody before the commit', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    await db.$transaction(async (tx) => {
      await tx.product.updateVersioned({ where: { id }, data: () => ({ stock: 1 }) })
      expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 0, version: 0 })
    })
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 1, version: 1 })
  })

  test('a caught conflict does not poison the transaction: what else it does is committed', async () => {
    const { db } = connect()
    const stale = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const fresh = await db.product.create({ data: { name: 'Chang' } })
    await db.$transaction(async (tx) => {
      const error = await rejectionOf(
        tx.product.updateVersioned({ where: { id: stale.id, version: 0 }, data: { stock: 1 } }),
      )
      expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1 })
      await tx.product.updateVersioned({ where: { id: fresh.id, version: 0 }, data: { stock: 1 } })
    })
    expect(await db.product.findUnique({ where: { id: fresh.id } })).toMatchObject({ stock: 1 })
  })

  test('stale, missing and updated come as values too', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const data = { stock: 1 }
    const results = await db.$transaction(async (tx) => [
      await tx.product.tryUpdateVersioned({ where: { id, version: 0 }, data }),
      await tx.product.tryUpdateVersioned({ where: { id: -1, version: 0 }, data }),
      await tx.product.tryUpdateVersioned({ where: { id, version: 1 }, data }),
    ])
    expect(results.map(({ status }) => status)).toEqual(['stale', 'missing', 'updated'])
  })

  test('a conflict that a savepoint was rolled back over leaves the outer transaction whole', async () => {
    const { db } = connect()
    const outer = await db.product.create({ data: { name: 'Chai' } })
    const inner = await db.product.create({ data: { name: 'Chang' } })
    await db.$transaction(async (tx) => {
      await tx.product.updateVersioned({ where: { id: outer.id, version: 0 }, data: { stock: 1 } })
      const error = await rejectionOf(
        tx.$transaction(async (nested) => {
          await nested.product.updateVersioned({ where: { id: inner.id, version: 0 }, data: { stock: 1 } })
          await nested.product.updateVersioned({ where: { id: inner.id, version: 0 }, data: { stock: 2 } })
        }),
      )
      expect(error).toBeInstanceOf(VersionConflictError)
    })
    expect(await db.product.findUnique({ where: { id: outer.id } })).toMatchObject({ stock: 1, version: 1 })
    expect(await db.product.findUnique({ where: { id: inner.id } })).toMatchObject({ stock: 0, version: 0 })
  })

  test('an aborted signal keeps the write from being sent', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const reason = new Error('changed my mind')
    const signal = AbortSignal.abort(reason)
    const errors = await db.$transaction(async (tx) => [
      await rejectionOf(tx.product.updateVersioned({ where: { id }, data: () => ({ stock: 1 }), signal })),
      await rejectionOf(tx.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 }, signal })),
    ])
    expect(errors).toEqual([reason, reason])
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ version: 0 })
  })
})

describe('at READ COMMITTED', () => {
  test('a function is run again inside the transaction, on what the other writer left', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 1 } })
    const seen: number[] = []
    let bodies = 0
    await db.$transaction(async (tx) => {
      bodies++
      await tx.product.updateVersioned({
        where: { id },
        data: async ({ stock }, attempt) => {
          seen.push(stock)
          if (attempt === 1) await interfere(id)
          return { stock: stock + 1 }
        },
      })
    })
    expect(seen).toEqual([1, 101])
    expect(bodies).toBe(1)
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 102, version: 2 })
  })

  test('the third attempt locks the row, so that it cannot lose', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 1 } })
    const other = await openConnection(database.url)
    const attempts: number[] = []
    let blocked: Promise<unknown> = Promise.resolve()
    await db.$transaction((tx) =>
      tx.product.updateVersioned({
        where: { id },
        data: async ({ stock }, attempt) => {
          attempts.push(attempt)
          if (attempt < 3) await interfere(id)
          else {
            blocked = other.query(RAISE, [id])
            await untilBlocked(database.url)
          }
          return { stock: stock + 1 }
        },
      }),
    )
    await blocked
    expect(attempts).toEqual([1, 2, 3])
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 302, version: 4 })
  })

  test('attempts that run out are the conflict', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const error = await rejectionOf(
      db.$transaction((tx) =>
        tx.product.updateVersioned({
          where: { id },
          data: async () => {
            await interfere(id)
            return { stock: 1 }
          },
          retry: { attempts: 2 },
        }),
      ),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', attempts: 2, expected: 1, actual: 2 })
  })

  test('a given version that does not match is a conflict, once', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    let runs = 0
    const error = await rejectionOf(
      db.$transaction((tx) =>
        tx.product.updateVersioned({ where: { id, version: 0 }, data: () => ({ stock: ++runs }) }),
      ),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', attempts: 1 })
    expect(runs).toBe(0)
  })
})

describe('the queue of the process', () => {
  test('is not entered from inside a transaction: a caller who waits for its row does not keep it waiting', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const attempts: number[] = []
    let queued: Promise<unknown> = Promise.resolve()
    await db.$transaction(async (tx) => {
      await tx.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
      // It has its turn in the process, and waits in the database for the row of this transaction.
      queued = db.product
        .updateVersioned({
          where: { id },
          data: ({ stock }, attempt) => {
            attempts.push(attempt)
            return { stock: stock + 10 }
          },
        })
        .then((record) => record)
      await untilBlocked(database.url)
      await tx.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
    })
    await queued
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 12, version: 3 })
    expect(attempts).toEqual([1, 2])
  })

  test('is not entered inside $transactionWithRetry either', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const { opened, open } = gate()
    const entered = gate()
    const first = db.product
      .updateVersioned({
        where: { id },
        data: async ({ stock }) => {
          entered.open()
          await opened
          return { stock: stock + 10 }
        },
      })
      .then((record) => record)
    await entered.opened
    await db.$transactionWithRetry((tx) =>
      tx.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) }),
    )
    open()
    expect(await first).toMatchObject({ stock: 11, version: 2 })
  })

  test('leaves a deadlock of two transactions to PostgreSQL, and both get through when run again', async () => {
    const { db } = connect()
    const a = await db.product.create({ data: { name: 'Chai' } })
    const b = await db.product.create({ data: { name: 'Chang' } })
    const both = [gate(), gate()]
    const transfer = (from: number, to: number, self: number) =>
      db.$transactionWithRetry(async (tx, { attempt }) => {
        await tx.product.updateVersioned({ where: { id: from }, data: ({ stock }) => ({ stock: stock - 1 }) })
        both[self]?.open()
        if (attempt === 1) await both[1 - self]?.opened
        await tx.product.updateVersioned({ where: { id: to }, data: ({ stock }) => ({ stock: stock + 1 }) })
      })
    await Promise.all([transfer(a.id, b.id, 0), transfer(b.id, a.id, 1)])
    const rows = await db.product.findMany({ where: { id: { in: [a.id, b.id] } } })
    expect(rows).toEqual([
      expect.objectContaining({ stock: 0, version: 2 }),
      expect.objectContaining({ stock: 0, version: 2 }),
    ])
  })
})

describe.each(['RepeatableRead', 'Serializable'] as const)('at %s', (isolationLevel) => {
  test('a conflict of a function goes up at once as 40001, after one attempt', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const attempts: number[] = []
    const error = await rejectionOf(
      db.$transaction(
        (tx) =>
          tx.product.updateVersioned({
            where: { id },
            data: async (_, attempt) => {
              attempts.push(attempt)
              await interfere(id)
              return { stock: 1 }
            },
          }),
        { isolationLevel },
      ),
    )
    expect(error).toMatchObject({ code: 'P2034' })
    expect(attempts).toEqual([1])
  })

  test('a conflict of a held version that came after the snapshot goes up at once as 40001', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    statements.length = 0
    const error = await rejectionOf(
      db.$transaction(
        async (tx) => {
          const { version } = await tx.product.findUniqueOrThrow({ where: { id } })
          await interfere(id)
          await tx.product.updateVersioned({ where: { id, version }, data: { stock: 1 } })
        },
        { isolationLevel },
      ),
    )
    expect(error).toMatchObject({ code: 'P2034' })
    expect(statements.filter((sql) => sql.startsWith('UPDATE'))).toHaveLength(1)
  })

  test('a version that was stale in the snapshot already is a VersionConflictError', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const error = await rejectionOf(
      db.$transaction((tx) => tx.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } }), {
        isolationLevel,
      }),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1, attempts: 1 })
  })

  test('$transactionWithRetry runs the whole body again, and it wins', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 1 } })
    const bodies: number[] = []
    await db.$transactionWithRetry(
      async (tx, { attempt }) => {
        bodies.push(attempt)
        await tx.product.updateVersioned({
          where: { id },
          data: async ({ stock }) => {
            if (attempt === 1) await interfere(id)
            return { stock: stock + 1 }
          },
        })
      },
      { isolationLevel },
    )
    expect(bodies).toEqual([1, 2])
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 102, version: 2 })
  })

  test('$transactionWithRetry throws a conflict of a version from outside the body at once, not ten times', async () => {
    const { db } = connect()
    const { id, version } = await db.product.create({ data: { name: 'Chai' } })
    await interfere(id)
    let bodies = 0
    const error = await rejectionOf(
      db.$transactionWithRetry(
        async (tx) => {
          bodies++
          await tx.product.updateVersioned({ where: { id, version }, data: { stock: 1 } })
        },
        { isolationLevel },
      ),
    )
    expect(isConcurrencyError(error, 'VERSION_CONFLICT')).toBe(true)
    expect(bodies).toBeLessThanOrEqual(2)
  })

  test('a row deleted after the snapshot goes up as 40001, and is missing in the next run', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    let bodies = 0
    const error = await rejectionOf(
      db.$transactionWithRetry(
        async (tx) => {
          bodies++
          await tx.product.updateVersioned({
            where: { id },
            data: async () => {
              await database.query('DELETE FROM "Product" WHERE id = $1', [id])
              return { stock: 1 }
            },
          })
        },
        { isolationLevel },
      ),
    )
    expect(error).toMatchObject({ code: 'P2025' })
    expect(bodies).toBe(2)
  })

  test('a delete with relations that had to wait for a writer goes up as 40001', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const other = await openTransaction(database.url, RAISE, [id])
    const refused = rejectionOf(
      db.$transaction((tx) => tx.product.deleteVersioned({ where: { id, version: 0 }, include: { category: true } }), {
        isolationLevel,
      }),
    )
    await untilBlocked(database.url)
    await other.query('COMMIT')
    expect(await refused).toMatchObject({ code: expect.stringMatching(/^P20(34|10)$/) })
    expect(await db.product.count({ where: { id } })).toBe(1)
  })
})
