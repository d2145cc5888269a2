import { type Line, readLines, readOrders } from './orders.js'
import type { Purchase } from './shop.js'

/** All orders with their lines, in the order in which they came in. */
export async function readPurchases(): Promise<Purchase[]> {
  const lines = new Map<number, Line[]>()
  for (const line of await readLines()) lines.set(line.orderId, [...(lines.get(line.orderId) ?? []), line])
  return (await readOrders()).map((order) => ({ ...order, lines: lines.get(order.id) ?? [] }))
}
