import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { concurrency } from '../src/index.js'
import { createDatabase, type Database } from './support/database.js'
import { rejectionOf } from './support/rejection.js'
import { run } from './support/run.js'
import { tablesOf } from './support/schema-engine.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

type Values = Record<string, unknown>
// biome-ignore lint/suspicious/noExplicitAny: clients of schemas that are generated only when the test runs
type AnyClient = any

interface Case {
  readonly model: string
  readonly table: string
  /** The unique `where` of the row `n`, and what else it needs. */
  readonly where: (n: number) => Values
  readonly data?: (n: number) => Values
  /** What a versioned write changes; without it the model has no version column. */
  readonly change?: Values
}

const uuid = (n: number) => `00000000-0000-4000-8000-00000000000${n}`

/** The schemas, which use what public ones use, and rows of them. */
const CORPUS: Readonly<Record<string, readonly Case[]>> = {
  'named-arguments': [
    {
      model: 'account',
      table: '"account of { a } tenant"',
      where: (number) => ({ key: { tenant: 't', number } }),
      data: (n) => ({ email: `e${n}` }),
      change: { nick: 'nick' },
    },
    {
      model: 'account',
      table: '"account of { a } tenant"',
      where: (n) => ({ tenantMail: { tenant: 'u', email: `f${n}` } }),
      data: (number) => ({ number }),
      change: { fields: 4 },
    },
  ],
  'single-keys': [
    { model: 'country', table: '"Country"', where: (n) => ({ code: `A${n}` }), data: (n) => ({ name: `n${n}` }) },
    { model: 'setting', table: '"Setting"', where: (n) => ({ name: `s${n}` }), change: { value: 1 } },
    { model: 'cell', table: '"Cell"', where: (n) => ({ row_column: { row: n, column: 1 } }), change: { text: 'x' } },
    { model: 'cell', table: '"Cell"', where: (n) => ({ turned: { column: n, row: 9 } }), change: { text: 'x' } },
  ],
  'business-versions': [
    {
      model: 'prompt',
      table: '"Prompt"',
      where: (version) => ({ name_version: { name: 'p', version } }),
      data: () => ({ text: 'x' }),
    },
    { model: 'api', table: '"Api"', where: (version) => ({ version }), data: () => ({ path: '/' }) },
    { model: 'flow', table: '"Flow"', where: (n) => ({ id: `f${n}` }), data: (version) => ({ version }) },
    {
      model: 'template',
      table: '"Template"',
      where: (version) => ({ nameAndVersion: { name: 't', version } }),
    },
    { model: 'page', table: '"Page"', where: (n) => ({ slug: `s${n}` }), change: { slug: 'changed' } },
  ],
  schemas: [
    {
      model: 'person',
      table: '"odd schema"."person (p)"',
      where: (n) => ({ id: n + 100 }),
      change: { mood: 'ANGRY' },
    },
    { model: 'order', table: 'crm."Order"', where: (n) => ({ number: `n${n}` }), change: { personId: null } },
  ],
  views: [
    {
      model: 'item',
      table: '"Item"',
      where: (n) => ({ id: n + 100 }),
      data: (n) => ({ sku: `s${n}` }),
      change: { sku: 'x' },
    },
  ],
  unsupported: [{ model: 'place', table: '"Place"', where: (n) => ({ code: `c${n}` }), change: { total: 1 } }],
  scalars: [
    { model: 'scalars', table: '"Scalars"', where: (n) => ({ key: uuid(n) }), change: { int: 3 } },
    { model: 'lists', table: '"Lists"', where: (n) => ({ id: `l${n}` }), change: { ints: [3] } },
    { model: 'native', table: '"Native"', where: (n) => ({ key: `k${n}` }), change: { small: 3 } },
  ],
  'plain-natives': [{ model: 'sale', table: '"Sale"', where: (n) => ({ key: `k${n}` }), change: { count: 9 } }],
  'relation-mode': [{ model: 'parent', table: '"Parent"', where: (n) => ({ code: `c${n}` }), change: { code: 'x' } }],
  relations: [
    { model: 'person', table: '"Person"', where: (n) => ({ name: `p${n}` }), change: { bossId: null } },
    { model: 'tag', table: '"Tag"', where: (n) => ({ name: `t${n}` }), change: { name: 'x' } },
    { model: 'room', table: '"Room"', where: (number) => ({ house_number: { house: 1, number } }), change: {} },
    {
      model: 'seat',
      table: '"Seat"',
      where: (n) => ({ house_number_seat: { house: 1, number: n, seat: 1 } }),
      change: { personId: null },
    },
  ],
  'odd-names': [
    { model: 'model', table: 'model', where: (n) => ({ enum: `e${n}` }), change: { view: 3 } },
    { model: 'type1', table: '"Type1"', where: (a1) => ({ a1_b2: { a1, b2: 1 } }), change: {} },
  ],
  windows: [{ model: 'windows', table: '"Windows"', where: (n) => ({ key: `k${n}` }), change: { ref: 'x' } }],
}

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
    const schema = await readFile(join(ROOT, `test/corpus/${name}.prisma`), 'utf8')
    folder = await mkdtemp(join(ROOT, 'generated/corpus-'))
    const generator =
      'generator client {\n  provider = "prisma-client"\n  output = "./client"\n  generatedFileExtension = "ts"\n  importFileExtension = "js"\n  previewFeatures = ["views", "partialIndexes"]\n}\n'
    await writeFile(join(folder, 'schema.prisma'), `${schema}\n${generator}`)
    await run(process.execPath, ['scripts/generate.mjs', '--schema', join(folder, 'schema.prisma')], ROOT)
    database = await createDatabase(inject('serverUrl'), 'template1')
    await database.query(await tablesOf(`${schema}\n${generator}`, database.url))
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

  test.each(CORPUS[name] as readonly Case[])(
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
      if (change === undefined && model !== 'country') {
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
})
