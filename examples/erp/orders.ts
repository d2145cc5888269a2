import { Hono } from 'hono'
import { z } from 'zod'
import { idempotencyKey } from '../http-api/idempotency-key.js'
import { body } from '../http-api/problem.js'
import type { Database } from './database.js'
import { customer, lines } from './requests.js'
import { sell } from './shop.js'

const newOrder = z.strictObject({ customer, lines })

export function orders(db: Database) {
  const app = new Hono()

  app.post('/', async (c) => {
    // The word in front keeps the keys of the endpoints apart. With several tenants, put theirs there too.
    const transactionId = `order ${idempotencyKey(c.req.header('idempotency-key'))}`
    const invoice = await sell(db, { transactionId, ...(await body(c, newOrder)) })
    return c.json(invoice, 201, { location: `/invoices/${invoice.number}` })
  })

  return app
}
