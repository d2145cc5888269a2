/** A process of its own that lets many moves of a locked item wait, and says what they cost. */
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { STOCK, type StockItem } from './stock-models.js'

export interface MemoryWork {
  readonly url: string
  readonly item: StockItem
  readonly calls: number
}

export interface MemoryReport {
  /** Bytes by which the heap has grown at most while all of them wait. */
  readonly cost: number
  /** How many did not wait. */
  readonly ended: number
}

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

function heapUsed(): number {
  collect()
  return process.memoryUsage().heapUsed
}

async function firstWaitsByItself(db: Pick<PrismaClient, '$queryRaw'>): Promise<void> {
  for (;;) {
    const found = await db.$queryRaw<unknown[]>`
      SELECT 1 FROM pg_stat_activity
      WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0 AND query NOT LIKE '%lock_timeout%'`
    if (found.length > 0) return
    await setImmediate()
  }
}

process.once('message', async ({ url, item, calls }: MemoryWork) => {
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
    .$extends(concurrency())
    .$extends(stock({ ...STOCK, maxWaiting: calls, retry: { deadline: 1_000_000 } }))
  const ids = Array.from({ length: calls }, (_, n) => `memory ${n}`)
  const answers: Promise<unknown>[] = []
  let ended = 0
  const count = () => void ended++

  // The code that Prisma loads for its first transaction is no part of the cost of a queue.
  await db.$stock.move({ transactionId: 'warm', item: { ...item, warehouse: 'nowhere' }, quantity: 1 }).catch(() => {})
  const before = heapUsed()
  for (const transactionId of ids) answers.push(db.$stock.move({ transactionId, item, quantity: 1 }).then(count, count))
  await firstWaitsByItself(db) // its batch has been taken apart, and all others are behind it
  let cost = 0
  for (let look = 0; look < 5; look++) {
    cost = Math.max(cost, heapUsed() - before)
    for (let turn = 0; turn < 20; turn++) await setImmediate()
  }
  process.send?.({ cost, ended } satisfies MemoryReport)
  await Promise.all(answers)
  await db.$disconnect()
  process.exit(0)
})
