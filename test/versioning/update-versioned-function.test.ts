import { describe, expect, test } from 'vitest'
import { concurrency, DeadlineExceededError, VersionConflictError } from '../../src/index.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { passingTime, passingTimers } from '../support/passing-time.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'
import { warm } from '../support/warm.js'

const { database, connect } = useExtended()

/** Another writer, past Prisma, who takes what a versioned writer has just read out of date. */
const interfere = (id: number, column = 'stock') =>
  database.query(`UPDATE "Product" SET ${column} = ${column} + 100, version = version + 1 WHERE id = $1`, [id])

const RAISE = 'UPDATE "Product" SET stock = stock + 1000, version = version + 1 WHERE id = $1'

const kindsOf = (statements: string[]) => statements.map((sql) => sql.split(' ')[0])

describe('read, change, write', () => {
  test('is two statements, a SELECT and the guarded UPDATE', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 3 } })
    statements.length = 0
    await db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock - 1 }) })
    expect(kindsOf(statements)).toEqual(['SELECT', 'UPDATE'])
    expect(statements[1]).toMatch(/WHERE .*"version" = \$\d+/)
  })

  test('writes what the function makes of the current record', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 3, version: 7 } })
    const written = await db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock - 1 }) })
    expect(written).toMatchObject({ stock: 2, version: 8 })
  })

  test('gives the function every scalar of the record and the number of the attempt', async () => {
    const { db } = connect()
    const record = await db.product.create({ data: { name: 'Chai', stock: 3, price: '18.50' } })
    let seen: unknown
    await db.product.updateVersioned({
      where: { id: record.id },
      data: (current, attempt) => {
        seen = { current, attempt }
        return { stock: 0 }
      },
      select: { name: true },
    })
    expect(seen).toEqual({ current: record, attempt: 1 })
  })

  test('gives the function also what the client omits by default', async () => {
    const { client } = database.connect({ omit: { product: { version: true, price: true } } })
    const db = client.$extends(concurrency())
    const { id } = await db.product.create({ data: { name: 'Chai', price: 18 } })
    let seen: object = {}
    const written = await db.product.updateVersioned({
      where: { id },
      data: (current) => {
        seen = current
        return { stock: 1 }
      },
    })
    expect(seen).toMatchObject({ version: 0, price: expect.anything() })
    expect(written).not.toHaveProperty('version')
    expect(written).not.toHaveProperty('price')
  })

  test('waits for a function that is async', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 3 } })
    const { opened, open } = gate()
    const written = db.product
      .updateVersioned({
        where: { id },
        data: async ({ stock }) => {
          await opened
          return { stock: stock - 1 }
        },
      })
      .then((record) => record)
    open()
    expect(await written).toMatchObject({ stock: 2 })
  })

  test('bumps also when the function returns nothing but nested writes', async () => {
    const { db } = connect()
    const product = await db.product.create({ data: { name: 'Chai' } })
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    const written = await db.order.updateVersioned({
      where: { id },
      data: () => ({ lines: { create: { productId: product.id, quantity: 1 } } }),
    })
    expect(written.version).toBe(1)
  })

  test('bumps also when the function returns empty data', async () => {
    const { db } = connect()
    const { id } = await db.order.create({ data: { customer: 'ALFKI' } })
    expect(await db.order.updateVersioned({ where: { id }, data: () => ({}) })).toMatchObject({ version: 1 })
  })

  test('of a row that is not there is P2025, and the function does not run', async () => {
    const { db } = connect()
    let runs = 0
    const error = await rejectionOf(db.product.updateVersioned({ where: { id: -1 }, data: () => ({ stock: runs++ }) }))
    expect(error).toMatchObject({ code: 'P2025' })
    expect(runs).toBe(0)
  })

  test('of a row that is deleted between read and write is P2025, and the function does not run again', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    let runs = 0
    const error = await rejectionOf(
      db.product.updateVersioned({
        where: { id },
        data: async () => {
          runs++
          await database.query('DELETE FROM "Product" WHERE id = $1', [id])
          return { stock: 1 }
        },
      }),
    )
    expect(error).toMatchObject({ code: 'P2025' })
    expect(runs).toBe(1)
  })

  test('keeps the P2025 of a nested connect apart from both a missing row and a conflict', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    let runs = 0
    const error = await rejectionOf(
      db.product.updateVersioned({
        where: { id },
        data: () => {
          runs++
          return { name: 'Chang', category: { connect: { id: -1 } } }
        },
      }),
    )
    expect(error).toMatchObject({ code: 'P2025', meta: { operation: expect.not.stringMatching(/^an update$/) } })
    expect(runs).toBe(1)
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ name: 'Chai', version: 0 })
  })

  test('at the highest version is a VersionOverflowError after one run', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 2_147_483_647 } })
    let runs = 0
    const error = await rejectionOf(db.product.updateVersioned({ where: { id }, data: () => ({ stock: ++runs }) }))
    expect(error).toMatchObject({ code: 'VERSION_OVERFLOW' })
    expect(runs).toBe(1)
  })
})

describe('a function that returns undefined', () => {
  test('writes nothing, and the call returns the current record', async () => {
    const { db, statements } = connect()
    const record = await db.product.create({ data: { name: 'Chai', stock: 3 } })
    statements.length = 0
    const result = await db.product.updateVersioned({ where: { id: record.id }, data: () => undefined })
    expect(result).toEqual(record)
    expect(kindsOf(statements)).not.toContain('UPDATE')
  })

  test('returns the record as it was selected', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 3 } })
    const result = await db.product.updateVersioned({ where: { id }, data: () => undefined, select: { stock: true } })
    expect(result).toEqual({ stock: 3 })
  })

  test('is asked again when the record it decided about has changed meanwhile', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 0 } })
    const seen: number[] = []
    const result = await db.product.updateVersioned({
      where: { id },
      data: async ({ stock }) => {
        seen.push(stock)
        if (seen.length === 1) await interfere(id)
        return stock === 0 ? undefined : { stock: stock - 1 }
      },
    })
    expect(seen).toEqual([0, 100])
    expect(result.stock).toBe(99)
  })
})

describe('a version given beside the function', () => {
  test('must match what is read first, or the function does not run and nothing is retried', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 8 } })
    let runs = 0
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id, version: 7 }, data: () => ({ stock: ++runs }) }),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 7, actual: 8, attempts: 1, where: { id } })
    expect(runs).toBe(0)
  })

  test('0 is compared like any other', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 1 } })
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id, version: 0 }, data: () => ({ stock: 1 }) }),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1 })
  })

  test('counts for the first read only: a conflict after it is retried', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', version: 7 } })
    const attempts: number[] = []
    const written = await db.product.updateVersioned({
      where: { id, version: 7 },
      data: async ({ stock }, attempt) => {
        attempts.push(attempt)
        if (attempt === 1) await interfere(id)
        return { stock: stock + 1 }
      },
    })
    expect(attempts).toEqual([1, 2])
    expect(written).toMatchObject({ stock: 101, version: 9 })
  })
})

describe('retry', () => {
  test('reads the row anew in every attempt, so that no other write is lost', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 1 } })
    const seen: number[] = []
    await db.product.updateVersioned({
      where: { id },
      data: async ({ stock }, attempt) => {
        seen.push(stock)
        if (attempt === 1) await interfere(id)
        return { stock: stock + 1 }
      },
    })
    expect(seen).toEqual([1, 101])
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 102, version: 2 })
  })

  test('runs the function once if it succeeds at once', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    let runs = 0
    await db.product.updateVersioned({ where: { id }, data: () => ({ stock: ++runs }) })
    expect(runs).toBe(1)
  })

  test('runs the function three times for two conflicts', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const attempts: number[] = []
    await db.product.updateVersioned({
      where: { id },
      data: async (_, attempt) => {
        attempts.push(attempt)
        if (attempt < 3) await interfere(id)
        return { stock: 1 }
      },
    })
    expect(attempts).toEqual([1, 2, 3])
  })

  test('throws the error of the function itself, after one run and with nothing written', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const reason = new Error('sold out')
    let runs = 0
    const error = await rejectionOf(
      db.product.updateVersioned({
        where: { id },
        data: () => {
          runs++
          throw reason
        },
      }),
    )
    expect(error).toBe(reason)
    expect(runs).toBe(1)
    expect(reason).not.toHaveProperty('attempts')
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ version: 0 })
  })

  test('throws what is no error just the same', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const thrown = await rejectionOf(
      db.product.updateVersioned({ where: { id }, data: () => Promise.reject('sold out') }),
    )
    expect(thrown).toBe('sold out')
  })

  test('of an error of the caller’s own is up to `retryOn`', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const flaky = new Error('price service is busy')
    let runs = 0
    await db.product.updateVersioned({
      where: { id },
      data: () => {
        if (++runs < 3) throw flaky
        return { stock: runs }
      },
      retry: { retryOn: (error) => error === flaky, baseDelay: 0 },
    })
    expect(runs).toBe(3)
  })

  test.each([1, 2])('of `attempts: %i` ends with the last conflict after as many runs', async (attempts) => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    let runs = 0
    const error = await rejectionOf(
      db.product.updateVersioned({
        where: { id },
        data: async () => {
          runs++
          await interfere(id)
          return { stock: 1 }
        },
        retry: { attempts },
      }),
    )
    expect(error).toBeInstanceOf(VersionConflictError)
    expect(error).toMatchObject({ attempts, expected: attempts - 1, actual: attempts })
    expect(runs).toBe(attempts)
  })

  test('is set for all calls of a client, and anew for a single call', async () => {
    const db = database.connect().client.$extends(concurrency({ retry: { attempts: 1 } }))
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const data = async ({ stock }: { stock: number }, attempt: number) => {
      if (attempt === 1) await interfere(id)
      return { stock: stock + 1 }
    }
    expect(await rejectionOf(db.product.updateVersioned({ where: { id }, data }))).toMatchObject({ attempts: 1 })
    expect(await db.product.updateVersioned({ where: { id }, data, retry: { attempts: 2 } })).toMatchObject({
      stock: 201,
    })
  })

  test('ends at the deadline with the last conflict, not with an error about time', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const pass = passingTime()
    const error = await rejectionOf(
      db.product.updateVersioned({
        where: { id },
        data: async (_, attempt) => {
          await interfere(id)
          if (attempt === 2) pass(600_000)
          return { stock: 1 }
        },
        retry: { deadline: 600_000, baseDelay: 0 },
      }),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', attempts: 2 })
  })

  test('does not hang in a function that never ends: the deadline ends the call', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const pass = passingTimers()
    const entered = gate()
    const failing = rejectionOf(
      db.product.updateVersioned({
        where: { id },
        data: () => {
          entered.open()
          return new Promise(() => {})
        },
        retry: { deadline: 600_000 },
      }),
    )
    await entered.opened
    pass(600_000)
    const error = await failing
    expect(error).toBeInstanceOf(DeadlineExceededError)
    expect((error as Error).message).toContain('function')
  })

  test('loses nothing when callers in several clients storm one row', async () => {
    const clients = Array.from({ length: 4 }, () => connect({ poolSize: 3 }))
    await Promise.all(clients.map(({ pool }) => warm(pool, 3)))
    const { id } = await clients[0].db.product.create({ data: { name: 'Chai' } })
    await Promise.all(
      clients.flatMap(({ db }) =>
        Array.from({ length: 25 }, () =>
          db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) }),
        ),
      ),
    )
    expect(await clients[0].db.product.findUnique({ where: { id } })).toMatchObject({ stock: 100, version: 100 })
  })
})

test('a function that answers at once, and has lost one race, has the row locked before it runs again', async () => {
  const { db, statements } = connect()
  const { id } = await db.product.create({ data: { name: 'Chai', stock: 1 } })
  const other = await openTransaction(database.url, RAISE, [id])
  const attempts: number[] = []
  const begun: string[] = []
  const written = db.product
    .updateVersioned({
      where: { id },
      data: ({ stock }, attempt) => {
        attempts.push(attempt)
        begun.push(statements.at(-1) ?? '')
        return { stock: stock + 1 }
      },
    })
    .then((record) => record)
  await untilBlocked(database.url)
  await other.query('COMMIT')
  expect(await written).toMatchObject({ stock: 1002, version: 2 })
  expect(attempts).toEqual([1, 2])
  expect(begun).toEqual([expect.not.stringMatching(/FOR/), expect.stringMatching(/^SELECT .* FOR NO KEY UPDATE$/)])
})

describe('the row lock from the third attempt', () => {
  test('keeps every other writer out until the write is committed', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 1 } })
    const other = await openConnection(database.url)
    let blocked: Promise<unknown> = Promise.resolve()
    const written = await db.product.updateVersioned({
      where: { id },
      data: async ({ stock }, attempt) => {
        if (attempt < 3) await interfere(id)
        else {
          blocked = other.query(RAISE, [id])
          await untilBlocked(database.url)
        }
        return { stock: stock + 1 }
      },
    })
    await blocked
    expect(written).toMatchObject({ stock: 202, version: 3 })
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 1202, version: 4 })
  })

  test('is waited for before the row is read: a writer in flight is not lost to once more', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai', stock: 1 } })
    const attempts: number[] = []
    let holder: Awaited<ReturnType<typeof openTransaction>> | undefined
    const written = db.product
      .updateVersioned({
        where: { id },
        data: async ({ stock }, attempt) => {
          attempts.push(attempt)
          if (attempt < 3) await interfere(id)
          // The second UPDATE sees that it is stale without waiting; the third attempt's lock is what waits.
          if (attempt === 2) holder = await openTransaction(database.url, RAISE, [id])
          return { stock: stock + 1 }
        },
      })
      .then((record) => record)
    await untilBlocked(database.url)
    await holder?.query('COMMIT')
    expect(await written).toMatchObject({ stock: 1202, version: 4 })
    expect(attempts).toEqual([1, 2, 3])
  })

  test('lets foreign keys to the row be checked meanwhile', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const order = await db.order.create({ data: { customer: 'ALFKI' } })
    await db.product.updateVersioned({
      where: { id },
      data: async ({ stock }, attempt) => {
        if (attempt < 3) await interfere(id)
        else
          await database.query('INSERT INTO "OrderLine" (quantity, "orderId", "productId") VALUES (1, $1, $2)', [
            order.id,
            id,
          ])
        return { stock: stock + 1 }
      },
    })
    expect(await db.orderLine.count({ where: { productId: id } })).toBe(1)
  })

  test('wins against a writer who never rests, with the attempts that everyone has', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const other = await openConnection(database.url)
    let isOver = false
    const writes = (async () => {
      while (!isOver) await other.query('UPDATE "Product" SET version = version + 1 WHERE id = $1', [id])
    })()
    try {
      for (let i = 0; i < 20; i++) {
        await db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
      }
    } finally {
      isOver = true
      await writes
    }
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 20 })
  })

  test('names the row as Prisma does, by a compound key', async () => {
    const { db } = connect()
    const key = { productId: 1, warehouse: "O'Hare" }
    await db.stock.create({ data: { ...key, onHand: 10 } })
    const written = await db.stock.updateVersioned({
      where: { productId_warehouse: key },
      data: async ({ onHand }, attempt) => {
        if (attempt < 3) await database.query('UPDATE "Stock" SET version = version + 1 WHERE "productId" = 1')
        return { onHand: onHand - attempt }
      },
    })
    expect(written).toMatchObject({ ...key, onHand: 7, version: 3n })
  })

  test('names the row as Prisma does, by a uuid and a version of another name', async () => {
    const db = database
      .connect()
      .client.$extends(concurrency({ version: { models: { Document: { field: 'revision' } } } }))
    const { id } = await db.document.create({ data: { title: 'Offer' } })
    const written = await db.document.updateVersioned({
      where: { id },
      data: async (_, attempt) => {
        if (attempt < 3) await database.query('UPDATE "Document" SET revision = revision + 1 WHERE id = $1', [id])
        return { title: `Offer ${attempt}` }
      },
    })
    expect(written).toEqual({ id, title: 'Offer 3', revision: 3 })
  })

  test('names the row as Prisma does, by mapped columns of a mapped table', async () => {
    const { db } = connect()
    const code = `it's "x" \\ 1`
    await db.everything.create({ data: { code } })
    const written = await db.everything.updateVersioned({
      where: { code, kind: { in: ['PLAIN', 'SPECIAL'] } },
      data: async ({ int }, attempt) => {
        if (attempt < 3)
          await database.query(`UPDATE "every thing" SET "row version" = "row version" + 1 WHERE "the code" = $1`, [
            code,
          ])
        return { int: int + attempt }
      },
      select: { int: true, version: true },
    })
    expect(written).toEqual({ int: 3, version: 3 })
  })

  test('is waited for no longer than the deadline, and the conflict is what is thrown', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const error = await rejectionOf(
      db.product.updateVersioned({
        where: { id },
        data: async (_, attempt) => {
          await interfere(id)
          if (attempt === 2) await openTransaction(database.url, RAISE, [id])
          return { stock: 1 }
        },
        retry: { deadline: 2_500 },
      }),
    )
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 1, actual: 2, attempts: 3 })
  })
})

describe('writers of one process', () => {
  test('take turns: fifty of them never conflict with one another', async () => {
    const { db, pool } = connect()
    await warm(pool, 10)
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const attempts: number[] = []
    await Promise.all(
      Array.from({ length: 50 }, () =>
        db.product.updateVersioned({
          where: { id },
          data: ({ stock }, attempt) => {
            attempts.push(attempt)
            return { stock: stock + 1 }
          },
        }),
      ),
    )
    expect(attempts).toEqual(Array(50).fill(1))
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 50, version: 50 })
  })

  test('are served in the order in which they came', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const order: number[] = []
    await Promise.all(
      Array.from({ length: 20 }, (_, caller) =>
        db.product.updateVersioned({
          where: { id },
          data: () => {
            order.push(caller)
            return { stock: caller }
          },
        }),
      ),
    )
    expect(order).toEqual(Array.from({ length: 20 }, (_, caller) => caller))
  })

  test('hold no connection while they wait: a pool of one still serves others', async () => {
    const { db } = connect({ poolSize: 1 })
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const { opened, open } = gate()
    const entered = gate()
    const first = db.product
      .updateVersioned({
        where: { id },
        data: async () => {
          entered.open()
          await opened
          return { stock: 1 }
        },
      })
      .then((record) => record)
    const waiting = Array.from({ length: 10 }, () =>
      db.product
        .updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
        .then((record) => record),
    )
    await entered.opened
    const served = await db.category.create({ data: { name: 'Served meanwhile' } })
    open()
    await Promise.all([first, ...waiting])
    expect(served.version).toBe(0)
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ stock: 11, version: 11 })
  })

  test('of different rows do not wait for one another', async () => {
    const { db } = connect()
    const slow = await db.product.create({ data: { name: 'Chai' } })
    const quick = await db.product.create({ data: { name: 'Chang' } })
    const { opened, open } = gate()
    const first = db.product
      .updateVersioned({ where: { id: slow.id }, data: () => opened.then(() => ({ stock: 1 })) })
      .then((record) => record)
    const other = await db.product.updateVersioned({ where: { id: quick.id }, data: () => ({ stock: 2 }) })
    open()
    expect(other).toMatchObject({ stock: 2, version: 1 })
    expect(await first).toMatchObject({ stock: 1 })
  })

  test('of rows of different models with one key do not wait for one another', async () => {
    const { db } = connect()
    await database.query(`INSERT INTO "Product" (id, name, "updatedAt") VALUES (1000000, 'Chai', now())`)
    await database.query(`INSERT INTO "Order" (id, customer) VALUES (1000000, 'ALFKI')`)
    const where = { id: 1_000_000 }
    const { opened, open } = gate()
    const first = db.product
      .updateVersioned({ where, data: () => opened.then(() => ({ stock: 1 })) })
      .then((record) => record)
    const other = await db.order.updateVersioned({ where, data: () => ({ customer: 'ANATR' }) })
    open()
    await first
    expect(other).toMatchObject({ customer: 'ANATR' })
  })

  test('let the next one in after a function that throws', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const failed = rejectionOf(
      db.product.updateVersioned({ where: { id }, data: () => Promise.reject(new Error('sold out')) }),
    )
    const written = await db.product.updateVersioned({ where: { id }, data: () => ({ stock: 1 }) })
    expect(await failed).toMatchObject({ message: 'sold out' })
    expect(written.version).toBe(1)
  })

  test('count the wait for their turn towards the deadline', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const { opened, open } = gate()
    const first = db.product
      .updateVersioned({ where: { id }, data: () => opened.then(() => ({ stock: 1 })) })
      .then((record) => record)
    let runs = 0
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id }, data: () => ({ stock: ++runs }), retry: { deadline: 50 } }),
    )
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 50 })
    expect(statements.filter((sql) => sql.startsWith('UPDATE'))).toHaveLength(0)
    open()
    await first
    expect(runs).toBe(0)
  })

  test('who give up let those behind them pass, in order and never two at once', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const { opened, open } = gate()
    const entered = gate()
    const order: string[] = []
    let inside = 0
    const call = (name: string, wait?: Promise<void>, signal?: AbortSignal) =>
      db.product
        .updateVersioned({
          where: { id },
          data: async ({ stock }, attempt) => {
            order.push(`${name}${attempt}`)
            expect(++inside).toBe(1)
            entered.open()
            await wait
            inside--
            return { stock: stock + 1 }
          },
          signal,
        })
        .then((record) => record)
    const abort = new AbortController()
    const first = call('a', opened)
    const second = rejectionOf(call('b', undefined, abort.signal))
    const rest = [call('c'), call('d')]
    await entered.opened
    abort.abort(new Error('changed my mind'))
    expect(await second).toMatchObject({ message: 'changed my mind' })
    open()
    await Promise.all([first, ...rest])
    expect(order).toEqual(['a1', 'c1', 'd1'])
  })
})

describe('a signal', () => {
  test('aborted before the call keeps it from sending anything', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    statements.length = 0
    let runs = 0
    const reason = new Error('too late')
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id }, data: () => ({ stock: ++runs }), signal: AbortSignal.abort(reason) }),
    )
    expect(error).toBe(reason)
    expect(runs).toBe(0)
    expect(statements).toEqual([])
  })

  test('aborted before a call with an object keeps it from sending anything', async () => {
    const { db, statements } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    statements.length = 0
    const reason = new Error('too late')
    const error = await rejectionOf(
      db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 }, signal: AbortSignal.abort(reason) }),
    )
    expect(error).toBe(reason)
    expect(statements).toEqual([])
  })

  test('ends the wait between two attempts at once', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const abort = new AbortController()
    const reason = new Error('changed my mind')
    let runs = 0
    const call = rejectionOf(
      db.product.updateVersioned({
        where: { id },
        data: async () => {
          runs++
          await interfere(id)
          return { stock: 1 }
        },
        signal: abort.signal,
        // Longer than the test may take: only the signal can end it. (A delay near 0 has a chance of 1 in 10^5.)
        retry: { baseDelay: 1e8, maxDelay: 1e8, deadline: 1e9 },
      }),
    )
    while (runs === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await new Promise((resolve) => setTimeout(resolve, 100))
    abort.abort(reason)
    expect(await call).toBe(reason)
    expect(runs).toBe(1)
  })

  test('ends the wait for a function that does not answer, and nothing is written', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const abort = new AbortController()
    const reason = new Error('changed my mind')
    const error = await rejectionOf(
      db.product.updateVersioned({
        where: { id },
        data: () => {
          queueMicrotask(() => abort.abort(reason))
          return new Promise(() => {})
        },
        signal: abort.signal,
      }),
    )
    expect(error).toBe(reason)
    expect(await db.product.findUnique({ where: { id } })).toMatchObject({ version: 0 })
  })

  test('aborted while the write is under way makes no error of a write that took effect', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const abort = new AbortController()
    const holder = await openTransaction(database.url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
    const written = db.product
      .updateVersioned({ where: { id }, data: () => ({ stock: 1 }), signal: abort.signal })
      .then((record) => record)
    await untilBlocked(database.url)
    abort.abort()
    await holder.query('COMMIT')
    expect(await written).toMatchObject({ stock: 1, version: 1 })
  })

  test('leaves no listener behind, however often it is used', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Chai' } })
    const { signal } = new AbortController()
    let listeners = 0
    const { addEventListener, removeEventListener } = signal
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listeners++
      addEventListener.apply(signal, args)
    }
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listeners--
      removeEventListener.apply(signal, args)
    }
    await Promise.all(
      Array.from({ length: 5 }, () =>
        db.product.updateVersioned({
          where: { id },
          data: async (_, attempt) => {
            if (attempt === 1) await interfere(id)
            return { stock: 1 }
          },
          signal,
          retry: { baseDelay: 1 },
        }),
      ),
    )
    expect(listeners).toBe(0)
  })
})
