import type { Prisma, PrismaClient } from '../../generated/prisma/client.js'
import { stock } from '../../src/stock/extension.js'
import type { StockOptions } from '../../src/stock/options.js'
import type { SlotsResult } from '../../src/stock/types.js'
import { MATERIAL } from '../support/stock-models.js'
import { base, db as concurrent, type Equal, type Expect, type Resolved } from './support.js'

type Decimal = Prisma.Decimal
declare const signal: AbortSignal
declare const decimal: Decimal
const transactionId = 'a'

// A compound key, and whole numbers.
const db = concurrent.$extends(
  stock({
    item: { model: 'Stock', key: ['productId', 'warehouse'] },
    movement: { model: 'StockMovement' },
    reservation: { model: 'StockReservation' },
  }),
)
interface Key {
  productId: number
  warehouse: string
}
const item = { productId: 1, warehouse: 'main' }
{
  const call = db.$stock.move({ transactionId, item, quantity: -3 })
  type _result = Expect<
    Equal<Resolved<typeof call>, { readonly quantity: number; readonly balance: number; readonly replayed: boolean }>
  >
  type _unflattened = Expect<Equal<Resolved<typeof call>['balance'], number>>
}
{
  const { lines, replayed } = await db.$stock.moveAll({ transactionId, lines: [{ item, quantity: 1 }] })
  type _replayed = Expect<Equal<typeof replayed, boolean>>
  type _item = Expect<Equal<(typeof lines)[number]['item'], { productId: number; warehouse: string }>>
  type _balance = Expect<Equal<(typeof lines)[number]['balance'], number>>
  type _key = Expect<(typeof lines)[number]['item'] extends Key ? true : false>
  // @ts-expect-error: the lines of a movement do not change any more
  lines.push(lines[0])
}
{
  const { expiresAt, state } = await db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 1_000 })
  type _expiresAt = Expect<Equal<typeof expiresAt, Date>>
  type _state = Expect<Equal<typeof state, 'active' | 'released' | 'fulfilled' | 'expired'>>
  type _count = Expect<Equal<Resolved<ReturnType<typeof db.$stock.count>>['quantity'], number>>
  type _audit = Expect<Equal<Resolved<ReturnType<typeof db.$stock.audit>>[number]['expected'], number>>
  type _fulfil = Expect<Equal<Resolved<ReturnType<typeof db.$stock.fulfil>>['lines'][number]['quantity'], number>>
  type _release = Expect<Equal<Resolved<ReturnType<typeof db.$stock.release>>['released'], boolean>>
}

// The reversal of a movement.
{
  const { lines } = await db.$stock.reverse({ transactionId, of: 'b', lines: [{ item, quantity: 1 }] as const })
  type _line = Expect<Equal<(typeof lines)[number]['quantity'], number>>
  db.$stock.reverse({ transactionId, of: 'b', lines: undefined, minimum: null, retry: { attempts: 3 }, signal })
  // @ts-expect-error: the movement that is undone
  db.$stock.reverse({ transactionId })
  // @ts-expect-error: an item is named by all of its key
  db.$stock.reverse({ transactionId, of: 'b', lines: [{ item: 1, quantity: 1 }] })
  // @ts-expect-error: which movement it undoes is said by `of`
  db.$stock.move({ transactionId, item, quantity: 1, data: { reverses: 'b' } })
}

// Every argument that there is.
db.$stock.move({ transactionId, item, quantity: 1, minimum: null, retry: { attempts: 3 }, signal })
db.$stock.move({ transactionId, item, quantity: 1, minimum: undefined, retry: undefined, signal: undefined })
db.$stock.moveAll({ transactionId, lines: [{ item, quantity: 1 }] as const, minimum: -5, signal })
db.$stock.defer({ transactionId, lines: [{ item, quantity: 1 }], signal })
db.$stock.defer({ transactionId, item, quantity: 1 })
db.$stock.reserve({ transactionId, lines: [{ item, quantity: 1 }], expiresIn: 1, minimum: 1 })
db.$stock.project()
db.$stock.project({ batchSize: 10, signal })

// Wrong arguments do not compile.
// @ts-expect-error: a transaction id
db.$stock.move({ item, quantity: 1 })
// @ts-expect-error: an item
db.$stock.move({ transactionId, quantity: 1 })
// @ts-expect-error: a quantity
db.$stock.move({ transactionId, item })
// @ts-expect-error: a transaction id is a string
db.$stock.move({ transactionId: 7, item, quantity: 1 })
// @ts-expect-error: the key has two fields
db.$stock.move({ transactionId, item: 1, quantity: 1 })
// @ts-expect-error: all of the key
db.$stock.move({ transactionId, item: { productId: 1 }, quantity: 1 })
// @ts-expect-error: no more than the key
db.$stock.move({ transactionId, item: { productId: 1, warehouse: 'main', shelf: 1 }, quantity: 1 })
// @ts-expect-error: of the fields' types
db.$stock.move({ transactionId, item: { productId: '1', warehouse: 'main' }, quantity: 1 })
// @ts-expect-error: a whole number is no text
db.$stock.move({ transactionId, item, quantity: '1' })
// @ts-expect-error: an Int is no bigint
db.$stock.move({ transactionId, item, quantity: 1n })
// @ts-expect-error: a minimum is a quantity
db.$stock.move({ transactionId, item, quantity: 1, minimum: '0' })
// @ts-expect-error: there is no such argument
db.$stock.move({ transactionId, item, quantity: 1, min: 0 })
// @ts-expect-error: an AbortSignal
db.$stock.move({ transactionId, item, quantity: 1, signal: {} })
// @ts-expect-error: a list of lines
db.$stock.moveAll({ transactionId, lines: { item, quantity: 1 } })
// @ts-expect-error: a line has a quantity
db.$stock.moveAll({ transactionId, lines: [{ item }] })
// @ts-expect-error: how long it lasts
db.$stock.reserve({ transactionId, item, quantity: 1 })
// @ts-expect-error: a stocktake is of what was counted
db.$stock.count({ transactionId, item, quantity: 1 })
// @ts-expect-error: a fact has no minimum
db.$stock.count({ transactionId, item, counted: 1, minimum: 0 })
// @ts-expect-error: not part of an array $transaction
db.$transaction([db.$stock.move({ transactionId, item, quantity: 1 })])

// In transactions of every kind, and on clients that are extended further.
{
  const result = db.$transactionWithRetry(async (tx) => {
    await tx.product.updateVersioned({ where: { id: 1, version: 0 }, data: { name: 'x' } })
    return (await tx.$stock.move({ transactionId, item, quantity: 1 })).balance
  })
  type _result = Expect<Equal<Resolved<typeof result>, number>>
}
db.$transaction((tx) => tx.$transaction((inner) => inner.$stock.move({ transactionId, item, quantity: 1 })))
db.$withAdvisoryLock('x', (tx) => tx.$stock.move({ transactionId, item, quantity: 1 }))
db.$idempotent({ key: 'x', scope: 'y', request: {} }, async (tx) => {
  await tx.$stock.move({ transactionId, item, quantity: 1 })
  return null
})
{
  const further = db.$extends({ client: { $whoami: () => 'me' } })
  further.$transaction(async (tx) => [tx.$whoami(), await tx.$stock.move({ transactionId, item, quantity: 1 })])
  // Prisma's own methods stay as they are.
  const call = further.stock.findUniqueOrThrow({ where: { productId_warehouse: item }, select: { onHand: true } })
  type _plain = Expect<Equal<Resolved<typeof call>, { onHand: number }>>
}

// A simple key, and Decimals.
{
  const materials = concurrent.$extends(
    stock({
      ...MATERIAL,
      minimum: '0.5',
      rememberRefusals: true,
    }),
  )
  const { balance } = await materials.$stock.move({ transactionId, item: 'x', quantity: '0.125', minimum: decimal })
  type _balance = Expect<Equal<typeof balance, Decimal>>
  const { lines } = await materials.$stock.moveAll({ transactionId, lines: [{ item: 'x', quantity: decimal }] })
  type _item = Expect<Equal<(typeof lines)[number]['item'], string>>
  materials.$stock.move({ transactionId, item: 'x', quantity: 0.5 })
  // @ts-expect-error: a code is a text
  materials.$stock.move({ transactionId, item: 1, quantity: 0.5 })
  // @ts-expect-error: a simple key is no object
  materials.$stock.move({ transactionId, item: { code: 'x' }, quantity: 0.5 })
  // @ts-expect-error: no flag
  materials.$stock.move({ transactionId, item: 'x', quantity: true })
}

// A uuid, and bigints.
{
  const accounts = concurrent.$extends(
    stock({
      item: { model: 'Account', key: 'id', onHand: 'balance' },
      movement: { model: 'AccountEntry', item: 'accountId', quantity: 'amount' },
    }),
  )
  const { balance, quantity } = await accounts.$stock.move({ transactionId, item: 'x', quantity: 1n })
  type _balance = Expect<Equal<typeof balance, bigint>>
  type _quantity = Expect<Equal<typeof quantity, bigint>>
  accounts.$stock.move({ transactionId, item: 'x', quantity: 1, minimum: -1n })
  // @ts-expect-error: a bigint is no text
  accounts.$stock.move({ transactionId, item: 'x', quantity: '1' })
}

// Columns of the user's own: a required one must be given, and the others may be left out.
{
  const racks = concurrent.$extends(
    stock({
      item: { model: 'Rack', key: 'code' },
      movement: { model: 'RackMovement' },
      reservation: { model: 'RackReservation' },
    }),
  )
  const line = { item: 'x', quantity: 1 }
  const data = { orderId: 7, reason: 'SCRAP', userId: null, unitCost: '1.5', details: { a: 1 }, tags: ['a'] } as const
  racks.$stock.move({ transactionId, ...line, data: { ...data, tags: ['a'], seenAt: new Date() } })
  racks.$stock.moveAll({ transactionId, lines: [{ ...line, data: { orderId: 7 } }] })
  racks.$stock.count({ transactionId, item: 'x', counted: 1, data: { orderId: 7 } })
  racks.$stock.defer({ transactionId, ...line, data: { orderId: 7 } })
  racks.$stock.fulfil({ transactionId, data: { orderId: 7 } })
  racks.$stock.reserve({ transactionId, ...line, expiresIn: 1 })
  racks.$stock.reserve({ transactionId, lines: [{ ...line, data: { note: 'x' } }], expiresIn: 1 })
  // @ts-expect-error: the order
  racks.$stock.move({ transactionId, ...line })
  // @ts-expect-error: the order
  racks.$stock.move({ transactionId, ...line, data: {} })
  // @ts-expect-error: the order of each line
  racks.$stock.moveAll({ transactionId, lines: [line] })
  // @ts-expect-error: the order
  racks.$stock.count({ transactionId, item: 'x', counted: 1 })
  // @ts-expect-error: the order
  racks.$stock.fulfil({ transactionId })
  // @ts-expect-error: a number
  racks.$stock.move({ transactionId, ...line, data: { orderId: '7' } })
  // @ts-expect-error: no such reason
  racks.$stock.move({ transactionId, ...line, data: { orderId: 7, reason: 'OTHER' } })
  // @ts-expect-error: no such column
  racks.$stock.move({ transactionId, ...line, data: { orderId: 7, colour: 'red' } })
  // @ts-expect-error: a reversal is a movement, so it has an order
  racks.$stock.reverse({ transactionId, of: 'a' })
  racks.$stock.reverse({ transactionId, of: 'a', data: { orderId: 7 } })
  // @ts-expect-error: the data is for all lines
  racks.$stock.reverse({ transactionId, of: 'a', lines: [{ ...line, data: { orderId: 7 } }], data: { orderId: 7 } })
  // @ts-expect-error: the quantity is that of the line
  racks.$stock.move({ transactionId, ...line, data: { orderId: 7, quantity: 2 } })
  // @ts-expect-error: the state is kept by $stock
  racks.$stock.reserve({ transactionId, ...line, expiresIn: 1, data: { state: 'active' } })
  // @ts-expect-error: a reservation has no order
  racks.$stock.reserve({ transactionId, ...line, expiresIn: 1, data: { orderId: 7 } })
}

// A list of one field is an object with one.
{
  const products = concurrent.$extends(
    stock({
      item: { model: 'Product', key: 'id', onHand: 'stock', bumpVersion: false },
      movement: { model: 'ProductMovement', item: ['productId'] },
    }),
  )
  const { balance } = await products.$stock.move({ transactionId, item: 1, quantity: 1 })
  type _balance = Expect<Equal<typeof balance, number>>
}

// Options that are kept elsewhere.
{
  const options = {
    item: { model: 'Stock', key: ['productId', 'warehouse'] },
    movement: { model: 'StockMovement' },
  } as const satisfies StockOptions
  const call = concurrent.$extends(stock(options)).$stock.move({ transactionId, item, quantity: 1 })
  type _balance = Expect<Equal<Resolved<typeof call>['balance'], number>>
}

// A client that leaves fields out by default: a balance is there all the same.
declare const sparing: PrismaClient<never, { stock: { onHand: true; productId: true } }>
{
  const call = sparing
    .$extends(
      stock({ item: { model: 'Stock', key: ['productId', 'warehouse'] }, movement: { model: 'StockMovement' } }),
    )
    .$stock.move({ transactionId, item, quantity: 1 })
  type _balance = Expect<Equal<Resolved<typeof call>['balance'], number>>
}

// Options that are wrong.
// @ts-expect-error: the items
stock({ movement: { model: 'StockMovement' } })
// @ts-expect-error: the key of an item
stock({ item: { model: 'Stock' }, movement: { model: 'StockMovement' } })
// @ts-expect-error: a limit, or none
stock({ item: { model: 'Stock', key: 'productId' }, movement: { model: 'StockMovement' }, minimum: true })
{
  const wrong = base.$extends(stock({ item: { model: 'Stok', key: 'id' }, movement: { model: 'StockMovement' } }))
  // @ts-expect-error: there is no such model, so there is no item of it
  wrong.$stock.move({ transactionId, item: 1, quantity: 1 })
}

// Lots: `from` names the key without the lot, and the answer says which lots they are.
const lots = concurrent.$extends(
  stock({
    item: { model: 'LotStock', key: ['productId', 'warehouse', 'lot'] },
    movement: { model: 'LotMovement' },
    reservation: { model: 'LotReservation' },
  }),
)
{
  const from = { item, quantity: 3, by: 'fefo' } as const
  const { lines } = await lots.$stock.moveAll({ transactionId, lines: [{ from, data: { orderId: 7 } }] })
  type _item = Expect<Equal<(typeof lines)[number]['item'], { productId: number; warehouse: string; lot: string }>>
  const { lines: held = [] } = await lots.$stock.reserve({ transactionId, from, expiresIn: 1 })
  type _lot = Expect<Equal<(typeof held)[number]['item']['lot'], string>>
  lots.$stock.moveAll({ transactionId, lines: [{ from: { items: [item], quantity: 1, split: true } }] })
  lots.$stock.moveAll({ transactionId, lines: [{ item: { ...item, lot: 'a' }, quantity: 1 }, { from }] })
  lots.$stock.trace({ item: { ...item, lot: 'a' }, after: { transactionId, line: 0 }, limit: 10 })
  // @ts-expect-error: a place has no lot
  lots.$stock.moveAll({ transactionId, lines: [{ from: { item: { ...item, lot: 'a' }, quantity: 1 } }] })
  // @ts-expect-error: all of the place
  lots.$stock.moveAll({ transactionId, lines: [{ from: { item: { productId: 1 }, quantity: 1 } }] })
  // @ts-expect-error: one order or the other
  lots.$stock.moveAll({ transactionId, lines: [{ from: { item, quantity: 1, by: 'lifo' } }] })
  // @ts-expect-error: only several places can be split
  lots.$stock.moveAll({ transactionId, lines: [{ from: { item, quantity: 1, split: true } }] })
  // @ts-expect-error: a quantity
  lots.$stock.moveAll({ transactionId, lines: [{ from: { item } }] })
  // @ts-expect-error: either an item or from
  lots.$stock.moveAll({ transactionId, lines: [{ from, item: { ...item, lot: 'a' }, quantity: 1 }] })
  // @ts-expect-error: move has one item
  lots.$stock.move({ transactionId, from })
  // @ts-expect-error: a trace is of one lot
  lots.$stock.trace({ item })
  // Without a lot in the key, a place is an item.
  db.$stock.moveAll({ transactionId, lines: [{ from: { items: [item], quantity: 1 } }] })
}

// Items that a receipt creates.
{
  const lot = { ...item, lot: 'a' }
  lots.$stock.move({ transactionId, item: lot, quantity: 1, createMissing: true })
  lots.$stock.moveAll({ transactionId, lines: [{ item: lot, quantity: 1 }], createMissing: { expiresAt: new Date() } })
  // @ts-expect-error: $stock keeps what is on hand
  lots.$stock.move({ transactionId, item: lot, quantity: 1, createMissing: { onHand: 1 } })
  // @ts-expect-error: the key is that of the line
  lots.$stock.move({ transactionId, item: lot, quantity: 1, createMissing: { lot: 'b' } })
  const barrels = concurrent.$extends(
    stock({ item: { model: 'Barrel', key: 'code' }, movement: { model: 'BarrelMovement' } }),
  )
  barrels.$stock.move({ transactionId, item: 'a', quantity: 1, createMissing: { label: 'tea' } })
  // @ts-expect-error: the label has no default
  barrels.$stock.move({ transactionId, item: 'a', quantity: 1, createMissing: true })
}

// The slots of an item.
{
  const tickets = concurrent.$extends(
    stock({ item: { model: 'Ticket', key: 'event', slots: 'slot' }, movement: { model: 'TicketSale' } }),
  )
  const call = tickets.$stock.setSlots({ item: 'opera', count: 4, retry: { attempts: 1 } })
  type _Slots = Expect<Equal<Resolved<typeof call>, SlotsResult>>
  tickets.$stock.move({ transactionId, item: 'opera', quantity: -1, data: { customer: 'a' } })
  // @ts-expect-error: a slot is no part of the name of an item
  tickets.$stock.move({ transactionId, item: { event: 'opera', slot: 0 }, quantity: -1 })
  // @ts-expect-error: it must be said how many
  tickets.$stock.setSlots({ item: 'opera' })
  const sales = { movement: { model: 'TicketSale' } } as const
  const bounded = concurrent.$extends(
    stock({ ...sales, item: { model: 'Ticket', key: 'event', slots: { field: 'slot', least: 2, most: 64 } } }),
  )
  bounded.$stock.move({ transactionId, item: 'opera', quantity: -1 })
  stock({ ...sales, item: { model: 'Ticket', key: 'event', slots: { field: 'slot', adapt: false } } })
  // @ts-expect-error: the field must be named
  stock({ ...sales, item: { model: 'Ticket', key: 'event', slots: { most: 64 } } })
  // @ts-expect-error: slots are numbers
  stock({ ...sales, item: { model: 'Ticket', key: 'event', slots: { field: 'slot', most: '64' } } })
}

// The date of a movement, and the end of a period.
{
  const depot = concurrent.$extends(
    stock({
      item: { model: 'DepotStock', key: ['companyId', 'code'] },
      movement: { model: 'DepotMovement' },
    }),
  )
  const item = { companyId: 1, code: 'a' }
  depot.$stock.move({ transactionId, item, quantity: 1, date: new Date() })
  depot.$stock.count({ transactionId, item, counted: 1, date: '2026-01-31' })
  depot.$stock.reverse({ transactionId, of: 'a', date: '2026-01-31' })
  // @ts-expect-error: a date is no number
  depot.$stock.defer({ transactionId, item, quantity: 1, date: 5 })
  // @ts-expect-error: movements of this model have no date
  db.$stock.move({ transactionId, item: { productId: 1, warehouse: 'a' }, quantity: 1, date: new Date() })
  type Closed = Resolved<ReturnType<typeof depot.$stock.close>>
  type _Open = Expect<Equal<Closed['open'], readonly { companyId: number; code: string }[] | undefined>>
  depot.$stock.close({ until: null, reopen: true })
  // @ts-expect-error: a period has an end
  depot.$stock.close({})
  // @ts-expect-error: it must be said which transaction ids are forgotten
  depot.$stock.prune({})
}
