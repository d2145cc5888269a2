import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { holdRow } from '../../src/testing/hold-row.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()
const PATIENT = { maxWait: 100_000, timeout: 100_000 }
const WAITING = { wait: 'block', timeout: 100_000 } as const

/** Orders of one customer, in the order of their ids. */
async function newOrders(count: number, customer = crypto.randomUUID()) {
  const rows = await database.query(
    'INSERT INTO "Order" (customer) SELECT $1 FROM generate_series(1, $2) RETURNING id',
    [customer, count],
  )
  return { customer, ids: rows.map(({ id }) => Number(id)) }
}

const hold = (...ids: number[]) => holdRow(database.url, 'SELECT FROM "Order" WHERE id = ANY($1) FOR UPDATE', [ids])

/** Those of the ids whose rows are free. */
async function freeOf(ids: readonly number[]): Promise<number[]> {
  const rows = await database.query('SELECT id FROM "Order" WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED', [
    ids,
  ])
  return rows.map(({ id }) => Number(id))
}

describe('findManyForUpdate that skips', () => {
  test('gives each of n workers one of n rows, while all of them hold what they have', async () => {
    const { db } = connect({ poolSize: 12 })
    const { customer, ids } = await newOrders(10)
    const all = gate()
    let count = 0

    const taken = await Promise.all(
      ids.map(() =>
        db.$transaction(async (tx) => {
          const rows = await tx.order.findManyForUpdate({
            where: { customer },
            orderBy: { id: 'asc' },
            take: 1,
            wait: 'skip',
          })
          if (++count === ids.length) all.open()
          await all.opened
          return rows.map(({ id }) => id)
        }, PATIENT),
      ),
    )

    expect(taken.flat().sort((a, b) => a - b)).toEqual(ids)
    expect(taken.every((rows) => rows.length === 1)).toBe(true)
  })

  test('takes the first free rows in the order that is asked for, and locks no other', async () => {
    const { db } = connect()
    const { customer, ids } = await newOrders(6)
    const stranger = await hold(ids[5] as number, ids[3] as number)

    const found = await db.$transaction(async (tx) => {
      const rows = await tx.order.findManyForUpdate({
        where: { customer },
        orderBy: { id: 'desc' },
        take: 2,
        wait: 'skip',
      })
      return { rows: rows.map(({ id }) => id), free: await freeOf(ids) }
    })
    await stranger.release()

    expect(found).toEqual({ rows: [ids[4], ids[2]], free: [ids[0], ids[1]] })
  })

  test('looks at all rows, however many others have locked', async () => {
    const { db } = connect()
    const { customer, ids } = await newOrders(200)
    const stranger = await hold(...ids.slice(0, 199))

    const rows = await db.$transaction((tx) =>
      tx.order.findManyForUpdate({ where: { customer }, orderBy: { id: 'asc' }, take: 1, wait: 'skip' }),
    )
    await stranger.release()

    expect(rows.map(({ id }) => id)).toEqual([ids[199]])
  })

  test('leaves out a row that was changed after it was picked, and takes the next one for it', async () => {
    const made = connect()
    const { customer, ids } = await newOrders(3)
    const picked = gate()
    const changed = gate()
    let reads = 0
    // Between the keys and the lock: an extension that holds the first read's answer back.
    const db = made.client.$extends(concurrency()).$extends({
      query: {
        order: {
          async findMany({ args, query }) {
            const rows = await query(args)
            if (reads++ > 0) return rows
            picked.open()
            await changed.opened
            return rows
          },
        },
      },
    })

    const taken = db.$transaction(
      (tx) => tx.order.findManyForUpdate({ where: { customer }, orderBy: { id: 'asc' }, take: 2, wait: 'skip' }),
      PATIENT,
    )
    await picked.opened
    await database.query('UPDATE "Order" SET customer = $2 WHERE id = $1', [ids[0], 'somebody else'])
    changed.open()

    expect((await taken).map(({ id }) => id)).toEqual(ids.slice(1))
  })

  test('a storm of workers empties a queue: each row is done once, and none is left', async () => {
    const { db } = connect({ poolSize: 8 })
    const { customer, ids } = await newOrders(40)
    const done: number[] = []
    const worker = async () => {
      for (;;) {
        const isEmpty = await db.$transaction(async (tx) => {
          const [task] = await tx.order.findManyForUpdate({
            where: { customer },
            orderBy: { id: 'asc' },
            take: 1,
            wait: 'skip',
          })
          if (task === undefined) return (await tx.order.count({ where: { customer } })) === 0
          await tx.order.update({ where: { id: task.id }, data: { customer: `${customer} done` } })
          done.push(task.id)
          return false
        }, PATIENT)
        if (isEmpty) return
      }
    }
    await Promise.all(Array.from({ length: 6 }, worker))

    expect(done.sort((a, b) => a - b)).toEqual(ids)
  })
})

describe('findManyForUpdate that refuses', () => {
  test('throws a typed error for a row that is locked, holds none of the others, and lets the transaction go on', async () => {
    const { db } = connect()
    const { customer, ids } = await newOrders(3)
    const stranger = await hold(ids[1] as number)

    const found = await db.$transaction(async (tx) => {
      const call = tx.order.findManyForUpdate({ where: { customer }, orderBy: { id: 'asc' }, wait: 'refuse' })
      const error = await rejectionOf(call)
      return { error, free: await freeOf(ids), count: await tx.order.count({ where: { customer } }) }
    })
    await stranger.release()

    expect(found).toEqual({
      error: expect.objectContaining({ code: 'ROW_LOCKED', model: 'Order', timeout: undefined }),
      free: [ids[0], ids[2]],
      count: 3,
    })
  })

  test('is not refused for a row behind those that it takes', async () => {
    const { db } = connect()
    const { customer, ids } = await newOrders(3)
    const stranger = await hold(ids[2] as number)

    const rows = await db.$transaction((tx) =>
      tx.order.findManyForUpdate({ where: { customer }, orderBy: { id: 'asc' }, take: 2, wait: 'refuse' }),
    )
    await stranger.release()

    expect(rows.map(({ id }) => id)).toEqual(ids.slice(0, 2))
  })
})

describe('findManyForUpdate that waits', () => {
  test('leaves out a row that does not fit any more when it is free, so that fewer than `take` come', async () => {
    const { db } = connect()
    const { customer, ids } = await newOrders(3)
    const stranger = await holdRow(database.url, 'UPDATE "Order" SET customer = $2 WHERE id = $1', [ids[0], 'gone'])

    const rows = db.$transaction(
      (tx) => tx.order.findManyForUpdate({ where: { customer }, orderBy: { id: 'desc' }, take: 3, ...WAITING }),
      PATIENT,
    )
    rows.then(() => {})
    await untilBlocked(database.url)
    await stranger.commit()

    expect((await rows).map(({ id }) => id)).toEqual([ids[2], ids[1]])
  })

  test('reads what was committed while it waited', async () => {
    const { db } = connect()
    const { customer, ids } = await newOrders(1)
    const stranger = await holdRow(database.url, 'UPDATE "Order" SET version = 7 WHERE id = $1', [ids[0]])

    const rows = db.$transaction((tx) => tx.order.findManyForUpdate({ where: { customer }, ...WAITING }), PATIENT)
    rows.then(() => {})
    await untilBlocked(database.url)
    await stranger.commit()

    expect(await rows).toEqual([{ id: ids[0], customer, version: 7 }])
  })

  test('locks in the order of the key, so that callers with opposite orders are in no deadlock', async () => {
    const { db } = connect()
    const { customer, ids } = await newOrders(20)
    const call = (direction: 'asc' | 'desc') =>
      db.$transaction(
        (tx) => tx.order.findManyForUpdate({ where: { customer }, orderBy: { id: direction }, ...WAITING }),
        PATIENT,
      )
    // All of them wait for the row in the middle: those that had locked the rows behind it first would be in a circle.
    const stranger = await hold(ids[10] as number)
    const calls = Promise.all([call('asc'), call('desc'), call('asc'), call('desc')])
    calls.then(() => {})
    await untilBlocked(database.url, 4)
    await stranger.release()

    expect((await calls).map((rows) => rows.length)).toEqual([20, 20, 20, 20])
  })

  test('gives up after `timeout`: the transaction goes on, holds none of the rows, and has its own limits again', async () => {
    const { db } = connect()
    const { customer, ids } = await newOrders(3)
    const stranger = await hold(ids[2] as number)
    const limits = `SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement`

    const found = await db.$transaction(async (tx) => {
      await tx.$executeRawUnsafe(`SET LOCAL lock_timeout = '7min'`)
      const error = await rejectionOf(tx.order.findManyForUpdate({ where: { customer }, timeout: 30 }))
      const free = await freeOf(ids)
      const rows = await tx.order.findManyForUpdate({ where: { customer, id: { not: ids[2] } } })
      return { error, free, count: rows.length, limits: await tx.$queryRawUnsafe(limits) }
    }, PATIENT)
    await stranger.release()

    expect(found).toEqual({
      error: expect.objectContaining({ code: 'ROW_LOCKED', timeout: 30 }),
      free: [ids[0], ids[1]],
      count: 2,
      limits: [{ lock: '7min', statement: '0' }],
    })
  })

  test('at SERIALIZABLE a row that was changed since is 40001, and $transactionWithRetry runs again', async () => {
    const { db } = connect()
    const { customer, ids } = await newOrders(2)
    const attempts: number[] = []

    const rows = await db.$transactionWithRetry(
      async (tx, { attempt }) => {
        attempts.push(attempt)
        await tx.order.count() // takes the snapshot
        if (attempt === 1) await database.query('UPDATE "Order" SET version = 9 WHERE id = $1', [ids[0]])
        return tx.order.findManyForUpdate({ where: { customer }, orderBy: { id: 'asc' } })
      },
      { isolationLevel: 'Serializable' },
    )

    expect({ attempts, versions: rows.map(({ version }) => version) }).toEqual({ attempts: [1, 2], versions: [9, 0] })
  })
})

describe('findUniqueForUpdate', () => {
  test('waits for the row, reads it then, and holds it until the end', async () => {
    const { db } = connect()
    const { ids, customer } = await newOrders(1)
    const id = ids[0] as number
    const stranger = await holdRow(database.url, 'UPDATE "Order" SET version = 3 WHERE id = $1', [id])

    const found = db.$transaction(async (tx) => {
      const record = await tx.order.findUniqueForUpdate({ where: { id }, ...WAITING })
      return { record, free: await freeOf(ids) }
    }, PATIENT)
    found.then(() => {})
    await untilBlocked(database.url)
    await stranger.commit()

    expect(await found).toEqual({ record: { id, customer, version: 3 }, free: [] })
  })

  test('gives the row that has the key after the wait, where the keys of two rows were exchanged', async () => {
    const { db } = connect()
    const [a, b] = [crypto.randomUUID(), crypto.randomUUID()]
    await database.query('INSERT INTO "Category" (name) VALUES ($1), ($2)', [a, b])
    const stranger = await holdRow(database.url, 'UPDATE "Category" SET name = $2 WHERE name = $1', [a, `${a}+`])
    await stranger.query('UPDATE "Category" SET name = $2, version = 5 WHERE name = $1', [b, a])

    const found = db.$transaction(async (tx) => {
      const record = await tx.category.findUniqueForUpdate({ where: { name: a }, ...WAITING })
      const sql = 'SELECT name FROM "Category" WHERE name = ANY($1) FOR UPDATE SKIP LOCKED'
      return { version: record?.version, free: await database.query(sql, [[a]]) }
    }, PATIENT)
    found.then(() => {})
    await untilBlocked(database.url)
    await stranger.commit()

    expect(await found).toEqual({ version: 5, free: [] })
  })

  test('is null for a record that is not there, that does not fit, or that is skipped', async () => {
    const { db } = connect()
    const { ids, customer } = await newOrders(1)
    const id = ids[0] as number
    const stranger = await hold(id)

    const found = await db.$transaction(async (tx) => [
      await tx.order.findUniqueForUpdate({ where: { id: -1 } }),
      await tx.order.findUniqueForUpdate({ where: { id, customer: `not ${customer}` }, wait: 'skip' }),
      await tx.order.findUniqueForUpdate({ where: { id }, wait: 'skip' }),
      await rejectionOf(tx.order.findUniqueForUpdate({ where: { id }, wait: 'refuse' })),
      await tx.category.findUniqueForUpdate({ where: { name: 'nobody' } }),
    ])
    await stranger.release()

    expect(found).toEqual([null, null, null, expect.objectContaining({ code: 'ROW_LOCKED' }), null])
  })

  test('takes a key of several fields, select, include and each mode', async () => {
    const { db } = connect()
    const { ids } = await newOrders(1)
    const orderId = ids[0] as number
    const { id: productId } = await db.product.create({ data: { name: 'Chai' } })
    await db.orderLine.create({ data: { orderId, productId, quantity: 2 } })
    await database.query(`INSERT INTO "Stock" ("productId", warehouse) VALUES ($1, 'main'), ($1, 'other')`, [productId])

    const found = await db.$transaction(async (tx) => [
      await tx.orderLine.findUniqueForUpdate({
        where: { orderId_productId: { orderId, productId } },
        select: { quantity: true },
        mode: 'share',
      }),
      await tx.order.findUniqueForUpdate({
        where: { id: orderId },
        include: { lines: { select: { productId: true } } },
        mode: 'update',
      }),
      await tx.stock.findUniqueForUpdate({
        where: { productId_warehouse: { productId, warehouse: 'other' } },
        select: { warehouse: true },
      }),
      await tx.stock.findManyForUpdate({
        where: { productId },
        orderBy: { warehouse: 'desc' },
        omit: { productId: true, version: true, minimum: true },
      }),
    ])

    expect(found).toEqual([
      { quantity: 2 },
      expect.objectContaining({ id: orderId, lines: [{ productId }] }),
      { warehouse: 'other' },
      ['other', 'main'].map((warehouse) => ({ warehouse, onHand: 0, reserved: 0 })),
    ])
  })
})

describe('both', () => {
  test.each([
    ['noKeyUpdate', ['KEY SHARE']],
    ['update', []],
    ['share', ['KEY SHARE', 'SHARE']],
  ] as const)('in mode %s leave others these locks of the row: %j', async (mode, left) => {
    const { db } = connect()
    const { ids } = await newOrders(1)
    const strengths = ['KEY SHARE', 'SHARE', 'NO KEY UPDATE']

    const free = await db.$transaction(async (tx) => {
      await tx.order.findUniqueForUpdate({ where: { id: ids[0] as number }, mode })
      const sql = (strength: string) => `SELECT id FROM "Order" WHERE id = $1 FOR ${strength} SKIP LOCKED`
      const rows = await Promise.all(strengths.map((strength) => database.query(sql(strength), [ids[0]])))
      return strengths.filter((_, i) => rows[i]?.length === 1)
    })

    expect(free).toEqual(left)
  })

  test('are refused outside a transaction, and send nothing', async () => {
    const { db, statements } = connect()
    const errors = [
      await rejectionOf(db.order.findUniqueForUpdate({ where: { id: 1 } })),
      await rejectionOf(db.order.findManyForUpdate({ where: {} })),
    ]
    const inArray = await rejectionOf(
      (async () => db.$transaction([db.order.findManyForUpdate({ where: {} }) as never]))(),
    )

    expect({ errors, inArray, statements }).toEqual({
      errors: errors.map(() => expect.objectContaining({ code: 'TRANSACTION_REQUIRED' })),
      inArray: expect.objectContaining({ code: 'BATCH_TRANSACTION' }),
      statements: [],
    })
  })

  test.each([
    ['where', { where: undefined }],
    ['take', { where: {}, take: 0 }],
    ['take', { where: {}, take: 10_001 }],
    ['wait', { where: {}, wait: 'nowait' }],
    ['mode', { where: {}, mode: 'FOR UPDATE' }],
    ['timeout', { where: {}, wait: 'skip', timeout: 5 }],
    ['skip', { where: {}, skip: 5 }],
  ])('name the wrong argument %s before any SQL', async (field, args) => {
    const { db, statements } = connect()
    const error = await db.$transaction((tx) => rejectionOf(tx.order.findManyForUpdate(args as never)))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements.filter((sql) => sql.includes('"Order"'))).toEqual([])
  })

  test('take turns on one tx, and each has its own answer', async () => {
    const { db } = connect()
    const { customer, ids } = await newOrders(2)

    const found = await db.$transaction((tx) =>
      Promise.all([
        tx.order.findManyForUpdate({ where: { customer }, orderBy: { id: 'asc' } }),
        tx.order.findUniqueForUpdate({ where: { id: ids[1] as number } }),
        tx.order.findManyForUpdate({ where: { customer }, orderBy: { id: 'desc' }, take: 1, wait: 'refuse' }),
      ]),
    )

    expect(found.flat().map((row) => row?.id)).toEqual([ids[0], ids[1], ids[1], ids[1]])
  })

  test('go through another extension, whose filter holds for them', async () => {
    const made = connect()
    const mine = await newOrders(2)
    const others = await newOrders(2)
    const db = made.client.$extends(concurrency()).$extends({
      query: {
        order: {
          findMany: ({ args, query }) =>
            query({ ...args, where: { AND: [args.where ?? {}, { customer: mine.customer }] } }),
        },
      },
    })
    const ids = [...mine.ids, ...others.ids]

    const rows = await db.$transaction(async (tx) => {
      const rows = await tx.order.findManyForUpdate({ where: { id: { in: ids } }, orderBy: { id: 'asc' } })
      return { found: rows.map(({ id }) => id), free: await freeOf(ids) }
    })

    expect(rows).toEqual({ found: mine.ids, free: others.ids })
  })

  test('thousands of rows are locked at once, and more than 10,000 only with `take`', async () => {
    const { db } = connect()
    const { customer } = await newOrders(10_001)
    const productId = 1_000_000
    await database.query(
      `INSERT INTO "Stock" ("productId", warehouse) SELECT $1::int, 'w' || n FROM generate_series(1, 3000) AS n`,
      [productId],
    )

    const found = await db.$transaction(
      async (tx) => ({
        error: await rejectionOf(tx.order.findManyForUpdate({ where: { customer } })),
        count: (await tx.order.findManyForUpdate({ where: { customer }, take: 10_000, select: { id: true } })).length,
        pairs: (await tx.stock.findManyForUpdate({ where: { productId }, select: { warehouse: true } })).length,
      }),
      PATIENT,
    )

    expect(found).toEqual({
      error: expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'take' }),
      count: 10_000,
      pairs: 3_000,
    })
  })
})
