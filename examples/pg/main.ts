import { Pool } from 'pg'
import { InsufficientStockError } from 'prisma-extension-concurrency/pg'
import { withDatabase } from '../with-database.js'
import { openShop } from './shop.js'
import { TABLES } from './tables.js'

await withDatabase(async (url) => {
  const pool = new Pool({ connectionString: url })
  try {
    await pool.query(TABLES)
    const { db, order, count } = await openShop(pool)
    await db.query('INSERT INTO shop.stock (product_id) VALUES (11)')
    await db.$stock.move({ transactionId: 'delivery', item: 11, quantity: 10 })

    const request = { customer: 'Vinet', item: 11, quantity: 3 }
    const first = await order('a-1', request)
    const again = await order('a-1', request)
    console.log(`Order ${first.result.id}, ${first.result.left} left.`)
    console.log(`The same request again: order ${again.result.id}, ${again.replayed ? 'replayed' : 'carried out'}.`)

    try {
      await order('a-2', { ...request, quantity: 8 })
    } catch (error) {
      if (!(error instanceof InsufficientStockError)) throw error
      const [shortage] = error.shortages
      console.log(`Not enough: ${shortage?.requested} wanted, ${shortage?.available} there.`)
    }

    console.log(`Counted on the shelf: ${await count(11, 6)} to what was on hand.`)
    const { rows } = await db.query('SELECT on_hand, (SELECT count(*)::int FROM shop.orders) AS orders FROM shop.stock')
    console.log(`In the database: ${JSON.stringify(rows[0])}`)
  } finally {
    await pool.end()
  }
})
