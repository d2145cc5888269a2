/** The messages between the runner and its workers. */
import type { Environment } from '../contender.js'
import type { Window } from '../result.js'
import type { KeyTally } from '../workload.js'

/** A message under load: the warm-up is over, or the measuring is. */
export type Mark = 'warm' | 'measured'

/** Each is answered by exactly one message; `load`, by the marks before. */
export type ToWorker =
  | {
      readonly kind: 'open'
      readonly contender: string
      readonly workload: string
      readonly env: Environment
      /** How many processes the run has. */
      readonly processes: number
    }
  /** Lets all callers go for so long, waits for their last answers, and ends with what was put off. */
  | { readonly kind: 'load'; readonly window: Window }
  | { readonly kind: 'close' }

export type FromWorker =
  | { readonly kind: 'opened' | Mark | 'closed' }
  | { readonly kind: 'loaded'; readonly report: LoadReport }
  | { readonly kind: 'failed'; readonly message: string }

/** The work of a worker's callers, and its cost while it was measured. */
export interface LoadReport {
  /** Of the measuring, by the clock of the machine, in ms. */
  readonly begin: number
  readonly end: number
  /** In ms, of every call that ended after the warm-up and did not fail. */
  readonly latencies: Float64Array
  /** Those that ended while it was measured. */
  readonly measured: { readonly operations: number; readonly retries: number }
  readonly refused: number
  readonly failed: number
  readonly failures: Readonly<Record<string, number>>
  /** Of the warm-up, too. */
  readonly tally: Readonly<Record<string, KeyTally>>
  readonly statements: number
  readonly transactions: number
  readonly cpuMilliseconds: number
}
