import type { Pool } from 'pg'
import { concurrency, stock } from 'prisma-extension-concurrency/pg'

/** Where the models are: a model that is not named here is a table of its own name in the search path. */
const models = {
  Stock: { schema: 'shop', table: 'stock', fields: { productId: 'product_id', onHand: 'on_hand' } },
  StockMovement: {
    schema: 'shop',
    table: 'stock_movement',
    fields: { productId: 'product_id', transactionId: 'transaction_id' },
  },
  IdempotencyKey: { schema: 'shop', table: 'once_only', fields: { createdAt: 'created_at' } },
}

export async function openShop(pool: Pool) {
  const db = (await concurrency(pool, { models })).$extends(
    stock<number, number>({
      item: { model: 'Stock', key: 'productId' },
      movement: { model: 'StockMovement' },
    }),
  )

  /** An order and what it takes from the stock, together and once, however often the request arrives. */
  const order = (
    key: string,
    request: { readonly customer: string; readonly item: number; readonly quantity: number },
  ) =>
    db.$idempotent({ key, scope: `orders of ${request.customer}`, request }, async (tx) => {
      const { balance } = await tx.$stock.move({
        transactionId: `order ${key}`,
        item: request.item,
        quantity: -request.quantity,
      })
      const { rows } = await tx.query<{ id: number }>('INSERT INTO shop.orders (customer) VALUES ($1) RETURNING id', [
        request.customer,
      ])
      return { id: rows[0]?.id, left: balance }
    })

  /** The shelves are counted by one person at a time, on whichever machine. */
  const count = (item: number, counted: number) =>
    db.$withAdvisoryLock(['shelf', item], async (tx) => {
      const { quantity } = await tx.$stock.count({ transactionId: `count of ${item}`, item, counted })
      return quantity
    })

  return { db, order, count }
}
