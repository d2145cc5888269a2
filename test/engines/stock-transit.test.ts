import { randomInt, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { rejectionOf } from '../support/rejection.js'
import { expectExact } from '../support/stock.js'

const PLACES = ['main', 'Graz', 'TR-7', 'lost']

describeEngines(({ connectErp, database, other }) => {
  const newId = () => randomUUID()
  type Db = Awaited<ReturnType<typeof connectErp>>['db']
  /** A product of which all is in the main warehouse. */
  const newProduct = async (onHand: number) => {
    const productId = randomInt(1, 2 ** 31)
    await database.query(
      `WITH item AS (
  INSERT INTO "Stock" ("productId", warehouse, "onHand") SELECT $1, place, CASE place WHEN 'main' THEN $2::int ELSE 0 END FROM unnest($3::text[]) AS place
)
INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ('opening of ' || $1, 0, $1, 'main', $2)`,
      [productId, onHand, PLACES],
    )
    return productId
  }
  const onHand = async (productId: number) => {
    const rows = await database.query('SELECT warehouse, "onHand" FROM "Stock" WHERE "productId" = $1', [productId])
    return Object.fromEntries(rows.map(({ warehouse, onHand }) => [warehouse, onHand]))
  }
  /** The steps of a transfer of a product by a transport. */
  const transferOf = (productId: number, transport: string) => {
    const lines = (quantities: Record<string, number>) =>
      Object.entries(quantities).map(([warehouse, quantity]) => ({ item: { productId, warehouse }, quantity }))
    const step = (name: string, quantities: Record<string, number>) => (db: Pick<Db, '$stock'>) =>
      db.$stock.moveAll({ transactionId: `${name} ${transport}`, lines: lines(quantities) })
    return {
      ship: step('ship', { main: -5, 'TR-7': 5 }),
      receive: step('receive', { 'TR-7': -5, Graz: 5 }),
      receiveLess: step('receive', { 'TR-7': -5, Graz: 4, lost: 1 }),
      cancel: step('cancel', { 'TR-7': -5, main: 5 }),
    }
  }

  test('goods are on their way between ship and receive, and each is done once', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const productId = await newProduct(20)
    const { ship, receive } = transferOf(productId, newId())
    await ship(db)
    expect(await ship(their)).toMatchObject({ replayed: true })
    expect(await onHand(productId)).toEqual({ main: 15, 'TR-7': 5, Graz: 0, lost: 0 })
    await receive(their)
    expect(await receive(db)).toMatchObject({ replayed: true })
    expect(await onHand(productId)).toEqual({ main: 15, 'TR-7': 0, Graz: 5, lost: 0 })
    await expectExact(database)
  })

  test('what is missing on arrival is booked to a place of its own, and nothing disappears', async () => {
    const { db } = await connectErp()
    const productId = await newProduct(20)
    const { ship, receiveLess } = transferOf(productId, newId())
    await ship(db)
    await receiveLess(db)
    expect(await onHand(productId)).toEqual({ main: 15, 'TR-7': 0, Graz: 4, lost: 1 })
    await expectExact(database)
  })

  test('a transfer is received or cancelled, and not both, also at once', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const productId = await newProduct(20)
    const { ship, receive, cancel } = transferOf(productId, newId())
    await ship(db)
    const outcomes = await Promise.allSettled([receive(db), cancel(their)])
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'INSUFFICIENT_STOCK', shortages: [{ item: { productId, warehouse: 'TR-7' } }] },
    })
    const { main, Graz } = await onHand(productId)
    expect([main + Graz, Math.abs(main - Graz)]).toEqual([20, main === 20 ? 20 : 10])
    await expectExact(database)
  })

  test('receiving without shipping is refused, and so is shipping more than there is', async () => {
    const { db } = await connectErp()
    const productId = await newProduct(4)
    const { ship, receive } = transferOf(productId, newId())
    for (const call of [receive(db), ship(db)]) {
      expect(await rejectionOf(call)).toMatchObject({ code: 'INSUFFICIENT_STOCK' })
    }
    expect(await onHand(productId)).toEqual({ main: 4, 'TR-7': 0, Graz: 0, lost: 0 })
  })

  test('the sum over all places is the same at every moment of a storm, and from every connection', async () => {
    const { db } = await connectErp()
    const { db: their } = await connectErp(other)
    const products = await Promise.all([newProduct(30), newProduct(30)])
    let isOver = false
    const sums = new Set<number>()
    const watch = async () => {
      while (!isOver) {
        // One statement has one snapshot.
        const rows = await database.query(
          'SELECT sum("onHand")::int AS sum FROM "Stock" WHERE "productId" = ANY($1) GROUP BY "productId"',
          [products],
        )
        for (const { sum } of rows) sums.add(sum as number)
      }
    }
    const watching = [watch(), watch()]
    const transport = async (productId: number, i: number) => {
      const each = i % 2 === 0 ? db : their
      const { ship, receive, receiveLess, cancel } = transferOf(productId, newId())
      await ship(each)
      await Promise.allSettled([[receive, receiveLess][i % 3] ?? cancel, cancel].map((end) => end(each)))
    }
    const transports = products.flatMap((productId) => Array.from({ length: 30 }, (_, i) => transport(productId, i)))
    await Promise.allSettled(transports)
    isOver = true
    await Promise.all(watching)

    expect([...sums]).toEqual([30])
    await expectExact(database)
    expect(await db.$stock.audit()).toEqual([])
  })
})
