import { stock } from '../../src/stock/extension.js'
import { DEPOT_SILO, SILO } from '../support/silos.js'
import { db as concurrent } from './support.js'

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

// Under other names.
const depot = concurrent.$extends(stock(DEPOT_SILO)).$stock.in({ depotId: 1 })
const silo = { code: 'x', lot: 'a' }
depot.move({ transactionId, item: silo, quantity: '1.5', createMissing: true })

// A field of such a name, without the others, is a field like any other.
const plain = concurrent.$extends(
  stock({ item: { model: 'Silo', key: 'code' }, movement: { model: 'ArticleMovement' } }),
)
plain.$stock.move({ transactionId, item, quantity: 1, createMissing: { sequence: 1n } })
