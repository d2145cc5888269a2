/** A process of its own whose callers take numbers of a series. */
import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { series } from '../../src/series/extension.js'
import { STARTING_LINE } from './starting-line.js'

export interface SeriesWork {
  readonly url: string
  readonly name: string
  readonly format?: string
  /** Of how many numbers a block is; without it the series is gapless. */
  readonly blocks?: number
  readonly where: 'on the root client' | 'in transactions'
  readonly callers: number
  /** How many numbers each caller asks for, if there are no transaction ids. */
  readonly rounds?: number
  /** Each caller asks for a number for each of them, in an order of its own. */
  readonly transactionIds?: readonly string[]
  /** How many of the transactions are rolled back once they have their number: a share from 0 to 1. */
  readonly rollbacks?: number
}

export interface TakenNumber {
  readonly transactionId: string
  readonly value: number
  readonly text: string
  readonly replayed: boolean
}

export interface SeriesOutcome {
  /** The numbers of what was committed. */
  readonly numbers: readonly TakenNumber[]
  readonly rolledBack: number
  /** Other errors: there should be none. */
  readonly failures: readonly string[]
}

const ON_PURPOSE = new Error('rolled back on purpose')

process.once('message', async (work: SeriesWork) => {
  const { name, format, blocks, callers, rounds = 0, rollbacks = 0 } = work
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: work.url, max: 5 }) })
    .$extends(concurrency({ retry: { deadline: 100_000, attempts: 100 } }))
    .$extends(series({ series: { [name]: { ...(format ? { format } : {}), ...(blocks ? { blocks } : {}) } } }))

  const next = async (transactionId: string | undefined) => {
    if (work.where === 'on the root client') return db.$series.next(name, { transactionId })
    return db.$transactionWithRetry(async (tx) => {
      const number = await tx.$series.next(name, { transactionId })
      if (Math.random() < rollbacks) throw ON_PURPOSE
      return number
    })
  }
  const numbers: TakenNumber[] = []
  const failures: string[] = []
  let rolledBack = 0
  const caller = async () => {
    const ids = work.transactionIds ? shuffled(work.transactionIds) : Array.from({ length: rounds }, () => undefined)
    for (const id of ids) {
      try {
        const { value, text, replayed } = await next(id)
        numbers.push({ transactionId: id ?? randomUUID(), value: Number(value), text, replayed })
      } catch (error) {
        if (error === ON_PURPOSE) rolledBack++
        else failures.push(String(error))
      }
    }
  }

  await db.$queryRaw`SELECT pg_advisory_lock_shared(${STARTING_LINE})::text`
  await Promise.all(Array.from({ length: callers }, caller))
  await db.$disconnect()
  process.send?.({ numbers, rolledBack, failures } satisfies SeriesOutcome, () => process.exit(0))
})

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item)
}
