import { db, type Equal, type Expect, type Resolved } from './support.js'

// In mode `all`, which is the default, every verdict is that it was updated.
{
  const call = db.product.updateManyVersioned([{ where: { id: 1, version: 3 }, data: { stock: 4 } }])
  type _all = Expect<Equal<Resolved<typeof call>, { readonly status: 'updated'; readonly version: number }[]>>
}
{
  const call = db.product.updateManyVersioned([], { mode: 'all', retry: { attempts: 2 } })
  type _all = Expect<Equal<Resolved<typeof call>, { readonly status: 'updated'; readonly version: number }[]>>
}
{
  const key = { productId_warehouse: { productId: 1, warehouse: 'north' } }
  const [verdict] = await db.stock.updateManyVersioned([{ where: { ...key, version: 3n }, data: { onHand: 4 } }], {
    mode: 'each',
  })
  type _statuses = Expect<Equal<(typeof verdict)['status'], 'updated' | 'stale' | 'missing' | 'suppressed'>>
  if (verdict.status === 'updated') {
    type _version = Expect<Equal<typeof verdict.version, bigint>>
  }
  if (verdict.status === 'stale') {
    type _actual = Expect<Equal<typeof verdict.actual, bigint>>
  }
}

// Values, `set`, `increment` and `decrement`.
db.product.updateManyVersioned([
  {
    where: { id: 1, version: 3 },
    data: { stock: { decrement: 2 }, price: { increment: '0.10' }, name: { set: 'Chai' } },
  },
  { where: { id: 2, version: 0 }, data: { categoryId: null, updatedAt: '2026-01-01T00:00:00Z' } },
])
db.everything.updateManyVersioned([
  { where: { id: 1, version: 3 }, data: { kind: 'SPECIAL', tags: ['a'], big: 1, json: { a: [1] }, text: null } },
])

const where = { id: 1, version: 3 }
// @ts-expect-error: the version is missing
db.product.updateManyVersioned([{ where: { id: 1 }, data: { stock: 4 } }])
// @ts-expect-error: undefined would write unguarded
db.product.updateManyVersioned([{ where: { id: 1, version: undefined }, data: { stock: 4 } }])
// @ts-expect-error: a filter is no version
db.product.updateManyVersioned([{ where: { id: 1, version: { gt: 3 } }, data: { stock: 4 } }])
// @ts-expect-error: the version is not the caller's to set
db.product.updateManyVersioned([{ where, data: { version: 4 } }])
// @ts-expect-error: not a field
db.product.updateManyVersioned([{ where, data: { stock: 4, colour: 'red' } }])
// @ts-expect-error: relations cannot be written
db.product.updateManyVersioned([{ where, data: { category: { connect: { id: 1 } } } }])
// @ts-expect-error: not one of the three operations
db.product.updateManyVersioned([{ where, data: { stock: { multiply: 2 } } }])
// @ts-expect-error: a name cannot be incremented
db.product.updateManyVersioned([{ where, data: { name: { increment: 1 } } }])
// @ts-expect-error: a string is no number
db.product.updateManyVersioned([{ where, data: { stock: 'many' } }])
// @ts-expect-error: the column is not nullable
db.product.updateManyVersioned([{ where, data: { stock: null } }])
// @ts-expect-error: data is no function here
db.product.updateManyVersioned([{ where, data: () => ({ stock: 4 }) }])
// @ts-expect-error: not a mode
db.product.updateManyVersioned([], { mode: 'some' })
// @ts-expect-error: not a versioned model
db.note.updateManyVersioned([{ where: { id: 1, version: 3 }, data: { text: 'x' } }])
