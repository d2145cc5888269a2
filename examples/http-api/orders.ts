import { Hono } from 'hono'
import { z } from 'zod'
import type { Database } from './database.js'
import { etag } from './etag.js'
import { idempotencyKey } from './idempotency-key.js'
import { body, idOf, notFound, Problem } from './problem.js'

const newOrder = z.strictObject({
  lines: z
    .array(
      z.strictObject({
        productId: z
          .int()
          .min(1)
          .max(2 ** 31 - 1),
        quantity: z.int().min(1).max(1_000_000),
      }),
    )
    .min(1)
    .max(100)
    .refine((lines) => new Set(lines.map(({ productId }) => productId)).size === lines.length, 'a product twice'),
})

const include = { lines: { select: { productId: true, quantity: true }, orderBy: { productId: 'asc' } } } as const

const shown = ({ id, lines }: { id: number; lines: object[] }) => ({ id, lines })

export function orders(db: Database) {
  const app = new Hono<{ Variables: { user: string } }>()

  app.use(async (c, next) => {
    // Stands for whatever tells you who is calling. Not to be trusted like this.
    const user = z.string().min(1).max(100).safeParse(c.req.header('x-user'))
    if (!user.success) throw new Problem(401, 'Who are you?', 'Send your name as x-user.')
    c.set('user', user.data)
    await next()
  })

  app.get('/:id', async (c) => {
    const order = await db.order.findUnique({ where: { id: idOf(c), customer: c.get('user') }, include })
    if (!order) throw notFound()
    return c.json(shown(order), 200, { etag: etag(order.version) })
  })

  /** Takes all the products out of stock, or none. */
  app.post('/', async (c) => {
    const user = c.get('user')
    const key = idempotencyKey(c.req.header('idempotency-key'))
    const request = await body(c, newOrder)

    // Two users may send the same key, and one user may use a key of another endpoint's.
    const scope = JSON.stringify([user, 'POST /orders'])
    const { result } = await db.$idempotent({ key, scope, request, whileRunning: 'refuse' }, async (tx) => {
      for (const { productId, quantity } of request.lines.toSorted((a, b) => a.productId - b.productId)) {
        const taken = await tx.product.tryUpdateVersioned({
          where: { id: productId },
          data: ({ stock }) => (stock < quantity ? undefined : { stock: stock - quantity }),
          select: { stock: true },
        })
        // Thrown, so that nothing is kept, the key neither: the same request may succeed after a delivery.
        if (taken.status === 'missing') throw new Problem(409, 'No such product', `There is no product ${productId}.`)
        if (taken.status === 'unchanged') {
          const detail = `Of product ${productId}, ${taken.record.stock} are left.`
          throw new Problem(409, 'Not enough in stock', detail)
        }
      }
      const order = await tx.order.create({ data: { customer: user, lines: { create: request.lines } }, include })
      return { status: 201 as const, body: shown(order) }
    })
    return c.json(result.body, result.status, { location: `/orders/${result.body.id}` })
  })

  return app
}
