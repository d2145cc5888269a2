import { randomUUID } from 'node:crypto'
import { inbox } from '../../src/inbox/extension.js'
import { concurrency } from '../../src/index.js'
import { jobs } from '../../src/jobs/extension.js'
import { leases } from '../../src/leases/extension.js'
import { outbox } from '../../src/outbox/extension.js'
import { serials } from '../../src/serials/extension.js'
import { series } from '../../src/series/extension.js'
import { steps } from '../../src/steps/extension.js'
import { stock } from '../../src/stock/extension.js'
import type { createClient } from './clients.js'
import { SILO, STOCK, type StockItem } from './stock-models.js'
import { TICKETS } from './ticket-models.js'

/** One series that is not gapless; its blocks are as small as they can be. */
const SERIES = {
  series: { 'in blocks': { blocks: 1 }, payment: { document: { model: 'Payment', number: 'reference' } } },
} as const

const TRANSITIONS = {
  Parcel: { field: 'state', from: { PENDING: ['PAID'] }, history: { model: 'ParcelMove' } },
  Errand: { field: 'state', from: { open: ['done'] } },
} as const

/** A client with everything of this package on it. */
export function clientOf({ client }: ReturnType<typeof createClient>) {
  return client
    .$extends(concurrency({ transitions: TRANSITIONS }))
    .$extends(leases())
    .$extends(jobs())
    .$extends(outbox())
    .$extends(inbox({ version: {} }))
    .$extends(steps())
    .$extends(stock(STOCK))
    .$extends(stock({ ...SILO, name: 'silos' }))
    .$extends(stock({ ...TICKETS, name: 'tickets' }))
    .$extends(serials())
    .$extends(series(SERIES))
}

export type Client = ReturnType<typeof clientOf>
export type Tx = Parameters<Parameters<Client['$transaction']>[0]>[0]
type Query = (sql: string, values?: unknown[]) => Promise<Record<string, unknown>[]>

/** A call on a `tx`, on rows of its own. */
export interface Call {
  readonly name: string
  /** Whether the call is refused, also when nothing else runs. */
  readonly isRefused: boolean
  /** Whether the lock is refused in a transaction that is not READ COMMITTED. */
  readonly isLock: boolean
  /** Makes its rows. */
  prepare(db: Client, query: Query): Promise<Prepared>
}

/** A call, and whether its effect is in the database; nothing for a call that leaves none. */
export interface Prepared {
  begin(tx: Tx): Promise<unknown>
  readonly isWritten?: (query: Query) => Promise<boolean>
}

const has = async (query: Query, sql: string, ...values: unknown[]) => (await query(sql, values)).length > 0
const anyId = () => Math.floor(Math.random() * 2 ** 31)

function call(name: string, prepare: Call['prepare'], isLock = false): Call {
  return { name, isRefused: false, isLock, prepare }
}

const refused = (call: Call): Call => ({ ...call, isRefused: true })

const effectless = (name: string, begin: Prepared['begin'], isLock = false): Call =>
  call(name, async () => ({ begin }), isLock)

/** A call that writes an order of a name of its own. */
function orderCall(name: string, begin: (tx: Tx, customer: string) => Promise<unknown>, isLock = false): Call {
  const prepare = async () => {
    const customer = randomUUID()
    return {
      begin: (tx: Tx) => begin(tx, customer),
      isWritten: (query: Query) => has(query, 'SELECT FROM "Order" WHERE customer = $1', customer),
    }
  }
  return call(name, prepare, isLock)
}

const versioned = (name: string, begin: (tx: Tx, id: number) => Promise<unknown>): Call =>
  call(name, async (db) => {
    const { id } = await db.order.create({ data: { customer: 'before' } })
    return {
      begin: (tx) => begin(tx, id),
      isWritten: (query) => has(query, `SELECT FROM "Order" WHERE id = $1 AND customer = 'after'`, id),
    }
  })

type StockCall = (tx: Tx, transactionId: string, item: StockItem) => Promise<unknown>

/** A call on an item that has one. */
const stockCall = (name: string, begin: StockCall, table = 'StockMovement'): Call =>
  call(name, async (_, query) => {
    const item = { productId: anyId(), warehouse: 'main' }
    const transactionId = randomUUID()
    await query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 1)`, [item.productId])
    return {
      begin: (tx) => begin(tx, transactionId, item),
      isWritten: (query) => has(query, `SELECT FROM "${table}" WHERE "transactionId" = $1`, transactionId),
    }
  })

/** A call on a reservation, which leaves it in the state. */
const reservationCall = (name: string, state: string, begin: (tx: Tx, transactionId: string) => Promise<unknown>) =>
  call(name, async (db, query) => {
    const item = { productId: anyId(), warehouse: 'main' }
    const transactionId = randomUUID()
    await query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 5)`, [item.productId])
    await db.$stock.reserve({ transactionId, item, quantity: 2, expiresIn: 600_000 })
    const sql = 'SELECT FROM "StockReservation" WHERE "transactionId" = $1 AND state = $2'
    return { begin: (tx) => begin(tx, transactionId), isWritten: (query) => has(query, sql, transactionId, state) }
  })

const serialsCall = (name: string, count: number): Call =>
  call(name, async (_, query) => {
    const productId = anyId()
    const transactionId = randomUUID()
    await query(`INSERT INTO "Serial" ("productId", number) VALUES ($1, 'S-1')`, [productId])
    return {
      begin: (tx) => tx.$serials.allocate({ transactionId, where: { productId }, count }),
      isWritten: (query) => has(query, 'SELECT FROM "Serial" WHERE "transactionId" = $1', transactionId),
    }
  })

const paymentCall = (name: string, begin: (tx: Tx, transactionId: string) => Promise<unknown>): Call =>
  call(name, async () => {
    const transactionId = randomUUID()
    return {
      begin: (tx) => begin(tx, transactionId),
      isWritten: (query) => has(query, 'SELECT FROM "Payment" WHERE "transactionId" = $1', transactionId),
    }
  })

const lines = [{ product: { create: { name: 'Chai' } }, quantity: 1 }]
const after = { customer: 'after' }
const refuse = () => {
  throw new Error('The body refuses.')
}

/** Every kind of call that can be made on a `tx`, of the package and of Prisma, by the method, some of them refused. */
export const CALLS: Readonly<Record<string, readonly Call[]>> = {
  updateVersioned: [
    versioned('by a function', (tx, id) => tx.order.updateVersioned({ where: { id }, data: () => after })),
    versioned('by an async function', (tx, id) => {
      const data = async () => {
        await tx.category.count()
        return after
      }
      return tx.order.updateVersioned({ where: { id }, data })
    }),
    versioned('of a held version', (tx, id) => tx.order.updateVersioned({ where: { id, version: 0 }, data: after })),
    refused(
      versioned('of a stale version', (tx, id) => tx.order.updateVersioned({ where: { id, version: 9 }, data: after })),
    ),
  ],
  updateManyVersioned: [
    versioned('of a held version', (tx, id) =>
      tx.order.updateManyVersioned([{ where: { id, version: 0 }, data: after }]),
    ),
    refused(
      versioned('of a stale version', (tx, id) =>
        tx.order.updateManyVersioned([{ where: { id, version: 9 }, data: after }]),
      ),
    ),
  ],
  deleteVersioned: [
    call('of a held version', async (db) => {
      const { id } = await db.order.create({ data: { customer: 'before' } })
      return {
        begin: (tx) => tx.order.deleteVersioned({ where: { id, version: 0 } }),
        isWritten: async (query) => !(await has(query, 'SELECT FROM "Order" WHERE id = $1', id)),
      }
    }),
    refused(
      versioned('of a stale version', (tx, id) =>
        tx.order.deleteVersioned({ where: { id, version: 9 }, include: { lines: true } }),
      ),
    ),
  ],
  createIdempotent: [
    paymentCall('of a record', (tx, transactionId) =>
      tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 1 } }),
    ),
    paymentCall('with a child', (tx, transactionId) =>
      tx.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 1, items: { create: { text: 'child' } } },
      }),
    ),
    refused(
      paymentCall('whose child is refused', (tx, transactionId) =>
        tx.payment.createIdempotent({
          where: { transactionId },
          data: { amount: 1, items: { connect: { id: -1 } } },
        }),
      ),
    ),
  ],
  $advisoryXactLock: [
    effectless('of a key', (tx) => tx.$advisoryXactLock(['at once', randomUUID()]), true),
    effectless(
      '$tryAdvisoryXactLock of two keys',
      (tx) => tx.$tryAdvisoryXactLock({ keys: [randomUUID(), randomUUID()] }),
      true,
    ),
  ],
  $stock: [
    stockCall('moveAll', (tx, transactionId, item) =>
      tx.$stock.moveAll({ transactionId, lines: [{ item, quantity: 3 }] }),
    ),
    refused(
      stockCall('a moveAll that is short', (tx, transactionId, item) =>
        tx.$stock.moveAll({ transactionId, lines: [{ item, quantity: -3 }] }),
      ),
    ),
    stockCall('a moveAll from a place', (tx, transactionId, item) =>
      tx.$stock.moveAll({ transactionId, lines: [{ from: { items: [item], quantity: 1 } }] }),
    ),
    stockCall('a move that creates its item', (tx, transactionId, { productId }) =>
      tx.$stock.move({ transactionId, item: { productId, warehouse: 'new' }, quantity: 3, createMissing: true }),
    ),
    stockCall('defer', (tx, transactionId, item) => tx.$stock.defer({ transactionId, item, quantity: 3 })),
    stockCall(
      'reserve',
      (tx, transactionId, item) => tx.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 600_000 }),
      'StockReservation',
    ),
    reservationCall('fulfil', 'fulfilled', (tx, transactionId) => tx.$stock.fulfil({ transactionId })),
    call('extend', async (db, query) => {
      const item = { productId: anyId(), warehouse: 'main' }
      const transactionId = randomUUID()
      await query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 5)`, [item.productId])
      await db.$stock.reserve({ transactionId, item, quantity: 2, expiresIn: 600_000 })
      const sql = `SELECT FROM "StockReservation" WHERE "transactionId" = $1 AND "expiresAt" > now() + interval '1 hour'`
      return {
        begin: (tx) => tx.$stock.extend({ transactionId, expiresIn: 7_200_000 }),
        isWritten: (query) => has(query, sql, transactionId),
      }
    }),
    reservationCall('release', 'released', (tx, transactionId) => tx.$stock.release({ transactionId })),
  ],
  $serials: [
    serialsCall('allocate', 1),
    refused(serialsCall('an allocation of too many', 2)),
    call('release', async (db, query) => {
      const productId = anyId()
      const transactionId = randomUUID()
      await query(`INSERT INTO "Serial" ("productId", number) VALUES ($1, 'S-1')`, [productId])
      await db.$serials.allocate({ transactionId, where: { productId }, count: 1 })
      const sql = 'SELECT FROM "Serial" WHERE "productId" = $1 AND "transactionId" IS NULL'
      return {
        begin: (tx) => tx.$serials.release({ transactionId }),
        isWritten: (query) => has(query, sql, productId),
      }
    }),
  ],
  $series: [
    call('next', async (db) => {
      const name = randomUUID()
      return {
        begin: (tx) => tx.$series.next(name),
        isWritten: async () => (await db.series.findMany({ where: { name } })).length > 0,
      }
    }),
    paymentCall('create', (tx, transactionId) =>
      tx.$series.create('payment', { transactionId, record: { amount: 1 } }),
    ),
  ],
  "Prisma's own": [
    orderCall('create', (tx, customer) => tx.order.create({ data: { customer } })),
    orderCall('create of several statements', (tx, customer) =>
      tx.order.create({ data: { customer, lines: { create: lines } } }),
    ),
    refused(
      orderCall('update of a record that is not there', (tx, customer) =>
        tx.order.update({ where: { id: -1 }, data: { customer } }),
      ),
    ),
    effectless('findMany', (tx) => tx.category.findMany({ take: 1 })),
    orderCall('$executeRaw', (tx, customer) => tx.$executeRaw`INSERT INTO "Order" (customer) VALUES (${customer})`),
  ],
  $idempotent: [
    orderCall('of an insert', (tx, customer) =>
      tx.$idempotent({ key: customer, scope: 'at once' }, (inner) => inner.order.create({ data: { customer } })),
    ),
    refused(
      orderCall('whose body throws', (tx, customer) =>
        tx.$idempotent({ key: customer, scope: 'at once' }, async (inner) => {
          await inner.order.create({ data: { customer } })
          refuse()
        }),
      ),
    ),
  ],
  $transaction: [
    orderCall('of an insert', (tx, customer) => tx.$transaction((inner) => inner.order.create({ data: { customer } }))),
    refused(
      orderCall('whose body throws', (tx, customer) =>
        tx.$transaction(async (inner) => {
          await inner.order.create({ data: { customer } })
          refuse()
        }),
      ),
    ),
  ],
  $withAdvisoryLock: [
    orderCall(
      'of an insert',
      (tx, customer) => tx.$withAdvisoryLock(customer, (inner) => inner.order.create({ data: { customer } })),
      true,
    ),
  ],
  $transactionWithRetry: [
    orderCall('of an insert', (tx, customer) =>
      tx.$transactionWithRetry((inner) => inner.order.create({ data: { customer } })),
    ),
    refused(
      orderCall('whose body throws', (tx, customer) =>
        tx.$transactionWithRetry(async (inner) => {
          await inner.order.create({ data: { customer } })
          refuse()
        }),
      ),
    ),
  ],
}
