import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { PATIENT, useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { generateClient } from '../support/generate-client.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const MODELS = `model Sheet {
  id      Int         @id
  code    String      @unique
  name    String      @default("a")
  version Int         @default(0)
  lines   SheetLine[]
  tags    SheetTag[]
  seals   SheetSeal[]
}
model SheetLine {
  id      Int   @id
  version Int   @default(0)
  sheetId Int
  sheet   Sheet @relation(fields: [sheetId], references: [id], onDelete: Cascade)
  @@index([sheetId])
}
model SheetTag {
  id    Int    @id
  code  String
  sheet Sheet  @relation(fields: [code], references: [code], onDelete: Cascade)
  @@index([code])
}
model SheetSeal {
  id      Int   @id
  sheetId Int
  sheet   Sheet @relation(fields: [sheetId], references: [id], onDelete: Restrict)
  @@index([sheetId])
}`

const database = useDatabase()
// biome-ignore lint/suspicious/noExplicitAny: the client of a schema that is generated only when the test runs
let db: any
const cleanUps: (() => Promise<void>)[] = []

beforeAll(async () => {
  await database.query(`CREATE TABLE "Sheet" (
  id int PRIMARY KEY, code text UNIQUE NOT NULL, name text NOT NULL DEFAULT 'a', version int NOT NULL DEFAULT 0
);
CREATE TABLE "SheetLine" (id int PRIMARY KEY, version int NOT NULL DEFAULT 0, "sheetId" int NOT NULL);
CREATE TABLE "SheetTag" (id int PRIMARY KEY, code text NOT NULL);
CREATE TABLE "SheetSeal" (id int PRIMARY KEY, "sheetId" int NOT NULL);`)
  const { PrismaClient } = await generateClient(MODELS, (cleanUp) => cleanUps.push(cleanUp), 'prisma')
  const pool = new pg.Pool({ connectionString: database.url, max: 10 })
  const client = new PrismaClient({
    adapter: new PrismaPg(pool, { disposeExternalPool: true }),
    transactionOptions: PATIENT,
  })
  cleanUps.push(() => client.$disconnect())
  db = client.$extends(concurrency())
})
afterAll(async () => {
  for (const cleanUp of cleanUps) await cleanUp()
})
beforeEach(async () => {
  await database.query(`TRUNCATE "Sheet", "SheetLine", "SheetTag", "SheetSeal";
INSERT INTO "Sheet" VALUES (1, 'c1');
INSERT INTO "SheetLine" VALUES (1, 0, 1);
INSERT INTO "SheetTag" VALUES (1, 'c1');`)
})

const state = async () => {
  const [row] = await database.query(`SELECT
  (SELECT array_agg(id) FROM "Sheet") AS ids,
  (SELECT array_agg(code) FROM "Sheet") AS codes,
  (SELECT array_agg("sheetId") FROM "SheetLine") AS lines,
  (SELECT array_agg(code) FROM "SheetTag") AS tags`)
  return row
}
const BEFORE = { ids: [1], codes: ['c1'], lines: [1], tags: ['c1'] }

/** Somebody writes the sheet while `work` waits for a line that is held, if it has not locked the sheet. */
async function overtaken(work: () => Promise<unknown>): Promise<void> {
  const holder = await openTransaction(database.url, 'SELECT FROM "SheetLine" FOR UPDATE')
  const call = work()
  await Promise.race([call, untilBlocked(database.url)])
  const other = database.query('UPDATE "Sheet" SET version = version + 1')
  await Promise.race([other, untilBlocked(database.url, 2)])
  await holder.query('ROLLBACK')
  await Promise.allSettled([call, other])
}

const where = { id: 1, version: 0 }
const retry = { deadline: 60_000 }
const CALLS: Readonly<Record<string, (client: typeof db) => Promise<unknown>>> = {
  'an object': (client) => client.sheet.tryUpdateVersioned({ where, data: { id: 2 }, retry }),
  'an object with nested writes': (client) =>
    client.sheet.tryUpdateVersioned({
      where,
      data: { id: 2, tags: { create: { id: 5 } } },
      include: { lines: true },
      retry,
    }),
  'a function': (client) =>
    client.sheet.updateVersioned({ where: { id: 1 }, data: () => ({ id: 2 }), retry: { ...retry, attempts: 1 } }),
}
const PLACES: Readonly<Record<string, (call: (client: typeof db) => Promise<unknown>) => Promise<unknown>>> = {
  'the client': (call) => call(db),
  'a tx that goes on after a refusal': (call) =>
    db.$transaction((tx: typeof db) => call(tx).catch(() => {}), { timeout: 60_000 }),
}

describe.each(Object.keys(PLACES))('under relationMode = "prisma", on %s', (place) => {
  const on = PLACES[place] as (typeof PLACES)[string]

  test.each(Object.keys(CALLS))(
    'a new id by %s never leaves children behind with an id that is not there',
    async (name) => {
      await overtaken(() => on(CALLS[name] as (typeof CALLS)[string]))
      const { ids, lines } = (await state()) as { ids: unknown; lines: unknown }
      expect(lines).toEqual(ids)
    },
  )

  test('a new id is carried on to the children', async () => {
    await on((client) => client.sheet.updateVersioned({ where, data: { id: 2 } }))
    expect(await state()).toEqual({ ...BEFORE, ids: [2], lines: [2] })
  })

  test('a new value of another key that is referred to is carried on, too', async () => {
    await on((client) => client.sheet.updateVersioned({ where: { id: 1 }, data: () => ({ code: 'c2' }) }))
    expect(await state()).toEqual({ ...BEFORE, codes: ['c2'], tags: ['c2'] })
  })

  test('a stale write of a key changes nothing', async () => {
    await database.query('UPDATE "Sheet" SET version = 1')
    const error = await rejectionOf(
      place === 'the client'
        ? db.sheet.updateVersioned({ where, data: { id: 2 } })
        : db.$transaction((tx: typeof db) => tx.sheet.updateVersioned({ where, data: { id: 2 } })),
    )
    expect([error, await state()]).toMatchObject([{ code: 'VERSION_CONFLICT', expected: 0, actual: 1 }, BEFORE])
  })

  test('a delete that is refused as stale takes no children with it', async () => {
    await database.query('UPDATE "Sheet" SET version = 1')
    await on((client) => client.sheet.deleteVersioned({ where }).catch(() => {}))
    expect(await state()).toEqual(BEFORE)
  })

  test('a delete that is overtaken takes no children with it', async () => {
    await overtaken(() => on((client) => client.sheet.deleteVersioned({ where }).catch(() => {})))
    const { ids, lines } = (await state()) as { ids: unknown; lines: unknown }
    expect(lines).toEqual(ids)
  })
})

test('under relationMode = "prisma", a new id that is taken already moves no children to its row', async () => {
  await database.query(`INSERT INTO "Sheet" VALUES (2, 'c2')`)
  const error = await rejectionOf(db.sheet.updateVersioned({ where, data: { id: 2 } }))
  expect([error, await state()]).toMatchObject([{ code: 'P2002' }, { lines: [1] }])
})

test('under relationMode = "prisma", callers at once who change a key by a function all get through', async () => {
  const next = (n: number) => () =>
    db.sheet.updateVersioned({
      where: { id: 1 },
      data: (current: { code: string }) => ({ code: `${current.code}${n}` }),
    })
  await Promise.all([1, 2, 3, 4].map((n) => next(n)()))
  const { codes, tags } = (await state()) as { codes: string[]; tags: unknown }
  expect([codes[0]?.length, tags]).toEqual([6, codes])
})

test('under relationMode = "prisma", updateManyVersioned refuses a key that is referred to, before any SQL', async () => {
  const error = await rejectionOf(db.sheet.updateManyVersioned([{ where, data: { id: 2 } }]))
  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('Use updateVersioned') })
})

test('under relationMode = "prisma", updateManyVersioned writes what nobody refers to', async () => {
  expect(await db.sheet.updateManyVersioned([{ where, data: { name: 'b' } }])).toEqual([
    { status: 'updated', version: 1 },
  ])
})
