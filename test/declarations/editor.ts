import { concurrency } from 'prisma-extension-concurrency'
import { stock } from 'prisma-extension-concurrency/erp'
import type { erp as client } from './clients.js'

declare const db: typeof client

concurrency({
  /*core*/
})
concurrency({
  retry: {
    /*retry*/
  },
})
stock({
  item: {
    /*item*/
  },
})
db.product.updateVersioned({
  /*update*/
})
db.product.createIdempotent({
  /*insert*/
})

export const onModel = [
  db.product./*1*/ updateVersioned({ where: { id: 1 }, data: () => undefined }),
  db.product./*2*/ tryUpdateVersioned,
  db.product./*3*/ deleteVersioned({ where: { id: 1, version: 1 } }),
  db.product./*4*/ updateManyVersioned([]),
  db.product./*5*/ createIdempotent({ where: { id: 1 }, data: { name: '' } }),
]
export const onClient = [
  db./*6*/ $transactionWithRetry(async () => 1),
  db./*7*/ $withAdvisoryLock('', async () => 1),
  db./*8*/ $advisoryXactLock(''),
  db./*9*/ $tryAdvisoryXactLock,
  db./*10*/ $idempotent({ key: '', scope: '' }, async () => 1),
  db./*11*/ $oncePer({ job: '', period: '' }, async () => 1),
  db./*12*/ $pruneIdempotencyKeys({ olderThan: 1 }),
  db.$stock./*13*/ move,
  db.$serials./*14*/ allocate,
  db.$series./*15*/ next('invoice'),
]
