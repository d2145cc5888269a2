/** A process of its own whose callers take numbers in parallel until it is killed, or until each has had its rounds. */
import { randomUUID } from 'node:crypto'
import { type EngineName, openEngine } from './engines.js'
import { withParallelSeries } from './scoped-series.js'

export interface ParallelWork {
  readonly url: string
  readonly engine: EngineName
  readonly name: string
  readonly callers: number
  readonly rounds: number
}

export interface ParallelOutcome {
  readonly committed: readonly number[]
  readonly failures: readonly string[]
}

process.once('message', async ({ url, engine, name, callers, rounds }: ParallelWork) => {
  const { db: plain, close } = await openEngine(engine, { url, poolSize: 6 })
  const db = withParallelSeries(engine, plain)
  const committed: number[] = []
  const failures: string[] = []
  const onPurpose = new Error('rolled back on purpose')
  const caller = async () => {
    for (let round = 0; round < rounds; round++) {
      const next = db.$transactionWithRetry(
        async (tx) => {
          const { value } = await tx.$series.next(name, { transactionId: randomUUID() })
          if (Math.random() < 0.2) throw onPurpose
          return Number(value)
        },
        { retry: { deadline: 60_000, attempts: 100 } },
      )
      await next.then(
        (value) => committed.push(value),
        (error: unknown) => error === onPurpose || failures.push(String(error)),
      )
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  await close()
  process.send?.({ committed, failures } satisfies ParallelOutcome, () => process.exit(0))
})
