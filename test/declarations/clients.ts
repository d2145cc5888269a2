import type { PrismaPg } from '@prisma/adapter-pg'
import { concurrency, type TransactionClient } from 'prisma-extension-concurrency'
import { serials, series, stock } from 'prisma-extension-concurrency/erp'
import { PrismaClient } from './client/client.js'

export const connect = (adapter: PrismaPg) => new PrismaClient({ adapter }).$extends(concurrency())

declare const adapter: PrismaPg
export const db = connect(adapter)
export type Db = typeof db

export const connectWithOptions = () =>
  new PrismaClient({ adapter, omit: { product: { name: true } } })
    .$extends(concurrency({ version: { models: { Document: { field: 'revision' } } }, retry: { deadline: 2_000 } }))
    .$extends({
      model: { product: { shout: async (text: string) => text.toUpperCase() } },
      result: { product: { label: { needs: { id: true }, compute: ({ id }) => `no. ${id}` } } },
    })

export const erp = db
  .$extends(
    stock({
      item: { model: 'Stock', key: ['productId', 'warehouse'], onHand: 'onHand' },
      movement: { model: 'StockMovement' },
    }),
  )
  .$extends(serials())
  .$extends(series({ series: { invoice: { format: 'INV-{yyyy}-{000000}' } } }))
export type Erp = typeof erp

export function rename(id: number) {
  return db.product.updateVersioned({ where: { id }, data: () => ({ name: 'Chai' }), include: { category: true } })
}
export async function take(tx: TransactionClient<typeof db>, id: number) {
  return tx.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock - 1 }) })
}
export const takeAgain = (id: number) => db.$transactionWithRetry((tx) => take(tx, id))
export const takeLocked = (id: number) => db.$withAdvisoryLock('stock', (tx) => take(tx, id))
export const takeBoth = (id: number) => erp.$transaction((tx) => take(tx, id))
export const { product, $oncePer } = db
