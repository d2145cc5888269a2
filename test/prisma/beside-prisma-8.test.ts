import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency, versionTriggerSql } from '../../src/index.js'
import { concurrency as onPool, stock as stockOnPool } from '../../src/pg.js'
import { stock } from '../../src/stock/extension.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { blocksOf, readPages } from '../support/pages.js'
import { PALLET } from '../support/pallet-models.js'
import { type Client, type Collection, missing, type Prisma8, prisma8, type Row } from '../support/prisma8.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

type Guarded = (model: Collection, id: number, change: (current: Row) => Row, attempts?: number) => Promise<Row>

const database = useDatabase()
const reason = missing()
const newProduct = async () =>
  (await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`))[0]
    .id as number
const productOf = async (id: number) =>
  (await database.query('SELECT stock, name, version FROM "Product" WHERE id = $1', [id]))[0] as {
    readonly stock: number
    readonly name: string
    readonly version: number
  }

/** The models of the project's schema that these tests write by Prisma 8. */
async function schemaOf(...models: string[]): Promise<string> {
  const path = fileURLToPath(new URL('../../prisma/schema.prisma', import.meta.url))
  const text = await readFile(path, 'utf8')
  const block = (name: string) => new RegExp(`^model ${name} \\{\\n[^}]*\\n\\}$`, 'm').exec(text)?.[0] ?? ''
  // Without the relations, and the time of the last write, for which this candidate asks the runtime for Temporal.
  const lines = models.map(block).join('\n').split('\n')
  const scalars = lines.filter((line) => !/@updatedAt|@relation|\[\]|@@index/.test(line))
  return `datasource db {\n  provider = "postgresql"\n}\n\n${scalars.join('\n')}\n`
}

/** The function of the guide. */
async function guarded(): Promise<Guarded> {
  const page = (await readPages()).find(({ path }) => path === 'docs/guide/prisma-8.md')
  const code = page && blocksOf(page, 'js').find((block) => block.includes('export async function updateVersioned'))
  const { updateVersioned } = await import(`data:text/javascript,${encodeURIComponent(code ?? '')}`)
  return updateVersioned
}

describe.skipIf(reason !== undefined)(`Prisma 8 beside Prisma 7${reason ? ` (${reason})` : ''}`, () => {
  let eight: Prisma8
  let pool: pg.Pool
  let on8: Client
  let update8: Guarded
  let base: PrismaClient

  beforeAll(async () => {
    eight = await prisma8(await schemaOf('Product', 'Payment'))
    update8 = await guarded()
    pool = new pg.Pool({ connectionString: database.url })
    on8 = eight.connect(pool)
    base = new PrismaClient({ adapter: new PrismaPg(pool) })
    await database.query(versionTriggerSql(eight.contract, 'Product'))
  })
  afterAll(async () => {
    await base?.$disconnect()
    await pool?.end()
  })

  const on7 = () => base.$extends(concurrency({ retry: { attempts: 1_000, deadline: 60_000 } }))
  const products8 = () => on8.orm.public.Product as Collection

  test('the trigger of its contract is that of the client of Prisma 7', () => {
    expect(versionTriggerSql(eight.contract, 'Product')).toBe(versionTriggerSql(base, 'Product'))
  })

  test.each([
    ['a model that is not there', 'Nothing', undefined, 'Nothing is not a model of the contract'],
    ['a field that is not there', 'Payment', 'revision', "Payment has no field 'revision'"],
    ['a field of another type', 'Product', 'name', "Product has no field 'name' that is a required Int or BigInt"],
  ])('a contract with %s has no trigger', (_, model, field, message) => {
    const options = field === undefined ? {} : { field }

    expect(() => versionTriggerSql(eight.contract, model, options)).toThrow(message)
  })

  test('callers of both and of pg add to one row, and none is lost', async () => {
    const id = await newProduct()
    const seven = on7()
    const change = ({ stock }: { stock?: unknown }) => ({ stock: Number(stock) + 1 })
    const byHand = async () => {
      const write = 'UPDATE "Product" SET stock = $3, version = version + 1 WHERE id = $1 AND version = $2'
      for (let isWritten = false; !isWritten; ) {
        const { stock, version } = await productOf(id)
        isWritten = (await pool.query(write, [id, version, stock + 1])).rowCount === 1
      }
    }
    const ways = [
      () => seven.product.updateVersioned({ where: { id }, data: change }),
      () => update8(products8(), id, change, 1_000),
      byHand,
    ]
    await Promise.all(Array.from({ length: 21 }, (_, index) => ways[index % 3]?.()))

    expect(await productOf(id)).toMatchObject({ stock: 21, version: 21 })
  })

  test('a plain write of 8 between the read and the write of 7 is seen, since the trigger has bumped the version', async () => {
    const id = await newProduct()
    await on7().product.updateVersioned({
      where: { id },
      data: async ({ stock }, attempt) => {
        if (attempt === 1) await products8().where({ id }).updateAll({ stock: 5 })
        return { stock: stock + 1 }
      },
    })

    expect(await productOf(id)).toMatchObject({ stock: 6, version: 2 })
  })

  test.each([
    ['updateAll, which is one statement, leaves alone', 'updateAll', 5],
    // If this fails with a later candidate, the warning of the guide may go.
    ['update, which is two, overwrites', 'update', 9],
  ] as const)('a record that was changed after it was read: %s', async (_, method, left) => {
    const id = await newProduct()
    const other = await openTransaction(database.url, 'UPDATE "Product" SET stock = 5, version = 1 WHERE id = $1', [id])
    const written = started<unknown>(products8().where({ id, version: 0 })[method]({ stock: 9, version: 1 }))
    await untilBlocked(database.url)
    await other.query('COMMIT')

    expect([(await written) ?? []].flat()).toHaveLength(method === 'update' ? 1 : 0)
    expect(await productOf(id)).toMatchObject({ stock: left })
  })

  test('inserts of 8 and of pg that skip a duplicate, and createIdempotent, have one record', async () => {
    const transactionId = randomUUID()
    const payments = on8.orm.public.Payment as Collection
    const row = { transactionId, amount: '5', currency: 'USD', version: 0 }
    const insert8 = () => payments.createAll([row], { onConflict: 'skip', conflictOn: ['transactionId'] })
    const insert7 = () => on7().payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })
    const insert = 'INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 5) ON CONFLICT DO NOTHING'
    const insertByHand = () => pool.query(insert, [transactionId])
    await Promise.all([insert8(), insert7(), insertByHand(), insert8(), insert7(), insertByHand()])

    expect([await insert8(), (await insert7()).replayed, (await insertByHand()).rowCount]).toEqual([[], true, 0])
    expect(await database.query('SELECT FROM "Payment" WHERE "transactionId" = $1', [transactionId])).toHaveLength(1)
  })

  test('a ledger, a lock and a key are the same for 7 and for the pool that 8 is on', async () => {
    const seven = on7().$extends(stock(PALLET))
    const beside = (await onPool(pool)).$extends(stockOnPool<string, number>(PALLET))
    const code = randomUUID()
    await database.query('INSERT INTO "Pallet" (code, "onHand") VALUES ($1, 10)', [code])
    const both = [seven, beside] as const
    const move = (transactionId: string) =>
      both.map((db) => db.$stock.move({ transactionId, item: code, quantity: -1 }))
    const moves = await Promise.all(['a', 'b', 'c'].flatMap((id) => move(`${code} ${id}`)))
    const key = randomUUID()
    const ran: string[] = []
    const once = async (name: string) => String(ran.push(name))
    const results = await Promise.all([
      seven.$idempotent({ key, scope: 'both' }, () => once('seven')),
      beside.$idempotent({ key, scope: 'both' }, () => once('beside')),
    ])
    const steps: string[] = []
    const id = await newProduct()
    // 8 writes on the same pool meanwhile, in the section of whoever has the lock.
    const section = async () => {
      steps.push('taken')
      const current = await productOf(id)
      await products8()
        .where({ id, version: current.version })
        .updateAll({ stock: current.stock + 1, version: current.version + 1 })
      steps.push('left')
    }
    await Promise.all([
      seven.$withAdvisoryLock(['both', code], section),
      beside.$withAdvisoryLock(['both', code], section),
    ])

    expect(moves.filter(({ replayed }) => replayed)).toHaveLength(3)
    expect(await database.query('SELECT "onHand" FROM "Pallet" WHERE code = $1', [code])).toEqual([{ onHand: 7 }])
    expect([ran.length, new Set(results.map(({ result }) => result)).size]).toEqual([1, 1])
    expect(steps).toEqual(['taken', 'left', 'taken', 'left'])
    expect(await productOf(id)).toMatchObject({ stock: 2, version: 2 })
  })
})
