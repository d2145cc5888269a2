import { randomInt, randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { leases as prismaLeases } from '../../src/leases/extension.js'
import { leases, stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import type { Lease } from '../../src/work.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines, rows } from '../support/engines.js'
import { connectLeases, expire } from '../support/leases.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { SILO, STOCK, type StockItem } from '../support/stock-models.js'
import { untilBlocked } from '../support/until-blocked.js'

/** Its first heartbeat, which would find a loss, comes after the test. */
const TTL = { ttl: 90_000 }

describeEngines(({ connect, database, name: engine, other }) => {
  let name = ''
  beforeEach((context) => {
    name = context.task.id
  })
  const newId = () => randomUUID()
  const open = async (url = database.url) => {
    const { db, client } = await connect(engine, { url })
    const onPool = () =>
      db
        .$extends(stock<StockItem, number>(STOCK))
        .$extends(stock<'silo', string, number>({ ...SILO, name: 'silo', rememberRefusals: true }))
        .$extends(leases())
    const onPrisma = () =>
      client
        .$extends(concurrency())
        .$extends(prismaStock(STOCK))
        .$extends(prismaStock({ ...SILO, name: 'silo', rememberRefusals: true }))
        .$extends(prismaLeases())
    return engine === 'pg' ? onPool() : (onPrisma() as unknown as ReturnType<typeof onPool>)
  }
  type Db = Awaited<ReturnType<typeof open>>
  /** The lease is somebody else's now, and the holder does not know yet. */
  const takeOver = () =>
    database.query(`UPDATE "Lease" SET token = token + 1, holder = 'somebody else' WHERE name = $1`, [name])
  const newItem = async (onHand: number): Promise<StockItem> => {
    const item = { productId: randomInt(1, 2 ** 31), warehouse: 'main' }
    await database.query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', $2)`, [
      item.productId,
      onHand,
    ])
    return item
  }
  const stateOf = async ({ productId }: StockItem) => {
    const text = `SELECT "onHand", reserved, (SELECT count(*)::int FROM "StockMovement" WHERE "productId" = $1) AS moved
      FROM "Stock" WHERE "productId" = $1`
    return (await database.query(text, [productId]))[0]
  }

  /** Each call, with what is to be seen of it if it has written. */
  const CALLS: Readonly<Record<string, (db: Pick<Db, '$stock'>, item: StockItem, fence: Lease) => Promise<unknown>>> = {
    move: (db, item, fence) => db.$stock.move({ transactionId: newId(), item, quantity: -3, fence }),
    moveAll: (db, item, fence) => db.$stock.moveAll({ transactionId: newId(), lines: [{ item, quantity: -3 }], fence }),
    count: (db, item, fence) => db.$stock.count({ transactionId: newId(), item, counted: 7, fence }),
    reserve: (db, item, fence) =>
      db.$stock.reserve({ transactionId: newId(), item, quantity: 3, expiresIn: 60_000, fence }),
  }

  describe.each(Object.entries(CALLS))('$stock.%s with a fence', (_, call) => {
    test('writes while the lease is held, and nothing once it is lost', async () => {
      const db = await open()
      const [held, lost, inside] = [await newItem(10), await newItem(10), await newItem(10)]
      const errors: unknown[] = []
      const end = db.$withLease(name, TTL, async (lease) => {
        await call(db, held, lease)
        await takeOver()
        errors.push(await rejectionOf(call(db, lost, lease)))
        // In a transaction of the caller's it cannot commit, even if the error is caught.
        const transaction = db.$transactionWithRetry(async (tx) => {
          await tx.$stock.move({ transactionId: newId(), item: inside, quantity: -1 })
          errors.push(await rejectionOf(call(tx, inside, lease)))
        })
        errors.push(await rejectionOf(transaction))
      })
      await rejectionOf(end)
      expect(errors).toMatchObject([
        { code: 'LEASE_LOST', lease: name },
        { code: 'LEASE_LOST' },
        { code: 'TRANSACTION_ABORTED' },
      ])
      expect(await stateOf(held)).not.toEqual({ onHand: 10, reserved: 0, moved: 0 })
      expect([await stateOf(lost), await stateOf(inside)]).toEqual([
        { onHand: 10, reserved: 0, moved: 0 },
        { onHand: 10, reserved: 0, moved: 0 },
      ])
    })
  })

  test('a takeover that comes between the look and the COMMIT waits for it, and heartbeats pass', async () => {
    const db = await open()
    const { db: their } = await connectLeases(other, database.url)
    const item = await newItem(10)
    const row = await openTransaction(database.url, 'SELECT 1 FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
      item.productId,
    ])
    const seen: unknown[] = []
    const end = db.$withLease(name, TTL, async (lease) => {
      const moving = started(db.$stock.move({ transactionId: newId(), item, quantity: -3, fence: lease }))
      await untilBlocked(database.url)
      await lease.progress('a heartbeat')
      await expire(database, name)
      const taking = started(
        their.$withLease(name, { ...TTL, wait: 60_000 }, async () => seen.push(await stateOf(item))),
      )
      await untilBlocked(database.url, 2)
      await row.query('COMMIT')
      seen.push(await moving)
      await taking
    })
    await end
    const after = { onHand: 7, reserved: 0, moved: 1 }
    expect(seen).toEqual(expect.arrayContaining([{ quantity: -3, balance: 7, replayed: false }, after]))
  })

  test('a refusal is told once, and what is remembered of it is committed', async () => {
    const db = await open()
    const code = newId()
    await database.query(`INSERT INTO "Silo" (code, "onHand") VALUES ($1, 1)`, [code])
    const errors: unknown[] = []
    const move = (lease: Lease) => db.$silo.move({ transactionId: code, item: code, quantity: -3, fence: lease })
    await db.$withLease(name, TTL, async (lease) => errors.push(await rejectionOf(move(lease))))
    expect(errors).toMatchObject([{ code: 'INSUFFICIENT_STOCK' }])
    const text = 'SELECT refused FROM "SiloMovement" WHERE "transactionId" = $1'
    expect(await database.query(text, [code])).toEqual([{ refused: true }])
  })

  test('is carried out once where the answer to COMMIT is lost', async () => {
    const proxy = await openProxy(database.url)
    const db = await open(proxy.url)
    const item = await newItem(10)
    await db.$withLease(name, TTL, (fence) => {
      proxy.next(/^COMMIT/, 'drop')
      return db.$stock.move({ transactionId: newId(), item, quantity: -3, fence })
    })
    expect(await stateOf(item)).toEqual({ onHand: 7, reserved: 0, moved: 1 })
  })

  test('what is no lease of this process is refused, and so is a fence on a call that takes none', async () => {
    const db = await open()
    const item = await newItem(10)
    const move = (fence: unknown) =>
      rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -3, fence: fence as Lease }))
    await db.$withLease(name, TTL, async (lease) => {
      const { token, holder } = lease
      for (const fence of [{ name, token, holder, isHeld: true }, 7, null, undefined]) {
        expect(await move(fence)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'fence' })
      }
      const reading = db.$stock.balance({ item, fence: lease } as { item: StockItem })
      expect(await rejectionOf(reading)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'fence' })
    })
    expect(await stateOf(item)).toEqual({ onHand: 10, reserved: 0, moved: 0 })
    let over: Lease | undefined
    await db.$withLease(name, TTL, async (lease) => (over = lease))
    expect(await move(over)).toMatchObject({ code: 'LEASE_LOST' })
  })

  // Only Prisma has models.
  describe.runIf(engine === 'prisma')('calls of models with a fence', () => {
    const models = async () => {
      const { client } = await connect(engine)
      return client.$extends(concurrency()).$extends(prismaLeases())
    }
    type Models = Awaited<ReturnType<typeof models>>
    type Call = (db: Models, id: number, fence: Lease) => Promise<unknown>
    const MODEL_CALLS: Readonly<Record<string, Call>> = {
      'updateVersioned with data': (db, id, fence) =>
        db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 7 }, fence }),
      'updateVersioned with a function': (db, id, fence) =>
        db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock - 3 }), fence }),
      tryUpdateVersioned: (db, id, fence) =>
        db.product.tryUpdateVersioned({ where: { id, version: 0 }, data: { stock: 7 }, fence }),
      deleteVersioned: (db, id, fence) => db.product.deleteVersioned({ where: { id, version: 0 }, fence }),
      updateManyVersioned: (db, id, fence) =>
        db.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 7 } }], { fence }),
      createIdempotent: (db, id, fence) =>
        db.product.createIdempotent({ where: { id: -id }, data: { name: 'new', stock: 7 }, fence }),
    }
    const stocksOf = (id: number) =>
      database.query('SELECT id, stock FROM "Product" WHERE id IN ($1::int, -$1::int)', [id])

    test.each(Object.entries(MODEL_CALLS))(
      '%s writes while the lease is held, and nothing once it is lost',
      async (_, call) => {
        const db = await models()
        const newProduct = async () => (await db.product.create({ data: { name, stock: 10 } })).id
        const [held, lost, inside] = [await newProduct(), await newProduct(), await newProduct()]
        const errors: unknown[] = []
        await rejectionOf(
          db.$withLease(name, TTL, async (lease) => {
            await call(db, held, lease)
            await takeOver()
            errors.push(await rejectionOf(call(db, lost, lease)))
            const transaction = db.$transaction(async (tx) => {
              errors.push(await rejectionOf(call(tx as unknown as Models, inside, lease)))
            })
            errors.push(await rejectionOf(transaction))
          }),
        )
        expect(errors).toMatchObject([{ code: 'LEASE_LOST' }, { code: 'LEASE_LOST' }, { code: 'TRANSACTION_ABORTED' }])
        expect(await stocksOf(held)).not.toEqual([{ id: held, stock: 10 }])
        expect(await stocksOf(lost)).toEqual([{ id: lost, stock: 10 }])
        expect(await stocksOf(inside)).toEqual([{ id: inside, stock: 10 }])
      },
    )

    test('a version conflict is told after one attempt, and a plain call on a tx is part of it', async () => {
      const db = await models()
      const { id } = await db.product.create({ data: { name, stock: 10 } })
      const told: unknown[] = []
      await db.$withLease(name, TTL, async (fence) => {
        const stale = { where: { id, version: 7 }, data: { stock: 1 }, fence }
        told.push(await rejectionOf(db.product.updateVersioned(stale)), await db.product.tryUpdateVersioned(stale))
        await rejectionOf(
          db.$transaction(async (tx) => {
            told.push(await tx.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 }, fence }))
            throw new Error('rolled back')
          }),
        )
      })
      expect(told).toMatchObject([
        { code: 'VERSION_CONFLICT', attempts: 1, actual: 0 },
        { status: 'stale', actual: 0 },
        { version: 1 },
      ])
      expect(await rows(db, 'SELECT stock, version FROM "Product" WHERE id = $1', id)).toEqual([
        { stock: 10, version: 0 },
      ])
    })
  })
})
