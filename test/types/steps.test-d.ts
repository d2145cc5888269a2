import { steps as onPool, type PgClient, type PgTransactionClient } from '../../src/pg.js'
import { type Operation, type StepsResult, steps } from '../../src/work.js'
import { db, type Equal, type Expect, type Resolved } from './support.js'

const shop = db.$extends(steps({ model: 'Operation' }))

// A step is given the tx of the client, and its answer is that of the call; so is the body's.
{
  const call = shop.$steps({ key: 'a', scope: 'pay', request: { amount: 1 } }, async (op) => {
    const order = await op.step('order', (tx) => tx.order.create({ data: { customer: 'Vinet' } }))
    type _order = Expect<Equal<typeof order.customer, string>>
    const charge = await op.external('charge', async (key) => {
      type _key = Expect<Equal<typeof key, string>>
      return { id: 7, declined: false }
    })
    type _charge = Expect<Equal<typeof charge, { id: number; declined: boolean }>>
    if (charge.declined) return op.refuse({ reason: 'declined' })
    await op.step('book', (tx) =>
      tx.order.updateVersioned({ where: { id: order.id }, data: () => ({ customer: 'b' }) }),
    )
    return charge.id
  })
  type _result = Expect<Equal<Resolved<typeof call>, StepsResult<number>>>
}
// An undo is given the answer of its step.
shop.$steps({ key: 'a', scope: 'pay' }, async (op) => {
  await op.step('order', {
    run: (tx) => tx.order.create({ data: { customer: 'Vinet' } }),
    undo: (tx, { id }) => tx.order.delete({ where: { id } }),
  })
  await op.external('charge', { run: async (key) => ({ key }), undo: async (key, charge) => key === charge.key })
  // @ts-expect-error: an undo needs a run
  await op.step('order', { undo: async () => {} })
  // @ts-expect-error: a step is asynchronous
  await op.step('order', () => 1)
  // @ts-expect-error: a call to another system has no tx
  await op.external('charge', (tx) => tx.order.count())
  // @ts-expect-error: a step has a name
  await op.step(async () => {})
})
// @ts-expect-error: the scope must tell tenants and users apart
shop.$steps({ key: 'a' }, async () => {})
// @ts-expect-error: a body is asynchronous
shop.$steps({ key: 'a', scope: 'pay' }, () => 1)
// @ts-expect-error: an option that there is not
shop.$steps({ key: 'a', scope: 'pay', readOnly: true }, async () => {})
// @ts-expect-error: an option that there is not
steps({ models: 'Operation' })
// @ts-expect-error: how old is missing
shop.$pruneSteps({})
// @ts-expect-error: without steps() there is none
db.$steps

// Without Prisma it is the same.
declare const pool: PgClient
const own = pool.$extends(onPool())
own.$steps({ key: 'a', scope: 'pay' }, async (op) => {
  type _op = Expect<Equal<typeof op, Operation<PgTransactionClient>>>
  return op.step('order', (tx) => tx.query('SELECT 1'))
})
