import { Hono } from 'hono'
import { z } from 'zod'
import { idempotencyKey } from '../http-api/idempotency-key.js'
import { body } from '../http-api/problem.js'
import type { Database } from './database.js'
import { lines, text } from './requests.js'
import { takeBack } from './shop.js'

const newReturn = z.strictObject({ invoice: text, lines: lines.optional() })

/** Goods that come back, all of an invoice or a part of it. */
export function returns(db: Database) {
  const app = new Hono()

  app.post('/', async (c) => {
    const transactionId = `return ${idempotencyKey(c.req.header('idempotency-key'))}`
    const wanted = await body(c, newReturn)
    const lines = await takeBack(db, { transactionId, ...wanted })
    return c.json({ invoice: wanted.invoice, lines }, 201)
  })

  return app
}
