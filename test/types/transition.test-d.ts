import { concurrency } from '../../src/index.js'
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

// @ts-expect-error: there is no such model
base.$extends(concurrency({ transitions: { Parsel: { field: 'state', from: { PENDING: ['PAID'] } } } }))
// @ts-expect-error: there is no such field
base.$extends(concurrency({ transitions: { Parcel: { field: 'stat', from: { PENDING: ['PAID'] } } } }))
// @ts-expect-error: there is no such state to go to
base.$extends(concurrency({ transitions: { Parcel: { field: 'state', from: { PENDING: ['PAYED'] } } } }))
// @ts-expect-error: there is no such state to come from
base.$extends(concurrency({ transitions: { Parcel: { field: 'state', from: { PENDNG: ['PAID'] } } } }))
