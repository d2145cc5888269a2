import { leases as onPool, type PgClient } from '../../src/pg.js'
import { type Lease, type LeaseFence, leases } from '../../src/work.js'
import { db, type Equal, type Expect, type Resolved } from './support.js'

const worker = db.$extends(leases({ model: 'Lease' }))

// The body gets the lease, and its result is the call's.
{
  const call = worker.$withLease('rebuild', { ttl: 30_000 }, async (lease) => {
    type _lease = Expect<Equal<typeof lease, Lease>>
    type _token = Expect<Equal<typeof lease.token, bigint>>
    type _progress = Expect<Equal<typeof lease.lastProgress, unknown>>
    return lease.signal.aborted
  })
  type _result = Expect<Equal<Resolved<typeof call>, boolean>>
}
// @ts-expect-error: a lease needs a ttl
worker.$withLease('rebuild', {}, async () => {})
// @ts-expect-error: the body is asynchronous
worker.$withLease('rebuild', { ttl: 1_000 }, () => 1)
// @ts-expect-error: a lease has a name
worker.$withLease(['rebuild', 1], { ttl: 1_000 }, async () => {})
// @ts-expect-error: without leases() there is none
db.$withLease

// The fence is plain data, and stands beside the other calls of the transaction.
declare const fence: LeaseFence
worker.$transactionWithRetry(async (tx) => {
  await tx.$assertLease(fence, { limit: 1_000 })
  await tx.product.updateVersioned({ where: { id: 1 }, data: () => ({ stock: 1 }) })
  // @ts-expect-error: a token alone is no fence
  await tx.$assertLease({ token: 1n })
})
// @ts-expect-error: an option that there is not
leases({ models: 'Lease' })

// Without Prisma it is the same.
declare const pool: PgClient
const own = pool.$extends(onPool())
own.$withLease('rebuild', { ttl: 30_000 }, async (lease) => own.$transaction((tx) => tx.$assertLease(lease)))
