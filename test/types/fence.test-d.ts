import { stock } from '../../src/erp.js'
import { stock as onPool, type PgClient } from '../../src/pg.js'
import { type Lease, type LeaseFence, leases } from '../../src/work.js'
import { db } from './support.js'

const shop = db
  .$extends(
    stock({
      item: { model: 'Product', key: 'id', onHand: 'stock' },
      movement: { model: 'ProductMovement', item: 'productId' },
    }),
  )
  .$extends(leases())
declare const lease: Lease
declare const fence: LeaseFence

shop.product.updateVersioned({ where: { id: 1, version: 0 }, data: { stock: 1 }, fence: lease })
shop.product.updateVersioned({ where: { id: 1 }, data: ({ stock }) => ({ stock: stock - 1 }), fence: lease })
shop.product.tryUpdateVersioned({ where: { id: 1, version: 0 }, data: { stock: 1 }, fence: lease })
shop.product.deleteVersioned({ where: { id: 1, version: 0 }, fence: lease })
shop.product.updateManyVersioned([{ where: { id: 1, version: 0 }, data: { stock: 1 } }], { fence: lease })
shop.payment.createIdempotent({ where: { transactionId: 'a' }, data: { amount: 1 }, fence: lease })
shop.$stock.move({ transactionId: 'a', item: 1, quantity: -1, fence: lease })
shop.$transaction(async (tx) => tx.$stock.release({ transactionId: 'a', fence: lease }))

// @ts-expect-error: data of another process is for $assertLease
shop.product.updateVersioned({ where: { id: 1, version: 0 }, data: { stock: 1 }, fence })
// @ts-expect-error: so it is here
shop.$stock.move({ transactionId: 'a', item: 1, quantity: -1, fence })
// @ts-expect-error: a read needs none
shop.$stock.balance({ item: 1, fence: lease })

declare const pool: PgClient
const own = pool.$extends(
  onPool<number, number>({
    item: { model: 'Product', key: 'id', onHand: 'stock' },
    movement: { model: 'ProductMovement', item: 'productId' },
  }),
)
own.$stock.move({ transactionId: 'a', item: 1, quantity: -1, fence: lease })
// @ts-expect-error: a token alone is no fence
own.$stock.move({ transactionId: 'a', item: 1, quantity: -1, fence: lease.token })
