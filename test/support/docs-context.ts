import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency } from 'prisma-extension-concurrency'
import { serials, series, stock } from 'prisma-extension-concurrency/erp'
import { inbox, leases, outbox, steps } from 'prisma-extension-concurrency/work'
import { PrismaClient } from '../../generated/prisma/client.js'

/** The context of the examples in the README and in docs: a client, a product, and a request to handle. */
const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL })
export const base = new PrismaClient({ adapter })
const db = base
  .$extends(concurrency())
  .$extends(
    stock({
      item: { model: 'Stock', key: ['productId', 'warehouse'] },
      movement: { model: 'StockMovement' },
      reservation: { model: 'StockReservation' },
    }),
  )
  .$extends(serials())
  .$extends(leases())
  .$extends(outbox({ topics: {} as { 'note.created': { noteId: number } } }))
  .$extends(inbox({ version: {} }))
  .$extends(steps())
  .$extends(
    series({
      series: {
        invoice: { format: 'INV-{yyyy}-{000000}', document: { model: 'Invoice' } },
        ticket: { blocks: 100 },
      },
    }),
  )

/** A lock as programs take it from Redis. */
const redis = {
  acquire: async (_name: string, _leaseMilliseconds: number) => randomUUID(),
  release: async (_name: string, _token: string) => {},
}

/** Another system, which knows a call that comes again by its key. */
const bank = {
  charge: async (_: { amount: string; idempotencyKey: string }) => ({
    id: 'ch_1',
    declined: undefined as string | undefined,
  }),
  refund: async (_: { charge: string; idempotencyKey: string }) => {},
}

export async function context() {
  const { id } = await db.product.create({ data: { name: 'Chai', stock: 39 } })
  return {
    base,
    db,
    redis,
    bank,
    id,
    transactionId: randomUUID(),
    tenantId: 1,
    sku: 'A-1',
    body: { amount: '12.50' },
    sendMail: async (_about: unknown) => {},
  }
}
