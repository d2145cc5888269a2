import { concurrency as onPool, stock as pgStock } from '../../src/pg.js'
import { stock } from '../../src/stock/extension.js'
import { PALLET } from '../support/pallet-models.js'
import { DEPOT } from '../support/pallets.js'
import { db as concurrent, type Equal, type Expect, type Resolved } from './support.js'

const transactionId = 'a'
const item = 'x'
const lines = [{ item, quantity: 1 }]

// An end that may be NULL.
const db = concurrent.$extends(stock(PALLET))
{
  const call = db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: null })
  type _end = Expect<Equal<Resolved<typeof call>['expiresAt'], Date | null>>
  const { expiresAt } = await db.$stock.extend({ transactionId, expiresIn: 1_000 })
  type _extended = Expect<Equal<typeof expiresAt, Date | null>>
  const taken = await db.$stock.reserve({ transactionId, lines, expiresIn: null, take: 'available' })
  taken.lines?.map(({ item, quantity }) => [item satisfies string, quantity satisfies number])
  const changed = await db.$stock.change({ transactionId, lines, minimum: null })
  type _quantity = Expect<Equal<(typeof changed.lines)[number]['quantity'], number>>
  type _state = Expect<Equal<typeof changed.state, 'active' | 'released' | 'fulfilled'>>
}
db.$stock.fulfil({ transactionId })
db.$stock.fulfil({ transactionId, of: 'b', data: { note: 'x' } })
db.$stock.fulfil({ transactionId, of: 'b', lines: [{ item, quantity: 1, data: { note: 'x' } }], rest: 'release' })
db.$stock.move({ transactionId, item, quantity: -1, take: 'available', maximum: 7 })
db.$stock.moveAll({ transactionId, lines, maximum: null })
db.$transactionWithRetry((tx) => tx.$stock.change({ transactionId, lines }))
// @ts-expect-error: how long it lasts
db.$stock.extend({ transactionId })
// @ts-expect-error: a number of ms
db.$stock.extend({ transactionId, expiresIn: '15m' })
// @ts-expect-error: the lines of a change
db.$stock.change({ transactionId })
// @ts-expect-error: a change has no data
db.$stock.change({ transactionId, lines: [{ item, quantity: 1, data: {} }] })
// @ts-expect-error: the rest stays or is released
db.$stock.fulfil({ transactionId, lines, rest: 'drop' })
// @ts-expect-error: a transaction id
db.$stock.fulfil({ of: 'b' })
// @ts-expect-error: as much as there is, or what was asked for
db.$stock.move({ transactionId, item, quantity: -1, take: 'all' })
// @ts-expect-error: an order is moved as a whole
db.$stock.moveAll({ transactionId, lines, take: 'available' })
// @ts-expect-error: a maximum is a quantity
db.$stock.move({ transactionId, item, quantity: 1, maximum: '7' })
// @ts-expect-error: a reservation adds nothing
db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 1, maximum: 7 })
// @ts-expect-error: how much was fulfilled is kept by $stock
db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 1, data: { fulfilled: 1 } })
// @ts-expect-error: and so is the quantity of before
db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 1, data: { original: 1 } })

// An end that is required.
const baskets = concurrent.$extends(
  stock({
    item: { model: 'Stock', key: ['productId', 'warehouse'] },
    movement: { model: 'StockMovement' },
    reservation: { model: 'StockReservation' },
  }),
)
const product = { productId: 1, warehouse: 'main' }
// @ts-expect-error: the column takes no NULL
baskets.$stock.reserve({ transactionId, item: product, quantity: 1, expiresIn: null })
// @ts-expect-error: the column takes no NULL
baskets.$stock.extend({ transactionId, expiresIn: null })

// With a scope, and columns of other names.
{
  const { $stock } = concurrent.$extends(stock(DEPOT))
  const scope = { depotId: 1 }
  const { expiresAt } = await $stock.extend({ scope, transactionId, expiresIn: null })
  type _end = Expect<Equal<typeof expiresAt, Date | null>>
  $stock.in(scope).change({ transactionId, lines: [{ item, quantity: '1.5' }] })
  // @ts-expect-error: the depot
  $stock.extend({ transactionId, expiresIn: null })
  // @ts-expect-error: the depot
  $stock.change({ transactionId, lines: [{ item, quantity: '1.5' }] })
}

// On a pool an end may be NULL, unless it is said that it is not.
{
  const pg = (await onPool(undefined as never)).$extends(pgStock<string, number>(PALLET))
  const call = pg.$stock.extend({ transactionId, expiresIn: null })
  type _end = Expect<Equal<Resolved<typeof call>['expiresAt'], Date | null>>
}
