import { randomInt, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import { leaseFenceTriggerSql } from '../../src/work.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines, rows } from '../support/engines.js'
import { connectLeases, expire, openLeases } from '../support/leases.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { STOCK, type StockItem } from '../support/stock-models.js'
import { untilBlocked } from '../support/until-blocked.js'

/** Its first heartbeat, which would find a loss, comes after the test. */
const TTL = { ttl: 90_000 }
const LEASE = "the guard's"
const REFUSED = { code: '55000', message: `the lease 'the guard''s' is not held by this transaction` }

describeEngines(({ database, name: engine, other }) => {
  let text = ''
  beforeEach((context) => {
    text = context.task.id
  })
  let made: Awaited<ReturnType<typeof openLeases>>
  beforeAll(async () => {
    made = await openLeases(engine, { url: database.url })
    // It can be run again.
    for (const _ of [1, 2]) await database.query(leaseFenceTriggerSql(made.db, 'Note', { lease: LEASE }))
    await database.query(leaseFenceTriggerSql(made.db, 'Prompt', { lease: 'another' }))
  })
  afterAll(() => made.close())
  const insert = (on: object) => rows(on, 'INSERT INTO "Note" (text) VALUES ($1)', text)
  const notes = async () => (await database.query('SELECT 1 FROM "Note" WHERE text = $1', [text])).length
  const proofOf = ({ token, holder }: { token: bigint; holder: string }) =>
    JSON.stringify({ [LEASE]: { token: String(token), holder } })
  const SET = `SELECT set_config('prisma_extension_concurrency.leases', $1, true)`

  test('every statement of a writer without the lease is refused, with or without rows', async () => {
    const statements = [
      `INSERT INTO "Note" (text) VALUES ('a')`,
      `INSERT INTO "Note" (text) SELECT 'a' WHERE false`,
      `UPDATE "Note" SET text = text`,
      'DELETE FROM "Note"',
      'TRUNCATE "Note"',
    ]
    for (const statement of statements) expect(await rejectionOf(database.query(statement))).toMatchObject(REFUSED)
    expect(await rejectionOf(insert(made.db))).toBeDefined()
    expect(await notes()).toBe(0)
  })

  test('the holder writes by $assertLease, and another program by the setting, for one transaction', async () => {
    await made.db.$withLease(LEASE, TTL, async (lease) => {
      await made.db.$transactionWithRetry(async (tx) => {
        await tx.$assertLease(lease)
        await insert(tx)
      })
      // Its connection is free again, and the next statement is sent on it.
      expect(await rejectionOf(insert(made.db))).toBeDefined()
      const client = await openTransaction(database.url, SET, [proofOf(lease)])
      await client.query('INSERT INTO "Note" (text) VALUES ($1)', [text])
      await client.query('COMMIT')
      expect(await rejectionOf(client.query('DELETE FROM "Note"'))).toMatchObject(REFUSED)
      const late = await openTransaction(database.url, SET, [proofOf({ ...lease, token: lease.token - 1n })])
      expect(await rejectionOf(late.query('DELETE FROM "Note"'))).toMatchObject(REFUSED)
      // A table that another lease guards is not open to this one.
      const both = made.db.$transactionWithRetry(async (tx) => {
        await tx.$assertLease(lease)
        await rows(tx, 'DELETE FROM "Prompt"')
      })
      expect(await rejectionOf(both)).toBeDefined()
    })
    expect(await notes()).toBe(2)
    expect(await rejectionOf(database.query('DELETE FROM "Note"'))).toMatchObject(REFUSED)
  })

  test('the holder writes with `fence`', async () => {
    const onPool = () => made.db.$extends(stock<StockItem, number>(STOCK))
    const onPrisma = () => made.db.$extends(prismaStock(STOCK) as never)
    const db = engine === 'pg' ? onPool() : (onPrisma() as unknown as ReturnType<typeof onPool>)
    await database.query(leaseFenceTriggerSql(db, 'StockMovement', { lease: LEASE }))
    const item = { productId: randomInt(1, 2 ** 31), warehouse: 'main' }
    await database.query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 5)`, [
      item.productId,
    ])
    const move = () => ({ transactionId: randomUUID(), item, quantity: -1 })

    await db.$withLease(LEASE, TTL, async (fence) => {
      expect(await rejectionOf(db.$stock.move(move()))).toBeDefined()
      expect(await db.$stock.move({ ...move(), fence })).toMatchObject({ balance: 4 })
    })
  })

  test('one transaction may hold several leases', async () => {
    await made.db.$withLease(LEASE, TTL, (lease) =>
      made.db.$withLease('another', TTL, (second) =>
        made.db.$transactionWithRetry(async (tx) => {
          await tx.$assertLease(lease)
          await tx.$assertLease(second)
          await insert(tx)
          await rows(tx, 'DELETE FROM "Prompt"')
        }),
      ),
    )
    expect(await notes()).toBe(1)
  })

  test('a new holder waits for a writer that was let through', async () => {
    const { db: their } = await connectLeases(other, database.url)
    const seen: unknown[] = []
    await made.db.$withLease(LEASE, TTL, async (lease) => {
      const writer = await openTransaction(database.url, SET, [proofOf(lease)])
      await writer.query('INSERT INTO "Note" (text) VALUES ($1)', [text])
      await expire(database, LEASE)
      const taking = started(their.$withLease(LEASE, { ...TTL, wait: 60_000 }, async () => seen.push(await notes())))
      await untilBlocked(database.url)
      await writer.query('COMMIT')
      await taking
    })
    expect(seen).toEqual([1])
  })

  test('a client without leases, and a model that there is not, are refused', () => {
    expect(() => leaseFenceTriggerSql({}, 'Note', { lease: LEASE })).toThrow(
      expect.objectContaining({ code: 'CONFIGURATION' }),
    )
    expect(() => leaseFenceTriggerSql(made.db, 'Nota', { lease: LEASE })).toThrow(
      expect.objectContaining({ field: 'model' }),
    )
    expect(() => leaseFenceTriggerSql(made.db, 'Note', {} as never)).toThrow(
      expect.objectContaining({ field: 'lease' }),
    )
  })
})
