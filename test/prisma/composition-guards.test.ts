import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { type Layered, type LayeredTx, type LayerName, POSSIBLE_ORDERS, withLayers } from '../support/layers.js'
import { started } from '../support/started.js'

const database = useDatabase()
let made: ReturnType<typeof database.connect>
beforeAll(() => {
  made = database.connect()
})

const ORDERS = POSSIBLE_ORDERS.filter((order) => (order as readonly LayerName[]).includes('stock')).map(
  (order) => [order.join(', '), order] as const,
)

async function newProducts(count: number): Promise<number[]> {
  const rows = await database.query(
    `INSERT INTO "Product" (name, "updatedAt") SELECT 'p', 'epoch' FROM generate_series(1, $1) RETURNING id`,
    [count],
  )
  return rows.map(({ id }) => id as number)
}

const where = (id: number) => ({ id, version: 0 })
const movement = (db: LayeredTx, productId: number) =>
  db.productMovement.createIdempotent({
    where: { transactionId_line: { transactionId: randomUUID(), line: 0 } },
    data: { productId, quantity: 5 },
  })
const product = (db: LayeredTx, id: number, data: object) =>
  db.product.createIdempotent({ where: { id: -id }, data: { name: 'new', ...data } })

/** The calls that are refused, each with the field that the error names. */
const REFUSED: Readonly<Record<string, readonly [string, (db: LayeredTx, id: number) => PromiseLike<unknown>]>> = {
  'updateVersioned of a held version': [
    'data.stock',
    (db, id) => db.product.updateVersioned({ where: where(id), data: { stock: 5 } }),
  ],
  'updateVersioned of the item’s key': [
    'data.id',
    (db, id) => db.product.updateVersioned({ where: where(id), data: { id: 2 ** 30 } }),
  ],
  'updateVersioned by a function': [
    'data.stock',
    (db, id) => db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) }),
  ],
  'updateVersioned by an async function': [
    'data.stock',
    (db, id) => db.product.updateVersioned({ where: { id }, data: async () => ({ stock: { increment: 1 } }) }),
  ],
  tryUpdateVersioned: [
    'data.stock',
    (db, id) => db.product.tryUpdateVersioned({ where: where(id), data: { stock: { set: 5 } } }),
  ],
  'updateVersioned with a nested write of the ledger': [
    'data.movements.create',
    (db, id) =>
      db.product.updateVersioned({
        where: where(id),
        data: { movements: { create: { transactionId: randomUUID(), line: 0, quantity: 1 } } },
      }),
  ],
  updateManyVersioned: [
    '[0].data.stock',
    (db, id) => db.product.updateManyVersioned([{ where: where(id), data: { stock: { decrement: 1 } } }]),
  ],
  deleteVersioned: ['delete', (db, id) => db.product.deleteVersioned({ where: where(id) })],
  'createIdempotent of an item': ['data[0].stock', (db, id) => product(db, id, { stock: 5 })],
  'createIdempotent of a movement': ['data[0]', movement],
  'createIdempotent with nested items': [
    'data.products.create.stock',
    (db) =>
      db.category.createIdempotent({
        where: { name: randomUUID() },
        data: { products: { create: [{ name: 'new', stock: 5 }] } },
      }),
  ],
}

const everything = () =>
  database.query(
    `SELECT to_jsonb(p) AS row FROM "Product" AS p UNION ALL SELECT to_jsonb(m) FROM "ProductMovement" AS m`,
  )

/** The outcome of each call: the refusal, as its code and its field. */
async function outcomesOf(calls: readonly (() => PromiseLike<unknown>)[]) {
  const outcomes = await Promise.allSettled(calls.map((call) => started(call())))
  return outcomes.map((outcome) => {
    if (outcome.status === 'fulfilled') return 'done'
    const { code, field } = outcome.reason as { code?: string; field?: string }
    return `${code} ${field ?? outcome.reason}`
  })
}

const refusals = Object.values(REFUSED).map(([field]) => `INVALID_ARGUMENT ${field}`)

describe.each(ORDERS)('with the layers %s, the stock’s guard holds', (_, order) => {
  const connect = () => withLayers(made.client, order)

  test('for each call alone', async () => {
    const db = connect()
    const [id] = (await newProducts(1)) as [number]
    const before = await everything()
    const outcomes: string[] = []
    for (const [, call] of Object.values(REFUSED)) outcomes.push(...(await outcomesOf([() => call(db, id)])))

    expect(outcomes).toEqual(refusals)
    expect(await everything()).toEqual(before)
  })

  test('for all of them at once', async () => {
    const db = connect()
    const ids = await newProducts(refusals.length)
    const before = await everything()

    expect(
      await outcomesOf(
        Object.values(REFUSED).map(
          ([, call], i) =>
            () =>
              call(db, ids[i] as number),
        ),
      ),
    ).toEqual(refusals)
    expect(await everything()).toEqual(before)
  })

  test('for each call in a transaction', async () => {
    const db = connect()
    const [id] = (await newProducts(1)) as [number]
    const before = await everything()
    const calls = Object.values(REFUSED).map(([, call]) => {
      return () => db.$transaction((tx) => Promise.resolve(call(tx, id)))
    })
    const outcomes: string[] = []
    for (const call of calls) outcomes.push(...(await outcomesOf([call])))

    expect(outcomes).toEqual(refusals)
    expect(await everything()).toEqual(before)
  })

  test('for one of many at once, and the others are done together', async () => {
    const db = connect()
    const [bad, one, ...rows] = (await newProducts(7)) as [number, number, ...number[]]
    await Promise.all(rows.map((id) => rename(db, id))) // looks into the catalogue
    await Promise.all(rows.map((id) => product(db, id, {})))
    made.statements.length = 0
    const outcomes = await outcomesOf([
      ...rows.map((id) => () => rename(db, id, 1)),
      () => db.product.updateVersioned({ where: where(bad), data: { stock: 5 } }),
      ...[1, 2, 3].map(() => () => appendTo(db, one)),
      () => db.product.updateVersioned({ where: { id: one }, data: () => ({ stock: 5 }) }),
      ...[1, 2, 3].map(() => () => appendTo(db, one)),
      ...rows.map((id) => () => product(db, 1_000_000 + id, {})),
      () => product(db, bad, { stock: 5 }),
    ])

    expect(outcomes.filter((outcome) => outcome !== 'done')).toEqual([
      'INVALID_ARGUMENT data.stock',
      'INVALID_ARGUMENT data.stock',
      'INVALID_ARGUMENT data[0].stock',
    ])
    expect(await database.query('SELECT name, stock, version FROM "Product" WHERE id = $1', [one])).toEqual([
      { name: 'p!!!!!!', stock: 0, version: 6 },
    ])
    expect(made.statements.map((sql) => sql.split(' ')[0]).sort()).toEqual(['INSERT', 'SELECT', 'UPDATE', 'WITH'])
  })
})

const rename = (db: Layered, id: number, version = 0) =>
  db.product.updateVersioned({ where: { id, version }, data: { name: 'q' } })
const appendTo = (db: Layered, id: number) =>
  db.product.updateVersioned({ where: { id }, data: ({ name }) => ({ name: `${name}!` }) })

test('the guard is asked for its own client’s calls alone, also where they share a write with others', async () => {
  const below = withLayers(made.client, ['concurrency'])
  const above = withLayers(below, ['stock'])
  const [id] = (await newProducts(1)) as [number]
  const add = (db: Layered) =>
    db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
  const outcomes = await outcomesOf([below, above, below, above, below].map((db) => () => add(db)))

  expect(outcomes).toEqual(['done', 'INVALID_ARGUMENT data.stock', 'done', 'INVALID_ARGUMENT data.stock', 'done'])
  expect(await database.query('SELECT stock, version FROM "Product" WHERE id = $1', [id])).toEqual([
    { stock: 3, version: 3 },
  ])
})
