import { concurrency, type Numeric, stock as pgStock } from '../../src/pg.js'
import { stock } from '../../src/stock/extension.js'
import { COMPANIES } from '../support/company-stock.js'
import { DEPOT } from '../support/depot.js'
import { db as concurrent, type Equal, type Expect, type Resolved } from './support.js'

const db = concurrent.$extends(stock(COMPANIES))
const transactionId = 'a'
const item = { productId: 1, warehouse: 'main' }
const scope = { companyId: 1 }

// Each call takes the scope, with the type of its field, and answers as it does without one.
{
  const call = db.$stock.move({ scope, transactionId, item, quantity: -3 })
  type _result = Expect<
    Equal<Resolved<typeof call>, { readonly quantity: number; readonly balance: number; readonly replayed: boolean }>
  >
  const { lines } = await db.$stock.moveAll({ scope, transactionId, lines: [{ item, quantity: 1 }] })
  type _item = Expect<Equal<(typeof lines)[number]['item'], { productId: number; warehouse: string }>>
}
db.$stock.count({ scope, transactionId, item, counted: 1 })
db.$stock.defer({ scope, transactionId, item, quantity: 1 })
db.$stock.defer({ scope, transactionId, lines: [{ item, quantity: 1 }] })
db.$stock.project({ scope })
db.$stock.project({ scope, batchSize: 10 })
db.$stock.reserve({ scope, transactionId, item, quantity: 1, expiresIn: 1 })
db.$stock.fulfil({ scope, transactionId })
db.$stock.release({ scope, transactionId })
db.$stock.audit({ scope })
db.$stock.extend({ scope, transactionId, expiresIn: 1 })
db.$stock.reverse({ scope, transactionId, of: 'b' })
db.$stock.trace({ scope, item })
db.$stock.balance({ scope, item })
db.$stock.balances({ scope })
db.$stock.reservations({ scope })
db.$stock.statement({ scope, transactionId })

// Without it nothing compiles.
// @ts-expect-error: the scope
db.$stock.move({ transactionId, item, quantity: 1 })
// @ts-expect-error: the scope
db.$stock.moveAll({ transactionId, lines: [{ item, quantity: 1 }] })
// @ts-expect-error: the scope
db.$stock.count({ transactionId, item, counted: 1 })
// @ts-expect-error: the scope
db.$stock.defer({ transactionId, item, quantity: 1 })
// @ts-expect-error: the scope
db.$stock.project()
// @ts-expect-error: the scope
db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 1 })
// @ts-expect-error: the scope
db.$stock.fulfil({ transactionId })
// @ts-expect-error: the scope
db.$stock.release({ transactionId })
// @ts-expect-error: the scope
db.$stock.audit()
// @ts-expect-error: the scope
db.$stock.extend({ transactionId, expiresIn: 1 })
// @ts-expect-error: the scope
db.$stock.reverse({ transactionId, of: 'b' })
// @ts-expect-error: the scope
db.$stock.trace({ item })
// @ts-expect-error: the scope
db.$stock.balance({ item })
// @ts-expect-error: the scope
db.$stock.balances()
// @ts-expect-error: the scope
db.$stock.reservations()
// @ts-expect-error: the scope
db.$stock.statement({ transactionId })

// Those of options that this stock does not have.
{
  const depot = concurrent.$extends(stock(DEPOT))
  const seats = concurrent.$extends(
    stock({
      scope: ['companyId', 'site'],
      item: { model: 'Seat', key: 'event', slots: 'slot' },
      movement: { model: 'SeatSale' },
    }),
  )
  const house = { companyId: 1, site: 1 }
  const event = { item: 'opera', at: new Date() }
  depot.$stock.close({ scope, until: '2026-01-31' })
  depot.$stock.prune({ scope, forgetBefore: '2026-01-31' })
  seats.$stock.setSlots({ scope: house, item: 'opera', count: 2 })
  seats.$stock.history({ scope: house, item: 'opera' })
  seats.$stock.balanceAt({ scope: house, ...event })
  // @ts-expect-error: the scope
  depot.$stock.close({ until: '2026-01-31' })
  // @ts-expect-error: the scope
  depot.$stock.prune({ forgetBefore: '2026-01-31' })
  // @ts-expect-error: the scope
  seats.$stock.setSlots({ item: 'opera', count: 2 })
  // @ts-expect-error: the scope
  seats.$stock.history({ item: 'opera' })
  // @ts-expect-error: the scope
  seats.$stock.balanceAt(event)
  // @ts-expect-error: a part of the scope
  seats.$stock.setSlots({ scope, item: 'opera', count: 2 })
}
// @ts-expect-error: all of it
db.$stock.move({ scope: {}, transactionId, item, quantity: 1 })
// @ts-expect-error: of the field's type
db.$stock.move({ scope: { companyId: '1' }, transactionId, item, quantity: 1 })
// @ts-expect-error: no more than its fields
db.$stock.move({ scope: { companyId: 1, tenant: 2 }, transactionId, item, quantity: 1 })
// @ts-expect-error: it is no part of an item
db.$stock.move({ scope, transactionId, item: { ...item, companyId: 1 }, quantity: 1 })
// @ts-expect-error: all of it
db.$stock.in({})

// With a scope that is bound, the calls are those of a stock without one.
{
  const bound = db.$stock.in(scope)
  const call = bound.move({ transactionId, item, quantity: 1 })
  type _balance = Expect<Equal<Resolved<typeof call>['balance'], number>>
  bound.audit()
  // @ts-expect-error: it is bound
  bound.move({ scope, transactionId, item, quantity: 1 })
  // @ts-expect-error: once
  bound.in(scope)
}
db.$transactionWithRetry((tx) => tx.$stock.in(scope).move({ transactionId, item, quantity: 1 }))
// @ts-expect-error: the scope
db.$transactionWithRetry((tx) => tx.$stock.move({ transactionId, item, quantity: 1 }))

// A stock without a scope has neither.
{
  const plain = concurrent.$extends(
    stock({ item: { model: 'Stock', key: ['productId', 'warehouse'] }, movement: { model: 'StockMovement' } }),
  )
  // @ts-expect-error: no scope
  plain.$stock.move({ scope, transactionId, item, quantity: 1 })
  // @ts-expect-error: no scope
  plain.$stock.in
}

// Of a client of node-postgres the types are given.
{
  const client = await concurrency({} as never)
  const shop = client.$extends(pgStock<typeof item, Numeric, { companyId: number }>(COMPANIES))
  const call = shop.$stock.in(scope).move({ transactionId, item, quantity: 1 })
  type _balance = Expect<Equal<Resolved<typeof call>['balance'], Numeric>>
  // @ts-expect-error: the scope
  shop.$stock.move({ transactionId, item, quantity: 1 })
  // @ts-expect-error: a type for the scope
  pgStock<typeof item, number>(COMPANIES)
  // @ts-expect-error: the scope that the type is of
  pgStock<typeof item, number, { companyId: number }>({ item: COMPANIES.item, movement: COMPANIES.movement })
}
