import { randomInt, randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { describeEngines, type ErpDb } from '../support/engines.js'
import { rejectionOf } from '../support/rejection.js'

describeEngines(({ connectErp, database, other }) => {
  const newProduct = async (serials: number, onHand: number) => {
    const productId = randomInt(1, 2 ** 31)
    await database.query(
      `INSERT INTO "Serial" ("productId", number) SELECT $1, 'S-' || n FROM generate_series(1, $2::int) AS n`,
      [productId, serials],
    )
    await database.query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', $2)`, [
      productId,
      onHand,
    ])
    return productId
  }
  /** Serials and the movement of the same line, under one transaction id. */
  const ship = (db: ErpDb, transactionId: string, productId: number, numbers: string[]) =>
    db.$transactionWithRetry(async (tx) => {
      const { serials, replayed } = await tx.$serials.allocate({ transactionId, where: { productId }, numbers })
      const item = { productId, warehouse: 'main' }
      const moved = await tx.$stock.move({ transactionId, item, quantity: -numbers.length })
      return {
        numbers: serials.map(({ number }) => number),
        balance: moved.balance,
        replayed: [replayed, moved.replayed],
      }
    })
  const stateOf = async (productId: number) => {
    const [row] = await database.query(
      `SELECT (SELECT count(*)::int FROM "Serial" WHERE "productId" = $1 AND "transactionId" IS NOT NULL) AS given,
  (SELECT "onHand" FROM "Stock" WHERE "productId" = $1) AS "onHand"`,
      [productId],
    )
    return row
  }

  describe('serials and the movement of the same line in one transaction under one id', () => {
    test('happen once, and a duplicate has the answer of both', async () => {
      const { db } = await connectErp()
      const { db: their } = await connectErp(other)
      const productId = await newProduct(3, 3)
      const id = randomUUID()

      const first = await ship(db, id, productId, ['S-1', 'S-3'])
      const again = await ship(their, id, productId, ['S-3', 'S-1'])

      expect(first).toEqual({ numbers: ['S-1', 'S-3'], balance: 1, replayed: [false, false] })
      expect(again).toEqual({ numbers: ['S-1', 'S-3'], balance: 1, replayed: [true, true] })
      expect(await stateOf(productId)).toEqual({ given: 2, onHand: 1 })
    })

    test('are both refused where one of them is, and leave nothing', async () => {
      const { db } = await connectErp()
      const productId = await newProduct(3, 1)
      const id = randomUUID()

      const short = await rejectionOf(ship(db, id, productId, ['S-1', 'S-2']))
      const missing = await rejectionOf(ship(db, id, productId, ['X-1']))

      expect([short, missing]).toMatchObject([{ code: 'INSUFFICIENT_STOCK' }, { code: 'SERIALS_UNAVAILABLE' }])
      expect(await stateOf(productId)).toEqual({ given: 0, onHand: 1 })
      expect(await ship(db, id, productId, ['S-2'])).toMatchObject({ balance: 0, replayed: [false, false] })
    })

    test('stay together in a storm of duplicates, on both engines', async () => {
      const { db } = await connectErp()
      const { db: their } = await connectErp(other)
      const productId = await newProduct(30, 12)
      const lists = Array.from({ length: 20 }, (_, i) => [`S-${1 + ((i * 3) % 30)}`, `S-${1 + ((i * 3 + 1) % 30)}`])
      const ids = lists.map(() => randomUUID())
      const send = (each: ErpDb, i: number) =>
        ship(each, ids[i] ?? '', productId, lists[i] ?? []).then(
          () => 'done',
          (error: { code: string }) => error.code,
        )

      const outcomes = await Promise.all(lists.flatMap((_, i) => [send(db, i), send(their, i)]))

      expect(new Set(outcomes)).toEqual(new Set(['done', 'SERIALS_UNAVAILABLE', 'INSUFFICIENT_STOCK']))
      expect(await stateOf(productId)).toEqual({ given: 12, onHand: 0 })
    })
  })
})
