import { Hono } from 'hono'
import { z } from 'zod'
import { idempotencyKey } from '../http-api/idempotency-key.js'
import { body, notFound, Problem } from '../http-api/problem.js'
import type { Database } from './database.js'
import { itemOf } from './goods.js'
import { customer, lines } from './requests.js'
import { checkOut } from './shop.js'

const newBasket = z.strictObject({
  lines,
  /** In seconds. */
  expiresIn: z.int().min(1).max(86_400).default(900),
})
const checkout = z.strictObject({ customer })

const transactionIdOf = (basket: string) => `basket ${basket}`

/** A basket is a reservation, and its id is the Idempotency-Key that it came with. */
export function baskets(db: Database) {
  const app = new Hono()

  app.post('/', async (c) => {
    const id = idempotencyKey(c.req.header('idempotency-key'))
    const { lines, expiresIn } = await body(c, newBasket)
    const { expiresAt } = await db.$stock.reserve({
      transactionId: transactionIdOf(id),
      lines: lines.map(({ productId, quantity }) => ({ item: itemOf(productId), quantity })),
      expiresIn: expiresIn * 1_000,
    })
    return c.json({ id, lines, expiresAt }, 201, { location: `/baskets/${encodeURIComponent(id)}` })
  })

  app.post('/:id/checkout', async (c) => {
    const { customer } = await body(c, checkout)
    const invoice = await checkOut(db, { transactionId: transactionIdOf(c.req.param('id')), customer })
    return c.json(invoice, 201, { location: `/invoices/${invoice.number}` })
  })

  app.delete('/:id', async (c) => {
    const { state } = await db.$stock.release({ transactionId: transactionIdOf(c.req.param('id')) })
    if (state === 'missing') throw notFound()
    if (state === 'fulfilled') throw new Problem(409, 'Checked out', 'What was in the basket has been sold.')
    return c.body(null, 204)
  })

  return app
}
