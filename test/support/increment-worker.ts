/** A process of its own whose callers each add 1 to one row, again and again, through the function form. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'

export interface IncrementWork {
  readonly url: string
  readonly id: number
  /** A Category that the test has locked: the race begins for all when it lets go. */
  readonly start: number
  readonly callers: number
  readonly increments: number
}

export interface IncrementOutcome {
  /** The stock that each call left, all callers together. */
  readonly stocks: readonly number[]
  /** The highest number of attempts that a call needed. */
  readonly attempts: number
  /** Errors: there should be none. */
  readonly failures: readonly string[]
}

process.once('message', async (work: IncrementWork) => {
  const outcome = await run(work)
  process.send?.(outcome, () => process.exit(0))
})

async function run({ url, id, start, callers, increments }: IncrementWork): Promise<IncrementOutcome> {
  // The attempts are what it measures, not the time: all wait for one row.
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) }).$extends(
    concurrency({ retry: { deadline: 100_000 } }),
  )
  const failures: string[] = []
  const stocks: number[] = []
  let attempts = 0
  const caller = async () => {
    for (let increment = 0; increment < increments; increment++) {
      try {
        const { stock } = await db.product.updateVersioned({
          where: { id },
          data: (current, attempt) => {
            attempts = Math.max(attempts, attempt)
            return { stock: current.stock + 1 }
          },
        })
        stocks.push(stock)
      } catch (error) {
        failures.push(String(error))
      }
    }
  }
  await db.$executeRaw`UPDATE "Category" SET name = name WHERE id = ${start}`
  await Promise.all(Array.from({ length: callers }, caller))
  await db.$disconnect()
  return { stocks, attempts, failures }
}
