/** A process of its own that takes advisory locks. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'

export type LockWork = { readonly url: string } & (
  | {
      /** Locks, writes a note with the text, says `held`, and stands still until it is killed. */
      readonly task: 'hold'
      readonly key: string
      readonly bodyTimeout?: number
    }
  | {
      /** Each caller adds 1 to the stock of a product, again and again, by a read and a write under its lock. */
      readonly task: 'count'
      readonly id: number
      readonly callers: number
      readonly rounds: number
    }
  | {
      /** Each caller locks two products in a random order, again and again, and moves 1 between their stocks. */
      readonly task: 'pairs'
      readonly ids: readonly number[]
      readonly callers: number
      readonly rounds: number
    }
)

/** Errors: there should be none. */
export interface LockOutcome {
  readonly failures: readonly string[]
}

process.once('message', async (work: LockWork) => {
  const client = new PrismaClient({ adapter: new PrismaPg({ connectionString: work.url }) })
  const db = client.$extends(concurrency())
  const patient = { timeout: 100_000, bodyTimeout: 100_000 }
  const failures: string[] = []
  const repeat = async (callers: number, rounds: number, once: () => Promise<unknown>) => {
    const caller = async () => {
      for (let round = 0; round < rounds; round++) {
        await once().catch((error: unknown) => failures.push(String(error)))
      }
    }
    await Promise.all(Array.from({ length: callers }, caller))
  }

  switch (work.task) {
    case 'hold':
      await db.$withAdvisoryLock(
        work.key,
        async (tx) => {
          await tx.note.create({ data: { text: work.key } })
          process.send?.('held')
          await new Promise(() => {})
        },
        { ...patient, bodyTimeout: work.bodyTimeout ?? patient.bodyTimeout },
      )
      break
    case 'count':
      await repeat(work.callers, work.rounds, () =>
        db.$withAdvisoryLock(
          ['product', work.id],
          async (tx) => {
            const { stock } = await tx.product.findUniqueOrThrow({ where: { id: work.id } })
            await tx.product.update({ where: { id: work.id }, data: { stock: stock + 1 } })
          },
          patient,
        ),
      )
      break
    case 'pairs':
      await repeat(work.callers, work.rounds, () => {
        const [from, to] = [pick(work.ids), pick(work.ids)]
        return db.$withAdvisoryLock(
          { keys: [from, to].map((id) => ['product', id]) },
          async (tx) => {
            // Read and written one by one: the locks are all that keeps the sum right.
            for (const [id, change] of [[from, -1] as const, [to, 1] as const]) {
              const { stock } = await tx.product.findUniqueOrThrow({ where: { id } })
              await tx.product.update({ where: { id }, data: { stock: stock + change } })
            }
          },
          patient,
        )
      })
      break
  }
  await client.$disconnect()
  process.send?.({ failures } satisfies LockOutcome, () => process.exit(0))
})

function pick(ids: readonly number[]): number {
  return ids[Math.floor(Math.random() * ids.length)] as number
}
