import type { Database } from './database.js'
import { itemOf, type Order } from './goods.js'
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
