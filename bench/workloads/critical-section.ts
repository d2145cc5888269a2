/**
 * A critical section in which the holder reads a row, thinks, and writes it, with only the
 * lock to keep others out. There are far more callers than connections: a caller that waits on a
 * connection takes it from the others, and from the holder.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { operationOf } from '../contender.js'
import type { Workload } from '../workload.js'
import { auditStocks, fillItems } from './items.js'

const ITEM = 1
/** In ms: as long as a look into a cache or a call to a neighbour takes. */
const THINKING = 2

export function criticalSection(callers: number, short = false): Workload {
  return {
    id: `critical-section-${callers}`,
    title: `Critical section, ${callers} callers on a pool of 10`,
    about: `One key. The holder reads a row, thinks for ${THINKING} ms, and writes it, unguarded.`,
    short,
    curve: { id: 'critical-section', axis: 'callers', value: callers },
    operation: 'critical',
    processes: 1,
    callers,
    poolSize: 10,
    fill: (database) => fillItems(database, 1, 0),
    caller(session) {
      const critical = operationOf(session, 'critical')
      return () => ({
        key: String(ITEM),
        outcome: critical(`item-${ITEM}`, async (rows) => {
          const stock = await rows.read(ITEM)
          await sleep(THINKING)
          await rows.write(ITEM, stock + 1)
        }),
      })
    },
    audit: auditStocks,
  }
}
