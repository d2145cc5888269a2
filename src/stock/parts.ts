import type { Job } from '../sync/job.js'
import { type Decision, nameOf, type Request } from './request.js'

export type StockJob = Job<Request, Decision>

/** The movements that have nothing in common with a request of another kind, in their order. */
export function movesOf(batch: readonly StockJob[]): readonly StockJob[] {
  const isMove = ({ task }: StockJob) => task.kind === 'move'
  if (batch.every(isMove)) return batch
  const moves = new Set(partsOf(batch).flatMap((part) => (part.every(isMove) ? part : [])))
  return batch.filter((job) => moves.has(job))
}

/** The batch by what has items, or its id, in common: its parts need nothing of each other. (Union-find.) */
export function partsOf(batch: readonly StockJob[]): readonly StockJob[][] {
  const leaders = new Map<string, string>()
  const leaderOf = (id: string): string => {
    let leader = id
    for (let next = leaders.get(leader); next !== undefined; next = leaders.get(leader)) {
      // Each look shortens the way, or a chain of a thousand requests would be walked for every line.
      const beyond = leaders.get(next)
      if (beyond !== undefined) leaders.set(leader, beyond)
      leader = next
    }
    return leader
  }
  for (const { task } of batch) {
    const first = leaderOf(nodeOf(task))
    for (const { item } of task.lines) {
      const [from, to] = [leaderOf(item.id), leaderOf(first)]
      if (from !== to) leaders.set(from, to)
    }
  }
  const parts = new Map<string, StockJob[]>()
  for (const job of batch) {
    const name = leaderOf(nodeOf(job.task))
    const part = parts.get(name)
    if (part) part.push(job)
    else parts.set(name, [job])
  }
  return [...parts.values()]
}

/** A name that no item has. */
function nodeOf(request: Request): string {
  return `\0${nameOf(request)}`
}
