/** The messages between the runner of the pause test and its two processes. */
import type { Environment } from '../contender.js'
import type { PauseTestResult } from '../result.js'

export type PauseOperation = 'critical' | 'readChangeWrite' | 'move'

export type ToPauseProcess =
  | {
      readonly kind: 'open'
      readonly contender: string
      readonly operation: PauseOperation
      readonly itemIds: readonly number[]
      readonly env: Environment
    }
  /** One call per item, all at once. */
  | {
      readonly kind: 'work'
      /** Where the process stops itself, once all calls are there; without it, it does not. */
      readonly stopAt?: PauseTestResult['moment']
      /** In ms: so long are calls that fail made again. */
      readonly again: number
    }
  | { readonly kind: 'close' }

export type FromPauseProcess =
  | { readonly kind: 'opened' | 'closed' }
  /** Sent right before it stops itself. */
  | { readonly kind: 'stopping' }
  /** In the order of the items. */
  | { readonly kind: 'worked'; readonly calls: readonly CallReport[] }
  | { readonly kind: 'failed'; readonly message: string }

export interface CallReport {
  readonly isDone: boolean
  /** From the first attempt to the last answer. */
  readonly milliseconds: number
  /** The message of each attempt that failed. */
  readonly failures: readonly string[]
}
