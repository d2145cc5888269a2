import { concurrency } from '../../src/index.js'
import { inbox as inboxOnPool, outbox as onPool, type PgClient, type PgTransactionClient } from '../../src/pg.js'
import { type InboxBatchResult, type InboxResult, inbox, outbox } from '../../src/work.js'
import { base, db, type Equal, type Expect, type Resolved } from './support.js'

interface Topics {
  'order.created': { readonly orderId: number }
  'order.paid': { readonly orderId: number; readonly amount: string }
}
const shop = db.$extends(outbox({ topics: {} as Topics }))

shop.$transactionWithRetry(async (tx) => {
  const added = await tx.$outbox.add('order.created', { orderId: 1 }, { key: 'order 1' })
  type _added = Expect<Equal<typeof added, { readonly id: string; readonly position: bigint }>>
  // @ts-expect-error: there is no such topic
  await tx.$outbox.add('order.made', { orderId: 1 })
  // @ts-expect-error: another topic has this payload
  await tx.$outbox.add('order.paid', { orderId: 1 })
})
// A handler gets the payload of its topic, and the tx of the client.
shop.$outbox.relay({
  'order.paid': async ({ topic, payload, key, attempt }, tx, { signal }) => {
    type _topic = Expect<Equal<typeof topic, 'order.paid'>>
    type _payload = Expect<Equal<typeof payload, Topics['order.paid']>>
    type _rest = Expect<Equal<[typeof key, typeof attempt], [string | undefined, number]>>
    await tx.product.updateVersioned({ where: { id: 1 }, data: () => ({ stock: 1 }) })
    return signal.aborted
  },
})
// @ts-expect-error: a handler of a topic that there is not
shop.$outbox.relay({ 'order.made': async () => {} })
// @ts-expect-error: it ends when nothing is left, or goes on
shop.$outbox.relay({}, { until: 'full' })
// @ts-expect-error: an option that there is not
outbox({ messages: {} })
// @ts-expect-error: without outbox() there is none
db.$outbox
// Without topics, each payload is JSON.
const any = base.$extends(concurrency()).$extends(outbox())
any.$transaction((tx) => tx.$outbox.add('anything', { a: [1, null, 'b'] }))
// @ts-expect-error: JSON has no bigint
any.$transaction((tx) => tx.$outbox.add('anything', 1n))

const consumer = db.$extends(inbox({ version: {} }))
{
  const call = consumer.$inbox('shipping', { id: '1', key: 'order 1', version: 2n }, async (tx) => tx.product.count())
  type _result = Expect<Equal<Resolved<typeof call>, InboxResult<number>>>
  const messages = [{ id: '1', text: 'a' }]
  const batch = consumer.$inbox('shipping', messages, async (_, fresh) => fresh.map(({ text }) => text))
  type _batch = Expect<Equal<Resolved<typeof batch>, InboxBatchResult<string[], { id: string; text: string }>>>
}
// @ts-expect-error: a message has an id
consumer.$inbox('shipping', { key: 'order 1', version: 2 }, async () => {})
// @ts-expect-error: the body is asynchronous
consumer.$inbox('shipping', '1', () => 1)
// @ts-expect-error: without inbox() there is none
db.$inbox

// Without Prisma it is the same.
declare const pool: PgClient
const own = pool.$extends(onPool({ topics: {} as Topics })).$extends(inboxOnPool())
own.$outbox.relay({
  'order.created': async ({ payload }, tx) => {
    type _tx = Expect<Equal<typeof tx, PgTransactionClient>>
    return payload.orderId
  },
})
own.$inbox('shipping', '1', (tx) => tx.query('SELECT 1'))
