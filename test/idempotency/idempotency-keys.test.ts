import { randomBytes, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PrismaPg } from '@prisma/adapter-pg'
import { expect, onTestFinished, test } from 'vitest'
import type { PrismaClient as Client } from '../../generated/prisma/client.js'
import { concurrency, idempotencyKeySchema, idempotencyKeySql } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { generateClient } from '../support/generate-client.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()
const without = useDatabase()

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const never = async () => {
  throw new Error('The body ran.')
}
const operation = () => ({ key: randomUUID(), scope: 'test' })
const DAY = 86_400_000

/** Keys of a scope of their own, made so many days ago. */
async function addKeys(days: readonly number[]): Promise<string> {
  const scope = randomUUID()
  await database.query(
    `INSERT INTO "IdempotencyKey" (scope, key, request, answer, "createdAt")
SELECT $1, n::text, '', '', now() - make_interval(days => day)
FROM unnest($2::int[]) WITH ORDINALITY AS t (day, n)`,
    [scope, days],
  )
  return scope
}
const keysIn = async (scope: string) =>
  (await database.query('SELECT key FROM "IdempotencyKey" WHERE scope = $1 ORDER BY key::int', [scope])).map(
    ({ key }) => key,
  )

test('the printed model and SQL are those of the schema and the migration of these tests', async () => {
  const schema = await readFile(join(ROOT, 'prisma/schema.prisma'), 'utf8')
  const migration = await readFile(join(ROOT, 'prisma/migrations/20261124000001_once/migration.sql'), 'utf8')

  expect(schema).toContain(idempotencyKeySchema())
  // Prisma puts the indexes of all tables after the tables.
  for (const statement of idempotencyKeySql().trimEnd().split('\n\n-- ')) expect(migration).toContain(statement)
})

test('a model of another name is used for all that is printed with that name', async () => {
  const { PrismaClient } = await generateClient(idempotencyKeySchema('DoneOnce'))
  await database.query(idempotencyKeySql('DoneOnce'))
  onTestFinished(async () => void (await database.query('DROP TABLE "DoneOnce"')))
  const db = connectAs(PrismaClient).$extends(concurrency({ idempotency: { model: 'DoneOnce' } }))
  const call = operation()

  const first = await db.$idempotent(call, async () => 1n)
  const second = await db.$idempotent(call, never)
  const job = await db.$oncePer({ job: call.key, period: 'p' }, async () => 1)

  expect([first, second, job]).toEqual([
    { replayed: false, result: 1n },
    { replayed: true, result: 1n },
    { ran: true, result: 1 },
  ])
  expect(await database.query('SELECT scope, key FROM "DoneOnce" ORDER BY scope')).toEqual([
    { scope: `once per: ${call.key}`, key: 'p' },
    { scope: call.scope, key: call.key },
  ])
  await database.query(`UPDATE "DoneOnce" SET "createdAt" = now() - interval '1 hour'`)
  expect(await db.$pruneIdempotencyKeys({ olderThan: 1 })).toEqual({ count: 2 })
})

test('a model whose table and columns have other names in the database is used by them', async () => {
  const { PrismaClient } = await generateClient(`model IdempotencyKey {
  id        Int      @id @default(autoincrement())
  scope     String   @map("the scope")
  key       String   @map("the \\"key\\"")
  request   String   @map("order")
  answer    String?
  createdAt DateTime @default(now()) @map("created at") @db.Timestamptz(3)

  @@unique([scope, key])
  @@map("once only")
}`)
  await database.query(`CREATE TABLE "once only" (
  id serial PRIMARY KEY, "the scope" text NOT NULL, "the ""key""" text NOT NULL, "order" text NOT NULL, answer text,
  "created at" timestamptz(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, UNIQUE ("the scope", "the ""key"""))`)
  onTestFinished(async () => void (await database.query('DROP TABLE "once only"')))
  const db = connectAs(PrismaClient).$extends(concurrency())
  const call = operation()
  await db.$idempotent(call, async () => 'ran')

  expect(await db.$idempotent(call, never)).toEqual({ replayed: true, result: 'ran' })
  await database.query(`UPDATE "once only" SET "created at" = now() - interval '1 hour'`)
  expect(await db.$pruneIdempotencyKeys({ olderThan: 1 })).toEqual({ count: 1 })
})

test('a schema without the model is told what to add by the first call, and keeps all else working', async () => {
  const { PrismaClient } = await generateClient(
    'model Note {\n  id Int @id @default(autoincrement())\n  text String\n}',
  )
  const db = connectAs(PrismaClient).$extends(concurrency())
  const says = {
    code: 'CONFIGURATION',
    issues: [{ path: 'idempotency.model', message: expect.stringMatching(/IdempotencyKey.*idempotencyKeySchema\(\)/) }],
  }

  expect(await rejectionOf(db.$idempotent(operation(), never))).toMatchObject(says)
  expect(await rejectionOf(db.$oncePer({ job: 'j', period: 'p' }, never))).toMatchObject(says)
  expect(await rejectionOf(db.$pruneIdempotencyKeys({ olderThan: 1 }))).toMatchObject(says)
  expect(await db.$transactionWithRetry((tx) => tx.note.count())).toEqual(expect.any(Number))
})

test.each([
  { model: 'DoneOnce', says: 'the model DoneOnce, in which once-only operations are noted, is not in the schema' },
  { model: 'Note', says: 'lacks the fields scope, key, request, answer, createdAt' },
])('an option that names the model $model is refused when the client is extended', ({ model, says }) => {
  const { client } = connect()

  expect(() => client.$extends(concurrency({ idempotency: { model } }))).toThrow(
    expect.objectContaining({ code: 'CONFIGURATION', message: expect.stringContaining(says) }),
  )
})

test.each([
  {
    what: 'table',
    sql: 'ALTER TABLE "IdempotencyKey" RENAME TO gone',
    says: 'idempotencyKeySql()',
    originalCode: '42P01',
  },
  {
    what: 'column',
    sql: 'ALTER TABLE "IdempotencyKey" RENAME request TO gone',
    says: 'idempotencyKeySql()',
    originalCode: '42703',
  },
  {
    what: 'unique key',
    sql: 'ALTER TABLE "IdempotencyKey" DROP CONSTRAINT "IdempotencyKey_pkey"',
    says: 'CREATE UNIQUE INDEX',
    originalCode: '42P10',
  },
])(
  'a database without the $what is told what to add, with its own error as the cause, and no body runs',
  async ({ sql, says, originalCode }) => {
    const owner = await openTransaction(without.url, sql)
    await owner.query('COMMIT')
    onTestFinished(async () => {
      await without.query(`DROP TABLE IF EXISTS "IdempotencyKey", gone; ${idempotencyKeySql()}`)
    })
    const db = without.connect().client.$extends(concurrency())

    const error = await rejectionOf(db.$idempotent(operation(), never))

    expect(error).toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining(says),
      cause: { meta: { driverAdapterError: { cause: { originalCode } } } },
    })
  },
)

test('a database without the table is told so by pruning, and one without the answer by the end of the body', async () => {
  const owner = await openTransaction(without.url, 'ALTER TABLE "IdempotencyKey" RENAME answer TO gone')
  await owner.query('COMMIT')
  onTestFinished(async () => {
    await without.query(`DROP TABLE IF EXISTS "IdempotencyKey", gone; ${idempotencyKeySql()}`)
  })
  const db = without.connect().client.$extends(concurrency())
  const says = (originalCode: string) => ({
    code: 'CONFIGURATION',
    message: expect.stringContaining('idempotencyKeySql()'),
    cause: { meta: { driverAdapterError: { cause: { originalCode } } } },
  })

  expect(await rejectionOf(db.$idempotent(operation(), async () => 1))).toMatchObject(says('42703'))
  await without.query('ALTER TABLE "IdempotencyKey" RENAME TO gone')
  expect(await rejectionOf(db.$pruneIdempotencyKeys({ olderThan: 1 }))).toMatchObject(says('42P01'))
})

const TOO_LONG = 'x'.repeat(1_001)

test.each([
  { what: 'no key', options: { scope: 's' }, field: 'key' },
  { what: 'no scope', options: { key: 'k' }, field: 'scope' },
  { what: 'an empty key', options: { key: '', scope: 's' }, field: 'key' },
  { what: 'an empty scope', options: { key: 'k', scope: '' }, field: 'scope' },
  { what: 'a number as a key', options: { key: 5, scope: 's' }, field: 'key' },
  { what: 'a key that is too long', options: { key: TOO_LONG, scope: 's' }, field: 'key' },
  { what: 'a scope that is too long', options: { key: 'k', scope: TOO_LONG }, field: 'scope' },
  { what: 'a key of too many bytes', options: { key: '漢'.repeat(334), scope: 's' }, field: 'key' },
  { what: 'a key with a NUL', options: { key: 'a\0', scope: 's' }, field: 'key' },
  { what: 'a key with half an emoji', options: { key: 'a\ud83d', scope: 's' }, field: 'key' },
  { what: 'an option that is none', options: { key: 'k', scope: 's', ttl: 5 }, field: 'ttl' },
  { what: 'a wish to read only', options: { key: 'k', scope: 's', readOnly: true }, field: 'readOnly' },
  { what: 'another whileRunning', options: { key: 'k', scope: 's', whileRunning: 'skip' }, field: 'whileRunning' },
  { what: 'no options', options: undefined, field: 'options' },
])('$what is refused before any statement', async ({ options, field }) => {
  const { db, statements } = connect()

  const error = await rejectionOf(db.$idempotent(options as never, never))

  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  expect(statements).toEqual([])
})

test('a body that is no function is refused before any statement', async () => {
  const { db, statements } = connect()

  const errors = [
    await rejectionOf(db.$idempotent(operation(), undefined as never)),
    await rejectionOf(db.$oncePer({ job: 'j', period: 'p' }, {} as never)),
  ]

  expect(errors).toMatchObject(Array(2).fill({ code: 'INVALID_ARGUMENT', field: 'body' }))
  expect(statements).toEqual([])
})

test('a key and a scope may be as long as 1,000 bytes each, whatever is in them', async () => {
  const { db } = connect()
  // Of bytes made at random, so that the index cannot compress them.
  const text = () => randomBytes(750).toString('base64')
  const call = { key: text(), scope: text() }
  await db.$idempotent(call, async () => 'ran')

  expect(call.key).toHaveLength(1_000)
  expect(await db.$idempotent(call, never)).toEqual({ replayed: true, result: 'ran' })
})

test('keys are told apart to the last character, with quotes, spaces, case and accents', async () => {
  const { db } = connect()
  const scope = randomUUID()
  const keys = ["'", '"', 'a', 'A', 'a ', ' a', 'é', 'e\u0301', '%', '\\', '😀', "'; DROP TABLE x; --"]

  for (const key of keys) await db.$idempotent({ key, scope }, async () => key)

  for (const key of keys) expect(await db.$idempotent({ key, scope }, never)).toEqual({ replayed: true, result: key })
})

test('pruning deletes the keys that are older than told, and no others', async () => {
  const { db } = connect()
  const scope = await addKeys([40, 31, 29, 1, 0])

  const { count } = await db.$pruneIdempotencyKeys({ olderThan: 30 * DAY })

  expect(count).toBe(2)
  expect(await keysIn(scope)).toEqual(['3', '4', '5'])
})

test('a pruned operation runs again', async () => {
  const { db } = connect()
  const call = operation()
  await db.$idempotent(call, async () => 1)
  await database.query(`UPDATE "IdempotencyKey" SET "createdAt" = now() - interval '1 day' WHERE key = $1`, [call.key])

  await db.$pruneIdempotencyKeys({ olderThan: DAY / 2 })

  expect(await db.$idempotent(call, async () => 2)).toEqual({ replayed: false, result: 2 })
})

test('pruning goes on in batches until nothing old is left', async () => {
  const { db, statements } = connect()
  const scope = await addKeys([...Array(25).fill(40), 0])
  await db.note.count()
  statements.length = 0

  const { count } = await db.$pruneIdempotencyKeys({ olderThan: 30 * DAY, batchSize: 10 })

  expect(count).toBe(25)
  expect(await keysIn(scope)).toEqual(['26'])
  expect(statements).toHaveLength(3)
})

test('two that prune at once do not wait for each other, and delete each key once', async () => {
  const { db } = connect()
  const scope = await addKeys(Array(10).fill(40))
  const other = await openTransaction(database.url, `DELETE FROM "IdempotencyKey" WHERE scope = $1 AND key::int <= 4`, [
    scope,
  ])

  const { count } = await db.$pruneIdempotencyKeys({ olderThan: 30 * DAY })

  await other.query('COMMIT')
  expect(count).toBe(6)
  expect(await keysIn(scope)).toEqual([])
})

test('many that prune at once delete every old key, each counted once', async () => {
  const { db } = connect()
  const scope = await addKeys([...Array(500).fill(40), 0])

  const counts = await Promise.all(
    Array.from({ length: 8 }, () => db.$pruneIdempotencyKeys({ olderThan: 30 * DAY, batchSize: 20 })),
  )

  expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(500)
  expect(await keysIn(scope)).toEqual(['501'])
})

test.each([
  { options: undefined, field: 'options' },
  { options: {}, field: 'olderThan' },
  { options: { olderThan: -1 }, field: 'olderThan' },
  { options: { olderThan: Number.NaN }, field: 'olderThan' },
  { options: { olderThan: Number.POSITIVE_INFINITY }, field: 'olderThan' },
  { options: { olderThan: Number.MAX_SAFE_INTEGER }, field: 'olderThan' },
  { options: { olderThan: '30d' }, field: 'olderThan' },
  { options: { olderThan: 1, batchSize: 0 }, field: 'batchSize' },
  { options: { olderThan: 1, batchSize: 2 ** 40 }, field: 'batchSize' },
])('pruning with $options is refused, and deletes nothing', async ({ options, field }) => {
  const { db, statements } = connect()

  const error = await rejectionOf(db.$pruneIdempotencyKeys(options as never))

  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  expect(statements).toEqual([])
})

function connectAs(PrismaClient: typeof Client) {
  const client = new PrismaClient({ adapter: new PrismaPg({ connectionString: database.url }) })
  onTestFinished(() => client.$disconnect())
  return client
}
