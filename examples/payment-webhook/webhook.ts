import { Hono } from 'hono'
import { isConcurrencyError } from 'prisma-extension-concurrency'
import { z } from 'zod'
import type { Database } from './database.js'

export interface Mail {
  readonly to: string
  readonly text: string
}

const event = z.object({
  transactionId: z.string().min(1).max(255),
  amount: z.string().regex(/^\d{1,10}\.\d{2}$/), // a text: 0.1 + 0.2 is no sum of money
  currency: z.string().regex(/^[A-Z]{3}$/),
  email: z.email(),
})

/**
 * Takes the events of a payment provider, which sends each at least once: again when our answer is
 * late or lost, and to whichever machine the load balancer picks.
 */
export function webhook(db: Database, sendMail: (mail: Mail) => Promise<void>) {
  const app = new Hono()

  app.post('/webhooks/payments', async (c) => {
    // A real one checks the provider's signature first.
    const parsed = event.safeParse(await c.req.json().catch(() => undefined))
    if (!parsed.success) return c.json({ error: z.prettifyError(parsed.error) }, 400)
    const { transactionId, amount, currency, email } = parsed.data

    const customer = await db.customer.findUnique({ where: { email } })
    if (!customer) return c.json({ error: 'There is no such customer.' }, 422)

    const { replayed } = await db.payment.createIdempotent({
      where: { transactionId },
      data: { amount, currency, customerId: customer.id },
      match: ['amount', 'currency', 'customerId'],
    })
    // Committed, and by this very request: a later duplicate sends no second mail.
    if (!replayed) await sendMail({ to: email, text: `We have received ${amount} ${currency}.` })

    // A duplicate gets the same answer, so that the provider stops sending it.
    return c.json({ transactionId, status: 'recorded' })
  })

  app.onError((error, c) => {
    if (isConcurrencyError(error, 'IDEMPOTENCY_MISMATCH')) {
      return c.json({ error: `This transaction was reported before, with another ${error.fields.join(', ')}.` }, 422)
    }
    console.error(error)
    return c.json({ error: 'Not recorded. Please send it again.' }, 500)
  })

  return app
}
