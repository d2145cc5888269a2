import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export type Values = Record<string, unknown>
export interface CorpusCase {
  readonly model: string
  readonly table: string
  /** The unique `where` of the row `n`, and its other data. */
  readonly where: (n: number) => Values
  readonly data?: (n: number) => Values
  /** The change of a versioned write; without it the model has no version column. */
  readonly change?: Values
  /** Whether the version column is a BigInt. */
  readonly isBig?: boolean
}

const uuid = (n: number) => `00000000-0000-4000-8000-00000000000${n}`

/** The schemas of test/corpus, which use what public ones use, and rows of them. */
export const CORPUS: Readonly<Record<string, readonly CorpusCase[]>> = {
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
    {
      model: 'country',
      table: '"Country"',
      where: (n) => ({ code: `A${n}` }),
      data: (n) => ({ name: `n${n}` }),
      change: { name: 'x' },
      isBig: true,
    },
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
    { model: 'approval', table: '"Approval"', where: (n) => ({ id: `a${n}` }) },
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
    { model: 'native', table: '"Native"', where: (n) => ({ key: `k${n}` }), change: { small: 3 }, isBig: true },
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
  inventory: [
    {
      model: 'article',
      table: '"goods in"."articles { in }"',
      where: (n) => ({ place: { warehouse: 'main', code: `c${n}` } }),
      change: { state: 'CLOSED' },
      isBig: true,
    },
    { model: 'device', table: 'device', where: (n) => ({ number: `d${n}` }), change: { maker: 'other' } },
  ],
  windows: [{ model: 'windows', table: '"Windows"', where: (n) => ({ key: `k${n}` }), change: { ref: 'x' } }],
}

/** The options of the ERP's layers, for a schema that has models for them. */
export const ERP_LAYERS = {
  inventory: {
    stock: {
      item: { model: 'Article', key: ['warehouse', 'code'], onHand: 'hand', reserved: 'held' },
      movement: { model: 'Entry', transactionId: 'reference', line: 'position', quantity: 'change' },
      reservation: {
        model: 'Hold',
        transactionId: 'reference',
        line: 'position',
        quantity: 'amount',
        expiresAt: 'until',
      },
    },
    serials: {
      serial: { model: 'Device', transactionId: 'holder' },
      allocation: { model: 'Grant', transactionId: 'reference', request: 'asked', count: 'amount' },
    },
    series: { series: { invoice: { format: 'I-{yyyy}-{0000}' } } },
  },
} as const

const GENERATOR = `generator client {
  provider = "prisma-client"
  output = "./client"
  generatedFileExtension = "ts"
  importFileExtension = "js"
  previewFeatures = ["views", "partialIndexes"]
}
`

/** Writes a schema of the corpus, with a generator, for `scripts/generate.mjs`; gives its text. */
export async function writeCorpusSchema(name: string, file: string): Promise<string> {
  const schema = `${await readFile(join(ROOT, `test/corpus/${name}.prisma`), 'utf8')}\n${GENERATOR}`
  await writeFile(file, schema)
  return schema
}
