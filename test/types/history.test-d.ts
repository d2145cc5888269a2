import { stock } from '../../src/stock/extension.js'
import { DEPOT_SILO, SILO } from '../support/silos.js'
import { db as concurrent, type Equal, type Expect } from './support.js'

const transactionId = 'a'
const item = 'x'

// The columns of the history are written by this package.
const db = concurrent.$extends(stock(SILO))
db.$stock.move({ transactionId, item, quantity: 1, data: { note: 'x' }, createMissing: { minimum: 1 } })
// @ts-expect-error: the number of a movement
db.$stock.move({ transactionId, item, quantity: 1, data: { sequence: 1n } })
// @ts-expect-error: the balance after it
db.$stock.move({ transactionId, item, quantity: 1, data: { balance: 1 } })
// @ts-expect-error: its time
db.$stock.move({ transactionId, item, quantity: 1, data: { at: new Date() } })
// @ts-expect-error: the number of the last movement of an item
db.$stock.move({ transactionId, item, quantity: 1, createMissing: { sequence: 1n } })

// The looks.
{
  const { available } = await db.$stock.balance({ item })
  type _available = Expect<Equal<typeof available, number>>
  const [entry] = await db.$stock.history({ item, order: 'desc', limit: 20 })
  type _sequence = Expect<Equal<NonNullable<typeof entry>['sequence'], number>>
  await db.$stock.history({ item, after: entry })
  const quantity = await db.$transactionWithRetry((tx) => tx.$stock.balanceAt({ item, at: new Date() }))
  type _quantity = Expect<Equal<typeof quantity, number>>
  const page = await db.$stock.reservations({ item, state: 'active' })
  type _item = Expect<Equal<(typeof page)[number]['item'], string>>
  await db.$stock.reservations({ after: page.at(-1) })
  const { movements } = await db.$stock.statement({ transactionId })
  type _state = Expect<Equal<(typeof movements)[number]['state'], 'applied' | 'deferred' | 'refused'>>
  type _brokenAt = Expect<Equal<Awaited<ReturnType<typeof db.$stock.audit>>[number]['brokenAt'], number | undefined>>
}
db.$stock.balances()
db.$stock.balances({ items: [item], limit: 10, after: item })
// @ts-expect-error: a key of one field has no part
db.$stock.balances({ where: { code: 'x' } })
// @ts-expect-error: an item
db.$stock.balance({})
// @ts-expect-error: a moment
db.$stock.balanceAt({ item, at: '2026-01-01' })
// @ts-expect-error: one of the states
db.$stock.reservations({ state: 'open' })
// @ts-expect-error: a transaction id
db.$stock.statement({})

// With slots, each movement has the number of its slot, too.
{
  const seats = concurrent
    .$extends(
      stock({
        scope: ['companyId', 'site'],
        item: { model: 'Seat', key: 'event', slots: 'slot' },
        movement: { model: 'SeatSale' },
      }),
    )
    .$stock.in({ companyId: 1, site: 1 })
  const page = await seats.history({ item, slot: 1, limit: 5 })
  type _slot = Expect<Equal<(typeof page)[number]['slot'], number | undefined>>
  await seats.history({ item, after: page.at(-1) })
  // @ts-expect-error: a number
  seats.history({ item, slot: 'a' })
  seats.move({ transactionId, item, quantity: 1, data: { customer: 'a' } })
  // @ts-expect-error: the number of the slot
  seats.move({ transactionId, item, quantity: 1, data: { slot: 1 } })
}

// Under other names.
const depot = concurrent.$extends(stock(DEPOT_SILO)).$stock.in({ depotId: 1 })
const silo = { code: 'x', lot: 'a' }
depot.balances({ where: { lot: 'a' } })
// @ts-expect-error: no part of the key
depot.balances({ where: { depotId: 2 } })
depot.move({ transactionId, item: silo, quantity: '1.5', createMissing: true })

// A field of such a name, without the others, is a field like any other.
const plain = concurrent.$extends(
  stock({ item: { model: 'Silo', key: 'code' }, movement: { model: 'ArticleMovement' } }),
)
plain.$stock.move({ transactionId, item, quantity: 1, createMissing: { sequence: 1n } })
