import { Prisma } from '@prisma/client/extension'
import { readReplicas } from '@prisma/extension-read-replicas'
import { beforeEach, describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()
const replica = useDatabase()

type Client = ReturnType<typeof connect>['db']
type Extension = 'replicas' | 'concurrency' | 'tenant'

/** Shows a tenant its own products only: a call that finds, updates or deletes one looks for its name too. */
const tenant = Prisma.defineExtension({
  name: 'tenant',
  query: {
    product: {
      $allOperations: ({ operation, args, query }) =>
        operation === 'create' || operation === 'createManyAndReturn'
          ? query(args)
          : query({ ...args, where: { ...(args as { where?: object }).where, name: 'mine' } } as never),
    },
  },
})

/** A client of the primary, with these extensions on it, the lowest first. */
function stack(extensions: readonly Extension[]): Client {
  const { client } = database.connect()
  let top = client as unknown as Client
  for (const extension of extensions) {
    if (extension === 'concurrency') top = top.$extends(concurrency()) as unknown as Client
    if (extension === 'tenant') top = top.$extends(tenant) as unknown as Client
    if (extension === 'replicas') {
      const replicas = [replica.connect().client]
      top = top.$extends(readReplicas({ replicas })) as unknown as Client
    }
  }
  return top
}

function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}

/** The row as the primary has it, and as the replica still has it. */
const PRIMARY = `INSERT INTO "Product" (id, name, stock, "updatedAt", version) VALUES (1, 'mine', 50, now(), 5), (2, 'theirs', 50, now(), 5)`
const OUTDATED = `INSERT INTO "Product" (id, name, stock, "updatedAt", version) VALUES (1, 'mine', 1, now(), 1), (2, 'theirs', 1, now(), 1)`

async function fill({ replicaIs }: { replicaIs: 'outdated' | 'empty' }) {
  await database.query('TRUNCATE "Product" CASCADE')
  await replica.query('TRUNCATE "Product" CASCADE')
  await database.query(PRIMARY)
  if (replicaIs === 'outdated') await replica.query(OUTDATED)
}

const stockAndVersion = async (id = 1) =>
  (await database.query('SELECT stock, version FROM "Product" WHERE id = $1', [id]))[0]

const STACKS: readonly (readonly Extension[])[] = [
  ['replicas', 'concurrency'],
  ['concurrency', 'replicas'],
  ['replicas', 'tenant', 'concurrency'],
  ['tenant', 'replicas', 'concurrency'],
  ['replicas', 'concurrency', 'tenant'],
  ['concurrency', 'tenant', 'replicas'],
  ['concurrency', 'replicas', 'tenant'],
  ['tenant', 'concurrency', 'replicas'],
  ['replicas', 'concurrency', 'concurrency'],
]

describe.each(STACKS.map((extensions) => ({ name: extensions.join(', then '), extensions })))(
  'with $name',
  ({ extensions }) => {
    const connected = once(() => stack(extensions))
    beforeEach(() => fill({ replicaIs: 'outdated' }))

    test('a plain read goes to the replica: the tests below would see it if ours did', async () => {
      expect(await connected().product.findUnique({ where: { id: 1 } })).toMatchObject({ stock: 1, version: 1 })
    })

    test('a function gets the record of the primary', async () => {
      const seen: number[] = []
      const written = await connected().product.updateVersioned({
        where: { id: 1 },
        data: ({ stock }) => {
          seen.push(stock)
          return { stock: stock + 1 }
        },
      })
      expect(seen).toEqual([50])
      expect(written).toMatchObject({ stock: 51, version: 6 })
    })

    test('a stale write reports the version and the record of the primary', async () => {
      const result = await connected().product.tryUpdateVersioned({
        where: { id: 1, version: 4 },
        data: { stock: 0 },
      })
      expect(result).toMatchObject({ status: 'stale', expected: 4, actual: 5, current: { stock: 50, version: 5 } })
    })

    test('the version that the replica has is stale, and nothing is written', async () => {
      const db = connected()
      const where = { id: 1, version: 1 }
      const errors = [
        await rejectionOf(db.product.updateVersioned({ where, data: { stock: 0 } })),
        await rejectionOf(db.product.deleteVersioned({ where })),
        await rejectionOf(db.product.deleteVersioned({ where, include: { category: true } })),
      ]
      for (const error of errors) expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: 1, actual: 5 })
      expect(await stockAndVersion()).toEqual({ stock: 50, version: 5 })
    })

    test('a function that returns undefined gives the record of the primary', async () => {
      const record = await connected().product.updateVersioned({ where: { id: 1 }, data: () => undefined })
      expect(record).toMatchObject({ stock: 50, version: 5 })
    })

    test('two conflicts are retried, and the third attempt reads under its lock on the primary', async () => {
      const seen: number[] = []
      await connected().product.updateVersioned({
        where: { id: 1 },
        data: async ({ stock }, attempt) => {
          seen.push(stock)
          if (attempt < 3) await database.query('UPDATE "Product" SET stock = stock + 100, version = version + 1')
          return { stock: stock + 1 }
        },
      })
      expect(seen).toEqual([50, 150, 250])
      expect(await stockAndVersion()).toEqual({ stock: 251, version: 8 })
    })

    test('the third attempt commits what it wrote together, or not at all', async () => {
      const db = connected()
      const error = await rejectionOf(
        db.product.updateVersioned({
          where: { id: 1 },
          data: async ({ stock }, attempt) => {
            if (attempt < 3) await database.query('UPDATE "Product" SET version = version + 1')
            return { stock: stock + 1, ...(attempt < 3 ? {} : { lines: { create: { quantity: 1, orderId: -1 } } }) }
          },
        }),
      )
      expect(error).toMatchObject({ code: expect.stringMatching(/^P20/) })
      expect(await stockAndVersion()).toEqual({ stock: 50, version: 7 })
    })

    test('a row that the replica does not have (yet) is not missing', async () => {
      await fill({ replicaIs: 'empty' })
      const db = connected()
      const stale = await db.product.tryUpdateVersioned({ where: { id: 1, version: 4 }, data: { stock: 0 } })
      const written = await db.product.updateVersioned({ where: { id: 1 }, data: () => ({ stock: 9 }) })
      expect(stale.status).toBe('stale')
      expect(written).toMatchObject({ stock: 9, version: 6 })
    })

    test('a row that only the replica (still) has is missing', async () => {
      await database.query('TRUNCATE "Product" CASCADE')
      const db = connected()
      const tried = await db.product.tryUpdateVersioned({ where: { id: 1, version: 1 }, data: { stock: 0 } })
      const error = await rejectionOf(db.product.updateVersioned({ where: { id: 1 }, data: () => ({ stock: 9 }) }))
      expect(tried).toEqual({ status: 'missing' })
      expect(error).toMatchObject({ code: 'P2025' })
    })

    test('a delete with relations returns the record of the primary', async () => {
      const deleted = await connected().product.deleteVersioned({
        where: { id: 1, version: 5 },
        include: { category: true },
      })
      expect(deleted).toMatchObject({ stock: 50, version: 5 })
      expect(await stockAndVersion()).toBeUndefined()
    })

    test('a versioned write in a transaction reads what the transaction wrote', async () => {
      const written = await connected().$transaction(async (tx) => {
        await tx.product.updateVersioned({ where: { id: 1, version: 5 }, data: { stock: 60 } })
        return tx.product.updateVersioned({ where: { id: 1 }, data: ({ stock }) => ({ stock: stock + 1 }) })
      })
      expect(written).toMatchObject({ stock: 61, version: 7 })
    })
  },
)

const TENANT_STACKS = [
  ...STACKS.filter((extensions) => extensions.includes('tenant')),
  ['tenant', 'concurrency'] as const,
  ['concurrency', 'tenant'] as const,
]

describe.each(TENANT_STACKS.map((extensions) => ({ name: extensions.join(', then '), extensions })))(
  'with $name, the row of another tenant',
  ({ extensions }) => {
    const connected = once(() => stack(extensions))
    beforeEach(() => fill({ replicaIs: 'outdated' }))

    test('is not shown to a function', async () => {
      let runs = 0
      const error = await rejectionOf(
        connected().product.updateVersioned({ where: { id: 2 }, data: () => ({ stock: ++runs }) }),
      )
      expect(error).toMatchObject({ code: 'P2025' })
      expect(runs).toBe(0)
    })

    test('is missing, whatever version is expected', async () => {
      const db = connected()
      const data = { stock: 0 }
      expect([
        await db.product.tryUpdateVersioned({ where: { id: 2, version: 5 }, data }),
        await db.product.tryUpdateVersioned({ where: { id: 2, version: 4 }, data }),
      ]).toEqual([{ status: 'missing' }, { status: 'missing' }])
      expect(await stockAndVersion(2)).toEqual({ stock: 50, version: 5 })
    })

    test('is not deleted, with relations or without', async () => {
      const db = connected()
      const where = { id: 2, version: 5 }
      const errors = [
        await rejectionOf(db.product.deleteVersioned({ where })),
        await rejectionOf(db.product.deleteVersioned({ where, include: { category: true } })),
      ]
      for (const error of errors) expect(error).toMatchObject({ code: 'P2025' })
      expect(await stockAndVersion(2)).toEqual({ stock: 50, version: 5 })
    })

    test('that becomes another tenant’s between two attempts is missing in the locked one', async () => {
      const error = await rejectionOf(
        connected().product.updateVersioned({
          where: { id: 1 },
          data: async ({ stock }, attempt) => {
            await database.query('UPDATE "Product" SET version = version + 1')
            // It is committed only when the third attempt waits for the row.
            if (attempt === 2) {
              const other = await openTransaction(
                database.url,
                `UPDATE "Product" SET name = 'theirs', version = version + 1`,
              )
              void untilBlocked(database.url).then(() => other.query('COMMIT'))
            }
            return { stock: stock + 1 }
          },
        }),
      )
      expect(error).toMatchObject({ code: 'P2025' })
      expect(await stockAndVersion()).toMatchObject({ stock: 50 })
    })
  },
)
