/** A process of its own that sends orders for stock, some of them at once. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { STARTING_LINE } from './starting-line.js'
import { STOCK, type StockItem, WORKER } from './stock-models.js'

export interface StockOrder {
  readonly transactionId: string
  readonly lines: readonly { readonly item: StockItem; readonly quantity: number }[]
}

export interface StockWork {
  readonly url: string
  readonly orders: readonly StockOrder[]
  /** How many orders are under way at once. */
  readonly callers: number
  /** The order that it sends before it waits. */
  readonly first?: StockOrder
  /** Whether it waits until the test lets everybody go. */
  readonly waitsAtStart?: boolean
  /** After so many verdicts it says so, and goes on. */
  readonly reportsAt?: number
}

export interface OrderVerdict {
  readonly transactionId: string
  /** `done`, `replayed`, or the code of the error. */
  readonly verdict: string
}

process.once('message', async ({ url, orders, callers, first, waitsAtStart, reportsAt }: StockWork) => {
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, application_name: WORKER }) })
    .$extends(concurrency())
    .$extends(stock({ ...STOCK, retry: { deadline: 100_000, attempts: 100 } }))
  const verdicts: OrderVerdict[] = []
  const queue = [...orders]
  const caller = async () => {
    for (let order = queue.shift(); order; order = queue.shift()) {
      const { transactionId } = order
      try {
        const { replayed } = await db.$stock.moveAll(order)
        verdicts.push({ transactionId, verdict: replayed ? 'replayed' : 'done' })
      } catch (error) {
        verdicts.push({ transactionId, verdict: (error as { code?: string }).code ?? String(error) })
      }
      if (verdicts.length === reportsAt) process.send?.('so many')
    }
  }

  if (first) await db.$stock.moveAll(first)
  if (waitsAtStart) await db.$queryRaw`SELECT pg_advisory_lock_shared(${STARTING_LINE})::text`
  await Promise.all(Array.from({ length: callers }, caller))
  await db.$disconnect()
  process.send?.(verdicts, () => process.exit(0))
})
