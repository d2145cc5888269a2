import { db, type Equal, type Expect, type Flat, type Product, type Resolved } from './support.js'

// The outcome is told apart by its status.
{
  const outcome = await db.product.tryUpdateVersioned({
    where: { id: 1, version: 7 },
    data: { name: 'Chai' },
    select: { name: true },
  })
  type _statuses = Expect<Equal<(typeof outcome)['status'], 'updated' | 'unchanged' | 'stale' | 'missing'>>
  // @ts-expect-error: there is no record unless it was written
  outcome.record
  switch (outcome.status) {
    case 'updated':
    case 'unchanged': {
      type _record = Expect<Equal<typeof outcome.record, { name: string }>>
      break
    }
    case 'stale': {
      type _current = Expect<Equal<typeof outcome.current, { name: string }>>
      type _expected = Expect<Equal<typeof outcome.expected, number>>
      type _actual = Expect<Equal<typeof outcome.actual, number>>
      break
    }
    case 'missing':
      // @ts-expect-error: a missing record has no version
      outcome.actual
      break
    default: {
      type _exhausted = Expect<Equal<typeof outcome, never>>
    }
  }
}
{
  const outcome = await db.stock.tryUpdateVersioned({
    where: { productId_warehouse: { productId: 1, warehouse: 'north' } },
    data: ({ onHand }) => (onHand > 0 ? { onHand: onHand - 1 } : undefined),
  })
  if (outcome.status === 'stale') {
    type _bigint = Expect<Equal<typeof outcome.actual, bigint>>
  }
}

// @ts-expect-error: data as an object needs the version
db.product.tryUpdateVersioned({ where: { id: 1 }, data: { name: 'Chai' } })
// @ts-expect-error: not a field, in a function
db.product.tryUpdateVersioned({ where: { id: 1 }, data: ({ stock }) => ({ stock, colour: 'red' }) })
// @ts-expect-error: undefined would write unguarded
db.product.tryUpdateVersioned({ where: { id: 1, version: undefined }, data: () => ({ stock: 1 }) })

// A delete needs the version, and returns what it deleted.
{
  const call = db.product.deleteVersioned({ where: { id: 1, version: 7 } })
  type _all = Expect<Equal<Flat<Resolved<typeof call>>, Product>>
}
{
  const call = db.product.deleteVersioned({ where: { id: 1, version: 7 }, select: { name: true } })
  type _selected = Expect<Equal<Resolved<typeof call>, { name: string }>>
}
{
  const call = db.product.deleteVersioned({ where: { id: 1, version: 7 }, omit: { name: true } })
  type _omitted = Expect<Equal<Flat<Resolved<typeof call>>, Flat<Omit<Product, 'name'>>>>
}
// @ts-expect-error: the version is missing
db.product.deleteVersioned({ where: { id: 1 } })
// @ts-expect-error: undefined would delete unguarded
db.product.deleteVersioned({ where: { id: 1, version: undefined } })
// @ts-expect-error: a filter is no version
db.product.deleteVersioned({ where: { id: 1, version: { lt: 7 } } })
// @ts-expect-error: not an argument
db.product.deleteVersioned({ where: { id: 1, version: 7 }, data: {} })
