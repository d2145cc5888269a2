import { describe, expect, onTestFinished, test } from 'vitest'
import type { Finding } from '../../src/index.js'
import { breakableDatabase } from '../support/broken.js'
import type { Database } from '../support/database.js'
import { type EngineName, openEngine } from '../support/engines.js'
import { openRole } from '../support/role.js'
import { withTickets } from '../support/ticket-models.js'

/** A client with tickets, in a database with these rows. */
async function open(rows: string, engine: EngineName = 'pg', as = async ({ url }: Database) => url) {
  const database = await breakableDatabase()
  await database.query(`INSERT INTO "Ticket" (event, slot, "onHand", price, opening) ${rows}`)
  const made = await openEngine(engine, { url: await as(database) })
  onTestFinished(() => made.close())
  return { db: withTickets(engine, made), database }
}

const brief = (findings: readonly Finding[]) => findings.map(({ severity, code, what }) => [severity, code, what])
const HEADLESS = 'Items have no row with the slot 0: '
const GAPS = 'Items have slots that are not numbered from 0 on without a gap: '

describe.each(['prisma', 'pg'] as const)('$checkConcurrency on %s', (engine) => {
  test('finds items without the slot 0, and with gaps, and what it says mends both', async () => {
    const { db, database } = await open(
      `VALUES ('whole', 0, 1, 7, 1), ('whole', 1, 1, 7, 1), ('one', 0, 1, 7, 1), ('headless', 2, 3, 7, 3), ('headless', 1, 2, 8, 2),
('gap', 0, 1, 7, 1), ('gap', 3, 1, 7, 1), ('below', -1, 4, 7, 4), ('below', 0, 5, 7, 5),
('apart', -1, 1, 7, 1), ('apart', 1, 1, 7, 1)`,
      engine,
    )

    const findings = await db.$checkConcurrency()
    for (const { sql } of findings) if (sql !== undefined) await database.query(sql)
    for (const item of ['apart', 'gap', 'below']) await db.$stock.setSlots({ item, count: 2 })

    expect(brief(findings)).toEqual([
      ['error', 'SLOTS', `${HEADLESS}"apart", "headless"`],
      ['warning', 'SLOTS', `${GAPS}"below", "gap"`],
    ])
    expect(findings.map(({ where }) => where)).toEqual(Array(2).fill('"public"."Ticket"."slot"'))
    expect(findings[1]?.cost).toContain('$stock.setSlots({ item, count })')
    expect(await db.$checkConcurrency()).toEqual([])
    expect(
      await database.query(`SELECT slot, "onHand", price FROM "Ticket" WHERE event = 'headless' ORDER BY 1`),
    ).toEqual([
      { slot: 0, onHand: 0, price: 8 },
      { slot: 1, onHand: 2, price: 8 },
      { slot: 2, onHand: 3, price: 7 },
    ])
    expect(await db.$stock.audit()).toEqual([])
  })
})

test('$checkConcurrency names three items, and looks at the first 100,000 rows', async () => {
  const { db, database } = await open(`SELECT 'a' || n, 2, 0, 0, 0 FROM generate_series(1, 4) AS n`)
  const few = await db.$checkConcurrency()
  await database.query('DELETE FROM "Ticket"')
  await database.query(`INSERT INTO "Ticket" (event, slot) SELECT 'a' || n, 0 FROM generate_series(1, 100000) AS n`)
  await database.query(`INSERT INTO "Ticket" (event, slot) VALUES ('z', 1)`)

  expect(brief(few)).toEqual([['error', 'SLOTS', `${HEADLESS}"a1", "a2", "a3" and others`]])
  expect(await db.$checkConcurrency()).toEqual([])
})

test.each([
  ['may not be read', (role: string) => `REVOKE SELECT ON "Ticket" FROM ${role}`, ['PRIVILEGE_MISSING']],
  ['is not there', () => 'DROP TABLE "Ticket"', ['TABLE_MISSING']],
  ['has a slot of another type', () => 'ALTER TABLE "Ticket" ALTER slot TYPE text', ['COLUMN_TYPE']],
])('where the table %s, $checkConcurrency says that', async (_, breaking, codes) => {
  let role = ''
  const { db, database } = await open(`VALUES ('a', 1, 0, 0, 0)`, 'pg', async (database) => {
    const url = await openRole(database)
    role = new URL(url).username
    return url
  })
  await database.query(breaking(role))

  expect((await db.$checkConcurrency()).map(({ code }) => code)).toEqual(codes)
})
