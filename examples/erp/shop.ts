import { notFound } from '../http-api/problem.js'
import type { Database } from './database.js'
import { itemOf, type Line, type Order, type Return } from './goods.js'
import { findInvoice, type Invoice, issueInvoice } from './invoice.js'

/**
 * Sells an order: goods, serial numbers and the invoice, or nothing of it.
 *
 * The movements are the claim. The second caller waits there for the first to commit, and then
 * reads its invoice; if the first is refused or dies, nothing of it is left, and the second sells.
 */
export function sell(db: Database, { transactionId, customer, lines }: Order): Promise<Invoice> {
  return db.$transactionWithRetry(async (tx) => {
    const { replayed } = await tx.$stock.moveAll({
      transactionId,
      lines: lines.map(({ productId, quantity }) => ({ item: itemOf(productId), quantity: -quantity })),
    })
    if (replayed) return findInvoice(tx, { transactionId, customer })
    return issueInvoice(tx, { transactionId, customer, lines })
  })
}

/** Sells what a basket has reserved. The basket is the claim, so this too may come as often as it likes. */
export function checkOut(db: Database, { transactionId, customer }: Omit<Order, 'lines'>): Promise<Invoice> {
  return db.$transactionWithRetry(async (tx) => {
    const { lines, replayed } = await tx.$stock.fulfil({ transactionId })
    if (replayed) return findInvoice(tx, { transactionId, customer })
    const sold = lines.map(({ item, quantity }) => ({ productId: item.productId, quantity: -quantity }))
    return issueInvoice(tx, { transactionId, customer, lines: sold })
  })
}

/** Takes back what an invoice has sold, or a part of it; never more than was sold, however many returns there are. */
export async function takeBack(db: Database, { transactionId, invoice, lines }: Return): Promise<Line[]> {
  const found = await db.invoice.findUnique({ where: { number: invoice } })
  if (!found?.transactionId) throw notFound()
  const part = lines && { lines: lines.map(({ productId, quantity }) => ({ item: itemOf(productId), quantity })) }
  const { lines: returned } = await db.$stock.reverse({ transactionId, of: found.transactionId, ...part })
  return returned.map(({ item, quantity }) => ({ productId: item.productId, quantity }))
}
