import type { Invoice } from '../../generated/prisma/client.js'
import { series } from '../../src/series/extension.js'
import type { Gap, GivenNumber } from '../../src/series/store.js'
import { db as concurrent, type Equal, type Expect, type Flat, type Resolved } from './support.js'

const db = concurrent.$extends(
  series({
    series: {
      invoice: { format: 'INV-{yyyy}-{000000}', document: { model: 'Invoice' } },
      payment: { document: { model: 'Payment', number: 'reference' } },
      ticket: { blocks: 10 },
    },
  }),
)
declare const signal: AbortSignal

// On the client and in transactions of every kind.
{
  const call = db.$series.next('ticket')
  type _number = Expect<Equal<Resolved<typeof call>, GivenNumber>>
  type _value = Expect<Equal<GivenNumber['value'], bigint>>
  const gaps = db.$series.gaps('invoice', { period: '2026' })
  type _gaps = Expect<Equal<Resolved<typeof gaps>, Gap[]>>
}
{
  const result = db.$transactionWithRetry(async (tx) => {
    await tx.product.updateVersioned({ where: { id: 1, version: 0 }, data: { stock: 1 } })
    return (await tx.$series.next('invoice', { transactionId: 'a', at: new Date(), signal })).text
  })
  type _result = Expect<Equal<Resolved<typeof result>, string>>
}
db.$transaction((tx) => tx.$series.next('invoice', { transactionId: undefined, at: undefined, signal: undefined }))
db.$withAdvisoryLock('x', (tx) => tx.$series.next('invoice'))

// Any other name is a series too, and without options there is nothing else.
db.$series.next('INV-2026')
concurrent.$extends(series()).$series.next('INV-2026')
// @ts-expect-error: a series has a name
db.$series.next()
// @ts-expect-error: a name is a string
db.$series.next(7)
// @ts-expect-error: there is no such argument
db.$series.next('invoice', { transactionID: 'a' })
// @ts-expect-error: a moment is a Date
db.$series.next('invoice', { at: '2026-01-01' })
// @ts-expect-error: not part of an array $transaction
db.$transaction([db.$series.next('invoice')])

// Documents.
{
  const call = db.$series.create('invoice', { transactionId: 'a', record: { orderId: 1 }, at: new Date(), signal })
  type _record = Expect<Equal<Flat<Resolved<typeof call>['record']>, Flat<Invoice>>>
  type _text = Expect<Equal<Resolved<typeof call>['text'], string>>
}
db.$transactionWithRetry((tx) => tx.$series.create('payment', { transactionId: 'a', record: { amount: '1.00' } }))
db.$series.create('payment', { transactionId: 'a', record: { amount: 1, customerId: null }, retry: { deadline: 100 } })
// @ts-expect-error: the series has no document
db.$series.create('ticket', { transactionId: 'a', record: {} })
// @ts-expect-error: there is no such series
db.$series.create('another', { transactionId: 'a', record: {} })
// @ts-expect-error: a document is created for a transaction id
db.$series.create('invoice', { record: { orderId: 1 } })
// @ts-expect-error: the order is missing
db.$series.create('invoice', { transactionId: 'a', record: {} })
// @ts-expect-error: the number is given by the series
db.$series.create('invoice', { transactionId: 'a', record: { orderId: 1, number: '1' } })
// @ts-expect-error: its number is in the field that the mapping names
db.$series.create('payment', { transactionId: 'a', record: { amount: 1, reference: '1' } })
// @ts-expect-error: no field of an invoice
db.$series.create('invoice', { transactionId: 'a', record: { orderId: 1, amount: 1 } })
// @ts-expect-error: the values of scalar fields alone
db.$series.create('invoice', { transactionId: 'a', record: { order: { connect: { id: 1 } } } })
// @ts-expect-error: not part of an array $transaction
db.$transaction([db.$series.create('invoice', { transactionId: 'a', record: { orderId: 1 } })])

// Options.
series({
  series: { a: { format: '{0}', start: 1n, timeZone: 'UTC', blocks: 5 }, b: { start: 1 } },
  counter: { model: 'Counter', name: 'n', period: 'p', last: 'l' },
  number: { model: 'Number', series: 's', transactionId: 't', period: 'p', value: 'v', text: 't' },
})
// @ts-expect-error: a number of numbers
series({ series: { a: { blocks: true } } })
// @ts-expect-error: a document has a model
series({ series: { a: { document: { number: 'number' } } } })
// @ts-expect-error: there is no such option
series({ series: { a: { fromat: '{0}' } } })

// A scope.
const scoped = concurrent.$extends(
  series({
    scope: ['companyId'],
    series: { bill: { document: { model: 'CompanyBill' } }, ticket: { blocks: 10 } },
    counter: { model: 'CompanySeries' },
    number: { model: 'CompanySeriesNumber' },
  }),
)
{
  const call = scoped.$series.next('ticket', { scope: { companyId: 1 }, transactionId: 'a' })
  type _number = Expect<Equal<Resolved<typeof call>, GivenNumber>>
  const bound = scoped.$series.in({ companyId: 1 })
  bound.next('ticket')
  bound.create('bill', { transactionId: 'a', record: { amount: 1 } })
  scoped.$transactionWithRetry((tx) => tx.$series.in({ companyId: 1 }).next('ticket'))
  scoped.$series.create('bill', { scope: { companyId: 1 }, transactionId: 'a', record: {} })
  scoped.$series.gaps('bill', { scope: { companyId: 1 } })
  // @ts-expect-error: no scope
  scoped.$series.next('ticket')
  // @ts-expect-error: no scope
  scoped.$series.next('ticket', { transactionId: 'a' })
  // @ts-expect-error: no scope
  scoped.$series.create('bill', { transactionId: 'a', record: {} })
  // @ts-expect-error: no scope
  scoped.$series.gaps('bill')
  // @ts-expect-error: no value of the scope
  scoped.$series.next('ticket', { scope: {} })
  // @ts-expect-error: a company is an Int
  scoped.$series.in({ companyId: '1' })
  // @ts-expect-error: the scope is given by the call
  bound.create('bill', { transactionId: 'a', record: { companyId: 1 } })
  // @ts-expect-error: bound already
  bound.in({ companyId: 1 })
}
// @ts-expect-error: no scope in the options
db.$series.in({ companyId: 1 })
// @ts-expect-error: no scope in the options
db.$series.next('ticket', { scope: { companyId: 1 } })

// Void numbers, and patterns.
{
  const voided = db.$series.void('invoice', { value: 7n, period: '2026', reason: 'a', signal })
  type _voided = Expect<Equal<Resolved<typeof voided>['value'], bigint>>
  const closed = db.$series.closePeriod('invoice', { period: '2026', reason: 'a' })
  type _closed = Expect<Equal<Resolved<typeof closed>['voided'], readonly bigint[]>>
  const peeked = db.$series.peek('invoice', { at: new Date() })
  type _peeked = Expect<Equal<Resolved<typeof peeked>['text'], string>>
  // @ts-expect-error: a reason is given
  db.$series.void('invoice', { value: 7 })
  // @ts-expect-error: no scope
  scoped.$series.void('ticket', { value: 7, reason: 'a' })
  // @ts-expect-error: no scope
  scoped.$series.peek('ticket')
  // @ts-expect-error: no scope
  scoped.$series.closePeriod('ticket', { reason: 'a' })
  const family = concurrent.$extends(
    series({ series: { 'payment:*': { document: { model: 'Payment', number: 'reference' }, parallel: true } } }),
  )
  family.$series.create('payment:AT', { transactionId: 'a', record: { amount: 1 } })
  // @ts-expect-error: not of the pattern
  family.$series.create('invoice:AT', { transactionId: 'a', record: { amount: 1 } })
}
