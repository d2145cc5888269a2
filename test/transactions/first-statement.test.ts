import { beforeAll, describe, expect, test, vi } from 'vitest'
import { sqlState } from '../../src/engine/error-facts.js'
import { serials, series, stock } from '../../src/erp.js'
import { concurrency } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { STOCK } from '../support/stock-models.js'

const database = useDatabase()
const barredDatabase = useDatabase()

/** A statement with which a transaction of this package sets its limits. */
const LIMITS = /set_config\('(lock|statement)_timeout'/

beforeAll(async () => {
  // Every transaction of this package begins with a statement that sets its limits.
  await barredDatabase.query('REVOKE EXECUTE ON FUNCTION set_config(text, text, boolean) FROM PUBLIC')
})

type Client = ReturnType<typeof connectTo>['db']
type Transaction = Pick<Client, 'note' | 'product'>
type Kind = (db: Client, body: (tx: Transaction) => Promise<unknown>) => Promise<unknown>

const KINDS: Record<string, Kind> = {
  $transactionWithRetry: (db, body) => db.$transactionWithRetry(body),
  'a readOnly $transactionWithRetry': (db, body) => db.$transactionWithRetry(body, { readOnly: true }),
  $idempotent: (db, body) => db.$idempotent({ scope: 'first statement', key: crypto.randomUUID() }, body),
  $oncePer: (db, body) => db.$oncePer({ job: crypto.randomUUID(), period: 'now' }, body),
  $withAdvisoryLock: (db, body) => db.$withAdvisoryLock(crypto.randomUUID(), body),
}

async function newProduct(target: typeof database): Promise<number> {
  const [row] = await target.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
  return row?.id as number
}

async function newNote(target: typeof database): Promise<number> {
  const [row] = await target.query(`INSERT INTO "Note" (text) VALUES ('there') RETURNING id`)
  return row?.id as number
}

describe.each(Object.entries(KINDS))('%s', (_, run) => {
  test('is ended by the server where the process stops between two statements', async () => {
    const { db } = connectTo(database.url)
    let limit: unknown
    await run(db, async (tx) => {
      const shown = await (tx as Client).$queryRaw<object[]>`SHOW idle_in_transaction_session_timeout`
      limit = Object.values(shown[0] ?? {})[0]
    })

    expect(limit).toMatch(/^\d+(ms|s|min)$/) // 0 means that there is none
  })

  test('whose first statement fails is rejected with the reason, and its body does not run', async () => {
    const { db } = connectTo(await openRole(barredDatabase))
    const id = await newNote(barredDatabase)
    const seen = vi.fn()
    const error = await rejectionOf(
      run(db, async (tx) => {
        seen(await tx.note.findFirst({ where: { id } }))
      }),
    )

    expect(sqlState(error)).toBe('42501')
    expect(seen).not.toHaveBeenCalled()
  })

  test.each(['cut', 'drop', 'abandon'] as const)(
    'whose connection breaks in its first statement (%s) shows its body every row that is there',
    async (fate) => {
      const proxy = await openProxy(database.url)
      const { db } = connectTo(proxy.url)
      const id = await newNote(database)
      const seen: unknown[] = []
      proxy.next(LIMITS, fate)
      // $withAdvisoryLock does not run a transaction again.
      await run(db, async (tx) => seen.push(await tx.note.findFirst({ where: { id } }))).catch(() => {})

      expect(seen.filter((row) => row === undefined || row === null)).toEqual([])
    },
  )
})

describe('a transaction that a method opens for itself, and whose first statement fails,', () => {
  const METHODS: Record<string, (db: Client, id: number) => PromiseLike<unknown>> = {
    'deleteVersioned with include': (db, id) =>
      db.product.deleteVersioned({ where: { id, version: 0 }, include: { lines: true } }),
    'createIdempotent with children': (db, id) =>
      db.payment.createIdempotent({ where: { transactionId: `t ${id}` }, data: { amount: 1, items: { create: [] } } }),
  }

  test.each(Object.entries(METHODS))('leaves %s rejected with the reason, and nothing written', async (_, method) => {
    const { db } = connectTo(await openRole(barredDatabase))
    const id = await newProduct(barredDatabase)
    const error = await rejectionOf(method(db, id))

    const left = await barredDatabase.query(
      `SELECT 1 FROM "Product" WHERE id = $1 UNION ALL SELECT 2 FROM "Payment" WHERE "transactionId" = $2`,
      [id, `t ${id}`],
    )
    expect([sqlState(error), left.length]).toEqual(['42501', 1])
  })
})

describe.each(['cut', 'drop', 'abandon'] as const)('a connection that breaks (%s) in the first statement', (fate) => {
  const prepare = async () => {
    const proxy = await openProxy(database.url)
    const db = connectTo(proxy.url)
      .client.$extends(concurrency())
      .$extends(stock(STOCK))
      .$extends(serials())
      .$extends(series())
    const productId = await newProduct(database)
    await database.query(
      `INSERT INTO "Serial" ("productId", number) SELECT $1, 'S-' || n FROM generate_series(1, 5) AS n`,
      [productId],
    )
    await database.query(`INSERT INTO "Stock" ("productId", warehouse) VALUES ($1, 'main')`, [productId])
    await db.$stock.move({ transactionId: `first ${productId}`, item: { productId, warehouse: 'main' }, quantity: 5 })
    proxy.next(LIMITS, fate)
    return { db, productId, transactionId: `second ${productId}` }
  }

  test('leaves $serials.allocate complete', async () => {
    const { db, productId, transactionId } = await prepare()
    const { serials } = await db.$serials.allocate({ transactionId, where: { productId }, count: 3, data: {} })

    expect(serials).toHaveLength(3)
  })

  test('leaves a movement, serials and a number that are taken in one transaction complete', async () => {
    const { db, productId, transactionId } = await prepare()
    const taken = await db.$transactionWithRetry(async (tx) => [
      await tx.$stock.move({ transactionId, item: { productId, warehouse: 'main' }, quantity: -3 }),
      await tx.$serials.allocate({ transactionId, where: { productId }, count: 1, data: {} }),
      await tx.$series.next('INV', { transactionId }),
    ])

    expect(taken).toMatchObject([{ balance: 2 }, { serials: [{ productId }] }, { replayed: false }])
  })
})
