import { withDatabase } from '../with-database.js'
import { setPrice, ship, shipAll } from './consumers.js'
import { connect } from './database.js'

await withDatabase(async (url) => {
  const db = connect(url)
  try {
    const order = (n: number) => ({ id: `order ${n}`, text: `ship ${n}` })
    console.log(`order 1: ${await ship(db, order(1))}`)
    console.log(`order 1 again: ${await ship(db, order(1))}`)
    const both = await Promise.all([ship(db, order(2)), ship(db, order(2))])
    console.log(`order 2, two deliveries at once: ${both.sort().join(' and ')}`)
    const { handled, duplicates } = await shipAll(db, [order(2), order(3), order(4)])
    console.log(`a batch: handled ${handled.join(', ')}; duplicates ${duplicates.join(', ')}`)
    const failed = await ship(db, { id: 'order 5', text: '' }).catch(({ message }) => `not acknowledged, ${message}`)
    console.log(`order 5: ${failed}`)
    console.log(`order 5, delivered again: ${await ship(db, order(5))}`)
    console.log(`shipped: ${(await db.note.findMany({ orderBy: { id: 'asc' } })).map(({ text }) => text).join(', ')}`)

    const { id: productId } = await db.product.create({ data: { name: 'Chai' } })
    const price = (version: number, price: number) => ({ id: `price ${version}`, productId, price, version })
    console.log(`price 2, of 20.00: ${await setPrice(db, price(2, 20))}`)
    console.log(`price 1, of 18.00, which comes late: ${await setPrice(db, price(1, 18))}`)
    const chai = await db.product.findUniqueOrThrow({ where: { id: productId } })
    console.log(`the price is ${chai.price.toFixed(2)}`)
  } finally {
    await db.$disconnect()
  }
})
