import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import { ARCHIVE } from '../support/archive-models.js'
import { describeEngines } from '../support/engines.js'
import { rejectionOf } from '../support/rejection.js'

const [JANUARY, FEBRUARY, MARCH] = ['2026-01-31', '2026-02-10', '2026-03-10']

describeEngines(({ connect, database, name }) => {
  const newId = (): string => randomUUID()
  const open = async () => {
    const { db, client } = await connect()
    const own = () => db.$extends(stock<string, number>(ARCHIVE))
    const prisma = () => client.$extends(concurrency()).$extends(prismaStock(ARCHIVE))
    return name === 'pg' ? own() : (prisma() as unknown as ReturnType<typeof own>)
  }
  const newItem = async (): Promise<string> => {
    const code = randomUUID()
    await database.query('INSERT INTO "ArchiveStock" (code) VALUES ($1)', [code])
    return code
  }
  type Db = Awaited<ReturnType<typeof open>>
  const move = (db: Db, item: string, quantity: number, date: string) =>
    db.$stock.move({ transactionId: newId(), item, quantity, date })
  const numbersOf = async (db: Db, item: string) => (await db.$stock.history({ item })).map((entry) => entry.sequence)
  const audited = async (db: Db, ...items: string[]) =>
    (await db.$stock.audit()).filter(({ item }) => items.includes(item))

  test('the beginning of a history goes into the opening balance, and its last movement stays', async () => {
    const db = await open()
    const [item, still] = [await newItem(), await newItem()]
    for (const quantity of [5, 3, -2]) await move(db, item, quantity, JANUARY)
    for (const quantity of [4, 1]) await move(db, still, quantity, JANUARY)
    await move(db, item, 10, FEBRUARY)
    const [first] = await db.$stock.history({ item })
    await db.$stock.close({ until: JANUARY })

    expect(await db.$stock.prune({ forgetBefore: MARCH })).toEqual({ movements: 4, reservations: 0 })

    expect(await numbersOf(db, item)).toEqual([4])
    expect(await numbersOf(db, still)).toEqual([2])
    expect(await db.$stock.balanceAt({ item, at: new Date() })).toBe(16)
    expect(await db.$stock.balanceAt({ item: still, at: new Date() })).toBe(5)
    expect(await audited(db, item, still)).toEqual([])
    // Of what is gone nothing is made up.
    expect(await rejectionOf(db.$stock.balanceAt({ item, at: first?.at as Date }))).toMatchObject({ field: 'at' })
    expect(await rejectionOf(db.$stock.history({ item, after: { sequence: 2 } }))).toMatchObject({ field: 'after' })
    expect(await db.$stock.history({ item, after: { sequence: 3 } })).toHaveLength(1)
    const backwards = (sequence: number) => db.$stock.history({ item, order: 'desc', after: { sequence } })
    expect((await backwards(5)).map(({ sequence }) => sequence)).toEqual([4])
    expect(await rejectionOf(backwards(4))).toMatchObject({ field: 'after' })
    await move(db, item, 1, FEBRUARY)
    expect(await numbersOf(db, item)).toEqual([4, 5])
  })

  test('a movement stays behind one that stays, and so does the other line of its transaction', async () => {
    const db = await open()
    const [item, other] = [await newItem(), await newItem()]
    await move(db, item, 5, FEBRUARY)
    await move(db, item, 3, JANUARY)
    await move(db, other, 2, JANUARY)
    const lines = [
      { item, quantity: -1 },
      { item: other, quantity: 1 },
    ]
    await db.$stock.moveAll({ transactionId: newId(), lines, date: JANUARY })
    await move(db, other, 1, JANUARY)
    await move(db, item, 1, FEBRUARY)
    await move(db, other, 1, FEBRUARY)
    await db.$stock.close({ until: JANUARY })

    expect(await db.$stock.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 1 })
    expect(await numbersOf(db, item)).toEqual([1, 2, 3, 4])
    expect(await numbersOf(db, other)).toEqual([2, 3, 4])
    expect(await audited(db, item, other)).toEqual([])

    await db.$stock.close({ until: FEBRUARY })
    expect(await db.$stock.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 6 })
    expect(await numbersOf(db, item)).toEqual([4])
    expect(await numbersOf(db, other)).toEqual([4])
    expect(await audited(db, item, other)).toEqual([])
  })

  test('moves beside two prunes keep every history whole, at every moment', async () => {
    const [db, second] = [await open(), await open()]
    const items = await Promise.all(Array.from({ length: 3 }, newItem))
    for (const item of items) for (let i = 0; i < 5; i++) await move(db, item, 1, JANUARY)
    await db.$stock.close({ until: JANUARY })
    let isOver = false
    const moving = Promise.all(
      items.map(async (item) => {
        for (let i = 0; i < 15; i++) await move(db, item, 1, FEBRUARY)
      }),
    ).finally(() => {
      isOver = true
    })
    const pruning = [db, second].map(async (each, i) => {
      while (!isOver) {
        await each.$stock.prune({ forgetBefore: MARCH, batchSize: 2 })
        if (i === 0) await each.$stock.close({ until: FEBRUARY })
        await each.$stock.close({ until: JANUARY, reopen: true })
      }
    })
    const auditing = (async () => {
      while (!isOver) expect(await audited(db, ...items)).toEqual([])
    })()
    await moving.catch((error: { code?: string }) => expect(error.code).toBe('PERIOD_CLOSED'))
    await Promise.all([...pruning, auditing])

    expect(await audited(db, ...items)).toEqual([])
    for (const item of items) {
      const numbers = await numbersOf(db, item)
      expect(numbers).toEqual(numbers.map((_, i) => (numbers[0] ?? 0) + i))
    }
  })

  test('what moved an item before it had numbers stays until the first number goes, and of then nothing is made up', async () => {
    const db = await open()
    const [item, still] = [await newItem(), await newItem()]
    for (const code of [item, still])
      await database.query(
        `WITH moved AS (UPDATE "ArchiveStock" SET "onHand" = 7 WHERE code = $1)
INSERT INTO "ArchiveMovement" ("transactionId", line, code, quantity, date) VALUES ($2, 0, $1, 7, $3)`,
        [code, newId(), JANUARY],
      )
    for (let i = 0; i < 2; i++) await move(db, item, 1, FEBRUARY)
    const before = async () => rejectionOf(db.$stock.balanceAt({ item, at: new Date('2000-01-01') }))

    const left = (code: string) => database.query('SELECT FROM "ArchiveMovement" WHERE code = $1', [code])

    await db.$stock.close({ until: JANUARY })
    await db.$stock.prune({ forgetBefore: MARCH })
    expect(await left(item)).toHaveLength(3)
    expect(await before()).toMatchObject({ field: 'at' })
    await db.$stock.close({ until: FEBRUARY })
    await db.$stock.prune({ forgetBefore: MARCH })
    expect(await left(item)).toHaveLength(1)
    expect(await left(still)).toHaveLength(1)
    expect(await before()).toMatchObject({ field: 'at' })
    expect(await rejectionOf(db.$stock.balanceAt({ item: still, at: new Date() }))).toMatchObject({ field: 'at' })
    expect(await audited(db, item, still)).toEqual([])
  })
})
