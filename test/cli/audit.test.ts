import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { checksOf } from '../../src/cli/audit.js'
import { setupOf } from '../../src/engine/setup.js'
import { serials, series, stock } from '../../src/erp.js'
import { breakableDatabase } from '../support/broken.js'
import { appFolder, examplesOf, runCommand } from '../support/command.js'
import { COMPANIES, CREDIT } from '../support/company-models.js'
import { useExtended } from '../support/extended.js'
import { STOCK } from '../support/stock-models.js'

const { database, connect } = useExtended()
const CLIENT = ['--client', 'test/support/command-client.ts']
const env = () => ({ DATABASE_URL: database.url })
const audit = (...args: string[]) => runCommand(['audit', ...args, ...CLIENT], { env: env() })

const CUSTOMER = 'f0e41a0e-9d53-4e2a-8f4f-0ad4e4c2a7ed'

const TABLES = [
  'StockMovement',
  'StockReservation',
  'Stock',
  'Serial',
  'SerialAllocation',
  'Series',
  'SeriesNumber',
  'Invoice',
]
const empty = () => database.query(`TRUNCATE ${TABLES.map((name) => `"${name}"`).join(', ')} CASCADE`)

const SERIES = {
  series: { invoice: { format: 'INV-{0000}', document: { model: 'Invoice' } }, ticket: { blocks: 10 } },
} as const
const connectAll = () => connect().db.$extends(stock(STOCK)).$extends(serials()).$extends(series(SERIES))

/** Everything that the checks find, as `code where: what`. */
async function found(): Promise<string[]> {
  const setup = setupOf(connectAll())
  const lines: string[] = []
  for (const check of [...(setup?.features ?? [])]
    .reverse()
    .flatMap((feature) => (setup ? checksOf(setup.session, feature) : []))) {
    for await (const { code, where, what } of check()) lines.push(`${code} ${where}: ${what}`)
  }
  return lines
}

/** Work of every feature, with nothing wrong. */
async function work() {
  const db = connectAll()
  const item = { productId: 7, warehouse: 'main' }
  await db.stock.create({ data: item })
  const order = await db.order.create({ data: { customer: 'C' } })
  await db.$stock.move({ transactionId: 'receipt', item, quantity: 9 })
  await db.$stock.reserve({ transactionId: 'basket 1', item, quantity: 2, expiresIn: 60_000 })
  await db.$stock.reserve({ transactionId: 'basket 2', item, quantity: 3, expiresIn: 60_000 })
  await db.$stock.fulfil({ transactionId: 'basket 2' })
  await db.$serials.import({ transactionId: 'delivery', data: { productId: 7 }, numbers: ['a', 'b', 'c', 'd'] })
  await db.$serials.allocate({ transactionId: 'sale 1', where: { productId: 7 }, count: 2 })
  await db.$serials.release({ transactionId: 'sale 1', numbers: ['b'] })
  await db.$series.create('invoice', { transactionId: randomUUID(), record: { orderId: order.id } })
  await db.$transaction((tx) => tx.$series.next('plain', { transactionId: 'p1' }))
  await db.$transaction((tx) => tx.$series.next('plain', { transactionId: 'p2' }))
  await db.$series.next('ticket')
}

describe('audit', () => {
  test('finds nothing wrong after honest work, with gaps where they are allowed', async () => {
    await empty()
    await work()

    expect(await found()).toEqual([])
    const { code, stdout, stderr } = await audit('stock', 'serials')
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'Everything adds up.\n', stderr: '' })
  })

  test('finds what does not add up, prints it as the page shows, and ends with 1', async () => {
    await empty()
    await work()
    await database.query(`
UPDATE "Stock" SET "onHand" = 8, reserved = 1;
INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ('basket 1', 1, 8, 'main', 1);
DELETE FROM "StockMovement" WHERE "transactionId" = 'basket 2';
UPDATE "Serial" SET "transactionId" = 'sale 1' WHERE number IN ('b', 'c');
UPDATE "Serial" SET "transactionId" = 'nobody' WHERE number = 'd';
DELETE FROM "SeriesNumber" WHERE "transactionId" = 'p1';
UPDATE "Series" SET last = 4 WHERE name = 'plain';
INSERT INTO "SeriesNumber" (series, "transactionId", period, value, text) VALUES ('plain', 'p9', '', 9, '9');
UPDATE "Invoice" SET number = 'INV-0002'`)

    const { code, stdout, stderr } = await audit('stock', 'serials')
    const all = await found()

    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect([stdout]).toEqual(await examplesOf('audit'))
    expect(all.slice(0, stdout.trimEnd().split('\n').length).map((line) => `${line}.`)).toEqual(
      stdout.trimEnd().split('\n'),
    )
    expect(all.filter((line) => line.startsWith('SERIES')).map((line) => line.replace(/"[\da-f-]{36}"/, 'ID'))).toEqual(
      [
        'SERIES_RECORD series "invoice": "INV-0001" of ID is "INV-0002" in its record',
        'SERIES_GAP series "plain": 1 was taken, and no transaction id has it',
        'SERIES_GAP series "plain": 3 to 4 were taken, and no transaction id has them',
        'SERIES_COUNTER series "plain": 9 is given, and the counter is not that far',
      ],
    )
  })

  test('prints JSON, and no more of a kind than --limit says', async () => {
    await empty()
    await database.query(`
INSERT INTO "Serial" ("productId", number, "transactionId") SELECT 1, n::text, 'id ' || n FROM generate_series(1, 25000) AS n;
INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES (1, 'main', 5)`)

    const { code, stdout } = await audit('--limit', '2', '--json')

    expect(code).toBe(1)
    const { findings, isCut } = JSON.parse(stdout)
    expect(findings.map((finding: { code: string }) => finding.code)).toEqual([
      'STOCK_BALANCE',
      'SERIALS_OWNER',
      'SERIALS_OWNER',
    ])
    expect(isCut).toBe(true)
  })

  test('goes through all pages', async () => {
    await empty()
    await database.query(`
INSERT INTO "Serial" ("productId", number, "transactionId") SELECT 1, n::text, 'id ' || n FROM generate_series(1, 25000) AS n;
INSERT INTO "StockReservation" ("transactionId", line, "productId", warehouse, quantity, state, "expiresAt")
SELECT 'id ' || n, 1, 1, 'main', 1, 'fulfilled', now() FROM generate_series(1, 25000) AS n;
INSERT INTO "Series" (name, period, last) VALUES ('long', '2025', 15000), ('long', '2026', 15000);
INSERT INTO "SeriesNumber" (series, "transactionId", period, value, text)
SELECT 'long', p || ' ' || n, p, n, n::text FROM generate_series(1, 15000) AS n, unnest(ARRAY['2025', '2026']) AS p WHERE n <> 10000 AND n <> 15000`)

    const lines = await found()

    const count = (code: string) => lines.filter((line) => line.startsWith(code)).length
    expect([count('SERIALS_OWNER'), count('RESERVATION_STATE')]).toEqual([25_000, 25_000])
    expect(lines.filter((line) => line.startsWith('SERIES'))).toEqual(
      ['2025', '2026'].flatMap((period) =>
        ['10000', '15000'].map(
          (value) => `SERIES_GAP series "long", period ${period}: ${value} was taken, and no transaction id has it`,
        ),
      ),
    )
  })

  test('works on node-postgres, with the mapping of a config file', async () => {
    await empty()
    await work()
    await database.query('UPDATE "Stock" SET "onHand" = 5')
    const config = { stock: STOCK, serials: {}, series: SERIES }
    const cwd = await appFolder({ 'concurrency.config.json': JSON.stringify(config) })

    const { code, stdout } = await runCommand(['audit'], { cwd, env: env() })

    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: 'STOCK_BALANCE Stock {"productId":7,"warehouse":"main"}: has 5 on hand, and its movements add up to 6.\n',
    })
  })

  test('looks at every ledger of a config file, and names the scope of what it finds', async () => {
    await empty()
    await database.query(`
INSERT INTO "CompanyStock" ("companyId", "productId", warehouse, "onHand") VALUES (1, 7, 'main', 5), (2, 7, 'main', 0);
INSERT INTO "CompanyReservation" ("companyId", "transactionId", line, "productId", warehouse, quantity, state, "expiresAt")
VALUES (2, 'basket', 0, 7, 'main', 1, 'fulfilled', now());
INSERT INTO "CompanyCreditEntry" ("companyId", "transactionId", line, "customerId", amount) VALUES (2, 'a', 0, '${CUSTOMER}', 3)`)
    const config = { stock: [COMPANIES, { ...CREDIT, name: 'credit' }] }
    const cwd = await appFolder({ 'concurrency.config.json': JSON.stringify(config) })

    const { code, stdout } = await runCommand(['audit', 'stock'], { cwd, env: env() })

    expect({ code, lines: stdout.trimEnd().split('\n') }).toEqual({
      code: 1,
      lines: [
        'STOCK_BALANCE CompanyStock {"companyId":1,"productId":7,"warehouse":"main"}: has 5 on hand, and its movements add up to 0.',
        'RESERVATION_STATE CompanyReservation "2" "basket", line 0: is fulfilled without a movement.',
        `STOCK_ITEM_MISSING CompanyCredit {"companyId":2,"customerId":"${CUSTOMER}"}: is not there, but movements or active reservations name it.`,
      ],
    })
  })

  test('looks at the database of --url, also where the client of the application has another one', async () => {
    await empty()
    const other = await breakableDatabase()
    await other.query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES (1, 'main', 5)`)

    const { code, stdout } = await audit('stock', '--url', other.url)

    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringMatching(/^STOCK_BALANCE .*\n$/) })
  })

  test.each([
    [['stok'], /stok is none of stock, serials, series/],
    [['--limit', '0'], /It must be a whole number above 0/],
    [['--url', 'postgresql://127.0.0.1:1/d'], /cannot be reached/],
  ])('called with %j ends with 2 and a message', async (args, message) => {
    const { code, stdout, stderr } = await audit(...args)

    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
  })

  test('says so of a client that has nothing to audit', async () => {
    const cwd = await appFolder({ 'concurrency.config.json': '{ "serials": {} }' })
    const { code, stderr } = await runCommand(['audit', 'stock'], { cwd, env: env() })

    expect({ code, stderr }).toEqual({ code: 2, stderr: 'error: the client has no stock\n' })
  })
})
