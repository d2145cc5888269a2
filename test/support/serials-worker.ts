/** A process of its own whose callers take serials of one product, each under a transaction id of its own. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { STARTING_LINE } from './starting-line.js'

export interface SerialsWork {
  readonly url: string
  readonly productId: number
  readonly transactionIds: readonly string[]
  readonly count: number
  readonly partial: boolean
  /** The serials that each transaction id names; then there is no count. */
  readonly numbers?: Readonly<Record<string, readonly string[]>>
  /** After so many calls have been answered, the process is killed. */
  readonly diesAfter?: number
}

export interface SerialsOutcome {
  readonly taken: readonly { transactionId: string; numbers: readonly string[]; replayed: boolean }[]
  readonly refused: readonly { transactionId: string; free: number }[]
  /** Other errors: there should be none. */
  readonly failures: readonly string[]
}

process.once('message', async (work: SerialsWork) => {
  const { url, productId, transactionIds, count, partial, diesAfter } = work
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 10 }) })
    .$extends(concurrency({ retry: { deadline: 100_000 } }))
    .$extends(serials())
  const taken: SerialsOutcome['taken'][number][] = []
  const refused: SerialsOutcome['refused'][number][] = []
  const failures: string[] = []
  let answers = 0

  const call = async (transactionId: string) => {
    try {
      const named = work.numbers?.[transactionId]
      const where = { productId }
      const outcome = await db.$serials.allocate(
        named ? { transactionId, where, numbers: named } : { transactionId, where, count, partial },
      )
      const numbers = outcome.serials.map(({ number }) => number)
      taken.push({ transactionId, numbers, replayed: outcome.replayed })
    } catch (error) {
      const { code, free = 0 } = error as { code?: string; free?: number }
      if (code === 'INSUFFICIENT_SERIALS' || code === 'SERIALS_UNAVAILABLE') refused.push({ transactionId, free })
      else failures.push(String(error))
    }
    if (++answers === diesAfter) process.kill(process.pid, 'SIGKILL')
  }

  await db.$queryRaw`SELECT pg_advisory_lock_shared(${STARTING_LINE})::text`
  await Promise.all(transactionIds.map(call))
  await db.$disconnect()
  process.send?.({ taken, refused, failures } satisfies SerialsOutcome, () => process.exit(0))
})
