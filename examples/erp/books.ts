import { Hono } from 'hono'
import { notFound } from '../http-api/problem.js'
import type { Database } from './database.js'
import { shown } from './invoice.js'

export function books(db: Database) {
  const app = new Hono()

  app.get('/invoices/:number', async (c) => {
    const invoice = await db.invoice.findUnique({ where: { number: c.req.param('number') } })
    if (!invoice) throw notFound()
    return c.json(shown(invoice))
  })

  /** Whether the figures agree with one another. Anything in these lists is a fault. */
  app.get('/audit', async (c) => {
    const [stock, gaps, withoutInvoice] = await Promise.all([
      db.$stock.audit(),
      db.$series.gaps('invoice'),
      db.order.findMany({ where: { invoice: null }, select: { id: true }, take: 100 }),
    ])
    const missingInvoices = gaps.map(({ from, to }) => ({ from: String(from), to: String(to) }))
    const ordersWithoutInvoice = withoutInvoice.map(({ id }) => id)
    const isExact = [stock, missingInvoices, ordersWithoutInvoice].every(({ length }) => length === 0)
    return c.json({ isExact, stock, missingInvoices, ordersWithoutInvoice })
  })

  return app
}
