import { randomUUID } from 'node:crypto'
import { serials, series, stock } from '../../../src/erp.js'
import { concurrency } from '../../../src/index.js'
import { ARCHIVE } from '../archive-models.js'
import type { createClient } from '../clients.js'
import { STOCK } from '../stock-models.js'
import {
  type PlainCall,
  plainAllocation,
  plainAnswer,
  plainCount,
  plainCreate,
  plainDelete,
  plainFree,
  plainImport,
  plainKey,
  plainLines,
  plainMove,
  plainMovement,
  plainNumber,
  plainUpdate,
  plainUpdateMany,
} from './plain.js'

/** A client with all extensions. */
export function extended(client: ReturnType<typeof createClient>['client']) {
  return client
    .$extends(concurrency())
    .$extends(stock(STOCK))
    .$extends(stock({ ...ARCHIVE, name: 'ledger' }))
    .$extends(serials())
    .$extends(series({ series: { ticket: { blocks: 50 } } }))
}
export type Db = ReturnType<typeof extended>

/** Runs SQL past Prisma. */
export type Query = (sql: string, values?: unknown[]) => Promise<Record<string, unknown>[]>

/** The columns that must be stored alike, by tables: these, or all but ids. */
export type Columns = Readonly<Record<string, readonly string[] | 'all'>>

/** A call with the arguments that its method wants, which may be distorted, and its right outcome if they are not. */
export interface Call {
  readonly name: string
  readonly args: unknown[]
  run(db: Db, args: unknown[]): PromiseLike<unknown>
  /** Whether an answer is the right one. */
  isRight(answer: never): boolean
  /** Prisma's own call with the same arguments, if it has one like this. */
  readonly plain?: { readonly run: PlainCall; readonly columns: Columns }
  /** The SQL that may be sent before Prisma refuses an argument: a function has to read first. */
  readonly mayBeSent?: RegExp
  /** Whether the arguments go on to Prisma, whose own errors are then right as well. */
  readonly isPrismas: boolean
  /** Where it may be called: on the client, in a transaction, or both. */
  readonly place: 'root' | 'inside' | 'both'
}

type Maker = (query: Query) => Promise<Call>
// Distorted arguments have no type.
type Loose = Record<string, (...args: unknown[]) => PromiseLike<unknown>>
const loose = (value: unknown) => value as Loose

const body = async () => 7
let products = 1_000_000
const newProductId = () => ++products
const newProduct = async (query: Query) => {
  const [row] = await query(`INSERT INTO "Product" (name, stock, "updatedAt") VALUES ('Chai', 5, now()) RETURNING id`)
  return (row as { id: number }).id
}
const newEverything = async (query: Query) => {
  const [row] = await query(`INSERT INTO "every thing" ("the code") VALUES ($1) RETURNING id`, [randomUUID()])
  return (row as { id: number }).id
}
const newItem = async (query: Query) => {
  const productId = newProductId()
  await query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 5)`, [productId])
  await query(
    `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($1, 0, $2, 'main', 5)`,
    [randomUUID(), productId],
  )
  return { productId, warehouse: 'main' }
}
/** An item with a history of one movement, of a day that no call closes or prunes. */
const newEntry = async (query: Query) => {
  const [code, id] = [randomUUID() as string, randomUUID() as string]
  await query(`INSERT INTO "ArchiveStock" (code, "onHand", sequence) VALUES ($1, 5, 1)`, [code])
  await query(
    `INSERT INTO "ArchiveMovement" ("transactionId", line, code, quantity, date, sequence, balance, at)
     VALUES ($1, 0, $2, 5, '9999-12-31', 1, 5, '2020-01-01')`,
    [id, code],
  )
  return { item: code, id }
}
const newSerials = async (query: Query) => {
  const productId = newProductId()
  await query(`INSERT INTO "Serial" ("productId", number) SELECT $1, 'S-' || n FROM generate_series(1, 3) AS n`, [
    productId,
  ])
  return productId
}

const TABLES: Readonly<Record<string, Columns>> = {
  everything: { 'every thing': 'all' },
  product: { Product: 'all' },
  payment: { Payment: 'all', PaymentItem: 'all' },
  transfer: { Transfer: ['tenantId', 'transactionId', 'amount', 'at'] },
}
const PLAIN_METHODS: Readonly<Record<string, (model: string) => PlainCall>> = {
  updateVersioned: plainUpdate,
  tryUpdateVersioned: plainUpdate,
  deleteVersioned: plainDelete,
  updateManyVersioned: plainUpdateMany,
  createIdempotent: plainCreate,
}
const ON_HAND = { Stock: ['productId', 'warehouse', 'onHand', 'reserved'] } as const
const SERIALS = { Serial: ['productId', 'number', 'transactionId', 'orderId'] } as const
const PLAIN_ERP: Readonly<Record<string, NonNullable<Call['plain']>>> = {
  '$stock.move': { run: plainMove, columns: ON_HAND },
  '$stock.moveAll': { run: plainLines('onHand'), columns: ON_HAND },
  '$stock.count': { run: plainCount, columns: ON_HAND },
  '$stock.defer': {
    run: plainMovement,
    columns: { StockMovement: ['transactionId', 'line', 'productId', 'warehouse', 'quantity', 'applied'] },
  },
  '$stock.reserve': { run: plainLines('reserved'), columns: ON_HAND },
  // Which ones it takes is up to the database.
  '$serials.allocate': { run: plainAllocation, columns: { Serial: ['transactionId', 'orderId'] } },
  '$serials.import': { run: plainImport, columns: SERIALS },
  '$serials.free': { run: plainFree, columns: {} },
  '$series.next': { run: plainNumber, columns: { SeriesNumber: ['series', 'transactionId'] } },
}
const PLAIN_KEY = { run: plainKey, columns: { IdempotencyKey: ['scope', 'key'] } } as const

const model = (name: string, method: string, args: unknown[], isRight: (answer: never) => boolean): Call => ({
  name: `${name}.${method}`,
  args,
  run: (db, given) => loose(loose(db as never)[name])[method]?.(...given) as PromiseLike<unknown>,
  isRight,
  plain: {
    run: (PLAIN_METHODS[method] as (model: string) => PlainCall)(name),
    columns: TABLES[name] as Columns,
  },
  isPrismas: true,
  place: 'both',
})
const client = (
  name: string,
  args: unknown[],
  isRight: (answer: never) => boolean,
  place: Call['place'] = 'both',
): Call => ({
  name,
  args,
  run: (db, given) => loose(db)[name]?.(...given) as PromiseLike<unknown>,
  isRight,
  ...(name === '$idempotent' ? { plain: PLAIN_KEY } : {}),
  isPrismas: false,
  place,
})
const erp = (
  space: string,
  name: string,
  args: unknown[],
  isRight: (answer: never) => boolean,
  place: Call['place'] = 'both',
): Call => ({
  name: `${space}.${name}`,
  args,
  run: (db, given) => loose(loose(db as never)[space])[name]?.(...given) as PromiseLike<unknown>,
  isRight,
  ...(PLAIN_ERP[`${space}.${name}`] ? { plain: PLAIN_ERP[`${space}.${name}`] as NonNullable<Call['plain']> } : {}),
  isPrismas: false,
  place,
})
const any = () => true
const transactionId = () => randomUUID() as string

/** One of each public method. */
export const MAKERS: readonly Maker[] = [
  async (query) => {
    const data = {
      int: 3,
      text: 'a',
      big: 4n,
      decimal: '1.5',
      flag: true,
      json: { a: [1] },
      tags: ['x'],
      at: new Date(0),
    }
    return model(
      'everything',
      'updateVersioned',
      [{ where: { id: await newEverything(query), version: 0 }, data }],
      (row: { int: number; version: number }) => row.int === 3 && row.version === 1,
    )
  },
  async (query) => {
    const id = await newProduct(query)
    const data = (current: { stock: number }) => ({ stock: current.stock - 1 })
    const args = [{ where: { id }, data, select: { stock: true, version: true }, retry: { attempts: 5 } }]
    const isRight = (row: { stock: number; version: number }) => row.stock === 4 && row.version === 1
    return { ...model('product', 'updateVersioned', args, isRight), mayBeSent: /^SELECT/ }
  },
  async (query) => {
    const id = await newProduct(query)
    // The function itself is right; its return value is distorted.
    const result = [{ stock: { decrement: 1 }, name: 'Tofu', price: '2.50' }]
    return {
      ...model('product', 'updateVersioned', result, (row: { stock: number }) => row.stock === 4),
      name: 'the answer of a function',
      run: (db, given) => db.product.updateVersioned({ where: { id }, data: (() => given[0]) as never }),
      mayBeSent: /^SELECT/,
      plain: { run: plainAnswer(id), columns: { Product: 'all' } },
    }
  },
  async (query) =>
    model(
      'product',
      'updateVersioned',
      [
        {
          where: { id: await newProduct(query), version: 0 },
          data: {
            price: { multiply: '2' },
            category: { create: { name: transactionId() } },
            movements: { create: [{ transactionId: transactionId(), line: 0, quantity: 2 }] },
          },
          include: { movements: true },
        },
      ],
      (row: { version: number; movements: unknown[] }) => row.version === 1 && row.movements.length === 1,
    ),
  async (query) => {
    const id = await newProduct(query)
    return model(
      'product',
      'updateManyVersioned',
      [[{ where: { id, version: 0 }, data: { stock: 9, name: { set: 'Tea' }, price: '1.5', categoryId: null } }]],
      (answer: { status: string }[]) => answer[0]?.status === 'updated',
    )
  },
  async () =>
    model(
      'transfer',
      'createIdempotent',
      [
        {
          where: { tenantId_transactionId: { tenantId: 7, transactionId: transactionId() } },
          data: { amount: 5n, at: '2026-03-08T07:30:00.125Z' },
          omit: { fingerprint: true },
        },
      ],
      (answer: { record: { amount: bigint } }) => answer.record.amount === 5n,
    ),
  async (query) => {
    const [row] = await query('INSERT INTO "Customer" (email) VALUES ($1) RETURNING id', [transactionId()])
    return model(
      'payment',
      'createIdempotent',
      [
        {
          where: { transactionId: transactionId() },
          data: { amount: 3, customer: { connect: { id: row?.id } } },
          select: { customerId: true },
        },
      ],
      (answer: { record: { customerId: number } }) => answer.record.customerId === row?.id,
    )
  },
  async (query) =>
    model(
      'product',
      'tryUpdateVersioned',
      [{ where: { id: await newProduct(query), version: 0 }, data: { stock: { increment: 2 } } }],
      (answer: { status: string; record: { stock: number } }) =>
        answer.status === 'updated' && answer.record.stock === 7,
    ),
  async (query) =>
    model(
      'product',
      'deleteVersioned',
      [{ where: { id: await newProduct(query), version: 0 }, select: { stock: true } }],
      (row: { stock: number }) => row.stock === 5,
    ),
  async (query) => {
    const ids = [await newEverything(query), await newEverything(query)]
    const items = ids.map((id) => ({
      where: { id, version: 0 },
      data: { int: { increment: 3 }, json: { a: [1] }, tags: ['x', 'y'], decimal: '1.25' },
    }))
    return {
      ...model('everything', 'updateManyVersioned', [items, { mode: 'each' }], (answer: { status: string }[]) =>
        answer.every(({ status }) => status === 'updated'),
      ),
      isPrismas: false,
    }
  },
  async () => {
    const id = transactionId()
    return model(
      'payment',
      'createIdempotent',
      [{ where: { transactionId: id }, data: { amount: '7.50', currency: 'EUR' }, match: ['amount', 'currency'] }],
      (answer: { record: { transactionId: string }; replayed: boolean }) =>
        !answer.replayed && answer.record.transactionId === id,
    )
  },
  async () => ({
    ...model(
      'payment',
      'createIdempotent',
      [
        {
          where: { transactionId: transactionId() },
          data: { amount: 3, items: { create: [{ text: 'a' }, { text: 'b' }] } },
          include: { items: true },
        },
      ],
      (answer: { record: { items: unknown[] } }) => answer.record.items.length === 2,
    ),
    // Only Prisma knows the selectable fields, and it is asked within the transaction, which is rolled back.
    mayBeSent: /./,
  }),
  async () =>
    model(
      'everything',
      'createIdempotent',
      [{ where: { code: transactionId() }, data: { int: 3, json: { a: [1] }, kind: 'SPECIAL' } }],
      (answer: { record: { int: number } }) => answer.record.int === 3,
    ),
  async () =>
    client(
      '$idempotent',
      [{ key: transactionId(), scope: 'fuzz', request: { a: [1, new Date(0)], b: { c: 'x' } }, timeout: 5_000 }, body],
      (answer: { result: number }) => answer.result === 7,
    ),
  async () => {
    const answer = [{ a: [1, 2n, new Date(0)], b: { c: null } }]
    const key = transactionId()
    const { plain: _plain, ...call } = client(
      '$idempotent',
      answer,
      (given: { result: [{ a: unknown[] }] }) => given.result[0].a.length === 3,
    )
    return {
      ...call,
      name: 'the answer of $idempotent',
      // In the array: an async function cannot return a proxy that was revoked.
      run: (db, given) => db.$idempotent({ key, scope: 'answers' }, async () => given),
    }
  },
  async () =>
    client(
      '$oncePer',
      [{ job: transactionId(), period: { every: '1d' } }, body],
      (answer: { ran: boolean }) => answer.ran,
    ),
  async () =>
    client(
      '$oncePer',
      [{ job: transactionId(), period: { atLeast: '23h' }, timeout: 5_000 }, body],
      (answer: { ran: boolean }) => answer.ran,
    ),
  async () => client('$pruneIdempotencyKeys', [{ olderThan: 3_600_000, batchSize: 10 }], any),
  async () =>
    client(
      '$transactionWithRetry',
      [body, { isolationLevel: 'ReadCommitted', timeout: 5_000, retry: { attempts: 3, deadline: 5_000 } }],
      (answer) => answer === 7,
      'root',
    ),
  async () =>
    client(
      '$withAdvisoryLock',
      [['fuzz', transactionId()], body, { timeout: 5_000, mode: 'exclusive' }],
      (answer) => answer === 7,
    ),
  async () =>
    client(
      '$withAdvisoryLock',
      [{ keys: [['fuzz', transactionId()], 'b', 3] }, body, { mode: 'shared' }],
      (answer) => answer === 7,
    ),
  async () => client('$advisoryXactLock', [['fuzz', transactionId()], { timeout: 5_000 }], any, 'inside'),
  async () =>
    client(
      '$tryAdvisoryXactLock',
      [{ keys: [['fuzz', transactionId()]] }, { mode: 'shared' }],
      (answer) => answer === true,
      'inside',
    ),
  async (query) =>
    erp(
      '$stock',
      'move',
      [{ transactionId: transactionId(), item: await newItem(query), quantity: -3, minimum: 0 }],
      (answer: { balance: number }) => answer.balance === 2,
    ),
  async (query) =>
    erp(
      '$stock',
      'moveAll',
      [
        {
          transactionId: transactionId(),
          lines: [
            { item: await newItem(query), quantity: -3 },
            { item: await newItem(query), quantity: 2 },
          ],
        },
      ],
      (answer: { lines: { balance: number }[] }) => answer.lines[0]?.balance === 2 && answer.lines[1]?.balance === 7,
    ),
  async (query) =>
    erp(
      '$stock',
      'count',
      [{ transactionId: transactionId(), item: await newItem(query), counted: 9 }],
      (answer: { balance: number }) => answer.balance === 9,
    ),
  async (query) =>
    erp(
      '$stock',
      'defer',
      [{ transactionId: transactionId(), item: await newItem(query), quantity: 2 }],
      (answer: { replayed: boolean }) => !answer.replayed,
    ),
  async (query) =>
    erp(
      '$stock',
      'reserve',
      [
        {
          transactionId: transactionId(),
          lines: [{ item: await newItem(query), quantity: 2 }],
          expiresIn: 60_000,
        },
      ],
      (answer: { state: string }) => answer.state === 'active',
    ),
  async (query) => {
    const { productId } = await newItem(query)
    const id = transactionId()
    await query(`UPDATE "Stock" SET reserved = 2 WHERE "productId" = $1`, [productId])
    await query(
      `INSERT INTO "StockReservation" ("transactionId", line, "productId", warehouse, quantity, "expiresAt")
       VALUES ($1, 0, $2, 'main', 2, now() + interval '1 hour')`,
      [id, productId],
    )
    return erp(
      '$stock',
      'fulfil',
      [{ transactionId: id, minimum: 0 }],
      (answer: { lines: { balance: number }[] }) => answer.lines[0]?.balance === 3,
    )
  },
  async () => erp('$stock', 'release', [{ transactionId: transactionId() }], any),
  async (query) => {
    const { item } = await newEntry(query)
    return erp('$ledger', 'balance', [{ item }], (found: { onHand: number }) => found.onHand === 5)
  },
  async (query) => {
    const { item } = await newEntry(query)
    const args = [{ items: [item, item], where: { code: item }, after: '0', limit: 10 }]
    return erp('$ledger', 'balances', args, (found: { onHand: number }[]) => found[0]?.onHand === 5)
  },
  async (query) => {
    const { item } = await newEntry(query)
    const args = [{ item, after: { sequence: 0 }, order: 'asc', limit: 10 }]
    return erp('$ledger', 'history', args, (found: { balance: number }[]) => found[0]?.balance === 5)
  },
  async (query) => {
    const { item } = await newEntry(query)
    return erp('$ledger', 'balanceAt', [{ item, at: new Date() }], (balance) => balance === 5)
  },
  async (query) => {
    const { item, id } = await newEntry(query)
    const isRight = ({ movements }: { movements: { item: string }[] }) => movements[0]?.item === item
    return erp('$ledger', 'statement', [{ transactionId: id }], isRight)
  },
  async (query) => {
    const item = await newItem(query)
    const args = [{ item, state: 'active', after: { transactionId: 'a', line: 0 }, limit: 10 }]
    return erp('$stock', 'reservations', args, (found: unknown[]) => found.length === 0)
  },
  async () => {
    const args = [{ until: '2020-01-31', reopen: false, batchSize: 100 }]
    return erp('$ledger', 'close', args, (answer: { closed: number }) => answer.closed >= 0, 'root')
  },
  async () => {
    const args = [{ forgetBefore: new Date('2020-01-31'), batchSize: 100 }]
    return erp('$ledger', 'prune', args, (answer: { movements: number }) => answer.movements === 0)
  },
  async () => erp('$stock', 'project', [{ batchSize: 100 }], any),
  async () => erp('$stock', 'audit', [{}], (answer: unknown[]) => answer.length === 0),
  async (query) =>
    erp(
      '$serials',
      'allocate',
      [
        {
          transactionId: transactionId(),
          where: { productId: await newSerials(query) },
          count: 2,
          data: { orderId: 3 },
        },
      ],
      (answer: { serials: unknown[] }) => answer.serials.length === 2,
    ),
  async () =>
    erp(
      '$serials',
      'import',
      [
        {
          transactionId: transactionId(),
          data: { productId: newProductId() },
          range: { from: 1, to: 20n, format: 'A-{0000}' },
        },
      ],
      any,
    ),
  async () =>
    erp(
      '$serials',
      'import',
      [
        {
          transactionId: transactionId(),
          data: { productId: newProductId() },
          numbers: ['a', 'b', 'c'],
        },
      ],
      any,
    ),
  async () =>
    erp(
      '$serials',
      'release',
      [{ transactionId: transactionId(), numbers: ['S-1'] }],
      (answer: { released: number }) => answer.released === 0,
    ),
  async (query) => erp('$serials', 'free', [{ productId: await newSerials(query) }], (answer) => answer === 3),
  async () => erp('$series', 'next', ['ticket', { transactionId: transactionId() }], any),
  async () =>
    erp('$series', 'next', ['invoice', { transactionId: transactionId(), at: new Date('2026-01-02') }], any, 'inside'),
  async () => erp('$series', 'gaps', ['invoice', { period: '' }], (answer: unknown[]) => Array.isArray(answer)),
]
