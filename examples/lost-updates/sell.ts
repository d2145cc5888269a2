import type { PrismaPg } from '@prisma/adapter-pg'
import { concurrency } from 'prisma-extension-concurrency'
import { PrismaClient } from '../../generated/prisma/client.js'
import type { Line } from '../northwind/orders.js'

/** The outcome of one order line. It is sold as a whole, or refused for want of stock. */
export interface Sale {
  readonly line: Line
  readonly isSold: boolean
  /** The stock that the decision was made on. */
  readonly before: number
  /** How often the stock was read and decided on; more than once after a conflict. */
  readonly attempts: number
}

/** A way to sell one order line: reads the stock, and writes what is left together with the line sold. */
export type Sell = (line: Line) => Promise<Sale>

export type Method = 'plain' | 'versioned'

/** The usual way: between the read and the write, nothing keeps others from doing the same. */
function plain(adapter: PrismaPg): Sell {
  const db = new PrismaClient({ adapter })

  return async (line) => {
    const { orderId, productId, quantity } = line
    const { stock } = await db.product.findUniqueOrThrow({ where: { id: productId } })
    const isSold = stock >= quantity
    if (isSold) {
      await db.product.update({
        where: { id: productId },
        data: { stock: stock - quantity, lines: { create: { orderId, quantity } } },
      })
    }
    return { line, isSold, before: stock, attempts: 1 }
  }
}

/** The same, but the write only counts if the stock is still what was read; otherwise both are done again. */
function versioned(adapter: PrismaPg): Sell {
  // A batch job can wait longer than a web request, should the machine be busy.
  const db = new PrismaClient({ adapter }).$extends(concurrency({ retry: { deadline: 30_000 } }))

  return async (line) => {
    const { orderId, productId, quantity } = line
    let sale: Sale | undefined
    await db.product.updateVersioned({
      where: { id: productId },
      data: ({ stock }, attempt) => {
        const isSold = stock >= quantity
        sale = { line, isSold, before: stock, attempts: attempt }
        return isSold ? { stock: stock - quantity, lines: { create: { orderId, quantity } } } : undefined
      },
    })
    if (sale === undefined) throw new Error('updateVersioned did not ask what to write.')
    return sale
  }
}

export const METHODS: Readonly<Record<Method, (adapter: PrismaPg) => Sell>> = { plain, versioned }
