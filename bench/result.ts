/** The result of the bench as JSON, in `results/`: the source of the report and of the README's table. */
import type { Family, OperationName } from './contender.js'
import type { Audit } from './workload.js'

/** Raised whenever a reader of older results would misread newer ones. */
export const RESULT_FORMAT = 2

export interface BenchResult {
  readonly format: typeof RESULT_FORMAT
  readonly form: 'short' | 'full' | 'custom'
  /** ISO 8601, when the bench began. */
  readonly date: string
  readonly seconds: number
  /** False if it was ended before its time; then some cells have fewer rounds, or none. */
  readonly isComplete: boolean
  readonly machine: Machine
  readonly server: DatabaseServer
  readonly method: Method
  readonly contenders: readonly ContenderResult[]
  readonly workloads: readonly WorkloadResult[]
  /** One per workload and contender that takes part in it, in no particular order. */
  readonly cells: readonly Cell[]
  /** The results with a holder that is stopped in the middle; empty in the short form. */
  readonly pauseTest: readonly PauseTestResult[]
  /** How each call of this library grows; only in the full form, and not in results of before. */
  readonly growth?: readonly GrowthCurve[]
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGigabytes: number
  /** Such as `linux 6.8.0 x64`. */
  readonly system: string
  readonly node: string
  /** 1-minute load average when the bench began: the load of other programs. */
  readonly load: number
}

export interface DatabaseServer {
  /** Such as `PostgreSQL 18.0`. */
  readonly version: string
  /** Started by the bench, so that its processes' CPU time can be read. */
  readonly isEmbedded: boolean
  /** As `SHOW` gives them; `fsync` among them. */
  readonly settings: Readonly<Record<string, string>>
}

export interface Method {
  readonly rounds: number
  /** Of each round, in their order: how long each of its runs was warmed up and measured. */
  readonly windows: readonly Window[]
  /** The seed of the random order of the contenders in each round. */
  readonly seed: number
  /** Versions of the packages that matter, such as `@prisma/client`. */
  readonly packages: Readonly<Record<string, string>>
}

export interface Window {
  readonly warmUpMilliseconds: number
  readonly measuredMilliseconds: number
}

export interface ContenderResult {
  readonly id: string
  readonly title: string
  readonly family: Family
  readonly source: string
  readonly choices: string
  /** The operations that it can do. They tell which workloads it belongs to, also if it is missing. */
  readonly operations: readonly OperationName[]
  /** Why it could not take part: `redis-server is not installed`. Then it has no cells. */
  readonly missing?: string
}

export interface WorkloadResult {
  readonly id: string
  readonly title: string
  readonly about: string
  readonly operation: OperationName
  readonly curve?: { readonly id: string; readonly axis: 'callers' | 'processes' | 'rows'; readonly value: number }
  readonly processes: number
  readonly callers: number
  readonly poolSize: number
  /** The fastest contender by hand on Prisma whose data was right: the others are compared with it, within each round. */
  readonly baseline?: string
}

/** A contender in a workload. */
export interface Cell {
  readonly workload: string
  readonly contender: string
  readonly rounds: readonly Round[]
  /** Over the rounds that have figures; undefined when there is none. */
  readonly summary?: Summary
  /** Over all rounds together. */
  readonly audit: Audit
}

export interface Round {
  /** From 0. The cells with the same workload and round were measured side by side in time: ratios are taken among them. */
  readonly round: number
  /** How long it was warmed up: longer than the round's window says if a process was new to the work. */
  readonly warmUpMilliseconds?: number
  /** Undefined if the run broke down, for the reason in `error`. */
  readonly figures?: Figures
  readonly audit?: Audit
  readonly error?: string
  /** Messages of failed calls, and how often each was seen in this round; the most frequent few. */
  readonly failures: readonly { readonly message: string; readonly count: number }[]
}

/**
 * The measurements of one run. Calls go on before and after the window that is measured, so that
 * there are always as many under way as there are callers; where fewer than that were answered in it,
 * it is longer. `null`: could not be measured here.
 */
export interface Figures {
  /** Calls that were answered after the warm-up, and not by an exception; so that p50 and p99 are of these. */
  readonly operations: number
  /** Answered in the window, per second. */
  readonly throughput: number
  /** Of the calls that were answered; `null` if there were none. */
  readonly p50Milliseconds: number | null
  readonly p99Milliseconds: number | null
  /** Calls that ended in an exception after the warm-up. */
  readonly failures: number
  readonly refused: number
  /** The following per operation of the window, failed ones not counted as operations: their cost is borne by the others. */
  readonly retries: number
  /** Messages to PostgreSQL with SQL in them, BEGIN and COMMIT among them, by this contender's processes and its lock service. */
  readonly statements: number
  /** Explicit ones, and statements outside of one. */
  readonly transactions: number
  readonly databaseCpuMilliseconds: number | null
  /** Of the processes that it started and that have ended, too. */
  readonly clientCpuMilliseconds: number
  /** Of the server beside PostgreSQL; 0 for those who need none. */
  readonly lockServerCpuMilliseconds: number | null
  /** At a time, all processes together, as sampled. */
  readonly peakConnections: number
  /** Connection-seconds in which a connection was held by a session that waited for a lock in the database, per second of the run. */
  readonly waitingConnections: number
  /** The same for sessions that were in a transaction and had nothing to do. */
  readonly idleInTransactionConnections: number
}

/** A median over rounds, and how far the rounds lie apart. */
export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
}

export interface Summary {
  readonly throughput: Spread
  /** Throughput by that of the baseline in the same round; undefined if there is none. */
  readonly ratio?: Spread
  readonly p50Milliseconds: Spread | null
  readonly p99Milliseconds: Spread | null
  readonly retries: Spread
  readonly statements: Spread
  readonly transactions: Spread
  readonly databaseCpuMilliseconds: Spread | null
  readonly clientCpuMilliseconds: Spread
  readonly lockServerCpuMilliseconds: Spread | null
  readonly peakConnections: Spread
  readonly waitingConnections: Spread
  readonly idleInTransactionConnections: Spread
  /** Over all rounds. */
  readonly operations: number
  readonly failures: number
  readonly refused: number
}

/**
 * Several critical sections at once, in one process that is stopped (SIGSTOP) past the lease in the
 * middle of them. Another process does the same work meanwhile; then the first one goes on.
 */
export interface PauseTestResult {
  readonly contender: string
  /**
   * Where it was stopped. `thinking`: between reading and writing, with some thinking left to do
   * when it goes on, so that it can learn of the loss of its lock. `writing`: after all that the
   * contender does before a write, so that the write is the next that happens.
   */
  readonly moment: 'thinking' | 'writing'
  /** How many sections were stopped at a time. */
  readonly rounds: number
  readonly stoppedMilliseconds: number
  /** Writes that overwrote what they had not read: updates that were lost, as the database has logged them. */
  readonly corrupted: number
  /** Sections of the stopped process that ended in an exception before they could do harm. */
  readonly refusedLateWrites: number
  /** Sections of the stopped process that ended in an exception, after they had written. */
  readonly toldTooLate: number
  /** The errors in the stopped process, each text once. */
  readonly told: readonly string[]
  /** The longest that a caller of the other process took to be done, failures and further attempts included, in ms. */
  readonly othersWaitedMilliseconds: number
  /** Exceptions that the callers of the other process have seen. */
  readonly othersFailed: number
  /** Their messages, each text once. */
  readonly othersTold: readonly string[]
  /** Why it could not be measured; then all numbers are 0. */
  readonly error?: string
}

/** A call of this library at several sizes of one thing, such as the callers or the rows of the ledger. */
export interface GrowthCurve {
  readonly id: string
  readonly title: string
  readonly axis: string
  readonly points: readonly GrowthPoint[]
}

export interface GrowthPoint {
  readonly at: number
  /** Of all processes and callers together. */
  readonly perSecond: number
  /** Of the client's processes, per call. */
  readonly cpuMicroseconds: number
  /** Of the client, for each call that waits; null where too few wait to tell. */
  readonly heapBytesPerCall: number | null
  /** Why it could not be measured; then all numbers are 0. */
  readonly error?: string
}
