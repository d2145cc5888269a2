import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { concurrency as onPool, stock as pgStock } from '../../src/pg.js'
import { stock } from '../../src/stock/extension.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines, rows } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const RACK = {
  item: { model: 'Rack', key: 'code' },
  movement: { model: 'RackMovement' },
  reservation: { model: 'RackReservation' },
} as const
const FIELDS = { orderId: 'the order', unitCost: 'unit cost' }

const openPg = async (pool: pg.Pool) =>
  (await onPool(pool, { models: { RackMovement: { fields: FIELDS } } })).$extends(pgStock<string, number>(RACK))
type Db = Awaited<ReturnType<typeof openPg>>

describeEngines(({ name, database }) => {
  const newId = (): string => randomUUID()
  const open = async (url = database.url): Promise<Db> => {
    const pool = new pg.Pool({ connectionString: url })
    pool.on('error', () => {})
    const client = new PrismaClient({ adapter: new PrismaPg(pool) })
    onTestFinished(async () => {
      await client.$disconnect()
      await pool.end()
    })
    return name === 'pg' ? openPg(pool) : (client.$extends(concurrency()).$extends(stock(RACK)) as unknown as Db)
  }
  /** The data of an order. Without Prisma nobody makes these two but the caller. */
  const dataOf = (orderId: number, more: object = {}) => ({
    orderId,
    ...(name === 'pg' && { id: newId(), updatedAt: new Date() }),
    ...more,
  })
  const scrap = name === 'pg' ? 'thrown away' : 'SCRAP'
  const newRack = async (onHand = 10) => {
    const code = newId()
    await database.query(
      `WITH rack AS (INSERT INTO "Rack" (code, "onHand") VALUES ($1, $2) RETURNING *)
INSERT INTO "RackMovement" (id, "transactionId", line, code, quantity, "the order", "updatedAt")
SELECT 'opening of ' || code, 'opening of ' || code, 0, code, "onHand", 0, now() FROM rack`,
      [code, onHand],
    )
    return code
  }
  const movementsOf = (transactionId: string) =>
    database.query('SELECT * FROM "RackMovement" WHERE "transactionId" = $1 ORDER BY line', [transactionId])
  const onHand = async (code: string) =>
    (await database.query('SELECT "onHand" FROM "Rack" WHERE code = $1', [code]))[0]?.onHand

  test('the data of a movement is in its row, in columns of every type', async () => {
    const db = await open()
    const item = await newRack()
    const transactionId = newId()
    const userId = newId().toUpperCase()
    const data = dataOf(7, {
      reason: scrap,
      userId,
      unitCost: '12.50',
      details: { a: [1, 'x'] },
      tags: ['a', 'b,"c'],
      seenAt: new Date('2026-11-29T10:00:00.400Z'),
    })
    const { balance } = await db.$stock.move({ transactionId, item, quantity: -3, data })
    const [row] = await movementsOf(transactionId)
    expect([balance, row]).toMatchObject([
      7,
      {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        'the order': 7,
        reason: 'thrown away',
        userId: userId.toLowerCase(),
        'unit cost': '12.5000',
        details: { a: [1, 'x'] },
        tags: ['a', 'b,"c'],
        number: expect.any(Number),
        updatedAt: expect.any(Date),
      },
    ])
  })

  test('a call that comes again with the same data, spelled otherwise, is replayed', async () => {
    const db = await open()
    const item = await newRack()
    const transactionId = newId()
    const userId = newId()
    const data = dataOf(7, { userId, unitCost: '1.5', seenAt: new Date('2026-11-29T10:00:00.400Z'), tags: ['a'] })
    await db.$stock.move({ transactionId, item, quantity: -3, data })
    const spelled = [
      { userId: userId.toUpperCase(), unitCost: 1.5, seenAt: '2026-11-29T11:00:00.100+01:00' },
      { unitCost: '1.50000' },
    ]
    for (const other of spelled) {
      const call = db.$stock.move({ transactionId, item, quantity: -3, data: { ...data, ...other } })
      expect(await call).toMatchObject({ replayed: true, balance: 7 })
    }
    expect(await movementsOf(transactionId)).toHaveLength(1)
  })

  test.each([
    ['orderId', { orderId: 8 }],
    ['reason', { reason: scrap }],
    ['userId', { userId: newId() }],
    ['unitCost', { unitCost: 2 }],
    ['details', { details: { a: 2 } }],
    ['tags', { tags: ['b'] }],
    ['seenAt', { seenAt: new Date(0) }],
  ])('another value of %s is a mismatch that names it, on the client and in a transaction', async (field, other) => {
    const db = await open()
    const item = await newRack()
    const transactionId = newId()
    const data = dataOf(7, { userId: newId(), unitCost: 1, details: { a: 1 }, tags: ['a'], seenAt: new Date(1e12) })
    await db.$stock.move({ transactionId, item, quantity: -3, data })
    const call = { transactionId, item, quantity: -3, data: { ...data, ...other } }
    const expected = { code: 'IDEMPOTENCY_MISMATCH', fields: [field] }
    expect(await rejectionOf(db.$stock.move(call))).toMatchObject(expected)
    expect(await rejectionOf(db.$transactionWithRetry((tx) => tx.$stock.move(call)))).toMatchObject(expected)
    expect(await onHand(item)).toBe(7)
  })

  test('a field that is left out is NULL, and compared, but not if a default may have filled it in', async () => {
    const db = await open()
    const item = await newRack()
    const [full, bare] = [newId(), newId()]
    const data = dataOf(7)
    const more = { userId: newId(), unitCost: 1, details: { a: 1 }, tags: ['a'], seenAt: new Date(1e12) }
    const move = (transactionId: string, given: object) =>
      db.$stock.move({ transactionId, item, quantity: -3, data: { ...data, ...given } })
    await move(full, { ...more, reason: scrap })
    expect(await rejectionOf(move(full, {}))).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
      fields: ['userId', 'unitCost', 'details', 'tags', 'seenAt'],
    })
    expect(await move(full, more)).toMatchObject({ replayed: true })
    const other = dataOf(8)
    await move(bare, other)
    expect(await move(bare, { ...other, tags: [], userId: null })).toMatchObject({ replayed: true })
    expect(await onHand(item)).toBe(4)
  })

  test('a call without any data is compared with what was recorded with some, also in one batch', async () => {
    const db = await open()
    const item = await newRack()
    const [transactionId, shared] = [newId(), newId()]
    const reserve = (id: string, data?: Record<string, string>) =>
      db.$stock.reserve({ transactionId: id, item, quantity: 1, expiresIn: 60_000, ...(data && { data }) })
    await reserve(transactionId, { note: 'a' })
    const mismatch = { code: 'IDEMPOTENCY_MISMATCH', fields: ['note'] }
    expect(await rejectionOf(reserve(transactionId))).toMatchObject(mismatch)
    const outcomes = await Promise.allSettled(
      [{ note: 'a' }, undefined, { note: 'a' }].map((data) => reserve(shared, data)),
    )
    const statuses = outcomes.map(({ status }) => status).join(' ')
    expect(['fulfilled rejected fulfilled', 'rejected fulfilled rejected']).toContain(statuses)
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: mismatch })
    const inside = db.$transactionWithRetry((tx) =>
      tx.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 60_000 }),
    )
    expect(await rejectionOf(inside)).toMatchObject(mismatch)
  })

  test('what a trigger has filled in is not compared', async () => {
    const item = await newRack()
    await database.query(`CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.details := '{"by": "trigger"}'; RETURN NEW; END $$`)
    await database.query(
      `CREATE TRIGGER noting BEFORE INSERT ON "RackMovement" FOR EACH ROW EXECUTE FUNCTION note_it()`,
    )
    onTestFinished(() => database.query('DROP FUNCTION note_it CASCADE').then(() => {}))
    const db = await open()
    const call = { transactionId: newId(), item, quantity: -1, data: dataOf(7) }
    expect(await db.$stock.move(call)).toMatchObject({ replayed: false })
    expect(await db.$stock.move(call)).toMatchObject({ replayed: true })
  })

  test.each([
    [{ orderId: 1.5 }, 'data.orderId'],
    [{ orderId: undefined }, 'data.orderId'],
    [{ reason: 'NONE' }, 'data.reason'],
    [{ userId: 'x' }, 'data.userId'],
    [{ unitCost: 'much' }, 'data.unitCost'],
    [{ tags: 'a' }, 'data.tags'],
    [{ quantity: 1 }, 'data.quantity'],
    [{ transactionId: 'x' }, 'data.transactionId'],
    [{ colour: 'red' }, 'data.colour'],
  ])('data of %j is refused before any SQL, and named', async (wrong, field) => {
    const db = await open()
    const item = await newRack()
    const transactionId = newId()
    const call = db.$stock.move({ transactionId, item, quantity: -3, data: { ...dataOf(7), ...wrong } })
    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect([await onHand(item), await movementsOf(transactionId)]).toEqual([10, []])
  })

  test('without a required field every call is refused that records movements', async () => {
    const db = await open()
    const item = await newRack()
    const transactionId = newId()
    const refusals = [
      db.$stock.move({ transactionId, item, quantity: 1 }),
      db.$stock.moveAll({ transactionId, lines: [{ item, quantity: 1 }] }),
      db.$stock.count({ transactionId, item, counted: 1 }),
      db.$stock.defer({ transactionId, item, quantity: 1 }),
      db.$stock.fulfil({ transactionId }),
    ]
    const errors = await Promise.all(refusals.map(rejectionOf))
    const field = name === 'pg' ? 'id' : 'orderId'
    expect(errors.map((error) => (error as { field: string }).field)).toEqual([
      `data.${field}`,
      `lines[0].data.${field}`,
      `data.${field}`,
      `data.${field}`,
      `data.${field}`,
    ])
  })

  test('each line of moveAll has its own, and one that leaves a field out has the default', async () => {
    const db = await open()
    const items = [await newRack(), await newRack(), await newRack()]
    const transactionId = newId()
    const lines = items.map((item, i) => ({
      item,
      quantity: -1,
      data: dataOf(i, i === 1 ? { unitCost: 5, ...(name === 'prisma' && { reason: scrap }) } : {}),
    }))
    await db.$stock.moveAll({ transactionId, lines })
    expect(await movementsOf(transactionId)).toMatchObject([
      { 'the order': 0, reason: 'SALE', 'unit cost': null },
      { 'the order': 1, reason: name === 'pg' ? 'SALE' : 'thrown away', 'unit cost': '5.0000' },
      { 'the order': 2, 'unit cost': null },
    ])
    const other = lines.map((line, i) => ({ ...line, data: { ...line.data, orderId: i === 2 ? 9 : i } }))
    expect(await db.$stock.moveAll({ transactionId, lines })).toMatchObject({ replayed: true })
    expect(await rejectionOf(db.$stock.moveAll({ transactionId, lines: other }))).toMatchObject({ fields: ['orderId'] })
  })

  test('a list without a default may be given by some of the lines', async () => {
    const db = await open()
    const [item, other] = [await newRack(), await newRack()]
    const transactionId = newId()
    const lines = [
      { item, quantity: -1, data: dataOf(1, { tags: ['x'] }) },
      { item: other, quantity: -1, data: dataOf(2) },
    ]
    expect(await db.$stock.moveAll({ transactionId, lines })).toMatchObject({ replayed: false })
    expect(await movementsOf(transactionId)).toMatchObject([{ tags: ['x'] }, { tags: null }])
    expect(await db.$stock.moveAll({ transactionId, lines })).toMatchObject({ replayed: true })
  })

  test('lines of one item are added up if they have the same data, and refused if they have not', async () => {
    const db = await open()
    const item = await newRack()
    const data = dataOf(7)
    const call = (other: object) =>
      db.$stock.moveAll({
        transactionId: newId(),
        lines: [
          { item, quantity: -1, data },
          { item, quantity: -2, data: { ...data, ...other } },
        ],
      })
    expect(await call({})).toMatchObject({ lines: [{ quantity: -3, balance: 7 }] })
    expect(await rejectionOf(call({ orderId: 8 }))).toMatchObject({ field: 'lines[1].data' })
  })

  test('a value that only the database has a default for is given in all lines of a call, or in none', async () => {
    const db = await open()
    const items = [await newRack(), await newRack()]
    const lines = items.map((item, i) => ({ item, quantity: -1, data: dataOf(7, i === 1 ? { number: 77 } : {}) }))
    const error = await rejectionOf(db.$stock.moveAll({ transactionId: newId(), lines }))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'lines[1].data' })
    const both = lines.map((line) => ({ ...line, data: { ...line.data, number: 77 } }))
    const transactionId = newId()
    await db.$stock.moveAll({ transactionId, lines: both })
    expect(await movementsOf(transactionId)).toMatchObject([{ number: 77 }, { number: 77 }])
  })

  test('calls at once of all kinds of data are combined, each with its own, and the same id once', async () => {
    const db = await open()
    const items = [await newRack(100), await newRack(100)]
    const shared = newId()
    const sharedData = dataOf(1, { unitCost: '1.0' })
    const calls = Array.from({ length: 60 }, (_, i) => ({
      transactionId: i % 6 === 5 ? shared : newId(),
      item: items[i % 6 === 5 ? 0 : i % 2] as string,
      quantity: -1,
      data:
        i % 6 === 5
          ? { ...sharedData, unitCost: ['1', '1.000', 1, '2'][i % 4] }
          : dataOf(i, [{}, { reason: scrap }, { number: i }, { tags: ['x'] }, { details: [i] }][i % 5]),
    }))
    const outcomes = await Promise.allSettled(calls.map((call) => db.$stock.move(call)))
    const failed = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
    expect(failed.every(({ code, fields }) => code === 'IDEMPOTENCY_MISMATCH' && fields[0] === 'unitCost')).toBe(true)
    const recorded = await Promise.all(calls.map(({ transactionId }) => movementsOf(transactionId)))
    recorded.forEach((found, i) => {
      expect(found).toHaveLength(1)
      if (i % 6 !== 5) expect(found[0]).toMatchObject({ 'the order': i })
    })
    expect((await db.$stock.audit()).filter(({ item }) => items.includes(item))).toEqual([])
  })
  test('two calls at once under one id with other data are one movement and one mismatch', async () => {
    const [db, their] = [await open(), await open()]
    const item = await newRack()
    const transactionId = newId()
    const holder = await openTransaction(database.url, 'UPDATE "Rack" SET "onHand" = 10 WHERE code = $1', [item])
    const first = started(db.$stock.move({ transactionId, item, quantity: -1, data: dataOf(1) }))
    const second = started(their.$stock.move({ transactionId, item, quantity: -1, data: dataOf(2) }))
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    const outcomes = await Promise.allSettled([first, second])
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { fields: name === 'pg' ? expect.arrayContaining(['orderId']) : ['orderId'] },
    })
    expect(await onHand(item)).toBe(9)
  })

  test('a refusal leaves nothing, and a rollback nothing either', async () => {
    const db = await open()
    const item = await newRack()
    const transactionId = newId()
    const refused = db.$stock.move({ transactionId, item, quantity: -11, data: dataOf(7) })
    expect(await rejectionOf(refused)).toMatchObject({ code: 'INSUFFICIENT_STOCK' })
    const back = db.$transactionWithRetry(async (tx) => {
      expect(await tx.$stock.move({ transactionId, item, quantity: -1, data: dataOf(7) })).toMatchObject({ balance: 9 })
      expect(
        await rows(tx, `SELECT "the order" FROM "RackMovement" WHERE "transactionId" = $1`, transactionId),
      ).toEqual([{ 'the order': 7 }])
      throw new Error('rolled back')
    })
    await rejectionOf(back)
    expect([await onHand(item), await movementsOf(transactionId)]).toEqual([10, []])
  })

  test.each(['drop', 'cut'] as const)('an answer that is lost (%s) is found again, with its data', async (loss) => {
    const proxy = await openProxy(database.url)
    const db = await open(proxy.url)
    const item = await newRack()
    await db.$stock.move({ transactionId: newId(), item, quantity: -1, data: dataOf(7) })
    proxy.next(/^WITH/, loss as 'drop')
    const transactionId = newId()
    expect(await db.$stock.move({ transactionId, item, quantity: -1, data: dataOf(8) })).toMatchObject({ balance: 8 })
    expect(await movementsOf(transactionId)).toMatchObject([{ 'the order': 8 }])
  })

  test('a call whose backend is killed while it waits for the item is recorded once, with its data', async () => {
    const db = await open()
    const item = await newRack()
    const transactionId = newId()
    const holder = await openTransaction(database.url, 'UPDATE "Rack" SET "onHand" = 10 WHERE code = $1', [item])
    const call = { transactionId, item, quantity: -1, data: dataOf(7, { unitCost: 2 }) }
    const moving = started(db.$stock.move(call))
    await untilBlocked(database.url)
    await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'`)
    await holder.query('COMMIT')
    expect(await moving).toMatchObject({ balance: 9 })
    expect(await movementsOf(transactionId)).toMatchObject([{ 'the order': 7, 'unit cost': '2.0000' }])
    expect(await db.$stock.move(call)).toMatchObject({ balance: 9, replayed: true })
  })

  test('two processes that send all calls at once record each once, with its data', async () => {
    const both = [await open(), await open()]
    const items = [await newRack(100), await newRack(100)]
    const calls = Array.from({ length: 40 }, (_, i) => ({
      transactionId: newId(),
      item: items[i % 2] as string,
      quantity: -1,
      data: dataOf(i, i % 3 === 0 ? { unitCost: i } : {}),
    }))
    const moves = both.flatMap((db) => calls.map((call) => db.$stock.move(call)))
    const replayed = (await Promise.all(moves)).filter((outcome) => outcome.replayed)
    expect(replayed).toHaveLength(40)
    for (const [i, { transactionId }] of calls.entries()) {
      const cost = i % 3 === 0 ? `${i}.0000` : null
      expect(await movementsOf(transactionId)).toMatchObject([{ 'the order': i, 'unit cost': cost }])
    }
    expect(await Promise.all(items.map(onHand))).toEqual([80, 80])
  })

  test('count and defer record data, and compare it', async () => {
    const db = await open()
    const item = await newRack()
    const [counted, deferred] = [newId(), newId()]
    const data = dataOf(7)
    expect(await db.$stock.count({ transactionId: counted, item, counted: 8, data })).toMatchObject({ quantity: -2 })
    const late = dataOf(8)
    expect(await db.$stock.defer({ transactionId: deferred, item, quantity: 5, data: late })).toEqual({
      replayed: false,
    })
    expect([...(await movementsOf(counted)), ...(await movementsOf(deferred))]).toMatchObject([
      { 'the order': 7, quantity: -2 },
      { 'the order': 8, quantity: 5, applied: false },
    ])
    expect(await db.$stock.count({ transactionId: counted, item, counted: 8, data })).toMatchObject({ replayed: true })
    expect(await db.$stock.defer({ transactionId: deferred, item, quantity: 5, data: late })).toEqual({
      replayed: true,
    })
    const other = { orderId: 9 }
    for (const call of [
      () => db.$stock.count({ transactionId: counted, item, counted: 8, data: { ...data, ...other } }),
      () => db.$stock.defer({ transactionId: deferred, item, quantity: 5, data: { ...late, ...other } }),
    ]) {
      expect(await rejectionOf(call())).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['orderId'] })
    }
    await db.$stock.project()
    expect(await onHand(item)).toBe(13)
  })

  test('a reservation has data of its own, and an enum for its state; fulfil gives that of the movements', async () => {
    const db = await open()
    const [item, other] = [await newRack(), await newRack()]
    const transactionId = newId()
    const reserve = (note: string) =>
      db.$stock.reserve({
        transactionId,
        expiresIn: 60_000,
        lines: [
          { item, quantity: 2, data: { note } },
          { item: other, quantity: 1, data: {} },
        ],
      })
    expect(await reserve('a')).toMatchObject({ state: 'active', replayed: false })
    expect(await reserve('a')).toMatchObject({ state: 'active', replayed: true })
    expect(await rejectionOf(reserve('b'))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['note'] })
    const reserved = () =>
      database.query('SELECT note, state, "basketId" FROM "RackReservation" WHERE "transactionId" = $1 ORDER BY line', [
        transactionId,
      ])
    const basketId = name === 'prisma' ? expect.stringMatching(/^c[0-9a-z]{24}$/) : null
    expect(await reserved()).toEqual([
      { note: 'a', state: 'active', basketId },
      { note: null, state: 'active', basketId },
    ])
    // On node-postgres the caller makes the ids, and two lines cannot have one.
    if (name === 'pg') return
    const data = dataOf(7)
    expect(await db.$stock.fulfil({ transactionId, data })).toMatchObject({ lines: [{ balance: 8 }, { balance: 9 }] })
    expect(await db.$stock.fulfil({ transactionId, data })).toMatchObject({ replayed: true })
    expect(await rejectionOf(db.$stock.fulfil({ transactionId, data: { orderId: 8 } }))).toMatchObject({
      fields: ['orderId'],
    })
    expect(await reserved()).toMatchObject([{ state: 'fulfilled' }, { state: 'fulfilled' }])
    expect(await movementsOf(transactionId)).toMatchObject([{ 'the order': 7 }, { 'the order': 7 }])
  })

  test('what the client makes it makes also for calls without any data, alone and beside others', async () => {
    const db = await open()
    const item = await newRack()
    const reserve = (data?: { note: string }) =>
      db.$stock.reserve({ transactionId: newId(), item, quantity: 1, expiresIn: 60_000, ...(data && { data }) })
    await reserve()
    await Promise.all([reserve(), reserve({ note: 'a' }), reserve()])
    const reserved = await database.query('SELECT "basketId" FROM "RackReservation" WHERE code = $1', [item])
    const basketId = name === 'prisma' ? expect.stringMatching(/^c[0-9a-z]{24}$/) : null
    expect(reserved).toEqual(Array(4).fill({ basketId }))
  })

  test('a state of an enum ends by release, and by its time', async () => {
    const db = await open()
    const item = await newRack()
    const [kept, short] = [newId(), newId()]
    await db.$stock.reserve({ transactionId: kept, item, quantity: 2, expiresIn: 60_000 })
    expect(await db.$stock.release({ transactionId: kept })).toEqual({ released: true, state: 'released' })
    await db.$stock.reserve({ transactionId: short, item, quantity: 2, expiresIn: 1 })
    const all = { transactionId: newId(), item, quantity: -10, data: dataOf(1) }
    await expect.poll(() => db.$stock.move(all).catch(({ code }) => code)).toMatchObject({ balance: 0 })
    expect(await db.$stock.release({ transactionId: short })).toEqual({ released: false, state: 'expired' })
    expect((await db.$stock.audit()).filter((found) => found.item === item)).toEqual([])
  })
})
