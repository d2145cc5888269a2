import { randomUUID } from 'node:crypto'
import { Prisma } from '@prisma/client/extension'
import { readReplicas } from '@prisma/extension-read-replicas'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { type Layered, withLayers } from '../support/layers.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()
const replica = useDatabase()

const LAYERS = ['concurrency', 'stock', 'serials', 'series'] as const
type Place = 'below' | 'between' | 'on top'
const PLACES: readonly Place[] = ['below', 'between', 'on top']

/** A client with all layers of this package, and the extension below them, between them or on top. */
function connect(place: Place, extension: unknown, transparent: string[] = []) {
  const { client, statements } = database.connect()
  const add = (to: unknown) => (to as { $extends(extension: unknown): unknown }).$extends(extension)
  const core = (to: unknown) => (to as typeof client).$extends(concurrency({ transparent }))
  const [, ...others] = LAYERS
  if (place === 'below') return { db: withLayers(core(add(client)), others), statements }
  if (place === 'between') return { db: withLayers(add(core(client)), others), statements }
  return { db: add(withLayers(core(client), others)) as Layered, statements }
}

const CALLERS = 8
async function newRows(table: 'Product' | 'Order'): Promise<number[]> {
  const columns = table === 'Product' ? `(name, "updatedAt") SELECT 'p', 'epoch'` : `(customer) SELECT 'p'`
  const rows = await database.query(
    `INSERT INTO "${table}" ${columns} FROM generate_series(1, ${CALLERS}) RETURNING id`,
  )
  return rows.map(({ id }) => id as number)
}

/** Calls of the same moment, and how many statements they are where nobody else takes part in them. */
const CALLS = {
  'products of held versions': {
    statements: 1,
    call: async (db) => {
      const ids = await newRows('Product')
      return () =>
        Promise.all(ids.map((id) => db.product.updateVersioned({ where: { id, version: 0 }, data: { name: 'q' } })))
    },
  },
  'products by functions': {
    statements: 2,
    call: async (db) => {
      const ids = await newRows('Product')
      const rename = ({ name }: { name: string }) => ({ name: `${name}!` })
      return () => Promise.all(ids.map((id) => db.product.updateVersioned({ where: { id }, data: rename })))
    },
  },
  'a batch of products': {
    statements: 1,
    call: async (db) => {
      const ids = await newRows('Product')
      return () => db.product.updateManyVersioned(ids.map((id) => ({ where: { id, version: 0 }, data: { name: 'q' } })))
    },
  },
  orders: {
    statements: 1,
    call: async (db) => {
      const ids = await newRows('Order')
      return () =>
        Promise.all(ids.map((id) => db.order.updateVersioned({ where: { id, version: 0 }, data: { customer: 'q' } })))
    },
  },
  'inserts of payments': {
    statements: 1,
    call: async (db) => {
      const ids = Array.from({ length: CALLERS }, () => randomUUID())
      return () =>
        Promise.all(
          ids.map((transactionId) => db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })),
        )
    },
  },
} as const satisfies Record<string, { statements: number; call: (db: Layered) => Promise<() => Promise<unknown>> }>
type CallName = keyof typeof CALLS
const NAMES = Object.keys(CALLS) as CallName[]

/** The calls that are more statements than where nobody else takes part. */
async function slowedIn({ db, statements }: ReturnType<typeof connect>): Promise<CallName[]> {
  const slowed: CallName[] = []
  for (const name of NAMES) {
    await (await CALLS[name].call(db))() // looks into the catalogue
    const call = await CALLS[name].call(db)
    statements.length = 0
    await call()
    if (statements.length > CALLS[name].statements) slowed.push(name)
  }
  return slowed
}

const ALL_PRODUCTS: readonly CallName[] = ['products of held versions', 'products by functions', 'a batch of products']
const pass = ({ args, query }: { args: unknown; query: (args: never) => never }) => query(args as never)
const named = (extension: object) => Prisma.defineExtension({ name: 'hooking', ...extension } as never)

const HOOKS: readonly (readonly [name: string, extension: unknown, slowed: readonly CallName[]])[] = [
  ['order.create', named({ query: { order: { create: pass } } }), []],
  ['product.create', named({ query: { product: { create: pass } } }), []],
  ['product.delete', named({ query: { product: { delete: pass } } }), []],
  ['product.update', named({ query: { product: { update: pass } } }), ALL_PRODUCTS],
  ['product.updateMany', named({ query: { product: { updateMany: pass } } }), ['a batch of products']],
  [
    'product.findUniqueOrThrow',
    named({ query: { product: { findUniqueOrThrow: pass } } }),
    ['products by functions', 'a batch of products'],
  ],
  ['every call of a product', named({ query: { product: { $allOperations: pass } } }), ALL_PRODUCTS],
  ['order.update', named({ query: { order: { update: pass } } }), ['orders']],
  ['update of all models', named({ query: { $allModels: { update: pass } } }), [...ALL_PRODUCTS, 'orders']],
  [
    'payment.createManyAndReturn',
    named({ query: { payment: { createManyAndReturn: pass } } }),
    ['inserts of payments'],
  ],
  ['every call of all models', named({ query: { $allModels: { $allOperations: pass } } }), NAMES],
  ['every call', named({ query: { $allOperations: pass } }), NAMES],
  [
    'raw SQL, of which the statements are that stand for calls one by one',
    named({ query: { $queryRawUnsafe: pass } }),
    ['products of held versions', 'products by functions', 'orders', 'inserts of payments'],
  ],
  ['product.update, by a method of the model', named({ model: { product: { update: updateAsBefore } } }), ALL_PRODUCTS],
  [
    'the fields of a product, by one more',
    named({ result: { product: { label: { needs: { name: true }, compute: () => 'label' } } } }),
    ['products of held versions', 'products by functions'],
  ],
  [
    'the fields of a product, by another in the place of its own',
    named({ result: { product: { name: { needs: { name: true }, compute: () => 'label' } } } }),
    ALL_PRODUCTS,
  ],
  ['the client, by a method', named({ client: { $whoami: () => 'me' } }), []],
  [
    'calls under a name like those of this package',
    Prisma.defineExtension({ name: 'prisma-extension-concurrency/own', query: { product: { update: pass } } } as never),
    ALL_PRODUCTS,
  ],
]

function updateAsBefore(this: unknown, args: unknown) {
  const { $parent, $name } = Prisma.getExtensionContext(this) as never as { $parent: Layered; $name: string }
  return $name === 'Product' && $parent.product.update(args as never)
}

describe.each(PLACES)('an extension %s', (place) => {
  test.each(HOOKS)('that hooks %s slows the calls that it hooks, and no others', async (_, extension, slowed) => {
    expect(await slowedIn(connect(place, extension))).toEqual(slowed)
  })

  test.each(HOOKS)('that hooks %s, and is named as one that only watches, slows none', async (what, extension) => {
    const slowed = await slowedIn(connect(place, extension, ['hooking', 'prisma-extension-concurrency/own']))
    // A record has what it computes all the same.
    expect(slowed).toEqual(what.startsWith('the fields') ? ALL_PRODUCTS.slice(0, 2) : [])
  })
})

describe.each(PLACES)('no hook of an extension %s is passed over:', (place) => {
  const seen: string[] = []
  const watching = named({
    query: {
      product: {
        $allOperations: (call: { operation: string; args: unknown; query: (args: never) => never }) => {
          seen.push(call.operation)
          return pass(call)
        },
      },
      payment: {
        createManyAndReturn: (call: { args: { data: unknown[] }; query: (args: never) => never }) => {
          seen.push(...call.args.data.map(() => 'insert'))
          return pass(call)
        },
      },
    },
  })
  const times = (operation: string) => Array(CALLERS).fill(operation)

  test.each([
    ['products of held versions', times('update')],
    ['products by functions', [...times('findUniqueOrThrow'), ...times('update')]],
    ['a batch of products', times('update')],
    ['inserts of payments', times('insert')],
    ['orders', []],
  ] as const)('it sees %s', async (name, expected) => {
    const call = await CALLS[name].call(connect(place, watching).db)
    seen.length = 0
    await call()

    expect([...seen].sort()).toEqual(expected)
  })

  test('it sees what functions of one row read and write, one after the other', async () => {
    const { db } = connect(place, watching)
    const [id] = (await newRows('Product')) as [number, ...number[]]
    seen.length = 0
    await Promise.all(
      times('').map(() => db.product.updateVersioned({ where: { id }, data: ({ name }) => ({ name: `${name}!` }) })),
    )

    expect(seen).toEqual(times('').flatMap(() => ['findUniqueOrThrow', 'update']))
  })

  test('a row that an insert refers to, by a key that it has to be looked up by, is looked for through it', async () => {
    const filter = named({
      query: {
        customer: {
          findUniqueOrThrow: ({ args, query }: { args: { where: object }; query: (args: object) => unknown }) =>
            query({ ...args, where: { ...args.where, email: 'mine' } }),
        },
      },
    })
    const { db } = connect(place, filter)
    const email = randomUUID()
    await database.query('INSERT INTO "Customer" (email) VALUES ($1)', [email])
    const insert = (db: Pick<Layered, 'payment'>) =>
      db.payment.createIdempotent({
        where: { transactionId: randomUUID() },
        data: { amount: 5, customer: { connect: { email } } },
      })
    const missing = { code: 'P2025' }

    expect(await rejectionOf(insert(db))).toMatchObject(missing)
    expect(await rejectionOf(db.$transaction((tx) => insert(tx)))).toMatchObject(missing)
  })

  test('records have its computed fields, those of relations too', async () => {
    const computing = named({
      result: {
        product: { label: { needs: { name: true }, compute: ({ name }: { name: string }) => `p ${name}` } },
        category: { label: { needs: { name: true }, compute: ({ name }: { name: string }) => `c ${name}` } },
      },
    })
    const { db } = connect(place, computing)
    const [id] = (await newRows('Product')) as [number, ...number[]]
    const name = randomUUID()
    const [category] = await database.query('INSERT INTO "Category" (name) VALUES ($1) RETURNING id', [name])
    await database.query('UPDATE "Product" SET "categoryId" = $1 WHERE id = $2', [category?.id, id])
    const include = { category: true }
    const written = await db.product.updateVersioned({ where: { id }, data: () => ({ name: 'q' }) })
    const stale = await db.product.tryUpdateVersioned({ where: { id, version: 7 }, data: {}, include })

    expect(written).toMatchObject({ label: 'p q' })
    expect(stale).toMatchObject({ current: { label: 'p q', category: { label: `c ${name}` } } })
  })
})

describe.each(PLACES)('read replicas %s', (place) => {
  test('slow nothing, and nothing is sent to them', async () => {
    const { client, statements } = replica.connect()

    expect(await slowedIn(connect(place, readReplicas({ replicas: [client] })))).toEqual([])
    expect(statements).toEqual([])
  })
})

test('a second concurrency() that knows another version column leaves the first its own', async () => {
  const { client } = database.connect()
  const first = client.$extends(concurrency({ version: { models: { Product: { field: 'stock' } } } }))
  const db = first.$extends(concurrency())
  const ids = await newRows('Product')
  await Promise.all(ids.map((id) => db.product.updateVersioned({ where: { id, version: 0 }, data: { name: 'q' } })))
  await db.product.updateManyVersioned(ids.map((id) => ({ where: { id, version: 1 }, data: { name: 'r' } })))

  expect(await database.query('SELECT DISTINCT name, version, stock FROM "Product" WHERE id = ANY($1)', [ids])).toEqual(
    [{ name: 'r', version: 2, stock: 2 }],
  )
})

test('of two, each keeps the version of a row that it inserts with children', async () => {
  const { client } = database.connect()
  const db = client.$extends(concurrency()).$extends(concurrency())
  const { record } = await db.payment.createIdempotent({
    where: { transactionId: randomUUID() },
    data: { amount: 5, items: { create: [{ text: 'a' }] } },
  })

  expect(record.version).toBe(0)
})
