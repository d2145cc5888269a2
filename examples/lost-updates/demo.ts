/**
 * Sells the orders of the Northwind company out of its stock, with four processes at once: first
 * with plain Prisma, then with `updateVersioned`; then compares what the database says.
 */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { createDatabase, type Database } from '../../test/support/database.js'
import { startServer } from '../../test/support/server.js'
import { drop, exitCodeOf, interruption } from '../interruption.js'
import { readLines, readOrders, readProducts } from '../northwind/orders.js'
import { Progress } from '../northwind/progress.js'
import { type Audit, audit } from './audit.js'
import { Crew } from './replay.js'
import { conclusion, table } from './report.js'
import type { Method } from './sell.js'

const interrupted = interruption()
process.exit(await main().catch((error) => exitCodeOf(error, interrupted)))

/** Resolves to the exit code: 0 only if the versioned run was exact. */
async function main(): Promise<number> {
  const crew = new Crew(interrupted)
  try {
    const server = await startServer({ durable: true })
    // At once, also in the middle of a run.
    interrupted.addEventListener('abort', server.stop)
    try {
      const plain = await run(crew, 'plain', 'plain update', server.url)
      const versioned = await run(crew, 'versioned', 'updateVersioned', server.url)
      const isColoured = process.stdout.isTTY && !process.env.NO_COLOR
      console.log(`\n${table(plain, versioned, isColoured)}\n\n${conclusion(plain, versioned)}`)
      return versioned.isExact ? 0 : 1
    } finally {
      await server.stop()
    }
  } finally {
    await crew.end()
  }
}

/** One run, in a database of its own, so that both begin with the same. */
async function run(crew: Crew, method: Method, label: string, serverUrl: string): Promise<Audit> {
  interrupted.throwIfAborted()
  const database = await createDatabase(serverUrl)
  try {
    const products = await readProducts()
    await fill(database, products)
    const progress = new Progress(label, (await readLines()).length, 'order lines')
    const result = await crew.replay(method, database.url, progress.advance).finally(() => progress.end())
    return await audit(database, products, result)
  } finally {
    await drop(database, interrupted)
  }
}

async function fill(database: Database, products: Awaited<ReturnType<typeof readProducts>>): Promise<void> {
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: database.url }) })
  try {
    await db.product.createMany({ data: products })
    await db.order.createMany({ data: await readOrders() })
  } finally {
    await db.$disconnect()
  }
}
