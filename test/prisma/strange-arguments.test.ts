import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { Prisma } from '../../generated/prisma/client.js'
import { serials, series, stock } from '../../src/erp.js'
import { ConfigurationError, concurrency, InvalidArgumentError } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { rejectionOf } from '../support/rejection.js'
import { STOCK } from '../support/stock-models.js'

const database = useDatabase()
const connect = () => {
  const made = database.connect()
  const db = made.client
    .$extends(concurrency())
    .$extends(stock(STOCK))
    .$extends(serials())
    .$extends(series({ series: { ticket: { blocks: 10 } } }))
  return { ...made, db }
}
type Db = ReturnType<typeof connect>['db']

let product: { id: number; version: number }
const item = { productId: 1, warehouse: 'main' }
const body = async () => 1

beforeAll(async () => {
  product = await connect().db.product.create({ data: { name: 'Chai' } })
  await database.query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES (1, 'main', 0)`)
})

const cyclic: Record<string, unknown> = { a: 1 }
cyclic.self = [cyclic]
/** `{ a: { a: … } }`, so many times. */
const nested = (levels: number) => {
  let value: object = {}
  for (let level = 1; level < levels; level++) value = { a: value }
  return value
}
const lookAlike = (text: string) => ({ d: [7], e: 0, s: 1, toFixed: () => text })
const throwing = (name: string) =>
  Object.defineProperty({}, name, {
    enumerable: true,
    get() {
      throw new Error('not now')
    },
  })
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
// A value that the types refuse.
const wrong = (value: unknown) => value as never
/** An array of these values at these places, with holes between them. */
const withHole = (...places: unknown[]) => {
  const array: unknown[] = []
  for (let i = 0; i < places.length; i += 2) array[places[i] as number] = places[i + 1]
  return array
}
const where = () => ({ id: product.id, version: product.version })
const payment = () => ({ where: { transactionId: randomUUID() }, data: { amount: 1 } })

const REFUSED: readonly [string, string, (db: Db) => PromiseLike<unknown>][] = [
  ['lines that are holes', 'lines[0]', (db) => db.$stock.moveAll({ transactionId: 'a', lines: new Array(2) })],
  [
    'a hole among the rows of a batch',
    '[0]',
    (db) => db.product.updateManyVersioned(wrong(withHole(1, { where: where(), data: { stock: 1 } }))),
  ],
  [
    'a hole in `match`',
    'match[0]',
    (db) => db.payment.createIdempotent(wrong({ ...payment(), match: withHole(1, 'amount') })),
  ],
  ['a hole in a lock key', 'key[0]', (db) => db.$withAdvisoryLock(wrong(withHole(1, 'a')), body)],
  ['a lock key that was revoked', 'key', (db) => db.$withAdvisoryLock(wrong(revoked()), body)],
  ['a hole among lock keys', 'keys[1]', (db) => db.$withAdvisoryLock(wrong({ keys: withHole(0, 'a', 2, 'b') }), body)],
  ['a name beside `keys`', 'mode', (db) => db.$withAdvisoryLock(wrong({ keys: ['a'], mode: 'shared' }), body)],
  [
    'a hole among serial numbers',
    'numbers[1]',
    (db) =>
      db.$serials.import({ transactionId: 'a', data: { productId: 1 }, numbers: wrong(withHole(0, 'a', 2, 'b')) }),
  ],
  ...[
    new Date(),
    new Map(),
    new Set(),
    [],
    Promise.resolve({}),
    /x/,
    new Error('x'),
    new Uint8Array(),
    new Number(1),
    Math,
  ].map((data): (typeof REFUSED)[number] => [
    `data that is ${Object.prototype.toString.call(data)}`,
    'data',
    (db) => db.product.updateVersioned({ where: where(), data: wrong(data) }),
  ]),
  [
    'a row of a batch whose data is a Map',
    '[0].data',
    (db) => db.product.updateManyVersioned([{ where: where(), data: wrong(new Map()) }]),
  ],
  [
    'a `createIdempotent` whose data is a Map',
    'data',
    (db) => db.payment.createIdempotent({ ...payment(), data: wrong(new Map()) }),
  ],
  ['serials where a Date is', 'where', (db) => db.$serials.free(wrong(new Date()))],
  ['a line that is a Map', 'lines[0]', (db) => db.$stock.moveAll({ transactionId: 'a', lines: [wrong(new Map())] })],
  [
    'an item that is a Map',
    'item',
    (db) => db.$stock.move({ transactionId: 'a', quantity: 1, item: wrong(new Map()) }),
  ],
  ['a Date as the options of a number', 'options', (db) => db.$series.next('ticket', wrong(new Date()))],
  ['a Date as the options of a transaction', 'options', (db) => db.$transactionWithRetry(body, wrong(new Date()))],
  ['a Map as the options of a lock', 'options', (db) => db.$withAdvisoryLock('a', body, wrong(new Map()))],
  ['a Promise as the options of an operation', 'options', (db) => db.$idempotent(wrong(Promise.resolve({})), body)],
  ['a Date as the options of a batch', 'options', (db) => db.product.updateManyVersioned([], wrong(new Date()))],
  ['a Date as the arguments', 'arguments', (db) => db.product.updateVersioned(wrong(new Date()))],
  ['a Map as the arguments of stock', 'args', (db) => db.$stock.audit(...(wrong([new Map()]) as []))],
  [
    'no retry policy but null',
    'retry',
    (db) => db.product.updateVersioned({ where: where(), data: {}, retry: wrong(null) }),
  ],
  [
    'a signal that only has the prototype',
    'signal',
    (db) => db.product.updateVersioned({ where: where(), data: {}, signal: Object.create(AbortSignal.prototype) }),
  ],
  [
    'data that contains itself',
    'data.json.self[0]',
    (db) => db.everything.createIdempotent({ where: { code: 'a' }, data: { json: wrong(cyclic) } }),
  ],
  [
    'data nested too deeply',
    `data.json${'.a'.repeat(998)}`,
    (db) => db.everything.createIdempotent({ where: { code: 'a' }, data: { json: nested(2_000) } }),
  ],
  [
    'a getter that throws',
    'data.stock',
    (db) => db.product.updateVersioned({ where: where(), data: throwing('stock') }),
  ],
  ['a proxy that was revoked', 'data', (db) => db.product.updateVersioned({ where: where(), data: wrong(revoked()) })],
  ['a record to delete with data', 'data', (db) => db.product.deleteVersioned(wrong({ where: where(), data: {} }))],
  [
    'a selection without names',
    'select',
    (db) => db.product.deleteVersioned({ where: where(), select: wrong(new Map()) }),
  ],
  [
    'a selection of a selection without names',
    'select.category.select',
    (db) =>
      db.product.updateVersioned({
        where: { id: product.id },
        data: () => ({ stock: 1 }),
        select: { category: { select: wrong(new Map()) } },
      }),
  ],
  [
    'a field that is chosen by a signal',
    'select.stock',
    (db) => db.product.deleteVersioned({ where: where(), select: { stock: wrong(AbortSignal.abort()) } }),
  ],
  [
    'a selection that is bytes',
    'omit',
    (db) => db.product.deleteVersioned({ where: where(), omit: wrong(new Uint8Array(2)) }),
  ],
  ['data that is a text', 'data', (db) => db.product.updateVersioned({ where: where(), data: wrong(new String('x')) })],
  [
    'an inclusion that is a signal',
    'include',
    (db) => db.payment.createIdempotent({ ...payment(), include: wrong(AbortSignal.abort()) }),
  ],
  [
    'a name that looks like a Decimal',
    'transactionId',
    (db) => db.$stock.move({ transactionId: wrong(lookAlike('7')), item, quantity: 1 }),
  ],
  ['a key that looks like a Decimal', 'key', (db) => db.$idempotent({ key: wrong(lookAlike('7')), scope: 'b' }, body)],
  [
    'what looks like a Decimal, and is no number',
    'data.price',
    (db) => db.product.updateVersioned({ where: where(), data: { price: wrong(lookAlike('0x10')) } }),
  ],
  [
    'a request that contains itself',
    'request.self[0]',
    (db) => db.$idempotent({ key: 'a', scope: 'b', request: cyclic }, body),
  ],
  [
    'a request nested too deeply',
    `request${'.a'.repeat(999)}`,
    (db) => db.$idempotent({ key: 'a', scope: 'b', request: nested(20_000) }, body),
  ],
  [
    'a request that was not awaited',
    'request.body',
    (db) => db.$idempotent({ key: 'a', scope: 'b', request: { body: Promise.resolve({}) } }, body),
  ],
  [
    'a request with a function',
    'request.f',
    (db) => db.$idempotent({ key: 'a', scope: 'b', request: { f: body } }, body),
  ],
  [
    'a request with a Map of what cannot be read',
    'request[0][1].b',
    (db) => db.$idempotent({ key: 'a', scope: 'b', request: new Map([['a', { b: revoked() }]]) }, body),
  ],
  [
    'a request that can be read only once',
    'request',
    (db) => db.$idempotent({ key: 'a', scope: 'b', request: [1].values() }, body),
  ],
]

test.each(REFUSED)('%s: refused before any SQL, with the name `%s`', async (_, field, call) => {
  const { db, statements } = connect()

  const error = await rejectionOf(call(db))

  expect(error).toBeInstanceOf(InvalidArgumentError)
  expect([(error as InvalidArgumentError).field, statements]).toEqual([field, []])
})

test.each<[string, string, unknown]>([
  ['nested writes that are none', 'data.items', 7],
  ['a nested write that an insert does not have', 'data.items.deleteMany', { deleteMany: {} }],
  ['a nested row that is a text', 'data.items.create[1]', { create: [{ text: 'a' }, 'b'] }],
  ['a nested row with a field that is not there', 'data.items.create.no', { create: { text: 'a', no: 1 } }],
  ['a nested row without what it must have', 'data.items.create.text', { create: {} }],
  ['a nested row with null for what it must have', 'data.items.create.text', { create: { text: null } }],
  ['a nested row with a value of another type', 'data.items.create[0].text', { create: [{ text: 7 }] }],
  ['a nested row with an object for a value', 'data.items.create.text', { create: { text: { a: 1 } } }],
  ['nested rows without their data', 'data.items.createMany.data', { createMany: {} }],
  ['one of many nested rows', 'data.items.createMany.data[0].text', { createMany: { data: [{ text: true }] } }],
  ['a nested row that may be there', 'data.items.connectOrCreate.create', { connectOrCreate: { where: { id: 1 } } }],
  ['a link to no record', 'data.items.connect', { connect: true }],
])('%s: refused before any SQL, with the name `%s`', async (_, field, items) => {
  const { db, statements } = connect()

  const error = await rejectionOf(
    db.payment.createIdempotent({ where: { transactionId: randomUUID() }, data: { amount: 1, items: wrong(items) } }),
  )

  expect([error, statements]).toMatchObject([{ code: 'INVALID_ARGUMENT', field }, []])
})

test('what a function returns is refused in the same way, and nothing is written', async () => {
  const { db, statements } = connect()

  const error = await rejectionOf(
    db.product.updateVersioned({ where: { id: product.id }, data: wrong(() => new Date()) }),
  )

  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'data' })
  expect(statements).toEqual([expect.stringMatching(/^SELECT/)])
})

test.each([new Date(), new Map(), 'text', 7, []])('%s is refused as options of the extensions', (options) => {
  for (const extension of [concurrency, stock, serials, series]) {
    expect(() => (extension as (options: unknown) => unknown)(options)).toThrow(ConfigurationError)
  }
})

describe('an answer of $idempotent', () => {
  const answers: readonly [string, unknown, string][] = [
    ['that looks like a Decimal, a plain object', { d: [1], e: 0, s: 1, toFixed: () => '1' }, 'result.toFixed'],
    [
      'that looks like a Decimal, of a class',
      new (class {
        d = [1]
        e = 0
        s = 1
        toFixed() {
          return '1'
        }
      })(),
      'result',
    ],
    ['that is nested too deeply', nested(20_000), `result${'.a'.repeat(1_000)}`],
    ['with a getter that throws', throwing('a'), 'result.a'],
    ['with a proxy that was revoked in an array', { a: [1, revoked()] }, 'result.a[1]'],
    ['whose names cannot be read', { a: new Proxy({}, { ownKeys: () => [7 as never] }) }, 'result.a'],
  ]
  test.each(answers)('%s is refused when it is to be stored', async (_, answer, field) => {
    const { db } = connect()
    const key = randomUUID()

    const error = await rejectionOf(db.$idempotent({ key, scope: 'answers' }, async () => answer))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(await database.query('SELECT FROM "IdempotencyKey" WHERE key = $1', [key])).toEqual([])
  })

  test('comes back where it has the names of a Decimal as data', async () => {
    const { db } = connect()
    const key = randomUUID()
    const answer = { d: [1], e: 0, s: 1, toFixed: 'a text' }
    const run = () => db.$idempotent({ key, scope: 'answers' }, async () => answer)
    await run()

    expect((await run()).result).toEqual(answer)
  })
})

describe('a value is read once, at the call', () => {
  test('a getter that gives another value each time is asked once', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Tofu' } })
    let reads = 0
    const data = {
      get stock() {
        return ++reads
      },
    }

    const { stock } = await db.product.updateVersioned({ where: { id, version: 0 }, data })

    expect([stock, reads]).toEqual([1, 1])
  })

  test('what the caller changes after the call changes nothing', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Tofu' } })
    const transactionId: string = randomUUID()
    const update = { where: { id, version: 0 }, data: { stock: 1 } }
    const insert = { where: { transactionId }, data: { amount: 1 } }
    const move = { transactionId, lines: [{ item: { ...item }, quantity: 1 }] }
    const calls = [db.product.updateVersioned(update), db.payment.createIdempotent(insert), db.$stock.moveAll(move)]
    const change = () => {
      update.where.id = 0
      update.data.stock = -1
      insert.where.transactionId = ''
      insert.data.amount = -1
      move.transactionId = ''
      Object.assign(move.lines[0] as object, { quantity: 99 })
    }
    change()

    const settled = Promise.all(calls)
    await setImmediate()
    change()

    expect(await settled).toMatchObject([
      { id, stock: 1 },
      { record: { transactionId, amount: new Prisma.Decimal(1) } },
      { lines: [{ quantity: 1 }] },
    ])
  })

  test('options of an extension that are changed afterwards change nothing', async () => {
    const options = { version: { models: { Document: { field: 'revision' } } } }
    const extension = concurrency(options)
    options.version.models.Document.field = 'none'

    expect(() => database.connect().client.$extends(extension)).not.toThrow()
  })
})

describe('data that is strange, and right', () => {
  const update = async (data: unknown) => {
    const { db } = connect()
    const { id } = await db.everything.create({ data: { code: randomUUID() } })
    return db.everything.updateVersioned({ where: { id, version: 0 }, data: wrong(data) })
  }

  test('an instance of a class is written by its fields', async () => {
    class Change {
      int = 7
      #secret = 8
      get big() {
        return BigInt(this.#secret)
      }
    }
    expect(await update(new Change())).toMatchObject({ int: 7, big: 0n })
  })

  test('a frozen object, and one without a prototype, are written', async () => {
    const bare = Object.assign(Object.create(null), { int: 7, json: Object.assign(Object.create(null), { a: 1 }) })

    expect(await update(Object.freeze(bare))).toMatchObject({ int: 7, json: { a: 1 } })
  })

  test('what an object has inherited is written, as by Prisma, and counts where it cannot be', async () => {
    const { db } = connect()
    const inherited = Object.create({ int: 7, json: Object.create({ a: 1 }) })
    const plain = await db.everything.create({ data: { code: randomUUID() } })
    const data = wrong(Object.create({ stock: 3 }))
    const unknown = db.everything.updateManyVersioned([{ where: { id: plain.id, version: 0 }, data }])

    expect(await update(inherited)).toMatchObject({ int: 7, json: { a: 1 } })
    expect(await rejectionOf(unknown)).toMatchObject({ field: '[0].data.stock' })
    expect(await rejectionOf(db.$serials.free(data))).toMatchObject({ field: 'where.stock' })
  })

  test('what Prisma knows by its class goes on to Prisma', async () => {
    expect(await update({ json: Prisma.JsonNull, decimal: new Prisma.Decimal('1.5') })).toMatchObject({
      json: null,
      decimal: new Prisma.Decimal('1.5'),
    })
  })

  test('what looks like a Decimal is one where a Decimal is wanted', async () => {
    expect(await update({ decimal: lookAlike('7.25') })).toMatchObject({ decimal: new Prisma.Decimal('7.25') })
  })

  test('nested writes of every kind are written', async () => {
    const { db } = connect()
    const write = (items: object) =>
      db.payment.createIdempotent({
        where: { transactionId: randomUUID() },
        data: { amount: new Prisma.Decimal(1), reference: null, items: wrong(items) },
        include: { items: { orderBy: { id: 'asc' } } },
      })
    const { record } = await write({ create: { text: 'a' }, createMany: { data: [{ text: 'b' }] }, connect: undefined })
    const [first, second] = record.items
    const next = await write({
      connect: { id: first?.id },
      connectOrCreate: [{ where: { id: second?.id }, create: { text: 'c' } }],
    })

    expect([record.items, next.record.items]).toMatchObject([
      [{ text: 'a' }, { text: 'b' }],
      [{ text: 'a' }, { text: 'b' }],
    ])
  })

  test('a reference to a field stays one', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'Tofu', stock: 1 } })
    const where = { id, version: 0, stock: { gt: db.product.fields.version } }

    expect(await db.product.updateVersioned({ where, data: { stock: 2 } })).toMatchObject({ stock: 2 })
  })

  test('JSON with the names that every object has is stored as Prisma stores it', async () => {
    const json = JSON.parse('{ "__proto__": { "x": 1 }, "constructor": 2, "hasOwnProperty": 3, "toString": null }')
    const { db } = connect()
    const plain = await db.everything.create({ data: { code: randomUUID(), json } })
    const { record } = await db.everything.createIdempotent({ where: { code: randomUUID() }, data: { json } })

    expect(record.json).toEqual(plain.json)
  })
})
