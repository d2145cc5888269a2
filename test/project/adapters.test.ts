import { randomInt, randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency, isConcurrencyError } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { series } from '../../src/series/extension.js'
import { stock } from '../../src/stock/extension.js'
import { holdRow } from '../../src/testing.js'
import { ADAPTERS, type AdapterName } from '../support/adapters.js'
import { useDatabase } from '../support/clients.js'
import { started } from '../support/started.js'
import { STOCK } from '../support/stock-models.js'

const SERIES = {
  series: {
    invoice: { format: 'INV-{000}' },
    ticket: { blocks: 10 },
    payment: { document: { model: 'Payment', number: 'reference' } },
  },
} as const
const extend = (client: PrismaClient) =>
  client.$extends(concurrency()).$extends(stock(STOCK)).$extends(serials()).$extends(series(SERIES))
type Db = ReturnType<typeof extend>

const product = (db: Pick<Db, 'product'>) => db.product.create({ data: { name: 'Chai', stock: 39 } })
const take = ({ stock }: { stock: number }) => ({ stock: stock - 1 })
const item = async (db: Db) => {
  const key = { productId: randomInt(2 ** 31), warehouse: 'Linz' }
  await db.stock.create({ data: key })
  return key
}

/** A call of each feature, and the answer where it works. */
const CALLS: Record<string, readonly [call: (db: Db) => Promise<unknown>, answer: unknown]> = {
  updateVersioned: [
    async (db) => {
      const { id } = await product(db)
      return (await db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 5 } })).version
    },
    1,
  ],
  'updateVersioned of a stale version': [
    async (db) => {
      const { id } = await product(db)
      const call = db.product.updateVersioned({ where: { id, version: 7 }, data: { stock: 5 } })
      return call.catch((error) => isConcurrencyError(error, 'VERSION_CONFLICT') && error.actual)
    },
    0,
  ],
  'updateVersioned with a function, 16 at once': [
    async (db) => {
      const { id } = await product(db)
      await Promise.all(Array.from({ length: 16 }, () => db.product.updateVersioned({ where: { id }, data: take })))
      return (await db.product.findUniqueOrThrow({ where: { id } })).stock
    },
    23,
  ],
  tryUpdateVersioned: [
    async (db) => {
      const { id } = await product(db)
      return (await db.product.tryUpdateVersioned({ where: { id, version: 7 }, data: { stock: 5 } })).status
    },
    'stale',
  ],
  deleteVersioned: [
    async (db) => {
      const { id } = await product(db)
      await db.product.deleteVersioned({ where: { id, version: 0 } })
      return db.product.findUnique({ where: { id } })
    },
    null,
  ],
  updateManyVersioned: [
    async (db) => {
      const ids = [(await product(db)).id, (await product(db)).id]
      await db.product.updateManyVersioned(ids.map((id) => ({ where: { id, version: 0 }, data: { stock: 5 } })))
      return db.product.count({ where: { id: { in: ids }, stock: 5, version: 1 } })
    },
    2,
  ],
  createIdempotent: [
    async (db) => {
      const call = { where: { transactionId: randomUUID() }, data: { amount: '12.50' } }
      return [await db.payment.createIdempotent(call), await db.payment.createIdempotent(call)].map(
        ({ replayed }) => replayed,
      )
    },
    [false, true],
  ],
  'createIdempotent with relations': [
    async (db) => {
      const data = { amount: '12.50', items: { create: [{ text: 'Chai' }] } }
      return (await db.payment.createIdempotent({ where: { transactionId: randomUUID() }, data })).replayed
    },
    false,
  ],
  $transactionWithRetry: [
    async (db) => {
      const { id } = await product(db)
      const work = () => db.$transactionWithRetry((tx) => tx.product.updateVersioned({ where: { id }, data: take }))
      await Promise.all([work(), work(), work()])
      return (await db.product.findUniqueOrThrow({ where: { id } })).stock
    },
    36,
  ],
  $idempotent: [
    async (db) => {
      const key = randomUUID()
      const run = () => db.$idempotent({ key, scope: 'adapters' }, async (tx) => (await product(tx)).stock)
      return [await run(), await run()]
    },
    [
      { result: 39, replayed: false },
      { result: 39, replayed: true },
    ],
  ],
  $oncePer: [
    async (db) => {
      const job = randomUUID()
      const run = () => db.$oncePer({ job, period: { atLeast: '1h' } }, async () => 'done')
      return [(await run()).ran, (await run()).ran]
    },
    [true, false],
  ],
  $withAdvisoryLock: [
    async (db) => {
      const order: string[] = []
      const hold = (name: string) =>
        db.$withAdvisoryLock('adapters', async (tx) => {
          order.push(name)
          await tx.product.count()
          order.push(name)
        })
      await Promise.all([hold('a'), hold('b'), hold('c')])
      return order.every((name, index) => index % 2 === 0 || name === order[index - 1])
    },
    true,
  ],
  '$stock.move': [
    async (db) => {
      const key = await item(db)
      await db.$stock.move({ transactionId: randomUUID(), item: key, quantity: 10 })
      const moves = Array.from({ length: 8 }, () =>
        db.$stock.move({ transactionId: randomUUID(), item: key, quantity: -1 }),
      )
      await Promise.all(moves)
      const again = { transactionId: randomUUID(), item: key, quantity: 1 }
      await db.$stock.move(again)
      await db.$stock.move(again)
      const refused = db.$stock.move({ transactionId: randomUUID(), item: key, quantity: -4 })
      return refused.catch((error) => isConcurrencyError(error, 'INSUFFICIENT_STOCK') && error.available)
    },
    3,
  ],
  '$stock.reserve and fulfil': [
    async (db) => {
      const [key, transactionId] = [await item(db), randomUUID()]
      await db.$stock.move({ transactionId: randomUUID(), item: key, quantity: 10 })
      await db.$stock.reserve({ transactionId, lines: [{ item: key, quantity: 4 }], expiresIn: 60_000 } as never)
      await db.$stock.fulfil({ transactionId } as never)
      return (await db.stock.findFirstOrThrow({ where: key })).onHand
    },
    6,
  ],
  '$stock.defer and project': [
    async (db) => {
      const key = await item(db)
      await db.$stock.defer({ transactionId: randomUUID(), item: key, quantity: 10 })
      await db.$stock.project()
      return (await db.stock.findFirstOrThrow({ where: key })).onHand
    },
    10,
  ],
  '$serials.import': [
    async (db) => {
      const where = { productId: randomInt(2 ** 31) }
      await db.$serials.import({ transactionId: randomUUID(), data: where, numbers: ['A', 'B', 'C'] })
      return db.$serials.free(where)
    },
    3,
  ],
  '$serials.allocate': [
    async (db) => {
      const where = { productId: randomInt(2 ** 31) }
      await db.serial.createMany({ data: ['A', 'B', 'C'].map((number) => ({ ...where, number })) })
      const { serials } = await db.$serials.allocate({ transactionId: randomUUID(), where, count: 2 })
      return serials.length
    },
    2,
  ],
  '$series.next in blocks': [async (db) => typeof (await db.$series.next('ticket')).text, 'string'],
  '$series.next without gaps': [
    async (db) => {
      const next = () => db.$transactionWithRetry((tx) => tx.$series.next('invoice', { transactionId: randomUUID() }))
      return new Set([await next(), await next()].map(({ text }) => text)).size
    },
    2,
  ],
  '$series.create': [
    async (db) => {
      const create = () =>
        db.$series.create('payment', {
          transactionId: randomUUID(),
          record: { amount: '1' },
        })
      return (await Promise.all([create(), create()])).length
    },
    2,
  ],
}

/** The calls that need a transaction of several statements, which Neon's HTTP has not. All others work everywhere. */
const NOT_ON_HTTP = [
  'createIdempotent with relations',
  '$transactionWithRetry',
  '$idempotent',
  '$oncePer',
  '$withAdvisoryLock',
  '$stock.reserve and fulfil',
  '$serials.import',
  '$series.next in blocks',
  '$series.next without gaps',
]

const database = useDatabase()
describe.each(Object.keys(ADAPTERS) as AdapterName[])('%s', (name) => {
  let opened: { db: Db; close(): Promise<void> } | undefined
  const open = async () => {
    if (opened) return opened
    const { adapter, close } = await ADAPTERS[name](database.url)
    const client = new PrismaClient({ adapter })
    opened = {
      db: extend(client),
      close: async () => {
        await client.$disconnect()
        await close()
      },
    }
    return opened
  }
  afterAll(() => opened?.close())

  test.runIf(name === 'Neon, HTTP')('$stock.move of an item that is held is refused, and moves nothing', async () => {
    const { db } = await open()
    const key = await item(db)
    await db.$stock.move({ transactionId: randomUUID(), item: key, quantity: 10 })
    const sql = 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE'
    const stranger = await holdRow(database.url, sql, [key.productId])
    const call = started(db.$stock.move({ transactionId: randomUUID(), item: key, quantity: -1 }))

    await expect(call).rejects.toThrow('Transactions are not supported in HTTP mode')
    await stranger.release()
    expect(await db.stock.findFirstOrThrow({ where: key })).toMatchObject({ onHand: 10 })
  })

  test.each(Object.keys(CALLS))('%s', async (call) => {
    const { db } = await open()
    const [run, answer] = CALLS[call] as (typeof CALLS)[string]
    if (name === 'Neon, HTTP' && NOT_ON_HTTP.includes(call)) {
      await expect(run(db)).rejects.toThrow('Transactions are not supported in HTTP mode')
    } else {
      expect(await run(db)).toEqual(answer)
    }
  })
})
