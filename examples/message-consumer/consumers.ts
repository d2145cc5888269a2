import type { Database } from './database.js'

/** A step: it is done once. */
export interface Order {
  readonly id: string
  readonly text: string
}

/** A whole state: the newest one counts. */
export interface Price {
  readonly id: string
  readonly productId: number
  readonly price: number
  /** A number of the sender's, which grows. */
  readonly version: number
}

/** Handles an order. Acknowledge it when this has resolved, and not when it throws. */
export async function ship(db: Database, { id, text }: Order): Promise<string> {
  const { status } = await db.$inbox('shipping', id, async (tx) => {
    await tx.note.create({ data: { text } })
    if (text === '') throw new Error('there is nothing to ship')
  })
  return status
}

/** The same for all that were fetched together, in one transaction. */
export async function shipAll(db: Database, orders: readonly Order[]) {
  const { handled, duplicates } = await db.$inbox('shipping', orders, (tx, fresh) =>
    tx.note.createMany({ data: fresh.map(({ text }) => ({ text })) }),
  )
  return { handled: handled.map(({ id }) => id), duplicates: duplicates.map(({ id }) => id) }
}

/** Takes a price over, unless a newer one was there before. */
export async function setPrice(db: Database, { id, productId, price, version }: Price): Promise<string> {
  const { status } = await db.$inbox('prices', { id, key: `product ${productId}`, version }, (tx) =>
    tx.product.update({ where: { id: productId }, data: { price } }),
  )
  return status
}
