/**
 * A process of its own that sends overlapping batches of versioned writes, in random orders, and
 * then says what became of them.
 */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'

export interface BatchWork {
  readonly url: string
  readonly ids: readonly number[]
  readonly callers: number
  readonly batches: number
}

export interface BatchOutcome {
  /** How many rows were written, all callers together. */
  readonly written: number
  /** Errors: there should be none. */
  readonly failures: readonly string[]
}

process.once('message', async (work: BatchWork) => {
  const outcome = await run(work)
  process.send?.(outcome, () => process.exit(0))
})

async function run({ url, ids, callers, batches }: BatchWork): Promise<BatchOutcome> {
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: callers }) }).$extends(
    concurrency({ retry: { deadline: 100_000 } }),
  )
  const failures: string[] = []
  let written = 0
  const caller = async () => {
    for (let batch = 0; batch < batches; batch++) {
      const rows = await db.product.findMany({ where: { id: { in: shuffled(ids).slice(0, ids.length / 2) } } })
      const items = shuffled(rows).map(({ id, version }) => ({
        where: { id, version },
        data: { stock: { increment: 1 } },
      }))
      try {
        // One attempt only, so that a deadlock would not be mended by trying again.
        const verdicts = await db.product.updateManyVersioned(items, { mode: 'each', retry: { attempts: 1 } })
        written += verdicts.filter(({ status }) => status === 'updated').length
      } catch (error) {
        failures.push(String(error))
      }
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  await db.$disconnect()
  return { written, failures }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item)
}
