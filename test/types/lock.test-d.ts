import { concurrency, type LockKeys, type TransactionClient } from '../../src/index.js'
import type { PgClient } from '../../src/pg.js'
import { base, db, type Equal, type Expect, type Resolved } from './support.js'

declare const sku: string
declare const id: bigint
declare const signal: AbortSignal
declare const asks: boolean
declare const onPg: PgClient
const body = async () => {}

// A key is a part or parts; several keys are named as such.
db.$withAdvisoryLock('stock', body)
db.$withAdvisoryLock(1, body)
db.$withAdvisoryLock(['stock', sku, 1, id, true], body)
db.$withAdvisoryLock(['stock', sku] as const, body)
db.$withAdvisoryLock({ keys: ['a', ['stock', sku], 1n] }, body)
db.$withAdvisoryLock({ keys: [['stock', sku]] } as LockKeys, body)
// @ts-expect-error: an object names no lock
db.$withAdvisoryLock({ sku }, body)
// @ts-expect-error: neither does undefined
db.$withAdvisoryLock(['stock', undefined], body)
// @ts-expect-error: nor null
db.$withAdvisoryLock(null, body)
// @ts-expect-error: a date has no one text
db.$withAdvisoryLock(['day', new Date()], body)
// @ts-expect-error: parts do not nest; several locks are `{ keys }`
db.$withAdvisoryLock([['stock', sku]], body)

// The body gets the client's own transaction and a signal, and its result is the call's.
{
  const call = db.$withAdvisoryLock('x', async (tx, told) => {
    type _signal = Expect<Equal<typeof told, AbortSignal>>
    await tx.product.updateVersioned({ where: { id: 1, version: 0 }, data: { stock: 1 } })
    return tx.product.findFirst({ select: { stock: true } })
  })
  type _result = Expect<Equal<Resolved<typeof call>, { stock: number } | null>>
}
// @ts-expect-error: there is no lock without a body
db.$withAdvisoryLock('x')
// @ts-expect-error: the body is asynchronous
db.$withAdvisoryLock('x', () => 1)

// Inside a transaction.
db.$transaction(async (tx) => {
  const taken = tx.$advisoryXactLock(['serial', 1], { mode: 'shared', timeout: 100, snapshot: 'accept' })
  type _taken = Expect<Equal<Resolved<typeof taken>, void>>
  const tried = tx.$tryAdvisoryXactLock({ keys: ['a', 'b'] }, { mode: 'shared', snapshot: 'accept' })
  type _tried = Expect<Equal<Resolved<typeof tried>, boolean>>
  await tx.$withAdvisoryLock('y', (inner) => inner.note.count())
})
const helper = (tx: TransactionClient<typeof db>) => tx.$advisoryXactLock('helper')
db.$withAdvisoryLock('x', helper)

// Options.
db.$withAdvisoryLock('x', body, { mode: 'shared', timeout: 1, bodyTimeout: 1, signal })
db.$withAdvisoryLock('x', body, { mode: undefined, timeout: undefined, bodyTimeout: undefined, signal: undefined })
base.$extends(concurrency({ lock: { maxWaiting: 3 } }))
// @ts-expect-error: there are two modes
db.$withAdvisoryLock('x', body, { mode: 'update' })
// @ts-expect-error: it sets the isolation level itself
db.$withAdvisoryLock('x', body, { isolationLevel: 'Serializable' })
// @ts-expect-error: the body belongs to $withAdvisoryLock
db.$advisoryXactLock('x', { bodyTimeout: 1 })
// @ts-expect-error: a call that only tries does not wait
db.$tryAdvisoryXactLock('x', { timeout: 1 })
// @ts-expect-error: a number of connections
base.$extends(concurrency({ lock: { maxWaiting: 'half' } }))

// A token is for those who ask, and for an exclusive lock in a transaction that begins with it; on both engines.
db.$withAdvisoryLock(
  'x',
  async (tx, told, token) => {
    type _given = Expect<Equal<[typeof told, typeof token], [AbortSignal, bigint]>>
    await tx.note.count()
  },
  { token: true },
)
onPg.$withAdvisoryLock(
  'x',
  async (tx, told, token) => {
    type _given = Expect<Equal<[typeof told, typeof token], [AbortSignal, bigint]>>
    await tx.query('SELECT 1')
  },
  { token: true, mode: 'exclusive', timeout: 1 },
)
const withToken = async (_tx: object, _told: AbortSignal, token: bigint) => token
db.$withAdvisoryLock('x', withToken, { token: true })
onPg.$withAdvisoryLock('x', withToken, { token: true })
// A body that has no use for it need not take it.
db.$withAdvisoryLock('x', body, { token: true })
// Where the option is a boolean, there is a token or not.
db.$withAdvisoryLock(
  'x',
  async (_tx, _told, token) => {
    type _token = Expect<Equal<typeof token, bigint | undefined>>
  },
  { token: asks },
)
// @ts-expect-error: nobody has asked for it
db.$withAdvisoryLock('x', withToken)
// @ts-expect-error: nor here
db.$withAdvisoryLock('x', withToken, { timeout: 1 })
// @ts-expect-error: and this one says no
onPg.$withAdvisoryLock('x', withToken, { token: false })
// @ts-expect-error: holders of a shared lock do not come one after the other
db.$withAdvisoryLock('x', withToken, { token: true, mode: 'shared' })
// @ts-expect-error: nor on the other engine
onPg.$withAdvisoryLock('x', withToken, { token: true, mode: 'shared' })
db.$transaction(async (tx) => {
  // @ts-expect-error: this transaction may have had its id before the lock
  await tx.$withAdvisoryLock('y', withToken, { token: true })
  // @ts-expect-error: so here
  await tx.$advisoryXactLock('y', { token: true })
})
onPg.$transaction(async (tx) => {
  // @ts-expect-error: the same on the other engine
  await tx.$withAdvisoryLock('y', withToken, { token: true })
})
