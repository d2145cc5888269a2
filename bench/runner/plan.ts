/** What is run: which contenders in which workloads, how often, and for how long, so that all of it fits the time. */
import type { Contender } from '../contender.js'
import type { Workload } from '../workload.js'
import type { Times } from './measure.js'

export interface Form {
  readonly name: 'short' | 'full' | 'custom'
  readonly rounds: number
  /** For all of it, in s. */
  readonly budget: number
  readonly workloads: readonly Workload[]
}

/** Beside warm-up and measuring: making and dropping the database, connecting, the last answers, the audit. In ms. */
const OVERHEAD = 700
/** Until a worker can work, in ms. */
const START = 1_500
const LONGEST = 2_000
const SHORTEST = 250

/** The contenders that can do what the workload asks for. */
export function takersOf(workload: Workload, contenders: readonly Contender[]): Contender[] {
  return contenders.filter(({ operations }) => operations.includes(workload.operation))
}

/** Divides the time among the runs: a third as long to warm up as to measure. */
export function timesFor({ rounds, budget, workloads }: Form, contenders: readonly Contender[]): Times {
  const runs = workloads.map((workload) => takersOf(workload, contenders).length)
  const count = rounds * runs.reduce((sum, number) => sum + number, 0)
  // Beyond the first, a worker may have to be started again for each run.
  const starts =
    contenders.length +
    workloads.reduce((sum, { processes }, index) => sum + (processes > 1 ? rounds * (runs[index] ?? 0) : 0), 0)
  const perRun = (budget * 1_000 - starts * START) / Math.max(1, count) - OVERHEAD
  const measured = Math.round(Math.min(LONGEST, Math.max(SHORTEST, perRun * 0.75)))
  return { measuredMilliseconds: measured, warmUpMilliseconds: Math.round(measured / 3) }
}
