import { expect, test } from 'vitest'
import { auditFindings } from '../support/audit-findings.js'
import { describeEngines } from '../support/engines.js'
import { newId, type PalletDb, usePallets } from '../support/pallets.js'

describeEngines((engine) => {
  const { database } = engine
  const { db: open, newPallet, movementsOf, expectExact } = usePallets(engine)
  const PATIENT = { retry: { deadline: 60_000, attempts: 1_000, baseDelay: 1, maxDelay: 5 } }

  test('parts, changes, extensions and ends of a few orders at once, each sent twice from two clients: all adds up', async () => {
    const dbs = [await open(undefined, PATIENT), await open(undefined, PATIENT)]
    const items = await Promise.all([40, 40, 40].map((onHand) => newPallet(onHand, { maximum: 60 })))
    const orders = Array.from({ length: 6 }, (_, i) => ({
      transactionId: newId(),
      expiresIn: i % 2 === 0 ? null : 60_000,
      lines: items.slice(i % 3).map((item) => ({ item, quantity: 5 })),
    }))
    for (const order of orders) await dbs[0]?.$stock.reserve(order)
    const parts: string[] = []
    const calls = Array.from({ length: 120 }, (_, n) => {
      const { transactionId: of, lines } = orders[n % 6] as (typeof orders)[number]
      const item = lines[n % lines.length]?.item as string
      const id = newId()
      const quantity = (n % 3) + 1
      switch (n % 8) {
        case 0:
        case 1:
        case 2:
          parts.push(id)
          return ({ $stock }: PalletDb) => $stock.fulfil({ transactionId: id, of, lines: [{ item, quantity }] })
        case 3:
          return ({ $stock }: PalletDb) =>
            $stock.change({ transactionId: of, lines: [{ item, quantity: 4 + quantity }] })
        case 4:
          return ({ $stock }: PalletDb) => $stock.extend({ transactionId: of, expiresIn: n % 16 === 4 ? null : 60_000 })
        case 5:
          return ({ $stock }: PalletDb) =>
            $stock.move({ transactionId: id, item, quantity: -quantity, take: 'available' })
        case 6:
          return ({ $stock }: PalletDb) => $stock.move({ transactionId: id, item, quantity: 3 * quantity })
        default:
          return ({ $stock }: PalletDb) =>
            n > 100 && parts.push(id) > 0
              ? $stock.fulfil({ transactionId: id, of, lines: [{ item, quantity: 1 }], rest: 'release' })
              : $stock.reserve({ transactionId: id, item, quantity: 9, take: 'available', expiresIn: 1 + (n % 40) })
      }
    })
    const outcomes = await Promise.allSettled(
      calls.flatMap((call) => dbs.map((db) => Promise.resolve<unknown>(call(db as PalletDb)))),
    )

    const codes = new Set(outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.code] : [])))
    const expected = [
      'INSUFFICIENT_STOCK',
      'MAXIMUM_EXCEEDED',
      'RESERVATION_ENDED',
      'RESERVATION_EXCEEDED',
      'INVALID_ARGUMENT',
    ]
    expect([...codes].filter((code) => !expected.includes(code))).toEqual([])
    for (const id of parts) expect((await movementsOf(id)).length).toBeLessThan(2)
    const [sums] = await database.query(
      `SELECT sum(-quantity)::int AS moved, (SELECT sum(fulfilled)::int FROM "PalletReservation") AS fulfilled
FROM "PalletMovement" WHERE "transactionId" = ANY($1)`,
      [parts],
    )
    expect(sums?.moved).toBe(sums?.fulfilled)
    await expectExact()
    expect(await auditFindings(dbs[0] as PalletDb)).toEqual([])
  })

  test('audit finds a reservation that is active though more is moved than it says, or fulfilled though nothing is', async () => {
    const db = await open()
    const item = await newPallet(10)
    const ids = ['part', 'open', 'done', 'rest'].map((name) => `${name} ${newId()}`)
    const [part, unmarked, done, rest] = ids as [string, string, string, string]
    for (const transactionId of ids) await db.$stock.reserve({ transactionId, item, quantity: 2, expiresIn: null })
    await db.$stock.fulfil({ transactionId: part, lines: [{ item, quantity: 1 }] })
    await db.$stock.fulfil({ transactionId: unmarked, lines: [{ item, quantity: 1 }] })
    await db.$stock.fulfil({ transactionId: newId(), of: done })
    await db.$stock.fulfil({ transactionId: newId(), of: rest, lines: [{ item, quantity: 1 }], rest: 'release' })
    expect(await auditFindings(db)).toEqual([])

    const mark = (id: string) =>
      database.query('UPDATE "PalletReservation" SET fulfilled = 0 WHERE "transactionId" = $1', [id])
    for (const id of [unmarked, done]) await mark(id)

    const states = (await auditFindings(db)).filter((finding) => finding.startsWith('RESERVATION_STATE'))
    expect(states).toEqual(
      [done, unmarked].map((id) => expect.stringContaining(`PalletReservation ${JSON.stringify(id)}, line 0: is `)),
    )
  })
})
