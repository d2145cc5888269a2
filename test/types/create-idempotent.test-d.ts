/** The types of `createIdempotent`, and the calls that they refuse. It is compiled, and never run. */
import type { Prisma } from '../../generated/prisma/client.js'
import { db, type Equal, type Expect } from './support.js'

const where = { transactionId: 't' }
const data = { amount: 5 }

// The record follows the selection, by Prisma's own rules.
const plain = await db.payment.createIdempotent({ where, data })
type _replayed = Expect<Equal<typeof plain.replayed, boolean>>
type _amount = Expect<Equal<typeof plain.record.amount, Prisma.Decimal>>
type _reference = Expect<Equal<typeof plain.record.reference, string | null>>
type _noItems = Expect<Equal<'items' extends keyof typeof plain.record ? true : false, false>>

const selected = await db.payment.createIdempotent({ where, data, select: { currency: true } })
type _selected = Expect<Equal<typeof selected.record, { currency: string }>>

const included = await db.payment.createIdempotent({ where, data, include: { items: true, customer: true } })
type _includedItems = Expect<Equal<(typeof included.record.items)[number]['text'], string>>
type _includedCustomer = Expect<Equal<NonNullable<typeof included.record.customer>['email'], string>>

const omitted = await db.payment.createIdempotent({ where, data, omit: { amount: true } })
type _noAmount = Expect<Equal<'amount' extends keyof typeof omitted.record ? true : false, false>>
type _currency = Expect<Equal<typeof omitted.record.currency, string>>

// All unique keys, single and compound.
db.payment.createIdempotent({ where: { id: 1 }, data: { transactionId: 't', amount: 5 } })
db.payment.createIdempotent({ where: { reference: 'r' }, data: { transactionId: 't', amount: 5 } })
db.transfer.createIdempotent({
  where: { tenantId_transactionId: { tenantId: 1, transactionId: 't' } },
  data: { amount: 5n },
})
db.stock.createIdempotent({ where: { productId_warehouse: { productId: 1, warehouse: 'Graz' } }, data: { onHand: 3 } })
// Models without a version are as good.
db.note.createIdempotent({ where: { id: 1 }, data: { text: 'a' } })
db.everything.createIdempotent({
  where: { code: 'a' },
  data: { decimal: '1.5', at: '2026-11-24T00:00:00Z', big: 5, json: { a: [1] }, tags: ['a'], kind: 'SPECIAL' },
  match: ['decimal', 'at', 'big', 'json', 'tags', 'kind', 'code'],
})

// Both input forms.
db.payment.createIdempotent({ where, data: { amount: 5, customerId: 1 } })
db.payment.createIdempotent({ where, data: { amount: 5, customer: { connect: { email: 'a' } } } })
db.payment.createIdempotent({ where, data: { amount: 5, items: { create: [{ text: 'a' }] } } })
db.payment.createIdempotent({ where, data: { amount: 5, items: { createMany: { data: [{ text: 'a' }] } } } })
const line = { orderId_productId: { orderId: 1, productId: 2 } }
db.orderLine.createIdempotent({ where: line, data: { quantity: 1 } })
db.orderLine.createIdempotent({
  where: line,
  data: { quantity: 1, order: { connect: { id: 1 } }, product: { connect: { id: 2 } } },
})

// In a transaction, in one that is retried, and on a client with other extensions on top.
db.$transaction(async (tx) => {
  const { record } = await tx.payment.createIdempotent({ where, data, select: { id: true } })
  type _inTransaction = Expect<Equal<typeof record, { id: number }>>
})
db.$transactionWithRetry((tx) => tx.payment.createIdempotent({ where, data }))
db.$extends({ name: 'other' }).payment.createIdempotent({ where, data })

db.payment.createIdempotent({
  where,
  data,
  retry: { attempts: 3, deadline: 1_000 },
  signal: new AbortController().signal,
})
declare const late: string | undefined

// @ts-expect-error: `where` is required
db.payment.createIdempotent({ data })
// @ts-expect-error: `data` is required
db.payment.createIdempotent({ where })
// @ts-expect-error: no key
db.payment.createIdempotent({ where: {}, data })
// @ts-expect-error: not a unique key
db.payment.createIdempotent({ where: { currency: 'EUR' }, data: { transactionId: 't', amount: 5 } })
// @ts-expect-error: a null would be inserted again and again
db.payment.createIdempotent({ where: { transactionId: null }, data })
// @ts-expect-error: so would an undefined
db.payment.createIdempotent({ where: { transactionId: undefined }, data })
// @ts-expect-error: a value that may be missing
db.payment.createIdempotent({ where: { transactionId: late }, data })
// @ts-expect-error: a filter is no value to insert
db.payment.createIdempotent({ where: { transactionId: { equals: 't' } }, data })
// @ts-expect-error: another type
db.payment.createIdempotent({ where: { transactionId: 5 }, data })
// @ts-expect-error: a part of the key is missing
db.transfer.createIdempotent({ where: { tenantId_transactionId: { tenantId: 1 } }, data: { amount: 5n } })
const lateTransfer = { tenantId_transactionId: { tenantId: 1, transactionId: late } }
// @ts-expect-error: a part of the key may be missing
db.transfer.createIdempotent({ where: lateTransfer, data: { amount: 5n } })

// @ts-expect-error: the key is in `where` already
db.payment.createIdempotent({ where, data: { amount: 5, transactionId: 't' } })
const tenant = { tenantId_transactionId: { tenantId: 1, transactionId: 't' } }
// @ts-expect-error: a part of the key is in `where` already
db.transfer.createIdempotent({ where: tenant, data: { amount: 5n, tenantId: 1 } })
// @ts-expect-error: a required field is missing
db.payment.createIdempotent({ where, data: {} })
// @ts-expect-error: a required field is missing, which is not in this key
db.payment.createIdempotent({ where: { id: 1 }, data: { amount: 5 } })
// @ts-expect-error: not a field
db.payment.createIdempotent({ where, data: { amount: 5, nonsense: 1 } })
// @ts-expect-error: another type
db.payment.createIdempotent({ where, data: { amount: 5, currency: 7 } })
// @ts-expect-error: the foreign key and `connect` at once
db.payment.createIdempotent({ where, data: { amount: 5, customerId: 1, customer: { connect: { id: 1 } } } })
// @ts-expect-error: `data` is no function
db.payment.createIdempotent({ where, data: () => ({ amount: 5 }) })

// @ts-expect-error: not a field
db.payment.createIdempotent({ where, data, match: ['nonsense'] })
// @ts-expect-error: a relation
db.payment.createIdempotent({ where, data, match: ['items'] })
// @ts-expect-error: not a list
db.payment.createIdempotent({ where, data, match: 'amount' })
// @ts-expect-error: not a field
db.payment.createIdempotent({ where, data, select: { nonsense: true } })
// @ts-expect-error: the model has no relations
db.note.createIdempotent({ where: { id: 1 }, data: { text: 'a' }, include: { nonsense: true } })
// @ts-expect-error: not an argument
db.payment.createIdempotent({ where, data, update: {} })
// @ts-expect-error: not an option
db.payment.createIdempotent({ where, data, retry: { tries: 3 } })
