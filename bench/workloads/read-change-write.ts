/**
 * Reads an item, decides, writes it: over 1,000 items, where two callers seldom meet, and on one
 * hot item, where all of them do, in one process and in several.
 */
import { operationOf } from '../contender.js'
import type { Workload } from '../workload.js'
import { auditStocks, fillItems } from './items.js'

export interface Shape {
  readonly id: string
  readonly title: string
  readonly about: string
  readonly curve?: Workload['curve']
  readonly short?: boolean
  readonly processes?: number
  readonly callers?: number
  readonly rows: number
}

export function readChangeWrite({ rows, processes = 1, callers = 16, ...shape }: Shape): Workload {
  return {
    ...shape,
    operation: 'readChangeWrite',
    processes,
    callers,
    poolSize: 10,
    fill: (database) => fillItems(database, rows, 0),
    caller(session) {
      const readChangeWrite = operationOf(session, 'readChangeWrite')
      return () => {
        const itemId = 1 + Math.floor(Math.random() * rows)
        return { key: String(itemId), outcome: readChangeWrite(itemId) }
      }
    },
    audit: auditStocks,
  }
}
