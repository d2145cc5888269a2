import { randomInt, randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { databaseName } from '../support/database.js'
import { describeEngines, rows } from '../support/engines.js'
import { expectExact } from '../support/stock.js'

const CALLERS = 16
const ORDERS_EACH = 10
const ORDERS = CALLERS * ORDERS_EACH
/** Long, so that it is the attempts that end a call; there are as many as without options. */
const PATIENT = { retry: { deadline: 60_000 } }

describeEngines(({ connectErp, database }) => {
  test('orders of hot items come through, with the usual attempts, where SERIALIZABLE is the default', async () => {
    const name = databaseName(database.url)
    await database.query(`ALTER DATABASE ${name} SET default_transaction_isolation = 'serializable'`)
    const { db } = await connectErp()
    const productIds = [randomInt(1, 2 ** 30), randomInt(2 ** 30, 2 ** 31)]
    await database.query(
      `WITH item AS (
  INSERT INTO "Stock" ("productId", warehouse, "onHand") SELECT id, 'main', $2::int FROM unnest($1::int[]) AS id
), opening AS (
  INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
  SELECT 'opening of ' || id, 0, id, 'main', $2 FROM unnest($1::int[]) AS id
)
INSERT INTO "Serial" ("productId", number) SELECT $3, 'S-' || lpad(n::text, 4, '0') FROM generate_series(1, $2) AS n`,
      [productIds, ORDERS, productIds[0]],
    )
    const order = () =>
      db.$transactionWithRetry(async (tx) => {
        const transactionId = randomUUID()
        const lines = productIds.map((productId) => ({ item: { productId, warehouse: 'main' }, quantity: -1 }))
        await tx.$stock.moveAll({ transactionId, lines })
        const [productId] = productIds
        const { serials } = await tx.$serials.allocate({ transactionId, where: { productId }, count: 1 })
        const { text } = await tx.$series.next('invoice', { transactionId })
        await rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', text)
        return { number: text, serial: serials[0]?.number }
      }, PATIENT)
    const outcomes: PromiseSettledResult<Awaited<ReturnType<typeof order>>>[] = []
    const caller = async () => {
      for (let i = 0; i < ORDERS_EACH; i++) outcomes.push(...(await Promise.allSettled([order()])))
    }

    await Promise.all(Array.from({ length: CALLERS }, caller))

    const made = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
    expect(outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))).toEqual([])
    expect(new Set(made.map(({ serial }) => serial)).size).toBe(ORDERS)
    expect(new Set(made.map(({ number }) => number)).size).toBe(ORDERS)
    expect(await database.query('SELECT sum("onHand")::int AS left FROM "Stock"')).toEqual([{ left: 0 }])
    expect(await db.$series.gaps('invoice')).toEqual([])
    await expectExact(database)
  })
})
