import { randomUUID } from 'node:crypto'
import { concurrency } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { series } from '../../src/series/extension.js'
import { stock } from '../../src/stock/extension.js'
import type { createClient } from './clients.js'
import { STOCK } from './stock-models.js'

/** One series that is not gapless; its blocks are as small as they can be. */
const SERIES = {
  series: { 'in blocks': { blocks: 1 }, payment: { document: { model: 'Payment', number: 'reference' } } },
} as const

/** A client with everything of this package on it. */
export function clientOf({ client }: ReturnType<typeof createClient>) {
  return client.$extends(concurrency()).$extends(stock(STOCK)).$extends(serials()).$extends(series(SERIES))
}

export type Client = ReturnType<typeof clientOf>
export type Tx = Parameters<Parameters<Client['$transaction']>[0]>[0]
type Query = (sql: string, values?: unknown[]) => Promise<Record<string, unknown>[]>

/** A call on a `tx`, on rows of its own, and whether its effect is in the database. */
export interface Call {
  readonly name: string
  /** Whether the call is refused, also when nothing else runs. */
  readonly isRefused?: boolean
  readonly begin: (tx: Tx) => Promise<unknown>
  readonly isWritten: (query: Query) => Promise<boolean>
}

type MakeCall = (db: Client, query: Query) => Promise<Call>

const has = async (query: Query, sql: string, ...values: unknown[]) => (await query(sql, values)).length > 0
const nothing = { isWritten: async () => true }
const orderIs = (customer: string) => (query: Query) => has(query, 'SELECT FROM "Order" WHERE customer = $1', customer)

/** A call that writes an order of a name of its own. */
function orderCall(name: string, begin: (tx: Tx, customer: string) => Promise<unknown>, isRefused = false): MakeCall {
  return async () => {
    const customer = randomUUID()
    return { name, isRefused, begin: (tx) => begin(tx, customer), isWritten: orderIs(customer) }
  }
}

const versioned = (name: string, begin: (tx: Tx, id: number) => Promise<unknown>, isRefused = false): MakeCall => {
  return async (db) => {
    const { id } = await db.order.create({ data: { customer: 'before' } })
    return {
      name,
      isRefused,
      begin: (tx) => begin(tx, id),
      isWritten: (query) => has(query, `SELECT FROM "Order" WHERE id = $1 AND customer = 'after'`, id),
    }
  }
}

const stockCall = (name: string, quantity: number): MakeCall => {
  return async (_, query) => {
    const productId = Math.floor(Math.random() * 2 ** 31)
    const transactionId = randomUUID()
    await query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 0)`, [productId])
    const line = { item: { productId, warehouse: 'main' }, quantity }
    return {
      name,
      isRefused: quantity < 0,
      begin: (tx) => tx.$stock.moveAll({ transactionId, lines: [line] }),
      isWritten: (query) => has(query, 'SELECT FROM "StockMovement" WHERE "transactionId" = $1', transactionId),
    }
  }
}

const serialsCall = (name: string, free: number): MakeCall => {
  return async (_, query) => {
    const productId = Math.floor(Math.random() * 2 ** 31)
    const transactionId = randomUUID()
    await query(
      `INSERT INTO "Serial" ("productId", number) SELECT $1, 'S-' || n FROM generate_series(1, $2::int) AS n`,
      [productId, free],
    )
    return {
      name,
      isRefused: free === 0,
      begin: (tx) => tx.$serials.allocate({ transactionId, where: { productId }, count: 1 }),
      isWritten: (query) => has(query, 'SELECT FROM "Serial" WHERE "transactionId" = $1', transactionId),
    }
  }
}

const paymentCall = (name: string, children: object, isRefused = false): MakeCall => {
  return async () => {
    const transactionId = randomUUID()
    return {
      name,
      isRefused,
      begin: (tx) => tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 1, ...children } }),
      isWritten: (query) => has(query, 'SELECT FROM "Payment" WHERE "transactionId" = $1', transactionId),
    }
  }
}

const lines = [{ product: { create: { name: 'Chai' } }, quantity: 1 }]
const after = { customer: 'after' }
const refuse = () => {
  throw new Error('The body refuses.')
}

/** Every kind of call that can be made on a `tx`, of the package and of Prisma, some of them refused. */
export const CALLS: readonly MakeCall[] = [
  versioned('updateVersioned by a function', (tx, id) =>
    tx.order.updateVersioned({ where: { id }, data: () => after }),
  ),
  versioned('updateVersioned by an async function', (tx, id) =>
    tx.order.updateVersioned({
      where: { id },
      data: async () => {
        await tx.category.count()
        return after
      },
    }),
  ),
  versioned('updateVersioned of a held version', (tx, id) =>
    tx.order.updateVersioned({ where: { id, version: 0 }, data: after }),
  ),
  versioned(
    'a stale updateVersioned',
    (tx, id) => tx.order.updateVersioned({ where: { id, version: 9 }, data: after }),
    true,
  ),
  versioned('updateManyVersioned', (tx, id) =>
    tx.order.updateManyVersioned([{ where: { id, version: 0 }, data: after }]),
  ),
  versioned(
    'a stale updateManyVersioned',
    (tx, id) => tx.order.updateManyVersioned([{ where: { id, version: 9 }, data: after }]),
    true,
  ),
  versioned(
    'a stale deleteVersioned',
    (tx, id) => tx.order.deleteVersioned({ where: { id, version: 9 }, include: { lines: true } }),
    true,
  ),
  paymentCall('createIdempotent', {}),
  paymentCall('createIdempotent with a child', { items: { create: { text: 'child' } } }),
  paymentCall('a createIdempotent whose child is refused', { items: { connect: { id: -1 } } }, true),
  orderCall('$idempotent', (tx, customer) =>
    tx.$idempotent({ key: customer, scope: 'at once' }, (inner) => inner.order.create({ data: { customer } })),
  ),
  orderCall(
    'an $idempotent whose body throws',
    (tx, customer) =>
      tx.$idempotent({ key: customer, scope: 'at once' }, async (inner) => {
        await inner.order.create({ data: { customer } })
        refuse()
      }),
    true,
  ),
  async () => ({
    name: '$advisoryXactLock',
    begin: (tx) => tx.$advisoryXactLock(['at once', randomUUID()]),
    ...nothing,
  }),
  async () => ({
    name: '$tryAdvisoryXactLock of two keys',
    begin: (tx) => tx.$tryAdvisoryXactLock({ keys: [randomUUID(), randomUUID()] }),
    ...nothing,
  }),
  orderCall('$withAdvisoryLock', (tx, customer) =>
    tx.$withAdvisoryLock(customer, (inner) => inner.order.create({ data: { customer } })),
  ),
  orderCall(
    'a $transactionWithRetry that throws',
    (tx, customer) =>
      tx.$transactionWithRetry(async (inner) => {
        await inner.order.create({ data: { customer } })
        refuse()
      }),
    true,
  ),
  stockCall('$stock.moveAll', 3),
  stockCall('a $stock.moveAll that is short', -3),
  serialsCall('$serials.allocate', 2),
  serialsCall('a $serials.allocate of too few', 0),
  async (db) => {
    const prefix = randomUUID()
    return {
      name: '$series.next',
      begin: (tx) => tx.$series.next(prefix),
      isWritten: async () => (await db.series.findMany({ where: { name: prefix } })).length > 0,
    }
  },
  orderCall('a plain create', (tx, customer) => tx.order.create({ data: { customer } })),
  orderCall('a plain create of several statements', (tx, customer) =>
    tx.order.create({ data: { customer, lines: { create: lines } } }),
  ),
  orderCall(
    'a plain update of a record that is not there',
    (tx, customer) => tx.order.update({ where: { id: -1 }, data: { customer } }),
    true,
  ),
]
