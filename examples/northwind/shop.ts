import type { PrismaPg } from '@prisma/adapter-pg'
import { concurrency, isConcurrencyError } from 'prisma-extension-concurrency'
import { serials, series, stock } from 'prisma-extension-concurrency/erp'
import { PrismaClient } from '../../generated/prisma/client.js'
import type { Line, Order } from './orders.js'

/** An order as it comes in, with all of its lines. */
export interface Purchase extends Order {
  readonly lines: readonly Line[]
}

/** The answer of the shop: sold as a whole, or refused as a whole. */
export type Answer =
  | { readonly status: 'sold'; readonly invoice: string; readonly replayed: boolean }
  | { readonly status: 'refused' }

/** Products that are sold with a serial number each. */
export const SERIALISED: ReadonlySet<number> = new Set([11, 42, 59])

export const WAREHOUSE = 'main'

/** The whole shop: one client, and one function that sells. */
export function openShop(adapter: PrismaPg) {
  // A batch job can wait longer than a web request, should the machine be busy.
  const db = new PrismaClient({ adapter })
    .$extends(concurrency({ retry: { deadline: 60_000 } }))
    .$extends(
      stock({ item: { model: 'Stock', key: ['productId', 'warehouse'] }, movement: { model: 'StockMovement' } }),
    )
    .$extends(serials())
    .$extends(series({ series: { invoice: { format: 'INV-{yyyy}-{000000}' } } }))

  /**
   * Sells an order, however often it is sent: goods, serial numbers and the invoice are one
   * transaction. The invoice number is the last thing it takes, since everybody else waits for it
   * from then on.
   */
  async function sell({ id, lines }: Purchase): Promise<Answer> {
    const transactionId = `order ${id}`
    try {
      return await db.$transactionWithRetry(async (tx) => {
        const { replayed } = await tx.$stock.moveAll({
          transactionId,
          lines: lines.map(({ productId, quantity }) => ({
            item: { productId, warehouse: WAREHOUSE },
            quantity: -quantity,
          })),
        })
        for (const { productId, quantity } of lines.filter((line) => SERIALISED.has(line.productId))) {
          const line = `${transactionId}, product ${productId}`
          await tx.$serials.allocate({
            transactionId: line,
            where: { productId },
            count: quantity,
            data: { orderId: id },
          })
        }
        const { text } = await tx.$series.next('invoice', { transactionId })
        await tx.invoice.createIdempotent({ where: { number: text }, data: { orderId: id } })
        return { status: 'sold', invoice: text, replayed }
      })
    } catch (error) {
      // Nothing was moved: an order is sold as a whole or not at all.
      if (isConcurrencyError(error, 'INSUFFICIENT_STOCK')) return { status: 'refused' }
      throw error
    }
  }

  return { db, sell }
}
