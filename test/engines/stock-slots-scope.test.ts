import { beforeEach, describe, expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { rejectionOf } from '../support/rejection.js'
import { LEDGER_NAMES, type Site, useSeats } from '../support/seats.js'
import { newId } from '../support/tickets.js'

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0)

describeEngines((engine) => {
  describe.each(LEDGER_NAMES)('items with slots, whose scope is %s', (ledger) => {
    const { at, fill, slotsOf, connectAt, clear, expectExact } = useSeats(engine, ledger)
    beforeEach(() => clear())

    // A value that all rows of a statement have in common is sent once, and the others as lists: each must keep its name.
    test.each<[string, (n: number) => Site]>([
      ['the company', (n) => ({ companyId: 7, site: n })],
      ['the site', (n) => ({ companyId: n, site: 7 })],
      ['nothing', (n) => ({ companyId: n, site: n + 10 })],
    ])('calls at once of sites that have %s in common move, borrow and count their own', async (_, siteOf) => {
      const [first, second] = [await connectAt(0), await connectAt(1)]
      const sites = [1, 2, 3].map((n) => siteOf(n))
      const others = sites.map(({ companyId, site }) => ({ companyId: site, site: companyId }))
      for (const site of [...sites, ...others]) {
        await fill(site, 'a', 9, 9)
        await fill(site, 'b', 9, 9)
      }
      // Once their slots are known, calls at once are one batch.
      for (const site of sites) for (const db of [first, second]) await at(db, site).moveAll({ a: 1, b: 1 })

      await Promise.all(
        sites.flatMap((site, n) => [
          at(first, site).move('a', -(n + 1)),
          at(second, site).move('a', -(n + 1)),
          at(first, site).moveAll({ a: -1, b: -2 }),
          at(second, site).moveAll({ b: -1, a: -1 }),
        ]),
      )
      const moved = await Promise.all(sites.map((site) => at(second, site).balances()))
      await Promise.all(sites.map((site, n) => at(first, site).move('b', -(15 - n))))
      const answers = await Promise.all(sites.map((site) => at(second, site).setSlots('a', 3)))

      expect(moved).toEqual([1, 2, 3].map((n) => [18 - 2 * n, 17]))
      expect(await Promise.all(sites.map((site) => at(first, site).balances()))).toEqual([
        [16, 2],
        [14, 3],
        [12, 4],
      ])
      expect(answers).toEqual(Array(3).fill({ count: 3, before: 2 }))
      expect((await slotsOf(sites[2] as Site, 'a')).length).toBe(3)
      const untouched = others.filter((other) => !sites.some((site) => JSON.stringify(site) === JSON.stringify(other)))
      for (const other of untouched)
        expect([await slotsOf(other, 'a'), await slotsOf(other, 'b')]).toEqual([
          [9, 9],
          [9, 9],
        ])
      await expectExact(first, [...sites, ...untouched])
    })

    test('the same item of two companies is sold at once by two clients, each to its last unit', async () => {
      const clients = [await connectAt(0), await connectAt(1)]
      const [plenty, few] = [
        { companyId: 1, site: 1 },
        { companyId: 2, site: 1 },
      ]
      await fill(plenty, 'a', 12, 12)
      await fill(few, 'a', 3, 2)
      const sold = (site: Site) =>
        clients.flatMap((db) =>
          Array.from({ length: 10 }, () =>
            at(db, site)
              .move('a', -1)
              .then(
                () => 'sold',
                (error) => error.code,
              ),
          ),
        )

      const [ofPlenty, ofFew] = await Promise.all([Promise.all(sold(plenty)), Promise.all(sold(few))])

      expect(ofPlenty).toEqual(Array(20).fill('sold'))
      expect(ofFew.filter((outcome) => outcome === 'sold')).toHaveLength(5)
      expect(ofFew.filter((outcome) => outcome === 'INSUFFICIENT_STOCK')).toHaveLength(15)
      expect([sum(await slotsOf(plenty, 'a')), sum(await slotsOf(few, 'a'))]).toEqual([4, 0])
      await expectExact(clients[0] as never, [plenty, few])
    })

    test('a transaction id is one request in each company, whichever slot it comes to', async () => {
      const [first, second] = [await connectAt(0), await connectAt(1)]
      const sites = [1, 2].map((companyId) => ({ companyId, site: 1 }))
      for (const site of sites) await fill(site, 'a', 5, 5)
      const transactionId = newId()
      const move = (db: typeof first, site: Site) => at(db, site).move('a', -2, transactionId)

      const answers = await Promise.all(sites.map((site) => move(first, site)))
      const again = await Promise.all(sites.map((site) => move(second, site)))
      const other = await rejectionOf(at(second, sites[1] as Site).move('a', -3, transactionId))

      expect([...answers, ...again].map(({ replayed }) => replayed)).toEqual([false, false, true, true])
      expect(other).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
      expect(await Promise.all(sites.map((site) => at(first, site).balance('a')))).toEqual([8, 8])
      await expectExact(first, sites)
    })
  })
})
