import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { type Layered, type LayeredTx, ORDERS, POSSIBLE_ORDERS, withLayers } from '../support/layers.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()

async function newProducts(count: number): Promise<number[]> {
  const rows = await database.query(
    `INSERT INTO "Product" (name, "updatedAt") SELECT 'p', 'epoch' FROM generate_series(1, $1) RETURNING id`,
    [count],
  )
  return rows.map(({ id }) => id as number)
}

const newOrder = async () =>
  (await database.query(`INSERT INTO "Order" (customer) VALUES ('c') RETURNING id`))[0].id as number

const CALLERS = 16
type Call = (db: Layered, ids: readonly [number, ...number[]]) => Promise<unknown>
type OnTx = (tx: LayeredTx, ids: readonly [number, ...number[]]) => Promise<unknown>

const rename = ({ name }: { name: string }) => ({ name: `${name}!` })
const byFunction = (db: LayeredTx, id: number) => db.product.updateVersioned({ where: { id }, data: rename })
const byVersion = (db: LayeredTx, id: number, version = 0) =>
  db.product.updateVersioned({ where: { id, version }, data: { name: 'q' } })
const insert = (db: LayeredTx, transactionId: string = randomUUID(), data: object = {}) =>
  db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, ...data } })
const twice = async (call: () => Promise<unknown>) => [await call(), await call()]
const byMany = (db: LayeredTx, ids: readonly number[]) =>
  db.product.updateManyVersioned(ids.map((id) => ({ where: { id, version: 0 }, data: { name: 'q' } })))

/** The calls that are possible on the client and on a `tx`. */
const ANYWHERE: Readonly<Record<string, OnTx>> = {
  'updateVersioned of a held version': (db, [id]) => byVersion(db, id),
  'updateVersioned by a function': (db, [id]) => byFunction(db, id),
  'updateVersioned by an async function': (db, [id]) =>
    db.product.updateVersioned({ where: { id }, data: async (current) => rename(current) }),
  'updateVersioned by a function that changes nothing': (db, [id]) =>
    db.product.updateVersioned({ where: { id }, data: () => undefined }),
  'updateVersioned with nested data and relations': (db, [id]) =>
    db.product.updateVersioned({
      where: { id, version: 0 },
      data: { category: { create: { name: randomUUID() } } },
      include: { category: true },
    }),
  'tryUpdateVersioned of a stale version': (db, [id]) =>
    db.product.tryUpdateVersioned({ where: { id, version: 7 }, data: { name: 'q' }, include: { category: true } }),
  'updateVersioned of a missing row': (db) => rejectionOf(byVersion(db, -1)),
  updateManyVersioned: byMany,
  'updateManyVersioned of a stale row': (db, [id, ...ids]) =>
    rejectionOf(
      db.product.updateManyVersioned([id, ...ids].map((id) => ({ where: { id, version: 7 }, data: { name: 'q' } }))),
    ),
  deleteVersioned: async (db) => db.order.deleteVersioned({ where: { id: await newOrder(), version: 0 } }),
  'deleteVersioned with relations': async (db) =>
    db.order.deleteVersioned({ where: { id: await newOrder(), version: 0 }, include: { lines: true } }),
  'createIdempotent, twice': (db) => {
    const transactionId = randomUUID()
    return twice(() => insert(db, transactionId))
  },
  'createIdempotent with a row that it refers to, by another key': async (db) => {
    const { email } = await db.customer.create({ data: { email: randomUUID() } })
    return insert(db, randomUUID(), { customer: { connect: { email } } })
  },
  'createIdempotent with children and relations, twice': (db) => {
    const transactionId = randomUUID()
    return twice(() =>
      db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5, items: { create: [{ text: 'a' }] } },
        include: { items: true },
      }),
    )
  },
  '$idempotent, twice': (db) => {
    const key = randomUUID()
    return twice(() => db.$idempotent({ key, scope: 'a' }, (tx) => tx.note.create({ data: { text: 'a' } })))
  },
  '$oncePer, twice': (db) => {
    const job = randomUUID()
    return twice(() => db.$oncePer({ job, period: '1' }, (tx) => tx.note.create({ data: { text: 'a' } })))
  },
  $transactionWithRetry: (db, [id]) =>
    db.$transactionWithRetry(async (tx) => {
      await byFunction(tx, id)
      await insert(tx)
    }),
}

const ON_THE_CLIENT: Readonly<Record<string, Call>> = {
  ...ANYWHERE,
  'updateVersioned of many held versions at once': (db, ids) => Promise.all(ids.map((id) => byVersion(db, id))),
  'updateVersioned by functions, of many rows at once': (db, ids) => Promise.all(ids.map((id) => byFunction(db, id))),
  'updateVersioned by functions, of one row at once': (db, [id, ...ids]) =>
    Promise.all([id, ...ids].map(() => byFunction(db, id))),
  'updateVersioned that conflicts twice, and locks the row': (db, [id]) =>
    db.product.updateVersioned({
      where: { id },
      retry: { baseDelay: 1 },
      data: async (current, attempt) => {
        if (attempt < 3) await database.query('UPDATE "Product" SET version = version + 1 WHERE id = $1', [id])
        return rename(current)
      },
    }),
  'createIdempotent of many at once': (db, ids) => Promise.all(ids.map(() => insert(db))),
  'createIdempotent of many known ones at once': async (db, ids) => {
    const known = ids.map(() => randomUUID())
    for (let time = 0; time < 2; time++) await Promise.all(known.map((id) => insert(db, id)))
  },
  $withAdvisoryLock: (db, [id]) => db.$withAdvisoryLock(['product', id], (tx) => byFunction(tx, id)),
}

const ON_A_TX: Readonly<Record<string, OnTx>> = {
  ...ANYWHERE,
  'all of them at once': (tx, ids) =>
    Promise.all([...ids.map((id) => byFunction(tx, id)), insert(tx), tx.$advisoryXactLock('a')]),
}

/** A look into the catalogue, once per table and client. */
const isLook = (sql: string) => sql.includes('FROM pg_class AS c')

/** The statements of each call, in the order of the alphabet: on a pool, calls at once have none. */
async function statementsOf(db: Layered, statements: string[]): Promise<Record<string, readonly string[]>> {
  const sent: Record<string, readonly string[]> = {}
  const measure = async (name: string, call: (ids: [number, ...number[]]) => Promise<unknown>) => {
    const ids = (await newProducts(CALLERS)) as [number, ...number[]]
    statements.length = 0
    await call(ids)
    sent[name] = statements.filter((sql) => !isLook(sql)).sort()
  }
  for (const [name, call] of Object.entries(ON_THE_CLIENT)) await measure(name, (ids) => call(db, ids))
  for (const [name, call] of Object.entries(ON_A_TX)) {
    await measure(`${name}, on a tx`, (ids) => db.$transaction((tx) => call(tx, ids), { timeout: 60_000 }))
  }
  return sent
}

let made: ReturnType<typeof database.connect>
let alone: Record<string, readonly string[]>
beforeAll(async () => {
  made = database.connect()
  alone = await statementsOf(withLayers(made.client, ['concurrency']), made.statements)
})

describe('sixteen callers at once, with concurrency() alone,', () => {
  test.each([
    ['updateVersioned of many held versions at once', 1],
    ['updateVersioned by functions, of many rows at once', 2],
    ['updateVersioned by functions, of one row at once', 2],
    ['createIdempotent of many at once', 1],
  ])('%s: %i statements', (call, count) => {
    expect(alone[call]).toHaveLength(count)
  })
})

test.each(POSSIBLE_ORDERS.map((order) => [order.join(', '), order] as const))(
  'with the layers %s, every call sends what it sends with concurrency() alone',
  async (_, order) => {
    const sent = await statementsOf(withLayers(made.client, order), made.statements)

    expect(sent).toEqual(alone)
  },
)

test('a layer that builds on concurrency() says so, where that is not below it', () => {
  const refused = ORDERS.filter(([lowest]) => lowest !== 'concurrency').map((order) => {
    try {
      withLayers(made.client, order)
      return 'not refused'
    } catch (error) {
      return (error as { code?: unknown }).code
    }
  })

  expect(new Set(refused)).toEqual(new Set(['CONFIGURATION']))
})
