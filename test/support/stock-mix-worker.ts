/** A process of its own whose callers do all that can be done with stock, each step at random, often twice. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { STARTING_LINE } from './starting-line.js'
import { SILO, STOCK, type StockItem } from './stock-models.js'

const KINDS = [
  'move',
  'moveAll',
  'take',
  'defer',
  'project',
  'reserve',
  'fulfil',
  'release',
  'count',
  'reverse',
  'audit',
] as const
type Kind = (typeof KINDS)[number]

export interface MixWork {
  readonly url: string
  readonly items: readonly StockItem[] | readonly string[]
  /** Whether the items are silos, which have a history. */
  readonly hasHistory?: boolean
  readonly callers: number
  /** Steps of each caller. */
  readonly rounds: number
  /** The prefix of the transaction ids: processes with the same names send the same requests. */
  readonly names: string
  /** The kinds of call; by default all. */
  readonly kinds?: readonly Kind[]
  /** Folds one movement after the other, without an end, instead of all that. */
  readonly folds?: boolean
}

export interface MixOutcome {
  /** How often each kind was carried out, not as a replay. */
  readonly done: Readonly<Partial<Record<Kind, number>>>
  /** Errors besides refusals: there should be none. */
  readonly failures: readonly string[]
}

const EXPECTED = ['INSUFFICIENT_STOCK', 'RESERVATION_ENDED', 'REVERSAL']
const ON_PURPOSE = new Error('rolled back on purpose')

process.once('message', async ({ url, items, callers, rounds, names, kinds = KINDS, folds, hasHistory }: MixWork) => {
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 8 }) })
    .$extends(concurrency({ retry: { deadline: 100_000, attempts: 100 } }))
    .$extends(stock({ ...((hasHistory ? SILO : STOCK) as typeof STOCK), retry: { deadline: 100_000, attempts: 100 } }))
  if (folds) for (;;) await db.$stock.project({ batchSize: 1 })

  const below = (limit: number) => Math.floor(Math.random() * limit)
  const itemAt = (n: number) => items[n % items.length] as StockItem
  const done: Partial<Record<Kind, number>> = {}
  const failures: string[] = []
  type Way = Pick<typeof db, '$stock'>

  /** The lines under one transaction id are the same for every sender, at any time. */
  const linesOf = (n: number, sign: number) => [
    { item: itemAt(n), quantity: sign * (1 + (n % 3)) },
    { item: itemAt(n + 1), quantity: n % 2 === 0 ? 2 : sign },
  ]
  const reserveLines = (n: number) => linesOf(n, 1)
  const carryOut = async (way: Way, kind: Kind, n: number): Promise<boolean> => {
    const transactionId = `${names} ${kind} ${n}`
    const reservation = `${names} reserve ${below(n + 1)}`
    switch (kind) {
      case 'move': {
        const quantity = (n % 2 === 0 ? 1 : -1) * (1 + (n % 4))
        return !(await way.$stock.move({ transactionId, item: itemAt(n), quantity })).replayed
      }
      case 'moveAll':
        return !(await way.$stock.moveAll({ transactionId, lines: linesOf(n, -1) })).replayed
      case 'take': {
        const from = { items: [itemAt(n), itemAt(n + 1)], quantity: 1 + (n % 4), split: n % 2 === 0 }
        return !(await way.$stock.moveAll({ transactionId, lines: [{ from }] })).replayed
      }
      case 'defer':
        return !(await way.$stock.defer({ transactionId, item: itemAt(n), quantity: 1 + (n % 3) })).replayed
      case 'project':
        return (await way.$stock.project({ batchSize: 1 + below(5) })).folded > 0
      case 'reserve': {
        const expiresIn = n % 3 === 0 ? 1 + below(30) : 100_000
        return !(await way.$stock.reserve({ transactionId, lines: reserveLines(n), expiresIn })).replayed
      }
      case 'fulfil':
        return !(await way.$stock.fulfil({ transactionId: reservation })).replayed
      case 'release':
        return (await way.$stock.release({ transactionId: reservation })).released
      case 'count':
        return !(await way.$stock.count({ transactionId, item: itemAt(n), counted: n % 40 })).replayed
      case 'reverse': {
        const of = `${names} moveAll ${n}`
        return !(
          await way.$stock.reverse({
            transactionId,
            of,
            ...(n % 2 === 0 && { lines: [{ item: itemAt(n), quantity: 1 }] }),
          })
        ).replayed
      }
      case 'audit': {
        const found = await way.$stock.audit()
        if (found.length > 0) throw new Error(`audit: ${JSON.stringify(found)}`)
        return true
      }
    }
  }
  const step = async (kind: Kind, n: number): Promise<boolean> => {
    if (below(5) > 0) return carryOut(db, kind, n)
    return db.$transactionWithRetry(async (tx) => {
      const isDone = await carryOut(tx, kind, n)
      if (below(3) === 0) throw ON_PURPOSE
      return isDone
    })
  }
  const caller = async () => {
    for (let round = 0; round < rounds; round++) {
      const kind = kinds[below(kinds.length)] as Kind
      const n = below(rounds * callers)
      const times = 1 + below(2)
      const outcomes = await Promise.allSettled(Array.from({ length: times }, () => step(kind, n)))
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') done[kind] = (done[kind] ?? 0) + Number(outcome.value)
        else if (outcome.reason !== ON_PURPOSE && !EXPECTED.includes(outcome.reason.code)) {
          failures.push(`${kind} ${n}: ${outcome.reason}`)
        }
      }
    }
  }

  await db.$queryRaw`SELECT pg_advisory_lock_shared(${STARTING_LINE})::text`
  await Promise.all(Array.from({ length: callers }, caller))
  await db.$disconnect()
  process.send?.({ done, failures } satisfies MixOutcome, () => process.exit(0))
})
