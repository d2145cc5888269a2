import { Prisma, type PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { base, db, type Equal, type Expect, type Flat, type Product, type Resolved } from './support.js'

// Prisma's own methods stay as they are.
{
  const call = db.product.update({ where: { id: 1 }, data: { stock: 1 }, select: { stock: true } })
  type _plain = Expect<Equal<Resolved<typeof call>, { stock: number }>>
}

// A client that leaves fields out by default.
declare const sparing: PrismaClient<never, { product: { name: true }; orderLine: { version: true } }>
const sparingDb = sparing.$extends(concurrency())
{
  const call = sparingDb.product.updateVersioned({
    where: { id: 1, version: 7 },
    data: ({ name }) => ({ name: `${name} tea` }), // the function gets it all the same
  })
  type _omitted = Expect<Equal<Flat<Resolved<typeof call>>, Flat<Omit<Product, 'name'>>>>
}
{
  const call = sparingDb.product.deleteVersioned({ where: { id: 1, version: 7 }, omit: { name: false } })
  type _kept = Expect<Equal<Flat<Resolved<typeof call>>, Product>>
}
{
  const call = sparingDb.order.updateVersioned({ where: { id: 1, version: 7 }, data: {}, include: { lines: true } })
  type _inRelation = Expect<Equal<'version' extends keyof Resolved<typeof call>['lines'][number] ? true : false, false>>
}
{
  const { record } = await sparingDb.product.createIdempotent({ where: { id: 1 }, data: { name: 'Chai' } })
  type _omitted = Expect<Equal<Flat<typeof record>, Flat<Omit<Product, 'name'>>>>
}

// A computed field, from an extension below and from one on top.
const label = Prisma.defineExtension({
  result: { product: { label: { needs: { name: true }, compute: ({ name }) => name.toUpperCase() } } },
})
for (const labelled of [base.$extends(label).$extends(concurrency()), db.$extends(label)] as const) {
  const call = labelled.product.updateVersioned({ where: { id: 1, version: 7 }, data: {}, select: { label: true } })
  type _selected = Expect<Equal<Resolved<typeof call>, { label: string }>>
}
{
  const call = db.$extends(label).product.updateVersioned({ where: { id: 1 }, data: ({ label }) => ({ name: label }) })
  type _all = Expect<Equal<Resolved<typeof call>['label'], string>>
  // @ts-expect-error: a computed field cannot be written
  db.$extends(label).product.updateVersioned({ where: { id: 1 }, data: () => ({ label: 'x' }) })
}

// A client that is extended twice: the later options count.
{
  const twice = db.$extends(concurrency({ version: { models: { Document: { field: 'revision' } } } }))
  twice.document.deleteVersioned({ where: { id: 'x', revision: 2 } })
  const call = twice.product.updateVersioned({ where: { id: 1 }, data: ({ stock }) => ({ stock }) })
  type _record = Expect<Equal<Flat<Resolved<typeof call>>, Product>>
}

// Inside a transaction.
{
  const result = db.$transaction(async (tx) => {
    const { stock } = await tx.product.updateVersioned({
      where: { id: 1 },
      data: ({ stock }) => ({ stock: stock - 1 }),
    })
    // @ts-expect-error: the version is missing there too
    tx.product.updateVersioned({ where: { id: 1 }, data: { stock: 1 } })
    // @ts-expect-error: a transaction cannot connect
    tx.$connect
    return stock
  })
  type _result = Expect<Equal<Resolved<typeof result>, number>>
}
{
  const result = db.$transactionWithRetry(
    async (tx, { attempt, signal }) => {
      type _attempt = Expect<Equal<typeof attempt, number>>
      type _signal = Expect<Equal<typeof signal, AbortSignal>>
      await tx.product.deleteVersioned({ where: { id: 1, version: 7 } })
      await tx.$transactionWithRetry(async (inner) => inner.product.count())
      // @ts-expect-error: a transaction cannot connect
      tx.$connect
      // @ts-expect-error: nor be extended
      tx.$extends
      return 'done' as const
    },
    { isolationLevel: 'Serializable', retry: { attempts: 3 }, signal: AbortSignal.timeout(1_000) },
  )
  type _result = Expect<Equal<Resolved<typeof result>, 'done'>>
}
// @ts-expect-error: not an isolation level
db.$transactionWithRetry(async () => 1, { isolationLevel: 'Snapshot' })
// @ts-expect-error: an array is no body
db.$transactionWithRetry([db.product.count()])

// In an array, a call that takes several steps cannot join.
db.$transaction([db.product.update({ where: { id: 1 }, data: { stock: 1 } })])
// @ts-expect-error: not a promise of Prisma's
db.$transaction([db.product.updateVersioned({ where: { id: 1, version: 7 }, data: { stock: 1 } })])
// @ts-expect-error: not a promise of Prisma's
db.$transaction([db.product.count(), db.product.deleteVersioned({ where: { id: 1, version: 7 } })])
// @ts-expect-error: not a promise of Prisma's
db.$transaction([db.product.updateManyVersioned([])])

// A program's own name for the client and for its transactions.
type Db = typeof db
type Tx = Parameters<Parameters<Db['$transactionWithRetry']>[0]>[0]
export async function sell(tx: Pick<Db, 'product'>, id: number) {
  return tx.product.updateVersioned({
    where: { id },
    data: ({ stock }) => ({ stock: stock - 1 }),
    select: { stock: true },
  })
}
type _sold = Expect<Equal<Resolved<ReturnType<typeof sell>>, { stock: number }>>
db.$transaction((tx) => sell(tx, 1))

export type { Tx }
