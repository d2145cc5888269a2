/** A process of its own that stands still in its third attempt, with the row locked, until it is killed. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'

export interface HoldWork {
  readonly url: string
  readonly id: number
}

process.once('message', async ({ url, id }: HoldWork) => {
  const base = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
  await base.$extends(concurrency()).product.updateVersioned({
    where: { id },
    data: async (_, attempt) => {
      if (attempt < 3) await base.$executeRaw`UPDATE "Product" SET version = version + 1 WHERE id = ${id}`
      else {
        process.send?.('holding')
        await new Promise(() => {})
      }
      return { stock: -1 }
    },
    retry: { deadline: 100_000 },
  })
})
