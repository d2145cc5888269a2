import { readFile } from 'node:fs/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import { expect, inject, test } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import {
  serials,
  serialsSchema,
  serialsSql,
  series,
  seriesSchema,
  seriesSql,
  stock,
  stockSchema,
  stockSql,
} from '../../src/erp.js'
import { concurrency, idempotencyKeySchema, idempotencyKeySql } from '../../src/index.js'
import { migrationOf } from '../../src/prisma/migration.js'
import { createDatabase } from '../support/database.js'
import { useExtended } from '../support/extended.js'
import { tablesOf } from '../support/schema-engine.js'
import { factsOfDatabase } from '../support/schema-facts.js'
import { MATERIAL } from '../support/stock-models.js'

const { database, connect } = useExtended()

const DATASOURCE = 'datasource db {\n  provider = "postgresql"\n}\n'

/** Its statements in any order, and in the words of our own for the same: an E'…', and a moment in its text. */
function statementsOf(sql: string): string[] {
  return sql
    .split(/\n(?=-- )/)
    .map((statement) => statement.trim().replaceAll("E'\\\\", "'\\").replaceAll('T12:30:00.5Z', ' 12:30:00.500 +00:00'))
    .filter((statement) => !statement.startsWith('-- CreateSchema') && !statement.includes('"_'))
    .sort()
}

const ALL = `
enum Kind {
  PLAIN
  SPECIAL @map("very special")

  @@map("kind of thing")
}

model A {
  id     Int      @id(map: "key of a") @default(autoincrement())
  small  Int      @default(5) @db.SmallInt
  serial Int      @default(autoincrement()) @db.SmallInt
  text   String   @default("it's \\"q\\"")
  kind   Kind     @default(SPECIAL)
  kinds  Kind[]   @default([PLAIN, SPECIAL])
  tags   String[] @default(["a'b", "c"])
  none   String[] @default([])
  amount Decimal  @default(2.5) @db.Decimal(12, 2)
  money  Decimal  @db.Money
  at     DateTime @default(now()) @db.Timestamptz(6)
  day    DateTime @db.Date
  json   Json     @default("{\\"a\\":\\"b'c\\"}") @db.Json
  bytes  Bytes    @default("aGVsbG8=")
  uuid   String   @default(uuid()) @db.Uuid
  made   String   @default(dbgenerated("gen_random_uuid()")) @db.Uuid
  short  String   @db.VarChar(20)
  double Float    @db.DoublePrecision
  named  String   @unique(map: "my unique") @map("the n")
  b1     Int?
  b2     Int
  b      B?       @relation(fields: [b1, b2], references: [one, two])
  up     A?       @relation("up", fields: [upId], references: [id], onDelete: Cascade, onUpdate: NoAction, map: "fk")
  upId   Int?
  down   A[]      @relation("up")

  @@unique([short, day(sort: Desc)], name: "other")
  @@index([double, at], map: "an index")
}

model B {
  one  Int
  two  Int
  long Int @map("a column whose name is so long é that an index é cannot é have it")
  as   A[]

  @@id([one, two])
  @@index([one, long])
  @@map("a table whose name is so long that its key has only some of it")
}
`

test('of every kind of column, default, key and relation the SQL is that of Prisma', async () => {
  const sql = migrationOf(DATASOURCE + ALL)

  expect(statementsOf(sql)).toEqual(statementsOf(await tablesOf(DATASOURCE + ALL, database.url)))
})

const CORPUS = ['business-versions', 'inventory', 'odd-names', 'plain-natives', 'relation-mode', 'relations']
const SCHEMAS = [...CORPUS, 'scalars', 'schemas', 'single-keys', 'windows'].map((name) => `test/corpus/${name}`)

test.each([...SCHEMAS, 'prisma/schema', 'prisma/bench/schema'])('of %s.prisma, too', async (name) => {
  const schema = await readFile(`${name}.prisma`, 'utf8')

  expect(statementsOf(migrationOf(schema))).toEqual(statementsOf(await tablesOf(schema, database.url)))
})

test.each([
  ['@@index([a], type: Hash)', 'A has an index with type that is not printed here'],
  ['@@unique([a], where: { a: 1 })', 'A has an unique with where that is not printed here'],
  ['@@index([a(ops: raw("int4_ops"))])', 'A has an index with ops that is not printed here'],
  ['b Unsupported("point")', 'A has the type Unsupported'],
  ['b Int later = syntax', 'A has a line that is not understood'],
])('a model with %s is refused, since it would be made otherwise than Prisma makes it', (line, message) => {
  const schema = `model A {\n  a Int @id\n  ${line}\n}\n`

  expect(() => migrationOf(schema)).toThrow(`${message}: print the migration with prisma migrate diff`)
})

const SERIES = {
  counter: { model: 'Series' },
  number: { model: 'SeriesNumber' },
  series: { invoice: { document: { model: 'Invoice' } } },
} as const

test('of a client the SQL makes the tables that its extensions use, under the names that they have there', async () => {
  const db = connect()
    .client.$extends(concurrency())
    .$extends(stock(MATERIAL))
    .$extends(serials())
    .$extends(series(SERIES))
  const empty = await createDatabase(inject('serverUrl'), 'template1')
  try {
    const sql = await Promise.all([stockSql(db), serialsSql(db), seriesSql(db), idempotencyKeySql(db)])
    await empty.query(sql.join('\n'))

    const { tables: made } = await factsOfDatabase(empty.query)
    const { tables: wanted } = await factsOfDatabase(database.query)
    const names = ['IdempotencyKey', 'raw material', 'raw material movement', 'Serial', 'SerialAllocation']
    expect(Object.keys(made).sort()).toEqual([...names, 'Series', 'SeriesNumber'].sort())
    expect(made).toEqual(Object.fromEntries(Object.keys(made).map((name) => [name, wanted[name]])))
  } finally {
    await empty.drop()
  }
})

const SCOPES = [[], ['companyId'], ['companyId', 'site']]
const PRINTED = SCOPES.flatMap((scope) => [
  ...[false, true].map((all) => {
    const options = { scope, lots: all, history: all, maximum: all, orders: all, refusals: all, periods: all }
    return ['stock', options, stockSchema, stockSql] as const
  }),
  ...[false, true].flatMap((history) =>
    [false, true].map((state) => ['serials', { scope, history, state }, serialsSchema, serialsSql] as const),
  ),
  ...[false, true].flatMap((parallel) =>
    [undefined, false, true].map(
      (voids) => ['series', { scope, parallel, void: voids }, seriesSchema, seriesSql] as const,
    ),
  ),
])

test.each(PRINTED)(
  'of options the SQL makes the tables of the models of %s that Prisma does: %j',
  async (...printed) => {
    const [, options, schema, sql] = printed
    const made = await sql(options as never)

    expect(statementsOf(made)).toEqual(
      statementsOf(await tablesOf(DATASOURCE + schema(options as never), database.url)),
    )
    const keys = Array.from(made.matchAll(/PRIMARY KEY \((.*)\)/g), ([, key]) => `${key},`)
    const start = options.scope.map((name) => `"${name}",`).join('')
    expect(keys).toEqual(keys.map(() => expect.stringMatching(new RegExp(`^${start}`))))
  },
)

test('of a client of another schema than public the SQL names it', async () => {
  const adapter = new PrismaPg({ connectionString: database.url }, { schema: 'shop' })
  const db = new PrismaClient({ adapter }).$extends(concurrency())

  expect(await idempotencyKeySql(db)).toContain('CREATE TABLE "shop"."IdempotencyKey" (')
})

test.each([
  ['stock', () => stockSql(connect().db)],
  ['serials', () => serialsSql(connect().db)],
  ['series', () => seriesSql(connect().db)],
  ['concurrency', () => idempotencyKeySql(connect().client)],
])('a client without %s() has none of its tables', async (name, sql) => {
  await expect(sql()).rejects.toThrow(`the client has no ${name}(), whose models the SQL is of`)
})

test.each([
  ['stock', stockSql(), stockSchema()],
  ['serials', serialsSql(), serialsSchema()],
  ['serials of other names', serialsSql('A', 'B'), serialsSchema('A', 'B')],
  ['series', seriesSql(), seriesSchema()],
  ['series of other names', seriesSql('A', 'B'), seriesSchema('A', 'B')],
  ['the keys', idempotencyKeySql(), idempotencyKeySchema()],
  ['the keys of another name', idempotencyKeySql('A'), idempotencyKeySchema('A')],
])('the SQL of the printed models of %s is the same', (_what, sql, schema) => {
  expect(sql).toBe(migrationOf(schema))
})

test('a model that is not in the schema is refused', () => {
  expect(() => migrationOf(DATASOURCE, ['Gone'])).toThrow(/^Gone is not in the schema$/)
})
