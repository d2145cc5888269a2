import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, inject, test } from 'vitest'
import { withInsertions } from '../../src/cli/init/edit.js'
import { FEATURES } from '../../src/cli/init/features.js'
import { planOf, type Wanted } from '../../src/cli/init/plan.js'
import { writeAll } from '../../src/cli/init/write.js'
import { modelsOf } from '../../src/cli/prisma-schema.js'
import { inboxSchema } from '../../src/inbox/schema.js'
import { jobSchema } from '../../src/jobs/schema.js'
import { leaseSchema } from '../../src/leases/schema.js'
import { outboxSchema } from '../../src/outbox/schema.js'
import { serialsSchema } from '../../src/serials/schema.js'
import { seriesSchema } from '../../src/series/schema.js'
import { stockSchema } from '../../src/stock/schema.js'
import { useDatabase } from '../support/clients.js'
import { appFolder, examplesOf, hasTerminal, runCommand, runOnTerminal } from '../support/command.js'
import { createDatabase } from '../support/database.js'
import { tablesOf } from '../support/schema-engine.js'

const database = useDatabase()
const DATASOURCE = 'datasource db {\n  provider = "postgresql"\n}\n'
const SHOP = `${DATASOURCE}
// Our products.
model Product {
  id    Int     @id @default(autoincrement())
  name  String // as printed
  price Decimal @db.Decimal(12, 2)

  @@map("products")
}

model Prompt {
  id        Int    @id
  version   String
  createdBy String @map("created_by")
}
`

const planFor = (text: string, wanted: Partial<Wanted>) =>
  planOf({ files: [['schema.prisma', text]] }, { models: [], features: [], triggers: false, ...wanted })

const feature = (name: string) => FEATURES.filter((each) => each.name === name)

const statementsOf = (sql: string) =>
  sql
    .split(/\n(?=-- )/)
    .map((statement) => statement.trim())
    .filter((statement) => !statement.startsWith('-- CreateSchema'))
    .sort()

describe('init adds', () => {
  test('a version column behind the last field, in line with it, and nothing else', async () => {
    const { files } = await planFor(SHOP, { models: ['Product'] })

    expect(files[0]?.after).toBe(
      SHOP.replace('@db.Decimal(12, 2)\n', '@db.Decimal(12, 2)\n  version Int @default(0)\n').replace(
        'version Int @default',
        'version Int   @default',
      ),
    )
  })

  test('a version column behind a last field with a comment of several lines', async () => {
    const attribute = '@db.Decimal(12, 2) /* a\n  comment */'
    const text = SHOP.replace('@db.Decimal(12, 2)', attribute)

    const { files } = await planFor(text, { models: ['Product'] })

    expect(files[0]?.after).toBe(text.replace(attribute, `${attribute}\n  version Int   @default(0)`))
  })

  test('rowVersion to a model that has another version, named in the database as its other columns are', async () => {
    const { files, versions } = await planFor(SHOP, { models: ['Prompt'] })

    expect(files[0]?.after).toContain(
      '  createdBy String @map("created_by")\n  rowVersion Int   @default(0) @map("row_version")\n}',
    )
    expect([...versions]).toEqual([['Prompt', 'rowVersion']])
  })

  test.each([
    ['ends of lines of Windows', SHOP.replaceAll('\n', '\r\n')],
    ['no end of the last line', SHOP.trimEnd()],
    ['tabs', SHOP.replaceAll('\n  ', '\n\t')],
    ['comments that look like fields', SHOP.replaceAll('\n\n  @@map', '\n  // last Int }\n  /// last Int\n\n  @@map')],
  ])('to a file with %s what fits it, and every other byte stays', async (_, text) => {
    const { files } = await planFor(text, { models: ['Product', 'Prompt'], features: FEATURES })

    const [{ before = '', after, insertions } = { before: '', after: '', insertions: [] }] = files
    expect(before).toBe(text)
    expect(after).toBe(withInsertions(text, insertions))
    const added = insertions.map((insertion) => insertion.text).join('')
    expect(added.includes('\r\n')).toBe(text.includes('\r\n'))
    expect(added.replaceAll('\r\n', '').includes('\n')).toBe(!text.includes('\r\n'))
  })

  const CORPUS = [
    'business-versions',
    'named-arguments',
    'odd-names',
    'relations',
    'schemas',
    'single-keys',
    'inventory',
  ]

  test.each([...CORPUS.map((name) => `test/corpus/${name}`), 'prisma/schema'])(
    'to %s.prisma what has the migration that Prisma makes of the change',
    async (path) => {
      const text = await readFile(`${path}.prisma`, 'utf8')
      const models = [...(await modelsOf({ files: [['schema.prisma', text]] })).keys()]

      const { files, migration } = await planFor(text, { models, features: FEATURES })

      const after = files[0]?.after ?? text
      expect(statementsOf(migration)).toEqual(statementsOf(await tablesOf(after, database.url, text)))
    },
  )

  test('triggers, which the database takes with the columns', async () => {
    const { migration } = await planFor(SHOP, { models: ['Product'], triggers: true })
    const empty = await createDatabase(inject('serverUrl'), 'template1')
    try {
      await empty.query(await tablesOf(SHOP, database.url))
      await empty.query(`INSERT INTO products (name, price) VALUES ('Chai', 1)`)
      await empty.query(migration)
      await empty.query('UPDATE products SET price = 2')

      expect(await empty.query('SELECT version FROM products')).toEqual([{ version: 1 }])
    } finally {
      await empty.drop()
    }
  })
})

describe('init refuses', () => {
  test.each([
    [
      'a model that is not there',
      SHOP,
      { models: ['Produkt'] },
      /^the schema has no model Produkt; it has Product, Prompt$/,
    ],
    [
      'a model with two other versions',
      SHOP.replace('version   String', 'version   String\n  rowVersion String'),
      { models: ['Prompt'] },
      /^Prompt has fields version and rowVersion that are no version columns/,
    ],
    [
      'another database',
      SHOP.replace('postgresql', 'mysql').replace('@db.Decimal(12, 2)', ''),
      { models: ['Product'] },
      /^the datasource is mysql: this package is for PostgreSQL$/,
    ],
    [
      'a schema that is wrong',
      `${SHOP}model X {\n}\n`,
      { models: ['Product'] },
      /Each model must have at least one unique criteria/,
    ],
    [
      'another model of a name that it needs',
      `${SHOP}model Series {\n  id Int @id\n}\n`,
      { features: feature('series') },
      /^the schema has Series already, which --series would add: counter\.name: .*[\s\S]*names of your own/,
    ],
  ])('%s', async (_, text, wanted, message) => {
    await expect(planFor(text, wanted)).rejects.toThrow(message)
  })
})

const FLAGS = ['--models', 'Product,Prompt', '--stock', '--idempotency']

/** Every file of a folder, but the packages, with its text. */
function filesIn(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => !name.startsWith('node_modules'))
  const files = names.filter((name) => statSync(join(folder, name)).isFile())
  return Object.fromEntries(
    files.sort().map((name) => [name.replace(/\d{14}/, 'TIME'), readFileSync(join(folder, name), 'utf8')]),
  )
}

describe('the command init', () => {
  test('writes the schema and the migration, and prints the lines of the client', async () => {
    const cwd = await appFolder({ 'prisma/schema.prisma': SHOP })

    const { code, stdout, stderr } = await runCommand(['init', ...FLAGS], { cwd })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const files = filesIn(cwd)
    expect(Object.keys(files)).toEqual([
      'prisma/migrations/TIME_concurrency/migration.sql',
      'prisma/migrations/migration_lock.toml',
      'prisma/schema.prisma',
    ])
    expect(statementsOf(files['prisma/migrations/TIME_concurrency/migration.sql'] ?? '')).toEqual(
      statementsOf(await tablesOf(files['prisma/schema.prisma'] ?? '', database.url, SHOP)),
    )
    expect(stdout).toContain(`export const db = new PrismaClient({ adapter })
  .$extends(concurrency({ version: { models: { Prompt: { field: 'rowVersion' } } } }))
  .$extends(stock({`)
  })

  test('with --scope adds models that keep companies apart, and prints the lines of the client with it', async () => {
    const cwd = await appFolder({ 'prisma/schema.prisma': SHOP })
    const flags = ['--stock', '--serials', '--series', '--scope', 'companyId']

    const { code, stdout, stderr } = await runCommand(['init', ...flags], { cwd })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const files = filesIn(cwd)
    expect(statementsOf(files['prisma/migrations/TIME_concurrency/migration.sql'] ?? '')).toEqual(
      statementsOf(await tablesOf(files['prisma/schema.prisma'] ?? '', database.url, SHOP)),
    )
    expect(files['prisma/schema.prisma']).toContain('@@id([companyId, productId, warehouse])')
    const lines = `  .$extends(stock({
      scope: ['companyId'],
      item: { model: 'Stock', key: ['productId', 'warehouse'] },
      movement: { model: 'StockMovement' },
      reservation: { model: 'StockReservation' },
    }))
  .$extends(serials({ scope: ['companyId'] }))
  .$extends(series({ scope: ['companyId'], series: { invoice: { format: 'INV-{yyyy}-{000000}' } } }))`
    expect(stdout).toContain(lines)
    expect((await runCommand(['init', ...flags], { cwd })).stdout).toMatch(/^Nothing is missing/)
  })

  test('with --with adds more of stock, serials and series, and prints the lines of the client with it', async () => {
    const cwd = await appFolder({ 'prisma/schema.prisma': SHOP })
    const parts = 'lots,history,maximum,orders,refusals,periods,serial-history,serial-state,voids,parallel'
    const flags = ['--stock', '--serials', '--series', '--with', parts]

    const { code, stdout, stderr } = await runCommand(['init', ...flags], { cwd })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const files = filesIn(cwd)
    expect(files['prisma/schema.prisma']).toContain(
      stockSchema({ lots: true, history: true, maximum: true, orders: true, refusals: true, periods: true }),
    )
    expect(files['prisma/schema.prisma']).toContain(serialsSchema({ history: true, state: true }))
    expect(files['prisma/schema.prisma']).toContain(seriesSchema({ parallel: true, void: true }))
    expect(statementsOf(files['prisma/migrations/TIME_concurrency/migration.sql'] ?? '')).toEqual(
      statementsOf(await tablesOf(files['prisma/schema.prisma'] ?? '', database.url, SHOP)),
    )
    expect(stdout).toContain(`  .$extends(stock({
      item: { model: 'Stock', key: ['productId', 'warehouse', 'lot'], opening: 'opening' },
      movement: { model: 'StockMovement', refused: 'refused' },
      reservation: { model: 'StockReservation' },
      rememberRefusals: true,
    }))
  .$extends(serials({ serial: { state: { free: 'FREE', allocated: 'ALLOCATED' } }, history: {} }))
  .$extends(series({ series: { invoice: { format: 'INV-{yyyy}-{000000}', parallel: true } }, void: {} }))`)
    expect((await runCommand(['init', ...flags], { cwd })).stdout).toMatch(/^Nothing is missing/)
    expect(await runCommand(['init', '--stock', '--with', 'lot'], { cwd })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(
        '--with lot is none of lots, history, maximum, orders, refusals, periods, slots, serial-',
      ),
    })
    expect(await runCommand(['init', '--stock', '--with', 'voids'], { cwd })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--with voids is of series: give --series as well'),
    })
  })

  test('with --with slots adds stock whose items have several rows, and prints the lines of the client with it', async () => {
    const cwd = await appFolder({ 'prisma/schema.prisma': SHOP })
    const flags = ['--stock', '--scope', 'companyId', '--with', 'slots,history']

    const { code, stdout, stderr } = await runCommand(['init', ...flags], { cwd })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const files = filesIn(cwd)
    expect(files['prisma/schema.prisma']).toBe(
      `${SHOP}\n${stockSchema({ scope: ['companyId'], slots: true, history: true })}`,
    )
    expect(statementsOf(files['prisma/migrations/TIME_concurrency/migration.sql'] ?? '')).toEqual(
      statementsOf(await tablesOf(files['prisma/schema.prisma'] ?? '', database.url, SHOP)),
    )
    expect(stdout).toContain(`  .$extends(stock({
      scope: ['companyId'],
      item: { model: 'Stock', key: ['productId', 'warehouse'], slots: 'slot' },
      movement: { model: 'StockMovement' },
    }))`)
    expect((await runCommand(['init', ...flags], { cwd })).stdout).toMatch(/^Nothing is missing/)
    expect(await runCommand(['init', '--stock', '--with', 'slots,maximum'], { cwd })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(
        '--with slots does not go with maximum: keep items with slots in models of their own',
      ),
    })
  })

  test('with --with adds what work outside the database needs, and what that builds on', async () => {
    const cwd = await appFolder({ 'prisma/schema.prisma': SHOP })
    const flags = ['--with', 'inbox,outbox,jobs']

    const { code, stdout, stderr } = await runCommand(['init', ...flags], { cwd })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const files = filesIn(cwd)
    const models = [leaseSchema(), jobSchema(), outboxSchema(), inboxSchema()].join('\n')
    expect(files['prisma/schema.prisma']).toBe(`${SHOP}\n${models}`)
    expect(statementsOf(files['prisma/migrations/TIME_concurrency/migration.sql'] ?? '')).toEqual(
      statementsOf(await tablesOf(files['prisma/schema.prisma'] ?? '', database.url, SHOP)),
    )
    expect(stdout).toContain(`import { concurrency } from 'prisma-extension-concurrency'
import { inbox, jobs, leases, outbox } from 'prisma-extension-concurrency/work'

export const db = new PrismaClient({ adapter })
  .$extends(concurrency())
  .$extends(leases())
  .$extends(jobs())
  .$extends(outbox())
  .$extends(inbox())
`)
    expect((await runCommand(['init', ...flags], { cwd })).stdout).toMatch(/^Nothing is missing/)
  })

  test('prints what the page on the commands shows', async () => {
    const cwd = await appFolder({ 'prisma/schema.prisma': SHOP, 'prisma/migrations/migration_lock.toml': '' })

    const { stdout } = await runCommand(['init', '--models', 'Product'], { cwd })

    expect([stdout.replace(/\d{14}/, '20260101000000')]).toEqual(await examplesOf('init'))
  })

  test('changes nothing when it is called again, and prints the same lines of the client', async () => {
    const cwd = await appFolder({ 'prisma/schema.prisma': SHOP })
    const first = await runCommand(['init', ...FLAGS], { cwd })
    const before = filesIn(cwd)

    const { code, stdout } = await runCommand(['init', ...FLAGS], { cwd })

    const lines = (text: string) => text.slice(text.indexOf('Your client:')).split('\n\nNext:')[0]?.trim()
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Nothing is missing in the schema\.\n/)
    expect(lines(stdout)).toBe(lines(first.stdout))
    expect(filesIn(cwd)).toEqual(before)
  })

  test('with --dry-run prints what it would write, and writes nothing', async () => {
    const cwd = await appFolder({ 'prisma/schema.prisma': SHOP })

    const { code, stdout } = await runCommand(['init', '--models', 'Product', '--dry-run'], { cwd })

    expect(code).toBe(0)
    expect(stdout).toMatch(/^prisma\/schema\.prisma\n {2}behind line 9:\n {2}\+ {3}version Int {3}@default\(0\)\n/)
    expect(stdout).toContain('ALTER TABLE "products" ADD COLUMN     "version" INTEGER NOT NULL DEFAULT 0;')
    expect(filesIn(cwd)).toEqual({ 'prisma/schema.prisma': SHOP })
  })

  test('puts the models into a file of their own beside the files of a folder', async () => {
    const [datasource = '', ...models] = SHOP.split(/(?=\/\/ Our)/)
    const cwd = await appFolder({
      'prisma/schema/base.prisma': datasource,
      'prisma/schema/shop.prisma': models.join(''),
    })

    const { code, stderr } = await runCommand(['init', '--models', 'Product', '--serials', '--no-migration'], { cwd })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const files = filesIn(cwd)
    expect(Object.keys(files)).toEqual(['base', 'concurrency', 'shop'].map((name) => `prisma/schema/${name}.prisma`))
    expect(files['prisma/schema/base.prisma']).toBe(datasource)
    expect(files['prisma/schema/concurrency.prisma']).toMatch(
      /^\/\/\/ The serial numbers[\s\S]*model SerialAllocation \{/,
    )
    expect((await runCommand(['init', '--models', 'Product', '--serials'], { cwd })).stdout).toMatch(
      /^Nothing is missing/,
    )
  })

  test('finds the schema that package.json names, and the migrations beside it, behind which the new one comes', async () => {
    const cwd = await appFolder({
      'package.json': '{ "prisma": { "schema": "db/main.prisma" } }',
      'db/main.prisma': SHOP,
      'db/migrations/29991231235959_late/migration.sql': '',
      'db/migrations/migration_lock.toml': '',
    })

    const { code } = await runCommand(['init', '--models', 'Product', '--name', 'versions'], { cwd })

    expect(code).toBe(0)
    expect(readdirSync(join(cwd, 'db/migrations')).sort()).toEqual([
      '29991231235959_late',
      '29991231235960_versions',
      'migration_lock.toml',
    ])
  })

  test('finds the schema and the migrations that prisma.config names', async () => {
    const cwd = await appFolder({
      'prisma.config.mjs': `export default { schema: 'data/schema.prisma', migrations: { path: 'data/changes' } }`,
      'data/schema.prisma': SHOP,
    })

    const { code, stderr } = await runCommand(['init', '--models', 'Product'], { cwd })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(Object.keys(filesIn(cwd))).toContain('data/changes/TIME_concurrency/migration.sql')
  })

  test('names a schema of the database where the models have to', async () => {
    const text = SHOP.replace('"postgresql"', '"postgresql"\n  schemas = ["shop", "public"]').replaceAll(
      /^ {2}(@@map.*|createdBy.*)$/gm,
      '  $1\n\n  @@schema("shop")',
    )
    const cwd = await appFolder({ 'schema.prisma': text })

    const { code, stderr } = await runCommand(['init', '--models', 'Product', '--series'], { cwd })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const after = readFileSync(join(cwd, 'schema.prisma'), 'utf8')
    expect(after).toContain('  @@id([name, period])\n  @@schema("public")\n}')
    const sql = filesIn(cwd)['migrations/TIME_concurrency/migration.sql'] ?? ''
    expect(statementsOf(sql)).toEqual(statementsOf(await tablesOf(after, database.url, text)))
  })

  test.each([
    [[], /there is no terminal to ask on: say by flags what to add: --models, --stock/],
    [['--models', 'Produkt'], /the schema has no model Produkt/],
    [['--stock', '--scope', 'company id'], /--scope company id is no name of a field/],
    [['--models', 'Product', '--name', '../x'], /\.\.\/x is no name of a migration/],
    [['--schema', 'nowhere.prisma', '--stock'], /there is no Prisma schema at /],
    [['--stok'], /unknown option '--stok'/],
  ])('called with %j ends with 2 and a message, and writes nothing', async (args, message) => {
    const cwd = await appFolder({ 'prisma/schema.prisma': SHOP })

    const { code, stdout, stderr } = await runCommand(['init', ...args], { cwd })

    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
    expect(filesIn(cwd)).toEqual({ 'prisma/schema.prisma': SHOP })
  })

  test('says so where there is no schema', async () => {
    const { code, stderr } = await runCommand(['init', '--stock'], { cwd: await appFolder({}) })

    expect(code).toBe(2)
    expect(stderr).toContain('there is no Prisma schema here: give --schema')
  })

  test('writes nothing at all if one of the files cannot be written', async () => {
    const cwd = await appFolder({ 'prisma/schema.prisma': SHOP, 'prisma/migrations': 'a file' })

    const { code, stderr } = await runCommand(['init', ...FLAGS], { cwd })

    expect(code).toBe(2)
    expect(stderr).toMatch(/ENOTDIR/)
    expect(filesIn(cwd)).toEqual({ 'prisma/schema.prisma': SHOP, 'prisma/migrations': 'a file' })
  })
})

describe.runIf(hasTerminal)('on a terminal init', () => {
  test('asks for the models and the features, and writes once it is told to', async () => {
    const cwd = await appFolder({ 'schema.prisma': SHOP })

    const { code, text } = await runOnTerminal(
      ['init'],
      [
        ['Which models', ' \r'],
        ['What else', '\u001b[B \r'],
        ['raw SQL', '\r'],
        ['Write this?', 'y'],
      ],
      { cwd },
    )

    expect(text).toContain('Written:')
    expect(code).toBe(0)
    const after = readFileSync(join(cwd, 'schema.prisma'), 'utf8')
    expect(after).toMatch(/price Decimal @db\.Decimal\(12, 2\)\n {2}version Int/)
    expect(after).toMatch(/model SerialAllocation \{/)
    expect(after).not.toMatch(/rowVersion|model Stock /)
  })

  test.each([
    ['a no', [['Write this?', 'n']], 1, 'Nothing was written.'],
    ['Ctrl-C', [['Write this?', '\u0003']], 1, 'Nothing was written.'],
  ] as const)('writes nothing after %s', async (_, answers, exit, message) => {
    const cwd = await appFolder({ 'schema.prisma': SHOP })

    const { code, text } = await runOnTerminal(['init', '--stock'], answers, { cwd })

    expect({ code, files: filesIn(cwd) }).toEqual({ code: exit, files: { 'schema.prisma': SHOP } })
    expect(text).toContain(message)
  })

  test('asks nothing with flags and --yes', async () => {
    const cwd = await appFolder({ 'schema.prisma': SHOP })

    const { code, text } = await runOnTerminal(['init', '--models', 'Product', '--yes'], [], { cwd })

    expect(code).toBe(0)
    expect(text).toMatch(/^Written:/)
  })
})

describe('files are written all or none', () => {
  test('a file that was changed since it was read keeps all of them from being written', async () => {
    const cwd = await appFolder({ a: 'one', b: 'two' })

    const write = () =>
      writeAll([
        { path: join(cwd, 'a'), before: 'one', after: 'new' },
        { path: join(cwd, 'b'), before: 'other', after: 'new' },
      ])

    expect(write).toThrow(/b was changed meanwhile, or is no UTF-8: nothing was written$/)
    expect(filesIn(cwd)).toEqual({ a: 'one', b: 'two' })
  })

  test('what was in its place already is put back if a later one fails', async () => {
    const cwd = await appFolder({ a: 'one', 'c/d': 'a folder' })

    const write = () =>
      writeAll([
        { path: join(cwd, 'a'), before: 'one', after: 'new' },
        { path: join(cwd, 'new/b'), before: undefined, after: 'new' },
        { path: join(cwd, 'e'), before: undefined, after: 'new' },
        { path: join(cwd, 'a/f'), before: undefined, after: 'new' },
      ])

    expect(write).toThrow(/^nothing was written: /)
    expect(filesIn(cwd)).toEqual({ a: 'one', 'c/d': 'a folder' })
    expect(readdirSync(cwd)).not.toContain('new')
  })

  test('a file that is in its place already is put back, with its mode, if another one cannot take its own', async () => {
    const cwd = await appFolder({ a: 'one' })
    chmodSync(join(cwd, 'a'), 0o640)

    // The folder that the last one makes is in the way of the one before it.
    const write = () =>
      writeAll([
        { path: join(cwd, 'a'), before: 'one', after: 'new' },
        { path: join(cwd, 'b'), before: undefined, after: 'new' },
        { path: join(cwd, 'b/c'), before: undefined, after: 'new' },
      ])

    expect(write).toThrow(/^nothing was written: .*rename/)
    expect(filesIn(cwd)).toEqual({ a: 'one' })
    expect(readdirSync(cwd).sort()).toEqual(['a', 'node_modules'])
    expect(statSync(join(cwd, 'a')).mode & 0o777).toBe(0o640)
  })
})
