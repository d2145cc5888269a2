import { db, type Equal, type Expect, type Flat, type Product, type Resolved } from './support.js'

// The result follows the selection.
{
  const call = db.product.updateVersioned({ where: { id: 1, version: 7 }, data: { name: 'Chai' } })
  type _all = Expect<Equal<Flat<Resolved<typeof call>>, Product>>
}
{
  const call = db.product.updateVersioned({
    where: { id: 1, version: 7 },
    data: { name: 'Chai' },
    select: { name: true, category: { select: { name: true } } },
  })
  type _selected = Expect<Equal<Resolved<typeof call>, { name: string; category: { name: string } | null }>>
}
{
  const call = db.product.updateVersioned({
    where: { id: 1 },
    data: ({ stock }) => ({ stock: stock - 1 }),
    select: { stock: true, id: false },
  })
  type _deselected = Expect<Equal<Resolved<typeof call>, { stock: number }>>
}
{
  const call = db.order.updateVersioned({
    where: { id: 1, version: 7 },
    data: {},
    include: { lines: { omit: { version: true } } },
  })
  type Lines = Resolved<typeof call>['lines']
  type _included = Expect<
    Equal<Flat<Lines[number]>, { id: number; quantity: number; orderId: number; productId: number }>
  >
}
{
  const call = db.product.updateVersioned({ where: { id: 1 }, data: () => ({ stock: 1 }), omit: { name: true } })
  type _omitted = Expect<Equal<Flat<Resolved<typeof call>>, Flat<Omit<Product, 'name'>>>>
}
{
  // A model without relations has no `include`.
  const call = db.stock.updateVersioned({
    where: { productId_warehouse: { productId: 1, warehouse: 'north' }, version: 7n },
    data: { onHand: { increment: 1 } },
    select: { version: true },
  })
  type _bigint = Expect<Equal<Resolved<typeof call>, { version: bigint }>>
}

// The function gets the record with all its scalars, and the attempt; it may be async, and return nothing.
db.product.updateVersioned({
  where: { id: 1, version: 7 },
  data: (current, attempt) => {
    type _current = Expect<Equal<Flat<typeof current>, Product>>
    type _attempt = Expect<Equal<typeof attempt, number>>
    return { stock: current.stock - attempt }
  },
  select: { name: true },
})
db.product.updateVersioned({
  where: { id: 1 },
  data: async (current) => {
    if (current.stock === 0) return undefined
    return { stock: { decrement: 1 } }
  },
})
db.product.updateVersioned({ where: { id: 1 }, data: () => undefined })
db.product.updateVersioned({
  where: { id: 1 },
  data: ({ stock }) => (stock > 0 ? { stock: 0 } : { name: 'Sold out' }),
})

// Literals in what it returns stay literals: enum values, also in lists and in operations.
db.everything.updateVersioned({
  where: { id: 1 },
  data: (current) => ({
    kind: 'SPECIAL',
    kinds: ['PLAIN', current.kind],
    tags: { push: 'new' },
    json: { a: [1, 'b'] },
  }),
})
db.everything.updateVersioned({ where: { code: 'x' }, data: async () => ({ kinds: { set: ['SPECIAL'] } }) })
db.order.updateVersioned({
  where: { id: 1 },
  data: () => ({ lines: { create: [{ quantity: 3, product: { connect: { id: 11 } } }] } }),
})

// Data that was made elsewhere.
declare const change: { stock: number }
db.product.updateVersioned({ where: { id: 1, version: 7 }, data: change })
db.product.updateVersioned({ where: { id: 1 }, data: () => change })

const where = { id: 1 }
const versioned = { id: 1, version: 7 }
declare const maybe: number | undefined
declare const either: { stock: number } | (() => { stock: number })

// @ts-expect-error: data as an object needs the version
db.product.updateVersioned({ where: { id: 1 }, data: { name: 'Chai' } })
// @ts-expect-error: also when the data is empty
db.product.updateVersioned({ where, data: {} })
// @ts-expect-error: and when it may be an object
db.product.updateVersioned({ where, data: either })
// @ts-expect-error: undefined would write unguarded
db.product.updateVersioned({ where: { id: 1, version: undefined }, data: { name: 'Chai' } })
// @ts-expect-error: it may be undefined
db.product.updateVersioned({ where: { id: 1, version: maybe }, data: { name: 'Chai' } })
// @ts-expect-error: undefined is refused beside a function too
db.product.updateVersioned({ where: { id: 1, version: undefined }, data: () => ({ name: 'Chai' }) })
// @ts-expect-error: as is a version that may be undefined
db.product.updateVersioned({ where: { id: 1, version: maybe }, data: ({ stock }) => ({ stock: stock - 1 }) })
// @ts-expect-error: null is no version
db.product.updateVersioned({ where: { id: 1, version: null }, data: { name: 'Chai' } })
// @ts-expect-error: a filter is no version
db.product.updateVersioned({ where: { id: 1, version: { gt: 7 } }, data: { name: 'Chai' } })
// @ts-expect-error: nor beside a function
db.product.updateVersioned({ where: { id: 1, version: { in: [7] } }, data: () => ({ name: 'Chai' }) })
// @ts-expect-error: a string is no version
db.product.updateVersioned({ where: { id: 1, version: '7' }, data: { name: 'Chai' } })
// @ts-expect-error: the version of a BigInt column is a bigint
db.stock.updateVersioned({ where: { productId_warehouse: { productId: 1, warehouse: '' }, version: 7 }, data: {} })
// @ts-expect-error: the version alone names no record
db.product.updateVersioned({ where: { version: 7 }, data: { name: 'Chai' } })
// @ts-expect-error: not a unique key
db.product.updateVersioned({ where: { name: 'Chai', version: 7 }, data: { stock: 1 } })
// @ts-expect-error: not a field
db.product.updateVersioned({ where: { id: 1, version: 7, sku: 'x' }, data: { stock: 1 } })
// @ts-expect-error: where is missing
db.product.updateVersioned({ data: { stock: 1 } })
// @ts-expect-error: data is missing
db.product.updateVersioned({ where: versioned })

// @ts-expect-error: the version is not the caller's to set
db.product.updateVersioned({ where: versioned, data: { stock: 1, version: 8 } })
// @ts-expect-error: nor to increment
db.product.updateVersioned({ where: versioned, data: { version: { increment: 1 } } })
// @ts-expect-error: nor in a function
db.product.updateVersioned({ where, data: ({ stock }) => ({ stock: stock - 1, version: 8 }) })
// @ts-expect-error: nor by returning all of the record
db.product.updateVersioned({ where, data: (current) => ({ ...current, stock: 1 }) })
// @ts-expect-error: not a field
db.product.updateVersioned({ where: versioned, data: { stock: 1, colour: 'red' } })
// @ts-expect-error: not a field, in a function
db.product.updateVersioned({ where, data: ({ stock }) => ({ stock, colour: 'red' }) })
// @ts-expect-error: not a field, in an async function
db.product.updateVersioned({ where, data: async ({ stock }) => ({ stock, colour: 'red' }) })
// @ts-expect-error: not a field, in one of two branches
db.product.updateVersioned({ where, data: ({ stock }) => (stock > 0 ? { stock } : { stock, colour: 'red' }) })
// @ts-expect-error: a string is no number
db.product.updateVersioned({ where: versioned, data: { stock: 'many' } })
// @ts-expect-error: a string is no number, in a function
db.product.updateVersioned({ where, data: () => ({ stock: 'many' }) })
// @ts-expect-error: not a value of the enum
db.everything.updateVersioned({ where, data: () => ({ kind: 'STRANGE' }) })
// @ts-expect-error: the product has no name of its own in the line
db.order.updateVersioned({ where, data: () => ({ lines: { create: [{ quantity: 'x', productId: 11 }] } }) })
// @ts-expect-error: null is not undefined
db.product.updateVersioned({ where, data: () => null })
// @ts-expect-error: not a field of the current record
db.product.updateVersioned({ where, data: (current) => ({ stock: current.stok }) })

// @ts-expect-error: not a field
db.product.updateVersioned({ where: versioned, data: {}, select: { colour: true } })
// @ts-expect-error: not a field of the relation
db.product.updateVersioned({ where: versioned, data: {}, select: { category: { select: { colour: true } } } })
// @ts-expect-error: not a field, beside a function
db.product.updateVersioned({ where, data: () => ({}), omit: { colour: true } })
// @ts-expect-error: not a relation
db.product.updateVersioned({ where: versioned, data: {}, include: { name: true } })
// @ts-expect-error: not an argument
db.product.updateVersioned({ where: versioned, data: {}, selekt: { name: true } })
// @ts-expect-error: not part of a retry policy
db.product.updateVersioned({ where: versioned, data: {}, retry: { tries: 3 } })
// @ts-expect-error: a selection leaves out what is not selected
db.product.updateVersioned({ where: versioned, data: {}, select: { id: true } }).then(({ version }) => version)
