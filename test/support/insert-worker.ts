/** A process of its own whose callers each insert the same payments, in an order of the process's own. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { STARTING_LINE } from './starting-line.js'

export interface InsertWork {
  readonly url: string
  readonly transactionIds: readonly string[]
  readonly callers: number
  /** How the calls of one caller follow one another: all in one tick, or each after the one before. */
  readonly pace: 'at once' | 'one by one'
  /** Where each insert runs. */
  readonly where?: 'on the root client' | 'in a transaction' | 'in a serializable transaction'
  /** How the process ends once its first insert is sent and not committed. */
  readonly ending?: 'stands still'
}

export interface InsertOutcome {
  readonly results: readonly { transactionId: string; id: number; replayed: boolean }[]
  /** Errors: there should be none. */
  readonly failures: readonly string[]
}

process.once('message', async (work: InsertWork) => {
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: work.url }) }).$extends(
    concurrency({ retry: { attempts: 100, deadline: 60_000 } }),
  )
  const insert = async (transactionId: string) => {
    const args = { where: { transactionId }, data: { amount: 5 } }
    const { record, replayed } = await (work.where?.startsWith('in')
      ? db.$transactionWithRetry(
          async (tx) => {
            const result = await tx.payment.createIdempotent(args)
            if (work.ending === 'stands still') {
              process.send?.('standing still')
              await new Promise(() => {})
            }
            return result
          },
          work.where === 'in a serializable transaction' ? { isolationLevel: 'Serializable' } : {},
        )
      : db.payment.createIdempotent(args))
    return { transactionId: record.transactionId, id: record.id, replayed }
  }
  const results: Awaited<ReturnType<typeof insert>>[] = []
  const failures: string[] = []
  const noted = (transactionId: string) =>
    insert(transactionId).then(
      (result) => void results.push(result),
      (error) => void failures.push(String(error)),
    )
  const caller = async () => {
    if (work.pace === 'at once') await Promise.all(work.transactionIds.map(noted))
    else for (const transactionId of work.transactionIds) await noted(transactionId)
  }

  await db.$queryRaw`SELECT pg_advisory_lock_shared(${STARTING_LINE})::text`
  await Promise.all(Array.from({ length: work.callers }, caller))
  await db.$disconnect()
  process.send?.({ results, failures } satisfies InsertOutcome, () => process.exit(0))
})
