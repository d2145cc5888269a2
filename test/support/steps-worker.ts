/** A process of its own that makes payments in steps until it is killed, or all are done. */
import pg from 'pg'
import type { EngineName } from './engines.js'
import { bankIn, openSteps, pay } from './steps.js'

export interface StepsWork {
  readonly engine: EngineName
  readonly url: string
  /** Of the database of the other side, which is this one, past the proxy. */
  readonly otherSide: string
  readonly keys: readonly string[]
  /** Tells when this step is to begin. */
  readonly stopsBefore?: string
  /** Fails at random. */
  readonly isUnsteady?: boolean
}

process.once('message', async ({ engine, url, otherSide, keys, stopsBefore, isUnsteady }: StepsWork) => {
  const { db, close } = await openSteps(engine, { url, poolSize: 4 })
  const other = new pg.Pool({ connectionString: otherSide, max: 2 })
  const bank = bankIn(async (sql, values) => (await other.query(sql, values)).rows)
  const charge = async (key: string) => {
    const number = await bank(key)
    if (isUnsteady && Math.random() < 0.2) throw new Error('on purpose')
    return number
  }
  const stop = new Set([stopsBefore])
  for (const key of keys) {
    for (let isDone = false; !isDone; ) {
      const body = pay(key, charge, (step) => {
        if (stop.delete(step)) process.send?.(step)
      })
      isDone = await db.$steps({ key, scope: 'processes', retry: { deadline: 60_000 } }, body).then(
        () => true,
        (error) => {
          if (error.message !== 'on purpose') process.send?.(String(error))
          return false
        },
      )
    }
  }
  await Promise.all([close(), other.end()])
  process.send?.('done', () => process.exit(0))
})
