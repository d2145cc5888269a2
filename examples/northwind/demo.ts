/**
 * Sells the orders of the Northwind company out of its stock, with four processes at once, every
 * order sent twice, and one process killed in the middle; then audits the database.
 */
import { PrismaPg } from '@prisma/adapter-pg'
import { createDatabase, type Database } from '../../test/support/database.js'
import { startServer } from '../../test/support/server.js'
import { drop, exitCodeOf, interruption } from '../interruption.js'
import { audit, isExact } from './audit.js'
import { Crew } from './crew.js'
import { readOrders, readProducts } from './orders.js'
import { Progress } from './progress.js'
import { readPurchases } from './purchases.js'
import { conclusion, table } from './report.js'
import { openShop, SERIALISED, WAREHOUSE } from './shop.js'

const interrupted = interruption()
process.exit(await main().catch((error) => exitCodeOf(error, interrupted)))

/** Resolves to the exit code: 0 only if the audit finds nothing. */
async function main(): Promise<number> {
  const crew = new Crew(interrupted)
  try {
    const server = await startServer({ durable: true })
    // At once, also in the middle of a run.
    interrupted.addEventListener('abort', server.stop)
    try {
      interrupted.throwIfAborted()
      const database = await createDatabase(server.url)
      try {
        return await run(crew, database)
      } finally {
        await drop(database, interrupted)
      }
    } finally {
      await server.stop()
    }
  } finally {
    await crew.end()
  }
}

async function run(crew: Crew, database: Database): Promise<number> {
  await fill(database)
  interrupted.throwIfAborted()
  const progress = new Progress('selling', 2 * (await readOrders()).length, 'orders answered')
  const replay = await crew.replay(database.url, progress.advance).finally(() => progress.end())
  interrupted.throwIfAborted()
  const result = await audit(database, [...SERIALISED])
  const isColoured = process.stdout.isTTY && !process.env.NO_COLOR
  console.log(`\n${table(result, replay, isColoured)}\n\n${conclusion(result)}`)
  return isExact(result) ? 0 : 1
}

/** The opening balances are movements too, and the serial numbers come in as ranges. */
async function fill(database: Database): Promise<void> {
  const { db } = openShop(new PrismaPg({ connectionString: database.url }))
  try {
    const products = await readProducts()
    await db.product.createMany({ data: products.map(({ id, name, price }) => ({ id, name, price })) })
    await db.order.createMany({ data: await readOrders() })
    await db.orderLine.createMany({ data: (await readPurchases()).flatMap(({ lines }) => lines) })
    await db.stock.createMany({ data: products.map(({ id }) => ({ productId: id, warehouse: WAREHOUSE })) })
    await db.$stock.moveAll({
      transactionId: 'opening',
      lines: products
        .filter(({ stock }) => stock > 0)
        .map(({ id, stock }) => ({ item: { productId: id, warehouse: WAREHOUSE }, quantity: stock })),
    })
    for (const { id, stock } of products.filter((product) => SERIALISED.has(product.id))) {
      const range = { from: 1, to: stock, format: `P${id}-{0000}` }
      await db.$serials.import({ transactionId: `opening ${id}`, data: { productId: id }, range })
    }
  } finally {
    await db.$disconnect()
  }
}
