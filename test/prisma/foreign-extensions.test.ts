import { randomInt, randomUUID } from 'node:crypto'
import { Prisma } from '@prisma/client/extension'
import { beforeEach, describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { stock } from '../../src/stock/extension.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'
import { STOCK } from '../support/stock-models.js'

const { database, connect } = useExtended()
type Db = ReturnType<typeof connect>['db']

/** Shows a tenant the products of its own name only. */
const tenant = Prisma.defineExtension({
  name: 'tenant',
  query: {
    product: {
      $allOperations: ({ operation, args, query }) =>
        operation.startsWith('create')
          ? query(args)
          : query({ ...args, where: { ...(args as { where?: object }).where, name: 'mine' } } as never),
    },
  },
})

let mine: number
let theirs: number
beforeEach(async () => {
  const rows = await database.query(
    `INSERT INTO "Product" (name, "updatedAt") VALUES ('mine', now()), ('theirs', now()) RETURNING id`,
  )
  ;[mine, theirs] = rows.map(({ id }) => id as number) as [number, number]
})

const stockOf = async (id: number) =>
  (await database.query('SELECT stock, version FROM "Product" WHERE id = $1', [id]))[0]
const set = (id: number, stock: number, version = 0) => ({ where: { id, version }, data: { stock } })

describe.each(['below', 'on top'] as const)('updateManyVersioned with a tenant filter %s', (place) => {
  const filtered = () =>
    (place === 'below'
      ? connect().client.$extends(tenant).$extends(concurrency())
      : connect().db.$extends(tenant)) as unknown as Db

  test('does not find the row of another tenant, and in mode `all` writes none', async () => {
    const error = await rejectionOf(filtered().product.updateManyVersioned([set(mine, 5), set(theirs, 6)]))
    expect(error).toMatchObject({ code: 'BATCH_VERSION_CONFLICT', conflicts: [{ index: 1, actual: undefined }] })
    expect([await stockOf(mine), await stockOf(theirs)]).toEqual([
      { stock: 0, version: 0 },
      { stock: 0, version: 0 },
    ])
  })

  test('in mode `each` writes the own one', async () => {
    const verdicts = await filtered().product.updateManyVersioned([set(theirs, 6), set(mine, 5)], { mode: 'each' })
    expect(verdicts).toEqual([{ status: 'missing' }, { status: 'updated', version: 1 }])
    expect([await stockOf(mine), await stockOf(theirs)]).toEqual([
      { stock: 5, version: 1 },
      { stock: 0, version: 0 },
    ])
  })

  test('gives the verdicts of the statement: stale, missing and updated, in the order given', async () => {
    const verdicts = await filtered().product.updateManyVersioned([set(mine, 5, 3), set(2 ** 31 - 1, 1)], {
      mode: 'each',
    })
    expect(verdicts).toEqual([{ status: 'stale', expected: 3, actual: 0 }, { status: 'missing' }])
  })

  test('in a transaction leaves nothing of a batch that is refused, and the transaction goes on', async () => {
    const db = filtered()
    await db.$transaction(async (tx) => {
      await rejectionOf(tx.product.updateManyVersioned([set(mine, 5), set(theirs, 6)]))
      await tx.product.updateManyVersioned([set(mine, 7)])
    })
    expect(await stockOf(mine)).toEqual({ stock: 7, version: 1 })
  })
})

test('batches that meet in opposite orders wait for each other, and none deadlocks', async () => {
  const rows = await database.query(
    `INSERT INTO "Product" (name, "updatedAt") SELECT 'mine', now() FROM generate_series(1, 6) RETURNING id`,
  )
  const ids = rows.map(({ id }) => id as number)
  const db = connect().db.$extends(tenant) as unknown as Db
  const raise = (list: number[]) =>
    db.product.updateManyVersioned(
      list.map((id) => set(id, 1)),
      { mode: 'each' },
    )
  const verdicts = await Promise.all([raise(ids), raise([...ids].reverse()), raise(ids)])
  expect(verdicts.flat().filter(({ status }) => status === 'updated')).toHaveLength(6)
})

test('an extension that only watches, and is named as such, leaves updateManyVersioned its one statement', async () => {
  const { client, statements } = connect()
  const logging = Prisma.defineExtension({
    name: 'logging',
    query: { $allOperations: ({ args, query }) => query(args) },
  })
  const db = client.$extends(concurrency({ transparent: ['logging'] })).$extends(logging) as unknown as Db
  await db.product.updateManyVersioned([set(mine, 5)])
  statements.length = 0
  await db.product.updateManyVersioned([set(mine, 6, 1), set(theirs, 6)])
  expect(statements).toHaveLength(1)
})

test('a method of another extension in place of `update` is called for each row', async () => {
  const seen: unknown[] = []
  const { db } = connect()
  const audited = db.$extends({
    name: 'audit',
    model: {
      product: {
        update(args: { where: { id: number } }) {
          seen.push(args.where.id)
          const { $parent, $name } = Prisma.getExtensionContext(this) as never as { $parent: Db; $name: string }
          return ($name === 'Product' && $parent.product.update(args as never)) as never
        },
      },
    },
  }) as unknown as Db
  const write = audited.product.updateManyVersioned([set(mine, 5)])
  await write
  expect([seen, await stockOf(mine)]).toEqual([[mine], { stock: 5, version: 1 }])
})

/** A filter for every model, under the name of the extension. */
const everywhere = (name: string) =>
  Prisma.defineExtension({
    name,
    query: { $allModels: { $allOperations: ({ args, query }) => query(args) } },
  })

describe('SQL of the ERP goes past no other extension:', () => {
  const erp = (client: unknown, options = {}) =>
    (client as ReturnType<typeof connect>['client'])
      .$extends(concurrency(options))
      .$extends(serials())
      .$extends(stock(STOCK))
  const item = { productId: 1, warehouse: 'main' }
  const calls = (db: ReturnType<typeof erp>) => {
    const transactionId = randomUUID()
    return {
      '$serials.allocate': () => db.$serials.allocate({ transactionId, where: { productId: 1 }, count: 1 }),
      '$serials.release': () => db.$serials.release({ transactionId }),
      '$serials.import': () => db.$serials.import({ transactionId, data: { productId: 1 }, numbers: ['a'] }),
      '$serials.free': () => db.$serials.free({ productId: 1 }),
      '$stock.move': () => db.$stock.move({ transactionId, item, quantity: 1 }),
      '$stock.moveAll': () => db.$stock.moveAll({ transactionId, lines: [{ item, quantity: 1 }] }),
      '$stock.count': () => db.$stock.count({ transactionId, item, counted: 1 }),
      '$stock.defer': () => db.$stock.defer({ transactionId, item, quantity: 1 }),
      '$stock.project': () => db.$stock.project(),
      '$stock.audit': () => db.$stock.audit(),
    }
  }

  test.each(['below', 'on top'] as const)('a call is refused where one lies %s, and nothing is sent', async (place) => {
    const { client, statements } = connect()
    const tenant = everywhere('tenant')
    const db = (place === 'below' ? erp(client.$extends(tenant)) : erp(client).$extends(tenant)) as never
    for (const [operation, call] of Object.entries(calls(db))) {
      expect(await rejectionOf(call())).toMatchObject({
        code: 'FOREIGN_EXTENSION',
        problem: 'passed over',
        extension: 'tenant',
        operation,
        message: expect.stringContaining(`concurrency({ transparent: ['tenant'] })`),
      })
    }
    expect(statements).toEqual([])
  })

  test('a call in a transaction is refused, too, and the transaction goes on', async () => {
    const db = erp(connect().client).$extends(everywhere('tenant')) as unknown as ReturnType<typeof erp>
    const code = await db.$transaction(async (tx) => {
      const error = await rejectionOf(tx.$stock.move({ transactionId: randomUUID(), item, quantity: 1 }))
      await tx.note.count()
      return (error as { code: string }).code
    })
    expect(code).toBe('FOREIGN_EXTENSION')
  })

  test('the client below is not refused because of one that is made of it', async () => {
    const db = erp(connect().client)
    db.$extends(everywhere('tenant'))
    expect(await db.$serials.free({ productId: randomInt(2 ** 31) })).toBe(0)
  })

  test('an extension of other models, or of calls that the SQL does not stand for, is none of its business', async () => {
    const other = Prisma.defineExtension({
      query: {
        note: { $allOperations: ({ args, query }) => query(args) },
        serial: { deleteMany: ({ args, query }) => query(args) },
      },
    })
    const db = erp(connect().client).$extends(other) as unknown as ReturnType<typeof erp>
    expect(await db.$serials.free({ productId: randomInt(2 ** 31) })).toBe(0)
  })

  test('one that decrypts a field of the model takes part in its calls', async () => {
    const decrypting = Prisma.defineExtension({
      name: 'encryption',
      result: { serial: { number: { needs: { number: true }, compute: ({ number }) => `clear ${number}` } } },
    })
    const db = erp(connect().client).$extends(decrypting) as unknown as ReturnType<typeof erp>
    expect(await rejectionOf(db.$serials.free({ productId: 1 }))).toMatchObject({ extension: 'encryption' })
  })

  test('one that only watches, and is named as such, is gone past', async () => {
    const db = erp(connect().client, { transparent: ['logging'] }).$extends(everywhere('logging'))
    expect(await (db as unknown as ReturnType<typeof erp>).$serials.free({ productId: randomInt(2 ** 31) })).toBe(0)
  })

  test('the error of one without a name says to give it one', async () => {
    const nameless = Prisma.defineExtension({ query: { $allOperations: ({ args, query }) => query(args) } })
    const db = erp(connect().client).$extends(nameless) as unknown as ReturnType<typeof erp>
    expect(await rejectionOf(db.$serials.free({ productId: 1 }))).toMatchObject({
      extension: undefined,
      message: expect.stringContaining('give it a name'),
    })
  })
})

/** Changes of an answer by careless extensions. */
const CARELESS: Record<string, (answer: Promise<unknown>) => Promise<unknown>> = {
  'answers null in place of an error': (answer) => answer.catch(() => null),
  'forgets to return': (answer) => answer.then(() => undefined),
}

describe.each(Object.entries(CARELESS))('an extension that %s', (_, make) => {
  const careless = Prisma.defineExtension({
    name: 'careless',
    query: { product: { $allOperations: ({ args, query }) => make(query(args as never)) } },
  })
  const calls: Record<string, (db: Pick<Db, 'product'>) => Promise<unknown>> = {
    updateVersioned: (db) => db.product.updateVersioned(set(theirs, 1, 9)),
    tryUpdateVersioned: (db) => db.product.tryUpdateVersioned(set(theirs, 1, 9)),
    updateManyVersioned: (db) => db.product.updateManyVersioned([set(theirs, 1, 9)]),
    deleteVersioned: (db) => db.product.deleteVersioned({ where: { id: theirs, version: 9 } }),
    'deleteVersioned with include': (db) =>
      db.product.deleteVersioned({ where: { id: theirs, version: 9 }, include: { lines: true } }),
  }

  test.each(
    Object.entries(calls).flatMap(([name, call]) =>
      (['below', 'on top'] as const).map((place) => [name, place, call] as const),
    ),
  )('is refused by %s, where it lies %s, on the client and on a tx', async (_name, place, call) => {
    const { client, db: own } = connect()
    const db = place === 'below' ? client.$extends(careless).$extends(concurrency()) : own.$extends(careless)

    const errors = [await rejectionOf(call(db as never)), await rejectionOf(db.$transaction((tx) => call(tx as never)))]

    const refused = { code: 'FOREIGN_EXTENSION', problem: 'gave no record', extension: 'careless', model: 'Product' }
    expect(errors).toMatchObject([refused, refused])
  })
})
