/** Stops this process in the middle of its work, as a host that is paused does, and goes on when it is continued. */
import { setTimeout as sleep } from 'node:timers/promises'
import { postgresClients, textOf } from '../runner/statements.js'
import type { FromPauseProcess } from './messages.js'

/** In ms: so long does the first call wait for the others to come to this point. Some do their work in one statement. */
const PATIENCE = 1_000
/** In ms: the process is stopped for longer, so that a clock that has moved on by so much tells that it was. */
const SHORTEST_STOP = 1_000

/** The function that a call awaits where it is to be stopped: when so many are there, or no more come, the process stops. */
export function stopPoint(expected: number): () => Promise<void> {
  let arrived = 0
  let allAreThere = () => {}
  const all = new Promise<void>((resolve) => {
    allAreThere = resolve
  })
  let stopped: Promise<void> | undefined
  return () => {
    arrived++
    if (arrived === expected) allAreThere()
    stopped ??= Promise.race([all, sleep(PATIENCE)]).then(stop)
    return stopped
  }
}

function stop(): Promise<void> {
  return new Promise((resolve) => {
    process.send?.({ kind: 'stopping' } satisfies FromPauseProcess, () => {
      const begin = performance.now()
      process.kill(process.pid, 'SIGSTOP')
      // Another thread may be the first to stop: nothing of ours happens between the signal and the pause.
      while (performance.now() - begin < SHORTEST_STOP);
      resolve()
    })
  })
}

const WRITES_ITEM = /\bUPDATE\s+(?:ONLY\s+)?(?:"?\w+"?\s*\.\s*)?"?item"?(?!\w)/i

/**
 * Lets this process await the point before it sends a statement that writes items, after whatever
 * its contender does before that; the function that it gives ends it.
 */
export function beforeWrites(reach: () => Promise<void>): () => void {
  const undo: (() => void)[] = []
  for (const { prototype } of postgresClients()) {
    const query: (...args: unknown[]) => unknown = prototype.query
    function held(this: object, ...args: unknown[]): unknown {
      if (!WRITES_ITEM.test(textOf(args[0]))) return query.apply(this, args)
      const sent = reach().then(() => query.apply(this, args))
      return typeof args.at(-1) === 'function' ? undefined : sent
    }
    prototype.query = held as typeof prototype.query
    undo.push(() => {
      prototype.query = query as typeof prototype.query
    })
  }
  return () => {
    for (const restore of undo) restore()
  }
}
