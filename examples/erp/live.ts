/** Two servers, a live stock board at each, and customers who buy, until Ctrl-C. */
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { exitCodeOf, interruption } from '../interruption.js'
import { withDatabase } from '../with-database.js'
import { connect } from './database.js'
import { itemOf } from './goods.js'
import { type ErpServer, startErp } from './server.js'

const PRODUCTS = ['Chai', 'Chang', 'Aniseed Syrup', 'Cajun Seasoning', 'Gumbo Mix', 'Boysenberry Spread']

const interrupted = interruption()
try {
  await withDatabase(run)
} catch (error) {
  process.exitCode = exitCodeOf(error, interrupted)
}

async function run(databaseUrl: string): Promise<void> {
  const db = connect(databaseUrl)
  const servers = await Promise.all([startErp(databaseUrl), startErp(databaseUrl)])
  try {
    // A shop of your own has it as a migration.
    await db.$executeRawUnsafe(await readFile(new URL('board.sql', import.meta.url), 'utf8'))
    const ids = PRODUCTS.map((_, index) => index + 1)
    await db.product.createMany({ data: PRODUCTS.map((name, index) => ({ id: index + 1, name, price: 18 })) })
    await db.stock.createMany({ data: ids.map((productId) => ({ productId, warehouse: 'main' })) })
    for (const id of ids) await db.$stock.defer({ transactionId: `opening ${id}`, item: itemOf(id), quantity: 200 })
    for (const { url } of servers) console.log(`${url}/board`)
    while (!interrupted.aborted) {
      await doSomething(pick(servers), pick(ids))
      await sleep(Math.random() * 500, undefined, { signal: interrupted }).catch(() => {})
    }
    interrupted.throwIfAborted()
  } finally {
    await Promise.all(servers.map((server) => server.close()))
    await db.$disconnect()
  }
}

/** Most buy, some put it into a basket, and now and then goods come in. */
async function doSomething({ url }: ErpServer, productId: number): Promise<void> {
  const lines = [{ productId, quantity: 1 + Math.floor(Math.random() * 5) }]
  const luck = Math.random()
  if (luck < 0.1) await post(`${url}/stock/${productId}/receipts`, { quantity: 20 })
  else if (luck < 0.3) await post(`${url}/baskets`, { lines, expiresIn: 30 })
  else await post(`${url}/orders`, { customer: 'VINET', lines })
}

async function post(url: string, body: object): Promise<void> {
  const headers = { 'idempotency-key': `"${randomUUID()}"` }
  await (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).text()
}

function pick<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)] as T
}
