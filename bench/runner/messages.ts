/** What the runner and its workers say to one another. */
import type { Environment } from '../contender.js'
import type { KeyTally } from '../workload.js'

/** Each is answered by exactly one message. */
export type ToWorker =
  | {
      readonly kind: 'open'
      readonly contender: string
      readonly workload: string
      readonly env: Environment
      /** How many processes the run has. */
      readonly processes: number
    }
  /** Lets all callers go for so long, and waits for their last answers; `last` ends with what was put off. */
  | { readonly kind: 'drive'; readonly milliseconds: number; readonly last: boolean }
  | { readonly kind: 'close' }

export type FromWorker =
  | { readonly kind: 'opened' | 'closed' }
  | { readonly kind: 'driven'; readonly report: DriveReport }
  | { readonly kind: 'failed'; readonly message: string }

/** What a worker's callers have done while they were let go. */
export interface DriveReport {
  /** By the clock of the machine, in ms. */
  readonly begin: number
  readonly end: number
  /** In ms, of every call that did not fail. */
  readonly latencies: Float64Array
  readonly retries: number
  readonly tally: Readonly<Record<string, KeyTally>>
  readonly failures: Readonly<Record<string, number>>
  readonly statements: number
  readonly transactions: number
  readonly cpuMilliseconds: number
}
