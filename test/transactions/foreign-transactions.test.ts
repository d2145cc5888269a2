import { randomUUID } from 'node:crypto'
import { Prisma } from '@prisma/client/extension'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()
type Db = ReturnType<typeof connect>['db']
type Client = ReturnType<typeof connect>['client']

/** The usual recipe for row-level security: every call in a transaction of its own, after the setting. */
const rowLevelSecurity = (base: Client) =>
  Prisma.defineExtension({
    name: 'rls',
    query: {
      $allModels: {
        async $allOperations({ args, query }) {
          const [, result] = await base.$transaction([
            base.$executeRaw`SELECT set_config('app.tenant', '1', true)`,
            query(args) as never,
          ])
          return result
        },
      },
    },
  })

/** Sends writes on the client that it has closed over. */
const onBase = (base: Client) =>
  Prisma.defineExtension({
    name: 'on base',
    query: {
      $allModels: {
        $allOperations: ({ model, operation, args, query }) =>
          /^(create|update|delete)/.test(operation)
            ? ((base as never as Record<string, Record<string, (args: unknown) => unknown>>)[
                model.charAt(0).toLowerCase() + model.slice(1)
              ]?.[operation]?.(args) as never)
            : query(args),
      },
    },
  })

const stacked = (make: (base: Client) => (client: never) => unknown, place: 'below' | 'on top') => {
  const { client } = connect()
  const extension = make(client) as never
  return (place === 'below'
    ? client.$extends(extension).$extends(concurrency())
    : client.$extends(concurrency()).$extends(extension)) as unknown as Db
}

const notes = async (text: string) => (await database.query('SELECT FROM "Note" WHERE text = $1', [text])).length
const newProduct = async () => {
  const rows = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('a', now()) RETURNING id`)
  return rows[0].id as number
}

const PLACES = ['below', 'on top'] as const

describe.each(PLACES)('an extension %s that opens a transaction of its own for each call', (place) => {
  const connected = () => stacked(rowLevelSecurity as never, place)
  const bodies = {
    $transactionWithRetry: (db: Db, text: string) =>
      db.$transactionWithRetry((tx) => tx.note.create({ data: { text } })),
    $idempotent: (db: Db, text: string) =>
      db.$idempotent({ key: text, scope: 'a' }, (tx) => tx.note.create({ data: { text } })),
    $withAdvisoryLock: (db: Db, text: string) => db.$withAdvisoryLock(text, (tx) => tx.note.create({ data: { text } })),
    'a nested $transactionWithRetry': (db: Db, text: string) =>
      db.$transaction((tx) => tx.$transactionWithRetry((inner) => inner.note.create({ data: { text } }))),
  }

  test.each(Object.entries(bodies))('is stopped in the body of %s, and nothing is written', async (_, call) => {
    const text = randomUUID()
    const error = await rejectionOf(call(connected(), text))
    expect(error).toMatchObject({
      code: 'FOREIGN_EXTENSION',
      problem: 'left the transaction',
      extension: 'rls',
      model: 'Note',
      operation: 'create',
    })
    expect(await notes(text)).toBe(0)
  })

  test('is stopped where a versioned write is in a transaction of the caller', async () => {
    const db = connected()
    const id = await newProduct()
    const error = await rejectionOf(
      db.$transaction((tx) => tx.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })),
    )
    expect(error).toMatchObject({ code: 'FOREIGN_EXTENSION', operation: 'update' })
    expect(await database.query('SELECT version FROM "Product" WHERE id = $1', [id])).toEqual([{ version: 0 }])
  })

  test('is stopped in a batch of updateManyVersioned', async () => {
    const id = await newProduct()
    const error = await rejectionOf(
      connected().product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: 1 } }]),
    )
    expect(error).toMatchObject({ code: 'FOREIGN_EXTENSION', problem: 'left the transaction' })
    expect(await database.query('SELECT version FROM "Product" WHERE id = $1', [id])).toEqual([{ version: 0 }])
  })

  test('may do so for single calls, which need no transaction', async () => {
    const id = await newProduct()
    const db = connected()
    await db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
    await db.product.updateVersioned({ where: { id, version: 1 }, data: { stock: 5 } })
    expect(await db.product.deleteVersioned({ where: { id, version: 2 } })).toMatchObject({ stock: 5 })
  })

  test('may do so in plain transactions, which are Prisma’s own', async () => {
    const text = randomUUID()
    await connected().$transaction((tx) => tx.note.create({ data: { text } }))
    expect(await notes(text)).toBe(1)
  })
})

describe.each(PLACES)('an extension %s that sends writes on another client', (place) => {
  test('fails the transaction of the package that the write belongs to', async () => {
    const error = await rejectionOf(
      stacked(onBase as never, place).$transactionWithRetry((tx) => tx.note.create({ data: { text: randomUUID() } })),
    )
    expect(error).toMatchObject({
      code: 'FOREIGN_EXTENSION',
      problem: 'answered by itself',
      message: expect.stringContaining('may have been carried out'),
    })
  })
})

describe.each([
  ['opens a transaction of its own for each call', rowLevelSecurity],
  ['sends writes on another client', onBase],
] as const)('createIdempotent beside an extension that %s', (_, make) => {
  describe.each(PLACES)('%s', (place) => {
    const insert = (db: Db, transactionId: string, paymentId?: number) =>
      db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5, items: { create: [{ text: 'a', ...(paymentId ? { id: paymentId } : {}) }] } },
        include: { items: true },
      })

    test('inserts a row and its children together, once', async () => {
      const db = stacked(make as never, place)
      const transactionId = randomUUID()
      const results = [await insert(db, transactionId), await insert(db, transactionId)]
      expect(results.map(({ replayed, record }) => [replayed, record.items.length])).toEqual([
        [false, 1],
        [true, 1],
      ])
    })

    test('leaves no row behind whose children fail', async () => {
      const db = stacked(make as never, place)
      const taken = (await insert(db, randomUUID())).record.items[0]?.id
      const transactionId = randomUUID()
      await rejectionOf(insert(db, transactionId, taken))
      expect(await database.query('SELECT FROM "Payment" WHERE "transactionId" = $1', [transactionId])).toEqual([])
    })

    test('inserts one row where two call at once', async () => {
      const db = stacked(make as never, place)
      const transactionId = randomUUID()
      const results = await Promise.all([insert(db, transactionId), insert(db, transactionId)])
      expect(results.map(({ replayed }) => replayed).sort()).toEqual([false, true])
    })
  })
})

interface Opening {
  $transaction(this: unknown, body: unknown, options?: object): Promise<unknown>
}
type OwnTransaction = (below: Opening) => (this: unknown, body: (tx: Db) => unknown, options?: object) => unknown

/** Extensions with a `$transaction` of their own. */
const OWN_TRANSACTIONS: Record<string, OwnTransaction> = {
  'adds options': ({ $transaction }) =>
    function (body, options) {
      return $transaction.call(this, body, { timeout: 20_000, ...options })
    },
  'has options of its own only': ({ $transaction }) =>
    function (body) {
      return $transaction.call(this, body, { timeout: 20_000 })
    },
  'sets something first, and drops the options': ({ $transaction }) =>
    async function (body) {
      await null
      return $transaction.call(this, async (tx: Db) => {
        await tx.$executeRaw`SELECT set_config('app.tenant', '1', true)`
        return body(tx)
      })
    },
}

/** Calls on a `tx` that open a savepoint, or run a nested body. */
const CALLS_WITHIN: Record<string, (tx: Db, text: string) => Promise<unknown>> = {
  'createIdempotent with a child': (tx, text) =>
    tx.payment.createIdempotent({
      where: { transactionId: text },
      data: { amount: 5, items: { create: { text } }, reference: text },
    }),
  $advisoryXactLock: (tx, text) => tx.$advisoryXactLock(text, { timeout: 5_000 }),
  '$tryAdvisoryXactLock of two keys': (tx, text) => tx.$tryAdvisoryXactLock({ keys: [text, `${text} 2`] }),
  $idempotent: (tx, text) =>
    tx.$idempotent({ key: text, scope: 'a' }, (inner) => inner.note.create({ data: { text } })),
  $transactionWithRetry: (tx, text) => tx.$transactionWithRetry((inner) => inner.note.create({ data: { text } })),
  $withAdvisoryLock: (tx, text) => tx.$withAdvisoryLock(text, (inner) => inner.note.create({ data: { text } })),
  'a plain $transaction': (tx, text) => tx.$transaction((inner) => inner.note.create({ data: { text } })),
}

describe.each(Object.entries(OWN_TRANSACTIONS))('an extension on top whose $transaction %s', (_, make) => {
  const connected = () => {
    const { db } = connect()
    return db.$extends({ client: { $transaction: make(db as unknown as Opening) } as never }) as unknown as Db
  }

  test.each(Object.entries(CALLS_WITHIN))('leaves %s on a tx its nested transaction', async (_name, call) => {
    const text = randomUUID()

    const done = connected().$transaction(async (tx) => {
      await call(tx as never, text)
      return tx.note.create({ data: { text: `${text} after` } })
    })

    await expect(done).resolves.toMatchObject({ text: `${text} after` })
  })
})

test('an extension that opens nested transactions on another client is stopped before a nested body of ours', async () => {
  const { db } = connect()
  const { $transaction } = db as unknown as Opening
  const elsewhere = db.$extends({
    name: 'elsewhere',
    client: {
      $transaction(this: object, body: unknown, options?: object) {
        return $transaction.call('$connect' in this ? this : db, body, options)
      },
    } as never,
  }) as unknown as Db
  const text = randomUUID()

  const error = await rejectionOf(
    elsewhere.$transaction((tx) => tx.$idempotent({ key: text, scope: 'a' }, (i) => i.note.create({ data: { text } }))),
  )

  expect(error).toMatchObject({ code: 'FOREIGN_EXTENSION', problem: 'left the transaction', extension: 'elsewhere' })
  expect(await notes(text)).toBe(0)
})
