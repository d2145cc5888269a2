import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { breakableDatabase } from '../support/broken.js'
import { createClient } from '../support/clients.js'
import { DEPOT } from '../support/depot.js'
import { PALLET } from '../support/pallet-models.js'
import { SILO } from '../support/stock-models.js'

/** Leaves the tables of pallets as version 0.1.0 printed them, with what was in them. */
const OF_0_1_0 = `
INSERT INTO "Pallet" (code, "onHand", reserved) VALUES ('a', 10, 4);
INSERT INTO "PalletMovement" ("transactionId", line, code, quantity) VALUES ('opening', 0, 'a', 10);
INSERT INTO "PalletReservation" ("transactionId", line, code, quantity, "expiresAt")
VALUES ('order', 0, 'a', 4, now() + interval '1 day');
ALTER TABLE "Pallet" DROP COLUMN maximum;
ALTER TABLE "PalletMovement" DROP COLUMN reverses, DROP COLUMN refused;
ALTER TABLE "PalletReservation" DROP COLUMN fulfilled, DROP COLUMN original, ALTER COLUMN "expiresAt" SET NOT NULL`

test('a database of version 0.1.0 has all that reservations, maxima and reversals need once the SQL of the findings has run', async () => {
  const database = await breakableDatabase()
  await database.query(OF_0_1_0)
  const open = () => {
    const { client } = createClient(database.url)
    const db = client.$extends(concurrency()).$extends(stock({ ...PALLET, rememberRefusals: true }))
    return { db, close: () => client.$disconnect() }
  }
  const before = open()
  const findings = await before.db.$checkConcurrency()
  await before.close()
  for (const { sql } of findings) if (sql !== undefined) await database.query(sql)
  const { db, close } = open()
  try {
    expect(findings.map(({ severity, code, where }) => `${severity} ${code} ${where.replaceAll('"', '')}`)).toEqual([
      'error COLUMN_MISSING public.Pallet.maximum',
      'error COLUMN_MISSING public.PalletMovement.refused',
      'error COLUMN_MISSING public.PalletMovement.reverses',
      'error COLUMN_REQUIRED public.PalletReservation.expiresAt',
      'error COLUMN_MISSING public.PalletReservation.fulfilled',
      'error COLUMN_MISSING public.PalletReservation.original',
    ])
    expect(await db.$checkConcurrency()).toEqual([])

    await db.$stock.change({ transactionId: 'order', lines: [{ item: 'a', quantity: 5 }] })
    const part = { transactionId: 'part', of: 'order', lines: [{ item: 'a', quantity: 2 }] }
    expect(await db.$stock.fulfil(part)).toMatchObject({ lines: [{ quantity: -2, balance: 8 }] })
    expect(await db.$stock.reverse({ transactionId: 'back', of: 'part' })).toMatchObject({ lines: [{ balance: 10 }] })
    await db.$stock.reserve({ transactionId: 'open', item: 'a', quantity: 1, expiresIn: null })
    const above = db.$stock.move({ transactionId: 'above', item: 'a', quantity: 1, maximum: 10 })
    await expect(above).rejects.toHaveProperty('code', 'MAXIMUM_EXCEEDED')
    expect(await database.query(`SELECT quantity, fulfilled, original FROM "PalletReservation" ORDER BY 1`)).toEqual([
      { quantity: 1, fulfilled: 0, original: null },
      { quantity: 5, fulfilled: 2, original: 4 },
    ])
    expect(await db.$stock.audit()).toEqual([])
  } finally {
    await close()
  }
})

/** The tables of a depot and of silos as version 0.1.0 printed them, with what was in them. */
const LEDGERS_OF_0_1_0 = `
ALTER TABLE "DepotStock" DROP COLUMN "closedUntil";
ALTER TABLE "DepotMovement" DROP COLUMN date, DROP COLUMN reverses, ADD COLUMN "createdAt" timestamptz(3) NOT NULL DEFAULT now();
ALTER TABLE "DepotReservation" DROP COLUMN "updatedAt", ALTER COLUMN "expiresAt" SET NOT NULL;
INSERT INTO "DepotStock" ("companyId", code, "onHand", opening) VALUES (1, 'a', 15, 2);
INSERT INTO "DepotMovement" ("companyId", "transactionId", line, code, quantity, "createdAt")
VALUES (1, 'november', 0, 'a', 10, '2025-11-30 12:00Z'), (1, 'december', 0, 'a', 3, '2025-12-01 12:00Z');
INSERT INTO "DepotReservation" ("companyId", "transactionId", line, code, quantity, state, "expiresAt")
VALUES (1, 'shipped', 0, 'a', 1, 'fulfilled', '2025-12-02');
ALTER TABLE "Silo" DROP COLUMN sequence, DROP COLUMN maximum;
ALTER TABLE "SiloMovement" DROP COLUMN sequence, DROP COLUMN balance, DROP COLUMN at, DROP COLUMN reverses, DROP COLUMN refused;
INSERT INTO "Silo" (code, "onHand") VALUES ('s', 5);
INSERT INTO "SiloMovement" ("transactionId", line, code, quantity) VALUES ('old', 0, 's', 5)`

test('movements of version 0.1.0 get the date that the guide gives them, which can be closed and pruned, and have no place in the history', async () => {
  const database = await breakableDatabase()
  await database.query(LEDGERS_OF_0_1_0)
  const { client } = createClient(database.url)
  const db = client
    .$extends(concurrency())
    .$extends(stock({ ...DEPOT, name: 'depot' }))
    .$extends(stock({ ...SILO, name: 'silos' }))
  try {
    const guide = await readFile(new URL('../../docs/guide/upgrading-to-0.2.md', import.meta.url), 'utf8')
    const [, dates = ''] = /```sql\n(.*?)```/s.exec(guide) ?? []
    const found = await db.$checkConcurrency()
    expect(found.map(({ where }) => where.replaceAll('"', '')).sort()).toEqual([
      'public.DepotMovement.date',
      'public.DepotMovement.reverses',
      'public.DepotReservation.expiresAt',
      'public.DepotReservation.updatedAt',
      'public.DepotStock.closedUntil',
      'public.Silo.maximum',
      'public.Silo.sequence',
      'public.SiloMovement.at',
      'public.SiloMovement.balance',
      'public.SiloMovement.refused',
      'public.SiloMovement.reverses',
      'public.SiloMovement.sequence',
    ])
    await database.query(dates.replaceAll('"Stock', '"Depot'))
    for (const { sql } of await db.$checkConcurrency()) if (sql !== undefined) await database.query(sql)
    expect(await db.$checkConcurrency()).toEqual([])

    const depot = db.$depot.in({ companyId: 1 })
    expect(await database.query(`SELECT "transactionId", date::text FROM "DepotMovement" ORDER BY date`)).toEqual([
      { transactionId: 'november', date: '2025-11-30' },
      { transactionId: 'december', date: '2025-12-01' },
    ])
    expect(await depot.close({ until: '2025-11-30' })).toMatchObject({ closed: 1 })
    const late = depot.move({ transactionId: 'late', item: 'a', quantity: 1, date: '2025-11-15' })
    await expect(late).rejects.toHaveProperty('code', 'PERIOD_CLOSED')
    await depot.prune({ forgetBefore: '2025-12-01' })
    expect(await database.query(`SELECT opening::int FROM "DepotStock"`)).toEqual([{ opening: 12 }])
    expect(await depot.audit()).toEqual([])

    await db.$silos.move({ transactionId: 'new', item: 's', quantity: 1 })
    expect(await db.$silos.history({ item: 's' })).toMatchObject([{ sequence: 1, transactionId: 'new', balance: 6 }])
    expect(await db.$silos.audit()).toEqual([])
  } finally {
    await client.$disconnect()
  }
})
