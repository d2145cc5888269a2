/** Makes the figures of a run out of what its processes have reported. */
import type { Figures, Round } from '../result.js'
import type { Metered } from '../servers/server.js'
import type { KeyTally, Tally } from '../workload.js'
import type { LoadReport } from './messages.js'
import type { Sample } from './sampler.js'

/** As many different messages of failures are kept per run. */
const MOST_FAILURES = 5

/** The work of the servers for the run meanwhile; CPU time in ms. */
export interface Costs {
  readonly databaseCpu: number | null
  readonly lockServer: Metered
}

export function figuresOf(reports: readonly LoadReport[], sample: Sample, { databaseCpu, lockServer }: Costs): Figures {
  const latencies = joined(reports.map((report) => report.latencies)).sort()
  const total = (value: (report: LoadReport) => number) => sum(reports.map(value))
  const operations = total(({ measured }) => measured.operations)
  const each = (value: number) => value / Math.max(1, operations)
  return {
    operations: latencies.length,
    throughput: total(({ measured, begin, end }) => measured.operations / ((end - begin) / 1_000)),
    p50Milliseconds: quantile(latencies, 0.5),
    p99Milliseconds: quantile(latencies, 0.99),
    failures: total(({ failed }) => failed),
    refused: total(({ refused }) => refused),
    retries: each(total(({ measured }) => measured.retries)),
    statements: each(total(({ statements }) => statements) + lockServer.statements),
    transactions: each(total(({ transactions }) => transactions) + lockServer.transactions),
    databaseCpuMilliseconds: databaseCpu === null ? null : each(databaseCpu),
    clientCpuMilliseconds: each(total(({ cpuMilliseconds }) => cpuMilliseconds)),
    lockServerCpuMilliseconds: lockServer.cpu === null ? null : each(lockServer.cpu),
    ...sample,
  }
}

/** The tallies of all processes, warm-up and measured together. */
export function addTallies(reports: readonly LoadReport[]): Tally {
  const all: Record<string, KeyTally> = {}
  for (const { tally } of reports) {
    for (const [key, { done, refused, failed }] of Object.entries(tally)) {
      const { done: d, refused: r, failed: f } = all[key] ?? { done: 0, refused: 0, failed: 0 }
      all[key] = { done: d + done, refused: r + refused, failed: f + failed }
    }
  }
  return all
}

export function mostFrequentFailures(reports: readonly LoadReport[]): Round['failures'] {
  const counts = new Map<string, number>()
  for (const { failures } of reports) {
    for (const [message, count] of Object.entries(failures)) counts.set(message, (counts.get(message) ?? 0) + count)
  }
  return Array.from(counts, ([message, count]) => ({ message, count }))
    .sort((a, b) => b.count - a.count)
    .slice(0, MOST_FAILURES)
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(sum(parts.map(({ length }) => length)))
  let offset = 0
  for (const part of parts) {
    all.set(part, offset)
    offset += part.length
  }
  return all
}

/** Of sorted numbers; with few of them, the largest. */
function quantile(sorted: Float64Array, share: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
