import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { idempotencyKey } from '../http-api/idempotency-key.js'
import { body, notFound, Problem } from '../http-api/problem.js'
import type { Database } from './database.js'
import { itemOf, SERIALISED } from './goods.js'
import { LARGEST_INT, productId, quantity, text } from './requests.js'

const receipt = z.strictObject({ quantity, serials: z.array(text).min(1).max(10_000).optional() })
const stocktake = z.strictObject({ counted: z.int().min(0).max(LARGEST_INT) })

export function stock(db: Database) {
  const app = new Hono()

  app.get('/:product', async (c) => {
    const item = itemOf(productOf(c))
    // Of one moment, so that what is being folded is in one of the two figures and not in both.
    const [found, { _sum }] = await db.$transaction(
      [
        db.stock.findUnique({ where: { productId_warehouse: item } }),
        db.stockMovement.aggregate({ where: { ...item, applied: false }, _sum: { quantity: true } }),
      ],
      { isolationLevel: 'RepeatableRead' },
    )
    if (!found) throw notFound()
    const { onHand, reserved } = found
    return c.json({ productId: item.productId, onHand, reserved, arriving: _sum.quantity ?? 0 })
  })

  /** Goods that come in: nobody waits for a lock, and the fold brings them into the balance. */
  app.post('/:product/receipts', async (c) => {
    const transactionId = `receipt ${idempotencyKey(c.req.header('idempotency-key'))}`
    const product = productOf(c)
    const { quantity, serials } = await body(c, receipt)
    checkSerials(product, quantity, serials)
    const arrival = { transactionId, item: itemOf(product), quantity }
    if (serials === undefined) {
      await db.$stock.defer(arrival)
    } else {
      await db.$transactionWithRetry(async (tx) => {
        await tx.$stock.defer(arrival)
        await tx.$serials.import({ transactionId, data: { productId: product }, numbers: serials })
      })
    }
    return c.json({ productId: product, quantity }, 202)
  })

  app.post('/:product/counts', async (c) => {
    const transactionId = `count ${idempotencyKey(c.req.header('idempotency-key'))}`
    const product = productOf(c)
    const { counted } = await body(c, stocktake)
    const { quantity } = await db.$stock.count({ transactionId, item: itemOf(product), counted })
    return c.json({ productId: product, difference: quantity }, 201)
  })

  return app
}

/** @throws Problem 404: there is nothing at an id that cannot be */
function productOf(c: Context): number {
  const parsed = z.coerce.number().pipe(productId).safeParse(c.req.param('product'))
  if (!parsed.success) throw notFound()
  return parsed.data
}

function checkSerials(product: number, quantity: number, serials: readonly string[] | undefined): void {
  const expected = SERIALISED.has(product) ? quantity : 0
  if ((serials?.length ?? 0) === expected && new Set(serials).size === expected) return
  throw new Problem(400, 'The serials do not fit', `There must be ${expected} of them, each another.`)
}
