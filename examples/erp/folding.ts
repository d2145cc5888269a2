import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from './database.js'

/**
 * Folds deferred movements into the balances, now and every so many ms, until it is stopped. Every
 * machine may do so: they share the movements out among themselves.
 */
export function foldDeferred(db: Database, every: number) {
  const ending = new AbortController()
  const { signal } = ending

  async function fold(): Promise<void> {
    while (!signal.aborted) {
      try {
        await db.$stock.project({ signal })
      } catch (error) {
        // A failed run is repeated the next time: a database that is away must not end the loop.
        if (!signal.aborted) console.error(error)
      }
      await sleep(every, undefined, { signal }).catch(() => {})
    }
  }

  const folding = fold()
  return {
    /** Resolves when the last statement is through. */
    async stop(): Promise<void> {
      ending.abort()
      await folding
    },
  }
}
