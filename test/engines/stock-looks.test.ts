import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { explainStatements } from '../support/explained.js'
import { rejectionOf } from '../support/rejection.js'
import { type SiloDb, useSilos } from '../support/silos.js'

const newId = (): string => randomUUID()

describeEngines((engine) => {
  const { database } = engine
  const silos = useSilos(engine)
  const { db: open, open: openAll, depot, newSilo, newDepotSilo, expire } = silos
  const move = (db: Pick<SiloDb, '$stock'>, item: string, quantity: number, transactionId = newId()) =>
    db.$stock.move({ transactionId, item, quantity })
  const reserve = (db: SiloDb, item: string, quantity: number, transactionId = newId()) =>
    db.$stock.reserve({ transactionId, item, quantity, expiresIn: 600_000 }).then(() => transactionId)

  describe('balance and balances', () => {
    test('have what is on hand, reserved, available and deferred, without what has expired', async () => {
      const db = await open()
      const item = await newSilo({ minimum: 2 })
      await move(db, item, 20)
      await reserve(db, item, 5)
      await expire(await reserve(db, item, 4))
      const part = await reserve(db, item, 3)
      await db.$stock.fulfil({ transactionId: newId(), of: part, lines: [{ item, quantity: 1 }] })
      await expire(await reserve(db, item, 6).catch(() => reserve(db, item, 1)))
      await db.$stock.defer({ transactionId: newId(), item, quantity: 7 })
      const before = await database.query('SELECT * FROM "Silo" WHERE code = $1', [item])

      const balance = await db.$stock.balance({ item })
      expect(balance).toEqual({ item, onHand: 19, reserved: 7, available: 10, deferred: 7 })
      expect(await db.$stock.balances({ items: [item, newId(), item] })).toEqual([balance])
      expect(await database.query('SELECT * FROM "Silo" WHERE code = $1', [item])).toEqual(before)
      const error = await rejectionOf(db.$stock.move({ transactionId: newId(), item, quantity: -11 }))
      expect(error).toMatchObject({ code: 'INSUFFICIENT_STOCK', available: 10 })
    })

    test('an item that is not there is refused by balance, and left out by balances', async () => {
      const db = await open()
      const item = newId()
      expect(await rejectionOf(db.$stock.balance({ item }))).toMatchObject({ code: 'ITEM_NOT_FOUND', item })
      expect(await db.$stock.balances({ items: [item] })).toEqual([])
      expect(await db.$stock.balances({ items: [] })).toEqual([])
    })

    test('pages show each item of a scope once, in the order of the keys, those of a part of the key alone', async () => {
      const [stock, other] = [await depot(71), await depot(72)]
      for (const code of ['b', 'a', 'c']) for (const lot of ['x', 'y']) await newDepotSilo(71, lot, code)
      await newDepotSilo(72, 'x', 'a')
      await stock.move({ transactionId: newId(), item: { code: 'b', lot: 'y' }, quantity: '1.25' })
      const pages = []
      for (
        let after: { code: string; lot: string } | undefined, page = await stock.balances({ limit: 4 });
        page.length > 0;
      ) {
        pages.push(page.map(({ item }) => item.code + item.lot))
        after = page.at(-1)?.item
        page = await stock.balances({ limit: 4, after })
      }
      expect(pages).toEqual([
        ['ax', 'ay', 'bx', 'by'],
        ['cx', 'cy'],
      ])
      const ofLot = await stock.balances({ where: { lot: 'y' } })
      expect(ofLot.map(({ item, onHand }) => [item.code, Number(onHand)])).toEqual([
        ['a', 0],
        ['b', 1.25],
        ['c', 0],
      ])
      expect(await other.balances()).toHaveLength(1)
      expect(String((await stock.balance({ item: { code: 'b', lot: 'y' } })).available)).toBe('1.25')
    })
  })

  describe('history', () => {
    test('has every movement once, page by page, in both orders', async () => {
      const db = await open()
      const item = await newSilo()
      const ids = Array.from({ length: 5 }, newId)
      for (const [i, id] of ids.entries()) await move(db, item, i + 1, id)
      const first = await db.$stock.history({ item, limit: 3 })
      const next = await db.$stock.history({ item, limit: 3, after: first.at(-1) })
      expect(
        [...first, ...next].map(({ sequence, transactionId, line, quantity, balance }) => [
          sequence,
          transactionId,
          line,
          quantity,
          balance,
        ]),
      ).toEqual(ids.map((id, i) => [i + 1, id, 0, i + 1, ((i + 1) * (i + 2)) / 2]))
      expect(first[0]?.at).toBeInstanceOf(Date)
      const latest = await db.$stock.history({ item, order: 'desc', limit: 2 })
      expect(latest.map(({ sequence }) => sequence)).toEqual([5, 4])
      expect(
        (await db.$stock.history({ item, order: 'desc', after: latest.at(-1) })).map(({ sequence }) => sequence),
      ).toEqual([3, 2, 1])
    })

    test('a reader that goes on behind its last page misses nothing of what is committed meanwhile', async () => {
      const db = await open()
      const other = await open()
      const item = await newSilo({ minimum: null })
      let isOver = false
      const write = async (client: SiloDb) => {
        for (let round = 0; round < 6; round++) {
          await Promise.all(Array.from({ length: 8 }, (_, i) => move(client, item, i % 2 === 0 ? 3 : -2)))
        }
      }
      const seen: (readonly [number, number])[] = []
      const read = async () => {
        for (let last = false; !last; ) {
          last = isOver
          const after = seen.length > 0 ? { sequence: seen.length } : undefined
          for (const { sequence, balance } of await db.$stock.history({ item, after })) seen.push([sequence, balance])
        }
      }
      const reading = read()
      await Promise.all([write(db), write(other)])
      isOver = true
      await reading
      expect(seen.map(([sequence]) => sequence)).toEqual(Array.from({ length: 96 }, (_, i) => i + 1))
      expect(seen.at(-1)?.[1]).toBe(48)
      await silos.expectNumbered()
    })

    test('in a transaction a look sees the calls before it, and nobody else does', async () => {
      const db = await open()
      const item = await newSilo()
      await db.$transactionWithRetry(async (tx) => {
        const calls = [move(tx, item, 5), tx.$stock.history({ item }), tx.$stock.balance({ item })] as const
        const [, history, balance] = await Promise.all(calls)
        expect(history).toMatchObject([{ sequence: 1, balance: 5 }])
        expect(balance).toMatchObject({ onHand: 5 })
        expect(await db.$stock.history({ item })).toEqual([])
      })
      expect(await db.$stock.history({ item })).toHaveLength(1)
    })
  })

  describe('balanceAt', () => {
    test('is the balance after the last movement by then, for each moment', async () => {
      const db = await open()
      const item = await newSilo()
      for (let i = 1; i <= 20; i++) await move(db, item, i)
      // Several have one moment, as those of a batch have.
      await database.query(
        `UPDATE "SiloMovement" SET at = '2026-01-01T00:00:00Z'::timestamptz + ((sequence + 1) / 3) * interval '1 s' WHERE code = $1`,
        [item],
      )
      const history = await db.$stock.history({ item })
      for (let ms = -1_000; ms <= 9_000; ms += 500) {
        const at = new Date(Date.UTC(2026, 0, 1) + ms)
        const expected = history.findLast((entry) => entry.at <= at)?.balance ?? 0
        expect([ms, await db.$stock.balanceAt({ item, at })]).toEqual([ms, expected])
      }
      const last = await move(db, item, -1)
      const [entry] = await db.$stock.history({ item, order: 'desc', limit: 1 })
      expect(await db.$stock.balanceAt({ item, at: entry?.at ?? new Date(0) })).toBe(last.balance)
    })

    test('is found where the clock has gone back, and where the beginning of the history is gone', async () => {
      const db = await open()
      const item = await newSilo()
      for (let i = 1; i <= 6; i++) await move(db, item, i)
      const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds))
      await database.query(
        `UPDATE "SiloMovement" SET at = '2026-01-01T00:00:00Z'::timestamptz + (ARRAY[1, 2, 5, 3, 4, 9])[sequence] * interval '1 s' WHERE code = $1`,
        [item],
      )
      expect(await db.$stock.balanceAt({ item, at: at(8) })).toBe(15)
      expect(await db.$stock.balanceAt({ item, at: at(9) })).toBe(21)
      expect(await db.$stock.balanceAt({ item, at: at(0) })).toBe(0)
      await database.query('DELETE FROM "SiloMovement" WHERE code = $1 AND sequence <= 2', [item])
      expect(await db.$stock.balanceAt({ item, at: at(8) })).toBe(15)
      const error = await rejectionOf(db.$stock.balanceAt({ item, at: at(2) }))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'at' })
    })

    test('of an item that never moved it is nothing, and one that is not there is refused', async () => {
      const db = await open()
      expect(await db.$stock.balanceAt({ item: await newSilo(), at: new Date() })).toBe(0)
      expect(await rejectionOf(db.$stock.balanceAt({ item: newId(), at: new Date() }))).toMatchObject({
        code: 'ITEM_NOT_FOUND',
      })
    })
  })

  describe('reservations and statement', () => {
    test('list the lines with the state that they are in, page by page', async () => {
      const db = await open()
      const [item, other] = [await newSilo(), await newSilo()]
      await move(db, item, 20)
      await move(db, other, 20)
      const ids = { both: `a${newId()}`, late: `b${newId()}`, gone: `c${newId()}`, open: `d${newId()}` }
      await db.$stock.reserve({
        transactionId: ids.both,
        lines: [
          { item, quantity: 1 },
          { item: other, quantity: 2 },
        ],
        expiresIn: null,
      })
      await reserve(db, item, 3, ids.late)
      await reserve(db, item, 4, ids.gone)
      await reserve(db, item, 5, ids.open)
      await db.$stock.release({ transactionId: ids.gone })
      await expire(ids.late)
      const of = async (args: object) =>
        (await db.$stock.reservations({ item, ...args })).map(({ transactionId, state }) => [transactionId, state])
      expect(await of({})).toEqual([
        [ids.both, 'active'],
        [ids.late, 'expired'],
        [ids.gone, 'released'],
        [ids.open, 'active'],
      ])
      expect(await of({ state: 'active' })).toEqual([
        [ids.both, 'active'],
        [ids.open, 'active'],
      ])
      expect(await of({ state: 'expired' })).toEqual([[ids.late, 'expired']])
      const [first] = await db.$stock.reservations({ item, limit: 1 })
      expect(first).toEqual({
        transactionId: ids.both,
        line: 0,
        item,
        quantity: 1,
        fulfilled: 0,
        state: 'active',
        expiresAt: null,
      })
      expect(await of({ after: { transactionId: ids.late, line: 0 } })).toEqual([
        [ids.gone, 'released'],
        [ids.open, 'active'],
      ])
      expect(
        (await db.$stock.reservations({ after: { transactionId: ids.both, line: 0 }, limit: 1 }))[0],
      ).toMatchObject({ transactionId: ids.both, line: 1, item: other })
    })

    test('a statement has all that is recorded under a transaction id', async () => {
      const db = await open(undefined, { rememberRefusals: true })
      const [item, other] = [await newSilo(), await newSilo()]
      const [basket, receipt, refused, undo] = [newId(), newId(), newId(), newId()]
      await db.$stock.moveAll({
        transactionId: receipt,
        lines: [
          { item, quantity: 5 },
          { item: other, quantity: 3 },
        ],
      })
      await reserve(db, item, 2, basket)
      await db.$stock.fulfil({ transactionId: basket })
      await rejectionOf(move(db, item, -9, refused))
      await db.$stock.reverse({ transactionId: undo, of: receipt, lines: [{ item, quantity: 1 }] })
      expect(await db.$stock.statement({ transactionId: receipt })).toEqual({
        movements: [
          { line: 0, item, quantity: 5, state: 'applied', reverses: null },
          { line: 1, item: other, quantity: 3, state: 'applied', reverses: null },
        ],
        reservations: [],
      })
      expect(await db.$stock.statement({ transactionId: basket })).toMatchObject({
        movements: [{ item, quantity: -2, state: 'applied' }],
        reservations: [{ item, quantity: 2, fulfilled: 2, state: 'fulfilled', expiresAt: expect.any(Date) }],
      })
      expect((await db.$stock.statement({ transactionId: refused })).movements).toMatchObject([{ state: 'refused' }])
      expect((await db.$stock.statement({ transactionId: undo })).movements).toMatchObject([
        { reverses: receipt, quantity: -1 },
      ])
      expect(await db.$stock.statement({ transactionId: newId() })).toEqual({ movements: [], reservations: [] })
    })

    test('of a scope they show nothing of another one', async () => {
      const [stock, other] = [await depot(81), await depot(82)]
      const transactionId = newId()
      const item = await newDepotSilo(81, 'x')
      await stock.defer({ transactionId, item, quantity: '2.5' })
      await stock.move({ transactionId: newId(), item, quantity: '4' })
      await stock.reserve({ transactionId: newId(), item, quantity: '1.5', expiresIn: 60_000 })
      const { movements } = await stock.statement({ transactionId })
      expect(movements).toMatchObject([{ item, state: 'deferred' }])
      expect(String(movements[0]?.quantity)).toBe('2.5')
      expect(await stock.reservations({ state: 'active' })).toMatchObject([{ item }])
      expect(String((await stock.balance({ item })).deferred)).toBe('2.5')
      expect((await stock.history({ item })).map(({ balance }) => String(balance))).toEqual(['4'])
      expect(String(await stock.balanceAt({ item, at: new Date(Date.now() + 60_000) }))).toBe('4')
      expect(await other.statement({ transactionId })).toEqual({ movements: [], reservations: [] })
      expect(await other.reservations()).toEqual([])
      expect(await other.history({ item })).toEqual([])
    })
  })

  test('audit says where a history is broken', async () => {
    const db = await open()
    const items: string[] = await Promise.all(Array.from({ length: 6 }, () => newSilo()))
    for (const item of items) for (const quantity of [5, 1, 2, 3]) await move(db, item, quantity)
    const [gap = '', wrong = '', twice = '', tail = '', behind = '', whole = ''] = items
    expect((await db.$stock.audit()).filter(({ item }) => items.includes(item))).toEqual([])
    const change = (set: string, item: string) => database.query(`UPDATE "SiloMovement" SET ${set}`, [item])
    await change(`sequence = NULL WHERE code = $1 AND sequence = 3`, gap)
    await change(`balance = 7 WHERE code = $1 AND sequence = 2`, wrong)
    await change(`sequence = 1 WHERE code = $1 AND sequence = 2`, twice)
    await change(`sequence = NULL, balance = NULL WHERE code = $1 AND sequence = 4`, tail)
    await database.query('UPDATE "Silo" SET sequence = 2 WHERE code = $1', [behind])
    await change('sequence = NULL WHERE code = $1 AND sequence < 3', whole)
    const found = (await db.$stock.audit()).filter(({ item }) => items.includes(item))
    expect(new Map(found.map(({ item, brokenAt }) => [item, brokenAt]))).toEqual(
      new Map([
        [gap, 3],
        [wrong, 2],
        [twice, 1],
        [tail, 4],
        [behind, 3],
      ]),
    )
  })

  test('at 100,000 rows a look reads no more of them than it shows, by any plan', async () => {
    const { db, pool } = await openAll()
    await database.query(`
INSERT INTO "Silo" (code, "onHand", sequence) SELECT 'large ' || n, 10000, 10000 FROM generate_series(1, 10) AS n;
INSERT INTO "SiloMovement" ("transactionId", line, code, quantity, sequence, balance, at)
SELECT 'large ' || s || ' ' || n, 0, 'large ' || s, 1, n, n, '2026-01-01'::timestamptz + n * interval '1 s'
FROM generate_series(1, 10) AS s, generate_series(1, 10000) AS n;
INSERT INTO "SiloReservation" ("transactionId", line, code, quantity, state)
SELECT 'large ' || n, 0, 'large ' || n % 10, 1, CASE WHEN n % 1000 = 0 THEN 'active' ELSE 'released' END FROM generate_series(1, 100000) AS n;
ANALYZE "Silo", "SiloMovement", "SiloReservation"`)
    const item = 'large 7'
    await db.$stock.defer({ transactionId: newId(), item, quantity: 1 })
    const explained = explainStatements(pool, /"Silo/)
    const looks: [number, () => Promise<unknown>][] = [
      [200, () => db.$stock.balance({ item })],
      [400, () => db.$stock.balances({ items: [item, 'large 8'] })],
      [20, () => db.$stock.history({ item, limit: 10, after: { sequence: 5_000 } })],
      [20, () => db.$stock.history({ item, order: 'desc', limit: 10 })],
      [60, () => db.$stock.balanceAt({ item, at: new Date('2026-01-01T01:00:00Z') })],
      [200, () => db.$stock.reservations({ item, state: 'active' })],
      [20, () => db.$stock.reservations({ limit: 10, after: { transactionId: 'large 5', line: 0 } })],
      [20, () => db.$stock.reservations({ state: 'active', limit: 10, after: { transactionId: 'large 5', line: 0 } })],
      [10, () => db.$stock.statement({ transactionId: 'large 7 500' })],
    ]
    for (const [i, [most, look]] of looks.entries()) {
      explained.length = 0
      await look()
      expect([i, explained.length]).toEqual([i, 1])
      expect([i, explained[0]?.rows, (explained[0]?.rows ?? most) < most]).toEqual([i, expect.any(Number), true])
    }
  })

  test('bad arguments are refused before any SQL, and what needs columns says which', async () => {
    const db = await open()
    const item = await newSilo()
    const refusals: [string, () => Promise<unknown>][] = [
      ['item', () => db.$stock.balance({ item: 7 as never })],
      ['limit', () => db.$stock.balances({ limit: 0 })],
      ['items', () => db.$stock.balances({ items: item as never })],
      ['items[0]', () => db.$stock.balances({ items: [7 as never] })],
      ['where.lot', () => db.$stock.balances({ where: { lot: 'x' } as never })],
      ['order', () => db.$stock.history({ item, order: 'up' as never })],
      ['after.sequence', () => db.$stock.history({ item, after: { sequence: 1.5 } })],
      ['at', () => db.$stock.balanceAt({ item, at: '2026-01-01' as never })],
      ['at', () => db.$stock.balanceAt({ item, at: new Date(Number.NaN) })],
      ['state', () => db.$stock.reservations({ state: 'gone' as never })],
      ['transactionId', () => db.$stock.statement({ transactionId: '' })],
      ['sku', () => db.$stock.statement({ transactionId: 'a', sku: 1 } as never)],
    ]
    for (const [field, call] of refusals) {
      expect([field, await rejectionOf(call())]).toMatchObject([field, { code: 'INVALID_ARGUMENT', field }])
    }
    const plain = await open(undefined, {
      stock: { item: { model: 'Pallet', key: 'code' }, movement: { model: 'PalletMovement' } },
    })
    for (const call of [plain.$stock.history({ item }), plain.$stock.balanceAt({ item, at: new Date() })]) {
      expect(await rejectionOf(call)).toMatchObject({
        code: 'CONFIGURATION',
        issues: ['item.sequence', 'movement.sequence', 'movement.balance', 'movement.at'].map((path) => ({ path })),
      })
    }
    expect(await rejectionOf(plain.$stock.reservations())).toMatchObject({
      code: 'CONFIGURATION',
      issues: [{ path: 'reservation' }],
    })
  })
})
