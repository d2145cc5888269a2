import type { TransactionWithRetryOptions } from '../transactions/method.js'

/** The facts about a message. An object of your own may have more. */
export interface InboxMessage {
  /** The id that it has in each delivery. */
  readonly id: string
  /** The thing that the `version` is of, such as an order. */
  readonly key?: string | undefined
  /** A number that grows with the messages of its key: one that is not higher than the last one is outdated. From 0 on. */
  readonly version?: number | bigint | undefined
}

export type InboxCallOptions = Omit<TransactionWithRetryOptions, 'readOnly'>

/** The outcome of a message: `duplicate` was handled before, `outdated` came behind one with a higher version. */
export type InboxResult<R> =
  | { readonly status: 'handled'; readonly result: R }
  | { readonly status: 'duplicate' | 'outdated' }

/** The outcome of the messages of a batch. Each is in one of the three lists. */
export interface InboxBatchResult<R, M> {
  readonly handled: readonly M[]
  readonly duplicates: readonly M[]
  readonly outdated: readonly M[]
  /** The answer of the body; `undefined` if there was nothing to be handled, and it was not called. */
  readonly result: R | undefined
}

export interface PruneInboxOptions {
  /** The age in ms from which messages are forgotten, by the database's clock. */
  readonly olderThan: number
  /** Default: all. */
  readonly consumer?: string | undefined
  /** How many rows each statement deletes at most. Default 1,000. */
  readonly batchSize?: number | undefined
}
