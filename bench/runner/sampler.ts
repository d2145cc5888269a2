/** Looks again and again at the sessions of a run's databases: how many there are, and how many of them only wait. */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'

/** In ms: short against a run, long against the fraction of a ms that a look takes. */
const INTERVAL = 20

const LOOK = {
  name: 'bench-look',
  text: `SELECT count(*)::int AS connections,
  (count(*) FILTER (WHERE wait_event_type = 'Lock'))::int AS waiting,
  (count(*) FILTER (WHERE state LIKE 'idle in transaction%'))::int AS idle
FROM pg_stat_activity
WHERE datname = ANY ($1) AND backend_type = 'client backend'`,
}

interface Look {
  readonly connections: number
  readonly waiting: number
  readonly idle: number
}

export interface Sample {
  readonly peakConnections: number
  /** On average over the time sampled. */
  readonly waitingConnections: number
  readonly idleInTransactionConnections: number
}

/** Begins to look. The function that it gives ends it, and tells what was seen. */
export function startSampling(observer: pg.ClientBase, databases: readonly string[]): () => Promise<Sample> {
  const ending = new AbortController()
  const looks: Look[] = []
  const looking = (async () => {
    while (!ending.signal.aborted) {
      const { rows } = await observer.query<Look>({ ...LOOK, values: [databases] })
      looks.push(...rows)
      await sleep(INTERVAL, undefined, { signal: ending.signal }).catch(() => {})
    }
  })()
  looking.catch(() => {}) // it is looked at when the sampling ends
  return async () => {
    ending.abort()
    await looking
    const mean = (value: (look: Look) => number) => looks.reduce((sum, look) => sum + value(look), 0) / looks.length
    return {
      peakConnections: Math.max(...looks.map(({ connections }) => connections)),
      waitingConnections: mean(({ waiting }) => waiting),
      idleInTransactionConnections: mean(({ idle }) => idle),
    }
  }
}
