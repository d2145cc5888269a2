import { concurrency } from '../../src/index.js'
import { outbox } from '../../src/work.js'
import { base, db, type Equal, type Expect, type Flat, type Resolved } from './support.js'

const shop = base.$extends(
  concurrency({
    transitions: {
      Parcel: {
        field: 'state',
        from: { PENDING: ['PAID', 'CANCELLED'], PAID: ['SHIPPED'] },
        history: { model: 'ParcelMove' },
      },
      Errand: { field: 'state', from: { open: ['done'] } },
    },
  }),
)
type State = 'PENDING' | 'PAID' | 'SHIPPED' | 'CANCELLED'

// The answer tells what has become of it, with the record as it is selected.
const call = shop.parcel.transition({
  where: { code: 'A' },
  to: 'PAID',
  data: { note: 'x' },
  select: { id: true, moves: true },
})
type Result = Resolved<typeof call>
type _status = Expect<Equal<Result['status'], 'moved' | 'already' | 'illegal' | 'missing'>>
type _record = Expect<Equal<keyof Flat<Extract<Result, { status: 'moved' }>['record']>, 'id' | 'moves'>>
type _current = Expect<Equal<Extract<Result, { status: 'illegal' }>['current'], State>>
shop.parcel.transition({ where: { id: 1 }, to: 'SHIPPED', history: { by: 'Ann' } })
shop.errand.transition({ where: { id: 1 }, to: 'done' })
shop.$transaction((tx) => tx.errand.transition({ where: { id: 1 }, to: 'done' }))
shop.parcel.updateVersioned({ where: { id: 1 }, data: () => ({ note: 'versions are known as before' }) })

// @ts-expect-error: no move leads to it
shop.parcel.transition({ where: { id: 1 }, to: 'PENDING' })
// @ts-expect-error: misspelt
shop.parcel.transition({ where: { id: 1 }, to: 'PAYED' })
// @ts-expect-error: misspelt, of states that are texts
shop.errand.transition({ where: { id: 1 }, to: 'dome' })
// @ts-expect-error: the state is the call's own to write
shop.parcel.transition({ where: { id: 1 }, to: 'PAID', data: { state: 'SHIPPED' } })
// @ts-expect-error: so is the version
shop.parcel.transition({ where: { id: 1 }, to: 'PAID', data: { version: 3 } })
// @ts-expect-error: relations are not written with it
shop.parcel.transition({ where: { id: 1 }, to: 'PAID', data: { moves: {} } })
// @ts-expect-error: the state is looked at by the call itself
shop.parcel.transition({ where: { id: 1, state: 'PENDING' }, to: 'PAID' })
// @ts-expect-error: an errand has no history
shop.errand.transition({ where: { id: 1 }, to: 'done', history: { by: 'Ann' } })
// @ts-expect-error: no moves were named for orders
shop.order.transition({ where: { id: 1 }, to: 'PAID' })
// @ts-expect-error: nor any at all
db.parcel.transition({ where: { id: 1 }, to: 'PAID' })

// A message has the payload of its topic, also in a transaction.
interface Topics {
  'parcel.paid': { readonly parcelId: number }
  'parcel.shipped': { readonly code: string }
}
const telling = shop.$extends(outbox({ topics: {} as Topics }))
const toPaid = { where: { id: 1 }, to: 'PAID' } as const
const paid = { topic: 'parcel.paid', payload: { parcelId: 1 }, key: 'parcel 1' } as const
const told = telling.parcel.transition({ ...toPaid, outbox: paid, select: { id: true } })
type _told = Expect<Equal<Flat<Extract<Resolved<typeof told>, { status: 'moved' }>['record']>, { id: number }>>
telling.$transactionWithRetry((tx) => tx.parcel.transition({ ...toPaid, outbox: paid }))
telling.$extends({ name: 'above' }).parcel.transition({ ...toPaid, outbox: paid })
// @ts-expect-error: there is no such topic
telling.parcel.transition({ ...toPaid, outbox: { topic: 'parcel.payed', payload: { parcelId: 1 } } })
// @ts-expect-error: another topic has this payload
telling.parcel.transition({ ...toPaid, outbox: { topic: 'parcel.shipped', payload: { parcelId: 1 } } })
// @ts-expect-error: a message has a payload
telling.parcel.transition({ ...toPaid, outbox: { topic: 'parcel.paid' } })
// @ts-expect-error: the client has no outbox
shop.parcel.transition({ ...toPaid, outbox: paid })
// Without topics, each payload is JSON.
const loose = shop.$extends(outbox())
loose.errand.transition({ where: { id: 1 }, to: 'done', outbox: { topic: 'any', payload: [1, null, 'b'] } })

// @ts-expect-error: there is no such model
base.$extends(concurrency({ transitions: { Parsel: { field: 'state', from: { PENDING: ['PAID'] } } } }))
// @ts-expect-error: there is no such field
base.$extends(concurrency({ transitions: { Parcel: { field: 'stat', from: { PENDING: ['PAID'] } } } }))
// @ts-expect-error: there is no such state to go to
base.$extends(concurrency({ transitions: { Parcel: { field: 'state', from: { PENDING: ['PAYED'] } } } }))
// @ts-expect-error: there is no such state to come from
base.$extends(concurrency({ transitions: { Parcel: { field: 'state', from: { PENDNG: ['PAID'] } } } }))
