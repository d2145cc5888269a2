import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { series, stock } from '../../src/erp.js'
import { concurrency } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { openRole } from '../support/role.js'
import { STOCK } from '../support/stock-models.js'

const database = useDatabase()
const otherwise = useDatabase()
const HOUR = 3_600_000

beforeAll(async () => {
  for (const { query } of [database, otherwise]) {
    await query(
      `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'America/New_York'); END $$`,
    )
  }
  // Each column is of the other type than the schema says.
  await otherwise.query(`ALTER TABLE "IdempotencyKey" ALTER COLUMN "createdAt" TYPE timestamp(3)`)
  await otherwise.query(`ALTER TABLE "PlainIdempotencyKey" ALTER COLUMN "createdAt" TYPE timestamptz(3)`)
})

const never = async () => {
  throw new Error('The body ran again.')
}
const KINDS = [
  { model: 'IdempotencyKey', column: 'with a time zone', target: database },
  { model: 'PlainIdempotencyKey', column: 'without a time zone', target: database },
  { model: 'IdempotencyKey', column: 'that should have a time zone and has none', target: otherwise },
  { model: 'PlainIdempotencyKey', column: 'that should have no time zone and has one', target: otherwise },
] as const

describe.each(KINDS)('in a session in New York, a column $column', ({ model, target }) => {
  const connect = (url = target.url) => connectTo(url).client.$extends(concurrency({ idempotency: { model } }))

  test.each([
    { what: 'a name', period: 'today' },
    { what: 'a grid', period: { every: '36500d' } },
    { what: 'a pause', period: { atLeast: '1d' } },
  ])('tells the moment of the last run, for a period that is $what', async ({ period }) => {
    const db = connect()
    const call = { job: randomUUID(), period }
    const before = Date.now()
    await db.$oncePer(call, async () => 1)
    const outcome = (await db.$oncePer(call, never)) as { since: Date }

    expect(Math.abs(outcome.since.getTime() - before)).toBeLessThan(HOUR / 2)
  })

  test('keeps a pause as long as it is', async () => {
    const db = connect()
    const call = { job: randomUUID(), period: { atLeast: '4h' } }
    const age = (hours: number) =>
      target.query(
        `UPDATE "${model}" SET "createdAt" = "createdAt" - make_interval(hours => $2) WHERE scope LIKE '%' || $1`,
        [call.job, hours],
      )
    await db.$oncePer(call, async () => 1)
    await age(3)
    const early = await db.$oncePer(call, never)
    await age(1)

    expect([early.ran, (await db.$oncePer(call, async () => 2)).ran]).toEqual([false, true])
  })

  test('is pruned by its age', async () => {
    const db = connect()
    const call = { key: randomUUID(), scope: 'pruned' }
    await db.$idempotent(call, async () => 1)
    await db.$pruneIdempotencyKeys({ olderThan: HOUR })
    const kept = await db.$idempotent(call, async () => 2)
    await target.query(`UPDATE "${model}" SET "createdAt" = "createdAt" - interval '1 hour' WHERE key = $1`, [call.key])
    await db.$pruneIdempotencyKeys({ olderThan: HOUR })

    expect([kept.replayed, (await db.$idempotent(call, async () => 3)).replayed]).toEqual([true, false])
  })
})

test.each(['IdempotencyKey', 'PlainIdempotencyKey'])(
  'sessions in different time zones tell the same moment of one run (%s)',
  async (model) => {
    const url = await openRole(database)
    await database.query(`ALTER ROLE ${new URL(url).username} SET timezone = 'Asia/Tokyo'`)
    const [here, there] = [database.url, url].map((url) =>
      connectTo(url).client.$extends(concurrency({ idempotency: { model } })),
    )
    const call = { job: randomUUID(), period: { atLeast: '1h' } }
    await here?.$oncePer(call, async () => 1)
    const outcomes = [await here?.$oncePer(call, never), await there?.$oncePer(call, never)]

    expect(outcomes[1]).toEqual(outcomes[0])
  },
)

test('in a session in New York a reservation expires so long after now as it was asked to', async () => {
  const db = connectTo(database.url).db.$extends(stock(STOCK))
  await database.query(`INSERT INTO "Stock" ("productId", warehouse) VALUES (1, 'main')`)
  const item = { productId: 1, warehouse: 'main' }
  await db.$stock.move({ transactionId: randomUUID(), item, quantity: 5 })
  const call = { transactionId: randomUUID(), item, quantity: 1, expiresIn: 2 * HOUR }
  const before = Date.now()
  const first = await db.$stock.reserve(call)
  const replayed = await db.$stock.reserve(call)

  expect(Math.abs(first.expiresAt.getTime() - before - 2 * HOUR)).toBeLessThan(HOUR / 2)
  expect(replayed.expiresAt.getTime()).toBe(first.expiresAt.getTime())
})

test('in a session in New York a number belongs to the period of its own time zone', async () => {
  const db = connectTo(database.url).db.$extends(
    series({ series: { vienna: { format: '{yyyy}-{MM}-{dd} {0}', timeZone: 'Europe/Vienna' } } }),
  )
  const at = new Date('2026-06-30T22:30:00Z')
  const number = await db.$transaction((tx) => tx.$series.next('vienna', { at }))

  expect(number).toMatchObject({ text: '2026-07-01 1', period: '2026-07-01' })
})
