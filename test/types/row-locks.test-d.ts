import type { TransactionClient } from '../../src/index.js'
import { db, type Equal, type Expect, type Flat, type Product, type Resolved } from './support.js'

db.$transaction(async (tx) => {
  // The answer's type is that of findUnique and findMany, and follows the selection.
  const one = tx.product.findUniqueForUpdate({ where: { id: 1 } })
  type _one = Expect<Equal<Flat<NonNullable<Resolved<typeof one>>>, Product>>
  const many = tx.product.findManyForUpdate({
    where: { stock: { gt: 0 }, category: { name: 'Tea' } },
    orderBy: [{ category: { name: 'asc' } }, { id: 'asc' }],
    select: { name: true, category: { select: { id: true } } },
  })
  type _many = Expect<Equal<Resolved<typeof many>, { name: string; category: { id: number } | null }[]>>
  const included = tx.order.findManyForUpdate({ where: {}, include: { lines: { select: { id: true } } } })
  type _lines = Expect<Equal<Resolved<typeof included>[number]['lines'], { id: number }[]>>
  const omitted = tx.category.findUniqueForUpdate({ where: { name: 'Tea' }, omit: { version: true } })
  type _omitted = Expect<Equal<Resolved<typeof omitted>, { id: number; name: string } | null>>

  tx.product.findManyForUpdate({ where: {}, take: 3, mode: 'share', wait: 'block', timeout: 5 })
  tx.orderLine.findUniqueForUpdate({ where: { orderId_productId: { orderId: 1, productId: 2 } }, mode: 'update' })
  // @ts-expect-error: without `where` it would lock the table
  tx.product.findManyForUpdate({ take: 1 })
  // @ts-expect-error: the field is not in the model
  tx.product.findManyForUpdate({ where: { stok: 1 } })
  // @ts-expect-error: no such field to sort by
  tx.product.findManyForUpdate({ where: {}, orderBy: { stok: 'asc' } })
  // @ts-expect-error: a name is no unique key of a product
  tx.product.findUniqueForUpdate({ where: { name: 'Chai' } })
  // @ts-expect-error: there are three modes
  tx.product.findManyForUpdate({ where: {}, mode: 'keyShare' })
  // @ts-expect-error: there are three ways to wait
  tx.product.findManyForUpdate({ where: {}, wait: 'nowait' })
  // @ts-expect-error: the selection is Prisma's own
  tx.product.findManyForUpdate({ where: {}, select: { nam: true } })
})

const helper = (tx: TransactionClient<typeof db>) => tx.product.findUniqueForUpdate({ where: { id: 1 } })
db.$transaction(helper)
db.$transactionWithRetry(helper)
db.$withAdvisoryLock('x', helper)
