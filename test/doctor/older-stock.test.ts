import { expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { breakableDatabase } from '../support/broken.js'
import { createClient } from '../support/clients.js'
import { PALLET } from '../support/pallet-models.js'

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
