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
  /** Makes its first call to the other side, tells so, and stays where it is. */
  readonly hangs?: boolean
  /** Fails at random. */
  readonly isUnsteady?: boolean
}

process.once('message', async ({ engine, url, otherSide, keys, hangs, isUnsteady }: StepsWork) => {
  const { db, close } = await openSteps(engine, { url, poolSize: 4 })
  const other = new pg.Pool({ connectionString: otherSide, max: 2 })
  const bank = bankIn(async (sql, values) => (await other.query(sql, values)).rows)
  const charge = async (key: string) => {
    const number = await bank(key)
    if (hangs) {
      process.send?.('hangs')
      await new Promise(() => {})
    }
    if (isUnsteady && Math.random() < 0.2) throw new Error('on purpose')
    return number
  }
  for (const key of keys) {
    for (let isDone = false; !isDone; ) {
      isDone = await db.$steps({ key, scope: 'processes', retry: { deadline: 60_000 } }, pay(key, charge)).then(
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
