import { setTimeout as sleep } from 'node:timers/promises'
import type { Prisma } from '../../generated/prisma/client.js'
import type { useExtended } from './extended.js'
import { BODY_GATE } from './starting-line.js'

export interface DeadlockWork {
  readonly isolationLevel: Prisma.TransactionIsolationLevel
  /** Two rows that each transaction writes, in this order or in the opposite one. */
  readonly rows: readonly [number, number]
  /** The orders of the transactions, each of which begins 5 ms after the one before. */
  readonly orders: readonly ('forwards' | 'backwards')[]
  /** How many writers of one row there are beside them. */
  readonly writers: number
  /** The deadline of each call, in ms, if it is not the default. */
  readonly deadline?: number
  /** Whether a transaction waits at the gate, between its two writes, in its first run. */
  readonly waitsAtGate: boolean
}

export interface DeadlockOutcome {
  /** How often the body of each transaction has run. */
  readonly runs: readonly number[]
  /** Errors: there should be none. */
  readonly failures: readonly string[]
}

type Db = ReturnType<ReturnType<typeof useExtended>['connect']>['db']

const add = ({ stock }: { stock: number }) => ({ stock: stock + 1 })

/** Writes two rows in opposite orders, in transactions that begin one after the other. */
export async function writeInOpposition(db: Db, work: DeadlockWork): Promise<DeadlockOutcome> {
  const { isolationLevel, rows, orders, writers, deadline, waitsAtGate } = work
  const retry = { deadline }
  const failures: string[] = []
  const runs = orders.map(() => 0)
  const noteFailure = (error: unknown) => void failures.push(String(error))
  const transaction = async (order: string, index: number) => {
    await sleep(index * 5)
    const [first, second] = order === 'forwards' ? rows : [rows[1], rows[0]]
    await db.$transactionWithRetry(
      async (tx, { attempt }) => {
        runs[index] = attempt
        await tx.product.updateVersioned({ where: { id: first }, data: add })
        if (waitsAtGate && attempt === 1) await tx.$queryRaw`SELECT pg_advisory_xact_lock_shared(${BODY_GATE})::text`
        else await sleep(5)
        await tx.product.updateVersioned({ where: { id: second }, data: add })
      },
      { isolationLevel, retry },
    )
  }
  const writer = async (_: unknown, index: number) => {
    await db.product.updateVersioned({ where: { id: rows[index % 2] as number }, data: add, retry })
  }
  await Promise.all([
    ...orders.map((order, index) => transaction(order, index).catch(noteFailure)),
    ...Array.from({ length: writers }, (_, index) => writer(_, index).catch(noteFailure)),
  ])
  return { runs, failures }
}
