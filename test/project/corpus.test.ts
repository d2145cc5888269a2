import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { serials, series, stock } from '../../src/erp.js'
import { concurrency } from '../../src/index.js'
import { CORPUS, type CorpusCase, ERP_LAYERS, type Values, writeCorpusSchema } from '../support/corpus.js'
import { createDatabase, type Database } from '../support/database.js'
import { rejectionOf } from '../support/rejection.js'
import { run } from '../support/run.js'
import { tablesOf } from '../support/schema-engine.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

// biome-ignore lint/suspicious/noExplicitAny: clients of schemas that are generated only when the test runs
type AnyClient = any

const MADE_NEW = /^(?:[0-9a-f]{8}-[0-9a-f-]{27}|c[0-9a-z]{23,24}|[\w-]{21}|[0-9A-HJKMNP-TV-Z]{26})$/
const MOMENT = /^\d{4}-\d\d-\d\dT|^\d\d:\d\d:\d\d/

/** A column's value, or its form where it is another one in every row: an id that was made, a moment of now. */
function formOf(value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (MADE_NEW.test(value)) return `made, of ${value.length}`
  const isNow = MOMENT.test(value) && !value.startsWith('2020-02-29')
  return isNow ? 'a moment' : value
}

const flat = (where: Values): Values =>
  Object.fromEntries(
    Object.entries(where).flatMap(([name, value]) =>
      typeof value === 'object' && value !== null ? Object.entries(value) : [[name, value]],
    ),
  )

describe.each(Object.keys(CORPUS))('the schema %s', (name) => {
  let database: Database
  let folder: string
  let client: AnyClient
  let db: AnyClient

  beforeAll(async () => {
    folder = await mkdtemp(join(ROOT, 'generated/corpus-'))
    const schema = await writeCorpusSchema(name, join(folder, 'schema.prisma'))
    await run(process.execPath, ['scripts/generate.mjs', '--schema', join(folder, 'schema.prisma')], ROOT)
    database = await createDatabase(inject('serverUrl'), 'template1')
    await database.query(await tablesOf(schema, database.url))
    for (const [, view] of schema.matchAll(/^\/\/\/ (CREATE VIEW .*)$/gm)) await database.query(view as string)
    const { PrismaClient } = await import(join(folder, 'client/client.ts'))
    client = new PrismaClient({ adapter: new PrismaPg({ connectionString: database.url }) })
    db = client.$extends(concurrency())
  })
  afterAll(async () => {
    await client?.$disconnect()
    await database?.drop()
    await rm(folder, { recursive: true, force: true })
  })

  test.each(CORPUS[name] as readonly CorpusCase[])(
    'has rows of $table that two inserts in one tick make as Prisma does, and that versions guard',
    async ({ model, table, where, data = () => ({}), change }) => {
      const rows = async (n: number) => {
        const found = await database.query(`SELECT to_jsonb(t) AS row FROM ${table} AS t`)
        expect(found.length).toBeGreaterThanOrEqual(n)
        return found.map(({ row }) => row as Values)
      }
      const known = new Set((await rows(0)).map((row) => JSON.stringify(row)))
      await client[model].create({ data: { ...flat(where(1)), ...data(1) } })
      const made = await Promise.all([2, 3].map((n) => db[model].createIdempotent({ where: where(n), data: data(n) })))
      const own = (await rows(3)).filter((row) => !known.has(JSON.stringify(row)))
      const given = new Set([...Object.values(flat(where(1))), ...Object.values(data(1))].map(String))
      const forms = own.map((row) =>
        Object.entries(row).map(([column, value]) => [
          column,
          given.has(String(own[0]?.[column])) ? 'given' : formOf(value),
        ]),
      )
      const numbered = forms.map((form) => form.map(([column, value]) => [column, column === 'id' ? 'an id' : value]))
      expect(numbered.slice(1)).toEqual([numbered[0], numbered[0]])
      expect(made).toMatchObject([{ replayed: false }, { replayed: false }])

      const call = (version: unknown) =>
        db[model].updateVersioned({ where: { ...where(2), version }, data: change ?? {} })
      if (change === undefined) {
        const named = 'version' in where(2) ? db[model].updateVersioned({ where: where(2), data: {} }) : call(2)
        return expect(await rejectionOf(named)).toMatchObject({ code: 'CONFIGURATION' })
      }
      const version = (await client[model].findUniqueOrThrow({ where: where(3) })).version
      const again = await Promise.all(
        [1, 2].map(() => db[model].updateVersioned({ where: where(3), data: () => ({}) })),
      )
      expect(again.map((record: Values) => Number(record.version))).toEqual([Number(version) + 1, Number(version) + 2])
      await call(version)
      if (Object.keys(where(2)).every((key) => change?.[key] === undefined)) {
        expect(await rejectionOf(call(version))).toMatchObject({ code: 'VERSION_CONFLICT' })
      }
    },
  )

  test('has a database in which the checks find nothing', async () => {
    expect(await db.$checkConcurrency()).toEqual([])
  })

  const layers = ERP_LAYERS[name as keyof typeof ERP_LAYERS]
  if (layers === undefined) return
  test('has a ledger, serials and numbers in models of its own names', async () => {
    const erp = db
      .$extends(stock(layers.stock))
      .$extends(serials(layers.serials as never))
      .$extends(series(layers.series))
    const item = { warehouse: 'main', code: 'moved' }
    await client.article.create({ data: item })
    expect(await erp.$checkConcurrency()).toEqual([])
    await erp.$stock.move({ transactionId: 'in', item, quantity: '7.5' })
    await erp.$stock.reserve({ transactionId: 'order', lines: [{ item, quantity: 2 }], expiresIn: 60_000 })
    await erp.$serials.import({ transactionId: 'new', numbers: ['x1', 'x2'], data: { maker: 'ours', state: 'CLOSED' } })
    await erp.$serials.allocate({ transactionId: 'order', where: { maker: 'ours', state: 'CLOSED' }, count: 1 })
    const number = await erp.$transaction((tx: AnyClient) =>
      tx.$series.next('invoice', { transactionId: 'order', at: new Date('2026-05-01') }),
    )

    const article = await client.article.findUnique({ where: { place: item } })
    const held = await client.device.findMany({ where: { holder: 'order' }, select: { number: true, version: true } })

    expect([article, held, number.text, await erp.$stock.audit()]).toMatchObject([
      { hand: { d: [7, 5_000_000] }, held: { d: [2] }, version: 2n },
      [{ number: 'x1', version: 1 }],
      'I-2026-0001',
      [],
    ])
  })
})
