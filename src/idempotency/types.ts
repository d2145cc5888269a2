import type { TransactionWithRetryOptions } from '../transactions/method.js'
import type { Period } from './period.js'

export interface IdempotentOptions extends Omit<TransactionWithRetryOptions, 'readOnly'> {
  /** The name of the operation, as the client sends it, such as an `Idempotency-Key` header. */
  key: string
  /** The owner and the purpose of the key: must tell tenants, users and endpoints apart. It does not begin with `once per: ` or `once per, at least: `, as the keys of `$oncePer` do. */
  scope: string
  /** The request of the operation; a duplicate with another request is refused. */
  request?: unknown
  /** How a duplicate behaves while the first one runs: `wait` for its answer (the default), or be `refuse`d at once (within 50 ms if it runs elsewhere). */
  whileRunning?: 'wait' | 'refuse' | undefined
}

export interface OncePerOptions extends Omit<TransactionWithRetryOptions, 'readOnly'> {
  /** The name of the job. */
  job: string
  /**
   * When the job may run again: a name of the period, such as `'2026-11-24'`; `{ every: '1d' }`, once in
   * each period of a grid; or `{ atLeast: '23h' }`, so long after its last success. For a scheduler
   * take `atLeast`, with less than its interval.
   */
  period: Period
}

export interface PruneOptions {
  /** The age in ms from which keys are deleted, by the database's clock. */
  olderThan: number
  /** How many rows each statement deletes at most. Default 1,000. */
  batchSize?: number | undefined
}

/** The outcome of a call of `$oncePer`. */
export type OncePerResult<R> =
  | { readonly ran: true; readonly result: R }
  /** When it ran, or `undefined` if it is running right now. */
  | { readonly ran: false; readonly since: Date | undefined }
