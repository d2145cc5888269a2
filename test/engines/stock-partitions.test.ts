import { randomUUID } from 'node:crypto'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { withLedgers } from '../support/company-models.js'
import { useCompanies } from '../support/company-stock.js'
import { describeEngines } from '../support/engines.js'
import { explainStatements } from '../support/explained.js'
import { isOnCitus, skipOnCitus } from '../support/on-citus.js'
import { rejectionOf } from '../support/rejection.js'

const TABLES = ['CompanyStock', 'CompanyMovement', 'CompanyReservation']
const PARTS = 4

describeEngines((engine) => {
  const { database, connect, name, other } = engine
  const { open, newItem, onHand, expectExact } = useCompanies(engine)
  const newId = () => randomUUID()

  beforeEach((test) => skipOnCitus(test, 'partitions'))
  beforeAll(async () => {
    if (isOnCitus) return
    for (const table of TABLES) {
      const parts = Array.from(
        { length: PARTS },
        (_, i) =>
          `CREATE TABLE "${table}_p${i}" PARTITION OF "${table}" FOR VALUES WITH (MODULUS ${PARTS}, REMAINDER ${i});`,
      )
      await database.query(`ALTER TABLE "${table}" RENAME TO whole;
CREATE TABLE "${table}" (LIKE whole INCLUDING ALL) PARTITION BY HASH ("companyId");
${parts.join('\n')}
DROP TABLE whole`)
    }
    await database.query(`INSERT INTO "CompanyStock" ("companyId", "productId", warehouse, "onHand")
SELECT c, n, 'main', 100 FROM generate_series(1, 8) AS c, generate_series(1, 2000) AS n;
INSERT INTO "CompanyMovement" ("companyId", "transactionId", line, "productId", warehouse, quantity)
SELECT c, 'opening ' || n, 0, n, 'main', 100 FROM generate_series(1, 8) AS c, generate_series(1, 2000) AS n;
INSERT INTO "CompanyReservation" ("companyId", "transactionId", line, "productId", warehouse, quantity, state, "expiresAt")
SELECT c, 'basket ' || n, 0, n, 'main', 1, 'released', now() FROM generate_series(1, 8) AS c, generate_series(1, 2000) AS n;
ANALYZE`)
  })

  test('in tables that are partitioned by the scope each company has its own ids, replays, refusals and reservations', async () => {
    const db = await open()
    const item = await newItem({ 1: 5, 2: 5, 3: 5 })
    const transactionId = newId()
    const take = (companyId: number) =>
      db.$stock.move({ scope: { companyId }, transactionId, item, quantity: -companyId * 2 })
    const outcomes = await Promise.allSettled([1, 2, 3].map(take))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    expect(await take(2)).toMatchObject({ balance: 1, replayed: true })
    const three = db.$stock.in({ companyId: 3 })
    await three.reserve({ transactionId, item, quantity: 4, expiresIn: 60_000 })
    expect(await rejectionOf(three.move({ transactionId, item, quantity: -1 }))).toMatchObject({
      code: 'RESERVATION_ACTIVE',
    })
    expect(await three.fulfil({ transactionId })).toMatchObject({ lines: [{ balance: 1 }] })
    expect(await onHand(item)).toEqual({ 1: 3, 2: 1, 3: 1 })
    await expectExact()
  })

  test('calls of several companies at once and twice, from two engines, add up there', async () => {
    const clients = [await open(), await open(other)]
    const items = await Promise.all([1, 2].map(() => newItem({ 1: 40, 2: 40, 3: 40 })))
    const calls = Array.from({ length: 30 }, newId).flatMap((transactionId, i) =>
      clients.flatMap((each) =>
        [1, 2, 3].map((companyId) => {
          const company = each.$stock.in({ companyId })
          const lines = items.map((item, k) => ({ item, quantity: (i + k) % 2 === 0 ? -2 : 1 }))
          return i % 3 === 0
            ? company.defer({ transactionId, lines: lines.map(({ item }) => ({ item, quantity: 1 })) })
            : company.moveAll({ transactionId, lines })
        }),
      ),
    )
    expect((await Promise.allSettled(calls)).filter(({ status }) => status === 'rejected')).toEqual([])
    for (const companyId of [1, 2, 3]) {
      expect(await clients[0]?.$stock.project({ scope: { companyId }, batchSize: 7 })).toEqual({ folded: 20 })
      expect(await clients[1]?.$stock.audit({ scope: { companyId } })).toEqual([])
    }
    await expectExact()
  })

  test('the checks of the database find no mistake in them', async () => {
    const db = await open()
    const findings = await db.$checkConcurrency()
    expect(findings.filter(({ where }) => where.includes('Company'))).toEqual([])
  })

  test('every statement of one company reads one partition of each table, by a plan for any values', async () => {
    const made = await connect(name, { poolSize: 2 })
    const db = withLedgers(name, made)
    const explained = explainStatements(made.pool, /"Company(?:Stock|Movement|Reservation)"/)
    const [part] = await database.query(
      `SELECT right(tableoid::regclass::text, 4) AS name FROM "CompanyStock" WHERE "companyId" = 7 LIMIT 1`,
    )
    const own = TABLES.map((table) => `${table}${String(part?.name).replace('"', '')}`)

    await work(db.$stock.in({ companyId: 7 }))
    await db.$transactionWithRetry((tx) => work(tx.$stock.in({ companyId: 7 })), { timeout: 60_000 })

    expect(explained.length).toBeGreaterThan(60)
    const others = explained.filter(({ scanned }) => scanned.some((table) => !own.includes(table)))
    expect(others).toEqual([])
    expect([...new Set(explained.flatMap(({ scanned }) => scanned))].sort()).toEqual([...own].sort())
  })

  /** Calls of all kinds, each twice, some of them refused; and calls that are one batch. */
  async function work(stock: ReturnType<ReturnType<typeof withLedgers>['$stock']['in']>) {
    const [moved, held, late] = [newId(), newId(), newId()]
    const items = Array.from({ length: 10 }, (_, i) => ({ productId: i + 1, warehouse: 'main' }))
    const [item = { productId: 1, warehouse: 'main' }] = items
    const taken = items.map((item) => ({ item, quantity: -1 }))
    const added = items.map((item) => ({ item, quantity: 1 }))
    const expiresIn = 60_000
    const calls: (() => PromiseLike<unknown>)[] = [
      () => stock.move({ transactionId: moved, item, quantity: -1 }),
      () => stock.moveAll({ transactionId: `${moved} all`, lines: taken }),
      () => stock.count({ transactionId: `${moved} counted`, item, counted: 50 }),
      () => stock.defer({ transactionId: late, lines: added }),
      () => stock.reserve({ transactionId: held, lines: added, expiresIn }),
      () => stock.reserve({ transactionId: `${held} too`, item, quantity: 1, expiresIn }),
      () => stock.fulfil({ transactionId: held }),
      () => stock.release({ transactionId: `${held} too` }),
      () => stock.move({ transactionId: held, item, quantity: -1 }),
      () => stock.move({ transactionId: `${moved} too much`, item, quantity: -1_000_000 }),
      () => stock.moveAll({ transactionId: `${moved} all`, lines: added }),
      () => stock.project({ batchSize: 4 }),
      () => stock.audit(),
      () => stock.balance({ item }),
      () => stock.balances({ items }),
      () => stock.balances({ after: item, limit: 10 }),
      () => stock.reservations({ item }),
      () => stock.reservations({ state: 'active', limit: 10 }),
      () => stock.statement({ transactionId: held }),
      () => stock.prune({ forgetBefore: new Date(0) }),
    ]
    for (const call of [...calls, ...calls]) await Promise.resolve(call()).catch(() => {})
    await Promise.all(taken.map((line) => stock.move({ transactionId: newId(), ...line })))
  }
})
