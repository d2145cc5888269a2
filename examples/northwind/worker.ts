/** One of the four processes: sends its share of the orders, and then its neighbour's share once more. */
import { PrismaPg } from '@prisma/adapter-pg'
import { readPurchases } from './purchases.js'
import { type Answer, openShop } from './shop.js'

/** Sent to a worker when it starts. */
export interface Task {
  readonly url: string
  /** Its place among the workers. */
  readonly index: number
  readonly of: number
}

/** Sent by a worker for every order that it has an answer to, and at the end. */
export type Report = { readonly kind: 'answer'; readonly status: Answer['status'] } | { readonly kind: 'done' }

/** How many orders a worker has in hand at a time. */
const IN_HAND = 8

const report = (message: Report) => process.send?.(message)
// The process that started this one is gone, so nobody waits for its work.
process.once('disconnect', () => process.exit(1))

process.once('message', async ({ url, index, of }: Task) => {
  const { db, sell } = openShop(new PrismaPg({ connectionString: url, max: IN_HAND }))
  const purchases = await readPurchases()
  const shareOf = (worker: number) => purchases.filter((_, i) => i % of === worker % of)
  const sent = [...shareOf(index), ...shareOf(index + 1)].values()

  async function sendOrders() {
    for (const purchase of sent) report({ kind: 'answer', status: (await sell(purchase)).status })
  }
  await Promise.all(Array.from({ length: IN_HAND }, sendOrders))
  await db.$disconnect()
  report({ kind: 'done' })
})
