import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Prisma } from '../../generated/prisma/client.js'
import { InvalidArgumentError } from '../../src/index.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

/** A call that the compiler refuses, and JavaScript does not. */
type Loose = (args: unknown) => Promise<unknown>

const newId = () => randomUUID()
const rowsOf = (transactionId: string) =>
  database.query('SELECT * FROM "Payment" WHERE "transactionId" = $1', [transactionId])

/** The first words of the statements. */
const kinds = (statements: readonly string[]) => statements.map((sql) => sql.split(' ')[0])

const INSERT_ONCE = /^INSERT INTO "public"."Payment" .* ON CONFLICT DO NOTHING/
const INSERT = 'INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 1) RETURNING id'

describe('an insert by a unique key', () => {
  test('puts the key and the data into a new row', async () => {
    const { db } = connect()
    const transactionId = newId()
    const { record, replayed } = await db.payment.createIdempotent({
      where: { transactionId },
      data: { amount: '12.50', currency: 'USD' },
    })
    expect(replayed).toBe(false)
    expect(record).toMatchObject({
      id: expect.any(Number),
      transactionId,
      currency: 'USD',
      reference: null,
      version: 0,
    })
    expect(record.amount.toFixed(2)).toBe('12.50')
  })

  test('gives the second caller the record of the first, and writes nothing', async () => {
    const { db } = connect()
    const transactionId = newId()
    const first = await db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
    const second = await db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
    expect(second).toEqual({ record: first.record, replayed: true })
    expect(await rowsOf(transactionId)).toHaveLength(1)
  })

  test('gives the record as it is now, not as it was', async () => {
    const { db } = connect()
    const transactionId = newId()
    const { record } = await db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
    await db.payment.update({ where: { id: record.id }, data: { currency: 'CHF' } })
    const second = await db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
    expect(second.record).toMatchObject({ currency: 'CHF', version: 1 })
  })

  test('is one statement for a new row', async () => {
    const { db, statements } = connect()
    await db.payment.createIdempotent({ where: { transactionId: newId() }, data: { amount: 5 } })
    expect(statements).toEqual([
      expect.stringMatching(/^INSERT INTO "public"."Payment" .* ON CONFLICT DO NOTHING RETURNING/),
    ])
  })

  test('is two statements for a duplicate', async () => {
    const { db, statements } = connect()
    const transactionId = newId()
    await database.query(INSERT, [transactionId])
    await db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
    expect(kinds(statements)).toEqual(['INSERT', 'SELECT'])
  })

  test('takes a compound key, whose parts go into the row', async () => {
    const { db } = connect()
    const transactionId = newId()
    const call = (tenantId: number) =>
      db.transfer.createIdempotent({
        where: { tenantId_transactionId: { tenantId, transactionId } },
        data: { amount: 5n },
      })
    const first = await call(1)
    expect(first.record).toMatchObject({ tenantId: 1, transactionId, amount: 5n })
    expect(await call(1)).toEqual({ record: first.record, replayed: true })
    expect(await call(2)).toMatchObject({ replayed: false, record: { tenantId: 2 } })
  })

  test('takes the primary key, also a compound one', async () => {
    const { db } = connect()
    const where = { productId_warehouse: { productId: 7, warehouse: newId() } }
    const first = await db.stock.createIdempotent({ where, data: { onHand: 3 } })
    expect(first).toMatchObject({ replayed: false, record: { productId: 7, onHand: 3, version: 0n } })
    expect(await db.stock.createIdempotent({ where, data: { onHand: 3 } })).toEqual({ ...first, replayed: true })
  })

  test('knows models whose names are different in the database', async () => {
    const { db } = connect()
    const code = newId()
    const first = await db.everything.createIdempotent({
      where: { code },
      data: { text: 'a', kind: 'SPECIAL', tags: ['x'], bytes: Buffer.from('b'), json: { a: [1] } },
    })
    expect(first).toMatchObject({ replayed: false, record: { code, text: 'a', kind: 'SPECIAL', json: { a: [1] } } })
    expect(await db.everything.createIdempotent({ where: { code }, data: {} })).toEqual({ ...first, replayed: true })
  })

  test('is sent only when it is awaited', async () => {
    const { db, statements } = connect()
    const call = db.payment.createIdempotent({ where: { transactionId: newId() }, data: { amount: 5 } })
    expect(statements).toEqual([])
    expect(await call).toBe(await call)
    expect(kinds(statements)).toEqual(['INSERT'])
  })

  test('in an array $transaction is refused, and nothing is written', async () => {
    const { db } = connect()
    const transactionId = newId()
    const call = db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
    const error = await rejectionOf((async () => (db.$transaction as Loose)([call]))())
    expect(error).toMatchObject({ code: 'BATCH_TRANSACTION', method: 'createIdempotent' })
    expect(await rowsOf(transactionId)).toEqual([])
  })
})

describe('two at once', () => {
  test('the second waits for the first to commit, and gets its record', async () => {
    const { db } = connect()
    const transactionId = newId()
    const holder = await openTransaction(database.url, INSERT, [transactionId])
    const call = started(db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } }))
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    const [row] = await rowsOf(transactionId)
    expect(await call).toMatchObject({ replayed: true, record: { id: row.id } })
  })

  test('the second inserts if the first rolls back', async () => {
    const { db } = connect()
    const transactionId = newId()
    const holder = await openTransaction(database.url, INSERT, [transactionId])
    const call = started(db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } }))
    await untilBlocked(database.url)
    await holder.query('ROLLBACK')
    expect(await call).toMatchObject({ replayed: false, record: { transactionId } })
    expect(await rowsOf(transactionId)).toHaveLength(1)
  })

  test("a caller's transaction waits for another one, and goes on with its record", async () => {
    const { db } = connect()
    const transactionId = newId()
    const claimed = gate()
    const committing = gate()
    const first = db.$transaction(async (tx) => {
      const result = await tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
      claimed.open()
      await committing.opened
      return result
    })
    await claimed.opened
    const second = db.$transaction(async (tx) => {
      const result = await tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
      await tx.note.create({ data: { text: transactionId } })
      return result
    })
    await untilBlocked(database.url)
    committing.open()
    const { record } = await first
    expect(await second).toEqual({ record, replayed: true })
    expect(await db.note.count({ where: { text: transactionId } })).toBe(1)
  })

  test("a caller's transaction that is rolled back leaves the key to the one that waits", async () => {
    const { db } = connect()
    const transactionId = newId()
    const claimed = gate()
    const failing = gate()
    const first = db.$transaction(async (tx) => {
      await tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
      claimed.open()
      await failing.opened
      throw new Error('on second thoughts')
    })
    first.catch(() => {})
    await claimed.opened
    const second = started(db.payment.createIdempotent({ where: { transactionId }, data: { amount: 6 } }))
    await untilBlocked(database.url)
    failing.open()
    expect(await second).toMatchObject({ replayed: false })
    await rejectionOf(first)
  })

  test('a hundred callers of one key in one process: one row, one that inserted it, one record for all', async () => {
    const { db } = connect()
    const transactionId = newId()
    const results = await Promise.all(
      Array.from({ length: 100 }, () => db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })),
    )
    expect(results.filter(({ replayed }) => !replayed)).toHaveLength(1)
    expect(new Set(results.map(({ record }) => record.id)).size).toBe(1)
    expect(await rowsOf(transactionId)).toHaveLength(1)
  })
})

describe('between the insert that was refused and the look at the row', () => {
  test('the row may be deleted: then it is inserted anew', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const transactionId = newId()
    await database.query(INSERT, [transactionId])
    const look = proxy.next(/^SELECT/, 'hold')
    const call = started(db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } }))
    await look.happened
    await database.query('DELETE FROM "Payment" WHERE "transactionId" = $1', [transactionId])
    look.release()
    expect(await call).toMatchObject({ replayed: false, record: { transactionId } })
    expect(await rowsOf(transactionId)).toHaveLength(1)
  })

  test('the row may come back to be deleted again, and a third insert wins', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const transactionId = newId()
    await database.query(INSERT, [transactionId])
    const looks = [proxy.next(/^SELECT/, 'hold'), proxy.next(/^SELECT/, 'hold')]
    const inserts = [proxy.next(INSERT_ONCE, 'hold'), proxy.next(INSERT_ONCE, 'hold')]
    const call = started(db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } }))
    await inserts[0].happened
    inserts[0].release()
    await looks[0].happened
    await database.query('DELETE FROM "Payment" WHERE "transactionId" = $1', [transactionId])
    looks[0].release()
    await inserts[1].happened
    await database.query(INSERT, [transactionId])
    inserts[1].release()
    await looks[1].happened
    await database.query('DELETE FROM "Payment" WHERE "transactionId" = $1', [transactionId])
    looks[1].release()
    expect(await call).toMatchObject({ replayed: false })
  })
})

describe('a conflict on another unique column', () => {
  const taken = async (reference: string) => {
    await database.query('INSERT INTO "Payment" ("transactionId", amount, reference) VALUES ($1, 1, $2)', [
      newId(),
      reference,
    ])
  }

  test("is Prisma's own P2002, never taken for a replay", async () => {
    const { db } = connect()
    const [transactionId, reference] = [newId(), newId()]
    await taken(reference)
    const call = db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, reference } })
    const error = await rejectionOf(call)
    expect(error).toBeInstanceOf(Prisma.PrismaClientKnownRequestError)
    expect(error).toMatchObject({ code: 'P2002', message: expect.stringContaining('Payment_reference_key') })
    expect(await rowsOf(transactionId)).toEqual([])
  })

  test("is Prisma's own P2002 in a caller's transaction too", async () => {
    const { db } = connect()
    const [transactionId, reference] = [newId(), newId()]
    await taken(reference)
    const error = await rejectionOf(
      db.$transaction((tx) =>
        tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, reference } }),
      ),
    )
    expect(error).toMatchObject({ code: 'P2002', message: expect.stringContaining('Payment_reference_key') })
  })

  test('that is caught leaves the transaction as it was: what else it does is committed', async () => {
    const { db } = connect()
    const [transactionId, reference] = [newId(), newId()]
    await taken(reference)
    await db.$transaction(async (tx) => {
      await rejectionOf(tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, reference } }))
      await tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
    })
    expect(await rowsOf(transactionId)).toHaveLength(1)
  })

  test('is told to each of two calls in one transaction, also when they are made at once', async () => {
    const { db } = connect()
    const reference = newId()
    await taken(reference)
    const errors = await db.$transaction((tx) =>
      Promise.all(
        [newId(), newId()].map((transactionId) =>
          rejectionOf(tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, reference } })),
        ),
      ),
    )
    expect(errors).toMatchObject([{ code: 'P2002' }, { code: 'P2002' }])
  })

  test('goes away with the row that was in the way: then it is inserted', async () => {
    const { db } = connect()
    const [transactionId, reference] = [newId(), newId()]
    const holder = await openTransaction(
      database.url,
      'INSERT INTO "Payment" ("transactionId", amount, reference) VALUES ($1, 1, $2)',
      [newId(), reference],
    )
    const call = started(db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, reference } }))
    await untilBlocked(database.url)
    await holder.query('ROLLBACK')
    expect(await call).toMatchObject({ replayed: false, record: { reference } })
  })

  test.each(['on the root client', "in a caller's transaction"])(
    '%s, seen just before the row of the key comes after all, is a replay',
    async (where) => {
      const proxy = await openProxy(database.url)
      const { db } = connectTo(proxy.url)
      const [transactionId, reference] = [newId(), newId()]
      await taken(reference)
      const plain = proxy.next(/^INSERT INTO "public"."Payment" (?!.*ON CONFLICT)/, 'hold')
      const args = { where: { transactionId }, data: { amount: 5, reference } }
      const call = where.startsWith('on')
        ? started(db.payment.createIdempotent(args))
        : db.$transaction(async (tx) => {
            const result = await tx.payment.createIdempotent(args)
            await tx.note.create({ data: { text: transactionId } })
            return result
          })
      await plain.happened
      await database.query(INSERT, [transactionId])
      plain.release()
      expect(await call).toMatchObject({ replayed: true, record: { transactionId, reference: null } })
      expect(await database.query('SELECT 1 FROM "Note" WHERE text = $1', [transactionId])).toHaveLength(
        where.startsWith('on') ? 0 : 1,
      )
    },
  )

  test('with a record that was deleted while it looked for the reason is inserted after all', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const [transactionId, reference] = [newId(), newId()]
    await taken(reference)
    const plain = proxy.next(/^INSERT INTO "public"."Payment" (?!.*ON CONFLICT)/, 'hold')
    const call = started(db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, reference } }))
    await plain.happened
    await database.query('DELETE FROM "Payment" WHERE reference = $1', [reference])
    plain.release()
    expect(await call).toMatchObject({ replayed: false, record: { transactionId, reference } })
  })
})

describe("in a caller's transaction", () => {
  test('a new row is one statement, and a duplicate two', async () => {
    const { db, statements } = connect()
    const args = { where: { transactionId: newId() }, data: { amount: 5 } }
    await db.$transaction(async (tx) => {
      await tx.payment.createIdempotent(args)
      await tx.payment.createIdempotent(args)
    })
    expect(kinds(statements)).toEqual(['BEGIN', 'INSERT', 'INSERT', 'SELECT', 'COMMIT'])
  })

  test('a duplicate does not poison it: later statements work and are committed', async () => {
    const { db } = connect()
    const transactionId = newId()
    await database.query(INSERT, [transactionId])
    await db.$transaction(async (tx) => {
      const { replayed } = await tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
      await tx.note.create({ data: { text: `${transactionId} ${replayed}` } })
    })
    expect(await db.note.count({ where: { text: `${transactionId} true` } })).toBe(1)
  })

  test('a caught mismatch does not poison it either', async () => {
    const { db } = connect()
    const transactionId = newId()
    await database.query(INSERT, [transactionId])
    await db.$transaction(async (tx) => {
      const call = tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 2 }, match: ['amount'] })
      expect(await rejectionOf(call)).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['amount'] })
      await tx.note.create({ data: { text: transactionId } })
    })
    expect(await db.note.count({ where: { text: transactionId } })).toBe(1)
  })

  test('the row goes with the transaction, and the next call inserts it', async () => {
    const { db } = connect()
    const args = { where: { transactionId: newId() }, data: { amount: 5 } }
    await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.payment.createIdempotent(args)
        throw new Error('on second thoughts')
      }),
    )
    expect(await db.payment.createIdempotent(args)).toMatchObject({ replayed: false })
  })

  test('twenty at once, of ten keys, are each settled', async () => {
    const { db } = connect()
    const ids = Array.from({ length: 10 }, newId)
    const results = await db.$transaction((tx) =>
      Promise.all(
        [...ids, ...ids].map((transactionId) =>
          tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } }),
        ),
      ),
    )
    expect(results.filter(({ replayed }) => !replayed)).toHaveLength(10)
  })

  test('an aborted signal keeps the insert from being sent', async () => {
    const { db } = connect()
    const transactionId = newId()
    const reason = new Error('the browser is gone')
    const error = await rejectionOf(
      db.$transaction((tx) =>
        tx.payment.createIdempotent({
          where: { transactionId },
          data: { amount: 5 },
          signal: AbortSignal.abort(reason),
        }),
      ),
    )
    expect(error).toBe(reason)
    expect(await rowsOf(transactionId)).toEqual([])
  })
})

describe('what comes back', () => {
  const both = async (call: (transactionId: string) => PromiseLike<{ record: object; replayed: boolean }>) => {
    const transactionId = newId()
    return [await call(transactionId), await call(transactionId)]
  }

  test('follows `select`, of a new row and of a duplicate', async () => {
    const { db } = connect()
    const results = await both((transactionId) =>
      db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 }, select: { currency: true } }),
    )
    expect(results).toEqual([
      { record: { currency: 'EUR' }, replayed: false },
      { record: { currency: 'EUR' }, replayed: true },
    ])
  })

  test('has nothing in it that was read for the comparison only', async () => {
    const { db } = connect()
    const results = await both((transactionId) =>
      db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5 },
        match: ['amount'],
        select: { currency: true },
      }),
    )
    expect(results.map(({ record }) => record)).toEqual([{ currency: 'EUR' }, { currency: 'EUR' }])
  })

  test('follows `omit`, also where it leaves out the key', async () => {
    const { db } = connect()
    const results = await both((transactionId) =>
      db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5 },
        match: ['amount'],
        omit: { id: true, transactionId: true, amount: true, customerId: true, reference: true },
      }),
    )
    expect(results.map(({ record }) => record)).toEqual([
      { currency: 'EUR', version: 0 },
      { currency: 'EUR', version: 0 },
    ])
  })

  test('follows the `omit` of the client, also where it leaves out the key and the version', async () => {
    const { db } = connect({ omit: { payment: { transactionId: true, version: true, amount: true } } })
    const results = await both((transactionId) =>
      db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 }, match: ['amount'] }),
    )
    const record = { id: expect.any(Number), currency: 'EUR', reference: null, customerId: null }
    expect(results).toEqual([
      { record, replayed: false },
      { record, replayed: true },
    ])
  })

  test('follows `include`, all in one transaction', async () => {
    const { db, statements } = connect()
    const results = await both((transactionId) =>
      db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5 },
        include: { items: true, customer: true },
      }),
    )
    expect(results.map(({ record }) => record)).toMatchObject([
      { items: [], customer: null },
      { items: [], customer: null },
    ])
    expect(kinds(statements).filter((kind) => kind !== 'SELECT')).toEqual([
      'BEGIN',
      'INSERT',
      'COMMIT',
      'BEGIN',
      'INSERT',
      'COMMIT',
    ])
  })

  test('with `include` is the row as it was inserted, whoever is in a hurry to change it', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const transactionId = newId()
    const look = proxy.next(/^SELECT "public"."Payment"/, 'hold')
    const call = started(
      db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 }, include: { items: true } }),
    )
    await look.happened
    await database.query('DELETE FROM "Payment" WHERE "transactionId" = $1', [transactionId])
    look.release()
    expect(await call).toMatchObject({ replayed: false, record: { transactionId, items: [] } })
  })
})

describe('is refused before any SQL:', () => {
  const WHERES: readonly (readonly [string, unknown, string])[] = [
    ['no where', undefined, 'where'],
    ['a where that is null', null, 'where'],
    ['an array as where', [{ transactionId: 'x' }], 'where'],
    ['an empty where', {}, 'where'],
    ['a key that is undefined', { transactionId: undefined }, 'where.transactionId'],
    ['a key that is null', { transactionId: null }, 'where.transactionId'],
    ['a filter as key', { transactionId: { equals: 'x' } }, 'where.transactionId'],
    ['a filter by a list as key', { transactionId: { in: ['x'] } }, 'where.transactionId'],
    ['a key of another type', { transactionId: 5 }, 'where.transactionId'],
    ['an array as key', { transactionId: ['x'] }, 'where.transactionId'],
    ['a key that is no field', { nonsense: 'x' }, 'where.nonsense'],
    ['a key that is not unique', { currency: 'EUR' }, 'where.currency'],
    ['a relation as key', { customer: { id: 1 } }, 'where.customer'],
    ['a filter beside the key', { transactionId: 'x', AND: [{ currency: 'EUR' }] }, 'where'],
    ['another field beside the key', { transactionId: 'x', currency: 'EUR' }, 'where'],
    ['a second key beside the key', { transactionId: 'x', id: 1 }, 'where'],
    ['an undefined field beside the key', { transactionId: 'x', id: undefined }, 'where'],
    ['a condition in place of a key', { OR: [{ transactionId: 'x' }] }, 'where.OR'],
    ['a condition object in place of a key', { AND: { transactionId: 'x' } }, 'where.AND'],
  ]
  test.each(WHERES)('%s', async (_, where, field) => {
    const { db, statements } = connect()
    const call = (db.payment.createIdempotent as Loose).call(db.payment, { where, data: { amount: 5 } })
    const error = await rejectionOf(call)
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })

  test.each([
    ['a part that is undefined', { tenantId: 1, transactionId: undefined }, 'transactionId'],
    ['a part that is null', { tenantId: null, transactionId: 'x' }, 'tenantId'],
    ['a part that is NaN', { tenantId: Number.NaN, transactionId: 'x' }, 'tenantId'],
    ['a part that is a filter', { tenantId: { gt: 0 }, transactionId: 'x' }, 'tenantId'],
    ['a part that is no field', { tenantId: 1, nonsense: 'x' }, 'nonsense'],
  ])('of a compound key, %s', async (_, key, part) => {
    const { db, statements } = connect()
    const call = (db.transfer.createIdempotent as Loose).call(db.transfer, {
      where: { tenantId_transactionId: key },
      data: { amount: 5n },
    })
    expect(await rejectionOf(call)).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: `where.tenantId_transactionId.${part}`,
    })
    expect(statements).toEqual([])
  })

  const DATA: readonly (readonly [string, unknown, string])[] = [
    ['no data', undefined, 'data'],
    ['data that is null', null, 'data'],
    ['data that is a function', () => ({ amount: 5 }), 'data'],
    ['an array of data', [{ amount: 5 }], 'data'],
    ['the key in data', { amount: 5, transactionId: 'x' }, 'data.transactionId'],
    ['the key in data, even as null', { amount: 5, transactionId: null }, 'data.transactionId'],
    ['a field that is not there', { amount: 5, nonsense: 1 }, 'data.nonsense'],
  ]
  test.each(DATA)('%s', async (_, data, field) => {
    const { db, statements } = connect()
    const call = (db.payment.createIdempotent as Loose).call(db.payment, { where: { transactionId: newId() }, data })
    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })

  test('a part of a compound key in data', async () => {
    const { db, statements } = connect()
    const call = (db.transfer.createIdempotent as Loose).call(db.transfer, {
      where: { tenantId_transactionId: { tenantId: 1, transactionId: 'x' } },
      data: { amount: 5n, tenantId: 2 },
    })
    expect(await rejectionOf(call)).toMatchObject({ field: 'data.tenantId' })
    expect(statements).toEqual([])
  })

  test.each([
    ['no arguments', undefined, 'arguments'],
    ['a signal that is none', { signal: {} }, 'signal'],
    ['no attempt', { retry: { attempts: 0 } }, 'retry.attempts'],
    ['an unknown option of retry', { retry: { tries: 3 } }, 'retry.tries'],
    ['match as a text', { match: 'amount' }, 'match'],
    ['a match that is no field', { match: ['nonsense'] }, 'match[0]'],
    ['a match that is a relation', { match: ['amount', 'items'] }, 'match[1]'],
    ['a match that data does not give', { match: ['currency'] }, 'match[0]'],
    ['a match that data gives as undefined', { match: ['reference'], reference: undefined }, 'match[0]'],
  ])('%s', async (_, more, field) => {
    const { db, statements } = connect()
    const { reference, ...options } = (more ?? {}) as { reference?: unknown }
    const args = { where: { transactionId: newId() }, data: { amount: 5, reference }, ...options }
    const call = (db.payment.createIdempotent as Loose).call(db.payment, more && args)
    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })

  test('a signal that is aborted already, with its own reason', async () => {
    const { db, statements } = connect()
    const reason = new Error('the browser is gone')
    const call = db.payment.createIdempotent({
      where: { transactionId: newId() },
      data: { amount: 5 },
      signal: AbortSignal.abort(reason),
    })
    expect(await rejectionOf(call)).toBe(reason)
    expect(statements).toEqual([])
  })
})

describe('a value that only the database can refuse', () => {
  test("is Prisma's own error, and leaves no row", async () => {
    const { db } = connect()
    const transactionId = newId()
    const error = await rejectionOf(db.payment.createIdempotent({ where: { transactionId }, data: { amount: 1e12 } }))
    expect(error).toBeInstanceOf(Prisma.PrismaClientKnownRequestError)
    expect(await rowsOf(transactionId)).toEqual([])
  })

  test("of the wrong type is Prisma's own validation error", async () => {
    const { db } = connect()
    const call = (db.payment.createIdempotent as Loose).call(db.payment, {
      where: { transactionId: newId() },
      data: { amount: 5, currency: 7 },
    })
    expect(await rejectionOf(call)).toBeInstanceOf(Prisma.PrismaClientValidationError)
  })
})

test.each([
  { select: {} },
  { select: { currency: false } },
  { omit: Object.fromEntries(Object.keys(Prisma.PaymentScalarFieldEnum).map((name) => [name, true])) },
])(
  "a selection of nothing is Prisma's own validation error, alone, together and of a duplicate: %j",
  async (selection) => {
    const { db } = connect()
    const there = newId()
    await database.query(INSERT, [there])
    const ids = [newId(), newId(), newId()] as const
    const failed = (transactionId: string) =>
      rejectionOf(
        (db.payment.createIdempotent as Loose).call(db.payment, {
          where: { transactionId },
          data: { amount: 5 },
          ...selection,
        }),
      )
    const together = await Promise.all([failed(ids[0]), failed(ids[1]), failed(there)])
    for (const error of [...together, await failed(ids[2]), await failed(there)]) {
      expect(error).toBeInstanceOf(Prisma.PrismaClientValidationError)
    }
    expect((await Promise.all(ids.map(rowsOf))).flat()).toEqual([])
  },
)
