import type { Database } from './database.js'

/**
 * Takes an order. The message is the sure way: it is committed with the order. `onCommit` is the fast one: it wakes the relay of
 * this process, which would look a second later otherwise, and is lost if the process ends.
 */
export function takeOrder(db: Database, customer: string, onCommit: () => void): Promise<number> {
  return db.$transactionWithRetry(async (tx) => {
    const { id } = await tx.order.create({ data: { customer } })
    await tx.$outbox.add('order.created', { orderId: id }, { key: `order ${id}` })
    tx.$afterCommit(onCommit)
    if (customer === '') throw new Error('An order has a customer.') // neither of the two happens then
    return id
  })
}
